//! The time and the difference of every collection.

/// The timely timestamp: one committed step of the whole engine.
pub type Epoch = u64;
/// A change of multiplicity.
pub type Diff = isize;
