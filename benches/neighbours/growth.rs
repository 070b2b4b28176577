//! What an insert costs as the graph grows, by the sizes of cells: the real codebook and the real policy over nodes that have
//! vectors, but no lists. A vector is computed anew each time it is looked at, so that a hundred million fit.

use std::collections::BTreeMap;
use std::thread;
use std::time::Instant;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::CellId;
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};
use kinetograph_dataflows::index::partition::kmeans::nearest;
use kinetograph_dataflows::index::partition::policy::{Deciding, Settings};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};

/// Values of a vector: enough for cells to have many neighbours.
const D: usize = 16;
/// Vectors computed before they are placed.
const AT_ONCE: usize = 1024;

/// The vector of node `n`: around one of n / 50 centres, so that new ones keep coming.
fn vector(n: u64) -> [f32; D] {
    let bell = |rng: &mut Pcg64| (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>();
    let mut own = Pcg64::seed_from_u64(n);
    let mut centre = Pcg64::seed_from_u64(u64::MAX - own.random_range(0..=n / 50));
    let vector: [f32; D] = std::array::from_fn(|_| bell(&mut centre) + 0.7 * bell(&mut own));
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.map(|x| x / norm)
}

/// Nodes by cell: 4 bytes each.
type Cells = BTreeMap<CellId, Vec<u32>>;

/// Inserts up to `most` nodes. At each power of ten from 10,000 on: how many rows the last hundredth of the inserts met.
pub(crate) fn growth(most: u32) -> Vec<Value> {
    let begun = Instant::now();
    let (mut codebook, mut deciding) = (Codebook::default(), Deciding::new(Settings::default()));
    let mut rows = Cells::new();
    let (mut n, mut epoch, mut shown) = (0u32, 0, 10_000);
    let (mut met, mut inserted, mut worst, mut placing) = (0usize, 0usize, 0usize, 0.0);
    let mut table = Vec::new();
    println!(
        "{:>12} {:>8} {:>10} {:>10} {:>9} {:>12} {:>10}",
        "nodes", "cells", "rows met", "at most", "ratio", "placing, us", "after, s"
    );
    while n < most {
        epoch += 1;
        let end = (n + (n / 200).max(500)).min(shown);
        if n < shown - shown / 100 {
            (met, inserted, worst, placing) = (0, 0, 0, 0.0);
        }
        let nodes: Vec<u32> = (n..end).collect();
        let (cells, seconds) = on_all_cores(&nodes, |vectors| {
            let start = Instant::now();
            let cells: Vec<CellId> = vectors.iter().map(|vector| codebook.cell(vector)).collect();
            (cells, start.elapsed().as_secs_f64())
        });
        placing += seconds;
        for (node, cell) in nodes.into_iter().zip(cells) {
            let rows = rows.entry(cell).or_default();
            (met, inserted, worst) = (met + rows.len(), inserted + 1, worst.max(rows.len()));
            rows.push(node);
            deciding.change(NodeId(node.into()), cell, 1);
        }
        n = end;
        let vector_of = |node: NodeId| Some(vector(node.0).into());
        for decision in deciding.decide(epoch, &codebook, vector_of) {
            codebook.apply(&decision).expect("the policy's own decision");
            carry_out(&decision, &codebook, &mut rows, &mut deciding);
        }
        if n == shown {
            let rows_met = met as f64 / inserted as f64;
            let first = table
                .first()
                .map_or(rows_met, |first: &Value| first["rows_met"].as_f64().unwrap_or(rows_met));
            let (micros, seconds) = (placing * 1e6 / inserted as f64, begun.elapsed().as_secs_f64());
            println!(
                "{n:>12} {:>8} {rows_met:>10.0} {worst:>10} {:>9.2} {micros:>12.2} {seconds:>10.0}",
                rows.len(),
                rows_met / first
            );
            table.push(json!({
                "what": "growth", "nodes": n, "cells": rows.len(), "rows_met": rows_met, "rows_met_at_most": worst,
                "placing_us": micros, "after_s": seconds,
            }));
            shown = shown.saturating_mul(10);
        }
    }
    table
}

/// Moves the nodes of cells that are no leaves any more.
fn carry_out(decision: &Decision, codebook: &Codebook, rows: &mut Cells, deciding: &mut Deciding) {
    let left: Vec<CellId> = match decision {
        Decision::Divide { cell, .. } => vec![*cell],
        Decision::Merge { .. } => rows.keys().copied().filter(|cell| !codebook.is_leaf(*cell)).collect(),
        Decision::Group { .. } => return,
    };
    for from in left {
        let Some(nodes) = rows.remove(&from) else { continue };
        let (cells, _) = on_all_cores(&nodes, |vectors| {
            let to = |vector: &[f32; D]| match decision {
                // As the codebook would, but for the way down to the cell that divides.
                Decision::Divide { children, .. } => {
                    let centroids = children.iter().map(|(_, centroid)| &**centroid);
                    children[nearest(vector, centroids).expect("a cell has children")].0
                }
                _ => codebook.cell(vector),
            };
            assert_eq!(vectors.first().map(to), vectors.first().map(|vector| codebook.cell(vector)));
            (vectors.iter().map(to).collect(), 0.0)
        });
        for (node, to) in nodes.into_iter().zip(cells) {
            deciding.change(NodeId(node.into()), from, -1);
            deciding.change(NodeId(node.into()), to, 1);
            rows.entry(to).or_default().push(node);
        }
    }
}

/// Cells that `place` gives for the vectors of `nodes`, and the seconds that it counts, all cores together.
fn on_all_cores(
    nodes: &[u32],
    place: impl Fn(&[[f32; D]]) -> (Vec<CellId>, f64) + Sync,
) -> (Vec<CellId>, f64) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = |nodes: &[u32]| {
        let (mut cells, mut seconds) = (Vec::with_capacity(nodes.len()), 0.0);
        for nodes in nodes.chunks(AT_ONCE) {
            let vectors: Vec<[f32; D]> = nodes.iter().map(|node| vector(u64::from(*node))).collect();
            let (placed, took) = place(&vectors);
            cells.extend(placed);
            seconds += took;
        }
        (cells, seconds)
    };
    thread::scope(|scope| {
        let shares = nodes.chunks(nodes.len().div_ceil(cores).max(1));
        let threads: Vec<_> = shares.map(|nodes| scope.spawn(|| share(nodes))).collect();
        let shares = threads.into_iter().map(|thread| thread.join().expect("a share is placed"));
        shares.fold((Vec::new(), 0.0), |(mut cells, seconds), (more, took)| {
            cells.extend(more);
            (cells, seconds + took)
        })
    })
}
