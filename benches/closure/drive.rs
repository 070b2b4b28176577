//! Loads a dataflow, then gives it batches of changes, and takes the time until each is through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use differential_dataflow::input::Input;
use differential_dataflow::{Data, ExchangeData, VecCollection};
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::time::{Diff, Epoch};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use timely::dataflow::operators::probe::Handle;

/// How large the batches are, and how many of each.
pub(crate) const BATCHES: [(usize, usize); 3] = [(1, 1000), (100, 100), (10_000, 20)];

/// What a dataflow is given.
pub(crate) struct Log<R> {
    /// At first, in a number of epochs.
    pub(crate) load: Vec<Vec<(R, Diff)>>,
    /// Then, of each size of batch.
    pub(crate) batches: Vec<Vec<Vec<(R, Diff)>>>,
}

/// Tracks of four views.
pub(crate) fn node(n: u64) -> NodeId {
    NodeId(((n / 4) << 8) | (n % 4))
}

pub(crate) fn rng(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

/// Runs `build` over `log` on `workers`. The answers are the sum of `print` over all that the output holds after the
/// load and after each size of batch.
pub(crate) fn drive<R, O, B>(workers: usize, log: Log<R>, print: fn(&O) -> u64, build: B) -> Value
where
    R: ExchangeData + Sync,
    O: Data,
    B: for<'s> Fn(VecCollection<'s, Epoch, R, Diff>) -> VecCollection<'s, Epoch, O, Diff>
        + Send
        + Sync
        + 'static,
{
    let before_kb = resident_kb("VmRSS");
    let log = Arc::new(log);
    let sum = Arc::new(AtomicU64::new(0));
    let guards = timely::execute(timely::Config::process(workers), move |worker| {
        let (index, peers, sum) = (worker.index(), worker.peers(), sum.clone());
        let sink = sum.clone();
        let probe = Handle::new();
        let mut input = worker.dataflow(|scope| {
            let (input, collection) = scope.new_collection::<R, Diff>();
            build(collection)
                .inspect_batch(move |_, changes| {
                    let part = changes.iter().fold(0u64, |sum, (record, _, diff)| {
                        sum.wrapping_add(print(record).wrapping_mul(*diff as u64))
                    });
                    sink.fetch_add(part, Ordering::Relaxed);
                })
                .probe_with(&probe);
            input
        });
        let mut epoch = 0;
        let mut step = |changes: &[(R, Diff)]| {
            let share = changes.chunks(changes.len().div_ceil(peers).max(1)).nth(index).unwrap_or_default();
            let start = Instant::now();
            share.iter().for_each(|(record, diff)| input.update(record.clone(), *diff));
            epoch += 1;
            input.advance_to(epoch);
            input.flush();
            worker.step_or_park_while(None, || probe.less_than(&epoch));
            start.elapsed().as_secs_f64()
        };
        let load_s: f64 = log.load.iter().map(|changes| step(changes)).sum();
        let mut answers = vec![sum.load(Ordering::SeqCst)];
        let mut batches = Vec::new();
        for of_size in &log.batches {
            let mut seconds: Vec<f64> = of_size.iter().map(|changes| step(changes)).collect();
            // A worker may be through before another's sum is in: an empty epoch waits for all.
            step(&[]);
            answers.push(sum.load(Ordering::SeqCst));
            let total: f64 = seconds.iter().sum();
            seconds.sort_by(f64::total_cmp);
            let changes: usize = of_size.iter().map(Vec::len).sum();
            let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share) as usize] * 1e3;
            batches.push(json!({
                "changes": changes as f64 / of_size.len() as f64,
                "changes_per_s": changes as f64 / total,
                "p50_ms": at(0.5),
                "p99_ms": at(0.99),
                "worst_ms": at(1.0),
            }));
        }
        json!({ "load_s": load_s, "batches": batches, "answers": answers[1..].to_vec() })
    });
    let results = match guards {
        Ok(guards) => guards.join(),
        Err(error) => panic!("timely does not start: {error}"),
    };
    let first = results.into_iter().next();
    let Some(Ok(mut value)) = first else { panic!("a worker did not end well") };
    value["peak_mb"] = json!((resident_kb("VmHWM") - before_kb) as f64 / 1024.0);
    value
}

/// A line of this process's status, in KiB.
pub(crate) fn resident_kb(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find(|l| l.starts_with(line));
    found.and_then(|l| l.split_whitespace().nth(1)).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

/// A number for two nodes.
pub(crate) fn print_of(a: NodeId, b: NodeId) -> u64 {
    let mut x = a.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.0;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Batches that take records of `present` away and put them back later, half and half.
pub(crate) fn come_and_go<R: Clone + Ord>(
    present: &mut Vec<R>,
    absent: &mut Vec<R>,
    rng: &mut Pcg64,
) -> Vec<Vec<Vec<(R, Diff)>>> {
    use rand::Rng;
    let sizes = BATCHES.iter();
    sizes
        .map(|(size, rounds)| {
            let batch = |round: usize| {
                let mut batch = Vec::with_capacity(*size);
                let mut gone = Vec::new();
                for at in 0..*size {
                    if (round + at).is_multiple_of(2) {
                        let record = present.swap_remove(rng.random_range(0..present.len()));
                        batch.push((record.clone(), -1));
                        gone.push(record);
                    } else {
                        let record = absent.swap_remove(rng.random_range(0..absent.len()));
                        batch.push((record.clone(), 1));
                        present.push(record);
                    }
                }
                absent.append(&mut gone);
                batch
            };
            (0..*rounds).map(batch).collect()
        })
        .collect()
}
