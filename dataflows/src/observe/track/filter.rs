//! Correlation filters over many channels: the linear kernel and the Gaussian one.
//!
//! Linear: M. Danelljan, G. Haeger, F. Khan, M. Felsberg, "Accurate scale estimation for robust visual tracking",
//! BMVC 2014: one numerator a channel over a shared denominator, both averaged over time.
//! Gaussian: J. Henriques, R. Caseiro, P. Martins, J. Batista, "High-speed tracking with kernelized correlation
//! filters", PAMI 2015.

use rustfft::num_complex::Complex32;
use serde::{Deserialize, Serialize};

use super::fourier::Plans;

/// The kernel a filter compares patches with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernel {
    /// A plain correlation filter (DCF): nearly the Gaussian's accuracy in a fraction of the time.
    #[default]
    Linear,
    /// The kernelized filter of the KCF paper.
    Gaussian,
}

/// Bandwidth of the Gaussian kernel on HOG (KCF, table 2).
const KERNEL_SIGMA: f32 = 0.5;

/// Says what a filter has learned. All planes are Fourier transforms laid out as [`Plans`] does.
pub(crate) struct Filter {
    kernel: Kernel,
    /// Added to the denominator, relative to the mean energy of a feature.
    regularisation: f32,
    /// The response wanted around the target.
    target: Vec<Complex32>,
    /// Linear: numerators, channels in pairs. Gaussian: the averaged template, likewise.
    template: Vec<Complex32>,
    /// Linear: energy (real). Gaussian: the dual coefficients.
    weights: Vec<Complex32>,
}

impl Filter {
    /// Learns from the first patch. `target`: the wanted response, transformed. `patch`: transformed features, channels
    /// in pairs, each plane as long as `target`.
    pub(crate) fn new(
        kernel: Kernel,
        regularisation: f32,
        target: Vec<Complex32>,
        patch: &[Complex32],
        plans: &mut Plans,
    ) -> Self {
        let n = target.len();
        let (template, weights) = (vec![Complex32::ZERO; patch.len()], vec![Complex32::ZERO; n]);
        let mut filter = Filter { kernel, regularisation, target, template, weights };
        filter.learn(patch, 1.0, plans);
        filter
    }

    /// Moves what is known towards another patch by `rate` (0 to 1).
    pub(crate) fn learn(&mut self, patch: &[Complex32], rate: f32, plans: &mut Plans) {
        let n = self.target.len();
        let towards = |old: &mut Complex32, new: Complex32| *old = *old * (1.0 - rate) + new * rate;
        match self.kernel {
            Kernel::Linear => {
                let energy = self.correlate(patch, patch, plans);
                for (old, new) in self.weights.iter_mut().zip(energy) {
                    towards(old, new);
                }
                for (old, new) in self.template.chunks_exact_mut(n).zip(patch.chunks_exact(n)) {
                    for ((old, new), target) in old.iter_mut().zip(new).zip(&self.target) {
                        towards(old, target.conj() * new);
                    }
                }
            }
            Kernel::Gaussian => {
                let kernel = self.gaussian(patch, patch, plans);
                for ((old, kernel), target) in self.weights.iter_mut().zip(kernel).zip(&self.target) {
                    towards(old, target / (kernel + self.regularisation));
                }
                for (old, new) in self.template.iter_mut().zip(patch) {
                    towards(old, *new);
                }
            }
        }
    }

    /// Returns how well each shift of the target fits `patch`: `height` x `width` values, 1 for a perfect fit, the zero shift
    /// at (0, 0) and negative shifts wrapped round.
    pub(crate) fn respond(&self, patch: &[Complex32], plans: &mut Plans) -> Vec<f32> {
        let mut response = match self.kernel {
            Kernel::Linear => {
                let mut fit = self.correlate(&self.template, patch, plans);
                let floor = self.regularisation * patch.len() as f32;
                for (fit, energy) in fit.iter_mut().zip(&self.weights) {
                    *fit /= energy.re + floor;
                }
                fit
            }
            Kernel::Gaussian => {
                let mut kernel = self.gaussian(&self.template, patch, plans);
                for (kernel, weight) in kernel.iter_mut().zip(&self.weights) {
                    *kernel *= weight;
                }
                kernel
            }
        };
        plans.inverse(&mut response);
        response.iter().map(|value| value.re).collect()
    }

    /// Cross-correlation summed over channels, transformed.
    fn correlate(&self, a: &[Complex32], b: &[Complex32], plans: &Plans) -> Vec<Complex32> {
        let n = self.target.len();
        let mut sum = vec![Complex32::ZERO; n];
        for (a, b) in a.chunks_exact(n).zip(b.chunks_exact(n)) {
            for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
                *sum += a.conj() * b;
            }
        }
        plans.real_part(&mut sum);
        sum
    }

    /// The Gaussian kernel of all shifts of `b` against `a`, transformed (KCF, equation 30).
    fn gaussian(&self, a: &[Complex32], b: &[Complex32], plans: &mut Plans) -> Vec<Complex32> {
        let n = self.target.len() as f32;
        let norm = |patch: &[Complex32]| patch.iter().map(|v| v.norm_sqr()).sum::<f32>() / n;
        let (aa, bb) = (norm(a), norm(b));
        let values = 2.0 * a.len() as f32;
        let mut kernel = self.correlate(a, b, plans);
        plans.inverse(&mut kernel);
        for value in &mut kernel {
            let distance = ((aa + bb - 2.0 * value.re) / values).max(0.0);
            *value = Complex32::new((-distance / (KERNEL_SIGMA * KERNEL_SIGMA)).exp(), 0.0);
        }
        // The kernel is laid out row by row now, as `forward` wants it.
        plans.forward(&mut kernel);
        kernel
    }
}
