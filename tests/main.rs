//! The whole engine: its library from outside, and the program through its command line.
//!
//! One binary, because each one links libtorch, GStreamer and the whole engine anew. A test that needs a process of its
//! own starts one: the program, or this binary again for one of its ignored tests.

// Helpers of tests are tests: what fails in them fails the test.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "ingest")]
mod as_of;
mod bench_graph;
#[cfg(feature = "ingest")]
mod engine;
#[cfg(feature = "ingest")]
mod every_source;
mod exit_codes;
#[cfg(feature = "ingest")]
mod flow;
#[cfg(feature = "ingest")]
mod front_door;
#[cfg(feature = "ingest")]
mod processes;
#[cfg(feature = "ingest")]
mod reshard;
mod store;
#[cfg(feature = "ingest")]
mod taking_back;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "ingest")]
mod video;
mod views;
