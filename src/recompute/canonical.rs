//! The canonical score, written down once more as plainly as it is defined.

use kinetograph_dataflows::index::kernels::score::Score;

/// Lanes of the sum.
const LANES: usize = 16;

/// The dot product of two vectors of one length. Product i goes to lane i modulo 16; then the upper half of the lanes is added to
/// the lower until one is left, to which 0 is added, so that -0 is 0.
pub fn score(a: &[f32], b: &[f32]) -> Score {
    let mut lanes = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (x, y) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += x * y;
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    Score(lanes[0] + 0.0)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn it_is_the_engines_score_to_the_bit() {
        let mut rng = Pcg64::seed_from_u64(3);
        for d in [0, 1, 15, 16, 17, 128, 531] {
            let mut random = || (0..d).map(|_| rng.random::<f32>() - 0.5).collect::<Vec<f32>>();
            let (a, b) = (random(), random());
            assert_eq!(score(&a, &b), kinetograph_dataflows::index::kernels::score::score(&a, &b), "d {d}");
        }
    }
}
