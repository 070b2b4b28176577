//! What an insert costs as the graph grows, by the sizes of cells: the real codebook and the real policy over nodes that have
//! vectors, but no lists.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use kinetograph_dataflows::graph::codebook::{Codebook, Decision};
use kinetograph_dataflows::graph::node::CellId;
use kinetograph_dataflows::graph::policy::{Deciding, Settings};
use kinetograph_dataflows::id::NodeId;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};

/// Values of a vector: enough for cells to have many neighbours.
const D: usize = 16;

/// The vector of node `n`: around one of n / 50 centres, so that new ones keep coming.
fn vector(n: u64) -> Arc<[f32]> {
    let bell = |rng: &mut Pcg64| (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>();
    let mut own = Pcg64::seed_from_u64(n);
    let mut centre = Pcg64::seed_from_u64(u64::MAX - own.random_range(0..=n / 50));
    let vector: [f32; D] = std::array::from_fn(|_| bell(&mut centre) + 0.7 * bell(&mut own));
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter().map(|x| x / norm).collect()
}

/// Inserts up to `most` nodes. At each power of ten from 10,000 on: how many rows the last hundredth of the inserts met.
pub(crate) fn growth(most: u64) -> Vec<Value> {
    let (mut codebook, mut deciding) = (Codebook::default(), Deciding::new(Settings::default()));
    let mut rows: BTreeMap<CellId, Vec<u64>> = BTreeMap::new();
    let (mut n, mut epoch, mut shown) = (0, 0, 10_000);
    let (mut met, mut inserted, mut worst, mut placing) = (0usize, 0usize, 0usize, 0.0);
    let mut table = Vec::new();
    println!(
        "{:>12} {:>8} {:>10} {:>10} {:>9} {:>12}",
        "nodes", "cells", "rows met", "at most", "ratio", "placing, us"
    );
    while n < most {
        epoch += 1;
        let end = (n + (n / 200).clamp(500, 20_000)).min(shown);
        if n < shown - shown / 100 {
            (met, inserted, worst, placing) = (0, 0, 0, 0.0);
        }
        for node in n..end {
            let vector = vector(node);
            let start = Instant::now();
            let cell = codebook.cell(&vector);
            placing += start.elapsed().as_secs_f64();
            let rows = rows.entry(cell).or_default();
            (met, inserted, worst) = (met + rows.len(), inserted + 1, worst.max(rows.len()));
            rows.push(node);
            deciding.change(NodeId(node), cell, 1);
        }
        n = end;
        for decision in deciding.decide(epoch, &codebook, |node| Some(vector(node.0).into())) {
            codebook.apply(&decision).expect("the policy's own decision");
            let left: Vec<CellId> = match decision {
                Decision::Divide { cell, .. } => vec![cell],
                Decision::Merge { .. } => rows.keys().copied().filter(|c| !codebook.is_leaf(*c)).collect(),
                Decision::Group { .. } => Vec::new(),
            };
            let gone = rows.keys().copied().filter(|c| left.contains(c)).collect::<Vec<_>>();
            for from in gone {
                for node in rows.remove(&from).unwrap_or_default() {
                    let to = codebook.cell(&vector(node));
                    deciding.change(NodeId(node), from, -1);
                    deciding.change(NodeId(node), to, 1);
                    rows.entry(to).or_default().push(node);
                }
            }
        }
        if n == shown {
            let rows_met = met as f64 / inserted as f64;
            let first = table
                .first()
                .map_or(rows_met, |first: &Value| first["rows_met"].as_f64().unwrap_or(rows_met));
            let micros = placing * 1e6 / inserted as f64;
            println!(
                "{n:>12} {:>8} {rows_met:>10.0} {worst:>10} {:>9.2} {micros:>12.2}",
                rows.len(),
                rows_met / first
            );
            table.push(json!({
                "nodes": n, "cells": rows.len(), "rows_met": rows_met, "rows_met_at_most": worst, "placing_us": micros,
            }));
            shown *= 10;
        }
    }
    table
}
