//! The camera's own motion between two pictures: a homography that most flows agree on.

use rand::Rng;
use rand_pcg::Pcg64;

use super::flow::Flow;

/// A projective map of the picture plane, row-major 3 x 3, pixels to pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Homography(pub [f64; 9]);

/// The homography found, and how many flows are within the bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// From the earlier picture to the later one.
    pub homography: Homography,
    /// Flows that end within the bound of where it sends them.
    pub inliers: usize,
}

/// Samples of four flows at most; with half the flows right, 72 find a clean one with 99 % certainty.
const MAX_SAMPLES: usize = 200;
/// Samples at least: four flows measured with noise make a poor map even when all are right.
const MIN_SAMPLES: usize = 24;
/// Least-squares refits on the inliers, each choosing its inliers anew.
const REFITS: usize = 4;
/// A pivot under this, with coordinates scaled to about 1, means the equations do not fix the map.
const SMALLEST_PIVOT: f64 = 1e-9;

impl Homography {
    /// Leaves every point where it is.
    pub const IDENTITY: Homography = Homography([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);

    /// Where `point` goes. Not finite for points on the map's horizon.
    pub fn apply(&self, point: (f32, f32)) -> (f32, f32) {
        let h = &self.0;
        let (x, y) = (f64::from(point.0), f64::from(point.1));
        let w = h[6] * x + h[7] * y + h[8];
        (((h[0] * x + h[1] * y + h[2]) / w) as f32, ((h[3] * x + h[4] * y + h[5]) / w) as f32)
    }

    /// Returns how far `flow` ends from where the map sends its start, as a vector in pixels.
    pub fn residual(&self, flow: &Flow) -> (f32, f32) {
        let (x, y) = self.apply(flow.from);
        (flow.to.0 - x, flow.to.1 - y)
    }

    fn fits(&self, flow: &Flow, bound_px: f32) -> bool {
        let (x, y) = self.residual(flow);
        x * x + y * y <= bound_px * bound_px
    }
}

/// The homography with the most flows within `bound_px`, by RANSAC (Fischler and Bolles 1981) and refits on the
/// inliers. `None` with fewer than four flows or when none can be fitted.
pub fn camera(flows: &[Flow], bound_px: f32, rng: &mut Pcg64) -> Option<Camera> {
    let count = |map: &Homography| flows.iter().filter(|f| map.fits(f, bound_px)).count();
    if flows.len() < 4 {
        return None;
    }
    // A fixed camera is the commonest of all, and four noisy flows seldom name it.
    let mut best = Camera { homography: Homography::IDENTITY, inliers: count(&Homography::IDENTITY) };
    let mut needed = MAX_SAMPLES;
    let mut sampled = 0;
    while sampled < needed {
        sampled += 1;
        let Some(homography) = fit(&four(flows, rng)) else { continue };
        let inliers = count(&homography);
        if inliers > best.inliers {
            best = Camera { homography, inliers };
        }
        // Enough samples that one is clean with 99 % certainty, if the best so far has the right share.
        let clean = (best.inliers as f64 / flows.len() as f64).powi(4);
        let (mut all_bad, mut enough) = (1.0 - clean, 1);
        while all_bad > 0.01 && enough < MAX_SAMPLES {
            all_bad *= 1.0 - clean;
            enough += 1;
        }
        needed = enough.max(MIN_SAMPLES);
    }
    let mut map = best.homography;
    for _ in 0..REFITS {
        let inliers: Vec<Flow> = flows.iter().filter(|f| map.fits(f, bound_px)).copied().collect();
        let Some(refit) = fit(&inliers) else { break };
        let inliers = count(&refit);
        // A refit on as many is the better map: it uses all of them instead of four.
        if inliers >= best.inliers {
            best = Camera { homography: refit, inliers };
        }
        map = refit;
    }
    (best.inliers >= 4).then_some(best)
}

/// Four different flows. There must be at least four.
fn four(flows: &[Flow], rng: &mut Pcg64) -> [Flow; 4] {
    let mut picked = [usize::MAX; 4];
    for i in 0..4 {
        loop {
            let index = rng.random_range(0..flows.len() as u64) as usize;
            if !picked[..i].contains(&index) {
                picked[i] = index;
                break;
            }
        }
    }
    picked.map(|i| flows[i])
}

/// The least-squares homography of four flows or more: the direct linear transform with both pictures' points moved to
/// their middle and scaled to root-2 from it (Hartley, "In defense of the eight-point algorithm", 1997), its last
/// entry 1. `None` when the flows do not fix one (three on a line of four, all in one place).
pub fn fit(flows: &[Flow]) -> Option<Homography> {
    if flows.len() < 4 {
        return None;
    }
    let from = Normal::of(flows.iter().map(|f| f.from))?;
    let to = Normal::of(flows.iter().map(|f| f.to))?;
    // Normal equations of the 2n x 8 system, upper right column the right-hand side.
    let mut m = [[0.0f64; 9]; 8];
    for flow in flows {
        let (x, y) = from.apply(flow.from);
        let (u, v) = to.apply(flow.to);
        let rows =
            [[x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, u], [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y, v]];
        for row in &rows {
            for (i, line) in m.iter_mut().enumerate() {
                let factor = row[i];
                if factor != 0.0 {
                    for (cell, value) in line.iter_mut().zip(row) {
                        *cell += factor * value;
                    }
                }
            }
        }
    }
    let h = solve(m)?;
    let h = [h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7], 1.0];
    let back = [1.0 / to.scale, 0.0, to.x, 0.0, 1.0 / to.scale, to.y, 0.0, 0.0, 1.0];
    let there = [from.scale, 0.0, -from.x * from.scale, 0.0, from.scale, -from.y * from.scale, 0.0, 0.0, 1.0];
    let map = times(&back, &times(&h, &there));
    map.iter().all(|v| v.is_finite()).then_some(Homography(map))
}

/// Points moved to their middle and scaled to a mean distance of root-2.
struct Normal {
    x: f64,
    y: f64,
    scale: f64,
}

impl Normal {
    fn of(points: impl Iterator<Item = (f32, f32)> + Clone) -> Option<Normal> {
        let (mut n, mut x, mut y) = (0.0, 0.0, 0.0);
        for p in points.clone() {
            n += 1.0;
            x += f64::from(p.0);
            y += f64::from(p.1);
        }
        let (x, y) = (x / n, y / n);
        let mean: f64 = points.map(|p| away(p, x, y)).sum::<f64>() / n;
        (mean > 1e-6).then(|| Normal { x, y, scale: std::f64::consts::SQRT_2 / mean })
    }

    fn apply(&self, p: (f32, f32)) -> (f64, f64) {
        ((f64::from(p.0) - self.x) * self.scale, (f64::from(p.1) - self.y) * self.scale)
    }
}

fn away(p: (f32, f32), x: f64, y: f64) -> f64 {
    let (x, y) = (f64::from(p.0) - x, f64::from(p.1) - y);
    (x * x + y * y).sqrt()
}

/// Solves eight equations by elimination with partial pivoting; the ninth column is the right-hand side.
fn solve(mut m: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let pivot = (column..8).max_by(|&a, &b| m[a][column].abs().total_cmp(&m[b][column].abs()))?;
        m.swap(column, pivot);
        let lead = m[column];
        if lead[column].is_nan() || lead[column].abs() <= SMALLEST_PIVOT {
            return None;
        }
        for line in m.iter_mut().skip(column + 1) {
            let factor = line[column] / lead[column];
            for (cell, value) in line.iter_mut().zip(&lead).skip(column) {
                *cell -= factor * value;
            }
        }
    }
    let mut h = [0.0f64; 8];
    for row in (0..8).rev() {
        let known: f64 = (row + 1..8).map(|i| m[row][i] * h[i]).sum();
        h[row] = (m[row][8] - known) / m[row][row];
    }
    Some(h)
}

fn times(a: &[f64; 9], b: &[f64; 9]) -> [f64; 9] {
    std::array::from_fn(|i| (0..3).map(|k| a[i / 3 * 3 + k] * b[k * 3 + i % 3]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: Homography = Homography([1.01, -0.02, 3.5, 0.015, 0.99, -2.25, 1e-5, -2e-5, 1.0]);

    /// A grid of flows by `TRUTH` with a little noise; every `wrong_in_ten` of ten goes elsewhere.
    fn flows(wrong_in_ten: usize, rng: &mut Pcg64) -> Vec<Flow> {
        let mut noise = |size: f32| rng.random_range(-size..=size);
        (0..400)
            .map(|i| {
                let from = ((i % 20) as f32 * 32.0, (i / 20) as f32 * 18.0);
                let (x, y) = TRUTH.apply(from);
                let size = if i * 7 % 10 < wrong_in_ten { 30.0 } else { 0.1 };
                Flow { from, to: (x + noise(size), y + noise(size)) }
            })
            .collect()
    }

    #[test]
    fn four_exact_flows_give_the_map_back() {
        let flows = [(0.0, 0.0), (600.0, 10.0), (30.0, 350.0), (580.0, 330.0)]
            .map(|from| Flow { from, to: TRUTH.apply(from) });
        let map = fit(&flows).unwrap();
        for point in [(300.0, 180.0), (100.0, 20.0), (639.0, 359.0)] {
            let (a, b) = (map.apply(point), TRUTH.apply(point));
            assert!((a.0 - b.0).hypot(a.1 - b.1) < 1e-2, "{a:?} {b:?}");
        }
    }

    #[test]
    fn forty_percent_wrong_flows_do_not_matter() {
        for seed in 0..20 {
            let mut rng = Pcg64::new(seed, 1);
            let flows = flows(4, &mut rng);
            let camera = camera(&flows, 1.0, &mut rng).unwrap();
            assert!((235..=250).contains(&camera.inliers), "{} inliers", camera.inliers);
            for i in 0..400 {
                let point = ((i % 20) as f32 * 32.0, (i / 20) as f32 * 18.0);
                let (a, b) = (camera.homography.apply(point), TRUTH.apply(point));
                assert!((a.0 - b.0).hypot(a.1 - b.1) < 0.15, "seed {seed}: {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn flows_on_a_line_or_in_one_place_fix_no_map() {
        let line: Vec<Flow> =
            (0..9).map(|i| i as f32).map(|v| Flow { from: (v, v), to: (v + 1.0, v) }).collect();
        assert_eq!(fit(&line), None);
        assert_eq!(fit(&[Flow { from: (3.0, 3.0), to: (4.0, 4.0) }; 8]), None);
        assert_eq!(fit(&line[..3]), None);
        assert_eq!(camera(&line[..3], 1.0, &mut Pcg64::new(0, 0)), None);
    }
}
