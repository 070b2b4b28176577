//! Settings of the engine.

use serde::{Deserialize, Serialize};

/// The settings of epochs: their size, and the lead that anything may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Frames of each source in an epoch: exactly so many with `--batch`, at most so many otherwise.
    pub slice_frames: u64,
    /// Sources read at the same time; source i is read in lane i modulo this, one after the other.
    pub lanes: u64,
    /// Without `--batch`, an epoch takes what is ready this often, milliseconds.
    pub tick_ms: u64,
    /// Sources stop reading while this many epochs are not committed yet.
    pub max_lag_epochs: u64,
    /// A decision taken from closed epoch e takes effect at e plus this. Below `max_lag_epochs` it is what bounds how far
    /// anything may run ahead.
    pub decision_delay_epochs: u64,
    /// Whole stills kept.
    pub stills: usize,
    /// Epochs whose changes are kept for trainers that resume.
    pub deltas_kept_epochs: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        EngineSettings {
            slice_frames: 32,
            lanes: 4,
            tick_ms: 250,
            max_lag_epochs: 4,
            decision_delay_epochs: 8,
            stills: 512,
            deltas_kept_epochs: 10_000,
        }
    }
}
