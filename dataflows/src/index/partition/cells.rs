//! Cells and groups of nodes: an operator that keeps each row where the codebook, as it stands at each epoch, puts it.

mod places;
mod query;
#[cfg(test)]
mod tests;

pub use places::PlacementError;
pub use query::Query;

use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::hashable::Hashable;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::vec::Broadcast;

use self::places::{Moves, Places};
use super::codebook::{Codebook, Decision};
use super::probes::Probes;
use crate::id::NodeId;
use crate::index::node::{CellId, GroupId, Row};
use crate::time::{Diff, Epoch};

/// Where rows are. Retractions name the row by its id; a retracted [`Query`] has no `known`.
pub struct Located<'s> {
    /// Each row with the cell that stores it.
    pub data: VecCollection<'s, Epoch, (CellId, Arc<Row>), Diff>,
    /// Each row with each cell it probes.
    pub queries: VecCollection<'s, Epoch, (CellId, Query), Diff>,
    /// Node to the cell that stores it.
    pub cells: VecCollection<'s, Epoch, (NodeId, CellId), Diff>,
    /// Node to its group.
    pub groups: VecCollection<'s, Epoch, (NodeId, GroupId), Diff>,
    /// Says what could not be followed ([`PlacementError`] as text), at the epoch of the input concerned.
    pub errors: VecCollection<'s, Epoch, String, Diff>,
}

/// One epoch's inputs, kept until it is closed.
#[derive(Default)]
struct Pending {
    rows: Vec<(Row, Diff)>,
    decisions: Vec<((u64, Decision), Diff)>,
    /// One for each output.
    capabilities: Vec<Capability<Epoch>>,
}

/// Outputs of the operator.
const OUTPUTS: usize = 5;

/// Keeps each row of `rows` in its place. At every closed epoch the outputs are those of [`recompute`] with the codebook
/// after all `decisions` up to and including that epoch.
///
/// `decisions` may be given on any one worker; the `u64` is their order within an epoch. One that does not fit is left out and
/// told in `errors`, as is a row that cannot be stored. Rows live on the worker their id hashes to. A retraction
/// needs the right id only.
pub fn locate<'s>(
    rows: VecCollection<'s, Epoch, Row, Diff>,
    decisions: VecCollection<'s, Epoch, (u64, Decision), Diff>,
    probes: Probes,
) -> Located<'s> {
    let scope = rows.inner.scope();
    let first_worker = scope.index() == 0;
    let mut builder = OperatorBuilder::new("Locate".to_owned(), scope);
    let by_node = Exchange::new(|(row, _, _): &(Row, Epoch, Diff)| row.id.hashed());
    let mut rows = builder.new_input(rows.inner, by_node);
    let mut decisions = builder.new_input(decisions.inner.broadcast(), Pipeline);
    let (data, data_stream) = builder.new_output();
    let (queries, query_stream) = builder.new_output();
    let (cells, cell_stream) = builder.new_output();
    let (groups, group_stream) = builder.new_output();
    let (errors, error_stream) = builder.new_output::<Vec<(String, Epoch, Diff)>>();
    let (mut data, mut queries) = (OutputBuilder::from(data), OutputBuilder::from(queries));
    let (mut cells, mut groups) = (OutputBuilder::from(cells), OutputBuilder::from(groups));
    let mut errors = OutputBuilder::from(errors);

    builder.build(move |_| {
        let mut places = Places::new(probes);
        let mut pending: BTreeMap<Epoch, Pending> = BTreeMap::new();
        move |frontiers| {
            rows.for_each(|input, updates| {
                for (row, epoch, diff) in updates.drain(..) {
                    let at = pending.entry(epoch).or_default();
                    if at.capabilities.is_empty() {
                        at.capabilities.extend((0..OUTPUTS).map(|port| input.delayed(&epoch, port)));
                    }
                    at.rows.push((row, diff));
                }
            });
            decisions.for_each(|input, updates| {
                for (decision, epoch, diff) in updates.drain(..) {
                    let at = pending.entry(epoch).or_default();
                    if at.capabilities.is_empty() {
                        at.capabilities.extend((0..OUTPUTS).map(|port| input.delayed(&epoch, port)));
                    }
                    at.decisions.push((decision, diff));
                }
            });
            while let Some(at) = pending.first_entry()
                && frontiers.iter().all(|f| !f.less_equal(at.key()))
            {
                let (epoch, at) = at.remove_entry();
                let Moves { data: d, queries: q, cells: c, groups: g, errors: m } =
                    places.apply(epoch, at.decisions, at.rows);
                // Every worker gets every decision; one of them tells.
                let told = |error: &PlacementError| {
                    first_worker
                        || !matches!(
                            error,
                            PlacementError::Decision { .. } | PlacementError::Retracted { .. }
                        )
                };
                let m = m.iter().filter(|m| told(m)).map(|m| (m.to_string(), 1));
                let [of_data, of_queries, of_cells, of_groups, of_errors] = at.capabilities.as_slice() else {
                    continue;
                };
                let stamp = move |(data, diff)| (data, epoch, diff);
                data.activate()
                    .session(of_data)
                    .give_iterator(d.into_iter().map(move |(x, r)| (x, epoch, r)));
                queries
                    .activate()
                    .session(of_queries)
                    .give_iterator(q.into_iter().map(move |(x, r)| (x, epoch, r)));
                cells
                    .activate()
                    .session(of_cells)
                    .give_iterator(c.into_iter().map(move |(x, r)| (x, epoch, r)));
                groups
                    .activate()
                    .session(of_groups)
                    .give_iterator(g.into_iter().map(move |(x, r)| (x, epoch, r)));
                errors.activate().session(of_errors).give_iterator(m.map(stamp));
            }
        }
    });

    Located {
        data: data_stream.as_collection(),
        queries: query_stream.as_collection(),
        cells: cell_stream.as_collection(),
        groups: group_stream.as_collection(),
        errors: error_stream.as_collection(),
    }
}

/// Cell and group of each row under a codebook, from scratch: the oracle of [`locate`].
pub fn recompute<'r>(
    rows: impl IntoIterator<Item = &'r Row>,
    codebook: &Codebook,
) -> BTreeMap<NodeId, (CellId, GroupId)> {
    let place = |row: &Row| {
        let values = row.vector.values();
        (row.id, (codebook.cell(&values), codebook.group(&values)))
    };
    rows.into_iter().map(place).collect()
}
