//! The product against two GEMM crates: 96 new vectors with 20 000 rows.

use std::time::Instant;

use kinetograph_dataflows::graph::product::{Batch, Kernel, Late, Panels, ROWS, Storage};

use crate::vectors::clustered;

const ROWS_HELD: usize = 20_000;
const LATES: usize = 96;
const ROUNDS: usize = 5;

pub(crate) fn compare() {
    for d in [128, 512, 4608] {
        let rows = if d > 1000 { ROWS_HELD / 4 } else { ROWS_HELD };
        let vectors = clustered(rows + LATES, d);
        let (held, lates) = vectors.split_at(rows);
        let [held_flat, lates_flat] =
            [held, lates].map(|part| part.iter().flat_map(|v| v.iter().copied()).collect::<Vec<f32>>());
        let mut out = vec![0.0f32; rows * LATES];

        // Equal answers first: every fast score within rounding of the crates'.
        let ours = fast_scores(held, lates, Storage::F32);
        for product in [with_gemm, with_matrixmultiply] {
            product(&held_flat, &lates_flat, d, &mut out);
            assert!(ours.iter().zip(&out).all(|(a, b)| (a - b).abs() < 1e-4), "d {d}");
        }

        let flops = 2.0 * (rows * LATES * d) as f64;
        let mut best = [f64::INFINITY; 4];
        for _ in 0..ROUNDS {
            for (which, storage) in [Storage::F32, Storage::F16].into_iter().enumerate() {
                best[which] = best[which].min(ours_seconds(held, lates, storage));
            }
            for (which, product) in [with_gemm, with_matrixmultiply].into_iter().enumerate() {
                let begun = Instant::now();
                product(&held_flat, &lates_flat, d, &mut out);
                best[2 + which] = best[2 + which].min(begun.elapsed().as_secs_f64());
            }
        }
        let [f32_rate, f16_rate, gemm, matrixmultiply] = best.map(|seconds| flops / seconds / 1e9);
        crate::tell(format!(
            r#"{{"what": "kernels", "d": {d}, "rows": {rows}, "ours_f32_gflops": {f32_rate:.1}, "ours_f16_gflops": {f16_rate:.1}, "gemm_gflops": {gemm:.1}, "matrixmultiply_gflops": {matrixmultiply:.1}}}"#
        ));
    }
}

fn batch(lates: &[std::sync::Arc<[f32]>], rows: usize, floor: f32) -> Batch {
    let mut batch = Batch::new(lates[0].len(), Kernel::best());
    lates.iter().for_each(|v| batch.push(v, Late { rows, floor }));
    batch
}

fn panels(held: &[std::sync::Arc<[f32]>], storage: Storage) -> Panels {
    let mut panels = Panels::new(held[0].len(), storage);
    for row in held {
        panels.push(row);
    }
    panels
}

/// Lates x rows, as the product proposes them when everything is let through.
fn fast_scores(
    held: &[std::sync::Arc<[f32]>],
    lates: &[std::sync::Arc<[f32]>],
    storage: Storage,
) -> Vec<f32> {
    let panels = panels(held, storage);
    let (mut batch, floors) =
        (batch(lates, held.len(), f32::NEG_INFINITY), vec![f32::INFINITY; panels.panels() * ROWS]);
    let (mut hits, mut scores) = (Vec::new(), vec![f32::NAN; held.len() * lates.len()]);
    for panel in 0..panels.panels() {
        batch.propose(&panels, panel, &floors, &mut hits);
        hits.drain(..).for_each(|hit| scores[hit.late * held.len() + hit.row] = hit.fast);
    }
    scores
}

/// Our product with its comparison of every score with two floors, which the crates' figures leave out.
fn ours_seconds(held: &[std::sync::Arc<[f32]>], lates: &[std::sync::Arc<[f32]>], storage: Storage) -> f64 {
    let panels = panels(held, storage);
    let (mut batch, floors) = (batch(lates, held.len(), 2.0), vec![2.0; panels.panels() * ROWS]);
    let (mut hits, begun) = (Vec::new(), Instant::now());
    (0..panels.panels()).for_each(|panel| batch.propose(&panels, panel, &floors, &mut hits));
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(hits, []);
    seconds
}

fn with_matrixmultiply(held: &[f32], lates: &[f32], d: usize, out: &mut [f32]) {
    let (m, n) = (lates.len() / d, held.len() / d);
    let (wide, tall) = (d as isize, n as isize);
    // SAFETY: the sizes and strides are those of the slices: m x d, d x n (n x d transposed) and m x n.
    unsafe {
        matrixmultiply::sgemm(
            m,
            d,
            n,
            1.0,
            lates.as_ptr(),
            wide,
            1,
            held.as_ptr(),
            1,
            wide,
            0.0,
            out.as_mut_ptr(),
            tall,
            1,
        );
    }
}

fn with_gemm(held: &[f32], lates: &[f32], d: usize, out: &mut [f32]) {
    let (m, n) = (lates.len() / d, held.len() / d);
    let (wide, tall) = (d as isize, n as isize);
    // SAFETY: as in `with_matrixmultiply`; here a column's stride comes first.
    unsafe {
        gemm::gemm(
            m,
            n,
            d,
            out.as_mut_ptr(),
            1,
            tall,
            false,
            lates.as_ptr(),
            1,
            wide,
            held.as_ptr(),
            wide,
            1,
            0.0f32,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
