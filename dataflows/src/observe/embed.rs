//! From a crop to a vector.

pub mod descriptor;
mod embedder;
pub mod halves;

pub use descriptor::Descriptor;
pub use embedder::{EmbedError, Embedder};
