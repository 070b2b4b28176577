//! What one worker's share of an epoch holds, and how it is gathered from the dataflow.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::VecCollection;
use differential_dataflow::consolidation::consolidate;
use kinetograph_dataflows::graph::node::{CellId, ClassId, Cluster, GroupId, List, Pair};
use kinetograph_dataflows::graph::{Diff, Epoch};
use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::observe::{Embedded, Observed, Tally};
use kinetograph_dataflows::wire::Outputs;
use timely::dataflow::operators::probe::Handle;

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
}

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
    }
}

fn settle<D: Ord + Clone + 'static>(changes: &mut Changes<D>) {
    consolidate(changes);
    changes.sort_by(|(a, x), (b, y)| x.cmp(y).then_with(|| a.cmp(b)));
}

/// Changes of this worker that are not sent off yet, by epoch.
#[derive(Clone, Debug, Default)]
pub struct Gathered(Rc<RefCell<BTreeMap<Epoch, EpochOutputs>>>);

impl Gathered {
    /// Gathers all outputs of the dataflow; `probe` then tells which epochs are complete.
    pub fn attach(&self, outputs: Outputs<'_>, probe: &Handle<Epoch>) {
        self.sink(outputs.nodes, probe, |out, embedded, _| out.nodes.push(embedded));
        self.sink(outputs.observed, probe, |out, observed, _| match observed {
            Observed::Tally(source, tally) => out.tallies.push((source, tally)),
            Observed::Still { source, seq, jpeg } => out.stills.push((source, seq, jpeg)),
            Observed::View(_) => {}
        });
        self.sink(outputs.cells, probe, |out, d, r| out.cells.push((d, r)));
        self.sink(outputs.groups, probe, |out, d, r| out.groups.push((d, r)));
        self.sink(outputs.lists, probe, |out, d, r| out.lists.push((d, r)));
        self.sink(outputs.clusters, probe, |out, d, r| out.clusters.push((d, r)));
        self.sink(outputs.inter, probe, |out, d, r| out.inter.push((d, r)));
        self.sink(outputs.pairs, probe, |out, d, r| out.pairs.push((d, r)));
        self.sink(outputs.classes, probe, |out, d, r| out.classes.push((d, r)));
        self.sink(outputs.misfits, probe, |out, misfit, _| out.misfits.push(misfit));
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
