//! The default embedding: oriented gradients and colours on a grid, no training and no state.
//!
//! Both halves are histograms, so their square roots are compared (the Hellinger kernel: R. Arandjelovic and
//! A. Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012). The middle of the crop, where
//! the object is, counts more than its rim.

use super::embedder::{EmbedError, Embedder};
use crate::observe::image::crop::{Crop, SIDE};
use crate::observe::track::fhog::{CHANNELS, fhog};

/// Cells of gradients on a side.
const HOG_GRID: usize = 4;
/// Squares of colour on a side.
const COLOUR_GRID: usize = 4;
/// Hues, 45 degrees apart.
const HUES: usize = 8;
/// Levels of grey, for what has little colour.
const GREYS: usize = 4;
/// Values of the gradient half.
const HOG_DIM: usize = HOG_GRID * HOG_GRID * CHANNELS;
/// Values of the colour half.
const COLOUR_DIM: usize = COLOUR_GRID * COLOUR_GRID * (HUES + GREYS);
/// The colour half's share of a cosine.
const COLOUR_SHARE: f32 = 0.3;
/// Weight of a corner of the grid over that of its middle, before the square root.
const RIM: f32 = 0.4;

/// HOG and colour histograms of a crop: 688 values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Descriptor;

impl Descriptor {
    /// The vector of a crop's pixels, 96 x 96 x 3 bytes of RGB: unit length, or all zero where there is nothing to see.
    pub fn describe(rgb: &[u8]) -> Vec<f32> {
        describe(rgb, COLOUR_SHARE)
    }
}

impl Embedder for Descriptor {
    fn space(&self) -> String {
        "hog-colour-1".to_string()
    }

    fn dim(&self) -> usize {
        HOG_DIM + COLOUR_DIM
    }

    fn embed(&self, crops: &[&[u8]]) -> Result<Vec<f32>, EmbedError> {
        let mut vectors = Vec::with_capacity(crops.len() * self.dim());
        for (index, jpeg) in crops.iter().enumerate() {
            let crop = Crop::decode(jpeg).map_err(|source| EmbedError::Crop { index, source })?;
            vectors.extend_from_slice(&describe(crop.rgb(), COLOUR_SHARE));
        }
        Ok(vectors)
    }
}

/// The vector of 96 x 96 x 3 bytes of RGB, with the given share (0 to 1) of a cosine due to colour: unit length, or all
/// zero where there is nothing to see.
pub fn describe(rgb: &[u8], colour_share: f32) -> Vec<f32> {
    let colour_share = colour_share.clamp(0.0, 1.0);
    let mut vector = gradients(rgb);
    let mut colours = colours(rgb);
    unit(&mut vector, (1.0 - colour_share).sqrt());
    unit(&mut colours, colour_share.sqrt());
    vector.extend_from_slice(&colours);
    // A flat crop has no gradients: its colours alone then make up the length.
    unit(&mut vector, 1.0);
    vector
}

/// Square roots of HOG, weighted by place: `HOG_GRID` x `HOG_GRID` x 31.
fn gradients(rgb: &[u8]) -> Vec<f32> {
    let mut planes = Vec::with_capacity(rgb.len());
    for colour in 0..3 {
        planes.extend(rgb.iter().skip(colour).step_by(3).map(|v| f32::from(*v)));
    }
    let cells = fhog(&planes, SIDE, SIDE, SIDE / HOG_GRID);
    let n = HOG_GRID * HOG_GRID;
    let mut vector = vec![0.0; HOG_DIM];
    for (i, out) in vector.chunks_exact_mut(CHANNELS).enumerate() {
        let weight = weight(i, HOG_GRID);
        for (channel, out) in out.iter_mut().enumerate() {
            *out = (weight * cells.data.get(channel * n + i).copied().unwrap_or(0.0)).sqrt();
        }
    }
    vector
}

/// Square roots of colour histograms, weighted by place: `COLOUR_GRID` x `COLOUR_GRID` x (hues, greys). A pixel is
/// shared between hue and grey by its saturation, and between the two nearest bins of each.
fn colours(rgb: &[u8]) -> Vec<f32> {
    const BINS: usize = HUES + GREYS;
    let mut vector = vec![0.0f32; COLOUR_DIM];
    for (i, pixel) in rgb.chunks_exact(3).enumerate() {
        let square = i / SIDE * COLOUR_GRID / SIDE * COLOUR_GRID + i % SIDE * COLOUR_GRID / SIDE;
        let bins = &mut vector[square * BINS..(square + 1) * BINS];
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(|v| f32::from(v) / 255.0);
        let (most, least) = (r.max(g).max(b), r.min(g).min(b));
        let chroma = most - least;
        // Saturation of a dark pixel is mostly noise: chroma counts too.
        let colourful = if most > 0.0 { (chroma / most).min(2.0 * chroma) } else { 0.0 };
        if chroma > 0.0 {
            // Hexagonal hue, 0 to 6.
            let hue = if most == r {
                (g - b) / chroma
            } else if most == g {
                2.0 + (b - r) / chroma
            } else {
                4.0 + (r - g) / chroma
            };
            let at = (hue + 6.0) % 6.0 / 6.0 * HUES as f32;
            let (low, part) = (at.floor() as usize, at - at.floor());
            bins[low % HUES] += colourful * (1.0 - part);
            bins[(low + 1) % HUES] += colourful * part;
        }
        let at = most * (GREYS - 1) as f32;
        let (low, part) = (at.floor() as usize, at - at.floor());
        bins[HUES + low] += (1.0 - colourful) * (1.0 - part);
        bins[HUES + (low + 1).min(GREYS - 1)] += (1.0 - colourful) * part;
    }
    for (i, value) in vector.iter_mut().enumerate() {
        *value = (*value * weight(i / BINS, COLOUR_GRID)).sqrt();
    }
    vector
}

/// Returns how much square `i` of a grid counts: 1 in the middle, `RIM` in the corners, linear in the squared distance.
fn weight(i: usize, grid: usize) -> f32 {
    let from_middle = |at: usize| (2 * at + 1) as f32 / grid as f32 - 1.0;
    let (x, y) = (from_middle(i % grid), from_middle(i / grid));
    let corner = 1.0 - 1.0 / grid as f32;
    1.0 - (1.0 - RIM) * (x * x + y * y) / (2.0 * corner * corner)
}

/// Scales to this length, unless all values are zero.
fn unit(vector: &mut [f32], length: f32) {
    let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if norm > 0.0 {
        for value in vector {
            *value = *value / norm * length;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, RgbImage};

    use super::*;

    fn jpeg(pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
        let picture = RgbImage::from_fn(96, 96, |x, y| image::Rgb(pixel(x, y)));
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 92)
            .encode(&picture, 96, 96, ExtendedColorType::Rgb8)
            .unwrap();
        bytes
    }

    fn embed(jpeg: &[u8]) -> Vec<f32> {
        Descriptor.embed(&[jpeg]).unwrap()
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// A slanted red bar on a green ground.
    fn bar(x: u32, y: u32) -> [u8; 3] {
        if (x + y / 2).abs_diff(60) < 12 { [200, 40, 30] } else { [60, 150 + (y / 2) as u8, 60] }
    }

    #[test]
    fn vectors_have_unit_length_and_do_not_depend_on_the_batch() {
        let crops = [jpeg(bar), jpeg(|x, y| [(x * 2) as u8, (y * 2) as u8, 90]), jpeg(|_, _| [80, 90, 100])];
        let all = Descriptor.embed(&crops.each_ref().map(Vec::as_slice)).unwrap();
        assert_eq!(all.len(), 3 * Descriptor.dim());
        for (row, crop) in all.chunks_exact(Descriptor.dim()).zip(&crops) {
            assert!((cosine(row, row) - 1.0).abs() < 1e-5);
            assert_eq!(row, embed(crop));
        }
        assert!(Descriptor.embed(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_mirrored_crop_is_another_vector_but_a_dimmed_one_is_near() {
        let vector = embed(&jpeg(bar));
        let mirrored = cosine(&vector, &embed(&jpeg(|x, y| bar(95 - x, y))));
        let dimmed = cosine(&vector, &embed(&jpeg(|x, y| bar(x, y).map(|v| (u32::from(v) * 9 / 10) as u8))));
        assert!(dimmed > 0.97, "dimmed {dimmed}");
        assert!(mirrored < dimmed - 0.03, "mirrored {mirrored}, dimmed {dimmed}");
    }

    #[test]
    fn shape_and_colour_each_tell_crops_apart() {
        let vector = embed(&jpeg(bar));
        let blue = cosine(
            &vector,
            &embed(&jpeg(|x, y| {
                let [r, g, b] = bar(x, y);
                [b, r, g]
            })),
        );
        let upright = cosine(
            &vector,
            &embed(&jpeg(
                |x, y| if x.abs_diff(48) < 12 { [200, 40, 30] } else { [60, 150 + (y / 2) as u8, 60] },
            )),
        );
        assert!(blue < 0.9 && upright < 0.97, "blue {blue}, upright {upright}");
    }

    #[test]
    fn black_white_and_flat_crops_are_finite() {
        for grey in [0, 255] {
            let vector = embed(&jpeg(|_, _| [grey; 3]));
            assert!(vector.iter().all(|v| v.is_finite()));
            assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn an_unreadable_crop_is_named_by_its_place() {
        let good = jpeg(bar);
        let error = Descriptor.embed(&[&good, b"nothing"]).unwrap_err();
        assert!(matches!(error, EmbedError::Crop { index: 1, .. }), "{error}");
    }
}
