//! What an epoch changes in the graph, and how that is gathered from a dataflow.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::VecCollection;
use differential_dataflow::consolidation::consolidate;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{CellId, ClassId, Cluster, GroupId, List, Pair};
use kinetograph_dataflows::time::{Diff, Epoch};
use timely::dataflow::operators::probe::Handle;

/// Records of a collection that come (1) or go (-1).
pub type Net<D> = Vec<(D, Diff)>;

/// What an epoch changes, collection by collection.
#[derive(Debug, Default)]
pub struct Changes {
    /// Node to the cell that stores it.
    pub cells: Net<(NodeId, CellId)>,
    /// Node to its group.
    pub groups: Net<(NodeId, GroupId)>,
    /// Node and cell to the best neighbours there.
    pub lists: Net<((NodeId, CellId), List)>,
    /// Child clusters.
    pub clusters: Net<Cluster>,
    /// Inter-instance edges, the smaller node first.
    pub inter: Net<(NodeId, NodeId)>,
    /// Transitive pairs with their reasons.
    pub pairs: Net<Pair>,
    /// Node to its class.
    pub classes: Net<(NodeId, ClassId)>,
    /// What the graph could not follow, in words.
    pub misfits: Vec<String>,
}

impl Changes {
    /// Takes in another worker's share of the same epoch.
    pub fn merge(&mut self, other: Changes) {
        self.cells.extend(other.cells);
        self.groups.extend(other.groups);
        self.lists.extend(other.lists);
        self.clusters.extend(other.clusters);
        self.inter.extend(other.inter);
        self.pairs.extend(other.pairs);
        self.classes.extend(other.classes);
        self.misfits.extend(other.misfits);
    }

    /// Nets changes out and puts them in an order that does not depend on the workers. Of a key that goes and comes, going is
    /// first.
    pub fn settle(&mut self) {
        settle(&mut self.cells);
        settle(&mut self.groups);
        settle(&mut self.lists);
        settle(&mut self.clusters);
        settle(&mut self.inter);
        settle(&mut self.pairs);
        settle(&mut self.classes);
    }

    /// Records that come or go.
    pub fn count(&self) -> usize {
        let labels = self.cells.len() + self.groups.len() + self.classes.len();
        labels + self.lists.len() + self.clusters.len() + self.inter.len() + self.pairs.len()
    }
}

/// Nets changes of one collection out, what goes before what comes.
pub fn settle<D: Ord + Clone + 'static>(changes: &mut Net<D>) {
    consolidate(changes);
    changes.sort_by(|(a, x), (b, y)| x.cmp(y).then_with(|| a.cmp(b)));
}

/// The collections of a graph, as one worker sees its part of them: see [`Changes`].
pub struct Collections<'s> {
    /// Node to cell.
    pub cells: VecCollection<'s, Epoch, (NodeId, CellId), Diff>,
    /// Node to group.
    pub groups: VecCollection<'s, Epoch, (NodeId, GroupId), Diff>,
    /// Node and cell to list.
    pub lists: VecCollection<'s, Epoch, ((NodeId, CellId), List), Diff>,
    /// Child clusters.
    pub clusters: VecCollection<'s, Epoch, Cluster, Diff>,
    /// Inter-instance edges.
    pub inter: VecCollection<'s, Epoch, (NodeId, NodeId), Diff>,
    /// Transitive pairs.
    pub pairs: VecCollection<'s, Epoch, Pair, Diff>,
    /// Node to class.
    pub classes: VecCollection<'s, Epoch, (NodeId, ClassId), Diff>,
    /// What could not be followed.
    pub misfits: VecCollection<'s, Epoch, String, Diff>,
}

/// What one worker has gathered and not sent off yet, by epoch.
#[derive(Clone, Debug, Default)]
pub struct Gathered<T>(Rc<RefCell<BTreeMap<Epoch, T>>>);

impl<T: Default + AsMut<Changes> + 'static> Gathered<T> {
    /// Gathers the changes of a graph; `probe` then tells which epochs are complete.
    pub fn attach(&self, graph: Collections<'_>, probe: &Handle<Epoch>) {
        self.sink(graph.cells, probe, |out, d, r| out.as_mut().cells.push((d, r)));
        self.sink(graph.groups, probe, |out, d, r| out.as_mut().groups.push((d, r)));
        self.sink(graph.lists, probe, |out, d, r| out.as_mut().lists.push((d, r)));
        self.sink(graph.clusters, probe, |out, d, r| out.as_mut().clusters.push((d, r)));
        self.sink(graph.inter, probe, |out, d, r| out.as_mut().inter.push((d, r)));
        self.sink(graph.pairs, probe, |out, d, r| out.as_mut().pairs.push((d, r)));
        self.sink(graph.classes, probe, |out, d, r| out.as_mut().classes.push((d, r)));
        self.sink(graph.misfits, probe, |out, misfit, _| out.as_mut().misfits.push(misfit));
    }

    /// Has `put` note each change of `collection`.
    pub fn sink<D: Clone + 'static>(
        &self,
        collection: VecCollection<'_, Epoch, D, Diff>,
        probe: &Handle<Epoch>,
        put: impl Fn(&mut T, D, Diff) + 'static,
    ) {
        let gathered = Gathered(self.0.clone());
        collection
            .inspect(move |(data, epoch, diff)| gathered.at(*epoch, |out| put(out, data.clone(), *diff)))
            .probe_with(probe);
    }

    /// Changes what is gathered at `epoch`.
    pub fn at(&self, epoch: Epoch, change: impl FnOnce(&mut T)) {
        change(self.0.borrow_mut().entry(epoch).or_default());
    }

    /// Takes everything gathered at `epoch`.
    pub fn take(&self, epoch: Epoch) -> T {
        self.0.borrow_mut().remove(&epoch).unwrap_or_default()
    }
}

impl AsMut<Changes> for Changes {
    fn as_mut(&mut self) -> &mut Changes {
        self
    }
}
