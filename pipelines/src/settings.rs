//! The settings of reading videos.

use serde::{Deserialize, Serialize};

use crate::error::IngestError;

/// The settings of reading videos: picture size, queue length, patience.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Longest side of a delivered frame, pixels, 16 to 8192. Larger pictures are scaled down, smaller ones
    /// left alone.
    pub max_side: u32,
    /// Decoded frames that wait for the reader, 1 to 4096; when as many wait, decoding waits.
    pub queue_frames: usize,
    /// Threads inside one decoder, 0 to 16. 1 gives the same pixels on every run; more (0: as many as there are
    /// cores) decode one file faster, but libav's threads then fill holes in *damaged* video differently from
    /// run to run.
    pub decoder_threads: u32,
    /// A pipeline that gives no frame and says nothing for as long is given up, seconds, at least 1. Time
    /// spent waiting for the reader does not count.
    pub stall_timeout_s: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { max_side: 640, queue_frames: 16, decoder_threads: 1, stall_timeout_s: 20 }
    }
}

impl Settings {
    /// Checks that every field is in its range.
    ///
    /// # Errors
    /// [`IngestError::BadSetting`] names the first field that is not.
    pub fn check(&self) -> Result<(), IngestError> {
        let bad = |setting, reason: &str| Err(IngestError::BadSetting { setting, reason: reason.to_owned() });
        if !(16..=8192).contains(&self.max_side) {
            return bad("max_side", "must be 16 to 8192 pixels");
        }
        if !(1..=4096).contains(&self.queue_frames) {
            return bad("queue_frames", "must be 1 to 4096 frames");
        }
        if self.decoder_threads > 16 {
            return bad("decoder_threads", "must be 0 (all cores) to 16");
        }
        if self.stall_timeout_s == 0 {
            return bad("stall_timeout_s", "must be at least 1 second");
        }
        Ok(())
    }
}
