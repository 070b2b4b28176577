//! The changes of an epoch in the graph, as they are gathered from a dataflow.

pub mod changes;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::probe::Handle;

use crate::collections::{Collection, Each, Listed, Nets, each_collection};
use crate::state::record::Shard;

/// Records of a collection that come (1) or go (-1).
pub type Net<D> = Vec<(D, Diff)>;

/// The changes of an epoch.
#[derive(Debug, Default)]
pub struct Changes {
    /// The changes of each collection.
    pub of: Each<Nets>,
    /// The changes that the graph could not follow, in words.
    pub errors: Vec<String>,
}

impl Changes {
    /// Takes in another worker's share of the same epoch.
    pub fn merge(&mut self, mut other: Changes) {
        each_collection!(C => {
            C::of_mut(&mut self.of).append(C::of_mut(&mut other.of));
        });
        self.errors.extend(other.errors);
    }

    /// Nets changes out and puts them in an order that does not depend on the workers. Of a key that goes and comes, going is
    /// first.
    pub fn settle(&mut self) {
        each_collection!(C => {
            settle(C::of_mut(&mut self.of));
        });
    }

    /// Records that come or go.
    pub fn count(&self) -> usize {
        let mut count = 0;
        each_collection!(C => {
            count += C::of(&self.of).len();
        });
        count
    }
}

/// Nets changes of one collection out, what goes before what comes.
pub fn settle<D: Ord + Clone + 'static>(changes: &mut Net<D>) {
    consolidate(changes);
    changes.sort_by(|(a, x), (b, y)| x.cmp(y).then_with(|| a.cmp(b)));
}

/// Where the records of a graph are kept.
#[derive(Clone, Copy, Debug)]
pub struct Home {
    /// Processes that run the graph.
    pub processes: usize,
    /// Workers of each.
    pub workers: usize,
}

impl Home {
    /// Of a graph that one process runs: each record stays with the worker that has it.
    pub const HERE: Home = Home { processes: 1, workers: 1 };

    /// Sends each record of `collection` to a worker of the process that keeps what is kept by `node`.
    pub fn go<'s, D: ExchangeData>(
        self,
        collection: VecCollection<'s, Epoch, D, Diff>,
        node: impl Fn(&D) -> NodeId + 'static,
    ) -> VecCollection<'s, Epoch, D, Diff> {
        let Home { processes, workers } = self;
        if processes == 1 {
            return collection;
        }
        let worker = move |record: &(D, Epoch, Diff)| {
            let node = node(&record.0);
            let process = Shard::of_source(node.source(), processes as u32).process as usize;
            (process * workers + node.track().0 as usize % workers) as u64
        };
        collection.inner.exchange(worker).as_collection()
    }
}

/// The part that one worker has gathered and not sent off yet, by epoch.
#[derive(Clone, Debug, Default)]
pub struct Gathered<T>(Rc<RefCell<BTreeMap<Epoch, T>>>);

impl<T: Default + AsMut<Changes> + 'static> Gathered<T> {
    /// Gathers the changes of a graph where they are kept; `probe` then tells which epochs are complete.
    pub fn attach(&self, graph: &Derived<'_>, home: Home, probe: &Handle<Epoch>) {
        each_collection!(C => {
            let records = home.go(C::stream(graph), |record| C::home(C::parts(record).0));
            self.sink(records, probe, |out, record, diff| {
                C::of_mut(&mut out.as_mut().of).push((record, diff));
            });
        });
        let errors = graph.neighbours.errors.clone();
        self.sink(errors, probe, |out, error, _| out.as_mut().errors.push(error));
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
