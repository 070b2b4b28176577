//! Vision as operators over streams of frames.
//!
//! A source's frames stay on the worker that reads them, in order. A panic in the vision code ends that source, with a
//! reason, and no other.

pub mod embed;
pub mod mine;
pub mod track;
