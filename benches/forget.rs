//! Taking back, measured: `cargo bench -p kinetograph-benches --bench forget`, some minutes.
//!
//! 1. Forgetting one source of fifty by retraction, against making the graph anew from what remains: the same digests
//!    first, then the ratio. In one cell and without groups, so that both have the same codebook.
//! 2. A graph that grows without a budget, and one with: memory after each thousand nodes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use differential_dataflow::AsCollection;
use kinetograph::budget::{Evicting, Policy};
use kinetograph::config::Config;
use kinetograph::forget::{Forgotten, Settings, What, forget};
use kinetograph::state::record::{Counts, MadeWith, NodeRecord, SourceRecord};
use kinetograph::state::{State, encode, key};
use kinetograph::stats::stats;
use kinetograph::store::{Batch, Table};
use kinetograph_dataflows::id::{NodeId, SourceId, TrackId};
use kinetograph_dataflows::index::kernels::vector::{Precision, Vector};
use kinetograph_dataflows::index::node::{List, Row};
use kinetograph_dataflows::index::partition::codebook::Decision;
use kinetograph_dataflows::index::search::neighbours::neighbours;
use kinetograph_dataflows::observe::frame::PixelBox;
use kinetograph_dataflows::relations::closure::closure;
use kinetograph_dataflows::time::{Diff, Epoch};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Input;

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DIM: usize = 256;
const SOURCES: u32 = 50;
const TRACKS_A_SOURCE: u64 = 100;
/// Tracks of one kind resemble each other.
const TRACKS_A_KIND: usize = 8;
const K: usize = 10;

/// Nodes of a budget, and how many come in all and in each epoch.
const BUDGET: usize = 4_000;
const COME: usize = 16_000;
const AN_EPOCH: usize = 200;

/// Set for the processes that grow a graph: the name of its case.
const GROW: &str = "FORGET_BENCH_GROW";
const CASES: [(&str, Policy, usize); 3] = [
    ("oldest", Policy::Oldest, BUDGET),
    ("redundant", Policy::Redundant, BUDGET),
    ("none", Policy::Oldest, usize::MAX),
];

fn main() -> anyhow::Result<()> {
    if let Ok(case) = std::env::var(GROW) {
        let (_, policy, budget) =
            CASES.into_iter().find(|(name, ..)| *name == case).context("no such case")?;
        grow(policy, budget).iter().for_each(|(came, nodes, bytes)| println!("{came} {nodes} {bytes}"));
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    forgetting(dir.path())?;
    growth()
}

/// Rows of clustered unit vectors, two views a track.
fn rows(tracks: impl Iterator<Item = TrackId>, seed: u64) -> Vec<Row> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut noise = move || -> Vec<f32> { (0..DIM).map(|_| rng.random_range(-1.0f32..1.0)).collect() };
    let (mut kind, mut rows) = (noise(), Vec::new());
    for (at, track) in tracks.enumerate() {
        if at % TRACKS_A_KIND == 0 {
            kind = noise();
        }
        for id in [0, 1].into_iter().filter_map(|view| track.node(view)) {
            let v: Vec<f32> = kind.iter().zip(noise()).map(|(a, b)| a + 0.4 * b).collect();
            let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            let pts_ns = at as u64 * 6_000_000_000;
            rows.push(Row { id, pts_ns, vector: v.iter().map(|x| x / norm).collect(), known: None });
        }
    }
    rows
}

fn forgetting(dir: &Path) -> anyhow::Result<()> {
    let (less, anew) = (dir.join("less"), dir.join("anew"));
    state(&less)?;
    let settings = |rebuild_codebook| Settings { rebuild_codebook, checkpoints: Vec::new(), workers: 1 };
    // One node goes, and everything is listed: that is how the graph gets there.
    let (_, building) = timed(|| Ok(forget(&less, &What::Node(first_node()), &settings(true))?))?;
    std::fs::create_dir_all(&anew)?;
    std::fs::copy(less.join("data.mdb"), anew.join("data.mdb"))?;

    let what = What::Source("source 7".into());
    let (by_less, seconds_less) = timed(|| Ok(forget(&less, &what, &settings(false))?))?;
    let (by_anew, seconds_anew) = timed(|| Ok(forget(&anew, &what, &settings(true))?))?;
    let digests = |dir: &Path| -> anyhow::Result<_> { Ok(stats(&State::open_read(dir)?, K)?) };
    let (of_less, of_anew) = (digests(&less)?, digests(&anew)?);
    ensure!(of_less.digests == of_anew.digests, "the two ways give different graphs: no figures");
    ensure!(of_less.pairs.values().sum::<usize>() > 1000, "hardly any pairs: {:?}", of_less.pairs);
    let Forgotten { nodes, compacted, .. } = by_less;
    ensure!(nodes == by_anew.nodes && nodes as u64 == 2 * TRACKS_A_SOURCE, "{nodes} nodes went");
    println!("graph of {} nodes x {DIM}, built in {building:.2} s", of_less.nodes + nodes);
    println!("| forget {nodes} of them | seconds |\n|---|---|");
    println!("| by retraction | {seconds_less:.2} |\n| graph made anew | {seconds_anew:.2} |");
    println!("| ratio | {:.1} |", seconds_anew / seconds_less);
    println!("data.mdb: {} bytes before, {} after\n", compacted.before, compacted.after);
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, f64)> {
    let start = Instant::now();
    Ok((work()?, start.elapsed().as_secs_f64()))
}

fn first_node() -> u64 {
    TrackId::new(SourceId(0), 0, 0).and_then(|track| track.node(0)).map_or(0, |node| node.0)
}

/// A state with nodes, crops and vectors, and nothing derived yet.
fn state(dir: &Path) -> anyhow::Result<()> {
    let flags = ["graph.neighbours.groups.schedule=[]", "graph.neighbours.codebook.growing.cap=100000000"];
    let config = Config::layered(&Config::default(), None, [], &flags.map(String::from))?;
    let state = State::open(dir)?;
    let mut batch = Batch::default();
    let made = MadeWith { config: config.to_toml(), space: "synthetic".into() };
    batch.put(Table::Meta, key::SETTINGS, encode(&made));
    batch.put(Table::Meta, key::EPOCH, encode(&1u64));
    for id in 0..SOURCES {
        let record = SourceRecord {
            uri: format!("file:///{id}"),
            name: format!("source {id}"),
            fingerprint: id.to_string(),
            position: 1 << 20,
            ended: true,
            failure: None,
            counts: Counts::default(),
            forgotten: false,
        };
        batch.put(Table::Sources, key::source(SourceId(id)), encode(&record));
    }
    // Tracks of one kind lie in different sources.
    let tracks = (0..TRACKS_A_SOURCE).flat_map(|t| (0..SOURCES).map(move |s| (s, t)));
    let tracks = tracks.filter_map(|(source, track)| TrackId::new(SourceId(source), 0, track));
    let region = PixelBox { x: 0, y: 0, w: 9, h: 9 };
    for row in rows(tracks, 1) {
        let record = NodeRecord { seq: 1, pts_ns: row.pts_ns, region, crop_box: region, epoch: 1 };
        batch.put(Table::Nodes, key::node(row.id), encode(&record));
        batch.put(Table::Crops, key::node(row.id), vec![row.id.0 as u8; 4000]);
        let vector = row.vector.to_bytes();
        batch.put(Table::Vectors, key::vector(key::FIRST_SPACE, row.id), vector);
    }
    Ok(state.commit(&batch)?)
}

/// Memory of a graph that takes in [`COME`] nodes, with and without a budget, with all that a run's policies hold. Each in
/// a process of its own, so that none uses what another has freed.
fn growth() -> anyhow::Result<()> {
    let mut columns: Vec<Vec<[u64; 3]>> = Vec::new();
    for (case, ..) in CASES {
        let output = std::process::Command::new(std::env::current_exe()?).env(GROW, case).output()?;
        ensure!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let number = |line: &str| -> Option<[u64; 3]> {
            let numbers: Vec<u64> = line.split(' ').map_while(|n| n.parse().ok()).collect();
            numbers.try_into().ok()
        };
        columns.push(text.lines().filter_map(number).collect());
    }
    println!(
        "| nodes that came | oldest of {BUDGET}: nodes, MiB | redundant | no budget |\n|---|---|---|---|"
    );
    for at in 0..columns[0].len() {
        let cells: Vec<String> =
            columns.iter().map(|column| format!("{}, {}", column[at][1], column[at][2] >> 20)).collect();
        println!("| {} | {} |", columns[0][at][0], cells.join(" | "));
    }
    if let [.., all] = columns.as_slice()
        && let ([_, n0, b0], [_, n1, b1]) = (all[0], all[all.len() - 1])
    {
        println!("without a budget, {} bytes a node of {DIM} values", (b1 - b0) / (n1 - n0).max(1));
    }
    Ok(())
}

/// After each thousand nodes: how many came, how many there are, and the resident memory above the start's, bytes.
fn grow(policy: Policy, budget: usize) -> Vec<(usize, usize, u64)> {
    let tracks =
        (0..COME as u64 / 2).filter_map(|t| TrackId::new(SourceId((t % 7) as u32), t / 3500, t / 7 % 500));
    let rows = rows(tracks, 2);
    let start = resident();
    timely::execute_directly(move |worker| {
        let probe = Handle::new();
        let changed = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let seen = changed.clone();
        let (mut input, codebook) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (input, rows) = scope.new_input::<(Row, Epoch, Diff)>();
            let (codebook, decisions) = scope.new_input::<((u64, Decision), Epoch, Diff)>();
            let rows = rows.as_collection();
            let nodes = rows.clone().map(|row| row.id);
            let near = neighbours(rows, decisions.as_collection(), &Default::default(), Arc::default());
            let lists =
                near.lists.inspect(move |(list, _, diff)| seen.borrow_mut().push((list.clone(), *diff)));
            lists.probe_with(&probe);
            let all = closure(nodes, near.neighbours, Arc::default(), &Default::default());
            all.pairs.probe_with(&probe);
            all.classes.probe_with(&probe);
            (input, codebook)
        });
        codebook.close();
        let mut evicting = Evicting::new(policy, budget);
        let mut vectors: HashMap<NodeId, Vector> = HashMap::new();
        let (mut figures, mut told) = (Vec::new(), Vec::new());
        for (at, coming) in rows.chunks(AN_EPOCH).enumerate() {
            let epoch = at as Epoch + 1;
            input.advance_to(epoch);
            for row in coming {
                // The rows that this program keeps are no part of the graph's memory.
                let row = Row { vector: Vector::new(&row.vector.values(), Precision::F32), ..row.clone() };
                vectors.insert(row.id, row.vector.clone());
                evicting.came(row.id, epoch);
                input.send((row, epoch, 1));
            }
            for node in &told {
                vectors.remove(node);
                input.send((Row::gone(*node), epoch, -1));
            }
            input.advance_to(epoch + 1);
            while probe.less_equal(&epoch) {
                worker.step_or_park(Some(Duration::from_millis(1)));
            }
            let mut changes: Vec<(((NodeId, _), List), Diff)> = changed.borrow_mut().drain(..).collect();
            changes.sort_by_key(|(_, diff)| *diff);
            evicting.lists(changes.iter().map(|(((node, cell), list), diff)| (*node, *cell, list, *diff)));
            told.drain(..).for_each(|node| evicting.went(node));
            told = evicting.decide();
            let came = (at + 1) * AN_EPOCH;
            if came.is_multiple_of(1000) {
                figures.push((came, vectors.len(), resident().saturating_sub(start)));
            }
        }
        figures
    })
}

/// Resident memory, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").context("no /proc").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}
