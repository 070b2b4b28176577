//! The graph's part of the dataflow on its workers, one closed epoch after the other.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use crossbeam::channel::{Receiver, Sender, bounded};
use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{AsCollection, VecCollection};
use kinetograph_dataflows::graph::closure::{Closure, closure};
use kinetograph_dataflows::graph::codebook::Decision;
use kinetograph_dataflows::graph::neighbours::{Neighbours, neighbours};
use kinetograph_dataflows::graph::node::{CellId, ClassId, Cluster, GroupId, List, Pair, Row};
use kinetograph_dataflows::graph::{Diff, Epoch, Settings};
use kinetograph_dataflows::id::NodeId;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Input;
use timely::worker::Worker;

use super::operators::Operators;

/// What an epoch is given.
#[derive(Clone, Default)]
pub struct Given {
    /// Nodes that come and go; of one that goes only the id matters.
    pub rows: Vec<(Row, Diff)>,
    /// Decisions that take effect, in order.
    pub decisions: Vec<Decision>,
}

/// Records of a collection that come (1) or go (-1).
pub type Net<D> = Vec<(D, Diff)>;

/// What an epoch changes, net.
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
    /// Inter-instance edges.
    pub inter: Net<(NodeId, NodeId)>,
    /// Transitive pairs with their reasons.
    pub pairs: Net<Pair>,
    /// Node to its class.
    pub classes: Net<(NodeId, ClassId)>,
    /// What could not be followed.
    pub misfits: Vec<String>,
}

impl Changes {
    fn merge(&mut self, other: Changes) {
        self.cells.extend(other.cells);
        self.groups.extend(other.groups);
        self.lists.extend(other.lists);
        self.clusters.extend(other.clusters);
        self.inter.extend(other.inter);
        self.pairs.extend(other.pairs);
        self.classes.extend(other.classes);
        self.misfits.extend(other.misfits);
    }

    /// Records that come or go.
    pub fn count(&self) -> usize {
        let labels = self.cells.len() + self.groups.len() + self.classes.len();
        labels + self.lists.len() + self.clusters.len() + self.inter.len() + self.pairs.len()
    }

    /// Nets changes out, what goes before what comes.
    fn settle(&mut self) {
        settle(&mut self.cells);
        settle(&mut self.groups);
        settle(&mut self.lists);
        settle(&mut self.clusters);
        settle(&mut self.inter);
        settle(&mut self.pairs);
        settle(&mut self.classes);
    }
}

fn settle<D: Ord + Clone + 'static>(changes: &mut Net<D>) {
    consolidate(changes);
    changes.sort_by(|(a, x), (b, y)| x.cmp(y).then_with(|| a.cmp(b)));
}

/// One worker's part of a closed epoch.
type Share = (Epoch, Changes);

/// The running workers.
pub struct Graph {
    turns: Vec<Sender<(Epoch, Given)>>,
    shares: Receiver<Share>,
    scored: Arc<AtomicU64>,
    operators: Arc<Operators>,
    workers: Option<JoinHandle<Result<(), String>>>,
}

impl Graph {
    /// Starts `workers` of them over an empty graph.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(workers: usize, settings: &Settings) -> anyhow::Result<Self> {
        let (turns, takers): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(1)).unzip();
        let (share, shares) = bounded(workers);
        let (scored, operators) = (Arc::<AtomicU64>::default(), Arc::<Operators>::default());
        let (settings, count, times) = (settings.clone(), scored.clone(), operators.clone());
        let thread = std::thread::Builder::new().name("workers".into()).spawn(move || {
            let guards = timely::execute(timely::Config::process(workers), move |worker| {
                let (turns, share) = (takers[worker.index()].clone(), share.clone());
                work(worker, &settings, &turns, &share, &count, &times);
            })?;
            guards.join().into_iter().collect::<Result<Vec<()>, String>>().map(drop)
        })?;
        Ok(Graph { turns, shares, scored, operators, workers: Some(thread) })
    }

    /// Runs `epoch`, which must be later than every one before, until it is closed on all workers. What it changed, and how long
    /// it took from the first row given to the last worker done.
    ///
    /// # Errors
    /// When a worker is gone.
    pub fn turn(&self, epoch: Epoch, given: Given) -> anyhow::Result<(Changes, Duration)> {
        let gone = || anyhow!("a worker of the graph is gone; its message is above");
        let mut parts: Vec<Given> = self.turns.iter().map(|_| Given::default()).collect();
        let workers = parts.len();
        for (at, row) in given.rows.into_iter().enumerate() {
            parts[at % workers].rows.push(row);
        }
        parts[0].decisions = given.decisions;
        let begin = Instant::now();
        for (turns, part) in self.turns.iter().zip(parts) {
            turns.send((epoch, part)).map_err(|_| gone())?;
        }
        let mut shares = Vec::with_capacity(workers);
        for _ in 0..workers {
            shares.push(self.shares.recv().map_err(|_| gone())?.1);
        }
        let took = begin.elapsed();
        let mut changes = Changes::default();
        shares.into_iter().for_each(|share| changes.merge(share));
        changes.settle();
        Ok((changes, took))
    }

    /// Scores computed for lists so far.
    pub fn scored(&self) -> u64 {
        self.scored.load(Ordering::Relaxed)
    }

    /// Ends the workers, which take no epoch after: seconds spent in each operator, all workers together.
    ///
    /// # Errors
    /// When one panicked.
    pub fn finish(&mut self) -> anyhow::Result<BTreeMap<String, f64>> {
        self.turns.clear();
        if let Some(workers) = self.workers.take() {
            let ended = workers.join().map_err(|_| anyhow!("a worker of the graph panicked"))?;
            ended.map_err(|reason| anyhow!("a worker of the graph failed: {reason}"))?;
        }
        Ok(self.operators.seconds())
    }
}

/// Changes that a worker has not sent off yet, by epoch.
#[derive(Clone, Default)]
struct Gathered(Rc<RefCell<BTreeMap<Epoch, Changes>>>);

impl Gathered {
    fn sink<D: Clone + 'static>(
        &self,
        collection: VecCollection<'_, Epoch, D, Diff>,
        probe: &Handle<Epoch>,
        put: impl Fn(&mut Changes, (D, Diff)) + 'static,
    ) {
        let gathered = self.clone();
        collection
            .inspect(move |(data, epoch, diff)| {
                put(gathered.0.borrow_mut().entry(*epoch).or_default(), (data.clone(), *diff));
            })
            .probe_with(probe);
    }
}

fn work(
    worker: &mut Worker,
    settings: &Settings,
    turns: &Receiver<(Epoch, Given)>,
    shares: &Sender<Share>,
    scored: &Arc<AtomicU64>,
    operators: &Arc<Operators>,
) {
    operators.listen(worker);
    let (gathered, probe) = (Gathered::default(), Handle::new());
    let (mut rows, mut codebook) = worker.dataflow::<Epoch, _, _>(|scope| {
        let (rows_in, rows) = scope.new_input::<(Row, Epoch, Diff)>();
        let (codebook_in, codebook) = scope.new_input::<((u64, Decision), Epoch, Diff)>();
        let (rows, codebook) = (rows.as_collection(), codebook.as_collection());
        // As `wire` does it, from the rows on.
        let nodes = rows.clone().map(|row| row.id);
        let Neighbours { cells, groups, lists, neighbours, misfits } =
            neighbours(rows, codebook, &settings.neighbours, scored.clone());
        let Closure { clusters, inter, pairs, classes, .. } =
            closure(nodes, neighbours, Arc::new(HashMap::new()), &settings.closure);
        gathered.sink(cells, &probe, |changes, change| changes.cells.push(change));
        gathered.sink(groups, &probe, |changes, change| changes.groups.push(change));
        gathered.sink(lists, &probe, |changes, change| changes.lists.push(change));
        gathered.sink(clusters, &probe, |changes, change| changes.clusters.push(change));
        gathered.sink(inter, &probe, |changes, change| changes.inter.push(change));
        gathered.sink(pairs, &probe, |changes, change| changes.pairs.push(change));
        gathered.sink(classes, &probe, |changes, change| changes.classes.push(change));
        gathered.sink(misfits, &probe, |changes, (misfit, _)| changes.misfits.push(misfit));
        (rows_in, codebook_in)
    });
    while let Ok((epoch, given)) = turns.recv() {
        rows.advance_to(epoch);
        codebook.advance_to(epoch);
        given.rows.into_iter().for_each(|(row, diff)| rows.send((row, epoch, diff)));
        for (order, decision) in given.decisions.into_iter().enumerate() {
            codebook.send(((order as u64, decision), epoch, 1));
        }
        rows.advance_to(epoch + 1);
        codebook.advance_to(epoch + 1);
        worker.step_or_park_while(None, || probe.less_equal(&epoch));
        let changes = gathered.0.borrow_mut().remove(&epoch).unwrap_or_default();
        if shares.send((epoch, changes)).is_err() {
            break;
        }
    }
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}
