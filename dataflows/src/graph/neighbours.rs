//! Each node's nearest eligible nodes, exact at every epoch: an operator over cells, and what wires it to [`cells`](super::cells).

mod before;
mod best;
mod cell_index;
mod draft;
mod gone;
mod heritage;
mod learner;
mod meeting;
mod merge;
mod offers;
mod part;
mod recompute;
mod rules;
#[cfg(test)]
mod tests;
mod threads;

pub use recompute::{Recomputed, recompute};

use std::collections::{BTreeMap, HashMap};
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use differential_dataflow::hashable::Hashable;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use self::cell_index::{CellIndex, Changes, Outcome};
use self::heritage::Heritage;
use self::learner::Learner;
use self::merge::merge;
use self::rules::{Rules, Share};
use super::cells::{Query, locate};
use super::codebook::Decision;
use super::node::{CellId, GroupId, List, Row};
use super::policy::Settings;
use super::{Diff, Epoch};
use crate::id::NodeId;

/// For each query in each cell it looks into, its best rows there.
pub type Lists<'s> = VecCollection<'s, Epoch, ((NodeId, CellId), List), Diff>;

/// Where nodes are, and their nearest.
pub struct Neighbours<'s> {
    /// Node to the cell that stores it.
    pub cells: VecCollection<'s, Epoch, (NodeId, CellId), Diff>,
    /// Node to its group.
    pub groups: VecCollection<'s, Epoch, (NodeId, GroupId), Diff>,
    /// For each node and each cell it looks into, its best rows there: one record each, an empty list included. What a
    /// restart needs as [`Row::known`].
    pub lists: Lists<'s>,
    /// For each node its k best over the cells it looks into: one record each, an empty list included.
    pub neighbours: VecCollection<'s, Epoch, (NodeId, List), Diff>,
    /// What could not be followed, in words. Empty unless the log or the embedder is broken.
    pub misfits: VecCollection<'s, Epoch, String, Diff>,
}

/// Changes of an epoch that is not closed, with a capability for each output.
struct Pending {
    capabilities: [Capability<Epoch>; 2],
    by_share: BTreeMap<(CellId, usize), Changes>,
}

/// The epoch that is closed and not through: what is left of its changes.
struct Closed {
    epoch: Epoch,
    capabilities: [Capability<Epoch>; 2],
    by_share: BTreeMap<(CellId, usize), Changes>,
    /// Whether cells come about in it.
    divides: bool,
    /// What cells that are gone by it left.
    heritages: Vec<Heritage>,
}

/// Lists that are emitted before others are let take them up, while they are still near. Few in tests, so that they see it.
const EMITTED_AT_ONCE: usize = if cfg!(test) { 5 } else { 1 << 12 };

impl Pending {
    fn new(epoch: Epoch, input: &InputCapability<Epoch>) -> Self {
        Pending { capabilities: [0, 1].map(|port| input.delayed(&epoch, port)), by_share: BTreeMap::new() }
    }
}

/// Cells, groups and neighbours of `rows` under the codebook that `decisions` build (given on any one worker, the `u64` is
/// their order within an epoch). At every closed epoch they are those of [`recompute`].
///
/// `scored` counts the scores computed for lists. A row's [`Row::known`] lists are taken as they are: they must be
/// the lists over exactly the rows that arrive in that epoch, as on a restart.
pub fn neighbours<'s>(
    rows: VecCollection<'s, Epoch, Row, Diff>,
    decisions: VecCollection<'s, Epoch, (u64, Decision), Diff>,
    settings: &Settings,
    scored: Arc<AtomicU64>,
) -> Neighbours<'s> {
    let located = locate(rows, decisions, settings.looks());
    let (lists, misfits) = search(located.data, located.queries, settings, scored);
    let of_node = lists.clone().map(|((node, _), list)| (node, list));
    let neighbours = if settings.look_into <= 1 { of_node } else { merge(of_node, settings.k) };
    let misfits = located.misfits.concat(misfits);
    Neighbours { cells: located.cells, groups: located.groups, neighbours, lists, misfits }
}

/// For each query in each cell the best rows stored there. A cell is on the worker its id hashes to, or shared by that one
/// and those after it. Where a cell divides, those of its children that are on the same worker take its lists over; cells that
/// all workers share always are. `data` and `queries` are what [`locate`] gives. Also what was left out, in words.
pub fn search<'s>(
    data: VecCollection<'s, Epoch, (CellId, Arc<Row>), Diff>,
    queries: VecCollection<'s, Epoch, (CellId, Query), Diff>,
    settings: &Settings,
    scored: Arc<AtomicU64>,
) -> (Lists<'s>, VecCollection<'s, Epoch, String, Diff>) {
    let rules = Rules::of(settings, data.inner.scope().peers());
    let (shares, sketching) = (settings.shares.max(1), settings.sketching);
    let mut builder = OperatorBuilder::new("Neighbours".to_owned(), data.inner.scope());
    // The last share has the row itself, the others clones.
    fn dealt<D: Clone>(
        shares: usize,
        cell: CellId,
        of_cell: D,
    ) -> impl Iterator<Item = ((CellId, usize), D)> {
        iter::repeat_n(of_cell, shares).enumerate().map(move |(share, of_cell)| ((cell, share), of_cell))
    }
    let data = data.flat_map(move |(cell, row)| dealt(shares, cell, row));
    let queries = queries.flat_map(move |(cell, query)| dealt(shares, cell, query));
    type Update<D> = (((CellId, usize), D), Epoch, Diff);
    let by_all = shares >= data.inner.scope().peers();
    fn worker<D>(by_all: bool) -> impl Fn(&Update<D>) -> u64 {
        move |(((cell, share), _), _, _)| {
            let first = if by_all { 0 } else { cell.hashed() };
            first.wrapping_add(*share as u64)
        }
    }
    let again = data.inner.scope().activator_for(builder.operator_info().address);
    let mut data = builder.new_input(data.inner, Exchange::new(worker::<Arc<Row>>(by_all)));
    let mut queries = builder.new_input(queries.inner, Exchange::new(worker::<Query>(by_all)));
    let (lists, list_stream) = builder.new_output::<Vec<(((NodeId, CellId), List), Epoch, Diff)>>();
    let (misfits, misfit_stream) = builder.new_output::<Vec<(String, Epoch, Diff)>>();
    let (mut lists, mut misfits) = (OutputBuilder::from(lists), OutputBuilder::from(misfits));

    builder.build(move |_| {
        let mut cells: HashMap<(CellId, usize), CellIndex> = HashMap::new();
        let mut learner = Learner::new(sketching);
        let mut pending: BTreeMap<Epoch, Pending> = BTreeMap::new();
        let mut closed: Option<Closed> = None;
        move |frontiers| {
            data.for_each(|input, updates| {
                for ((cell, row), epoch, diff) in updates.drain(..) {
                    let at = pending.entry(epoch).or_insert_with(|| Pending::new(epoch, &input));
                    let changes = at.by_share.entry(cell).or_default();
                    if diff > 0 { changes.new_rows.push(row) } else { changes.gone_rows.push(row.id) }
                }
            });
            queries.for_each(|input, updates| {
                for ((cell, query), epoch, diff) in updates.drain(..) {
                    let at = pending.entry(epoch).or_insert_with(|| Pending::new(epoch, &input));
                    let changes = at.by_share.entry(cell).or_default();
                    if diff > 0 {
                        changes.new_queries.push(query);
                    } else {
                        changes.gone_queries.push(query.row.id);
                    }
                }
            });
            let mut emitted = 0;
            loop {
                if closed.is_none()
                    && let Some(at) = pending.first_entry()
                    && frontiers.iter().all(|f| !f.less_equal(at.key()))
                {
                    let (epoch, Pending { capabilities, by_share }) = at.remove_entry();
                    let divides = by_share.keys().any(|share| !cells.contains_key(share));
                    closed = Some(Closed { epoch, capabilities, by_share, divides, heritages: Vec::new() });
                }
                let Some(Closed {
                    epoch,
                    capabilities: [of_lists, of_misfits],
                    by_share,
                    divides,
                    heritages,
                }) = &mut closed
                else {
                    break;
                };
                let (mut lists, mut misfits) = (lists.activate(), misfits.activate());
                let (mut lists, mut misfits) = (lists.session(&*of_lists), misfits.session(&*of_misfits));
                // A cell's children have larger ids.
                while emitted < EMITTED_AT_ONCE
                    && let Some(((cell, index), changes)) = by_share.pop_first()
                {
                    let share = Share { index, of: shares };
                    let entry = cells.entry((cell, index));
                    let index = entry.or_insert_with(|| CellIndex::new(rules, share));
                    let Outcome { lists: changed, scored: count, refused } = if index.dissolves(&changes) {
                        let (outcome, heritage) = index.dissolve();
                        heritages.extend(divides.then_some(heritage));
                        outcome
                    } else {
                        index.apply(changes, learner.basis(), heritages)
                    };
                    if index.is_empty() {
                        cells.remove(&(cell, share.index));
                    }
                    scored.fetch_add(count, Ordering::Relaxed);
                    emitted += changed.len();
                    for (node, before, after) in changed {
                        let sides = [(before, -1), (after, 1)];
                        let sides = sides.into_iter().filter_map(|(list, diff)| Some((list?, diff)));
                        lists.give_iterator(sides.map(|(list, diff)| (((node, cell), list), *epoch, diff)));
                    }
                    // Every share refuses the same; one of them tells.
                    for node in refused.into_iter().filter(|_| share.index == 0) {
                        let text = format!(
                            "node {node}: its vector has another length than those in cell {}",
                            cell.0
                        );
                        misfits.give((text, *epoch, 1));
                    }
                }
                if !by_share.is_empty() {
                    again.activate();
                    break;
                }
                drop((lists, misfits));
                closed = None;
                learner.learn(cells.values());
            }
        }
    });
    let lists = list_stream.as_collection();
    let lists = if shares == 1 { lists } else { merge(lists, settings.k) };
    (lists, misfit_stream.as_collection())
}
