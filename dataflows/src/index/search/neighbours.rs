//! Each node's nearest eligible nodes, exact at every epoch: an operator over cells, and what wires it to [`cells`](crate::index::partition::cells).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use differential_dataflow::hashable::Hashable;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};

use super::cell_index::{CellChanges, CellIndex, Outcome};
use super::inherited::InheritedLists;
use super::learner::Learner;
use super::merge::merge;
use super::rules::Rules;
use crate::id::NodeId;
use crate::index::node::{CellId, GroupId, List, Row};
use crate::index::partition::cells::{Query, locate};
use crate::index::partition::codebook::Decision;
use crate::index::partition::policy::Settings;
use crate::time::{Diff, Epoch};

/// For each query in each cell it probes, its best rows there.
pub type Lists<'s> = VecCollection<'s, Epoch, ((NodeId, CellId), List), Diff>;

/// Where nodes are, and their nearest.
pub struct Neighbours<'s> {
    /// Node to the cell that stores it.
    pub cells: VecCollection<'s, Epoch, (NodeId, CellId), Diff>,
    /// Node to its group.
    pub groups: VecCollection<'s, Epoch, (NodeId, GroupId), Diff>,
    /// For each node and each cell it probes, its best rows there: one record each, an empty list included. What a
    /// restart needs as [`Row::known`].
    pub lists: Lists<'s>,
    /// For each node its k best over the cells it probes: one record each, an empty list included.
    pub neighbours: VecCollection<'s, Epoch, (NodeId, List), Diff>,
    /// Says what could not be followed, in words. Empty unless the log or the embedder is broken.
    pub errors: VecCollection<'s, Epoch, String, Diff>,
}

/// Changes of an epoch that is not closed, with a capability for each output.
struct Pending {
    capabilities: [Capability<Epoch>; 2],
    by_cell: BTreeMap<CellId, CellChanges>,
}

/// The epoch that is closed and not through: what is left of its changes.
struct Closed {
    epoch: Epoch,
    capabilities: [Capability<Epoch>; 2],
    by_cell: BTreeMap<CellId, CellChanges>,
    /// True when cells come about in it.
    divides: bool,
    /// What cells that are gone by it left.
    left: Vec<InheritedLists>,
}

/// Lists that are emitted before others are let take them up, while they are still near. Few in tests, so that they see it.
const EMITTED_AT_ONCE: usize = if cfg!(test) { 5 } else { 1 << 12 };

impl Pending {
    fn new(epoch: Epoch, input: &InputCapability<Epoch>) -> Self {
        Pending { capabilities: [0, 1].map(|port| input.delayed(&epoch, port)), by_cell: BTreeMap::new() }
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
    let located = locate(rows, decisions, settings.probes());
    let (lists, errors) = search(located.data, located.queries, settings, scored);
    let of_node = lists.clone().map(|((node, _), list)| (node, list));
    let neighbours = if settings.nprobe <= 1 { of_node } else { merge(of_node, settings.k) };
    let errors = located.errors.concat(errors);
    Neighbours { cells: located.cells, groups: located.groups, neighbours, lists, errors }
}

/// For each query in each cell the best rows stored there. A cell is on the worker its id hashes to. Where a cell divides, those
/// of its children that are on the same worker take its lists over. `data` and `queries` are what [`locate`] gives. Also what was left out, in words.
pub fn search<'s>(
    data: VecCollection<'s, Epoch, (CellId, Arc<Row>), Diff>,
    queries: VecCollection<'s, Epoch, (CellId, Query), Diff>,
    settings: &Settings,
    scored: Arc<AtomicU64>,
) -> (Lists<'s>, VecCollection<'s, Epoch, String, Diff>) {
    let rules = Rules::of(settings, data.inner.scope().peers());
    let projecting = settings.projection;
    let mut builder = OperatorBuilder::new("Neighbours".to_owned(), data.inner.scope());
    fn worker<D>(((cell, _), _, _): &((CellId, D), Epoch, Diff)) -> u64 {
        cell.hashed()
    }
    let again = data.inner.scope().activator_for(builder.operator_info().address);
    let mut data = builder.new_input(data.inner, Exchange::new(worker::<Arc<Row>>));
    let mut queries = builder.new_input(queries.inner, Exchange::new(worker::<Query>));
    let (lists, list_stream) = builder.new_output::<Vec<(((NodeId, CellId), List), Epoch, Diff)>>();
    let (errors, error_stream) = builder.new_output::<Vec<(String, Epoch, Diff)>>();
    let (mut lists, mut errors) = (OutputBuilder::from(lists), OutputBuilder::from(errors));

    builder.build(move |_| {
        let mut cells: HashMap<CellId, CellIndex> = HashMap::new();
        let mut learner = Learner::new(projecting);
        let mut pending: BTreeMap<Epoch, Pending> = BTreeMap::new();
        let mut closed: Option<Closed> = None;
        move |frontiers| {
            data.for_each(|input, updates| {
                for ((cell, row), epoch, diff) in updates.drain(..) {
                    let at = pending.entry(epoch).or_insert_with(|| Pending::new(epoch, &input));
                    let changes = at.by_cell.entry(cell).or_default();
                    if diff > 0 { changes.new_rows.push(row) } else { changes.gone_rows.push(row.id) }
                }
            });
            queries.for_each(|input, updates| {
                for ((cell, query), epoch, diff) in updates.drain(..) {
                    let at = pending.entry(epoch).or_insert_with(|| Pending::new(epoch, &input));
                    let changes = at.by_cell.entry(cell).or_default();
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
                    let (epoch, Pending { capabilities, by_cell }) = at.remove_entry();
                    let divides = by_cell.keys().any(|cell| !cells.contains_key(cell));
                    closed = Some(Closed { epoch, capabilities, by_cell, divides, left: Vec::new() });
                }
                let Some(Closed { epoch, capabilities: [of_lists, of_errors], by_cell, divides, left }) =
                    &mut closed
                else {
                    break;
                };
                let (mut lists, mut errors) = (lists.activate(), errors.activate());
                let (mut lists, mut errors) = (lists.session(&*of_lists), errors.session(&*of_errors));
                // A cell's children have larger ids.
                while emitted < EMITTED_AT_ONCE
                    && let Some((cell, changes)) = by_cell.pop_first()
                {
                    let index = cells.entry(cell).or_insert_with(|| CellIndex::new(rules));
                    let Outcome { lists: changed, scored: count, refused } = if index.dissolves(&changes) {
                        let (outcome, lists) = index.dissolve();
                        left.extend(divides.then_some(lists));
                        outcome
                    } else {
                        index.apply(changes, learner.basis(), left)
                    };
                    if index.is_empty() {
                        cells.remove(&cell);
                    }
                    scored.fetch_add(count, Ordering::Relaxed);
                    emitted += changed.len();
                    for (node, before, after) in changed {
                        let sides = [(before, -1), (after, 1)];
                        let sides = sides.into_iter().filter_map(|(list, diff)| Some((list?, diff)));
                        lists.give_iterator(sides.map(|(list, diff)| (((node, cell), list), *epoch, diff)));
                    }
                    for node in refused {
                        let text = format!(
                            "node {node}: its vector has another length than those in cell {}",
                            cell.0
                        );
                        errors.give((text, *epoch, 1));
                    }
                }
                if !by_cell.is_empty() {
                    again.activate();
                    break;
                }
                drop((lists, errors));
                closed = None;
                learner.learn(cells.values());
            }
        }
    });
    (list_stream.as_collection(), error_stream.as_collection())
}
