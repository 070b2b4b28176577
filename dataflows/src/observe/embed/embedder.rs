//! The trait that turns crops into vectors, and its errors.

use thiserror::Error;

use crate::index::kernels::vector::Precision;
use crate::observe::image::crop::CropError;

/// Why crops could not be embedded.
#[derive(Debug, Error)]
pub enum EmbedError {
    /// A crop's stored bytes cannot be read.
    #[error("crop {index} of the batch: {source}")]
    Crop {
        /// Its place in the batch, 0-based.
        index: usize,
        /// The fault in it.
        source: CropError,
    },
    /// The embedder itself failed (a network, a device).
    #[error("embedder {space}: {reason}")]
    Embedder {
        /// The embedder's space.
        space: String,
        /// Its message.
        reason: String,
    },
}

/// Turns crops into vectors of one embedding space.
///
/// The same crop must give the same vector whatever batch it is in.
pub trait Embedder: Send + Sync {
    /// Stable name of the embedding space, such as `hog-colour-1`. Vectors of different spaces are never compared, so it
    /// changes with anything that changes the vectors.
    fn space(&self) -> String;

    /// Values a vector (d).
    fn dim(&self) -> usize;

    /// Returns how its vectors are kept. Those in half precision have been rounded to it already.
    fn precision(&self) -> Precision {
        Precision::F32
    }

    /// Embeds stored crops (JPEG, 96 x 96). Returns n x d values, row-major, each row of unit length (or all zero, for a
    /// crop that shows nothing).
    ///
    /// # Errors
    /// When a crop cannot be read, or the embedder fails. Then nothing is embedded.
    fn embed(&self, crops: &[&[u8]]) -> Result<Vec<f32>, EmbedError>;
}
