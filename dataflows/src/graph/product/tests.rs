//! What the product proposes, against scores computed one by one.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::bound::{error, lowered, norm};
use super::*;
use crate::graph::score::score;

fn unit(d: usize, rng: &mut Pcg64) -> Vec<f32> {
    let v: Vec<f32> = (0..d).map(|_| rng.random::<f32>() - 0.5).collect();
    let norm = norm(&v) as f32;
    v.into_iter().map(|x| x / norm).collect()
}

/// All fast scores of `lates` with `rows`, through hits.
fn product(lates: &[Vec<f32>], rows: &[Vec<f32>], storage: Storage, kernel: Kernel) -> (Vec<Hit>, f64) {
    let d = rows[0].len();
    let (mut panels, mut batch) = (Panels::new(d, storage), Batch::new(d, kernel));
    let off = rows.iter().map(|row| panels.push(row)).fold(0.0, f64::max);
    lates.iter().for_each(|v| batch.push(v, Late { rows: rows.len(), floor: f32::NEG_INFINITY }));
    let floors = vec![f32::INFINITY; panels.panels() * ROWS];
    let mut hits = Vec::new();
    (0..batch.panels()).for_each(|panel| batch.propose(&panels, panel, &floors, &mut hits));
    (hits, off)
}

#[test]
fn a_fast_score_is_within_its_bound_of_the_canonical_one() {
    let mut rng = Pcg64::seed_from_u64(1);
    for kernel in [Kernel::best(), Kernel::portable()] {
        for storage in [Storage::F32, Storage::F16] {
            for (n, m, d) in
                [(1, 1, 1), (16, 6, 8), (37, 13, 100), (20, 7, 512), (33, 8, 1300), (17, 7, 4608)]
            {
                let rows: Vec<_> = (0..n).map(|_| unit(d, &mut rng)).collect();
                let lates: Vec<_> = (0..m).map(|_| unit(d, &mut rng)).collect();
                let (hits, off) = product(&lates, &rows, storage, kernel);
                assert_eq!(hits.len(), n * m, "every pair once");
                assert_eq!(off > 0.0, storage == Storage::F16 && d > 1);
                let longest = rows.iter().chain(&lates).map(|v| norm(v)).fold(0.0, f64::max);
                let error = error(d, longest, off);
                assert!(error < if storage == Storage::F32 { 4e-4 } else { 1e-3 }, "{error} at d {d}");
                for hit in hits {
                    let canonical = score(&lates[hit.late], &rows[hit.row]).0;
                    assert!((canonical - hit.fast).abs() <= error, "{hit:?}, {canonical}, d {d}");
                    assert!(hit.fast >= lowered(canonical, error));
                }
            }
        }
    }
}

#[test]
fn half_precision_values_are_stored_as_they_are() {
    let rows: Vec<Vec<f32>> = (0..20u16)
        .map(|i| (0..9u16).map(|j| half::f16::from_f32(f32::from(i * j) / 77.0).to_f32()).collect())
        .collect();
    let (_, off) = product(&rows, &rows, Storage::F16, Kernel::best());
    assert_eq!(off, 0.0);
}

#[test]
fn only_pairs_that_reach_a_floor_are_proposed() {
    for kernel in [Kernel::best(), Kernel::portable()] {
        proposes_what_reaches_a_floor(kernel);
    }
}

fn proposes_what_reaches_a_floor(kernel: Kernel) {
    let mut rng = Pcg64::seed_from_u64(2);
    let (n, m, d) = (50, 9, 24);
    let rows: Vec<_> = (0..n).map(|_| unit(d, &mut rng)).collect();
    let lates: Vec<_> = (0..m).map(|_| unit(d, &mut rng)).collect();
    let all = product(&lates, &rows, Storage::F32, kernel).0;
    let (mut panels, mut batch) = (Panels::new(d, Storage::F32), Batch::new(d, kernel));
    for row in &rows {
        panels.push(row);
    }
    let limits: Vec<Late> =
        (0..m).map(|at| Late { rows: at * 6, floor: rng.random::<f32>() * 0.4 }).collect();
    lates.iter().zip(&limits).for_each(|(v, late)| batch.push(v, *late));
    let mut floors = vec![f32::INFINITY; panels.panels() * ROWS];
    floors[..n].iter_mut().for_each(|floor| *floor = rng.random::<f32>() * 0.4);
    let mut hits = Vec::new();
    (0..batch.panels()).for_each(|panel| batch.propose(&panels, panel, &floors, &mut hits));
    let wanted =
        |h: &&Hit| h.row < limits[h.late].rows && (h.fast >= limits[h.late].floor || h.fast >= floors[h.row]);
    let key = |h: &Hit| (h.late, h.row, h.fast.to_bits());
    let mut expected: Vec<_> = all.iter().filter(wanted).map(key).collect();
    let mut found: Vec<_> = hits.iter().map(key).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert!(found.len() > 10 && found.len() < n * m / 2);
    assert_eq!(found, expected);
}

#[test]
fn rows_taken_out_leave_the_others_as_they_were() {
    let mut rng = Pcg64::seed_from_u64(3);
    for storage in [Storage::F32, Storage::F16] {
        let d = 10;
        let (mut panels, mut rows) = (Panels::new(d, storage), Vec::<Vec<f32>>::new());
        for round in 0..400 {
            if rng.random_bool(if round < 250 { 0.7 } else { 0.1 }) || rows.is_empty() {
                rows.push(unit(d, &mut rng));
                panels.push(&rows[rows.len() - 1]);
            } else {
                let at = rng.random_range(0..rows.len());
                rows.swap_remove(at);
                panels.swap_remove(at);
            }
            assert_eq!(panels.len(), rows.len());
            let (mut batch, late) = (Batch::new(d, Kernel::best()), unit(d, &mut rng));
            batch.push(&late, Late { rows: rows.len(), floor: f32::NEG_INFINITY });
            let floors = vec![f32::INFINITY; panels.panels() * ROWS];
            let mut hits = Vec::new();
            (0..batch.panels()).for_each(|p| batch.propose(&panels, p, &floors, &mut hits));
            if rows.is_empty() {
                assert_eq!(hits, []);
            } else {
                assert_eq!(hits, product(&[late], &rows, storage, Kernel::best()).0);
            }
        }
    }
}
