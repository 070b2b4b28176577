//! The `kinetograph` command.
fn main() {}
