//! The policy: what to change in the codebook, decided from a closed epoch.
//!
//! A decision is a function of the nodes' cells, the codebook with all decisions taken so far, the epoch, and the
//! vectors. So nothing of the policy's own is to be kept: a restart that feeds it the stored cells of all nodes and
//! gives it the codebook of the whole decision log decides as if it had never stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use super::settings::{CodebookKind, Groups, Settings};
use crate::id::NodeId;
use crate::index::kernels::vector::Vector;
use crate::index::node::CellId;
use crate::index::partition::codebook::{Centroid, Codebook, Decision};
use crate::index::partition::kmeans::{nearest, spherical_kmeans};
use crate::time::{Diff, Epoch};

/// Members looked at to divide a cell or to find groups.
const SAMPLE: usize = 2048;
/// Rounds of Lloyd's algorithm.
const ROUNDS: usize = 10;
/// A part smaller than one in so many of the sample does not make a cell: outliers would peel off one by one.
const SMALLEST_PART: usize = 64;
/// Siblings merge under one in so many of the cap: far enough below it that they do not divide again at once.
const MERGE_UNDER: usize = 4;

/// Nodes by cell, and what to do about it.
#[derive(Clone, Debug)]
pub struct Deciding {
    settings: Settings,
    members: BTreeMap<CellId, Members>,
}

/// A cell's nodes: each time that one came, but for those that it went.
#[derive(Clone, Debug, Default)]
struct Members {
    came: Vec<NodeId>,
    /// The changes of an epoch may come in any order, so it may be of one that is yet to come.
    went: Vec<NodeId>,
}

impl Members {
    /// Returns the number of members after all changes of an epoch.
    fn len(&self) -> usize {
        self.came.len().saturating_sub(self.went.len())
    }

    /// Returns true when there are any. Has those that went leave the others before they are as many as half of them.
    fn remain(&mut self) -> bool {
        if self.went.len() > self.came.len() / 2 {
            self.in_order();
        }
        !self.came.is_empty() || !self.went.is_empty()
    }

    /// The nodes, ascending. Those that went have left.
    fn in_order(&mut self) -> &[NodeId] {
        self.came.sort_unstable();
        self.went.sort_unstable();
        let mut went = std::mem::take(&mut self.went).into_iter().peekable();
        self.came.retain(|node| {
            self.went.extend(iter::from_fn(|| went.next_if(|gone| gone < node)));
            went.next_if_eq(node).is_none()
        });
        self.went.extend(went);
        &self.came
    }
}

impl Deciding {
    /// Without nodes.
    pub fn new(settings: Settings) -> Self {
        Deciding { settings, members: BTreeMap::new() }
    }

    /// Follows a change of the collection of nodes and their cells.
    pub fn change(&mut self, node: NodeId, cell: CellId, diff: Diff) {
        let members = self.members.entry(cell).or_default();
        let side = if diff > 0 { &mut members.came } else { &mut members.went };
        side.extend(iter::repeat_n(node, diff.unsigned_abs()));
    }

    /// Returns what to change, after all changes up to the closed `epoch`. `codebook` has all decisions taken so far, also those that
    /// take effect later; a cell that such a one concerns is left alone. `vector_of` gives a node's vector; a
    /// node without one is not looked at. The decisions fit `codebook` in the order given. Call it once for each closed epoch.
    pub fn decide(
        &mut self,
        epoch: Epoch,
        codebook: &Codebook,
        vector_of: impl Fn(NodeId) -> Option<Vector>,
    ) -> Vec<Decision> {
        self.members.retain(|_, members| members.remain());
        let at = Closed { epoch, codebook, vector_of: &vector_of };
        let mut decisions = Vec::new();
        match self.settings.codebook {
            CodebookKind::Growing { cap, try_every_epochs } => {
                let (busy, every) = (self.arriving(&at), try_every_epochs.max(1));
                self.divide(&at, cap, every, &busy, &mut decisions);
                self.merge(codebook, cap, &busy, &mut decisions);
                self.group(&at, every, &mut decisions);
            }
            CodebookKind::KMeans { cells, first_nodes, .. } => {
                self.fix(&at, cells, first_nodes, &mut decisions);
                self.group(&at, 1, &mut decisions);
            }
        }
        decisions
    }

    /// Leaves that decisions not yet in effect will bring rows to.
    fn arriving(&mut self, at: &Closed<'_>) -> BTreeSet<CellId> {
        let moving = self.members.iter_mut().filter(|(cell, _)| !at.codebook.is_leaf(**cell));
        let nodes = moving.flat_map(|(_, members)| members.in_order());
        nodes
            .filter_map(|node| (at.vector_of)(*node))
            .map(|vector| at.codebook.cell(&vector.values()))
            .collect()
    }

    fn divide(
        &mut self,
        at: &Closed<'_>,
        cap: usize,
        every: u64,
        busy: &BTreeSet<CellId>,
        decisions: &mut Vec<Decision>,
    ) {
        let mut next = at.codebook.next_id().0;
        for (cell, members) in &mut self.members {
            let turn = (at.epoch % every + u64::from(cell.0) % every).is_multiple_of(every);
            if !turn || members.len() <= cap || busy.contains(cell) || !at.codebook.is_leaf(*cell) {
                continue;
            }
            let members = members.in_order();
            let sample = sample(members.iter().copied(), members.len(), at.vector_of);
            if let Some(centroids) = halves(&sample, u64::from(cell.0)) {
                let children = centroids.map(|centroid| {
                    next += 1;
                    (CellId(next - 1), centroid)
                });
                decisions.push(Decision::Divide { cell: *cell, children: children.into() });
            }
        }
    }

    fn merge(&self, codebook: &Codebook, cap: usize, busy: &BTreeSet<CellId>, decisions: &mut Vec<Decision>) {
        let size = |cell: &CellId| self.members.get(cell).map_or(0, Members::len);
        for (parent, children) in codebook.parents_of_leaves() {
            let still = !self.members.contains_key(&parent) && !children.iter().any(|c| busy.contains(c));
            if still && children.iter().map(size).sum::<usize>() < cap / MERGE_UNDER {
                decisions.push(Decision::Merge { cell: parent });
            }
        }
    }

    /// The groups of the schedule's last step that is reached, unless there are as many already.
    fn group(&mut self, at: &Closed<'_>, every: u64, decisions: &mut Vec<Decision>) {
        let Groups::Schedule(steps) = &self.settings.groups else { return };
        let nodes = self.members.values().map(Members::len).sum::<usize>();
        let Some((_, groups)) = steps.iter().rfind(|(from, _)| nodes >= *from) else { return };
        if at.codebook.groups() >= *groups || !at.epoch.is_multiple_of(every) {
            return;
        }
        let ids: BTreeSet<NodeId> =
            self.members.values_mut().flat_map(|members| members.in_order()).copied().collect();
        let sample = sample(ids.into_iter(), nodes, at.vector_of);
        let values: Vec<_> = sample.iter().map(Vector::values).collect();
        let rows: Vec<&[f32]> = values.iter().map(|v| &**v).collect();
        let centroids = spherical_kmeans(&rows, *groups, ROUNDS, *groups as u64);
        // Too few distinct vectors give fewer groups: better than before, or wait.
        if centroids.len() > at.codebook.groups() {
            decisions
                .push(Decision::Group { centroids: centroids.into_iter().map(Centroid::from).collect() });
        }
    }

    /// The K-means codebook, once there are nodes enough.
    fn fix(&mut self, at: &Closed<'_>, cells: usize, first_nodes: usize, decisions: &mut Vec<Decision>) {
        let root = CellId(0);
        let members = self.members.get_mut(&root).filter(|m| m.len() >= first_nodes.max(1));
        let Some(members) = members.filter(|_| at.codebook.is_leaf(root)) else { return };
        let members = members.in_order().iter().take(first_nodes);
        let vectors: Vec<_> = members.filter_map(|node| (at.vector_of)(*node)).collect();
        let values: Vec<_> = vectors.iter().map(Vector::values).collect();
        let rows: Vec<&[f32]> = values.iter().map(|v| &**v).collect();
        let centroids = spherical_kmeans(&rows, cells, ROUNDS, 0);
        if centroids.len() < 2 {
            return;
        }
        let centroids: Vec<Centroid> = centroids.into_iter().map(Centroid::from).collect();
        let first = at.codebook.next_id().0;
        let children = (first..).map(CellId).zip(centroids.iter().cloned()).collect();
        decisions.push(Decision::Divide { cell: root, children });
        if self.settings.groups == Groups::Cells {
            decisions.push(Decision::Group { centroids });
        }
    }
}

/// What a decision is taken from.
struct Closed<'a> {
    epoch: Epoch,
    codebook: &'a Codebook,
    vector_of: &'a dyn Fn(NodeId) -> Option<Vector>,
}

/// At most [`SAMPLE`] vectors, evenly over the `count` nodes in their order.
fn sample(
    nodes: impl Iterator<Item = NodeId>,
    count: usize,
    vector_of: &dyn Fn(NodeId) -> Option<Vector>,
) -> Vec<Vector> {
    let step = count.div_ceil(SAMPLE).max(1);
    nodes.step_by(step).filter_map(vector_of).collect()
}

/// The two centroids that divide `rows`, unless they are all alike or one side would be next to nothing.
fn halves(rows: &[Vector], seed: u64) -> Option<[Centroid; 2]> {
    let values: Vec<_> = rows.iter().map(Vector::values).collect();
    let rows: Vec<&[f32]> = values.iter().map(|v| &**v).collect();
    let [left, right] = <[Vec<f32>; 2]>::try_from(spherical_kmeans(&rows, 2, ROUNDS, seed)).ok()?;
    let on_left = |row: &&&[f32]| nearest(row, [&*left, &*right].into_iter()) == Some(0);
    let on_left = rows.iter().filter(on_left).count();
    let smaller = on_left.min(rows.len() - on_left);
    (smaller > 0 && smaller * SMALLEST_PART >= rows.len()).then(|| [left.into(), right.into()])
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    type Vectors = BTreeMap<NodeId, Vector>;

    fn vectors(n: u64, seed: u64) -> Vectors {
        let mut rng = Pcg64::seed_from_u64(seed);
        (0..n)
            .map(|id| {
                let v: Vec<f32> = (0..8).map(|_| rng.random::<f32>() - 0.5).collect();
                let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
                (NodeId(id), v.iter().map(|x| x / norm).collect())
            })
            .collect()
    }

    fn growing(cap: usize) -> Settings {
        Settings { codebook: CodebookKind::Growing { cap, try_every_epochs: 1 }, ..Settings::default() }
    }

    /// Feeds the policy where every node is under `codebook`.
    fn deciding(settings: &Settings, vectors: &Vectors, codebook: &Codebook) -> Deciding {
        let mut deciding = Deciding::new(settings.clone());
        vectors.iter().for_each(|(node, v)| deciding.change(*node, codebook.cell(&v.values()), 1));
        deciding
    }

    fn decide(
        deciding: &mut Deciding,
        epoch: Epoch,
        codebook: &mut Codebook,
        vectors: &Vectors,
    ) -> Vec<Decision> {
        let decisions = deciding.decide(epoch, codebook, |node| vectors.get(&node).cloned());
        decisions.iter().for_each(|d| codebook.apply(d).unwrap());
        decisions
    }

    #[test]
    fn a_growing_codebook_divides_until_every_leaf_is_under_the_cap() {
        let (vectors, settings) = (vectors(1000, 1), growing(100));
        let mut codebook = Codebook::default();
        for epoch in 0..20 {
            let mut deciding = deciding(&settings, &vectors, &codebook);
            if decide(&mut deciding, epoch, &mut codebook, &vectors).is_empty() {
                assert!(epoch > 3, "it takes several rounds");
                assert!(deciding.members.values().all(|m| m.len() <= 100));
                assert_eq!(codebook.groups(), 32);
                return;
            }
        }
        panic!("it never came to rest");
    }

    #[test]
    fn cells_with_a_pending_decision_are_left_alone() {
        let (vectors, settings) = (vectors(300, 2), growing(200));
        let mut codebook = Codebook::default();
        let mut deciding = deciding(&settings, &vectors, &codebook);
        assert!(!decide(&mut deciding, 0, &mut codebook, &vectors).is_empty());
        // The nodes are still in the old cell: its children have no rows yet, and are not to merge for that.
        assert_eq!(decide(&mut deciding, 1, &mut codebook, &vectors), []);
    }

    #[test]
    fn a_cell_of_equal_vectors_is_not_divided() {
        let mut same = vectors(300, 3);
        let first = same.values().next().unwrap().clone();
        same.values_mut().for_each(|v| *v = first.clone());
        let mut codebook = Codebook::default();
        let decisions = decide(&mut deciding(&growing(200), &same, &codebook), 0, &mut codebook, &same);
        assert!(!decisions.iter().any(|d| matches!(d, Decision::Divide { .. })), "{decisions:?}");
        // One that stands apart is no cell either.
        let other = same.values_mut().next().unwrap();
        *other = other.values().iter().map(|x| -x).collect();
        let decisions = decide(&mut deciding(&growing(200), &same, &codebook), 1, &mut codebook, &same);
        assert!(!decisions.iter().any(|d| matches!(d, Decision::Divide { .. })), "{decisions:?}");
    }

    #[test]
    fn siblings_merge_under_a_quarter_of_the_cap_and_not_before() {
        let (all, settings) = (vectors(201, 4), growing(200));
        let mut codebook = Codebook::default();
        decide(&mut deciding(&settings, &all, &codebook), 0, &mut codebook, &all);
        assert_eq!(codebook.leaves().count(), 2);
        for (left, merges) in [(50, false), (49, true)] {
            let few: Vectors = all.iter().take(left).map(|(n, v)| (*n, v.clone())).collect();
            let decisions = decide(&mut deciding(&settings, &few, &codebook), 1, &mut codebook, &few);
            assert_eq!(!decisions.is_empty(), merges, "{left} rows left");
        }
        assert_eq!(codebook.leaves().count(), 1);
    }

    #[test]
    fn changes_of_an_epoch_come_in_any_order() {
        let mut rng = Pcg64::seed_from_u64(7);
        let (mut deciding, mut held) = (Deciding::new(growing(1000)), BTreeSet::new());
        for epoch in 0..300 {
            // First more come than go, then all go.
            let most = if epoch < 200 { 60 } else { 0 };
            let mut changes = Vec::new();
            for _ in 0..rng.random_range(0..20) {
                let node = NodeId(rng.random_range(0..100));
                let (comes, moves) = (held.len() < most, rng.random_bool(0.1));
                if held.contains(&node) && (!comes || moves) {
                    held.remove(&node);
                    changes.push((node, -1));
                }
                if !held.contains(&node) && (comes || moves) {
                    held.insert(node);
                    changes.push((node, 1));
                }
            }
            while !changes.is_empty() {
                let (node, diff) = changes.swap_remove(rng.random_range(0..changes.len()));
                deciding.change(node, CellId(0), diff);
            }
            deciding.decide(epoch, &Codebook::default(), |_| None);
            let members = deciding.members.get(&CellId(0)).cloned();
            assert_eq!(members.is_some(), !held.is_empty(), "epoch {epoch}");
            let mut members = members.unwrap_or_default();
            assert_eq!(members.len(), held.len(), "epoch {epoch}");
            assert!(members.in_order().iter().eq(&held), "epoch {epoch}");
        }
    }

    #[test]
    fn a_restart_decides_the_same() {
        let (all, settings) = (vectors(900, 5), growing(150));
        let (mut codebook, mut running) = (Codebook::default(), Deciding::new(settings.clone()));
        let mut cells: BTreeMap<NodeId, CellId> = BTreeMap::new();
        for epoch in 0..12 {
            for (node, vector) in all.iter().take(75 * (epoch + 1)) {
                let cell = codebook.cell(&vector.values());
                if let Some(old) = cells.insert(*node, cell) {
                    running.change(*node, cell, 1);
                    running.change(*node, old, -1);
                } else {
                    running.change(*node, cell, 1);
                }
            }
            let mut restarted = Deciding::new(settings.clone());
            cells.iter().for_each(|(node, cell)| restarted.change(*node, *cell, 1));
            let again = restarted.decide(epoch as u64, &codebook, |node| all.get(&node).cloned());
            assert_eq!(decide(&mut running, epoch as u64, &mut codebook, &all), again);
        }
        assert!(codebook.leaves().count() > 4);
    }

    #[test]
    fn the_papers_codebook_is_fixed_once_and_its_cells_are_the_groups() {
        let all = vectors(400, 6);
        let kind = CodebookKind::KMeans { cells: 12, first_nodes: 300, min_cell: 5 };
        let settings = Settings { codebook: kind, ..Settings::paper() };
        let mut codebook = Codebook::default();
        let few: Vectors = all.iter().take(299).map(|(n, v)| (*n, v.clone())).collect();
        assert_eq!(decide(&mut deciding(&settings, &few, &codebook), 0, &mut codebook, &few), []);
        let taken = decide(&mut deciding(&settings, &all, &codebook), 1, &mut codebook, &all);
        assert_eq!((taken.len(), codebook.groups(), codebook.leaves().count()), (2, 12, 12));
        for vector in all.values() {
            assert_eq!(
                codebook.cell(&vector.values()).0,
                codebook.group(&vector.values()).0 + 1,
                "cell and group are one"
            );
        }
        assert_eq!(decide(&mut deciding(&settings, &all, &codebook), 2, &mut codebook, &all), []);
    }
}
