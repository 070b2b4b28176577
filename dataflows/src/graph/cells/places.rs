//! Where each row is: its cell, the cells it looks into, its group. Plain data, no timely.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::Diff;
use super::super::codebook::{Codebook, CodebookError, Decision};
use super::super::node::{CellId, GroupId, Row};
use super::Query;
use crate::id::NodeId;

/// What cannot be followed. The rest of the epoch is.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Misfit {
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
        /// What it is.
        what: String,
        /// Its length.
        found: usize,
        /// The first length seen.
        expected: usize,
    },
    /// A vector with values that are infinite or undefined.
    #[error("node {0} has a vector that is not finite; it is left out")]
    NotFinite(NodeId),
    /// A second row of one id.
    #[error("node {0} is already there; the newer row replaces it")]
    Twice(NodeId),
    /// A retraction of what is not there.
    #[error("node {0} is not there and cannot be taken back")]
    Absent(NodeId),
}

/// What an epoch changes in the four collections, each change a (data, diff).
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) data: Vec<((CellId, Arc<Row>), Diff)>,
    pub(super) queries: Vec<((CellId, Query), Diff)>,
    pub(super) cells: Vec<((NodeId, CellId), Diff)>,
    pub(super) groups: Vec<((NodeId, GroupId), Diff)>,
    pub(super) misfits: Vec<Misfit>,
}

/// The rows of one worker, each in its place under the codebook.
#[derive(Debug)]
pub(super) struct Places {
    look_into: usize,
    /// d, as the first vector seen has it.
    length: Option<usize>,
    codebook: Codebook,
    places: BTreeMap<NodeId, Place>,
}

#[derive(Debug)]
struct Place {
    row: Arc<Row>,
    cell: CellId,
    looks: Vec<CellId>,
    group: GroupId,
}

impl Places {
    pub(super) fn new(look_into: usize) -> Self {
        Places { look_into, length: None, codebook: Codebook::default(), places: BTreeMap::new() }
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
        decisions.sort_by_key(|((order, _), _)| *order);
        for ((order, decision), diff) in decisions {
            match self.decide(order, &decision, epoch, diff) {
                Ok(()) if matches!(decision, Decision::Group { .. }) => regroup = true,
                Ok(()) => recell = true,
                Err(misfit) => moves.misfits.push(misfit),
            }
        }
        // Rows that go do so from their old place, so that nothing both comes to a cell and leaves it.
        self.change(rows, &mut moves);
        if recell || regroup {
            self.relocate(recell, regroup, &mut moves);
        }
        moves
    }

    fn decide(&mut self, order: u64, decision: &Decision, epoch: u64, diff: Diff) -> Result<(), Misfit> {
        if diff <= 0 {
            return Err(Misfit::Retracted { order, epoch });
        }
        let what = || format!("a centroid of decision {order} of epoch {epoch}");
        match decision {
            Decision::Divide { children, .. } => {
                children.iter().try_for_each(|(_, c)| self.fits(c.len(), what))?;
            }
            Decision::Group { centroids } => centroids.iter().try_for_each(|c| self.fits(c.len(), what))?,
            Decision::Merge { .. } => {}
        }
        self.codebook.apply(decision).map_err(|reason| Misfit::Decision { order, epoch, reason })
    }

    fn fits(&mut self, found: usize, what: impl Fn() -> String) -> Result<(), Misfit> {
        let expected = *self.length.get_or_insert(found);
        if found == expected { Ok(()) } else { Err(Misfit::Length { what: what(), found, expected }) }
    }

    /// Moves the rows that the new codebook puts elsewhere; those that came under it are where they belong.
    fn relocate(&mut self, recell: bool, regroup: bool, moves: &mut Moves) {
        for (id, place) in &mut self.places {
            // A leaf keeps its rows as long as it is one. Which others are near may change with any leaf.
            if recell && (self.look_into > 1 || !self.codebook.is_leaf(place.cell)) {
                let values = place.row.vector.values();
                let cell = self.codebook.cell(&values);
                if cell != place.cell {
                    moves.data.push(((place.cell, place.row.clone()), -1));
                    moves.data.push(((cell, place.row.clone()), 1));
                    moves.cells.push(((*id, place.cell), -1));
                    moves.cells.push(((*id, cell), 1));
                    place.cell = cell;
                }
                let looks = self.codebook.looks_into(&values, self.look_into);
                for left in place.looks.iter().filter(|c| !looks.contains(c)) {
                    moves.queries.push(((*left, Query { row: place.row.clone(), known: None }), -1));
                }
                for new in looks.iter().filter(|c| !place.looks.contains(c)) {
                    moves.queries.push(((*new, Query { row: place.row.clone(), known: None }), 1));
                }
                place.looks = looks;
            }
            if regroup {
                let group = self.codebook.group(&place.row.vector.values());
                if group != place.group {
                    moves.groups.push(((*id, place.group), -1));
                    moves.groups.push(((*id, group), 1));
                    place.group = group;
                }
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
            let mut old = self.places.remove(&id);
            for _ in taken {
                if let Some(place) = old.take() {
                    place.leave(moves);
                } else if given.is_empty() {
                    moves.misfits.push(Misfit::Absent(id));
                } else {
                    given.remove(0);
                }
            }
            let Some(row) = given.pop() else {
                if let Some(old) = old {
                    self.places.insert(id, old);
                }
                continue;
            };
            if !given.is_empty() || old.is_some() {
                moves.misfits.push(Misfit::Twice(id));
            }
            if let Some(old) = old {
                old.leave(moves);
            }
            match self.enter(row, moves) {
                Ok(place) => drop(self.places.insert(id, place)),
                Err(misfit) => moves.misfits.push(misfit),
            }
        }
    }

    fn enter(&mut self, row: Row, moves: &mut Moves) -> Result<Place, Misfit> {
        let id = row.id;
        self.fits(row.vector.len(), || format!("node {id}"))?;
        if !row.vector.score(&row.vector).0.is_finite() {
            return Err(Misfit::NotFinite(id));
        }
        let known = row.known.clone();
        let row = Arc::new(Row { known: None, ..row });
        let values = row.vector.values();
        let cell = self.codebook.cell(&values);
        let looks = self.codebook.looks_into(&values, self.look_into);
        let group = self.codebook.group(&values);
        moves.data.push(((cell, row.clone()), 1));
        for look in &looks {
            let list = known.iter().flat_map(|lists| lists.iter()).find(|(cell, _)| cell == look);
            let query = Query { row: row.clone(), known: list.map(|(_, list)| list.clone()) };
            moves.queries.push(((*look, query), 1));
        }
        moves.cells.push(((id, cell), 1));
        moves.groups.push(((id, group), 1));
        Ok(Place { row, cell, looks, group })
    }
}

impl Place {
    fn leave(self, moves: &mut Moves) {
        moves.data.push(((self.cell, self.row.clone()), -1));
        for look in self.looks {
            moves.queries.push(((look, Query { row: self.row.clone(), known: None }), -1));
        }
        moves.cells.push(((self.row.id, self.cell), -1));
        moves.groups.push(((self.row.id, self.group), -1));
    }
}
