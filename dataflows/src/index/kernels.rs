//! Scores of vectors: the canonical one, and a blocked product of queries with stored rows that only proposes pairs.

pub(crate) mod encoding;
mod kernel;
pub mod norm;
mod panels;
mod queries;
pub mod score;
pub(crate) mod threads;
pub(crate) mod tile;
pub mod vector;

pub use encoding::Encoding;
pub use kernel::Kernel;
pub use panels::Panels;
pub use queries::{Candidate, Limits, Queries};
