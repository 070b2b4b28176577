//! Random inserts, deletes and decisions, on one to three workers: at every closed epoch all collections are the oracle's.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use differential_dataflow::{AsCollection, VecCollection};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use timely::dataflow::operators::Input as _;
use timely::dataflow::operators::probe::Handle;

use super::neighbours::neighbours;
use super::recompute::recompute;
use crate::id::{NodeId, SourceId, TrackId};
use crate::index::kernels::Kernel;
use crate::index::kernels::vector::{Precision, Vector};
use crate::index::node::{CellId, GroupId, List, Row};
use crate::index::partition::cells;
use crate::index::partition::codebook::{Centroid, Codebook, Decision};
use crate::index::partition::policy::{CodebookKind, Settings};
use crate::index::quantize::Projecting;
use crate::index::quantize::Storage;
use crate::time::{Diff, Epoch};

mod odd;
mod searched;

/// What arrives in one epoch.
#[derive(Clone, Debug, Default)]
struct Step {
    rows: Vec<(Row, Diff)>,
    decisions: Vec<Decision>,
}

type Updates<D> = Arc<Mutex<Vec<(D, Epoch, Diff)>>>;

#[derive(Clone, Default)]
struct Outputs {
    cells: Updates<(NodeId, CellId)>,
    groups: Updates<(NodeId, GroupId)>,
    lists: Updates<((NodeId, CellId), List)>,
    neighbours: Updates<(NodeId, List)>,
    errors: Updates<String>,
    scored: Arc<AtomicU64>,
}

fn collect<D: Clone + Send + 'static>(
    collection: VecCollection<'_, Epoch, D, Diff>,
    into: &Updates<D>,
    probe: &mut Handle<Epoch>,
) {
    let into = into.clone();
    collection.inspect(move |update| into.lock().unwrap().push(update.clone())).probe_with(probe);
}

/// Runs the steps, `at_once` epochs closed at a time.
fn run(steps: &[Step], settings: &Settings, workers: usize, at_once: usize) -> Outputs {
    let outputs = Outputs::default();
    let (steps, settings, of_run) = (Arc::new(steps.to_vec()), settings.clone(), outputs.clone());
    timely::execute(timely::Config::process(workers), move |worker| {
        let mut probe = Handle::new();
        let (mut rows, mut decisions) = worker.dataflow::<Epoch, _, _>(|scope| {
            let (row_input, rows) = scope.new_input::<Vec<(Row, Epoch, Diff)>>();
            let (decision_input, decisions) = scope.new_input::<Vec<((u64, Decision), Epoch, Diff)>>();
            let all =
                neighbours(rows.as_collection(), decisions.as_collection(), &settings, of_run.scored.clone());
            collect(all.cells, &of_run.cells, &mut probe);
            collect(all.groups, &of_run.groups, &mut probe);
            collect(all.lists, &of_run.lists, &mut probe);
            collect(all.neighbours, &of_run.neighbours, &mut probe);
            collect(all.errors, &of_run.errors, &mut probe);
            (row_input, decision_input)
        });
        let (index, peers) = (worker.index(), worker.peers());
        for (epoch, step) in steps.iter().enumerate() {
            for (at, (row, diff)) in step.rows.iter().enumerate() {
                if at % peers == index {
                    rows.send((row.clone(), epoch as u64, *diff));
                }
            }
            if epoch % peers == index {
                // Given in another order than they apply in.
                for (order, decision) in step.decisions.iter().enumerate().rev() {
                    decisions.send(((order as u64, decision.clone()), epoch as u64, 1));
                }
            }
            if (epoch + 1) % at_once == 0 || epoch + 1 == steps.len() {
                rows.advance_to(epoch as u64 + 1);
                decisions.advance_to(epoch as u64 + 1);
                worker.step_or_park_while(None, || probe.less_than(rows.time()));
            }
        }
    })
    .unwrap();
    outputs
}

/// A collection as it stands after `epoch`; each record once.
fn at<D: Ord + Clone + Debug>(updates: &Updates<D>, epoch: Epoch) -> Vec<D> {
    let mut counts: BTreeMap<D, Diff> = BTreeMap::new();
    for (data, time, diff) in updates.lock().unwrap().iter() {
        if *time <= epoch {
            *counts.entry(data.clone()).or_default() += diff;
        }
    }
    counts.retain(|_, count| *count != 0);
    assert!(counts.values().all(|count| *count == 1), "each record is there once: {counts:?}");
    counts.into_keys().collect()
}

/// Returns what the steps amount to: rows and codebook after each.
fn states(steps: &[Step]) -> Vec<(Vec<Row>, Codebook)> {
    let (mut rows, mut codebook) = (BTreeMap::<NodeId, Row>::new(), Codebook::default());
    steps
        .iter()
        .map(|step| {
            step.decisions.iter().for_each(|decision| drop(codebook.apply(decision)));
            for (row, _) in step.rows.iter().filter(|(_, diff)| *diff < 0) {
                rows.remove(&row.id);
            }
            for (row, _) in step.rows.iter().filter(|(_, diff)| *diff > 0) {
                rows.insert(row.id, row.clone());
            }
            (rows.values().cloned().collect(), codebook.clone())
        })
        .collect()
}

fn assert_as_recomputed(steps: &[Step], settings: &Settings, outputs: &Outputs, what: &str) {
    for (epoch, (rows, codebook)) in states(steps).iter().enumerate() {
        let what = format!("{what}, epoch {epoch}");
        let epoch = epoch as Epoch;
        let places = cells::recompute(rows, codebook);
        let expected: Vec<_> = places.iter().map(|(node, (cell, _))| (*node, *cell)).collect();
        assert_eq!(at(&outputs.cells, epoch), expected, "cells, {what}");
        let expected: Vec<_> = places.iter().map(|(node, (_, group))| (*node, *group)).collect();
        assert_eq!(at(&outputs.groups, epoch), expected, "groups, {what}");
        let expected = recompute(rows, codebook, settings);
        let lists: Vec<_> = expected.lists.into_iter().collect();
        assert_eq!(at(&outputs.lists, epoch), lists, "lists, {what}");
        let neighbours: Vec<_> = expected.neighbours.into_iter().collect();
        assert_eq!(at(&outputs.neighbours, epoch), neighbours, "neighbours, {what}");
    }
}

/// Eight values out of three: many equal scores.
fn vector(rng: &mut Pcg64) -> Centroid {
    (0..8).map(|_| f32::from(rng.random_range(-1..=1i8)) * 0.5).collect()
}

fn row(rng: &mut Pcg64, id: NodeId) -> Row {
    // Halves hold these values exactly, so that either may stand beside the other.
    let precision = if rng.random_bool(0.5) { Precision::F16 } else { Precision::F32 };
    let vector = Vector::new(&vector(rng), precision);
    Row { id, pts_ns: rng.random_range(0..16) * 1_000_000_000, vector, known: None }
}

fn any_id(rng: &mut Pcg64) -> NodeId {
    let track = TrackId::new(SourceId(rng.random_range(0..3)), 0, rng.random_range(0..15)).unwrap();
    track.node(rng.random_range(0..2)).unwrap()
}

fn any_kernel(rng: &mut Pcg64) -> Kernel {
    let all = Kernel::all();
    all[rng.random_range(0..all.len())]
}

fn any_decision(rng: &mut Pcg64, codebook: &Codebook) -> Decision {
    let leaves: Vec<_> = codebook.leaves().collect();
    let parents: Vec<_> = codebook.parents_of_leaves().map(|(cell, _)| cell).collect();
    match rng.random_range(0..4) {
        0 | 1 if leaves.len() < 6 => {
            let first = codebook.next_id().0;
            let ids = first..first + rng.random_range(2..=3);
            let children = ids.map(|id| (CellId(id), vector(rng))).collect();
            Decision::Divide { cell: leaves[rng.random_range(0..leaves.len())], children }
        }
        3 => Decision::Group { centroids: (0..rng.random_range(1..5)).map(|_| vector(rng)).collect() },
        _ if parents.is_empty() => Decision::Group { centroids: vec![] },
        _ => Decision::Merge { cell: parents[rng.random_range(0..parents.len())] },
    }
}

/// `n` epochs of random inserts, deletes, replacements and decisions, continuing from `steps`.
fn random_steps(n: usize, rng: &mut Pcg64, steps: &mut Vec<Step>) {
    let (rows, mut codebook) = states(steps).pop().unwrap_or_default();
    let mut live: BTreeMap<NodeId, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
    for _ in 0..n {
        let mut step = Step::default();
        while rng.random_bool(0.25) && step.decisions.len() < 3 {
            let decision = any_decision(rng, &codebook);
            codebook.apply(&decision).unwrap();
            step.decisions.push(decision);
        }
        let clear = rng.random_bool(0.02);
        let mut touched: Vec<NodeId> = (0..rng.random_range(0..8)).map(|_| any_id(rng)).collect();
        if clear {
            touched = live.keys().copied().collect();
        }
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            let old = live.remove(&id);
            if let Some(old) = &old {
                // A retraction need not bring the same vector, nor the hint.
                let vector = if rng.random_bool(0.5) { old.vector.clone() } else { [].into() };
                step.rows.push((Row { vector, known: None, ..old.clone() }, -1));
            }
            if !clear && (old.is_none() || rng.random_bool(0.3)) {
                let new = match old {
                    Some(old) if rng.random_bool(0.3) => Row { known: None, ..old },
                    _ => row(rng, id),
                };
                live.insert(id, new.clone());
                step.rows.insert(rng.random_range(0..=step.rows.len()), (new, 1));
            }
        }
        steps.push(step);
    }
}

fn settings(k: usize, nprobe: usize) -> Settings {
    Settings { k, nprobe, ..Settings::default() }
}

#[test]
fn at_every_epoch_all_is_as_recomputed() {
    for workers in 1..=3 {
        for (nprobe, probe_within, k, at_once, projection) in [
            (1, 0.0, 3, 1, Projecting::Measured),
            (2, 0.0, 3, 4, Projecting::Twice(3, 6)),
            (1, 0.0, 10, 7, Projecting::First(8)),
            (2, 1.2, 1, 1, Projecting::Never),
            (3, 1.5, 2, 3, Projecting::Twice(1, 8)),
        ] {
            let storage = [Storage::F32, Storage::Bytes, Storage::Words][(workers + k) % 3];
            let threads = 1 + (nprobe + k) % 3;
            let mut rng = Pcg64::seed_from_u64((workers * 100 + nprobe * 10 + k) as u64);
            let mut steps = Vec::new();
            random_steps(60, &mut rng, &mut steps);
            let what = format!(
                "{workers} workers, {threads} threads, {nprobe} cells within {probe_within}, k {k}, {at_once} epochs at once, {storage:?}, {projection:?}"
            );
            let settings = Settings { probe_within, threads, storage, projection, ..settings(k, nprobe) };
            let outputs = run(&steps, &settings, workers, at_once);
            assert_eq!(at(&outputs.errors, Epoch::MAX), <[String; 0]>::default(), "{what}");
            assert_as_recomputed(&steps, &settings, &outputs, &what);
        }
    }
}

/// The long form is `make soak-graph`: parts of 100 rounds, each with a seed and settings of its own.
#[test]
fn soak() {
    let rounds: u64 = std::env::var("KINETOGRAPH_SOAK_ROUNDS").map_or(200, |n| n.parse().unwrap());
    for part in 0..rounds.div_ceil(100) {
        let mut rng = Pcg64::seed_from_u64(5000 + part);
        let (workers, at_once) = (1 + part as usize % 3, rng.random_range(1..8));
        let projection = match rng.random_range(0..4) {
            0 => Projecting::Never,
            1 => Projecting::Measured,
            2 => Projecting::First(rng.random_range(1..=8)),
            _ => Projecting::Twice(rng.random_range(1..8), 8),
        };
        let storage = [Storage::F32, Storage::Words, Storage::Bytes][rng.random_range(0..3)];
        let min_cell = if rng.random_bool(0.2) { rng.random_range(1..10) } else { 0 };
        let settings = Settings {
            codebook: CodebookKind::KMeans { cells: 0, first_nodes: 0, min_cell },
            probe_within: if rng.random_bool(0.5) { rng.random_range(1.0..2.0) } else { 0.0 },
            threads: rng.random_range(1..=3),
            kernel: any_kernel(&mut rng),
            storage,
            projection,
            ..settings(rng.random_range(1..=10), rng.random_range(1..=4))
        };
        let mut steps = Vec::new();
        random_steps(100, &mut rng, &mut steps);
        let outputs = run(&steps, &settings, workers, at_once);
        let what = format!("part {part}, {workers} workers, {at_once} epochs at once, {settings:?}");
        assert_eq!(at(&outputs.errors, Epoch::MAX), <[String; 0]>::default(), "{what}");
        assert_as_recomputed(&steps, &settings, &outputs, &what);
        println!("neighbours, part {part}: 100 rounds on {workers} workers: no difference");
    }
}

#[test]
fn a_cell_that_divides_leaves_its_lists_to_its_children() {
    let mut rng = Pcg64::seed_from_u64(12);
    // Two heaps, each about one of two directions.
    let rows = (0..80).map(|at| {
        let id = TrackId::new(SourceId(at), 0, 0).unwrap().node(0).unwrap();
        let turn = 0.3 * rng.random::<f32>();
        let vector = if at % 2 == 0 { [turn.cos(), turn.sin()] } else { [-turn.sin(), -turn.cos()] };
        Row { id, pts_ns: 0, vector: vector.into(), known: None }
    });
    let rows: Vec<Row> = rows.collect();
    let children = vec![(CellId(1), [1.0, 0.0].into()), (CellId(2), [0.0, -1.0].into())];
    let divide = Decision::Divide { cell: CellId(0), children };
    let first = Step { rows: rows[..70].iter().map(|row| (row.clone(), 1)).collect(), ..Step::default() };
    // Some come, and one is replaced, just as the cell divides.
    let mut changes: Vec<(Row, Diff)> = rows[70..].iter().map(|row| (row.clone(), 1)).collect();
    let replaced = Row { vector: rows[9].vector.clone(), ..rows[4].clone() };
    changes.extend([(rows[4].clone(), -1), (replaced, 1)]);
    let steps = [first, Step { rows: changes, decisions: vec![divide] }];
    let settings = settings(3, 1);
    for threads in [1, 3] {
        let settings = Settings { threads, ..settings.clone() };
        let outputs = run(&steps, &settings, 1, 1);
        assert_as_recomputed(&steps, &settings, &outputs, &format!("{threads} threads"));
        let scored = outputs.scored.load(Ordering::Relaxed);
        // 70 meet each other; then eleven new ones meet some 40 in each heap. Without what they inherit it would be twice 35 * 34 / 2 more.
        assert!(scored < 70 * 69 / 2 + 11 * 45, "{scored} scores, {threads} threads");
    }
}

#[test]
fn cells_under_the_minimum_give_no_lists() {
    let kind = CodebookKind::KMeans { cells: 0, first_nodes: 0, min_cell: 7 };
    for nprobe in 1..=2 {
        let settings = Settings { codebook: kind.clone(), ..settings(3, nprobe) };
        let mut steps = Vec::new();
        random_steps(150, &mut Pcg64::seed_from_u64(nprobe as u64), &mut steps);
        let outputs = run(&steps, &settings, 2, 2);
        assert_as_recomputed(&steps, &settings, &outputs, &format!("{nprobe} cells"));
    }
}

#[test]
fn a_restart_scores_nothing_and_goes_on_as_before() {
    let cases = [(1, 0.0, 0), (2, 0.0, 0), (1, 0.0, 7), (2, 0.0, 7), (3, 1.3, 0)];
    for (nprobe, probe_within, min_cell) in cases {
        let kind = CodebookKind::KMeans { cells: 0, first_nodes: 0, min_cell };
        let settings = Settings { codebook: kind, probe_within, ..settings(3, nprobe) };
        let mut rng = Pcg64::seed_from_u64(9);
        let mut steps = Vec::new();
        random_steps(40, &mut rng, &mut steps);
        let before = run(&steps, &settings, 2, 4);

        let mut known: BTreeMap<NodeId, Vec<(CellId, List)>> = BTreeMap::new();
        for ((node, cell), list) in at(&before.lists, Epoch::MAX) {
            known.entry(node).or_default().push((cell, list));
        }
        let (mut rows, _) = states(&steps).pop().unwrap();
        assert!(rows.len() > 10);
        for row in &mut rows {
            row.known = known.get(&row.id).cloned().map(Arc::new);
        }
        let decisions = steps.iter().flat_map(|step| step.decisions.clone()).collect();
        let mut steps = vec![Step { decisions, rows: rows.into_iter().map(|row| (row, 1)).collect() }];
        let restored = run(&steps, &settings, 2, 1);
        assert_eq!(restored.scored.load(Ordering::Relaxed), 0, "{nprobe} cells, at least {min_cell} rows");
        assert_eq!(at(&restored.lists, 0), at(&before.lists, Epoch::MAX));
        assert_eq!(at(&restored.neighbours, 0), at(&before.neighbours, Epoch::MAX));

        random_steps(40, &mut rng, &mut steps);
        let after = run(&steps, &settings, 3, 1);
        assert_as_recomputed(&steps, &settings, &after, &format!("{nprobe} cells after a restart"));
    }
}

#[test]
fn an_insert_that_changes_no_list_emits_nothing_for_others() {
    let track = |n| TrackId::new(SourceId(n), 0, 0).unwrap().node(0).unwrap();
    let row = |n, v: [f32; 2]| (Row { id: track(n), pts_ns: 0, vector: v.into(), known: None }, 1);
    let first = vec![row(0, [1.0, 0.0]), row(1, [1.0, 0.0])];
    let steps =
        [Step { rows: first, ..Step::default() }, Step { rows: vec![row(2, [0.0, 1.0])], ..Step::default() }];
    let outputs = run(&steps, &settings(1, 1), 1, 1);
    let changed: Vec<_> =
        outputs.lists.lock().unwrap().iter().filter(|u| u.1 == 1).map(|u| u.0.0.0).collect();
    assert_eq!(changed, [track(2)]);
    assert_eq!(outputs.scored.load(Ordering::Relaxed), 3, "each pair is scored once");
}

#[test]
fn what_does_not_fit_is_told_and_the_rest_goes_on() {
    let mut rng = Pcg64::seed_from_u64(1);
    let mut steps = vec![Step::default(); 3];
    let ids = [0, 1, 2].map(|n| TrackId::new(SourceId(n), 0, 0).unwrap().node(0).unwrap());
    steps[0].rows = ids.iter().map(|id| (row(&mut rng, *id), 1)).collect();
    steps[0].decisions =
        vec![Decision::Merge { cell: CellId(0) }, Decision::Group { centroids: vec![vector(&mut rng)] }];
    steps[1].rows = vec![(row(&mut rng, TrackId::new(SourceId(7), 0, 0).unwrap().node(0).unwrap()), -1)];
    let mut odd = row(&mut rng, TrackId::new(SourceId(8), 0, 0).unwrap().node(0).unwrap());
    odd.vector = [f32::NAN; 8].into();
    let mut short = row(&mut rng, TrackId::new(SourceId(9), 0, 0).unwrap().node(0).unwrap());
    short.vector = [1.0; 3].into();
    steps[2].rows = vec![(odd, 1), (short, 1)];
    for workers in 1..=2 {
        let outputs = run(&steps, &settings(3, 1), workers, 1);
        let errors: Vec<_> = [0, 1, 2].map(|epoch| at(&outputs.errors, epoch).len()).into();
        assert_eq!(errors, [1, 2, 4], "{:?}", at(&outputs.errors, 2));
        assert_eq!(at(&outputs.neighbours, 2).len(), 3);
    }
}
