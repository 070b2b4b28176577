//! The codebook: a tree of cells that bounds neighbour search, and the groups that supply negatives.
//!
//! It is an input of the graph. Whoever decides (from a closed epoch) logs a [`Decision`], and the same log gives the
//! same codebook everywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::kmeans::nearest;
use super::probes::Probes;
use crate::index::kernels::score::{Score, score};
use crate::index::node::{CellId, GroupId};

/// A unit vector that stands for a cell or a group: d values.
pub type Centroid = Arc<[f32]>;

/// A change of the codebook, taking effect as a whole at one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Decision {
    /// A leaf becomes an inner cell with these children, which are leaves with ids never used before. Its rows go
    /// to the nearest child.
    Divide {
        /// The leaf.
        cell: CellId,
        /// At least two children.
        children: Vec<(CellId, Centroid)>,
    },
    /// An inner cell whose children are all leaves becomes a leaf again.
    Merge {
        /// The inner cell.
        cell: CellId,
    },
    /// The groups, from now on: group i has the i-th centroid.
    Group {
        /// One centroid a group.
        centroids: Vec<Centroid>,
    },
}

/// A decision that does not fit the codebook it is applied to: the log is damaged or out of order.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CodebookError {
    /// Divide of something that is not a leaf.
    #[error("cell {} cannot be divided: it is not a leaf of the codebook", .0.0)]
    NotALeaf(CellId),
    /// Merge of something without children, or whose children have children.
    #[error("cell {} cannot be merged: its children are not all leaves", .0.0)]
    NotAParent(CellId),
    /// A child's id is taken.
    #[error("cell {} exists already", .0.0)]
    Taken(CellId),
}

/// Cells and groups as they stand at an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Codebook {
    cells: BTreeMap<CellId, Cell>,
    groups: Vec<Centroid>,
    next: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cell {
    centroid: Option<Centroid>,
    parent: Option<CellId>,
    children: Vec<CellId>,
}

impl Default for Codebook {
    /// One cell, cell 0, that holds everything, and one group.
    fn default() -> Self {
        Codebook { cells: BTreeMap::from([(CellId(0), Cell::default())]), groups: Vec::new(), next: 1 }
    }
}

impl Codebook {
    /// Carries out `decision`.
    ///
    /// # Errors
    /// When it does not fit; the codebook is then unchanged.
    pub fn apply(&mut self, decision: &Decision) -> Result<(), CodebookError> {
        match decision {
            Decision::Divide { cell, children } => {
                if !self.is_leaf(*cell) || children.is_empty() {
                    return Err(CodebookError::NotALeaf(*cell));
                }
                if let Some((taken, _)) = children.iter().find(|(id, _)| id.0 < self.next) {
                    return Err(CodebookError::Taken(*taken));
                }
                for (id, centroid) in children {
                    let child =
                        Cell { centroid: Some(centroid.clone()), parent: Some(*cell), children: Vec::new() };
                    self.cells.insert(*id, child);
                    self.next = self.next.max(id.0 + 1);
                }
                if let Some(parent) = self.cells.get_mut(cell) {
                    parent.children = children.iter().map(|(id, _)| *id).collect();
                }
            }
            Decision::Merge { cell } => {
                let children = self.cells.get(cell).map(|c| c.children.clone()).unwrap_or_default();
                if children.is_empty() || !children.iter().all(|c| self.is_leaf(*c)) {
                    return Err(CodebookError::NotAParent(*cell));
                }
                children.iter().for_each(|c| drop(self.cells.remove(c)));
                if let Some(parent) = self.cells.get_mut(cell) {
                    parent.children.clear();
                }
            }
            Decision::Group { centroids } => self.groups = centroids.clone(),
        }
        Ok(())
    }

    /// The leaf that stores `vector`: from the root down, the nearer child each time.
    pub fn cell(&self, vector: &[f32]) -> CellId {
        self.leaf_under(CellId(0), vector)
    }

    /// [`Codebook::cell`] of a `vector` that `cell` stores or stored: what is above a cell stays as it is for as long as
    /// there is the cell, so the way is looked for from there.
    pub(super) fn cell_after(&self, cell: CellId, vector: &[f32]) -> CellId {
        self.leaf_under(if self.cells.contains_key(&cell) { cell } else { CellId(0) }, vector)
    }

    fn leaf_under(&self, mut at: CellId, vector: &[f32]) -> CellId {
        while let Some(cell) = self.cells.get(&at).filter(|c| !c.children.is_empty()) {
            let centroids = cell.children.iter().map(|c| self.centroid(*c));
            at = cell.children[nearest(vector, centroids).unwrap_or(0)];
        }
        at
    }

    /// The cells a node with `vector` probes, ascending by id: its own, and the other leaves that `probes` allows.
    pub fn probed(&self, vector: &[f32], probes: Probes) -> Vec<CellId> {
        let own = self.cell(vector);
        let mut cells = self.nearest_others(vector, own, probes);
        cells.push(own);
        cells.sort_unstable();
        cells
    }

    /// The leaves other than `own` whose centroids are nearest to `vector`, as many as `probes` allows: nearest first, ties by smaller
    /// id.
    pub(super) fn nearest_others(&self, vector: &[f32], own: CellId, probes: Probes) -> Vec<CellId> {
        if probes.others() == 0 {
            return Vec::new();
        }
        let others = self.leaves().filter(|c| *c != own);
        let mut others: Vec<_> = others.map(|c| (self.score(vector, c), c)).collect();
        others.sort_unstable();
        let reached = self.reached_by(vector, own, probes);
        others
            .into_iter()
            .take(probes.others())
            .filter(|(score, _)| reached(*score))
            .map(|(_, c)| c)
            .collect()
    }

    /// Tells by its canonical score whether a leaf is near enough to `vector`, which `own` stores.
    pub(super) fn reached_by(
        &self,
        vector: &[f32],
        own: CellId,
        probes: Probes,
    ) -> impl Fn(Score) -> bool + use<> {
        // The root has no centroid, and as a leaf no others.
        let asked = probes.by_distance() && !self.centroid(own).is_empty();
        let own = if asked { self.score(vector, own) } else { Score(0.0) };
        move |other| probes.reach(own, other)
    }

    /// The canonical score of `vector` with the centroid of `cell`.
    pub(super) fn score(&self, vector: &[f32], cell: CellId) -> Score {
        score(vector, self.centroid(cell))
    }

    /// The group of `vector`; group 0 until the groups are fixed.
    pub fn group(&self, vector: &[f32]) -> GroupId {
        GroupId(nearest(vector, self.groups.iter().map(|c| &**c)).unwrap_or(0) as u32)
    }

    /// Returns how many groups are fixed; 0 before.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The leaves, ascending by id.
    pub fn leaves(&self) -> impl Iterator<Item = CellId> + '_ {
        self.cells.iter().filter(|(_, c)| c.children.is_empty()).map(|(id, _)| *id)
    }

    /// The inner cells whose children are all leaves, with those children.
    pub fn parents_of_leaves(&self) -> impl Iterator<Item = (CellId, &[CellId])> + '_ {
        self.cells
            .iter()
            .filter(|(_, c)| !c.children.is_empty() && c.children.iter().all(|c| self.is_leaf(*c)))
            .map(|(id, c)| (*id, c.children.as_slice()))
    }

    /// The smallest id that no cell has or had.
    pub fn next_id(&self) -> CellId {
        CellId(self.next)
    }

    /// Returns whether `cell` is a leaf.
    pub fn is_leaf(&self, cell: CellId) -> bool {
        self.cells.get(&cell).is_some_and(|c| c.children.is_empty())
    }

    fn centroid(&self, cell: CellId) -> &[f32] {
        self.cells.get(&cell).and_then(|c| c.centroid.as_deref()).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divide(cell: u32, children: [u32; 2]) -> Decision {
        let [left, right] = children.map(CellId);
        Decision::Divide {
            cell: CellId(cell),
            children: vec![(left, [1.0, 0.0].into()), (right, [0.0, 1.0].into())],
        }
    }

    #[test]
    fn a_divided_cell_sends_each_vector_to_the_nearer_child() {
        let mut codebook = Codebook::default();
        codebook.apply(&divide(0, [1, 2])).unwrap();
        assert_eq!(codebook.cell(&[0.8, 0.6]), CellId(1));
        assert_eq!(codebook.cell(&[0.6, 0.8]), CellId(2));
        let probes = |within| codebook.probed(&[0.6, 0.8], Probes { count: 2, within });
        assert_eq!(probes(0.0), [CellId(1), CellId(2)]);
        assert_eq!(
            (probes(1.42), probes(1.41)),
            (vec![CellId(1), CellId(2)], vec![CellId(2)]),
            "sqrt(.4 / .2)"
        );
        codebook.apply(&Decision::Merge { cell: CellId(0) }).unwrap();
        assert_eq!(codebook.cell(&[0.8, 0.6]), CellId(0));
        assert_eq!(codebook.next_id(), CellId(3));
    }

    #[test]
    fn a_decision_that_does_not_fit_changes_nothing() {
        let mut codebook = Codebook::default();
        codebook.apply(&divide(0, [1, 2])).unwrap();
        let before = codebook.clone();
        assert_eq!(codebook.apply(&divide(0, [3, 4])), Err(CodebookError::NotALeaf(CellId(0))));
        assert_eq!(codebook.apply(&divide(1, [2, 3])), Err(CodebookError::Taken(CellId(2))));
        assert_eq!(
            codebook.apply(&Decision::Merge { cell: CellId(1) }),
            Err(CodebookError::NotAParent(CellId(1)))
        );
        assert_eq!(codebook, before);
    }
}
