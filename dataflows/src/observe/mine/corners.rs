//! Where flow can be measured: Shi-Tomasi corners, the best of each cell of a grid.

use crate::observe::image::gray::Gray;

/// A point whose surroundings change in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Corner {
    /// Column, pixels.
    pub x: f32,
    /// Row, pixels.
    pub y: f32,
    /// The smaller eigenvalue of the mean structure tensor: squared grey levels per pixel.
    pub strength: f32,
}

/// The tensor is averaged over (2 x this + 1) pixels squared.
const REACH: usize = 2;
/// Rows of the tensor's window.
const ROWS: usize = 2 * REACH + 1;
/// The outermost pixels have no whole window.
const EDGE: usize = REACH + 1;

/// The side in pixels of the grid's cells, so that a picture has at most about `max_points` of them; at least 4.
pub fn cell_side(width: usize, height: usize, max_points: usize) -> usize {
    let area = (width as f32) * (height as f32) / max_points.max(1) as f32;
    (area.sqrt().ceil() as usize).max(4)
}

/// The strongest corner of each cell of `cell_px` x `cell_px` pixels if its strength is at least `min_strength`, in
/// reading order of the cells. Of two closer than half a cell the stronger stays. Shi and Tomasi, "Good features to
/// track", CVPR 1994.
pub fn corners(gray: &Gray, cell_px: usize, min_strength: f32) -> Vec<Corner> {
    let (w, h) = (gray.width, gray.height);
    if w < 2 * EDGE + 1 || h < 2 * EDGE + 1 || cell_px == 0 {
        return Vec::new();
    }
    let (columns, rows) = (w.div_ceil(cell_px), h.div_ceil(cell_px));
    let mut best: Vec<Option<Corner>> = vec![None; columns * rows];
    let mut tensor = TensorRows::new(w);
    for y in 1..h - 1 {
        tensor.push(gray, y);
        if y < 2 * REACH + 1 {
            continue;
        }
        let at = y - REACH;
        let cells = &mut best[at / cell_px * columns..][..columns];
        let strengths = tensor.strengths();
        for (column, cell) in cells.iter_mut().enumerate() {
            let from = (column * cell_px).max(EDGE);
            let to = ((column + 1) * cell_px).min(w - EDGE);
            let mut top = cell.map_or(min_strength, |c| c.strength);
            for (x, &strength) in strengths.iter().enumerate().take(to).skip(from) {
                if strength > top {
                    top = strength;
                    *cell = Some(Corner { x: x as f32, y: at as f32, strength });
                }
            }
        }
    }
    apart(best, columns, cell_px as f32 / 2.0)
}

/// The strongest of `corners` in each cell of `cell_px` x `cell_px` pixels, in reading order of the cells; `width` is the
/// picture's.
pub fn strongest(corners: &[Corner], cell_px: usize, width: usize) -> Vec<Corner> {
    let columns = width.div_ceil(cell_px.max(1));
    let cell = |c: &Corner| c.y as usize / cell_px.max(1) * columns + c.x as usize / cell_px.max(1);
    let mut sorted: Vec<Corner> = corners.to_vec();
    sorted.sort_by(|a, b| cell(a).cmp(&cell(b)).then(b.strength.total_cmp(&a.strength)));
    sorted.dedup_by_key(|c| cell(c));
    sorted
}

/// Those of `corners` within `reach_px` of one of `places`, and at most about `most` of them, evenly left out.
pub fn near(corners: &[Corner], places: &[(f32, f32)], reach_px: f32, most: usize) -> Vec<Corner> {
    let close = |c: &&Corner| {
        places.iter().any(|p| {
            let (x, y) = (c.x - p.0, c.y - p.1);
            x * x + y * y <= reach_px * reach_px
        })
    };
    let found: Vec<Corner> = corners.iter().filter(close).copied().collect();
    let stride = found.len().div_ceil(most.max(1)).max(1);
    found.into_iter().step_by(stride).collect()
}

/// Drops the weaker of two corners of neighbouring cells that are closer than `gap_px`.
fn apart(mut best: Vec<Option<Corner>>, columns: usize, gap_px: f32) -> Vec<Corner> {
    let rows = best.len() / columns;
    for i in 0..best.len() {
        let (column, row) = (i % columns, i / columns);
        let right = (column + 1 < columns).then_some(i + 1);
        let below = (row + 1 < rows).then_some(i + columns);
        let below_right = (column + 1 < columns && row + 1 < rows).then_some(i + columns + 1);
        let below_left = (column > 0 && row + 1 < rows).then(|| i + columns - 1);
        for j in [right, below, below_right, below_left].into_iter().flatten() {
            if let (Some(a), Some(b)) = (best[i], best[j])
                && (a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y) < gap_px * gap_px
            {
                best[if a.strength >= b.strength { j } else { i }] = None;
            }
        }
    }
    best.into_iter().flatten().collect()
}

/// The last five rows of gradient products, each summed along the row.
struct TensorRows {
    /// Per ring slot: xx, xy, yy, a row each.
    ring: [[Vec<f32>; 3]; ROWS],
    next: usize,
    /// Of the row at work: smoothed and differenced down the column, then the products.
    smooth: Vec<f32>,
    rise: Vec<f32>,
    products: [Vec<f32>; 3],
    sums: [Vec<f32>; 3],
    strengths: Vec<f32>,
}

impl TensorRows {
    fn new(width: usize) -> Self {
        let row = || vec![0.0f32; width];
        let three = || [row(), row(), row()];
        TensorRows {
            ring: std::array::from_fn(|_| three()),
            next: 0,
            smooth: row(),
            rise: row(),
            products: three(),
            sums: three(),
            strengths: row(),
        }
    }

    /// Takes in row `y` (not the first, not the last): Sobel gradients in grey levels per pixel, and their products.
    fn push(&mut self, gray: &Gray, y: usize) {
        let w = gray.width;
        let (above, here, below) = (gray.row(y - 1), gray.row(y), gray.row(y + 1));
        let columns = above.iter().zip(here).zip(below);
        for ((smooth, rise), ((a, b), c)) in self.smooth.iter_mut().zip(&mut self.rise).zip(columns) {
            *smooth = (a + 2.0 * b + c) * 0.125;
            *rise = (c - a) * 0.125;
        }
        let [xx, xy, yy] = &mut self.products;
        let out = xx[1..w - 1].iter_mut().zip(&mut xy[1..w - 1]).zip(&mut yy[1..w - 1]);
        let smooth = self.smooth[..w - 2].iter().zip(&self.smooth[2..]);
        let rise = self.rise[..w - 2].iter().zip(&self.rise[1..w - 1]).zip(&self.rise[2..]);
        for (((xx, xy), yy), ((s0, s2), ((r0, r1), r2))) in out.zip(smooth.zip(rise)) {
            let (gx, gy) = (s2 - s0, r0 + 2.0 * r1 + r2);
            (*xx, *xy, *yy) = (gx * gx, gx * gy, gy * gy);
        }
        for (sum, product) in self.ring[self.next].iter_mut().zip(&self.products) {
            let p = product.as_slice();
            let taps = p[..w - 4].iter().zip(&p[1..w - 3]).zip(&p[2..w - 2]).zip(&p[3..w - 1]).zip(&p[4..]);
            for (sum, ((((a, b), c), d), e)) in sum[2..w - 2].iter_mut().zip(taps) {
                *sum = a + b + c + d + e;
            }
        }
        self.next = (self.next + 1) % ROWS;
    }

    /// The smaller eigenvalue at each column of the middle one of the last five rows.
    fn strengths(&mut self) -> &[f32] {
        let [r0, r1, r2, r3, r4] = &self.ring;
        for (i, sum) in self.sums.iter_mut().enumerate() {
            let rows = r0[i].iter().zip(&r1[i]).zip(&r2[i]).zip(&r3[i]).zip(&r4[i]);
            for (sum, ((((a, b), c), d), e)) in sum.iter_mut().zip(rows) {
                *sum = a + b + c + d + e;
            }
        }
        let [xx, xy, yy] = &self.sums;
        for (out, ((xx, xy), yy)) in self.strengths.iter_mut().zip(xx.iter().zip(xy).zip(yy)) {
            let (mean, gap) = ((xx + yy) * 0.5, (xx - yy) * 0.5);
            *out = (mean - (gap * gap + xy * xy).sqrt()) * (1.0 / (ROWS * ROWS) as f32);
        }
        &self.strengths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, value: impl Fn(usize, usize) -> f32) -> Gray {
        Gray { width, height, data: (0..width * height).map(|i| value(i % width, i / width)).collect() }
    }

    #[test]
    fn the_four_corners_of_a_square_are_found_and_its_edges_are_not() {
        let square = |x, y| {
            if (20..60).contains(&x) && (20..60).contains(&y) { 200.0 } else { 50.0 }
        };
        let found = corners(&picture(80, 80, square), 16, 10.0);
        assert_eq!(found.len(), 4, "{found:?}");
        for (x, y) in [(19.5, 19.5), (59.5, 19.5), (19.5, 59.5), (59.5, 59.5)] {
            assert!(found.iter().any(|c| (c.x - x).hypot(c.y - y) < 3.0), "none at {x}, {y}: {found:?}");
        }
    }

    #[test]
    fn corners_are_bounded_in_number_and_spread() {
        let noise = picture(320, 200, |x, y| ((x * 7919 + y * 104_729 + x * y * 31) % 251) as f32);
        let cell = cell_side(320, 200, 400);
        let found = corners(&noise, cell, 1.0);
        assert!((200..=400).contains(&found.len()), "{}", found.len());
        for (i, a) in found.iter().enumerate() {
            for b in &found[i + 1..] {
                assert!((a.x - b.x).hypot(a.y - b.y) >= cell as f32 / 2.0);
            }
        }
    }

    #[test]
    fn flat_and_tiny_pictures_have_none() {
        for (w, h) in [(0, 0), (1, 1), (1, 50), (6, 6), (7, 7), (5, 90), (64, 48)] {
            assert!(corners(&picture(w, h, |_, _| 9.0), 4, 0.01).is_empty());
        }
    }
}
