//! Kinetograph's dataflow, without any system library: find moving objects in frames, follow them, describe them,
//! and keep the graph over them (neighbours, clusters, pairs, classes) right at every epoch.
//!
//! The rooms stand in the order of the dataflow: [`observe`] is vision, plain functions over pixels and their operators; [`index`]
//! finds each node's neighbours; [`relations`] is what follows from these. Operators of the graph stand beside plain recomputes
//! that serve as their oracles, and [`wire`](mod@wire) puts all of it on one page.

mod by_epoch;
pub mod id;
pub mod index;
pub mod observe;
mod packed;
pub mod relations;
#[cfg(test)]
mod replay;
pub mod settings;
pub mod time;
pub mod wire;
