//! Lists of numbers in packed bytes, which edges, clusters and pairs keep instead of arrangements.

pub(crate) mod blocks;
pub(crate) mod ids;
pub(crate) mod views;
