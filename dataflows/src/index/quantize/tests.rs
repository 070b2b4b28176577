//! The proposals of every encoding, against scores computed one by one.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::bound::{Arithmetic, at_least, error, lowered};
use super::*;
use crate::index::kernels::norm::norm;
use crate::index::kernels::score::score;
use crate::index::kernels::tile::ROWS;
use crate::index::kernels::vector::{Precision, Vector};
use crate::index::kernels::{Candidate, Encoding, Kernel, Limits, Panels, Queries};

const ENCODINGS: [Encoding; 3] = [Encoding::F32, Encoding::Words, Encoding::Bytes];

fn unit(d: usize, rng: &mut Pcg64) -> Vec<f32> {
    let v: Vec<f32> = (0..d).map(|_| rng.random::<f32>() - 0.5).collect();
    let norm = norm(&v) as f32;
    v.into_iter().map(|x| x / norm).collect()
}

/// Every kernel with every encoding.
fn ways() -> impl Iterator<Item = (Kernel, Encoding)> {
    Kernel::all().into_iter().flat_map(|kernel| ENCODINGS.map(|encoding| (kernel, encoding)))
}

/// `rows` as they are kept, and the furthest that one is from what it is.
fn kept(rows: &[Vec<f32>], encoding: Encoding) -> (Panels, f64) {
    let mut panels = Panels::new(rows.first().map_or(0, Vec::len), encoding);
    let off = rows.iter().map(|row| panels.push(row)).fold(0.0, f64::max);
    (panels, off)
}

/// All that `queries` propose, and how often they were asked.
fn candidates(queries: &mut Queries, rows: &Panels, thresholds: &[f32]) -> (Vec<Candidate>, usize) {
    let (mut candidates, mut from, mut blocks) = (Vec::new(), Some(0), 0);
    while let Some(first) = from {
        from = queries.propose(rows, first, thresholds, &mut candidates);
        blocks += 1;
    }
    (candidates, blocks)
}

/// `vectors` as queries that meet so many rows each, whatever these score.
fn queries(vectors: &[Vec<f32>], rows: usize, way: (Kernel, Encoding)) -> Queries {
    let (kernel, encoding) = way;
    let limits = Limits { rows, threshold: f32::NEG_INFINITY };
    Queries::new(&kept(vectors, encoding).0, kernel, (0..vectors.len()).map(|at| (at, limits)))
}

fn infinite(rows: usize) -> Vec<f32> {
    vec![f32::INFINITY; rows.next_multiple_of(ROWS)]
}

/// All fast scores of some vectors with `rows`.
fn product(vectors: &[Vec<f32>], rows: &[Vec<f32>], way: (Kernel, Encoding)) -> Vec<Candidate> {
    let held = kept(rows, way.1).0;
    candidates(&mut queries(vectors, rows.len(), way), &held, &infinite(rows.len())).0
}

#[test]
fn a_fast_score_is_within_its_bound_of_the_canonical_one() {
    let mut rng = Pcg64::seed_from_u64(1);
    for way in ways() {
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
            let vectors: Vec<_> = (0..m).map(|_| unit(d, &mut rng)).collect();
            let hits = product(&vectors, &rows, way);
            assert_eq!(hits.len(), n * m, "every pair once");
            let off = kept(&rows, way.1).1;
            // A unit vector of one value is a whole number of steps, or off by a rounding.
            assert!(d == 1 || (off > 0.0) == (way.1 != Encoding::F32), "{off}, {way:?}");
            let off = off.max(kept(&vectors, way.1).1);
            let longest = rows.iter().chain(&vectors).map(|v| norm(v)).fold(0.0, f64::max);
            let error = error(&Arithmetic::of(way.1), d, longest, off);
            let most = [4e-4, 2e-3, 2e-2][way.1 as usize];
            assert!(error < most, "{error} at d {d}, {way:?}");
            for hit in hits {
                let canonical = score(&vectors[hit.query], &rows[hit.row]).0;
                assert!((canonical - hit.most).abs() <= error, "{hit:?}, {canonical}, d {d}, {way:?}");
                assert!(hit.most >= lowered(canonical, error));
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

/// Every kind of proposer over `vectors`, with a name.
fn proposers(vectors: &[Vec<f32>], basis: &Arc<Basis>) -> Vec<(String, Box<dyn Proposer>)> {
    let d = vectors[0].len();
    let mut all: Vec<(String, Box<dyn Proposer>)> = Vec::new();
    for (kernel, encoding) in ways() {
        let whole = WholeVectors::new(d, encoding, kernel);
        all.push((format!("whole, {kernel:?}, {encoding:?}"), Box::new(whole)));
        for (directions, reranked) in [(1, 20), (4, 18), (7, 7), (basis.len(), basis.len())] {
            let projection = Projection::new(basis, directions, reranked);
            let what = format!("on {directions} and {reranked}, {kernel:?}, {encoding:?}");
            all.push((what, Box::new(ProjectedVectors::new(projection, encoding, kernel))));
        }
    }
    let rows: Vec<Vector> = vectors.iter().map(|v| Vector::new(v, Precision::F32)).collect();
    let rows: Vec<&Vector> = rows.iter().collect();
    for (at, (_, proposer)) in all.iter_mut().enumerate() {
        let (first, others) = rows.split_at(rows.len() / 3);
        proposer.append(first, 1);
        proposer.append(others, 1 + at % 3);
    }
    all
}

#[test]
fn every_proposer_keeps_its_contract() {
    let mut rng = Pcg64::seed_from_u64(4);
    for (d, extreme) in [(2, true), (24, true), (24, false), (688, true), (688, false), (4608, false)] {
        let mut vectors = alike(60, d, 12, &mut rng);
        vectors.extend((0..10).map(|_| unit(d, &mut rng)));
        vectors.push(vec![0.0; d]);
        vectors.push(vectors[0].clone());
        if extreme {
            vectors.push(vectors[0].iter().map(|x| 300.0 * x).collect());
            vectors.push(vectors[1].iter().map(|x| -1e-3 * x).collect());
        }
        let basis = Arc::new(Basis::learn(&borrowed(&vectors), 20).unwrap());
        assert!(basis.defect() < 1e-4, "{}", basis.defect());
        let n = vectors.len();
        let canonical = |query: usize, row: usize| score(&vectors[query], &vectors[row]).0;
        // What queries and rows want: as much as some pair scores, to the bit.
        let kth: Vec<[f32; 2]> =
            (0..n).map(|at| [(); 2].map(|()| canonical(at, rng.random_range(0..n)))).collect();
        for (what, proposer) in proposers(&vectors, &basis) {
            assert_eq!((proposer.len(), proposer.places() % ROWS), (n, 0), "{what}");
            let limits =
                |at: usize| (at, Limits { rows: n - at % 7, threshold: proposer.threshold(kth[at][0]) });
            let mut thresholds = infinite(n);
            (0..n).for_each(|at| thresholds[at] = proposer.threshold(kth[at][1]));
            let mut queries = proposer.queries(&(0..n).map(limits).collect::<Vec<_>>());
            let (mut proposed, mut from) = (Vec::new(), Some(0));
            while let Some(at) = from {
                from = proposer.propose(&mut queries, at, &thresholds, &mut proposed);
            }
            let mut found: Vec<_> = proposed.iter().map(|pair| (pair.query, pair.row)).collect();
            found.sort_unstable();
            assert!(found.windows(2).all(|two| two[0] < two[1]), "each pair once, {what}, d {d}");
            for (query, row) in (0..n).flat_map(|query| (0..n - query % 7).map(move |row| (query, row))) {
                let score = canonical(query, row);
                let wanted = score >= kth[query][0] || score >= kth[row][1];
                assert!(
                    !wanted || found.binary_search(&(query, row)).is_ok(),
                    "{query}, {row}, {what}, d {d}"
                );
            }
            let before = proposed.clone();
            proposer.rerank(0, &mut proposed);
            let mut narrower = 0;
            for (pair, before) in proposed.iter().zip(before) {
                let score = canonical(pair.query, pair.row);
                assert!(pair.least <= score, "{pair:?}, {score}, {what}, d {d}");
                assert!(pair.most >= proposer.threshold(score), "{pair:?}, {score}, {what}, d {d}");
                assert!(pair.most <= before.most);
                narrower += usize::from(pair.most < before.most);
            }
            let many = !extreme && d > 2 && what.starts_with("on 1 ");
            assert!(!many || narrower > proposed.len() / 2, "{narrower} of {}, {what}", proposed.len());
        }
    }
}

#[test]
fn bounds_of_unit_vectors_are_worth_something() {
    let mut rng = Pcg64::seed_from_u64(8);
    let vectors = alike(60, 688, 12, &mut rng);
    let basis = Arc::new(Basis::learn(&borrowed(&vectors), 20).unwrap());
    for (what, proposer) in proposers(&vectors, &basis) {
        let most = if what.contains("Bytes") { 2e-2 } else { 2e-3 };
        assert!(proposer.error() < most, "{}, {what}", proposer.error());
    }
}

#[test]
fn a_row_taken_out_of_a_proposer_leaves_the_others_as_they_were() {
    let mut rng = Pcg64::seed_from_u64(11);
    let vectors = alike(40, 24, 8, &mut rng);
    let basis = Arc::new(Basis::learn(&borrowed(&vectors), 20).unwrap());
    let mut left = vectors.clone();
    for at in [3, 38, 0, 20] {
        left.swap_remove(at);
    }
    for ((what, mut proposer), (_, expected)) in
        proposers(&vectors, &basis).into_iter().zip(proposers(&left, &basis))
    {
        [3, 38, 0, 20].into_iter().for_each(|at| proposer.swap_remove(at));
        let all = |proposer: &dyn Proposer| {
            let limits = Limits { rows: 36, threshold: f32::NEG_INFINITY };
            let mut queries = proposer.queries(&[(5, limits), (35, limits)]);
            let mut candidates = Vec::new();
            assert_eq!(proposer.propose(&mut queries, 0, &infinite(36), &mut candidates), None);
            let most: Vec<f32> = candidates.iter().map(|pair| pair.most).collect();
            // The two queries come one after the other in the re-rank.
            candidates.retain(|pair| pair.query == 0);
            proposer.rerank(5, &mut candidates);
            (most, candidates.iter().map(|pair| pair.most).collect::<Vec<f32>>())
        };
        assert_eq!(all(&*proposer), all(&*expected), "{what}");
    }
}

#[test]
fn steps_of_extreme_vectors_are_off_by_what_is_said() {
    let vectors =
        [vec![0.0; 5], vec![1e-44; 5], vec![3e15, -3e15, 1.0, 0.0, 2e15], vec![1.0, -1.0, 0.5, 0.25, 1e-9]];
    for (kernel, encoding) in ways().filter(|(_, encoding)| *encoding != Encoding::F32) {
        let mut rows = Panels::new(5, encoding);
        let offs: Vec<f64> = vectors.iter().map(|vector| rows.push(vector)).collect();
        for (at, (vector, off)) in vectors.iter().zip(&offs).enumerate() {
            assert!(off.is_finite() && *off <= norm(vector), "{off} of {vector:?}");
            let limits = Limits { rows: 4, threshold: f32::NEG_INFINITY };
            let mut hits = Vec::new();
            Queries::new(&rows, kernel, [(at, limits)]).propose(&rows, 0, &infinite(4), &mut hits);
            assert_eq!(hits.len(), 4);
            for hit in hits {
                let longest = norm(vector).max(norm(&vectors[hit.row]));
                let error = error(&Arithmetic::STEPS, 5, longest, off.max(offs[hit.row]));
                let canonical = score(vector, &vectors[hit.row]).0;
                assert!((canonical - hit.most).abs() <= error, "{hit:?}, {canonical}, {error}");
            }
        }
    }
}

#[test]
fn every_kernel_gives_steps_the_same_scores_with_any_number_of_queries() {
    let mut rng = Pcg64::seed_from_u64(9);
    for (d, encoding) in
        [1, 9, 36, 1300].into_iter().flat_map(|d| [(d, Encoding::Bytes), (d, Encoding::Words)])
    {
        let vectors: Vec<_> = (0..40).map(|_| unit(d, &mut rng)).collect();
        let rows = kept(&vectors, encoding).0;
        for count in 1..=7 {
            let of_kernel = |kernel: Kernel| {
                let limits = Limits { rows: rows.len(), threshold: 0.0 };
                let mut queries = Queries::new(&rows, kernel, (0..count).map(|at| (5 * at, limits)));
                candidates(&mut queries, &rows, &[0.5; 3 * ROWS]).0
            };
            let all: Vec<_> = Kernel::all().into_iter().map(of_kernel).collect();
            assert!(all[0].len() >= count, "each vector with itself: {}", all[0].len());
            assert!(all.iter().all(|hits| *hits == all[0]), "{count} of {d}, {encoding:?}");
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
fn what_is_alike_is_projected_and_what_is_not_is_multiplied_whole() {
    let mut rng = Pcg64::seed_from_u64(6);
    let near = alike(1500, 256, 8, &mut rng);
    let basis = Arc::new(Basis::learn(&borrowed(&near), 128).unwrap());
    assert!(Projection::choose(&basis, &borrowed(&near), Storage::F32, Kernel::best(), 1500, 2).is_some());
    let apart: Vec<_> = (0..600).map(|_| unit(256, &mut rng)).collect();
    let basis = Arc::new(Basis::learn(&borrowed(&apart), 128).unwrap());
    assert!(Projection::choose(&basis, &borrowed(&apart), Storage::Bytes, Kernel::best(), 600, 2).is_none());
}

#[test]
fn only_pairs_that_reach_a_threshold_are_proposed() {
    let mut rng = Pcg64::seed_from_u64(2);
    for way in ways() {
        // More rows than go together.
        let (n, m, d) = (5000, 9, 24);
        let rows: Vec<_> = (0..n).map(|_| unit(d, &mut rng)).collect();
        let vectors: Vec<_> = (0..m).map(|_| unit(d, &mut rng)).collect();
        let all = product(&vectors, &rows, way);
        let limits: Vec<Limits> = (0..m)
            .map(|at| Limits { rows: at * n / (m - 1), threshold: rng.random::<f32>() * 0.4 })
            .collect();
        let mut thresholds = infinite(n);
        thresholds[..n].iter_mut().for_each(|threshold| *threshold = rng.random::<f32>() * 0.4);
        let (held, vectors) = (kept(&rows, way.1).0, kept(&vectors, way.1).0);
        let mut queries = Queries::new(&vectors, way.0, limits.iter().copied().enumerate());
        let (hits, blocks) = candidates(&mut queries, &held, &thresholds);
        assert!(blocks > 3, "{blocks}, {way:?}");
        let wanted = |h: &&Candidate| {
            let of_query = &limits[h.query];
            h.row < of_query.rows && (h.most >= of_query.threshold || h.most >= thresholds[h.row])
        };
        let key = |h: &Candidate| (h.query, h.row, h.most.to_bits());
        let mut expected: Vec<_> = all.iter().filter(wanted).map(key).collect();
        let mut found: Vec<_> = hits.iter().map(key).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert!(found.len() > 10 && found.len() < n * m / 2);
        assert_eq!(found, expected, "{way:?}");
    }
}

#[test]
fn rows_taken_out_leave_the_others_as_they_were() {
    let mut rng = Pcg64::seed_from_u64(3);
    for way in ways() {
        let d = 10;
        let (mut held, mut rows) = (Panels::new(d, way.1), Vec::<Vec<f32>>::new());
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
            let vector = vec![unit(d, &mut rng)];
            let hits = candidates(&mut queries(&vector, rows.len(), way), &held, &infinite(rows.len())).0;
            if rows.is_empty() {
                assert_eq!(hits, []);
            } else {
                assert_eq!(hits, product(&vector, &rows, way), "{way:?}");
            }
        }
    }
}
