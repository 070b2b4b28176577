//! Fourier transforms of many small planes at once.
//!
//! Real planes travel in pairs, one as the real and one as the imaginary part of a complex plane. For correlation the
//! pairs need not be taken apart: with P = a + ib and Q = c + id, the real part of corr(P, Q) is corr(a, c) + corr(b, d),
//! which is the sum over channels that a multi-channel filter wants.

use std::sync::Arc;

use rustfft::algorithm::MixedRadixSmall;
use rustfft::algorithm::butterflies::{
    Butterfly3, Butterfly4, Butterfly5, Butterfly8, Butterfly12, Butterfly16,
};
use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftDirection};

/// Lengths an axis may have, cells.
pub(crate) const LENGTHS: [usize; 10] = [8, 12, 16, 20, 24, 32, 36, 40, 48, 64];

/// Plans for planes of one size. A transformed plane is stored column by column: value (u, v) at `u * height + v`.
pub(crate) struct Plans {
    width: usize,
    height: usize,
    rows: [Arc<dyn Fft<f32>>; 2],
    columns: [Arc<dyn Fft<f32>>; 2],
    scratch: Vec<Complex32>,
    turned: Vec<Complex32>,
}

impl Plans {
    /// Plans for `width` x `height`, both taken from [`LENGTHS`]; another length is an error of the caller's and gives
    /// the plan of 64, which is why [`length_for`] is the way to get one.
    pub(crate) fn new(width: usize, height: usize) -> Self {
        let plan = |n| [plan(n, FftDirection::Forward), plan(n, FftDirection::Inverse)];
        let (rows, columns) = (plan(width), plan(height));
        let scratch = rows.iter().chain(&columns).map(|plan| plan.get_inplace_scratch_len()).max();
        let scratch = vec![Complex32::ZERO; scratch.unwrap_or(0)];
        Plans { width, height, rows, columns, scratch, turned: Vec::new() }
    }

    /// Transforms each plane of `planes` (row by row in, column by column out), not scaled.
    pub(crate) fn forward(&mut self, planes: &mut [Complex32]) {
        self.rows[0].process_with_scratch(planes, &mut self.scratch);
        turn(planes, self.width, self.height, &mut self.turned);
        self.columns[0].process_with_scratch(planes, &mut self.scratch);
    }

    /// Transforms planes back (column by column in, row by row out), scaled so that it undoes `forward`.
    pub(crate) fn inverse(&mut self, planes: &mut [Complex32]) {
        self.columns[1].process_with_scratch(planes, &mut self.scratch);
        turn(planes, self.height, self.width, &mut self.turned);
        self.rows[1].process_with_scratch(planes, &mut self.scratch);
        let scale = 1.0 / (self.width * self.height) as f32;
        for value in planes {
            *value *= scale;
        }
    }

    /// Keeps of a transformed plane what belongs to the real part of the plane it came from.
    pub(crate) fn real_part(&self, plane: &mut [Complex32]) {
        let (w, h) = (self.width, self.height);
        for u in 0..w {
            for v in 0..h {
                let (here, there) = (u * h + v, ((w - u) % w) * h + (h - v) % h);
                if here <= there {
                    let mean = (plane[here] + plane[there].conj()) * 0.5;
                    plane[here] = mean;
                    plane[there] = mean.conj();
                }
            }
        }
    }
}

/// The smallest allowed length of at least `cells`, or the largest there is.
pub(crate) fn length_for(cells: f32) -> usize {
    LENGTHS.iter().copied().find(|n| *n as f32 >= cells).unwrap_or(LENGTHS[LENGTHS.len() - 1])
}

/// The plan for one of [`LENGTHS`], put together from rustfft's scalar pieces.
///
/// Not by its planner, for two reasons: that one takes vector code with fused multiply-add where the machine has it, so
/// two machines would follow an object to slightly different places; and it compiles every algorithm there is.
fn plan(length: usize, way: FftDirection) -> Arc<dyn Fft<f32>> {
    let product = |a: Arc<dyn Fft<f32>>, b: Arc<dyn Fft<f32>>| Arc::new(MixedRadixSmall::new(a, b));
    match length {
        8 => Arc::new(Butterfly8::new(way)),
        12 => Arc::new(Butterfly12::new(way)),
        16 => Arc::new(Butterfly16::new(way)),
        20 => product(Arc::new(Butterfly4::new(way)), Arc::new(Butterfly5::new(way))),
        24 => product(Arc::new(Butterfly3::new(way)), Arc::new(Butterfly8::new(way))),
        32 => product(Arc::new(Butterfly4::new(way)), Arc::new(Butterfly8::new(way))),
        36 => product(Arc::new(Butterfly3::new(way)), Arc::new(Butterfly12::new(way))),
        40 => product(Arc::new(Butterfly5::new(way)), Arc::new(Butterfly8::new(way))),
        48 => product(Arc::new(Butterfly4::new(way)), Arc::new(Butterfly12::new(way))),
        _ => product(Arc::new(Butterfly8::new(way)), Arc::new(Butterfly8::new(way))),
    }
}

/// Transposes each plane of `height` rows and `width` columns.
fn turn(planes: &mut [Complex32], width: usize, height: usize, turned: &mut Vec<Complex32>) {
    turned.resize(width * height, Complex32::ZERO);
    for plane in planes.chunks_exact_mut(width * height) {
        for (y, row) in plane.chunks_exact(width).enumerate() {
            for (x, value) in row.iter().enumerate() {
                turned[x * height + y] = *value;
            }
        }
        plane.copy_from_slice(turned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planes(n: usize, seed: u32) -> Vec<Complex32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| Complex32::new(next(), next())).collect()
    }

    #[test]
    fn back_and_forth_is_the_identity() {
        for (width, height) in LENGTHS.map(|n| (n, 8)).into_iter().chain(LENGTHS.map(|n| (12, n))) {
            let before = planes(3 * width * height, 7);
            let mut after = before.clone();
            let mut plans = Plans::new(width, height);
            plans.forward(&mut after);
            plans.inverse(&mut after);
            assert!(before.iter().zip(&after).all(|(a, b)| (a - b).norm() < 1e-5));
        }
    }

    #[test]
    fn a_pair_of_planes_correlates_as_the_sum_of_both() {
        let (width, height) = (12, 8);
        let n = width * height;
        let (p, q) = (planes(n, 1), planes(n, 2));
        let mut plans = Plans::new(width, height);
        let (mut fp, mut fq) = (p.clone(), q.clone());
        plans.forward(&mut fp);
        plans.forward(&mut fq);
        let mut product: Vec<_> = fp.iter().zip(&fq).map(|(p, q)| p.conj() * q).collect();
        plans.real_part(&mut product);
        plans.inverse(&mut product);
        for dy in 0..height {
            for dx in 0..width {
                let mut expected = 0.0;
                for y in 0..height {
                    for x in 0..width {
                        let (a, b) = (p[y * width + x], q[(y + dy) % height * width + (x + dx) % width]);
                        expected += a.re * b.re + a.im * b.im;
                    }
                }
                let got = product[dy * width + dx];
                assert!((got.re - expected).abs() < 1e-4 && got.im.abs() < 1e-4);
            }
        }
    }
}
