//! Which cell stores a node, which cells it probes, and which group it is in; and the policy that divides cells.

pub mod cells;
pub mod codebook;
pub mod kmeans;
pub mod policy;
pub mod probes;
