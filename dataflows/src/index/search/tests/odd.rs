//! Vectors that no embedder makes: equal ones, zeros, very short and very long ones, and such as differ in the last bit.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::{Step, any_kernel, assert_as_recomputed, at, row, run, settings};
use crate::id::{NodeId, SourceId, TrackId};
use crate::index::kernels::vector::{Precision, Vector};
use crate::index::node::Row;
use crate::index::partition::cells::PlacementError;
use crate::index::partition::policy::Settings;
use crate::index::quantize::Projecting;
use crate::index::quantize::Storage;
use crate::index::quantize::bound::LONGEST;
use crate::time::Epoch;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Equal,
    MostlyZero,
    Axes,
    LastBits,
    /// Of values about so large.
    Scaled(f32),
    /// Of any size that is let in.
    AnySize,
}

const KINDS: [Kind; 11] = [
    Kind::Equal,
    Kind::MostlyZero,
    Kind::Axes,
    Kind::LastBits,
    Kind::AnySize,
    Kind::Scaled(1e-40),
    Kind::Scaled(3e-23),
    Kind::Scaled(1e-20),
    // Half precision holds no such values.
    Kind::Scaled(1e5),
    Kind::Scaled(1e9),
    Kind::Scaled(5e13),
];

fn vector(kind: Kind, centre: &[f32], rng: &mut Pcg64) -> Vec<f32> {
    let scaled = |scale: f32, rng: &mut Pcg64| -> Vec<f32> {
        centre.iter().map(|_| scale * (rng.random::<f32>() - 0.5)).collect()
    };
    match kind {
        Kind::Equal => centre.to_vec(),
        Kind::MostlyZero if rng.random_bool(0.7) => vec![0.0; centre.len()],
        Kind::MostlyZero => centre.to_vec(),
        Kind::Axes => {
            let mut axis = vec![0.0; centre.len()];
            axis[rng.random_range(0..centre.len())] = [1.0, -1.0][rng.random_range(0..2)];
            axis
        }
        Kind::LastBits => {
            centre.iter().map(|x| f32::from_bits(x.to_bits() ^ rng.random_range(0..3))).collect()
        }
        Kind::Scaled(scale) => scaled(scale, rng),
        Kind::AnySize => {
            let scale = 10f32.powf(rng.random_range(-22.0..13.5));
            scaled(scale, rng)
        }
    }
}

#[test]
fn lists_of_odd_vectors_are_exact() {
    for (seed, kind) in (0..4).flat_map(|seed| KINDS.map(|kind| (seed, kind))) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let d = [1, 3, 17, 40][seed as usize];
        let centre: Vec<f32> = (0..d).map(|_| rng.random::<f32>() - 0.5).collect();
        let mut live = BTreeMap::<NodeId, Row>::new();
        let mut steps = Vec::new();
        for _ in 0..12 {
            let mut step = Step::default();
            for _ in 0..rng.random_range(0..40) {
                let track = TrackId::new(SourceId(rng.random_range(0..80)), 0, 0).unwrap();
                let id = track.node(0).unwrap();
                if step.rows.iter().any(|(row, _)| row.id == id) {
                    continue;
                }
                let old = live.remove(&id);
                let stays = old.is_none() || rng.random_bool(0.4);
                step.rows.extend(old.map(|row| (row, -1)));
                if stays {
                    let vector = Vector::new(&vector(kind, &centre, &mut rng), Precision::F32);
                    let row = Row { id, pts_ns: 0, vector, known: None };
                    live.insert(id, row.clone());
                    step.rows.push((row, 1));
                }
            }
            steps.push(step);
        }
        for storage in [Storage::F32, Storage::Words, Storage::Bytes] {
            let projection =
                [Projecting::Never, Projecting::First(2), Projecting::Twice(1, 3)][rng.random_range(0..3)];
            let (threads, workers) = (rng.random_range(1..=3), rng.random_range(1..=2));
            let k = [1, 3, 50][rng.random_range(0..3)];
            let settings =
                Settings { threads, storage, projection, kernel: any_kernel(&mut rng), ..settings(k, 1) };
            let outputs = run(&steps, &settings, workers, 2);
            assert_eq!(at(&outputs.errors, Epoch::MAX), <[String; 0]>::default());
            let what = format!("{kind:?}, d {d}, {storage:?}, {projection:?}, k {k}");
            assert_as_recomputed(&steps, &settings, &outputs, &what);
        }
    }
}

#[test]
fn a_vector_that_is_too_long_is_told_and_left_out() {
    let mut rng = Pcg64::seed_from_u64(1);
    let [long, longest, short] =
        [0, 1, 2].map(|n| row(&mut rng, TrackId::new(SourceId(n), 0, 0).unwrap().node(0).unwrap()));
    let along = |length: f32| Vector::new(&[length, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], Precision::F32);
    let rows =
        [Row { vector: along(1.01 * LONGEST), ..long }, Row { vector: along(LONGEST), ..longest }, short];
    let told = PlacementError::TooLong(rows[0].id).to_string();
    let steps = [Step { rows: rows.map(|row| (row, 1)).into(), ..Step::default() }];
    let outputs = run(&steps, &settings(3, 1), 1, 1);
    assert_eq!(at(&outputs.errors, 0), [told]);
    assert_eq!(at(&outputs.neighbours, 0).len(), 2);
}
