//! Lists of wide vectors and of large cells, whatever storage, projection, kernel and number of threads search them.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::{Step, assert_as_recomputed, run, settings};
use crate::id::{NodeId, SourceId, TrackId};
use crate::index::kernels::Kernel;
use crate::index::kernels::vector::{Precision, Vector};
use crate::index::node::Row;
use crate::index::partition::policy::Settings;
use crate::index::quantize::Projecting;
use crate::index::quantize::Storage;

/// Vectors close together, none with an exact half-precision form, whose fast scores differ from the canonical ones.
#[test]
fn lists_of_wide_vectors_are_exact_however_rows_are_stored() {
    let mut rng = Pcg64::seed_from_u64(4);
    for (d, n) in [(100, 150), (513, 80), (4608, 60)] {
        let centre: Vec<f32> = (0..d).map(|_| rng.random::<f32>() - 0.5).collect();
        let wide = |rng: &mut Pcg64, precision| {
            let v: Vec<f32> = centre.iter().map(|c| c + 0.02 * rng.random::<f32>()).collect();
            let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            Vector::new(&v.iter().map(|x| x / norm).collect::<Vec<_>>(), precision)
        };
        let ids: Vec<_> =
            (0..n).map(|at| TrackId::new(SourceId(at), 0, 0).unwrap().node(0).unwrap()).collect();
        let [singles, halves] = [Precision::F32, Precision::F16].map(|precision| -> Vec<Row> {
            let row =
                |id: &NodeId| Row { id: *id, pts_ns: 0, vector: wide(&mut rng, precision), known: None };
            ids.iter().map(row).collect()
        });
        let step = |rows: &[Row], diff| Step {
            rows: rows.iter().map(|row| (row.clone(), diff)).collect(),
            ..Step::default()
        };
        for (rows, storage, workers, projection) in [
            (&singles, Storage::F32, 1, Projecting::Never),
            (&singles, Storage::Words, 1, Projecting::Never),
            (&singles, Storage::Bytes, 1, Projecting::Never),
            (&singles, Storage::Words, 2, Projecting::First(20)),
            (&singles, Storage::Bytes, 2, Projecting::Twice(5, 20)),
            (&halves, Storage::Words, 1, Projecting::Never),
            (&halves, Storage::F32, 1, Projecting::First(7)),
            (&halves, Storage::Words, 1, Projecting::Twice(2, 30)),
            (&halves, Storage::Bytes, 1, Projecting::Never),
        ] {
            let (first, later) = rows.split_at(40);
            let steps = [step(first, 1), step(later, 1), step(&rows[10..35], -1)];
            for kernel in Kernel::all() {
                let what = format!("d {d}, {storage:?}, {projection:?}, {kernel:?}");
                let settings = Settings { storage, projection, kernel, ..settings(5, 1) };
                let outputs = run(&steps, &settings, workers, 1);
                assert_as_recomputed(&steps, &settings, &outputs, &what);
            }
        }
    }
}

/// Enough rows that thresholds rise in many steps, some of them equal, come, go and come back; new ones meet them on several threads.
#[test]
fn lists_of_a_large_cell_are_exact_however_it_is_searched() {
    let mut rng = Pcg64::seed_from_u64(14);
    let d = 40;
    let centres: Vec<Vec<f32>> =
        (0..12).map(|_| (0..d).map(|_| rng.random::<f32>() - 0.5).collect()).collect();
    let mut rows: Vec<Row> = Vec::new();
    for at in 0..2600 {
        let id = TrackId::new(SourceId(at % 300), 0, u64::from(at / 300)).unwrap().node(0).unwrap();
        let vector = if at % 50 == 7 {
            rows[at as usize / 2].vector.clone()
        } else {
            let centre = &centres[rng.random_range(0..centres.len())];
            let v: Vec<f32> = centre.iter().map(|c| c + 0.2 * (rng.random::<f32>() - 0.5)).collect();
            let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            v.iter().map(|x| x / norm).collect()
        };
        rows.push(Row { id, pts_ns: u64::from(at / 300) * 3_000_000_000, vector, known: None });
    }
    let step = |rows: &[Row], diff| Step {
        rows: rows.iter().map(|row| (row.clone(), diff)).collect(),
        ..Step::default()
    };
    // Large enough for a projection to be chosen from the first epoch on.
    let steps = [
        step(&rows[..1100], 1),
        step(&rows[1100..1900], 1),
        step(&rows[300..420], -1),
        step(&rows[1900..], 1),
        step(&rows[300..420], 1),
    ];
    for (storage, projection, workers, threads) in [
        (Storage::Bytes, Projecting::Never, 1, 3),
        (Storage::F32, Projecting::Never, 1, 2),
        (Storage::F32, Projecting::Twice(6, 24), 1, 3),
        (Storage::Words, Projecting::Twice(3, 16), 2, 2),
        (Storage::Bytes, Projecting::Measured, 1, 1),
        (Storage::F32, Projecting::First(8), 1, 2),
    ] {
        let settings = Settings { storage, projection, threads, ..settings(5, 1) };
        let outputs = run(&steps, &settings, workers, 1);
        let what = format!("{storage:?}, {projection:?}, {workers} workers, {threads} threads");
        assert_as_recomputed(&steps, &settings, &outputs, &what);
    }
}
