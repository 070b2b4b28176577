//! The settings of following objects.

use serde::{Deserialize, Serialize};

use super::filter::Kernel;

/// Says how objects are followed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Frames a track covers, its first one counted (N, the paper's 30). At least 2.
    pub frames: u32,
    /// Views kept between the first and the last one, evenly spread in time.
    pub views: u8,
    /// Tracks followed at once in each source; further candidates are refused.
    pub max_tracks: usize,
    /// A candidate is refused when the part of the smaller box that it shares with an active track is over this (0 to 1).
    /// Of two tracks that come to share so much, the younger is dropped.
    pub overlap: f32,
    /// A region with a shorter side than this is neither started nor followed further, pixels of the frame.
    pub min_side_px: f32,
    /// The share of its region a track must have inside the frame (0 to 1).
    pub min_inside: f32,
    /// A track whose region, from start to end, went and grew by less than this share of its mean side gives no nodes.
    pub min_travel: f32,
    /// Nor does one that was where something moved on less than this share of its frames.
    pub min_moving: f32,
    /// Side of the crop's square over the region's longer side.
    pub crop_margin: f32,
    /// Says what patches are compared with.
    pub kernel: Kernel,
    /// A track is lost when the peak-to-sidelobe ratio of its response falls under this.
    pub min_psr: f32,
    /// It is lost too when its best place fits what was learned less than this (0 to 1),
    pub min_fit: f32,
    /// or less than this share of how well it fitted of late (0 to 1): a sudden drop is an object that is covered or gone,
    /// even where a background that stays the same keeps the ratio up.
    pub min_fit_share: f32,
    /// The search window reaches over the region by this times the region's mean side (the window is then about
    /// 2.5 times a square region's side, as in the KCF paper).
    pub padding: f32,
    /// The search window is scaled to about this side before features are taken, pixels (32 to 256).
    pub template_px: f32,
    /// Says how fast the filter forgets, a frame (0 to 1).
    pub learning_rate: f32,
    /// Keeps the filter from trusting frequencies in which the object shows nothing.
    pub regularisation: f32,
    /// The object may grow or shrink by this factor from one frame to the next; 1 keeps its size.
    pub scale_step: f32,
    /// A change of size must fit better than none by 1 over this.
    pub scale_damping: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            frames: 30,
            views: 0,
            max_tracks: 8,
            overlap: 0.5,
            min_side_px: 8.0,
            min_inside: 0.6,
            min_travel: 0.15,
            min_moving: 0.1,
            crop_margin: 1.2,
            kernel: Kernel::Linear,
            min_psr: 6.0,
            min_fit: 0.1,
            min_fit_share: 0.4,
            padding: 1.5,
            template_px: 112.0,
            learning_rate: 0.015,
            regularisation: 1e-3,
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
