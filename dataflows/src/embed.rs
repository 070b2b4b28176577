//! From a crop to a vector.

pub mod descriptor;

use crate::image::crop::CropError;

/// Makes vectors of crops. A vector depends on its crop alone, whatever else is in the batch.
pub trait Embedder: Send + Sync {
    /// The id of the embedding space: vectors of different ids are never compared.
    fn space(&self) -> String;

    /// Values of a vector, d.
    fn dim(&self) -> usize;

    /// Vectors of stored crops (96 x 96, JPEG): n x d, row after row, each of unit length or all zero.
    ///
    /// # Errors
    /// When a crop cannot be read or the model fails.
    fn embed(&self, crops: &[&[u8]]) -> Result<Vec<f32>, EmbedError>;
}

/// Why crops could not be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A stored crop is no crop.
    #[error(transparent)]
    Crop(#[from] CropError),
    /// The model's own words.
    #[error("{0}")]
    Module(String),
}
