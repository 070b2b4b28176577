//! Taking back, through the command line: by the node budget while video comes, and by `kinetograph forget`.

mod budget;
mod forget;
mod program;
