//! One object followed from frame to frame by a correlation filter.

use rustfft::num_complex::Complex32;

use super::Settings;
use super::features::Features;
use super::filter::Filter;
use super::peak::{self, Peak};
use crate::frame::{Frame, Rect};

/// Follows one region. What it returns depends on the frames it was given and nothing else.
pub struct Tracker {
    features: Features,
    filter: Filter,
    /// The region's middle, pixels.
    centre: (f32, f32),
    /// The region's size at the start, pixels.
    size: (f32, f32),
    /// The region's size now over that at the start.
    scale: f32,
    /// The search window's size at scale 1, pixels.
    window: (f32, f32),
    settings: Settings,
    spectrum: Vec<Complex32>,
}

/// Where the object is on a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its region in pixels of the frame; the best guess when `lost`.
    pub region: Rect,
    /// Peak-to-sidelobe ratio of the response: how clearly this place stands out. 0 on a flat picture.
    pub psr: f32,
    /// The ratio is under `min_psr`. The filter learned nothing from this frame, and may find the object again.
    pub lost: bool,
}

impl Tracker {
    /// Starts on `region` of `frame` (pixels of the frame). `None` when the region is not finite, under 4 pixels on a side,
    /// more than half outside the frame or larger than twice the frame, or when the frame's bytes do not match its size.
    pub fn new(frame: &Frame, region: Rect, settings: &Settings) -> Option<Tracker> {
        let whole = Rect { x: 0.0, y: 0.0, w: frame.width as f32, h: frame.height as f32 };
        let finite = [region.x, region.y, region.w, region.h].iter().all(|v| v.is_finite());
        let fits = region.w <= 2.0 * whole.w && region.h <= 2.0 * whole.h;
        let shown = region.overlap(&whole) >= 0.5 * region.area();
        if !has_pixels(frame)
            || !finite
            || region.w < MIN_SIDE_PX
            || region.h < MIN_SIDE_PX
            || !fits
            || !shown
        {
            return None;
        }
        let around = settings.padding.clamp(0.0, 4.0) * (region.w * region.h).sqrt();
        let window = (region.w + around, region.h + around);
        let (mut features, window) = Features::new(window, settings.template_px);
        let (width, height) = features.cells();
        let cells = (width as f32 * region.w / window.0, height as f32 * region.h / window.1);
        let sigma = (cells.0 * cells.1).sqrt() * TARGET_SIGMA;
        let mut target = peak::wanted(width, height, sigma);
        features.plans().forward(&mut target);
        let mut spectrum = Vec::new();
        let centre = region.centre();
        features.spectrum(frame, around_point(centre, window), &mut spectrum);
        let filter =
            Filter::new(settings.kernel, settings.regularisation, target, &spectrum, features.plans());
        let size = (region.w, region.h);
        Some(Tracker {
            features,
            filter,
            centre,
            size,
            scale: 1.0,
            window,
            settings: settings.clone(),
            spectrum,
        })
    }

    /// Finds the object on the next frame and learns how it looks there.
    pub fn follow(&mut self, frame: &Frame) -> Step {
        if !has_pixels(frame) {
            return Step { region: self.region(), psr: 0.0, lost: true };
        }
        let (peak, factor) = self.find(frame);
        let (width, height) = self.features.cells();
        let scale = self.scale * factor;
        let moved =
            (peak.x * self.window.0 * scale / width as f32, peak.y * self.window.1 * scale / height as f32);
        self.centre.0 = (self.centre.0 + moved.0).clamp(0.0, frame.width as f32);
        self.centre.1 = (self.centre.1 + moved.1).clamp(0.0, frame.height as f32);
        let lost = peak.psr < self.settings.min_psr;
        if !lost {
            self.scale = self.bounded(frame, scale);
            let window = self.window_at(1.0);
            self.features.spectrum(frame, window, &mut self.spectrum);
            let rate = self.settings.learning_rate.clamp(0.0, 1.0);
            self.filter.learn(&self.spectrum, rate, self.features.plans());
        }
        Step { region: self.region(), psr: peak.psr, lost }
    }

    /// Where the object is now, pixels.
    pub fn region(&self) -> Rect {
        around_point(self.centre, (self.size.0 * self.scale, self.size.1 * self.scale))
    }

    /// The best peak over the present size and one step up and down, with the factor of that step.
    fn find(&mut self, frame: &Frame) -> (Peak, f32) {
        let step = self.settings.scale_step.clamp(1.0, 1.5);
        let mut best = (self.peak_at(frame, 1.0), 1.0);
        for factor in [step, 1.0 / step] {
            if factor != 1.0 {
                let mut peak = self.peak_at(frame, factor);
                peak.height *= self.settings.scale_damping;
                if peak.height > best.0.height {
                    best = (peak, factor);
                }
            }
        }
        best
    }

    fn peak_at(&mut self, frame: &Frame, factor: f32) -> Peak {
        let window = self.window_at(factor);
        self.features.spectrum(frame, window, &mut self.spectrum);
        let response = self.filter.respond(&self.spectrum, self.features.plans());
        let (width, height) = self.features.cells();
        peak::find(&response, width, height)
    }

    fn window_at(&self, factor: f32) -> Rect {
        let scale = self.scale * factor;
        around_point(self.centre, (self.window.0 * scale, self.window.1 * scale))
    }

    /// A scale at which the region is neither under the least side nor over twice the frame.
    fn bounded(&self, frame: &Frame, scale: f32) -> f32 {
        let least = MIN_SIDE_PX / self.size.0.min(self.size.1);
        let most = (2.0 * frame.width as f32 / self.size.0).min(2.0 * frame.height as f32 / self.size.1);
        scale.min(most).max(least)
    }
}

/// A region's least side, pixels: one HOG cell.
const MIN_SIDE_PX: f32 = 4.0;
/// Width of the wanted peak over the target's size (KCF, table 2, for HOG).
const TARGET_SIGMA: f32 = 0.1;

fn has_pixels(frame: &Frame) -> bool {
    !frame.rgb.is_empty()
        && frame.width.checked_mul(frame.height).and_then(|n| n.checked_mul(3)) == Some(frame.rgb.len())
}

fn around_point(centre: (f32, f32), size: (f32, f32)) -> Rect {
    Rect { x: centre.0 - size.0 / 2.0, y: centre.1 - size.1 / 2.0, w: size.0, h: size.1 }
}
