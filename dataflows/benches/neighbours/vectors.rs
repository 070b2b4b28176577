//! Clustered unit vectors, the same for the same numbers.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// `n` vectors of `d` values around n / 50 centres; a vector is as far from its centre as 0.7 of the centre's own length.
pub(crate) fn clustered(n: usize, d: usize) -> Vec<Arc<[f32]>> {
    let mut rng = Pcg64::seed_from_u64(1);
    let bell = |rng: &mut Pcg64| (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>();
    let centres: Vec<Vec<f32>> =
        (0..(n / 50).max(1)).map(|_| (0..d).map(|_| bell(&mut rng)).collect()).collect();
    (0..n)
        .map(|_| {
            let centre = &centres[rng.random_range(0..centres.len())];
            let vector: Vec<f32> = centre.iter().map(|c| c + 0.7 * bell(&mut rng)).collect();
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vector.iter().map(|x| x / norm).collect()
        })
        .collect()
}
