//! The graph alone, without video: its part of the dataflow on workers of its own, one closed epoch after the other.

pub mod operators;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use crossbeam::channel::{Receiver, Sender, bounded};
use differential_dataflow::AsCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{ClassId, Row};
use kinetograph_dataflows::index::partition::codebook::Decision;
use kinetograph_dataflows::settings::GraphSettings;
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::derive;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Input;
use timely::worker::Worker;

use crate::epoch::{Changes, Gathered, Home};
use operators::Operators;

/// The inputs of an epoch.
#[derive(Clone, Default)]
pub struct Given {
    /// Nodes that come and go; of one that goes only the id matters.
    pub rows: Vec<(Row, Diff)>,
    /// Decisions that take effect, in order.
    pub decisions: Vec<Decision>,
}

/// Classes by node, from before.
pub type Labels = Arc<HashMap<NodeId, ClassId>>;

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
    /// Starts `workers` of them over an empty graph, in which nodes that come with lists may get the labels of classes that are
    /// `known`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(workers: usize, settings: &GraphSettings, known: Labels) -> anyhow::Result<Self> {
        let workers = workers.max(1);
        let (turns, takers): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(1)).unzip();
        let (share, shares) = bounded(workers);
        let (scored, operators) = (Arc::<AtomicU64>::default(), Arc::<Operators>::default());
        let (settings, count, times) = (settings.clone(), scored.clone(), operators.clone());
        let thread = std::thread::Builder::new().name("workers".into()).spawn(move || {
            let guards = timely::execute(timely::Config::process(workers), move |worker| {
                let (turns, share) = (takers[worker.index()].clone(), share.clone());
                work(worker, &settings, &known, &turns, &share, &count, &times);
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

fn work(
    worker: &mut Worker,
    settings: &GraphSettings,
    known: &Labels,
    turns: &Receiver<(Epoch, Given)>,
    shares: &Sender<Share>,
    scored: &Arc<AtomicU64>,
    operators: &Arc<Operators>,
) {
    operators.listen(worker);
    let (gathered, probe) = (Gathered::<Changes>::default(), Handle::new());
    let (mut rows, mut codebook) = worker.dataflow::<Epoch, _, _>(|scope| {
        let (rows_in, rows) = scope.new_input::<(Row, Epoch, Diff)>();
        let (codebook_in, codebook) = scope.new_input::<((u64, Decision), Epoch, Diff)>();
        let (rows, codebook) = (rows.as_collection(), codebook.as_collection());
        let graph = derive(rows, codebook, known.clone(), settings, scored.clone());
        gathered.attach(&graph, Home::HERE, &probe);
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
        if shares.send((epoch, gathered.take(epoch))).is_err() {
            break;
        }
    }
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}
