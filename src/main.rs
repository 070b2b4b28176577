//! The `kinetograph` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    kinetograph::cli::main()
}
