//! Following a mined region over the next frames.
//!
//! [`Tracker`] follows one region with a correlation filter on HOG features; [`Tracks`] runs the trackers of one source:
//! which candidates start a track, which tracks end, and the views they leave.

pub mod fhog;

mod counts;
mod features;
mod filter;
mod fourier;
mod patch;
mod peak;
#[cfg(test)]
mod scene;
mod settings;
mod tracker;
mod tracks;

pub use counts::{Counts, Lost, Refused};
pub use filter::Kernel;
pub use settings::Settings;
pub use tracker::{Step, Tracker};
pub use tracks::{Finished, Tracks, View};
