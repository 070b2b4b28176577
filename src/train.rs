//! The training sink: follows the graph's committed changes and learns a representation from its newest pairs.
//!
//! [`feed`] says what training learns from the graph; [`view`] keeps it; [`replay`] decides which positives stay to be
//! drawn; [`triplet`] finds their negatives. With the feature `train`, `trainer` runs a network (`net`) over them with
//! the paper's loss and writes checkpoints that training resumes from exactly.

pub mod checkpoint;
pub mod crops;
pub mod feed;
pub mod history;
pub mod lock;
pub mod replay;
pub mod settings;
pub mod triplet;
pub mod view;

#[cfg(feature = "train")]
pub mod device;
#[cfg(feature = "train")]
pub mod loss;
#[cfg(feature = "train")]
pub mod net;
#[cfg(feature = "train")]
pub mod sgd;
#[cfg(feature = "train")]
pub mod trainer;

/// Why training stopped.
#[cfg(feature = "train")]
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The settings make no sense.
    #[error("{0}")]
    Settings(String),
    /// The device is not there.
    #[error(transparent)]
    Device(#[from] device::DeviceError),
    /// The graph cannot be read.
    #[error(transparent)]
    Feed(#[from] feed::FeedError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::CheckpointError),
    /// The loss is infinite or no number.
    #[error(
        "step {step}: the loss is {loss}; lower train.lr and start again, the last checkpoint is still good"
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f32,
    },
    /// The training folder cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// The folder.
        path: std::path::PathBuf,
        /// The file system's reason.
        source: std::io::Error,
    },
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}
