//! The built-in embedder: gradients and colours over a grid, no weights to fetch, the same on every machine.

use super::{EmbedError, Embedder};
use crate::graph::score::score;
use crate::image::crop::{Crop, SIDE};
use crate::track::fhog::{CHANNELS, fhog};

/// Side of a HOG cell, pixels.
const CELL: usize = 8;
/// HOG is averaged over this many cells each way: 4 x 4 blocks of 3 x 3 cells.
const POOL: usize = 3;
/// Blocks each way, of gradients and of colours.
const GRID: usize = SIDE / (CELL * POOL);
/// Bins of the lightness histogram.
const LIGHTS: usize = 4;
/// Bins of each opponent colour's histogram.
const HUES: usize = 5;
/// Values of a block's colours.
const COLOURS: usize = LIGHTS + 2 * HUES;
/// Share of the squared length that is colour.
const COLOUR_SHARE: f32 = 0.35;
/// Weight of the blocks on the rim: the object is in the middle.
const RIM: f32 = 0.6;

/// HOG and opponent-colour histograms over a 4 x 4 grid, square roots taken, unit length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Descriptor;

impl Descriptor {
    /// Values of a vector.
    pub const DIM: usize = GRID * GRID * (CHANNELS + COLOURS);

    /// The vector of a crop's pixels (96 x 96 RGB): unit length, or all zero for pixels of another size.
    pub fn describe(&self, rgb: &[u8]) -> Vec<f32> {
        if rgb.len() != SIDE * SIDE * 3 {
            return vec![0.0; Self::DIM];
        }
        let mut vector = gradients(rgb);
        scale_to(&mut vector, (1.0 - COLOUR_SHARE).sqrt());
        let mut colours = colours(rgb);
        scale_to(&mut colours, COLOUR_SHARE.sqrt());
        vector.extend(colours);
        scale_to(&mut vector, 1.0);
        vector
    }
}

impl Embedder for Descriptor {
    fn space(&self) -> String {
        "hog-colour-1".into()
    }

    fn dim(&self) -> usize {
        Self::DIM
    }

    fn embed(&self, crops: &[&[u8]]) -> Result<Vec<f32>, EmbedError> {
        let mut vectors = Vec::with_capacity(crops.len() * Self::DIM);
        for crop in crops {
            vectors.extend(self.describe(Crop::decode(crop)?.rgb()));
        }
        Ok(vectors)
    }
}

fn gradients(rgb: &[u8]) -> Vec<f32> {
    let planes: Vec<f32> =
        (0..3).flat_map(|c| rgb.iter().skip(c).step_by(3).map(|v| f32::from(*v))).collect();
    let cells = fhog(&planes, SIDE, SIDE, CELL);
    let mut pooled = Vec::with_capacity(GRID * GRID * CHANNELS);
    for (by, bx) in blocks() {
        for channel in 0..CHANNELS {
            let plane = cells.plane(channel);
            let sum: f32 = (0..POOL * POOL)
                .map(|i| plane[(by * POOL + i / POOL) * cells.width + bx * POOL + i % POOL])
                .sum();
            pooled.push(weight(by, bx) * (sum / (POOL * POOL) as f32).max(0.0).sqrt());
        }
    }
    pooled
}

fn colours(rgb: &[u8]) -> Vec<f32> {
    let side = SIDE / GRID;
    let mut histograms = Vec::with_capacity(GRID * GRID * COLOURS);
    for (by, bx) in blocks() {
        let mut bins = [0.0f32; COLOURS];
        for i in 0..side * side {
            let at = ((by * side + i / side) * SIDE + bx * side + i % side) * 3;
            let [r, g, b] = [0, 1, 2].map(|c| f32::from(rgb[at + c]) / 255.0);
            vote(&mut bins[..LIGHTS], (r + g + b) / 3.0);
            // Opponent colours, stretched: most pixels are near grey.
            vote(&mut bins[LIGHTS..LIGHTS + HUES], 0.5 + (r - g));
            vote(&mut bins[LIGHTS + HUES..], 0.5 + (r + g - 2.0 * b) / 2.0);
        }
        histograms.extend(bins.map(|v| weight(by, bx) * (v / (side * side) as f32).sqrt()));
    }
    histograms
}

/// Shares a value of 0 to 1 between the two nearest bins.
fn vote(bins: &mut [f32], value: f32) {
    let last = (bins.len() - 1) as f32;
    let at = (value * last).clamp(0.0, last);
    let low = at.floor();
    let high = (low as usize + 1).min(bins.len() - 1);
    bins[low as usize] += 1.0 - (at - low);
    bins[high] += at - low;
}

fn blocks() -> impl Iterator<Item = (usize, usize)> {
    (0..GRID * GRID).map(|i| (i / GRID, i % GRID))
}

fn weight(by: usize, bx: usize) -> f32 {
    let rim = |i: usize| i == 0 || i == GRID - 1;
    if rim(by) || rim(bx) { RIM } else { 1.0 }
}

/// Scales `values` to the given length; zeros stay.
fn scale_to(values: &mut [f32], length: f32) {
    let now = score(values, values).0.sqrt();
    if now > 0.0 {
        values.iter_mut().for_each(|v| *v *= length / now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crop(pixel: impl Fn(usize, usize) -> [u8; 3]) -> Vec<u8> {
        (0..SIDE * SIDE).flat_map(|i| pixel(i % SIDE, i / SIDE)).collect()
    }

    #[test]
    fn a_vector_has_unit_length_and_knows_shape_and_colour() {
        let of = |rgb: &[u8]| Descriptor.describe(rgb);
        let stripes = |x: usize| if x / 6 % 2 == 0 { 60u8 } else { 180 };
        let upright = of(&crop(|x, _| [stripes(x); 3]));
        let brighter = of(&crop(|x, _| [stripes(x) + 20; 3]));
        let lying = of(&crop(|_, y| [stripes(y); 3]));
        let red = of(&crop(|x, _| [stripes(x), 30, 30]));
        for vector in [&upright, &brighter, &lying, &red] {
            assert_eq!(vector.len(), Descriptor::DIM);
            assert!((score(vector, vector).0 - 1.0).abs() < 1e-5);
        }
        assert!(score(&upright, &brighter) < score(&upright, &lying), "`<` is nearer");
        assert!(score(&upright, &brighter) < score(&upright, &red));
    }

    #[test]
    fn pixels_of_another_size_have_no_direction() {
        assert!(Descriptor.describe(&[1, 2, 3]).iter().all(|v| *v == 0.0));
    }
}
