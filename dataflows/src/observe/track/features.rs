//! The features that a filter sees of a window: HOG cells and cell colours under a cosine window, transformed.

use rustfft::num_complex::Complex32;

use super::fhog;
use super::fhog::fhog;
use super::fourier::{Plans, length_for};
use super::patch;
use crate::observe::frame::{Frame, Rect};

/// Patch pixels on a side of a HOG cell.
const CELL_PX: usize = 4;
/// Mean brightness and two opponent colours of a cell go with the HOG channels.
const COLOURS: usize = 3;
/// Planes after channels are paired (the last pair is half empty when the count is odd).
const PAIRS: usize = (fhog::CHANNELS + COLOURS).div_ceil(2);

/// Turns windows of one shape into transformed feature planes.
pub(crate) struct Features {
    /// Cells on each axis.
    width: usize,
    height: usize,
    plans: Plans,
    /// Cosine window, `height` x `width`.
    taper: Vec<f32>,
    pixels: Vec<f32>,
}

impl Features {
    /// For windows of about `window` pixels, scaled to about `template_px` squared patch pixels. Also the window's exact size,
    /// which is a little larger: an axis has only certain numbers of cells.
    pub(crate) fn new(window: (f32, f32), template_px: f32) -> (Self, (f32, f32)) {
        let shrink = (template_px.clamp(32.0, 256.0) / (window.0 * window.1).sqrt()).min(MOST_ENLARGED);
        let cell = CELL_PX as f32 / shrink;
        let (width, height) = (length_for(window.0 / cell), length_for(window.1 / cell));
        let across: Vec<f32> = (0..width).map(|x| hann(x, width)).collect();
        let taper = (0..height).flat_map(|y| across.iter().map(move |a| a * hann(y, height))).collect();
        let features =
            Features { width, height, plans: Plans::new(width, height), taper, pixels: Vec::new() };
        (features, (width as f32 * cell, height as f32 * cell))
    }

    /// Columns and rows of cells.
    pub(crate) fn cells(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Transforms for planes of these cells.
    pub(crate) fn plans(&mut self) -> &mut Plans {
        &mut self.plans
    }

    /// The features of `window`, transformed: `PAIRS` planes.
    pub(crate) fn spectrum(&mut self, frame: &Frame, window: Rect, spectrum: &mut Vec<Complex32>) {
        let (width, height) = (self.width * CELL_PX, self.height * CELL_PX);
        patch::sample(frame, window, width, height, &mut self.pixels);
        let hog = fhog(&self.pixels, width, height, CELL_PX);
        let colours = self.colours();
        let n = self.width * self.height;
        let plane = |channel: usize| match channel.checked_sub(fhog::CHANNELS) {
            None => hog.plane(channel),
            Some(colour) => &colours[colour * n..(colour + 1) * n],
        };
        spectrum.clear();
        spectrum.resize(PAIRS * n, Complex32::ZERO);
        for (pair, out) in spectrum.chunks_exact_mut(n).enumerate() {
            let (re, im) = (plane(2 * pair), plane(2 * pair + 1));
            for (((out, re), im), taper) in out.iter_mut().zip(re).zip(im).zip(&self.taper) {
                *out = Complex32::new(re * taper, im * taper);
            }
        }
        self.plans.forward(spectrum);
    }

    /// Brightness, red against green and yellow against blue of each cell, each about -0.5 to 0.5 and with its mean over
    /// the window taken off: `COLOURS` planes.
    fn colours(&self) -> Vec<f32> {
        let n = self.width * self.height;
        let stride = self.width * CELL_PX;
        let plane = stride * self.height * CELL_PX;
        let mut colours = vec![0.0f32; COLOURS * n];
        let mut rgb = vec![0.0f32; 3 * n];
        for (pixels, means) in self.pixels.chunks_exact(plane).zip(rgb.chunks_exact_mut(n)) {
            for (y, row) in pixels.chunks_exact(stride).enumerate() {
                let line = &mut means[y / CELL_PX * self.width..][..self.width];
                for (mean, four) in line.iter_mut().zip(row.chunks_exact(CELL_PX)) {
                    *mean += four.iter().sum::<f32>() / (255.0 * (CELL_PX * CELL_PX) as f32);
                }
            }
        }
        for i in 0..n {
            let (r, g, b) = (rgb[i], rgb[n + i], rgb[2 * n + i]);
            colours[i] = (r + g + b) / 3.0;
            colours[n + i] = r - g;
            colours[2 * n + i] = 0.5 * (r + g) - b;
        }
        for (colour, plane) in colours.chunks_exact_mut(n).enumerate() {
            let mean = plane.iter().sum::<f32>() / n as f32;
            for value in plane {
                *value = (*value - mean) * COLOUR_WEIGHT[colour];
            }
        }
        colours
    }
}

/// The weight of each colour plane beside the HOG planes.
const COLOUR_WEIGHT: [f32; COLOURS] = [1.0, 1.0, 1.0];
/// A small window is enlarged by at most this.
const MOST_ENLARGED: f32 = 2.0;

/// The Hann window at `i` of `n`, nowhere quite zero.
fn hann(i: usize, n: usize) -> f32 {
    let phase = std::f64::consts::TAU * (i as f64 + 0.5) / n as f64;
    (0.5 - 0.5 * phase.cos()) as f32
}
