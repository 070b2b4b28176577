//! The vision half of the dataflow: the plain functions of [`mine`](crate::mine), [`track`](crate::track) and
//! [`embed`](crate::embed) as operators over streams of frames.
//!
//! A source's frames stay on the worker that reads them, in order. A panic in the vision code ends that source, with a
//! reason, and no other.

pub mod embed;
pub mod mine;
mod stream;
pub mod track;

pub use stream::{Clock, Embedded, Failures, Observed, Seen, Settings, Stage, Tally};
