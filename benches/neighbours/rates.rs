//! Inserts and deletes a second through the dataflow.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use differential_dataflow::AsCollection;
use kinetograph_dataflows::id::{NodeId, SourceId, TrackId};
use kinetograph_dataflows::index::kernels::Kernel;
use kinetograph_dataflows::index::kernels::score::Score;
use kinetograph_dataflows::index::kernels::vector::{Precision, Vector};
use kinetograph_dataflows::index::node::{List, Neighbour, Row};
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};
use kinetograph_dataflows::index::partition::policy::{CodebookKind, Deciding, Settings};
use kinetograph_dataflows::index::quantize::Projecting;
use kinetograph_dataflows::index::quantize::Storage;
use kinetograph_dataflows::index::search::neighbours::{Neighbours, neighbours};
use kinetograph_dataflows::time::{Diff, Epoch};
use timely::dataflow::operators::Exchange as _;
use timely::dataflow::operators::Input as _;
use timely::dataflow::operators::probe::Handle;

use crate::vectors::{clustered, stored};

/// What to measure; see the program's own words.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) rows: usize,
    pub(crate) d: usize,
    pub(crate) workers: usize,
    pub(crate) cap: usize,
    pub(crate) nprobe: usize,
    pub(crate) probe_within: f64,
    /// Rows of an epoch while loading.
    pub(crate) load: usize,
    pub(crate) inserts: usize,
    pub(crate) batch: usize,
    /// Where vectors are from; clustered ones are made when there is no file.
    pub(crate) file: Option<PathBuf>,
    pub(crate) projection: Projecting,
    pub(crate) storage: Storage,
    pub(crate) kernel: Kernel,
    /// Whether there is one worker, with as many threads.
    pub(crate) threaded: bool,
    /// How vectors are kept.
    pub(crate) precision: Precision,
}

impl Task {
    /// Workers, and threads of each: one cell for all has one worker.
    fn threads(&self) -> (usize, usize) {
        if self.threaded || self.cap == 0 { (1, self.workers) } else { (self.workers, 1) }
    }
}

/// Rows of an epoch while loading, if nothing else is asked for.
pub(crate) const LOAD: usize = 2000;
/// Nodes whose lists are compared with a search row by row.
const COMPARED: usize = 200;
const K: usize = 10;

/// The last list heard of for each row, side by side: a reader that costs little of what is measured.
#[derive(Clone)]
struct Lists {
    entries: Vec<Neighbour>,
    lengths: Vec<u8>,
}

impl Lists {
    fn of(rows: usize) -> Self {
        let none = Neighbour { score: Score(0.0), node: NodeId(0) };
        Lists { entries: vec![none; rows * K], lengths: vec![0; rows] }
    }

    fn set(&mut self, row: usize, list: &[Neighbour]) {
        self.entries[row * K..][..list.len()].copy_from_slice(list);
        self.lengths[row] = list.len() as u8;
    }

    fn of_row(&self, row: usize) -> &[Neighbour] {
        &self.entries[row * K..][..usize::from(self.lengths[row])]
    }
}

struct Measured {
    load_s: f64,
    /// From half of the rows to all.
    doubling_s: f64,
    insert_s: f64,
    delete_s: f64,
    scored: u64,
    cells: usize,
}

/// The node of row `at`.
pub(crate) fn node(at: usize) -> NodeId {
    let track = TrackId::new(SourceId((at % 1000) as u32), 0, (at / 1000) as u64).expect("few tracks");
    track.node(0).expect("the first view")
}

/// The row of `node`.
fn row_of(node: NodeId) -> usize {
    let ordinal = node.track().0 & u64::from(u32::MAX);
    node.source().0 as usize + 1000 * ordinal as usize
}

pub(crate) fn measure(task: &Task) {
    let mut task = task.clone();
    if task.storage == Storage::Measured {
        let begun = Instant::now();
        task.storage = Storage::measure(task.d, task.kernel);
        println!("rows are kept as {:?}, measured in {:?}", task.storage, begun.elapsed());
    }
    let task = &task;
    let n = task.rows + task.inserts;
    let vectors = match &task.file {
        Some(file) => stored(file, n, task.d),
        None => clustered(n, task.d),
    };
    let vectors: Vec<Vector> =
        vectors.into_iter().map(|values| Vector::new(&values, task.precision)).collect();
    let rows: Vec<Row> = vectors
        .iter()
        .enumerate()
        .map(|(at, vector)| Row {
            id: node(at),
            pts_ns: at as u64 * 10_000_000_000,
            vector: vector.clone(),
            known: None,
        })
        .collect();
    let [lists, after_inserts] = [0; 2].map(|_| Arc::new(Mutex::new(Lists::of(n))));
    let scored = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = channel();
    let of_run = (
        task.clone(),
        Arc::new(rows.clone()),
        lists.clone(),
        after_inserts.clone(),
        scored.clone(),
        Mutex::new(Some(sender)),
    );
    let (workers, _) = task.threads();
    timely::execute(timely::Config::process(workers), move |worker| {
        let (task, rows, lists, after_inserts, scored, sender) = &of_run;
        let sender = if worker.index() == 0 { sender.lock().expect("one takes it").take() } else { None };
        run(worker, task, rows, lists, after_inserts, scored, sender.as_ref());
    })
    .expect("timely starts");
    let measured: Measured = receiver.recv().expect("worker 0 measured");

    let lists = after_inserts.lock().expect("the workers are done");
    let (mut found, mut compared) = (0, 0);
    for at in (0..rows.len()).step_by((rows.len() / COMPARED).max(1)) {
        let mut all: List = rows
            .iter()
            .filter(|row| row.id != rows[at].id)
            .map(|row| Neighbour { score: row.vector.score(&rows[at].vector), node: row.id })
            .collect();
        all.sort_unstable();
        all.truncate(K);
        let list = lists.of_row(at);
        if task.cap == 0 {
            assert_eq!(list, all, "the list of row {at} is exact");
        }
        found += list.iter().filter(|neighbour| all.contains(neighbour)).count();
        compared += all.len();
    }
    let (of_all, mutual_kept) = kept(task, &lists).unwrap_or((found as f64 / compared as f64, f64::NAN));
    let mutual_kept = if mutual_kept.is_nan() { "null".to_owned() } else { format!("{mutual_kept:.4}") };
    leave(task, &vectors, &lists);
    let Task {
        rows,
        d,
        workers,
        cap,
        nprobe,
        probe_within,
        load,
        inserts,
        batch,
        file,
        projection,
        storage,
        kernel,
        threaded,
        precision,
    } = task;
    let of = if file.is_some() { "file" } else { "clustered" };
    let Measured { load_s, doubling_s, insert_s, delete_s, scored, cells } = measured;
    let rate = |count: usize, seconds: f64| count as f64 / seconds;
    crate::tell(format!(
        r#"{{"what": "rates", "of": "{of}", "rows": {rows}, "d": {d}, "workers": {workers}, "cap": {cap}, "nprobe": {nprobe}, "probe_within": {probe_within}, "load": {load}, "projection": "{projection:?}", "storage": "{storage:?}", "kernel": "{}", "threaded": {threaded}, "precision": "{precision:?}", "batch": {batch}, "cells": {cells}, "load_per_s": {:.0}, "doubling_per_s": {:.0}, "inserts_per_s": {:.0}, "deletes_per_s": {:.0}, "scores_per_insert": {:.0}, "insert_gflops": {:.1}, "recall_at_10": {of_all:.4}, "mutual_kept": {mutual_kept}}}"#,
        kernel.name(),
        rate(*rows, load_s),
        rate(rows.div_ceil(2), doubling_s),
        rate(*inserts, insert_s),
        rate(*inserts, delete_s),
        scored as f64 / *inserts as f64,
        2.0 * scored as f64 * *d as f64 / insert_s / 1e9,
    ));
}

/// Of the lists over one cell that were left before: the share of their entries found again, and of their mutual pairs.
fn kept(task: &Task, lists: &Lists) -> Option<(f64, f64)> {
    let n = task.rows + task.inserts;
    if task.cap == 0 {
        return None;
    }
    let bytes = fs::read(crate::results(&format!("lists-{n}x{}.bin", task.d))).ok()?;
    let (places, _) = bytes.as_chunks::<4>();
    let exact: Vec<u32> = places.iter().map(|place| u32::from_le_bytes(*place)).collect();
    if exact.len() != n * K {
        return None;
    }
    let exact: Vec<&[u32]> = exact.chunks_exact(K).collect();
    let has = |at: usize, other: usize| lists.of_row(at).iter().any(|entry| entry.node == node(other));
    let (mut found, mut mutual, mut kept) = (0, 0, 0);
    for (at, list) in exact.iter().enumerate() {
        for other in list.iter().map(|place| *place as usize) {
            let there = has(at, other);
            found += usize::from(there);
            if at < other && exact[other].contains(&(at as u32)) {
                mutual += 1;
                kept += usize::from(there && has(other, at));
            }
        }
    }
    Some((found as f64 / (n * K) as f64, kept as f64 / mutual as f64))
}

/// Leaves vectors (n x d values) and lists (n x K places, row-major) for other programs.
fn leave(task: &Task, vectors: &[Vector], lists: &Lists) {
    let name = |what: &str| crate::results(&format!("{what}-{}x{}.bin", task.rows + task.inserts, task.d));
    let bytes: Vec<u8> = vectors
        .iter()
        .flat_map(|v| v.values().iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
        .collect();
    fs::write(name("vectors"), bytes).expect("vectors are written");
    if task.cap == 0 {
        let places = (0..vectors.len()).flat_map(|at| lists.of_row(at).iter().map(|n| row_of(n.node)));
        let bytes: Vec<u8> = places.flat_map(|place| (place as u32).to_le_bytes()).collect();
        fs::write(name("lists"), bytes).expect("lists are written");
    }
}

fn run(
    worker: &mut timely::worker::Worker,
    task: &Task,
    rows: &[Row],
    lists: &Arc<Mutex<Lists>>,
    after_inserts: &Arc<Mutex<Lists>>,
    scored: &Arc<AtomicU64>,
    sender: Option<&Sender<Measured>>,
) {
    let growing =
        CodebookKind::Growing { cap: if task.cap == 0 { usize::MAX } else { task.cap }, try_every_epochs: 1 };
    let settings = Settings {
        k: K,
        codebook: growing,
        nprobe: task.nprobe,
        probe_within: task.probe_within,
        projection: task.projection,
        storage: task.storage,
        kernel: task.kernel,
        threads: task.threads().1,
        ..Settings::default()
    };
    let moved = Arc::new(Mutex::new(Vec::new()));
    let probe = Handle::new();
    let (mut input, mut decisions) = worker.dataflow::<Epoch, _, _>(|scope| {
        let (row_input, rows) = scope.new_input::<Vec<(Row, Epoch, Diff)>>();
        let (decision_input, decisions) = scope.new_input::<Vec<((u64, Decision), Epoch, Diff)>>();
        let Neighbours { cells, neighbours, .. } =
            neighbours(rows.as_collection(), decisions.as_collection(), &settings, scored.clone());
        let (lists, moved) = (lists.clone(), moved.clone());
        neighbours
            .inspect(move |((node, list), _, diff)| {
                if *diff > 0 {
                    lists.lock().expect("no worker panics").set(row_of(*node), list);
                }
            })
            .probe_with(&probe);
        // Worker 0 decides, so it hears of every node's cell.
        cells
            .inner
            .exchange(|_| 0)
            .as_collection()
            .inspect(move |(change, _, diff)| moved.lock().expect("one worker").push((*change, *diff)))
            .probe_with(&probe);
        (row_input, decision_input)
    });

    let Some(sender) = sender else {
        drop((input, decisions));
        return;
    };
    let vectors: HashMap<NodeId, Vector> = rows.iter().map(|row| (row.id, row.vector.clone())).collect();
    let (mut deciding, mut codebook) = (Deciding::new(settings.clone()), Codebook::default());
    let mut epoch: Epoch = 0;
    let mut step = |rows: &[Row], diff: Diff| {
        rows.iter().for_each(|row| input.send((row.clone(), epoch, diff)));
        input.advance_to(epoch + 1);
        decisions.advance_to(epoch + 1);
        worker.step_or_park_while(None, || probe.less_than(&(epoch + 1)));
        for ((node, cell), diff) in moved.lock().expect("one worker").drain(..) {
            deciding.change(node, cell, diff);
        }
        let taken = deciding.decide(epoch, &codebook, |node| vectors.get(&node).cloned());
        epoch += 1;
        for (order, decision) in taken.into_iter().enumerate() {
            codebook.apply(&decision).expect("a decision fits");
            decisions.send(((order as u64, decision), epoch, 1));
        }
        codebook.leaves().count()
    };

    let begun = Instant::now();
    let (first, second) = rows[..task.rows].split_at(task.rows / 2);
    first.chunks(task.load).for_each(|rows| {
        step(rows, 1);
    });
    let half = Instant::now();
    second.chunks(task.load).for_each(|rows| {
        step(rows, 1);
    });
    // Until the codebook is at rest.
    (0..8).for_each(|_| {
        step(&[], 1);
    });
    let (load_s, doubling_s) = (begun.elapsed().as_secs_f64(), half.elapsed().as_secs_f64());
    let (before, begun, mut cells) = (scored.load(Ordering::Relaxed), Instant::now(), 0);
    rows[task.rows..].chunks(task.batch).for_each(|rows| cells = step(rows, 1));
    let insert_s = begun.elapsed().as_secs_f64();
    let scored = scored.load(Ordering::Relaxed) - before;
    after_inserts.lock().expect("no worker panics").clone_from(&lists.lock().expect("no worker panics"));
    let gone: Vec<Row> =
        rows[..task.rows].iter().step_by(task.rows / task.inserts).take(task.inserts).cloned().collect();
    let begun = Instant::now();
    gone.chunks(task.batch).for_each(|rows| {
        step(rows, -1);
    });
    let delete_s = begun.elapsed().as_secs_f64();
    sender
        .send(Measured { load_s, doubling_s, insert_s, delete_s, scored, cells })
        .expect("the program waits");
}
