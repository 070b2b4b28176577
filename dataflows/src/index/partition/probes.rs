//! Which cells a node probes besides the one that stores it.
//!
//! A node in the middle of its cell finds its neighbours there; one at the border has some of them across it. So the number of cells
//! is only the most there may be, and how far away a cell may be is a setting of its own: the pruning of posting lists by distance in SPANN
//! (Chen et al., SPANN: Highly-efficient Billion-scale Approximate Nearest Neighbor Search, NeurIPS 2021, section 3.2).

use crate::index::kernels::score::Score;

/// The rule. The default is a node's own cell and no other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probes {
    /// Cells at most (p), the node's own and the nearest others. 0 counts as 1.
    pub count: usize,
    /// Says how many times as far from the node as its own cell's centroid another's may be, the distance being that of unit vectors;
    /// 0: as far as it likes.
    pub within: f64,
}

impl Default for Probes {
    fn default() -> Self {
        Probes { count: 1, within: 0.0 }
    }
}

impl Probes {
    /// Other cells at most.
    pub(super) fn others(self) -> usize {
        self.count.saturating_sub(1)
    }

    /// Returns whether distance matters.
    pub(super) fn by_distance(self) -> bool {
        self.within > 0.0
    }

    /// Returns whether a node whose canonical scores with the centroids of its own cell and of another are these probes the other one, if
    /// that is among the nearest.
    pub(super) fn reach(self, own: Score, other: Score) -> bool {
        // The distance of unit vectors, but for a factor.
        let apart = |score: Score| (1.0 - f64::from(score.0)).max(0.0).sqrt();
        !self.by_distance() || apart(other) <= self.within * apart(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_cell_is_reached_up_to_its_multiple_of_the_own_ones_distance() {
        // At 60 and 90 degrees: 1 and the square root of 2 apart.
        let (own, other) = (Score(0.5), Score(0.0));
        let probes = |within| Probes { count: 2, within };
        assert!(probes(1.42).reach(own, other) && !probes(1.41).reach(own, other));
        assert!(probes(1.0).reach(own, own) && probes(1.0).reach(other, own), "a nearer one is within");
        assert!(probes(0.0).reach(Score(1.0), Score(-1.0)), "no limit");
        assert!(!probes(9.0).reach(Score(1.0), other), "a node at its centroid probes nowhere else");
    }
}
