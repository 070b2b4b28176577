//! K-means on the sphere, deterministic: the same rows in the same order give the same centroids.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::index::kernels::score::score;

/// `k` unit centroids of `rows` (each d values, unit length), by k-means++ seeding and at most `rounds` rounds of
/// Lloyd's algorithm under the canonical score. Fewer than `k` when there are fewer distinct rows.
pub fn spherical_kmeans(rows: &[&[f32]], k: usize, rounds: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut centroids = plus_plus(rows, k, &mut rng);
    for _ in 0..rounds {
        let mut sums = vec![vec![0.0f32; rows.first().map_or(0, |r| r.len())]; centroids.len()];
        for row in rows {
            let home = nearest(row, centroids.iter().map(Vec::as_slice)).unwrap_or(0);
            for (sum, value) in sums[home].iter_mut().zip(*row) {
                *sum += value;
            }
        }
        let mut moved = false;
        for (centroid, sum) in centroids.iter_mut().zip(sums) {
            if let Some(mean) = unit(sum)
                && *centroid != mean
            {
                *centroid = mean;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    centroids
}

/// The index of the centroid with the best canonical score; ties go to the first. `None` when there are none.
pub fn nearest<'a>(row: &[f32], centroids: impl Iterator<Item = &'a [f32]>) -> Option<usize> {
    centroids.enumerate().map(|(i, c)| (score(row, c), i)).min().map(|(_, i)| i)
}

fn plus_plus(rows: &[&[f32]], k: usize, rng: &mut Pcg64) -> Vec<Vec<f32>> {
    let mut centroids: Vec<Vec<f32>> = Vec::with_capacity(k);
    let mut gap: Vec<f64> = vec![1.0; rows.len()];
    while centroids.len() < k {
        let total: f64 = gap.iter().sum();
        if total <= 0.0 {
            break;
        }
        let mut at = rng.random::<f64>() * total;
        let chosen = gap.iter().position(|g| {
            at -= g;
            at < 0.0 && *g > 0.0
        });
        let Some(chosen) = chosen.or_else(|| gap.iter().rposition(|g| *g > 0.0)) else { break };
        for (gap, row) in gap.iter_mut().zip(rows) {
            let distance = f64::from(1.0 - score(row, rows[chosen]).0).max(0.0);
            *gap = if distance < 1e-6 { 0.0 } else { gap.min(distance) };
        }
        centroids.push(rows[chosen].to_vec());
    }
    centroids
}

/// `v` scaled to unit length; `None` when it has none.
fn unit(mut v: Vec<f32>) -> Option<Vec<f32>> {
    let norm = score(&v, &v).0.sqrt();
    (norm > 1e-12).then(|| {
        v.iter_mut().for_each(|x| *x /= norm);
        v
    })
}
