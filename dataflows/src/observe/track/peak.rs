//! The response wanted of a filter, and the peak of the one it gave.

use rustfft::num_complex::Complex32;

/// The highest point of a response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peak {
    /// Shift to the right, cells, with a fraction.
    pub x: f32,
    /// Shift down, cells, with a fraction.
    pub y: f32,
    /// Its value, about 1 for a perfect fit.
    pub fit: f32,
    /// Peak-to-sidelobe ratio (D. Bolme et al., "Visual object tracking using adaptive correlation filters", CVPR 2010,
    /// section 3.5): height over the mean of the rest, in standard deviations of the rest.
    pub psr: f32,
}

/// Cells around the peak that do not count as sidelobe. Bolme leaves out 11 x 11 pixels, about 3 x 3 cells; HOG cells
/// blur a little wider.
const LOBE: usize = 2;

/// A Gaussian of `sigma` cells around (0, 0), wrapped round: `height` x `width` values as the real parts.
pub(crate) fn wanted(width: usize, height: usize, sigma: f32) -> Vec<Complex32> {
    let from_zero = |i: usize, n: usize| i.min(n - i) as f32;
    (0..width * height)
        .map(|i| {
            let (x, y) = (from_zero(i % width, width), from_zero(i / width, height));
            Complex32::new((-0.5 * (x * x + y * y) / (sigma * sigma)).exp(), 0.0)
        })
        .collect()
}

/// The peak of a response of `height` x `width` values whose zero shift is at (0, 0). Of equal values the first counts.
pub(crate) fn find(response: &[f32], width: usize, height: usize) -> Peak {
    let mut best = 0;
    for (i, value) in response.iter().enumerate() {
        if *value > response[best] {
            best = i;
        }
    }
    let (x, y) = (best % width, best / width);
    let top = response[best];
    let along_x =
        vertex(response[y * width + (x + width - 1) % width], top, response[y * width + (x + 1) % width]);
    let along_y =
        vertex(response[(y + height - 1) % height * width + x], top, response[(y + 1) % height * width + x]);
    Peak {
        x: signed(x, width) + along_x,
        y: signed(y, height) + along_y,
        fit: top,
        psr: sidelobe_ratio(response, width, height, (x, y)),
    }
}

/// Where the parabola through three neighbouring values peaks, -0.5 to 0.5 from the middle one.
fn vertex(before: f32, top: f32, after: f32) -> f32 {
    let bend = before - 2.0 * top + after;
    if bend < 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}

fn signed(i: usize, n: usize) -> f32 {
    if 2 * i > n { i as f32 - n as f32 } else { i as f32 }
}

fn sidelobe_ratio(response: &[f32], width: usize, height: usize, peak: (usize, usize)) -> f32 {
    let apart = |a: usize, b: usize, n: usize| a.abs_diff(b).min(n - a.abs_diff(b));
    let (mut count, mut sum, mut squares) = (0.0f64, 0.0f64, 0.0f64);
    for y in 0..height {
        for x in 0..width {
            if apart(x, peak.0, width) > LOBE || apart(y, peak.1, height) > LOBE {
                let value = f64::from(response[y * width + x]);
                count += 1.0;
                sum += value;
                squares += value * value;
            }
        }
    }
    if count < 1.0 {
        return 0.0;
    }
    let mean = sum / count;
    let deviation = (squares / count - mean * mean).max(0.0).sqrt();
    let top = f64::from(response[peak.1 * width + peak.0]);
    // A response without sidelobes is one without anything to see.
    if deviation > 1e-9 { ((top - mean) / deviation) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_response_peaks_at_no_shift_and_wraps_round() {
        let wanted = wanted(8, 6, 1.0);
        assert_eq!(wanted[0].re, 1.0);
        assert_eq!(wanted[1], wanted[7]);
        assert_eq!(wanted[8], wanted[8 * 5]);
    }

    #[test]
    fn a_peak_between_cells_is_found_to_a_fraction_of_one() {
        let (width, height, at) = (24, 20, (-3.3f32, 5.2f32));
        let response: Vec<f32> = (0..width * height)
            .map(|i| {
                let (x, y) = (signed(i % width, width) - at.0, signed(i / width, height) - at.1);
                (-0.5 * (x * x + y * y) / 4.0).exp()
            })
            .collect();
        let peak = find(&response, width, height);
        assert!((peak.x - at.0).abs() < 0.05 && (peak.y - at.1).abs() < 0.05, "{peak:?}");
        assert!(peak.psr > 4.0);
    }

    #[test]
    fn a_flat_response_has_no_ratio() {
        let peak = find(&[0.25; 64], 8, 8);
        assert_eq!((peak.psr, peak.x, peak.y), (0.0, 0.0, 0.0));
        assert_eq!(find(&[0.0; 4], 2, 2).psr, 0.0);
    }
}
