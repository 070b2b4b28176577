//! Taking back, through the command line: by the node budget while video comes, and by `kinetograph forget`.
#![cfg(feature = "ingest")]
// Helpers of tests are tests: what fails in them fails the test.
#![allow(clippy::unwrap_used)]

mod budget;
mod forget;
mod program;
#[path = "../video/mod.rs"]
mod video;
