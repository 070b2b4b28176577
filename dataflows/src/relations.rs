//! The relations that follow from the nodes' neighbours: clusters, edges, transitive pairs and classes.

pub mod census;
pub mod classes;
pub mod closure;
pub mod clusters;
pub mod edges;
pub mod pairs;
#[cfg(test)]
mod tests;
