//! One object followed from frame to frame by a correlation filter.

use rustfft::num_complex::Complex32;

use super::features::Features;
use super::filter::Filter;
use super::peak;
use super::peak::Peak;
use super::settings::Settings;
use crate::observe::frame::{Frame, Rect};

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
    /// The fit of late, averaged.
    usual_fit: Option<f32>,
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
    /// Says how well the place fits what was learned: about 1 for a perfect fit, 0 for none.
    pub fit: f32,
    /// The ratio or the fit is under what settings ask for. The filter learned nothing from this frame, and may find the object again.
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
            usual_fit: None,
            settings: settings.clone(),
            spectrum,
        })
    }

    /// Finds the object on the next frame and learns how it looks there.
    pub fn follow(&mut self, frame: &Frame) -> Step {
        if !has_pixels(frame) {
            return Step { region: self.region(), psr: 0.0, fit: 0.0, lost: true };
        }
        let (peak, factor) = self.find(frame);
        let (width, height) = self.features.cells();
        let scale = self.scale * factor;
        let moved =
            (peak.x * self.window.0 * scale / width as f32, peak.y * self.window.1 * scale / height as f32);
        self.centre.0 = (self.centre.0 + moved.0).clamp(0.0, frame.width as f32);
        self.centre.1 = (self.centre.1 + moved.1).clamp(0.0, frame.height as f32);
        let fit = peak.fit;
        let usual = *self.usual_fit.get_or_insert(fit);
        let lost = peak.psr < self.settings.min_psr
            || fit < self.settings.min_fit
            || fit < self.settings.min_fit_share * usual;
        // Also while lost: an object that looks different for good is taken up again after a while.
        self.usual_fit = Some(usual + FIT_RATE * (fit - usual));
        if !lost {
            self.scale = self.bounded(frame, scale);
            let window = self.window_at(1.0);
            self.features.spectrum(frame, window, &mut self.spectrum);
            let rate = self.settings.learning_rate.clamp(0.0, 1.0);
            self.filter.learn(&self.spectrum, rate, self.features.plans());
        }
        Step { region: self.region(), psr: peak.psr, fit, lost }
    }

    /// Where the object is now, pixels.
    pub fn region(&self) -> Rect {
        around_point(self.centre, (self.size.0 * self.scale, self.size.1 * self.scale))
    }

    /// The best peak over the present size and one step up and down, with the factor of that step.
    fn find(&mut self, frame: &Frame) -> (Peak, f32) {
        let step = self.settings.scale_step.clamp(1.0, 1.5);
        let mut best = (self.peak_at(frame, 1.0), 1.0);
        let mut best_fit = best.0.fit;
        for factor in [step, 1.0 / step] {
            if factor != 1.0 {
                let peak = self.peak_at(frame, factor);
                let fit = peak.fit * self.settings.scale_damping;
                if fit > best_fit {
                    (best, best_fit) = ((peak, factor), fit);
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

/// The rate at which the usual fit follows the last one, a frame.
const FIT_RATE: f32 = 0.05;

fn has_pixels(frame: &Frame) -> bool {
    !frame.rgb.is_empty()
        && frame.width.checked_mul(frame.height).and_then(|n| n.checked_mul(3)) == Some(frame.rgb.len())
}

fn around_point(centre: (f32, f32), size: (f32, f32)) -> Rect {
    Rect { x: centre.0 - size.0 / 2.0, y: centre.1 - size.1 / 2.0, w: size.0, h: size.1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::image::crop::encode_still;
    use crate::observe::track::Kernel;
    use crate::observe::track::scene::Scene;

    fn settings(kernel: Kernel) -> Settings {
        Settings { kernel, ..Settings::default() }
    }

    #[test]
    fn a_moving_square_is_followed_for_30_frames_by_either_kernel() {
        for kernel in [Kernel::Linear, Kernel::Gaussian] {
            let scene = Scene { velocity: (3.0, 1.5), ..Scene::default() };
            let mut tracker = Tracker::new(&scene.frame(0), scene.target(0), &settings(kernel)).unwrap();
            for t in 1..=30 {
                let step = tracker.follow(&scene.frame(t));
                let iou = step.region.iou(&scene.target(t));
                assert!(iou > 0.7 && !step.lost, "{kernel:?} frame {t}: {iou}, {step:?}");
            }
        }
    }

    #[test]
    fn a_square_that_grows_and_one_that_shrinks_is_followed() {
        for growth in [1.01, 0.99] {
            let scene = Scene { growth, velocity: (1.0, 1.0), ..Scene::default() };
            let mut tracker = Tracker::new(&scene.frame(0), scene.target(0), &Settings::default()).unwrap();
            let last = (1..=30).map(|t| tracker.follow(&scene.frame(t))).last().unwrap();
            let iou = last.region.iou(&scene.target(30));
            assert!(iou > 0.7, "growth {growth}: {iou}");
            let fixed = Rect { w: 40.0, h: 40.0, ..scene.target(30) };
            assert!(fixed.iou(&scene.target(30)) < 0.7, "a tracker of fixed size would pass too");
        }
    }

    #[test]
    fn an_object_that_disappears_is_lost_and_found_when_it_is_back() {
        let scene = Scene { velocity: (1.0, 0.0), hidden: 12..18, ..Scene::default() };
        let strict = Settings { min_psr: 7.0, min_fit: 0.15, min_fit_share: 0.6, ..Settings::default() };
        let mut tracker = Tracker::new(&scene.frame(0), scene.target(0), &strict).unwrap();
        let steps: Vec<Step> = (1..=30).map(|t| tracker.follow(&scene.frame(t))).collect();
        assert!(steps[..11].iter().all(|step| !step.lost));
        assert!(steps[11..17].iter().all(|step| step.lost), "{:?}", &steps[11..17]);
        assert!(!steps[29].lost && steps[29].region.iou(&scene.target(30)) > 0.6, "{:?}", steps[29]);
    }

    #[test]
    fn the_same_frames_give_the_same_steps() {
        let scene = Scene { velocity: (2.0, 1.0), ..Scene::default() };
        let run = || -> Vec<Step> {
            let mut tracker = Tracker::new(&scene.frame(0), scene.target(0), &Settings::default()).unwrap();
            (1..10).map(|t| tracker.follow(&scene.frame(t))).collect()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn flat_frames_give_finite_steps_that_are_lost() {
        let flat = Scene::flat(64, 48, 100);
        for kernel in [Kernel::Linear, Kernel::Gaussian] {
            let region = Rect { x: 20.0, y: 10.0, w: 20.0, h: 20.0 };
            let mut tracker = Tracker::new(&flat, region, &settings(kernel)).unwrap();
            for _ in 0..5 {
                let step = tracker.follow(&flat);
                let Rect { x, y, w, h } = step.region;
                assert!(
                    [x, y, w, h, step.psr].iter().all(|v| v.is_finite()) && step.lost,
                    "{kernel:?} {step:?}"
                );
            }
        }
    }

    #[test]
    fn boxes_that_cannot_be_followed_are_refused() {
        let frame = Scene::default().frame(0);
        let good = Rect { x: 10.0, y: 10.0, w: 30.0, h: 30.0 };
        assert!(Tracker::new(&frame, good, &Settings::default()).is_some());
        for bad in [
            Rect { w: 2.0, ..good },
            Rect { h: -5.0, ..good },
            Rect { x: f32::NAN, ..good },
            Rect { w: f32::INFINITY, ..good },
            Rect { w: 1e7, h: 1e7, ..good },
            Rect { x: -1000.0, ..good },
        ] {
            assert!(Tracker::new(&frame, bad, &Settings::default()).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn tiny_frames_changed_frames_and_broken_frames_do_no_harm() {
        let mut broken = Scene::flat(64, 48, 9);
        broken.rgb = std::sync::Arc::new(vec![1; 5]);
        assert!(encode_still(&broken, 90).is_err());
        let whole = |frame: &Frame| Rect { x: 0.0, y: 0.0, w: frame.width as f32, h: frame.height as f32 };
        assert!(Tracker::new(&broken, whole(&broken), &Settings::default()).is_none());
        assert!(
            Tracker::new(&Scene::flat(0, 0, 9), whole(&Scene::flat(0, 0, 9)), &Settings::default()).is_none()
        );
        for (width, height) in [(4, 4), (5, 300), (300, 5)] {
            let tiny = Scene::flat(width, height, 9);
            let mut tracker = Tracker::new(&tiny, whole(&tiny), &Settings::default()).unwrap();
            for next in [&tiny, &broken, &Scene::default().frame(3), &Scene::flat(1, 1, 200)] {
                let step = tracker.follow(next);
                assert!(step.region.w.is_finite() && step.region.x.is_finite() && step.psr.is_finite());
            }
        }
    }

    #[test]
    fn wild_settings_do_no_harm() {
        let scene = Scene::default();
        for wild in [f32::NAN, -1.0, 0.0, 1e9, f32::INFINITY] {
            let settings = Settings {
                padding: wild,
                template_px: wild,
                learning_rate: wild,
                regularisation: wild,
                scale_step: wild,
                scale_damping: wild,
                ..Settings::default()
            };
            if let Some(mut tracker) = Tracker::new(&scene.frame(0), scene.target(0), &settings) {
                for t in 1..4 {
                    let region = tracker.follow(&scene.frame(t)).region;
                    assert!(region.x.is_finite() && region.w.is_finite(), "{wild}: {region:?}");
                }
            }
        }
    }
}
