//! Histograms of oriented gradients, 31 values a cell.
//!
//! P. Felzenszwalb, R. Girshick, D. McAllester, D. Ramanan, "Object detection with discriminatively trained
//! part-based models", PAMI 2010, section 6: 18 contrast-sensitive orientations, 9 contrast-insensitive ones and 4
//! texture energies; each orientation normalised by the four 2 x 2 blocks a cell is in and cut at 0.2.

/// Values a cell.
pub const CHANNELS: usize = 31;
/// Contrast-sensitive orientations: channels 0 to 17, 20 degrees apart.
pub const DIRECTED: usize = 18;
/// Contrast-insensitive orientations: channels 18 to 26.
pub const UNDIRECTED: usize = 9;

/// A normalised orientation is cut here, so that one strong edge does not drown the rest.
const CUT: f32 = 0.2;
/// Keeps flat cells at zero instead of dividing by zero (for pixels from 0 to 255).
const EPSILON: f32 = 1e-4;
/// 1 / sqrt(18): the four texture channels then weigh as much as the orientations.
const TEXTURE: f32 = 0.235_702_26;

/// Cells in rows and columns, `CHANNELS` planes of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells {
    /// Columns of cells.
    pub width: usize,
    /// Rows of cells.
    pub height: usize,
    /// `CHANNELS` x `height` x `width` values, each 0 to 0.4 for orientations.
    pub data: Vec<f32>,
}

impl Cells {
    /// The plane of one channel, `height` x `width`.
    pub fn plane(&self, channel: usize) -> &[f32] {
        let n = self.width * self.height;
        &self.data[channel * n..(channel + 1) * n]
    }
}

/// HOG of a picture of 1 or more colour planes (`planes` x `height` x `width` values, 0 to 255), with square cells of
/// `cell` pixels. Right and bottom pixels that fill no whole cell are left out. At each pixel the plane with the
/// strongest gradient counts.
///
/// Cells at the border are kept: their outer blocks repeat the nearest cell. The result is empty when the picture
/// has no whole cell or `pixels` does not match.
pub fn fhog(pixels: &[f32], width: usize, height: usize, cell: usize) -> Cells {
    let plane = width * height;
    if cell == 0
        || width < cell
        || height < cell
        || pixels.len() < plane
        || !pixels.len().is_multiple_of(plane)
    {
        return Cells::default();
    }
    let (columns, rows) = (width / cell, height / cell);
    let histograms = histograms(pixels, width, height, cell);
    normalise(&histograms, columns, rows)
}

/// Directed orientation histograms, 18 planes of `rows` x `columns`; each pixel is shared between the four nearest cells.
fn histograms(pixels: &[f32], width: usize, height: usize, cell: usize) -> Vec<f32> {
    let (columns, rows) = (width / cell, height / cell);
    // One cell of margin on each side takes what falls outside, so that the inner loop tests no bounds.
    let stride = columns + 2;
    let mut padded = vec![0.0f32; stride * (rows + 2) * DIRECTED];
    let across: Vec<(usize, f32)> = (0..columns * cell).map(|x| share(x, cell)).collect();
    let used = columns * cell;
    let mut gradient = Gradient::new(used);
    for y in 0..rows * cell {
        gradient.row(pixels, width, height, y);
        let (row, down) = share(y, cell);
        let base = row * stride;
        for (x, &(column, right)) in across.iter().enumerate() {
            let strength = gradient.strength[x];
            let at = (base + column) * DIRECTED + gradient.direction[x] as usize;
            let below = at + stride * DIRECTED;
            padded[at] += strength * (1.0 - right) * (1.0 - down);
            padded[at + DIRECTED] += strength * right * (1.0 - down);
            padded[below] += strength * (1.0 - right) * down;
            padded[below + DIRECTED] += strength * right * down;
        }
    }
    let n = columns * rows;
    let mut planes = vec![0.0f32; DIRECTED * n];
    for i in 0..n {
        let from = ((i / columns + 1) * stride + i % columns + 1) * DIRECTED;
        for (o, value) in padded[from..from + DIRECTED].iter().enumerate() {
            planes[o * n + i] = *value;
        }
    }
    planes
}

/// The first of the two (padded) cells that pixel `i` is shared between, and the share of the second.
fn share(i: usize, cell: usize) -> (usize, f32) {
    let at = (i as f32 + 0.5) / cell as f32 + 0.5;
    (at as usize, at - at.floor())
}

/// Strength and orientation (0 to 17) of the gradient along one row.
struct Gradient {
    across: Vec<f32>,
    dx: Vec<f32>,
    dy: Vec<f32>,
    strength: Vec<f32>,
    direction: Vec<u32>,
    best: Vec<f32>,
    units: [(f32, f32); UNDIRECTED],
}

impl Gradient {
    fn new(width: usize) -> Self {
        let zeros = || vec![0.0; width];
        let units = std::array::from_fn(|o| {
            let angle = o as f64 * std::f64::consts::PI / UNDIRECTED as f64;
            (angle.cos() as f32, angle.sin() as f32)
        });
        Gradient {
            across: zeros(),
            dx: zeros(),
            dy: zeros(),
            strength: zeros(),
            direction: vec![0; width],
            best: zeros(),
            units,
        }
    }

    // Plain loops over slices of one length, so that the compiler turns them into vector code.
    fn row(&mut self, pixels: &[f32], width: usize, height: usize, y: usize) {
        let used = self.dx.len();
        let (best_x, best_y) = (&mut self.dx[..used], &mut self.dy[..used]);
        let (strength, best) = (&mut self.strength[..used], &mut self.best[..used]);
        let direction = &mut self.direction[..used];
        strength.fill(-1.0);
        for plane in pixels.chunks_exact(width * height) {
            let line = &plane[y * width..(y + 1) * width];
            let up = &plane[y.saturating_sub(1) * width..][..used];
            let down = &plane[(y + 1).min(height - 1) * width..][..used];
            self.across[0] = line[1.min(width - 1)] - line[0];
            self.across[used - 1] = line[used.min(width - 1)] - line[used.max(2) - 2];
            for (across, three) in self.across[1..].iter_mut().zip(line.windows(3)) {
                *across = three[2] - three[0];
            }
            let across = &self.across[..used];
            for x in 0..used {
                let (dx, dy) = (across[x], down[x] - up[x]);
                let square = dx * dx + dy * dy;
                let stronger = square > strength[x];
                best_x[x] = if stronger { dx } else { best_x[x] };
                best_y[x] = if stronger { dy } else { best_y[x] };
                strength[x] = if stronger { square } else { strength[x] };
            }
        }
        best.fill(0.0);
        direction.fill(0);
        for (o, &(ux, uy)) in (0u32..).zip(&self.units) {
            for x in 0..used {
                let along = ux * best_x[x] + uy * best_y[x];
                let size = along.abs();
                // Masks, not branches: 0 or all ones.
                let better = 0u32.wrapping_sub(u32::from(size > best[x]));
                let against = 0u32.wrapping_sub(u32::from(along <= 0.0));
                let way = o + (against & UNDIRECTED as u32);
                direction[x] = (way & better) | (direction[x] & !better);
                best[x] = best[x].max(size);
            }
        }
        for strength in strength {
            *strength = strength.sqrt();
        }
    }
}

/// Energies, block norms and the 31 planes, each step a loop over whole planes of cells.
fn normalise(histograms: &[f32], columns: usize, rows: usize) -> Cells {
    let n = columns * rows;
    let mut energy = vec![0.0f32; n];
    let (ahead, back) = histograms.split_at(UNDIRECTED * n);
    for (ahead, back) in ahead.chunks_exact(n).zip(back.chunks_exact(n)) {
        for ((energy, ahead), back) in energy.iter_mut().zip(ahead).zip(back) {
            *energy += (ahead + back) * (ahead + back);
        }
    }
    // Block (bx, by) holds cells bx-1, bx and by-1, by; beyond the border the nearest cell stands in.
    let at = |x: usize, y: usize| energy[y.min(rows - 1) * columns + x.min(columns - 1)];
    let mut block = vec![0.0f32; (columns + 1) * (rows + 1)];
    for by in 0..=rows {
        for bx in 0..=columns {
            let (x, y) = (bx.saturating_sub(1), by.saturating_sub(1));
            let sum = at(x, y) + at(bx, y) + at(x, by) + at(bx, by);
            block[by * (columns + 1) + bx] = 1.0 / (sum + EPSILON).sqrt();
        }
    }
    // The norms of the four blocks each cell is in.
    let corner = |dx: usize, dy: usize| -> Vec<f32> {
        (0..n).map(|i| block[(i / columns + dy) * (columns + 1) + i % columns + dx]).collect()
    };
    let norms = [corner(0, 0), corner(1, 0), corner(0, 1), corner(1, 1)];
    let norms = norms.each_ref().map(|norm| &norm[..n]);
    let mut data = vec![0.0f32; CHANNELS * n];
    let (orientations, textures) = data.split_at_mut((DIRECTED + UNDIRECTED) * n);
    for (o, out) in orientations.chunks_exact_mut(n).enumerate() {
        let ahead = &histograms[o.checked_sub(DIRECTED).unwrap_or(o) * n..][..n];
        if o < DIRECTED {
            cut_sum(ahead, norms, out);
            for (texture, norm) in textures.chunks_exact_mut(n).zip(norms) {
                for ((texture, value), norm) in texture.iter_mut().zip(ahead).zip(norm) {
                    *texture += TEXTURE * (value * norm).min(CUT);
                }
            }
        } else {
            let back = &histograms[(o - DIRECTED + UNDIRECTED) * n..][..n];
            let both: Vec<f32> = ahead.iter().zip(back).map(|(ahead, back)| ahead + back).collect();
            cut_sum(&both, norms, out);
        }
    }
    Cells { width: columns, height: rows, data }
}

/// Half the sum of a plane under each of the four norms, cut.
fn cut_sum(plane: &[f32], norms: [&[f32]; 4], out: &mut [f32]) {
    let n = out.len();
    let (plane, [a, b, c, d]) = (&plane[..n], norms.map(|norm| &norm[..n]));
    for i in 0..n {
        let cut = |norm: f32| (plane[i] * norm).min(CUT);
        out[i] = 0.5 * (cut(a[i]) + cut(b[i]) + cut(c[i]) + cut(d[i]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A smooth picture with edges in all directions.
    fn waves(width: usize, height: usize) -> Vec<f32> {
        let value = |x: usize, y: usize| {
            let (x, y) = (x as f32, y as f32);
            128.0 + 50.0 * (x * 0.31 + y * 0.11).sin() + 50.0 * (y * 0.23 - x * 0.07).cos()
        };
        (0..width * height).map(|i| value(i % width, i / width)).collect()
    }

    fn strongest(cells: &Cells, x: usize, y: usize) -> usize {
        let at = y * cells.width + x;
        (0..DIRECTED).max_by(|&a, &b| cells.plane(a)[at].total_cmp(&cells.plane(b)[at])).unwrap()
    }

    #[test]
    fn a_picture_gives_31_planes_of_whole_cells() {
        let cells = fhog(&waves(50, 35), 50, 35, 4);
        assert_eq!((cells.width, cells.height, cells.data.len()), (12, 8, 31 * 12 * 8));
        assert!(cells.data.iter().all(|v| v.is_finite() && *v >= 0.0));
        let orientations = &cells.data[..27 * 12 * 8];
        assert!(orientations.iter().all(|v| *v <= 0.4 + 1e-6));
    }

    #[test]
    fn a_flat_picture_is_all_zero_and_a_tiny_one_is_empty() {
        assert!(fhog(&vec![93.0; 64 * 48], 64, 48, 4).data.iter().all(|v| *v == 0.0));
        for (width, height) in [(0, 0), (3, 9), (9, 3)] {
            assert!(fhog(&vec![1.0; width * height], width, height, 4).data.is_empty());
        }
        assert_eq!(fhog(&[1.0; 16], 4, 4, 4).data.len(), 31);
        assert_eq!(fhog(&[1.0; 1], 1, 1, 1).data.len(), 31);
        assert!(fhog(&[1.0; 15], 4, 4, 4).data.is_empty());
    }

    #[test]
    fn brightness_and_contrast_do_not_matter() {
        let picture = waves(64, 64);
        let brighter: Vec<f32> = picture.iter().map(|v| v * 1.5 + 20.0).collect();
        let (a, b) = (fhog(&picture, 64, 64, 4), fhog(&brighter, 64, 64, 4));
        for (a, b) in a.data.iter().zip(&b.data) {
            assert!((a - b).abs() < 1e-3, "{a} against {b}");
        }
    }

    #[test]
    fn a_shift_by_one_cell_shifts_the_cells() {
        let wide = waves(72, 64);
        let cut = |from: usize| -> Vec<f32> {
            wide.chunks_exact(72).flat_map(|row| row[from..from + 64].to_vec()).collect()
        };
        let (a, b) = (fhog(&cut(0), 64, 64, 4), fhog(&cut(4), 64, 64, 4));
        for channel in 0..CHANNELS {
            for y in 2..14 {
                for x in 2..13 {
                    let (a, b) = (a.plane(channel)[y * 16 + x + 1], b.plane(channel)[y * 16 + x]);
                    assert!((a - b).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn a_rising_ramp_and_a_falling_one_differ_only_in_the_directed_half() {
        let ramp: Vec<f32> = (0..32 * 32).map(|i| (i % 32) as f32 * 4.0).collect();
        let falling: Vec<f32> = ramp.iter().map(|v| 200.0 - v).collect();
        let (a, b) = (fhog(&ramp, 32, 32, 4), fhog(&falling, 32, 32, 4));
        assert_eq!(strongest(&a, 4, 4), 0);
        assert_eq!(strongest(&b, 4, 4), 9);
        for channel in DIRECTED..CHANNELS {
            assert_eq!(a.plane(channel), b.plane(channel));
        }
        let down: Vec<f32> = (0..32 * 32).map(|i| (i / 32) as f32 * 4.0).collect();
        assert!([4, 5].contains(&strongest(&fhog(&down, 32, 32, 4), 4, 4)));
    }

    #[test]
    fn the_strongest_plane_counts() {
        let ramp: Vec<f32> = (0..32 * 32).map(|i| (i % 32) as f32 * 4.0).collect();
        let mut three = vec![10.0; 32 * 32];
        three.extend_from_slice(&ramp);
        three.extend(std::iter::repeat_n(90.0, 32 * 32));
        assert_eq!(fhog(&three, 32, 32, 4), fhog(&ramp, 32, 32, 4));
    }
}
