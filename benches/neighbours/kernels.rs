//! The product, with every kernel and encoding, against two GEMM crates: 192 queries with 20 000 rows.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use kinetograph_dataflows::index::kernels::Encoding;
use kinetograph_dataflows::index::kernels::Kernel;
use kinetograph_dataflows::index::kernels::Panels;
use kinetograph_dataflows::index::kernels::norm::norm;
use kinetograph_dataflows::index::kernels::score::score;
use kinetograph_dataflows::index::kernels::{Candidate, Limits, Queries};
use kinetograph_dataflows::index::quantize::bound::{Arithmetic, error, lowered};
use serde_json::{Map, json};

use crate::vectors::clustered;

type Vectors = [Arc<[f32]>];
/// Rows x d, queries x d, d, queries x rows.
type Gemm = fn(&[f32], &[f32], usize, &mut [f32]);

const ROWS_HELD: usize = 20_000;
const QUERIES: usize = 192;
const ROUNDS: usize = 5;

type Way = (Kernel, Encoding);

/// Every kernel but the portable one, where there is another, with every encoding. The best with singles comes first.
fn ways() -> Vec<(String, Way)> {
    let all = Kernel::all();
    let kernels = all.iter().rev().take((all.len() - 1).max(1));
    let of_kernel = |kernel: &Kernel| {
        let encodings = [("f32", Encoding::F32), ("words", Encoding::Words), ("bytes", Encoding::Bytes)];
        encodings.map(|(name, encoding)| (format!("{}_{name}", kernel.name()), (*kernel, encoding)))
    };
    kernels.flat_map(of_kernel).collect()
}

/// Crates that only multiply, and write all scores down.
const CRATES: [(&str, Gemm); 2] = [("gemm", with_gemm), ("matrixmultiply", with_matrixmultiply)];

pub(crate) fn compare() {
    let ways = ways();
    for d in [128, 512, 4608] {
        let rows = if d > 1000 { ROWS_HELD / 4 } else { ROWS_HELD };
        let vectors = clustered(rows + QUERIES, d);
        let (held, queries) = vectors.split_at(rows);
        let [held_flat, queries_flat] =
            [held, queries].map(|part| part.iter().flat_map(|v| v.iter().copied()).collect::<Vec<f32>>());
        let mut out = vec![0.0f32; rows * QUERIES];
        equal(held, queries, (&held_flat, &queries_flat), &mut out);

        let flops = 2.0 * (rows * QUERIES * d) as f64;
        for threads in 1..=2 {
            let crates = if threads == 1 { &CRATES[..] } else { &[] };
            let mut best = vec![f64::INFINITY; ways.len() + crates.len()];
            for _ in 0..ROUNDS {
                let (ours, others) = best.split_at_mut(ways.len());
                for (best, (_, way)) in ours.iter_mut().zip(&ways) {
                    *best = best.min(seconds(held, queries, *way, threads));
                }
                for (best, (_, product)) in others.iter_mut().zip(crates) {
                    let begun = Instant::now();
                    product(&held_flat, &queries_flat, d, &mut out);
                    *best = best.min(begun.elapsed().as_secs_f64());
                }
            }
            let names = ways.iter().map(|(name, _)| name.as_str()).chain(crates.iter().map(|other| other.0));
            let mut told = Map::new();
            told.insert("what".into(), json!("kernels"));
            told.insert("d".into(), json!(d));
            told.insert("rows".into(), json!(rows));
            told.insert("threads".into(), json!(threads));
            for (name, seconds) in names.zip(&best) {
                let rate = (flops / seconds / 1e8).round() / 10.0;
                told.insert(format!("{name}_gflops"), json!(rate));
                told.insert(format!("ours_to_{name}"), json!((seconds / best[0] * 100.0).round() / 100.0));
            }
            crate::tell(serde_json::Value::Object(told).to_string());
        }
    }
}

/// Equal answers first: every fast score of ours is within rounding of the crates', and however rows are stored they propose
/// the same pairs whose canonical scores reach a k-th score, one in a thousand.
fn equal(held: &Vectors, queries: &Vectors, flat: (&[f32], &[f32]), out: &mut [f32]) {
    let (held_flat, queries_flat) = flat;
    let d = held[0].len();
    let mut ours = vec![f32::NAN; out.len()];
    for hit in hits(held, queries, (Kernel::best(), Encoding::F32), f32::NEG_INFINITY).0 {
        ours[hit.query * held.len() + hit.row] = hit.most;
    }
    for (name, product) in CRATES {
        product(held_flat, queries_flat, d, out);
        assert!(ours.iter().zip(&*out).all(|(a, b)| (a - b).abs() < 1e-4), "{name}, d {d}");
    }
    let rank = ours.len() / 1000;
    let kth_score = *ours.select_nth_unstable_by(rank, |a, b| b.total_cmp(a)).1;
    let pairs = |way: Way| {
        // The bound is that of the furthest stored row.
        let off = kept(held, way.1).1;
        let longest = held.iter().chain(queries).map(|v| norm(v)).fold(0.0, f64::max);
        let error = error(&Arithmetic::of(way.1), d, longest, off) + 2.0 * off as f32;
        let (hits, _) = hits(held, queries, way, lowered(kth_score, error));
        let mut pairs: Vec<_> = hits
            .into_iter()
            .filter(|hit| score(&queries[hit.query], &held[hit.row]).0 >= kth_score)
            .map(|hit| (hit.query, hit.row))
            .collect();
        pairs.sort_unstable();
        pairs
    };
    let expected = pairs((Kernel::best(), Encoding::F32));
    assert!(expected.len() > rank / 2, "{} of {rank}", expected.len());
    for (name, way) in ways() {
        assert_eq!(pairs(way), expected, "{name}, d {d}");
    }
}

/// `vectors` as the product keeps them, and how far the furthest is from what it is.
fn kept(vectors: &Vectors, encoding: Encoding) -> (Panels, f64) {
    let mut rows = Panels::new(vectors[0].len(), encoding);
    let off = vectors.iter().map(|row| rows.push(row)).fold(0.0, f64::max);
    (rows, off)
}

fn of(vectors: &Vectors, rows: usize, threshold: f32, way: Way) -> Queries {
    let (kernel, encoding) = way;
    let limits = Limits { rows, threshold };
    Queries::new(&kept(vectors, encoding).0, kernel, (0..vectors.len()).map(|at| (at, limits)))
}

fn propose(queries: &mut Queries, rows: &Panels, threshold: f32) -> Vec<Candidate> {
    let thresholds = vec![threshold; rows.len().next_multiple_of(16)];
    let (mut hits, mut from) = (Vec::new(), Some(0));
    while let Some(first) = from {
        from = queries.propose(rows, first, &thresholds, &mut hits);
    }
    hits
}

/// What is proposed at `threshold`, and how far the furthest row is stored from what it is.
fn hits(held: &Vectors, queries: &Vectors, way: Way, threshold: f32) -> (Vec<Candidate>, f64) {
    let (rows, off) = kept(held, way.1);
    (propose(&mut of(queries, held.len(), threshold, way), &rows, f32::INFINITY), off)
}

/// A product with the comparison of every score with two thresholds, which the crates' figures leave out. Rows are dealt out to
/// threads.
fn seconds(held: &Vectors, queries: &Vectors, way: Way, threads: usize) -> f64 {
    let mut shares: Vec<_> = held
        .chunks(held.len().div_ceil(threads))
        .map(|share| (kept(share, way.1).0, of(queries, share.len(), 2.0, way)))
        .collect();
    let begun = Instant::now();
    thread::scope(|scope| {
        let (first, others) = shares.split_first_mut().expect("a thread");
        for (rows, queries) in others {
            scope.spawn(move || assert_eq!(propose(queries, rows, 2.0), []));
        }
        assert_eq!(propose(&mut first.1, &first.0, 2.0), []);
    });
    begun.elapsed().as_secs_f64()
}

fn with_matrixmultiply(held: &[f32], queries: &[f32], d: usize, out: &mut [f32]) {
    let (m, n) = (queries.len() / d, held.len() / d);
    let (wide, tall) = (d as isize, n as isize);
    // SAFETY: the sizes and strides are those of the slices: m x d, d x n (n x d transposed) and m x n.
    unsafe {
        matrixmultiply::sgemm(
            m,
            d,
            n,
            1.0,
            queries.as_ptr(),
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

fn with_gemm(held: &[f32], queries: &[f32], d: usize, out: &mut [f32]) {
    let (m, n) = (queries.len() / d, held.len() / d);
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
            queries.as_ptr(),
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
