//! The graph alone, over anybody's vectors: operations in, the files of an export and what it took out.
//!
//! Neighbours, clusters, pairs and classes are made by the operators that the engine runs, the codebook is decided as the engine
//! decides it, and every decision is in the output; so whoever has the files can compute the graph again.

pub mod held;
pub mod names;
pub mod ops;
pub mod timings;
pub mod vectors;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::kernels::vector::Vector;
use kinetograph_dataflows::index::node::Row;
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};
use kinetograph_dataflows::index::partition::policy::{CodebookKind, Deciding};
use kinetograph_dataflows::observe::frame::PixelBox;
use kinetograph_dataflows::time::{Diff, Epoch};

use crate::collections::{Context, Each, Listed, Maps, each_collection};
use crate::config::Config;
use crate::export::folder::Folder;
use crate::export::table::Tsv;
use crate::export::{files, tensors};
use crate::peak_rss::peak_rss_bytes;
use crate::recompute::Rules;
use crate::turn::{Given, Graph, Labels};
use held::follow;
use names::{Live, Names};
use ops::{Change, Fault, Op, Ops};
use timings::{Rates, Timings, Turn};
use vectors::{Vectors, VectorsError};

/// After so many epochs in which nothing was given or decided, nothing is left to decide: a cell that is too large is looked
/// at more often.
const QUIET_EPOCHS: u64 = 16;

/// The inputs of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Safetensors: see [`Vectors`].
    pub vectors: PathBuf,
    /// Table of operations: see [`Ops`].
    pub ops: PathBuf,
    /// Folder for the files.
    pub out: PathBuf,
    /// Dataflow workers.
    pub workers: usize,
}

/// The progress of a run.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes of the operations read.
    pub read: u64,
    /// Bytes of all the operations.
    pub all: u64,
    /// The epoch.
    pub epoch: Epoch,
    /// Nodes that are there.
    pub nodes: usize,
}

/// Runs the graph over `options.ops`, then until its codebook is at rest, and writes what there is then.
///
/// Memory: the operators' own, and for what is written in the end about 0.6 KB a node with lists of 10 and 60 bytes a
/// transitive pair. Vectors stay on the disk, but for those that the operators keep; operations are read an epoch at a time.
///
/// # Errors
/// When a file cannot be read or written, or a line does not fit what came before; it is named then, and nothing is written.
pub fn run(
    config: &Config,
    options: &Options,
    progress: &dyn Fn(&Progress),
) -> anyhow::Result<(Timings, files::Exported)> {
    let folder = files::begin(&options.out)?;
    let vectors = Vectors::open(&options.vectors, config.embed.precision)?;
    let mut ops = Ops::open(&options.ops)?;
    let mut bench = Bench::start(config, options, vectors)?;
    let mut reading = Instant::now();
    let mut given = Given::default();
    let mut at = None;
    while let Some(op) = ops.next().transpose()? {
        if let Some(epoch) = at.filter(|epoch| *epoch != op.epoch) {
            bench.spent("reading", reading.elapsed());
            bench.close(epoch, std::mem::take(&mut given))?;
            bench.settle(epoch, op.epoch)?;
            progress(&Progress {
                read: ops.read(),
                all: ops.bytes(),
                epoch,
                nodes: bench.names.nodes().len(),
            });
            reading = Instant::now();
        }
        at = Some(op.epoch);
        let line = op.line;
        let row = bench.row(op).map_err(|fault| ops.wrong(line, fault))?;
        given.rows.push(row);
    }
    if let Some(epoch) = at {
        bench.spent("reading", reading.elapsed());
        bench.close(epoch, given)?;
        bench.settle(epoch, Epoch::MAX)?;
    }
    bench.finish(config, folder)
}

struct Bench {
    vectors: Vectors,
    names: Names,
    /// Rows of the nodes that are there.
    row_of: HashMap<NodeId, u32>,
    graph: Graph,
    held: Each<Maps>,
    /// The codebook after every decision taken, pending ones too.
    codebook: Codebook,
    deciding: Deciding,
    delay: u64,
    quiet_epochs: u64,
    /// Decisions by the epoch they take effect at.
    pending: BTreeMap<Epoch, Vec<Decision>>,
    /// Every decision taken.
    decisions: Vec<(Epoch, Decision)>,
    /// Epochs in a row in which nothing was given or decided.
    quiet: u64,
    last: Epoch,
    turns: Vec<Turn>,
    timings: Timings,
}

impl Bench {
    fn start(config: &Config, options: &Options, vectors: Vectors) -> anyhow::Result<Self> {
        let workers = options.workers.max(1);
        let mut graph = config.graph.clone();
        graph.neighbours = graph.neighbours.measured(vectors.length());
        let every = match config.graph.neighbours.codebook {
            CodebookKind::Growing { try_every_epochs, .. } => try_every_epochs,
            CodebookKind::KMeans { .. } => 1,
        };
        Ok(Bench {
            names: Names::default(),
            row_of: HashMap::new(),
            graph: Graph::start(workers, &graph, Labels::default())?,
            held: Each::default(),
            codebook: Codebook::default(),
            deciding: Deciding::new(config.graph.neighbours.clone()),
            delay: config.engine.decision_delay_epochs.max(1),
            quiet_epochs: QUIET_EPOCHS.max(every),
            pending: BTreeMap::new(),
            decisions: Vec::new(),
            quiet: 0,
            last: 0,
            turns: Vec::new(),
            timings: Timings { workers, dimensions: vectors.length(), ..Timings::default() },
            vectors,
        })
    }

    fn spent(&mut self, on: &'static str, time: Duration) {
        *self.timings.seconds.entry(on).or_default() += time.as_secs_f64();
    }

    /// The change of rows that `op` is.
    fn row(&mut self, op: Op) -> Result<(Row, Diff), Fault> {
        match op.change {
            Change::Insert { track, source, pts_ns } => {
                let row = self.vectors.row(op.node)?;
                let id = self.names.insert(op.node, &track, &source, row, pts_ns)?;
                let vector = self.vectors.read(row)?;
                self.row_of.insert(id, row);
                Ok((Row { id, pts_ns, vector, known: None }, 1))
            }
            Change::Delete { track, source } => {
                let Live { id, pts_ns, .. } = self.names.delete(op.node, track, source)?;
                self.row_of.remove(&id);
                Ok((Row { id, pts_ns, vector: [].into(), known: None }, -1))
            }
        }
    }

    /// Runs an epoch with operations.
    fn close(&mut self, epoch: Epoch, given: Given) -> anyhow::Result<()> {
        let inserts = given.rows.iter().filter(|(_, diff)| *diff > 0).count();
        let deletes = given.rows.len() - inserts;
        self.quiet = 0;
        let (changes, latency) = self.turn(epoch, given)?;
        self.names.close_epoch();
        self.turns.push(Turn { epoch, inserts, deletes, changes, latency });
        Ok(())
    }

    /// Runs the epochs between `after` and `before` for as long as something is to take effect or to be decided.
    fn settle(&mut self, after: Epoch, before: Epoch) -> anyhow::Result<()> {
        let mut epoch = after;
        while epoch + 1 < before && (!self.pending.is_empty() || self.quiet < self.quiet_epochs) {
            epoch += 1;
            self.quiet += 1;
            let (_, latency) = self.turn(epoch, Given::default())?;
            self.timings.settling_epochs += 1;
            self.timings.settling_seconds += latency.as_secs_f64();
        }
        Ok(())
    }

    fn turn(&mut self, epoch: Epoch, mut given: Given) -> anyhow::Result<(usize, Duration)> {
        given.decisions = self.pending.remove(&epoch).unwrap_or_default();
        let (changes, latency) = self.graph.turn(epoch, given)?;
        self.spent("graph", latency);
        let begin = Instant::now();
        changes.of.cells.iter().for_each(|((node, cell), diff)| self.deciding.change(*node, *cell, *diff));
        let count = changes.count();
        follow(&mut self.held, &changes)?;
        self.spent("following", begin.elapsed());
        let begin = Instant::now();
        self.decide(epoch)?;
        self.spent("deciding", begin.elapsed());
        self.last = epoch;
        Ok((count, latency))
    }

    /// As the committer of a run decides: from the closed epoch, to take effect a fixed number of epochs later.
    fn decide(&mut self, epoch: Epoch) -> anyhow::Result<()> {
        let trouble: RefCell<Option<VectorsError>> = RefCell::default();
        let vector_of = |node| -> Option<Vector> {
            let read = self.vectors.read(*self.row_of.get(&node)?);
            read.map_err(|error| trouble.replace(Some(error))).ok()
        };
        let decided = self.deciding.decide(epoch, &self.codebook, vector_of);
        if let Some(error) = trouble.into_inner() {
            return Err(error.into());
        }
        for decision in decided {
            if self.codebook.apply(&decision).is_ok() {
                self.quiet = 0;
                self.decisions.push((epoch + self.delay, decision.clone()));
                self.pending.entry(epoch + self.delay).or_default().push(decision);
            }
        }
        Ok(())
    }

    fn finish(mut self, config: &Config, folder: Folder) -> anyhow::Result<(Timings, files::Exported)> {
        self.timings.scored = self.graph.scored();
        self.timings.operator_seconds = self.graph.finish()?;
        let begin = Instant::now();
        let mut nodes: Vec<(u64, &Live)> = self.names.nodes().collect();
        nodes.sort_unstable_by_key(|(_, live)| live.id);
        let ids: Vec<NodeId> = nodes.iter().map(|(_, live)| live.id).collect();
        let rules = Rules::of(&config.graph);
        let cells: BTreeSet<_> = self.held.cells.values().copied().collect();

        let mut columns = Vec::new();
        let mut tables = BTreeMap::new();
        let context = Context { k: rules.k, nodes: &ids };
        each_collection!(C => {
            let records = std::mem::take(C::of_mut(&mut self.held));
            tables.extend(files::records::<C>(&folder, &records, &context)?);
            columns.extend(files::Column::of::<C>(records));
        });
        let rows = nodes.iter().map(|(_, live)| files::Node {
            id: live.id,
            seq: live.frame,
            pts_ns: live.pts_ns,
            region: PixelBox { x: 0, y: 0, w: 0, h: 0 },
        });
        files::nodes(&folder, rows, &columns)?;
        tensors::vectors(&folder, &ids, self.vectors.length(), |id, values| {
            let row = self.row_of.get(&id).ok_or_else(|| anyhow!("node {id} has no row"))?;
            values.extend_from_slice(&self.vectors.read(*row)?.values());
            Ok(())
        })?;
        self.write_names(&nodes, &folder)?;
        let sources = self.names.sources().map(|(id, name, frames)| files::Source {
            id,
            name: name.to_string(),
            uri: String::new(),
            frames,
            ended: true,
            failure: None,
        });
        let exported = files::Exported {
            nodes: ids.len(),
            vectors: ids.len(),
            crops: 0,
            tables,
            sources: files::sources(&folder, sources)?,
            decisions: files::decisions(&folder, self.last, &self.decisions)?,
        };
        folder.json("settings.json", &config.to_json()?)?;
        self.write_epochs(&folder)?;
        (self.timings.nodes, self.timings.cells) = (ids.len(), cells.len());
        drop(nodes);
        self.spent("writing", begin.elapsed());
        let timings = self.rated();
        folder.json("timings.json", &timings)?;
        files::finish(folder, self.last, &rules, &exported)?;
        Ok((timings, exported))
    }

    /// `names.tsv`: what each node of the other tables is called outside.
    fn write_names(&self, nodes: &[(u64, &Live)], folder: &Folder) -> anyhow::Result<()> {
        let mut tsv = Tsv::create(folder, "names.tsv", &["node", "name", "track", "source"])?;
        for (name, live) in nodes {
            let (track, source) = self.names.track_and_source(live);
            tsv.row(&[&live.id, name, &track, &source])?;
        }
        tsv.finish().map(drop)
    }

    /// `epochs.tsv`: what each epoch with operations took.
    fn write_epochs(&self, folder: &Folder) -> anyhow::Result<()> {
        let columns = ["epoch", "inserts", "deletes", "changes", "latency_us"];
        let mut tsv = Tsv::create(folder, "epochs.tsv", &columns)?;
        for Turn { epoch, inserts, deletes, changes, latency } in &self.turns {
            tsv.row(&[epoch, inserts, deletes, changes, &latency.as_micros()])?;
        }
        tsv.finish().map(drop)
    }

    fn rated(&self) -> Timings {
        let kind = |inserts: bool, deletes: bool| {
            let of = move |turn: &&Turn| (turn.inserts > 0, turn.deletes > 0) == (inserts, deletes);
            self.turns.iter().filter(of)
        };
        let inserting: Vec<&Turn> = kind(true, false).collect();
        let last = inserting.len() - inserting.len() / 10;
        Timings {
            all: Rates::of(&self.turns),
            inserting: Rates::of(inserting.iter().copied()),
            deleting: Rates::of(kind(false, true)),
            mixed: Rates::of(kind(true, true)),
            inserting_last_tenth: Rates::of(inserting[last..].iter().copied()),
            peak_rss_bytes: peak_rss_bytes(),
            ..self.timings.clone()
        }
    }
}
