//! One worker's share of an epoch of a run, and the gathering of it where it is kept.

use std::sync::Arc;

use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::index::kernels::vector::Vector;
use kinetograph_dataflows::index::node::{CellId, List, Row};
use kinetograph_dataflows::observe::stream::{Embedded, Observed, Tally};
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Outputs;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Filter;

use super::member::Member;
use crate::epoch::{Changes, Gathered, Home, Net, settle};

/// The part of an epoch that one source gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The source.
    pub source: SourceId,
    /// First frame taken.
    pub from: u64,
    /// One past the last frame taken.
    pub to: u64,
    /// Set when the source ended: `Err` says why it ended early.
    pub end: Option<Result<(), String>>,
    /// Of a live source, the connection that the frames came over.
    pub connected: Option<Connected>,
}

/// A connection with a live source as of the end of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The number of its first frame.
    pub first_seq: u64,
    /// The time of its first frame, nanoseconds since 1970.
    pub first_ns: u64,
    /// The time of its last frame so far, nanoseconds since 1970.
    pub last_ns: u64,
    /// Frames dropped so far.
    pub dropped: u64,
    /// Why it ended, if it did.
    pub ended: Option<String>,
}

/// One worker's changes of one epoch, collection by collection.
#[derive(Debug, Default)]
pub struct EpochOutputs {
    /// Frames taken.
    pub slices: Vec<Slice>,
    /// New nodes.
    pub nodes: Vec<Embedded>,
    /// Counts by source.
    pub tallies: Vec<(SourceId, Tally)>,
    /// Stills: source, frame, JPEG.
    pub stills: Vec<(SourceId, u64, Arc<[u8]>)>,
    /// The changes in the graph.
    pub changes: Changes,
    /// Nodes of this process that were taken back; filled where several processes run one graph.
    pub retired: Vec<NodeId>,
    /// Of process 0 of several: what decisions are taken from.
    pub everywhere: Everywhere,
}

/// The inputs of decisions, of all processes.
#[derive(Debug, Default)]
pub struct Everywhere {
    /// New nodes with their vectors.
    pub nodes: Vec<NewNode>,
    /// Node to cell.
    pub cells: Net<(NodeId, CellId)>,
    /// Node and cell to list.
    pub lists: Net<((NodeId, CellId), List)>,
}

/// A node with its vector.
pub type NewNode = (NodeId, Vector);

impl EpochOutputs {
    /// Takes in another worker's share of the same epoch.
    pub fn merge(&mut self, other: EpochOutputs) {
        self.slices.extend(other.slices);
        self.nodes.extend(other.nodes);
        self.tallies.extend(other.tallies);
        self.stills.extend(other.stills);
        self.changes.merge(other.changes);
        self.retired.extend(other.retired);
        self.everywhere.nodes.extend(other.everywhere.nodes);
        self.everywhere.cells.extend(other.everywhere.cells);
        self.everywhere.lists.extend(other.everywhere.lists);
    }

    /// Nets changes out and puts everything in an order that does not depend on the workers. Of a key that goes
    /// and comes, going is first.
    pub fn settle(&mut self) {
        self.slices.sort_by_key(|s| s.source);
        self.nodes.sort_by_key(|n| n.view.id);
        self.stills.sort_by_key(|(source, seq, _)| (*source, *seq));
        self.changes.settle();
        self.retired.sort_unstable();
        self.everywhere.nodes.sort_by_key(|(node, _)| *node);
        settle(&mut self.everywhere.cells);
        settle(&mut self.everywhere.lists);
    }

    /// Returns true when the epoch changed nothing at all.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
            && self.nodes.is_empty()
            && self.changes.count() == 0
            && self.retired.is_empty()
    }
}

/// One worker's part of an epoch that is complete on all workers.
#[derive(Debug)]
pub struct Share {
    /// The epoch.
    pub epoch: Epoch,
    /// The changes of this worker's part of the dataflow in it.
    pub outputs: EpochOutputs,
    /// True when this worker had nothing left to read in it.
    pub exhausted: bool,
}

impl AsMut<Changes> for EpochOutputs {
    fn as_mut(&mut self) -> &mut Changes {
        &mut self.changes
    }
}

/// Returns what changes after epoch `start`, which is in the stores, goes to process 0.
fn to_first<'s, D: ExchangeData>(
    collection: VecCollection<'s, Epoch, D, Diff>,
    start: Epoch,
) -> VecCollection<'s, Epoch, D, Diff> {
    collection.inner.filter(move |(_, epoch, _)| *epoch > start).exchange(|_| 0).as_collection()
}

/// Finds the process that keeps a record of a graph that `member` is a process of.
fn home(member: Member) -> Home {
    Home { processes: member.of, workers: member.workers }
}

impl Gathered<EpochOutputs> {
    /// Gathers all outputs of the dataflow on the process that keeps them; `probe` then tells which epochs are complete.
    pub fn attach_all(&self, outputs: Outputs<'_>, member: Member, probe: &Handle<Epoch>) {
        self.attach(&outputs.graph, home(member), probe);
        self.sink(outputs.nodes, probe, |out, embedded, _| out.nodes.push(embedded));
        self.sink(outputs.observed, probe, |out, observed, _| match observed {
            Observed::Tally(source, tally) => out.tallies.push((source, tally)),
            Observed::Still { source, seq, jpeg } => out.stills.push((source, seq, jpeg)),
            Observed::View(_) => {}
        });
    }

    /// Gathers, where several processes run one graph, what is taken back where it is kept, and on process 0 what decisions
    /// are taken from.
    pub fn attach_everywhere(
        &self,
        outputs: &Outputs<'_>,
        given: VecCollection<'_, Epoch, Row, Diff>,
        member: Member,
        start: Epoch,
        probe: &Handle<Epoch>,
    ) {
        let gone = given.inner.filter(|(_, _, diff)| *diff < 0).as_collection().map(|row| row.id);
        self.sink(home(member).go(gone, |node| *node), probe, |out, node, _| out.retired.push(node));
        // A collection's data have an order, which a vector has not.
        let nodes = outputs.nodes.clone();
        let nodes = nodes.map(|node| (node.view.id, node.vector.precision(), node.vector.to_bytes()));
        self.sink(to_first(nodes, start), probe, |out, (node, precision, bytes), _| {
            out.everywhere.nodes.extend(Vector::from_bytes(&bytes, precision).map(|vector| (node, vector)));
        });
        let (cells, lists) = (outputs.graph.neighbours.cells.clone(), outputs.graph.neighbours.lists.clone());
        self.sink(to_first(cells, start), probe, |out, d, r| out.everywhere.cells.push((d, r)));
        self.sink(to_first(lists, start), probe, |out, d, r| out.everywhere.lists.push((d, r)));
    }
}
