//! Each node's nearest neighbours, exact at every epoch.
//!
//! [`partition`] says which cell stores a node and which cells it probes; [`search`] keeps the lists of a cell; [`quantize`] proposes pairs of a
//! cell's rows, within proven bounds; [`kernels`] multiply.

pub mod kernels;
pub mod node;
pub mod partition;
pub mod quantize;
pub mod search;
