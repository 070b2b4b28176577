//! Following a mined region over the next frames.

pub mod fhog;

mod features;
mod filter;
mod fourier;
mod patch;
mod peak;
mod tracker;
mod tracks;

use serde::{Deserialize, Serialize};

pub use filter::Kernel;
pub use tracker::{Step, Tracker};
pub use tracks::{Counts, Finished, Lost, Tracks, View};

/// How objects are followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Length of a track, its first frame included (the paper's N).
    pub frames: u32,
    /// Tracks of one source at the same time.
    pub max_tracks: usize,
    /// A mined region whose intersection over union with a followed one is above this begins no track.
    pub overlap: f32,
    /// Of two tracks whose intersection over union is above this, the younger is dropped.
    pub merge: f32,
    /// A finished track must have gone this share of its size, or changed size by it; else it was noise.
    pub min_travel: f32,
    /// Views between the first and the last that become nodes too.
    pub views_between: u32,
    /// The filter.
    pub kernel: Kernel,
    /// Peak-to-sidelobe ratio below which the object is lost.
    pub min_psr: f32,
    /// The search window is the region and this much of its mean side more, each way together.
    pub padding: f32,
    /// Mean side to which the search window is scaled, pixels.
    pub template_px: f32,
    /// Share of the new frame in the filter, each frame.
    pub learning_rate: f32,
    /// Weight that keeps the filter small.
    pub regularisation: f32,
    /// Sizes tried: this factor up and down.
    pub scale_step: f32,
    /// A changed size must do better by this factor.
    pub scale_damping: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            frames: 30,
            max_tracks: 8,
            overlap: 0.2,
            merge: 0.6,
            min_travel: 0.15,
            views_between: 0,
            kernel: Kernel::Linear,
            min_psr: 6.0,
            padding: 1.5,
            template_px: 112.0,
            learning_rate: 0.02,
            regularisation: 1e-4,
            scale_step: 1.03,
            scale_damping: 0.98,
        }
    }
}

impl Settings {
    /// The paper's: KCF with a Gaussian kernel, 30 frames.
    pub fn paper() -> Self {
        Settings { kernel: Kernel::Gaussian, ..Settings::default() }
    }
}
