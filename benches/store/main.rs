//! The store's candidates on the engine's workload: `cargo bench -p kinetograph-benches --bench store`, about a minute.
//!
//! Every candidate first has to hold the same as the store in memory. Then, in each round, each works in a fresh
//! process of its own (this program again), in turn; the table has medians over the rounds. The directory is
//! `STORE_BENCH_DIR`, which should be on the disk that counts, or the folder for temporary files.

mod fjall;
mod sqlite;
mod workload;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use kinetograph::store::lmdb::LmdbStore;
use kinetograph::store::memory::MemoryStore;
use kinetograph::store::{Store, Table};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use workload::{Workload, digest};

const CANDIDATES: [&str; 3] = ["lmdb", "sqlite", "fjall"];
const ROUNDS: usize = 3;
const BULK_EPOCHS: u64 = 10;
const BULK_NODES: u64 = 1000;
const EPOCHS: u64 = 100;
const NODES: u64 = 20;
const POINT_READS: u32 = 30_000;

/// Set for the processes that measure: the candidate, and where.
const RUN: &str = "STORE_BENCH_RUN";
const AT: &str = "STORE_BENCH_AT";

fn open(candidate: &str, dir: &Path) -> anyhow::Result<Box<dyn Store>> {
    Ok(match candidate {
        "lmdb" => Box::new(LmdbStore::open(dir)?),
        "sqlite" => Box::new(sqlite::SqliteStore::open(dir)?),
        "fjall" => Box::new(fjall::FjallStore::open(dir)?),
        other => anyhow::bail!("no candidate {other}"),
    })
}

fn main() -> anyhow::Result<()> {
    match (std::env::var(RUN), std::env::var_os(AT)) {
        (Ok(candidate), Some(dir)) => measure(&candidate, Path::new(&dir)),
        _ => compare(),
    }
}

fn compare() -> anyhow::Result<()> {
    let root = std::env::var_os("STORE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let root = tempfile::tempdir_in(root)?;
    agree(root.path())?;
    let mut rounds: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    let mut measures: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let mut digests = Vec::new();
        for turn in 0..CANDIDATES.len() {
            let candidate = CANDIDATES[(turn + round) % CANDIDATES.len()];
            let dir = root.path().join(format!("{candidate}{round}"));
            let run = Command::new(std::env::current_exe()?).env(RUN, candidate).env(AT, &dir).output()?;
            ensure!(run.status.success(), "{candidate}: {}", String::from_utf8_lossy(&run.stderr));
            measures.clear();
            for line in String::from_utf8(run.stdout)?.lines() {
                let (measure, value) = line.split_once('\t').context("a measure and its value")?;
                if measure == "digest" {
                    digests.push(value.to_string());
                } else {
                    rounds.entry((measures.len(), candidate)).or_default().push(value.parse()?);
                    measures.push(measure.to_string());
                }
            }
            fs::remove_dir_all(&dir)?;
        }
        ensure!(digests.iter().all(|digest| *digest == digests[0]), "the candidates differ: {digests:?}");
    }
    println!("| median of {ROUNDS} rounds | {} |", CANDIDATES.join(" | "));
    println!("|---|{}", "---|".repeat(CANDIDATES.len()));
    for (at, measure) in measures.iter().enumerate() {
        let cells = CANDIDATES.map(|candidate| {
            let mut values = rounds.remove(&(at, candidate)).unwrap_or_default();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).map_or("-".into(), |&value| {
                if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
            })
        });
        println!("| {measure} | {} |", cells.join(" | "));
    }
    Ok(())
}

/// Each candidate holds the same as the store in memory, before and after it was closed.
fn agree(root: &Path) -> anyhow::Result<()> {
    for candidate in CANDIDATES {
        let dir = root.join(candidate);
        let (twin, store) = (MemoryStore::default(), open(candidate, &dir)?);
        let mut workload = Workload::new();
        for nodes in [200, 20, 20] {
            let batch = workload.epoch(nodes);
            twin.commit(&batch)?;
            store.commit(&batch)?;
        }
        let expected = digest(&*twin.snapshot()?)?;
        ensure!(digest(&*store.snapshot()?)? == expected, "{candidate} holds something else");
        drop(store);
        ensure!(digest(&*open(candidate, &dir)?.snapshot()?)? == expected, "{candidate} lost something");
        fs::remove_dir_all(dir)?;
    }
    Ok(())
}

/// Does the whole workload on one candidate and prints one measure a line.
fn measure(candidate: &str, dir: &Path) -> anyhow::Result<()> {
    let mut workload = Workload::new();
    let before = memory_mb("VmHWM")?;
    let store = open(candidate, dir)?;

    let bulk = commits(&*store, &mut workload, BULK_EPOCHS, BULK_NODES)?;
    say("commit of 1000 nodes, p50 (ms)", quantile(&bulk, 0.5));
    say("commit of 1000 nodes, p99 (ms)", quantile(&bulk, 0.99));
    say("load rate (nodes/s)", BULK_EPOCHS as f64 * BULK_NODES as f64 / bulk.iter().sum::<f64>() * 1e3);

    let alone = commits(&*store, &mut workload, EPOCHS, NODES)?;
    say("commit of 20 nodes, p50 (ms)", quantile(&alone, 0.5));
    say("commit of 20 nodes, p99 (ms)", quantile(&alone, 0.99));

    say("disk so far (MB)", disk_mb(dir)?);
    // An old snapshot stays open, and somebody scans all the time.
    let old = store.snapshot()?;
    let done = AtomicBool::new(false);
    let watched = std::thread::scope(|scope| {
        let scans = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                scan(&*store, Table::Vectors)?;
            }
            anyhow::Ok(())
        });
        let watched = commits(&*store, &mut workload, EPOCHS, NODES);
        done.store(true, Ordering::Release);
        scans.join().map_err(|_| anyhow::anyhow!("the scanning thread panicked"))??;
        watched
    })?;
    say("the same, an old snapshot open and a thread scanning, p50 (ms)", quantile(&watched, 0.5));
    say("the same, an old snapshot open and a thread scanning, p99 (ms)", quantile(&watched, 0.99));
    drop(old);

    let start = Instant::now();
    let vectors = scan(&*store, Table::Vectors)?;
    say("scan of all vectors (ms)", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let pairs = scan(&*store, Table::Pairs)?;
    say("scan of all pairs (ms)", start.elapsed().as_secs_f64() * 1e3);
    ensure!(vectors == workload.nodes * 2048 && pairs > 0, "a scan missed something");

    let mut random = Pcg64Mcg::seed_from_u64(23);
    let snapshot = store.snapshot()?;
    let start = Instant::now();
    for at in 0..POINT_READS {
        let table = if at % 2 == 0 { Table::Lists } else { Table::Crops };
        let key = random.random_range(0..workload.nodes).to_be_bytes();
        ensure!(snapshot.get(table, &key)?.is_some(), "a node is missing");
    }
    say("point reads (1000/s)", f64::from(POINT_READS) / start.elapsed().as_secs_f64() / 1e3);
    drop(snapshot);

    say("peak memory over the start, mapped file included (MB)", memory_mb("VmHWM")? - before);
    say("own memory at the end, without mapped files (MB)", memory_mb("RssAnon")?);
    say("disk after the commits under the old snapshot (MB)", disk_mb(dir)?);
    drop(store);
    say("disk, closed (MB)", disk_mb(dir)?);
    let start = Instant::now();
    let store = open(candidate, dir)?;
    ensure!(store.snapshot()?.get(Table::Meta, b"epoch")?.is_some(), "the last epoch is missing");
    say("open again and read one record (ms)", start.elapsed().as_secs_f64() * 1e3);
    println!("digest\t{:?}", digest(&*store.snapshot()?)?);
    Ok(())
}

fn say(measure: &str, value: f64) {
    println!("{measure}\t{value}");
}

/// Milliseconds of each commit; making the batches is not counted.
fn commits(store: &dyn Store, workload: &mut Workload, epochs: u64, nodes: u64) -> anyhow::Result<Vec<f64>> {
    (0..epochs)
        .map(|_| {
            let batch = workload.epoch(nodes);
            let start = Instant::now();
            store.commit(&batch)?;
            Ok(start.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).ceil() as usize]
}

/// Reads every byte of a table's values; returns how many keys' or values' bytes there were.
fn scan(store: &dyn Store, table: Table) -> anyhow::Result<u64> {
    let (mut bytes, mut sum) = (0, 0_u64);
    let mut visit = |key: &[u8], value: &[u8]| {
        let read = if value.is_empty() { key } else { value };
        bytes += read.len() as u64;
        sum = read.iter().fold(sum, |sum, &byte| sum + u64::from(byte));
        true
    };
    store.snapshot()?.scan(table, &[], &mut visit)?;
    std::hint::black_box(sum);
    Ok(bytes)
}

fn memory_mb(field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("memory is measured on Linux only")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such memory field")?;
    let kb = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    Ok(kb.parse::<f64>()? / 1024.0)
}

/// Blocks taken on the disk, holes not counted.
fn disk_mb(dir: &Path) -> anyhow::Result<f64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0.0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(found) if found.is_dir() => disk_mb(&entry.path())? * 1e6,
            Ok(found) => found.blocks() as f64 * 512.0,
            // A file that a background thread has just taken away.
            Err(_) => 0.0,
        };
    }
    Ok(bytes / 1e6)
}
