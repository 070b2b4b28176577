//! The graph from scratch, the plain way: what `verify` holds a state against. Nothing here comes from the operators that
//! keep the graph but the plain values they hold, the codebook, and the rank by which pairs are kept.

pub mod canonical;
pub mod cores;
pub mod nearest;
pub mod relations;
pub mod rules;
pub mod work;

pub use rules::Rules;
