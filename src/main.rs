//! The `kinetograph` command.

mod allocator;

use std::process::ExitCode;

/// Lists and rows come and go in sizes of all kinds: see docs/decisions/0008-allocator.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    allocator::keep_memory();
    kinetograph::cli::main()
}
