//! What one worker's share of an epoch holds, and how it is gathered from the dataflow.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use kinetograph_dataflows::graph::node::{CellId, ClassId, Cluster, GroupId, List, Pair, Row};
use kinetograph_dataflows::graph::{Diff, Epoch};
use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::observe::{Embedded, Observed, Tally};
use kinetograph_dataflows::wire::Outputs;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Filter;

use super::member::Member;
use crate::state::record::Shard;

/// Changes of a collection: record and difference.
pub type Changes<D> = Vec<(D, Diff)>;

/// What a source gave in an epoch.
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
    /// Node to cell.
    pub cells: Changes<(NodeId, CellId)>,
    /// Node to group.
    pub groups: Changes<(NodeId, GroupId)>,
    /// Node and cell to list.
    pub lists: Changes<((NodeId, CellId), List)>,
    /// Child clusters.
    pub clusters: Changes<Cluster>,
    /// Inter-instance edges.
    pub inter: Changes<(NodeId, NodeId)>,
    /// Transitive pairs.
    pub pairs: Changes<Pair>,
    /// Node to class.
    pub classes: Changes<(NodeId, ClassId)>,
    /// What the graph could not follow, in words.
    pub misfits: Vec<String>,
    /// Nodes of this process that were taken back; filled where several processes run one graph.
    pub retired: Vec<NodeId>,
    /// Of process 0 of several: what decisions are taken from.
    pub everywhere: Everywhere,
}

/// What decisions are taken from, of all processes.
#[derive(Debug, Default)]
pub struct Everywhere {
    /// New nodes with their vectors.
    pub nodes: Vec<NewNode>,
    /// Node to cell.
    pub cells: Changes<(NodeId, CellId)>,
    /// Node and cell to list.
    pub lists: Changes<((NodeId, CellId), List)>,
}

/// A node with its vector.
pub type NewNode = (NodeId, Arc<[f32]>);

impl EpochOutputs {
    /// Takes in another worker's share of the same epoch.
    pub fn merge(&mut self, other: EpochOutputs) {
        self.slices.extend(other.slices);
        self.nodes.extend(other.nodes);
        self.tallies.extend(other.tallies);
        self.stills.extend(other.stills);
        self.cells.extend(other.cells);
        self.groups.extend(other.groups);
        self.lists.extend(other.lists);
        self.clusters.extend(other.clusters);
        self.inter.extend(other.inter);
        self.pairs.extend(other.pairs);
        self.classes.extend(other.classes);
        self.misfits.extend(other.misfits);
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
        settle(&mut self.cells);
        settle(&mut self.groups);
        settle(&mut self.lists);
        settle(&mut self.clusters);
        settle(&mut self.inter);
        settle(&mut self.pairs);
        settle(&mut self.classes);
        self.retired.sort_unstable();
        self.everywhere.nodes.sort_by_key(|(node, _)| *node);
        settle(&mut self.everywhere.cells);
        settle(&mut self.everywhere.lists);
    }

    /// Whether the epoch changed nothing at all.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
            && self.nodes.is_empty()
            && self.cells.is_empty()
            && self.groups.is_empty()
            && self.lists.is_empty()
            && self.clusters.is_empty()
            && self.inter.is_empty()
            && self.pairs.is_empty()
            && self.classes.is_empty()
            && self.retired.is_empty()
    }
}

fn settle<D: Ord + Clone + 'static>(changes: &mut Changes<D>) {
    consolidate(changes);
    changes.sort_by(|(a, x), (b, y)| x.cmp(y).then_with(|| a.cmp(b)));
}

/// Sends records to the process that keeps them.
#[derive(Clone, Copy)]
struct Home(Member);

impl Home {
    /// Each record of `collection` goes to a worker of the process that keeps what is kept by `node`.
    fn go<'s, D: ExchangeData>(
        self,
        collection: VecCollection<'s, Epoch, D, Diff>,
        node: impl Fn(&D) -> NodeId + 'static,
    ) -> VecCollection<'s, Epoch, D, Diff> {
        let Home(Member { of, workers, .. }) = self;
        if of == 1 {
            return collection;
        }
        let worker = move |record: &(D, Epoch, Diff)| {
            let node = node(&record.0);
            let process = Shard::of_source(node.source(), of as u32).process as usize;
            (process * workers + node.track().0 as usize % workers) as u64
        };
        collection.inner.exchange(worker).as_collection()
    }
}

/// What changes after epoch `start`, which is in the stores, goes to process 0.
fn to_first<'s, D: ExchangeData>(
    collection: VecCollection<'s, Epoch, D, Diff>,
    start: Epoch,
) -> VecCollection<'s, Epoch, D, Diff> {
    collection.inner.filter(move |(_, epoch, _)| *epoch > start).exchange(|_| 0).as_collection()
}

/// Changes of this worker that are not sent off yet, by epoch.
#[derive(Clone, Debug, Default)]
pub struct Gathered(Rc<RefCell<BTreeMap<Epoch, EpochOutputs>>>);

impl Gathered {
    /// Gathers all outputs of the dataflow on the process that keeps them; `probe` then tells which epochs are complete.
    pub fn attach(&self, outputs: Outputs<'_>, member: Member, probe: &Handle<Epoch>) {
        let home = Home(member);
        let cells = home.go(outputs.cells, |(node, _)| *node);
        let groups = home.go(outputs.groups, |(node, _)| *node);
        let lists = home.go(outputs.lists, |((node, _), _)| *node);
        let clusters = home.go(outputs.clusters, |cluster| cluster[0]);
        let inter = home.go(outputs.inter, |(a, _)| *a);
        let pairs = home.go(outputs.pairs, |pair| pair.a);
        let classes = home.go(outputs.classes, |(node, _)| *node);
        self.sink(outputs.nodes, probe, |out, embedded, _| out.nodes.push(embedded));
        self.sink(outputs.observed, probe, |out, observed, _| match observed {
            Observed::Tally(source, tally) => out.tallies.push((source, tally)),
            Observed::Still { source, seq, jpeg } => out.stills.push((source, seq, jpeg)),
            Observed::View(_) => {}
        });
        self.sink(cells, probe, |out, d, r| out.cells.push((d, r)));
        self.sink(groups, probe, |out, d, r| out.groups.push((d, r)));
        self.sink(lists, probe, |out, d, r| out.lists.push((d, r)));
        self.sink(clusters, probe, |out, d, r| out.clusters.push((d, r)));
        self.sink(inter, probe, |out, d, r| out.inter.push((d, r)));
        self.sink(pairs, probe, |out, d, r| out.pairs.push((d, r)));
        self.sink(classes, probe, |out, d, r| out.classes.push((d, r)));
        self.sink(outputs.misfits, probe, |out, misfit, _| out.misfits.push(misfit));
    }

    /// Gathers, where several processes run one graph, what is taken back where it is kept, and on process 0 what decisions
    /// are taken from.
    pub fn attach_everywhere(
        &self,
        outputs: &Outputs<'_>,
        given: VecCollection<'_, Epoch, Row, Diff>,
        (member, start): (Member, Epoch),
        probe: &Handle<Epoch>,
    ) {
        let gone = given.inner.filter(|(_, _, diff)| *diff < 0).as_collection().map(|row| row.id);
        self.sink(Home(member).go(gone, |node| *node), probe, |out, node, _| out.retired.push(node));
        // Vectors have no order; what takes part in a collection has one.
        let bits = |vector: &[f32]| -> Vec<u32> { vector.iter().map(|value| value.to_bits()).collect() };
        let nodes = outputs.nodes.clone().map(move |node| (node.view.id, bits(&node.vector)));
        self.sink(to_first(nodes, start), probe, |out, (node, bits), _| {
            out.everywhere.nodes.push((node, bits.into_iter().map(f32::from_bits).collect()));
        });
        let (cells, lists) = (outputs.cells.clone(), outputs.lists.clone());
        self.sink(to_first(cells, start), probe, |out, d, r| out.everywhere.cells.push((d, r)));
        self.sink(to_first(lists, start), probe, |out, d, r| out.everywhere.lists.push((d, r)));
    }

    /// Changes the outputs of `epoch`.
    pub fn at(&self, epoch: Epoch, change: impl FnOnce(&mut EpochOutputs)) {
        change(self.0.borrow_mut().entry(epoch).or_default());
    }

    /// Takes everything gathered at `epoch`.
    pub fn take(&self, epoch: Epoch) -> EpochOutputs {
        self.0.borrow_mut().remove(&epoch).unwrap_or_default()
    }

    fn sink<D: Clone + 'static>(
        &self,
        collection: VecCollection<'_, Epoch, D, Diff>,
        probe: &Handle<Epoch>,
        put: impl Fn(&mut EpochOutputs, D, Diff) + 'static,
    ) {
        let gathered = self.clone();
        collection
            .inspect(move |(data, epoch, diff)| gathered.at(*epoch, |out| put(out, data.clone(), *diff)))
            .probe_with(probe);
    }
}
