//! What the product proposes, against scores computed one by one.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use std::sync::Arc;

use super::bound::{Arithmetic, at_least, error, lowered, norm};
use super::*;
use crate::graph::score::score;

fn unit(d: usize, rng: &mut Pcg64) -> Vec<f32> {
    let v: Vec<f32> = (0..d).map(|_| rng.random::<f32>() - 0.5).collect();
    let norm = norm(&v) as f32;
    v.into_iter().map(|x| x / norm).collect()
}

/// What a processor may multiply with: singles, and steps.
#[derive(Clone, Copy, Debug)]
struct Way(Kernel, StepsKernel);

impl Way {
    fn all() -> Vec<Self> {
        let portable = StepsKernel::all().into_iter().map(|kernel| Way(Kernel::portable(), kernel));
        portable.chain([Way(Kernel::best(), StepsKernel::best())]).collect()
    }

    /// Vectors that meet rows kept so as `limits` has it.
    fn lates(self, vectors: &[Vec<f32>], storage: Storage, limits: &[Late]) -> Lates {
        let d = vectors[0].len();
        let mut rows = Rows::new(d, true, storage);
        for vector in vectors {
            rows.push(vector);
        }
        match &rows {
            Rows::Floats(_) => {
                let mut batch = Batch::new(d, self.0);
                vectors.iter().zip(limits).for_each(|(vector, late)| batch.push(vector, *late));
                Lates::Floats(batch)
            }
            Rows::Steps(panels) => {
                let mut batch = StepBatch::new(panels, self.1);
                limits.iter().enumerate().for_each(|(at, late)| batch.push(panels, at, *late));
                Lates::Steps(batch)
            }
        }
    }
}

/// All that `lates` propose, and how often they were asked.
fn hits(lates: &mut Lates, rows: &Rows, floors: &[f32]) -> (Vec<Hit>, usize) {
    let (mut hits, mut from, mut blocks) = (Vec::new(), Some(0), 0);
    while let Some(first) = from {
        from = lates.propose(rows, first, floors, &mut hits);
        blocks += 1;
    }
    (hits, blocks)
}

/// All fast scores of `lates` with `rows`, through hits, and the furthest that a row is stored from what it is.
fn product(lates: &[Vec<f32>], rows: &[Vec<f32>], storage: Storage, way: Way) -> (Vec<Hit>, f64) {
    let mut held = Rows::new(rows[0].len(), true, storage);
    let off = rows.iter().map(|row| held.push(row)).fold(0.0, f64::max);
    let all = vec![Late { rows: rows.len(), floor: f32::NEG_INFINITY }; lates.len()];
    let floors = vec![f32::INFINITY; held.places()];
    (hits(&mut way.lates(lates, storage, &all), &held, &floors).0, off)
}

#[test]
fn a_fast_score_is_within_its_bound_of_the_canonical_one() {
    let mut rng = Pcg64::seed_from_u64(1);
    for way in Way::all() {
        for storage in [Storage::F32, Storage::F16, Storage::Bytes, Storage::Words] {
            for (n, m, d) in [
                (1, 1, 1),
                (16, 6, 8),
                (37, 13, 100),
                (20, 7, 512),
                (33, 8, 1300),
                (18, 4, 1300),
                (18, 5, 36),
                (17, 7, 4608),
                (1100, 3, 4),
            ] {
                let rows: Vec<_> = (0..n).map(|_| unit(d, &mut rng)).collect();
                let lates: Vec<_> = (0..m).map(|_| unit(d, &mut rng)).collect();
                let (hits, off) = product(&lates, &rows, storage, way);
                assert_eq!(hits.len(), n * m, "every pair once");
                let steps = matches!(storage, Storage::Bytes | Storage::Words);
                // A unit vector of one value is a whole number of steps, or off by a rounding.
                assert!(d == 1 || (off > 0.0) == (steps || storage == Storage::F16), "{off}, {storage:?}");
                let mut both = Rows::new(d, true, storage);
                let off = lates.iter().map(|late| both.push(late)).fold(off, f64::max);
                let longest = rows.iter().chain(&lates).map(|v| norm(v)).fold(0.0, f64::max);
                let error = error(&both.arithmetic(), d, longest, off);
                let most = match storage {
                    Storage::Bytes if steps => 2e-2,
                    Storage::F16 | Storage::Words => 2e-3,
                    _ => 4e-4,
                };
                assert!(error < most, "{error} at d {d}, {way:?}");
                for hit in hits {
                    let canonical = score(&lates[hit.late], &rows[hit.row]).0;
                    assert!((canonical - hit.fast).abs() <= error, "{hit:?}, {canonical}, d {d}, {way:?}");
                    assert!(hit.fast >= lowered(canonical, error));
                }
            }
        }
    }
}

#[test]
fn a_bound_that_there_is_not_is_infinite() {
    for by in [Arithmetic::IEEE, Arithmetic::STEPS] {
        for (d, norm, off) in
            [(8, 1.0, f64::INFINITY), (8, f64::INFINITY, 0.0), (1 << 24, 1.0, 0.0), (1 << 25, 1.0, 0.0)]
        {
            assert_eq!(error(&by, d, norm, off), f32::INFINITY, "{by:?}, {d}, {norm}, {off}");
        }
    }
    assert_eq!(lowered(0.5, f32::INFINITY), f32::NEG_INFINITY);
    assert_eq!(at_least(f32::INFINITY, 0.1), f32::NEG_INFINITY);
    assert!(at_least(0.5, 0.1) <= 0.4);
}

/// `n` vectors that lie near the span of `rank` directions.
fn alike(n: usize, d: usize, rank: usize, rng: &mut Pcg64) -> Vec<Vec<f32>> {
    let directions: Vec<_> = (0..rank).map(|_| unit(d, rng)).collect();
    (0..n)
        .map(|_| {
            let mut v: Vec<f32> = unit(d, rng).iter().map(|x| 0.05 * x).collect();
            for direction in &directions {
                let along = rng.random::<f32>() - 0.3;
                v.iter_mut().zip(direction).for_each(|(v, x)| *v += along * x);
            }
            let norm = norm(&v) as f32;
            v.into_iter().map(|x| x / norm).collect()
        })
        .collect()
}

fn borrowed(vectors: &[Vec<f32>]) -> Vec<&[f32]> {
    vectors.iter().map(Vec::as_slice).collect()
}

#[test]
fn a_shadow_never_scores_below_its_vector() {
    let mut rng = Pcg64::seed_from_u64(4);
    for d in [2, 24, 688, 4608] {
        let mut vectors = alike(60, d, 5, &mut rng);
        vectors.extend((0..10).map(|_| unit(d, &mut rng)));
        vectors.push(vec![0.0; d]);
        vectors.push(vectors[0].iter().map(|x| 300.0 * x).collect());
        vectors.push(vectors[1].iter().map(|x| -1e-3 * x).collect());
        let basis = Arc::new(Basis::learn(&borrowed(&vectors), 20).unwrap());
        assert!(basis.defect() < 1e-4, "{}", basis.defect());
        for (directions, storage) in
            [(1, Storage::F32), (basis.len(), Storage::F32), (basis.len(), Storage::F16)]
        {
            let sketch = Sketch::shadow(&basis, directions, directions);
            let mut rows = Panels::new(directions + 1, storage);
            let (mut off, mut longest) = (0.0f64, 0.0f64);
            for vector in &vectors {
                let sketched = &sketch.of(&[vector])[0];
                let shadow = sketched.seen(vector).first;
                longest = longest.max(norm(shadow));
                off = off.max(rows.push(shadow));
            }
            let stored = |at| {
                let mut row = Vec::new();
                rows.read(at, &mut row);
                row
            };
            let shadows: Vec<_> = (0..vectors.len()).map(stored).collect();
            let longest_vector = vectors.iter().map(|v| norm(v)).fold(0.0, f64::max);
            for way in Way::all() {
                let error = sketch.error(&Arithmetic::IEEE, d, longest_vector, longest, off);
                let (hits, _) = product(&shadows, &shadows, Storage::F32, way);
                assert_eq!(hits.len(), vectors.len() * vectors.len());
                for hit in hits {
                    let canonical = score(&vectors[hit.late], &vectors[hit.row]).0;
                    assert!(
                        hit.fast >= lowered(canonical, error),
                        "{hit:?}, {canonical}, d {d}, {directions}"
                    );
                }
            }
            // And for unit vectors the bound is worth something.
            let unit = sketch.error(
                &Arithmetic::IEEE,
                d,
                1.0,
                1.0,
                if storage == Storage::F16 { 5e-4 } else { 0.0 },
            );
            assert!(unit < 5e-3, "{unit}");
        }
    }
}

#[test]
fn a_second_look_is_around_the_score_and_closer_than_the_first() {
    let mut rng = Pcg64::seed_from_u64(9);
    for (d, extreme) in [(24, true), (24, false), (688, true), (688, false), (4608, false)] {
        let mut vectors = alike(60, d, 12, &mut rng);
        vectors.extend((0..10).map(|_| unit(d, &mut rng)));
        vectors.push(vec![0.0; d]);
        vectors.push(vectors[0].clone());
        if extreme {
            vectors.push(vectors[0].iter().map(|x| 300.0 * x).collect());
            vectors.push(vectors[1].iter().map(|x| -1e-3 * x).collect());
        }
        let basis = Arc::new(Basis::learn(&borrowed(&vectors), 20).unwrap());
        for (directions, further, storage) in
            [(1, 20, Storage::F32), (4, 18, Storage::F16), (7, 8, Storage::F32)]
        {
            let sketch = Sketch::shadow(&basis, directions, further);
            let (mut rows, mut deeper) =
                (Rows::new(directions + 1, false, storage), sketch.deeper().unwrap());
            let (mut off, mut longest) = (0.0f64, 0.0f64);
            for vector in &vectors {
                let sketched = &sketch.of(&[vector])[0];
                let seen = sketched.seen(vector);
                longest = longest.max(norm(seen.first));
                off = off.max(rows.push(seen.first));
                deeper.push(&seen);
            }
            let n = vectors.len();
            let all = vec![Late { rows: n, floor: f32::NEG_INFINITY }; n];
            let floors = vec![f32::INFINITY; rows.places()];
            let (mut hits, _) = hits(&mut rows.lates((0..n).zip(all)), &rows, &floors);
            assert_eq!(hits.len(), n * n);
            let longest_vector = vectors.iter().map(|v| norm(v)).fold(0.0, f64::max);
            let by = rows.arithmetic();
            let first = sketch.error(&by, d, longest_vector, longest, off);
            let second = sketch.second_error(&by, longest_vector, longest, off);
            let (before, mut least) = (hits.clone(), Vec::new());
            let errors = (second, second - f64::from(first));
            deeper.sharpen(0, errors, &mut hits, &mut least);
            let mut closer = 0;
            for ((hit, least), before) in hits.iter().zip(least).zip(before) {
                let canonical = score(&vectors[hit.late], &vectors[hit.row]).0;
                assert!(least <= canonical, "{hit:?}, {least}, {canonical}, d {d}, {directions}");
                assert!(hit.fast >= lowered(canonical, first), "{hit:?}, {canonical}, d {d}, {directions}");
                assert!(hit.fast <= before.fast);
                closer += usize::from(hit.fast < before.fast);
            }
            assert!(extreme || further < 10 || closer > n * n / 2, "{closer} of {}, {directions}", n * n);
            // A row taken out is replaced by the last one.
            deeper.swap_remove(3);
            assert_eq!((deeper.len(), deeper.is_empty()), (n - 1, false));
        }
    }
}

#[test]
fn steps_of_extreme_vectors_are_off_by_what_is_said() {
    let vectors =
        [vec![0.0; 5], vec![1e-44; 5], vec![3e15, -3e15, 1.0, 0.0, 2e15], vec![1.0, -1.0, 0.5, 0.25, 1e-9]];
    let kernels = StepsKernel::all()
        .into_iter()
        .flat_map(|kernel| [Width::Bytes, Width::Words].map(|width| (kernel, width)));
    for (kernel, width) in kernels {
        let mut rows = StepPanels::new(5, width);
        let offs: Vec<f64> = vectors.iter().map(|vector| rows.push(vector)).collect();
        for (at, (vector, off)) in vectors.iter().zip(&offs).enumerate() {
            assert!(off.is_finite() && *off <= norm(vector), "{off} of {vector:?}");
            let mut batch = StepBatch::new(&rows, kernel);
            batch.push(&rows, at, Late { rows: 4, floor: f32::NEG_INFINITY });
            let mut hits = Vec::new();
            batch.propose(&rows, 0..1, &[f32::INFINITY; ROWS], &mut hits);
            assert_eq!(hits.len(), 4);
            for hit in hits {
                let longest = norm(vector).max(norm(&vectors[hit.row]));
                let error = error(&Arithmetic::STEPS, 5, longest, off.max(offs[hit.row]));
                let canonical = score(vector, &vectors[hit.row]).0;
                assert!((canonical - hit.fast).abs() <= error, "{hit:?}, {canonical}, {error}");
            }
        }
    }
}

#[test]
fn every_kernel_of_steps_gives_the_same_scores_to_any_number_of_vectors() {
    let mut rng = Pcg64::seed_from_u64(9);
    for (d, width) in [1, 9, 36, 1300].into_iter().flat_map(|d| [(d, Width::Bytes), (d, Width::Words)]) {
        let vectors: Vec<_> = (0..40).map(|_| unit(d, &mut rng)).collect();
        let mut rows = StepPanels::new(d, width);
        vectors.iter().for_each(|vector| {
            rows.push(vector);
        });
        for lates in 1..=7 {
            let of_kernel = |kernel: StepsKernel| {
                let (mut batch, mut hits) = (StepBatch::new(&rows, kernel), Vec::new());
                let late = Late { rows: rows.len(), floor: 0.0 };
                (0..lates).for_each(|at| batch.push(&rows, 5 * at, late));
                batch.propose(&rows, 0..batch.panels(), &[0.5; 3 * ROWS], &mut hits);
                hits
            };
            let all: Vec<_> = StepsKernel::all().into_iter().map(of_kernel).collect();
            assert!(all[0].len() >= lates, "each vector with itself: {}", all[0].len());
            assert!(all.iter().all(|hits| *hits == all[0]), "{lates} of {d}, {width:?}");
        }
    }
}

#[test]
fn directions_hold_what_vectors_have_in_common() {
    let mut rng = Pcg64::seed_from_u64(5);
    let vectors = alike(300, 96, 6, &mut rng);
    let basis = Basis::learn(&borrowed(&vectors), 12).unwrap();
    assert_eq!((basis.d(), basis.len()), (96, 12));
    for vector in &vectors {
        let mut along = [vec![0.0; 6]];
        basis.project(&[vector], &mut along);
        assert!(along[0].iter().map(|x| x * x).sum::<f32>() > 0.9, "{along:?}");
    }
    assert!(Basis::learn(&[], 3).is_none());
    assert!(Basis::learn(&[&[0.0, 0.0]], 3).is_none(), "no direction");
    assert_eq!(Basis::learn(&[&[3.0, 0.0], &[3.0, 0.0]], 3).unwrap().len(), 1);
}

#[test]
fn what_is_alike_is_seen_by_its_shadow_and_what_is_not_is_seen_whole() {
    let mut rng = Pcg64::seed_from_u64(6);
    let near = alike(1500, 256, 8, &mut rng);
    let basis = Arc::new(Basis::learn(&borrowed(&near), 128).unwrap());
    assert!(matches!(Sketch::choose(&basis, &borrowed(&near), Storage::F32, 1500, 2), Sketch::Shadow { .. }));
    let apart: Vec<_> = (0..600).map(|_| unit(256, &mut rng)).collect();
    let basis = Arc::new(Basis::learn(&borrowed(&apart), 128).unwrap());
    assert!(Sketch::choose(&basis, &borrowed(&apart), Storage::Bytes, 600, 2).is_whole());
}

#[test]
fn half_precision_values_are_stored_as_they_are() {
    let rows: Vec<Vec<f32>> = (0..20u16)
        .map(|i| (0..9u16).map(|j| half::f16::from_f32(f32::from(i * j) / 77.0).to_f32()).collect())
        .collect();
    for way in Way::all() {
        let (_, off) = product(&rows, &rows, Storage::F16, way);
        assert_eq!(off, 0.0);
    }
}

#[test]
fn only_pairs_that_reach_a_floor_are_proposed() {
    Way::all().into_iter().for_each(proposes_what_reaches_a_floor);
}

fn proposes_what_reaches_a_floor(way: Way) {
    let mut rng = Pcg64::seed_from_u64(2);
    // More rows than go together.
    let (n, m, d) = (5000, 9, 24);
    let rows: Vec<_> = (0..n).map(|_| unit(d, &mut rng)).collect();
    let lates: Vec<_> = (0..m).map(|_| unit(d, &mut rng)).collect();
    let all = product(&lates, &rows, Storage::F32, way).0;
    let mut held = Rows::new(d, true, Storage::F32);
    for row in &rows {
        held.push(row);
    }
    let limits: Vec<Late> =
        (0..m).map(|at| Late { rows: at * n / (m - 1), floor: rng.random::<f32>() * 0.4 }).collect();
    let mut floors = vec![f32::INFINITY; held.places()];
    floors[..n].iter_mut().for_each(|floor| *floor = rng.random::<f32>() * 0.4);
    let (hits, blocks) = hits(&mut way.lates(&lates, Storage::F32, &limits), &held, &floors);
    assert!(blocks > 3, "{blocks}, {way:?}");
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
    for way in Way::all() {
        for storage in [Storage::F32, Storage::F16, Storage::Bytes, Storage::Words] {
            let d = 10;
            let (mut held, mut rows) = (Rows::new(d, true, storage), Vec::<Vec<f32>>::new());
            for round in 0..400 {
                if rng.random_bool(if round < 250 { 0.7 } else { 0.1 }) || rows.is_empty() {
                    for _ in 0..rng.random_range(1..4) {
                        rows.push(unit(d, &mut rng));
                        held.push(&rows[rows.len() - 1]);
                    }
                } else {
                    let at = rng.random_range(0..rows.len());
                    rows.swap_remove(at);
                    held.swap_remove(at);
                }
                assert_eq!(held.len(), rows.len());
                let late = vec![unit(d, &mut rng)];
                let all = [Late { rows: rows.len(), floor: f32::NEG_INFINITY }];
                let floors = vec![f32::INFINITY; held.places()];
                let hits = hits(&mut way.lates(&late, storage, &all), &held, &floors).0;
                if rows.is_empty() {
                    assert_eq!(hits, []);
                } else {
                    assert_eq!(hits, product(&late, &rows, storage, way).0, "{way:?}");
                }
            }
        }
    }
}

/// Rows meet others as they are stored, wherever they are.
#[test]
fn rows_themselves_meet_others() {
    let mut rng = Pcg64::seed_from_u64(7);
    let rows: Vec<_> = (0..700).map(|_| unit(12, &mut rng)).collect();
    for way in Way::all() {
        for storage in [Storage::F32, Storage::F16, Storage::Bytes, Storage::Words] {
            let mut held = Rows::new(12, true, storage);
            let off = rows.iter().map(|row| held.push(row)).fold(0.0, f64::max);
            let places = 480..530;
            let limits = places.clone().map(|rows| (rows, Late { rows, floor: f32::NEG_INFINITY }));
            let floors = vec![f32::INFINITY; held.places()];
            let hits = hits(&mut held.lates(limits), &held, &floors).0;
            assert_eq!(hits.len(), places.clone().sum::<usize>());
            // Both sides are stored.
            let error = error(&held.arithmetic(), 12, 1.0 + off, off) + off as f32;
            for Hit { late, row, fast } in hits {
                let canonical = score(&rows[places.start + late], &rows[row]).0;
                assert!((canonical - fast).abs() <= error, "{late} {row} {fast} {canonical}, {way:?}");
            }
        }
    }
}
