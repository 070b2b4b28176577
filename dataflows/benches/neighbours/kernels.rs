//! The product against two GEMM crates: 192 new vectors with 20 000 rows.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use kinetograph_dataflows::graph::product::bound::{error, lowered, norm};
use kinetograph_dataflows::graph::product::{Hit, Late, Lates, Rows, Storage};
use kinetograph_dataflows::graph::score::score;
use serde_json::{Map, json};

use crate::vectors::clustered;

type Vectors = [Arc<[f32]>];
/// Rows x d, lates x d, d, lates x rows.
type Gemm = fn(&[f32], &[f32], usize, &mut [f32]);

const ROWS_HELD: usize = 20_000;
const LATES: usize = 192;
const ROUNDS: usize = 5;

/// How the product keeps rows.
const STORED: [(&str, Storage); 3] =
    [("ours_f32", Storage::F32), ("ours_f16", Storage::F16), ("ours_bytes", Storage::Bytes)];
/// Crates that only multiply, and write all scores down.
const CRATES: [(&str, Gemm); 2] = [("gemm", with_gemm), ("matrixmultiply", with_matrixmultiply)];

pub(crate) fn compare() {
    for d in [128, 512, 4608] {
        let rows = if d > 1000 { ROWS_HELD / 4 } else { ROWS_HELD };
        let vectors = clustered(rows + LATES, d);
        let (held, lates) = vectors.split_at(rows);
        let [held_flat, lates_flat] =
            [held, lates].map(|part| part.iter().flat_map(|v| v.iter().copied()).collect::<Vec<f32>>());
        let mut out = vec![0.0f32; rows * LATES];
        equal(held, lates, (&held_flat, &lates_flat), &mut out);

        let flops = 2.0 * (rows * LATES * d) as f64;
        for threads in 1..=2 {
            let crates = if threads == 1 { &CRATES[..] } else { &[] };
            let mut best = vec![f64::INFINITY; STORED.len() + crates.len()];
            for _ in 0..ROUNDS {
                let (ours, others) = best.split_at_mut(STORED.len());
                for (best, (_, storage)) in ours.iter_mut().zip(STORED) {
                    *best = best.min(seconds(held, lates, storage, threads));
                }
                for (best, (_, product)) in others.iter_mut().zip(crates) {
                    let begun = Instant::now();
                    product(&held_flat, &lates_flat, d, &mut out);
                    *best = best.min(begun.elapsed().as_secs_f64());
                }
            }
            let names = STORED.iter().map(|stored| stored.0).chain(crates.iter().map(|other| other.0));
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
/// the same pairs whose canonical scores reach a floor, one in a thousand.
fn equal(held: &Vectors, lates: &Vectors, (held_flat, lates_flat): (&[f32], &[f32]), out: &mut [f32]) {
    let d = held[0].len();
    let mut ours = vec![f32::NAN; out.len()];
    for hit in hits(held, lates, Storage::F32, f32::NEG_INFINITY).0 {
        ours[hit.late * held.len() + hit.row] = hit.fast;
    }
    for (name, product) in CRATES {
        product(held_flat, lates_flat, d, out);
        assert!(ours.iter().zip(&*out).all(|(a, b)| (a - b).abs() < 1e-4), "{name}, d {d}");
    }
    let rank = ours.len() / 1000;
    let floor = *ours.select_nth_unstable_by(rank, |a, b| b.total_cmp(a)).1;
    let pairs = |storage: Storage| {
        // The bound is that of the furthest stored row.
        let off = hits(held, &lates[..1], storage, f32::INFINITY).1;
        let longest = held.iter().chain(lates).map(|v| norm(v)).fold(0.0, f64::max);
        let arithmetic = kept(&lates[..1], storage).0.arithmetic();
        let error = error(&arithmetic, d, longest, off) + 2.0 * off as f32;
        let (hits, _) = hits(held, lates, storage, lowered(floor, error));
        let mut pairs: Vec<_> = hits
            .into_iter()
            .filter(|hit| score(&lates[hit.late], &held[hit.row]).0 >= floor)
            .map(|hit| (hit.late, hit.row))
            .collect();
        pairs.sort_unstable();
        pairs
    };
    let expected = pairs(Storage::F32);
    assert!(expected.len() > rank / 2, "{} of {rank}", expected.len());
    for (name, storage) in STORED {
        assert_eq!(pairs(storage), expected, "{name}, d {d}");
    }
}

/// `vectors` as the product keeps them, and how far the furthest is from what it is.
fn kept(vectors: &Vectors, storage: Storage) -> (Rows, f64) {
    let mut rows = Rows::new(vectors[0].len(), true, storage);
    let off = vectors.iter().map(|row| rows.push(row)).fold(0.0, f64::max);
    (rows, off)
}

fn of(vectors: &Vectors, rows: usize, floor: f32, storage: Storage) -> Lates {
    let limits = vec![Late { rows, floor }; vectors.len()];
    kept(vectors, storage).0.lates((0..vectors.len()).zip(limits))
}

fn propose(lates: &mut Lates, rows: &Rows, floor: f32) -> Vec<Hit> {
    let (floors, mut hits, mut from) = (vec![floor; rows.places()], Vec::new(), Some(0));
    while let Some(first) = from {
        from = lates.propose(rows, first, &floors, &mut hits);
    }
    hits
}

/// What is proposed at `floor`, and how far the furthest row is stored from what it is.
fn hits(held: &Vectors, lates: &Vectors, storage: Storage, floor: f32) -> (Vec<Hit>, f64) {
    let (rows, off) = kept(held, storage);
    (propose(&mut of(lates, held.len(), floor, storage), &rows, f32::INFINITY), off)
}

/// A product with the comparison of every score with two floors, which the crates' figures leave out. Rows are dealt out to
/// threads.
fn seconds(held: &Vectors, lates: &Vectors, storage: Storage, threads: usize) -> f64 {
    let mut shares: Vec<_> = held
        .chunks(held.len().div_ceil(threads))
        .map(|share| (kept(share, storage).0, of(lates, share.len(), 2.0, storage)))
        .collect();
    let begun = Instant::now();
    thread::scope(|scope| {
        let (first, others) = shares.split_first_mut().expect("a thread");
        for (rows, lates) in others {
            scope.spawn(move || assert_eq!(propose(lates, rows, 2.0), []));
        }
        assert_eq!(propose(&mut first.1, &first.0, 2.0), []);
    });
    begun.elapsed().as_secs_f64()
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
