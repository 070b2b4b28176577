//! Where each row is: its cell, the cells it probes, its group. Plain data, no timely.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use super::query::Query;
use crate::id::NodeId;
use crate::index::node::{CellId, GroupId, Row};
use crate::index::partition::codebook::{Codebook, CodebookError, Decision};
use crate::index::partition::probes::Probes;
use crate::index::quantize::bound::LONGEST;
use crate::time::Diff;

/// Says what cannot be followed. The rest of the epoch is.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PlacementError {
    /// The log is damaged or out of order.
    #[error("decision {order} of epoch {epoch} does not fit: {reason}")]
    Decision {
        /// The decision's place in the order.
        order: u64,
        /// When it was to take effect.
        epoch: u64,
        /// Why not.
        reason: CodebookError,
    },
    /// Decisions cannot be taken back.
    #[error("decision {order} of epoch {epoch} was retracted; a decision stays: give its opposite")]
    Retracted {
        /// The decision's place in the order.
        order: u64,
        /// When it was retracted.
        epoch: u64,
    },
    /// A centroid or a row of another space.
    #[error("{what} has {found} values, the others have {expected}: it is of another embedding space")]
    Length {
        /// The shard that it is.
        what: String,
        /// Its length.
        found: usize,
        /// The first length seen.
        expected: usize,
    },
    /// A vector with values that are infinite or undefined.
    #[error("node {0} has a vector that is not finite; it is left out")]
    NotFinite(NodeId),
    /// A vector whose scores could overflow: longer than [`LONGEST`].
    #[error("node {0} has a vector longer than {LONGEST:e}; it is left out")]
    TooLong(NodeId),
    /// A second row of one id.
    #[error("node {0} is already there; the newer row replaces it")]
    Twice(NodeId),
    /// A retraction of what is not there.
    #[error("node {0} is not there and cannot be taken back")]
    Absent(NodeId),
}

/// Says what an epoch changes in the four collections, each change a (data, diff).
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) data: Vec<((CellId, Arc<Row>), Diff)>,
    pub(super) queries: Vec<((CellId, Query), Diff)>,
    pub(super) cells: Vec<((NodeId, CellId), Diff)>,
    pub(super) groups: Vec<((NodeId, GroupId), Diff)>,
    pub(super) errors: Vec<PlacementError>,
}

/// The rows of one worker, each in its place under the codebook.
#[derive(Debug)]
pub(super) struct Places {
    probes: Probes,
    /// d, as the first vector seen has it.
    length: Option<usize>,
    codebook: Codebook,
    places: HashMap<NodeId, Place>,
    /// The nodes that each cell stores, so that a decision costs what its cells hold, not all there is.
    stored: BTreeMap<CellId, Stored>,
}

/// The nodes that a cell stores, as they came.
#[derive(Debug, Default)]
struct Stored {
    /// Also such as are no longer there, and twice those that came back.
    nodes: Vec<NodeId>,
    /// How many have left.
    left: usize,
}

/// Rows that are moved one after the other, their vectors asked for before.
const TOGETHER: usize = 16;

#[derive(Debug)]
struct Place {
    row: Arc<Row>,
    cell: CellId,
    group: GroupId,
    /// The cells looked into besides its own, nearest first.
    others: Box<[CellId]>,
}

impl Places {
    pub(super) fn new(probes: Probes) -> Self {
        Places {
            probes,
            length: None,
            codebook: Codebook::default(),
            places: HashMap::new(),
            stored: BTreeMap::new(),
        }
    }

    /// One epoch: the decisions in their order, and the changes of rows.
    pub(super) fn apply(
        &mut self,
        epoch: u64,
        mut decisions: Vec<((u64, Decision), Diff)>,
        rows: Vec<(Row, Diff)>,
    ) -> Moves {
        let mut moves = Moves::default();
        let (mut recell, mut regroup) = (false, false);
        let leaves: BTreeSet<CellId> =
            if decisions.is_empty() { BTreeSet::new() } else { self.codebook.leaves().collect() };
        decisions.sort_by_key(|((order, _), _)| *order);
        for ((order, decision), diff) in decisions {
            match self.decide(order, &decision, epoch, diff) {
                Ok(()) if matches!(decision, Decision::Group { .. }) => regroup = true,
                Ok(()) => recell = true,
                Err(error) => moves.errors.push(error),
            }
        }
        // Rows that go do so from their old place, so that nothing both comes to a cell and leaves it.
        self.change(rows, &mut moves);
        if recell {
            self.recell(&leaves, &mut moves);
        }
        if regroup {
            self.regroup(&mut moves);
        }
        moves
    }

    fn decide(
        &mut self,
        order: u64,
        decision: &Decision,
        epoch: u64,
        diff: Diff,
    ) -> Result<(), PlacementError> {
        if diff <= 0 {
            return Err(PlacementError::Retracted { order, epoch });
        }
        let what = || format!("a centroid of decision {order} of epoch {epoch}");
        match decision {
            Decision::Divide { children, .. } => {
                children.iter().try_for_each(|(_, c)| self.fits(c.len(), what))?;
            }
            Decision::Group { centroids } => centroids.iter().try_for_each(|c| self.fits(c.len(), what))?,
            Decision::Merge { .. } => {}
        }
        self.codebook.apply(decision).map_err(|reason| PlacementError::Decision { order, epoch, reason })
    }

    fn fits(&mut self, found: usize, what: impl Fn() -> String) -> Result<(), PlacementError> {
        let expected = *self.length.get_or_insert(found);
        if found == expected { Ok(()) } else { Err(PlacementError::Length { what: what(), found, expected }) }
    }

    /// Moves the rows that the new codebook puts into other cells or lets probe others; those that came under it are where
    /// they belong. `before` is the leaves of the codebook before.
    fn recell(&mut self, before: &BTreeSet<CellId>, moves: &mut Moves) {
        // A leaf keeps its rows as long as it is one.
        let closed: Vec<CellId> = before.iter().copied().filter(|c| !self.codebook.is_leaf(*c)).collect();
        for cell in closed {
            let Stored { nodes, .. } = self.stored.remove(&cell).unwrap_or_default();
            for nodes in nodes.chunks(TOGETHER) {
                nodes.iter().filter_map(|id| self.places.get(id)).for_each(|place| place.row.vector.near());
                nodes.iter().for_each(|id| self.recell_one(*id, cell, moves));
            }
        }
        if self.probes.others() > 0 {
            let opened: Vec<CellId> = self.codebook.leaves().filter(|c| !before.contains(c)).collect();
            self.look_elsewhere(&opened, moves);
        }
    }

    /// Moves a row out of `cell`, if that stores it.
    fn recell_one(&mut self, id: NodeId, cell: CellId, moves: &mut Moves) {
        let Some(place) = self.places.get_mut(&id).filter(|place| place.cell == cell) else { return };
        let values = place.row.vector.values();
        let cell = self.codebook.cell_after(cell, &values);
        let others = self.codebook.nearest_others(&values, cell, self.probes);
        drop(values);
        place.settle(cell, others.into(), moves);
        self.stored.entry(cell).or_default().nodes.push(id);
    }

    /// Which others are near may change with any leaf, for any row: all are asked, but only of the `opened` leaves and those
    /// they probe.
    fn look_elsewhere(&mut self, opened: &[CellId], moves: &mut Moves) {
        for place in self.places.values_mut() {
            let values = place.row.vector.values();
            let closed = place.others.iter().any(|c| !self.codebook.is_leaf(*c));
            if closed || place.is_reached_by(opened, &values, self.probes, &self.codebook) {
                let others = self.codebook.nearest_others(&values, place.cell, self.probes);
                drop(values);
                place.settle(place.cell, others.into(), moves);
            }
        }
    }

    /// Moves the rows that the new codebook puts into other groups.
    fn regroup(&mut self, moves: &mut Moves) {
        for (id, place) in &mut self.places {
            let group = self.codebook.group(&place.row.vector.values());
            if group != place.group {
                moves.groups.push(((*id, place.group), -1));
                moves.groups.push(((*id, group), 1));
                place.group = group;
            }
        }
    }

    /// Rows that come and go. What an epoch both gives and takes of one id is settled first: a retraction cancels
    /// an equal row if there is one, else the oldest of that id.
    fn change(&mut self, rows: Vec<(Row, Diff)>, moves: &mut Moves) {
        let mut by_id: BTreeMap<NodeId, (Vec<Row>, Vec<Row>)> = BTreeMap::new();
        for (row, diff) in rows {
            let (given, taken) = by_id.entry(row.id).or_default();
            let side = if diff > 0 { given } else { taken };
            side.extend(std::iter::repeat_n(row, diff.unsigned_abs()));
        }
        for (id, (mut given, mut taken)) in by_id {
            let same = |a: &Row, b: &Row| a.pts_ns == b.pts_ns && a.vector == b.vector;
            taken.retain(|row| match given.iter().position(|g| same(g, row)) {
                Some(at) if self.places.get(&id).is_none_or(|p| !same(&p.row, row)) => {
                    given.remove(at);
                    false
                }
                _ => true,
            });
            let mut old = self.take(id);
            for _ in taken {
                if let Some(place) = old.take() {
                    place.leave(moves);
                } else if given.is_empty() {
                    moves.errors.push(PlacementError::Absent(id));
                } else {
                    given.remove(0);
                }
            }
            let Some(row) = given.pop() else {
                if let Some(old) = old {
                    self.put(id, old);
                }
                continue;
            };
            if !given.is_empty() || old.is_some() {
                moves.errors.push(PlacementError::Twice(id));
            }
            if let Some(old) = old {
                old.leave(moves);
            }
            match self.enter(row, moves) {
                Ok(place) => self.put(id, place),
                Err(error) => moves.errors.push(error),
            }
        }
    }

    fn put(&mut self, id: NodeId, place: Place) {
        self.stored.entry(place.cell).or_default().nodes.push(id);
        self.places.insert(id, place);
    }

    fn take(&mut self, id: NodeId) -> Option<Place> {
        let place = self.places.remove(&id)?;
        if let Some(Stored { nodes, left }) = self.stored.get_mut(&place.cell) {
            *left += 1;
            if *left > nodes.len() / 2 {
                nodes.sort_unstable();
                nodes.dedup();
                nodes.retain(|id| self.places.get(id).is_some_and(|other| other.cell == place.cell));
                *left = 0;
            }
        }
        Some(place)
    }

    fn enter(&mut self, row: Row, moves: &mut Moves) -> Result<Place, PlacementError> {
        let id = row.id;
        self.fits(row.vector.len(), || format!("node {id}"))?;
        let squared = row.vector.score(&row.vector).0;
        if !squared.is_finite() {
            return Err(PlacementError::NotFinite(id));
        }
        if squared > LONGEST * LONGEST {
            return Err(PlacementError::TooLong(id));
        }
        let known = row.known.clone();
        let row = Arc::new(Row { known: None, ..row });
        let values = row.vector.values();
        let cell = self.codebook.cell(&values);
        let others = self.codebook.nearest_others(&values, cell, self.probes);
        let group = self.codebook.group(&values);
        let place = Place { row: row.clone(), cell, group, others: others.into() };
        moves.data.push(((cell, row.clone()), 1));
        for probed in place.probes() {
            let list = known.iter().flat_map(|lists| lists.iter()).find(|(of, _)| *of == probed);
            let query = Query { row: row.clone(), known: list.map(|(_, list)| list.clone()) };
            moves.queries.push(((probed, query), 1));
        }
        moves.cells.push(((id, cell), 1));
        moves.groups.push(((id, group), 1));
        Ok(place)
    }
}

impl Place {
    /// The cells looked into.
    fn probes(&self) -> impl Iterator<Item = CellId> + '_ {
        std::iter::once(self.cell).chain(self.others.iter().copied())
    }

    /// Returns true when one of the `opened` leaves belongs to the others by `probes`. `values` are the row's.
    fn is_reached_by(&self, opened: &[CellId], values: &[f32], probes: Probes, codebook: &Codebook) -> bool {
        let rank = |cell: CellId| (codebook.score(values, cell), cell);
        let mut opened = opened.iter().filter(|c| self.probes().all(|cell| cell != **c));
        match self.others.last().filter(|_| self.others.len() == probes.others()) {
            Some(last) => {
                let last = rank(*last);
                opened.any(|c| rank(*c) < last)
            }
            // There were too few leaves before, or too few near enough.
            None => {
                let reached = codebook.reached_by(values, self.cell, probes);
                opened.any(|c| reached(codebook.score(values, *c)))
            }
        }
    }

    /// Stores the row in `cell` and has it probe `others` besides.
    fn settle(&mut self, cell: CellId, others: Box<[CellId]>, moves: &mut Moves) {
        let before: Vec<CellId> = self.probes().collect();
        if cell != self.cell {
            moves.data.push(((self.cell, self.row.clone()), -1));
            moves.data.push(((cell, self.row.clone()), 1));
            moves.cells.push(((self.row.id, self.cell), -1));
            moves.cells.push(((self.row.id, cell), 1));
        }
        (self.cell, self.others) = (cell, others);
        for left in before.iter().filter(|c| !self.probes().any(|cell| cell == **c)) {
            moves.queries.push(((*left, Query { row: self.row.clone(), known: None }), -1));
        }
        for new in self.probes().filter(|c| !before.contains(c)) {
            moves.queries.push(((new, Query { row: self.row.clone(), known: None }), 1));
        }
    }

    fn leave(self, moves: &mut Moves) {
        for cell in self.probes() {
            moves.queries.push(((cell, Query { row: self.row.clone(), known: None }), -1));
        }
        moves.data.push(((self.cell, self.row.clone()), -1));
        moves.cells.push(((self.row.id, self.cell), -1));
        moves.groups.push(((self.row.id, self.group), -1));
    }
}
