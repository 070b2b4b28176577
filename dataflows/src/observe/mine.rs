//! Finding what moves: flow, the camera's own motion, and the window with the most residual motion.
//!
//! A frame and the one before it go through [`corners`], [`flow`], [`homography`], [`window`] and [`region`], in that
//! order; [`Miner`] holds what the next frame will need of this one.

pub mod corners;
pub mod flow;
pub mod homography;
pub mod region;
#[cfg(test)]
pub(crate) mod scene;
pub mod window;

use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, Rect};
use super::image::gray::{Gray, Pyramid};
use crate::id::SourceId;
use flow::Flow;
use region::Mover;

/// Says what counts as moving, and what is worth following.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Corners followed at most, one a grid cell. More see smaller objects and cost more.
    pub max_corners: usize,
    /// Around points that move, corners are taken on a grid finer by this factor; 1 leaves that out.
    pub detail: usize,
    /// ... within this many (coarse) grid cells of a moving point.
    pub detail_reach_cells: f32,
    /// Corners followed for that at most.
    pub max_detail: usize,
    /// A corner's smaller structure-tensor eigenvalue at least: squared grey levels per pixel.
    pub min_corner_strength: f32,
    /// Sizes in the pyramid at most: each doubles the longest flow that is found.
    pub pyramid_levels: usize,
    /// Flow followed back must end this near its start, pixels.
    pub max_return_px: f32,
    /// The flow's two windows differ by at most this, mean absolute grey levels.
    pub max_difference: f32,
    /// The coarsest pictures differ by more than this on average, in grey levels: another scene.
    pub cut_difference: f32,
    /// Less than this share of the corners could be followed: another scene.
    pub min_tracked_share: f32,
    /// Points needed, as corners and again as flows.
    pub min_tracked: usize,
    /// The camera's homography explains a flow within this, pixels.
    pub camera_px: f32,
    /// Share of the flows the camera's homography must explain.
    pub min_inlier_share: f32,
    /// A point moves when its residual flow is over this, pixels (paper: 0.5).
    pub moving_px: f32,
    /// ... and over this many times the median residual of the flows the camera explains. 0: not asked.
    pub moving_noise: f32,
    /// Share of moving points under which a frame is noise (paper: ~0.25).
    pub min_moving_share: f32,
    /// Share of moving points over which it is the camera that moves (paper: ~0.75).
    pub max_moving_share: f32,
    /// The window's side as a share of the frame's longer side (paper: ~227 of 600).
    pub window_share: f32,
    /// Moving points a candidate needs, those of the finer grid counted in.
    pub min_moving: usize,
    /// ... and the share it needs of the first candidate's: lesser ones are mostly parallax.
    pub min_share_of_best: f32,
    /// Says whether the region is the box its cluster of points covers; otherwise it is the window itself, as in the paper.
    pub follow_points: bool,
    /// Moving points closer than this many fine grid cells are linked.
    pub link_cells: f32,
    /// Linked points' residuals differ by at most this share of the larger.
    pub alike: f32,
    /// Of the points in the region, at least this share belongs to its cluster.
    pub min_purity: f32,
    /// Share of a cluster's outermost points, on each side, that its box leaves out.
    pub trim: f32,
    /// The box reaches this many fine grid cells past its points.
    pub margin_cells: f32,
    /// The region covers at most this share of the frame.
    pub max_region_share: f32,
    /// The crop reaches this share of the region's longer side past it, on each side.
    pub crop_margin: f32,
    /// Candidates a frame at most.
    pub max_candidates: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_corners: 500,
            detail: 3,
            detail_reach_cells: 1.0,
            max_detail: 500,
            min_corner_strength: 3.0,
            pyramid_levels: 4,
            max_return_px: 0.3,
            max_difference: 12.0,
            cut_difference: 40.0,
            min_tracked_share: 0.25,
            min_tracked: 20,
            camera_px: 1.0,
            min_inlier_share: 0.5,
            moving_px: 0.5,
            moving_noise: 4.0,
            min_moving_share: 0.0,
            max_moving_share: 1.0,
            window_share: PAPER_WINDOW_SHARE,
            min_moving: 10,
            min_share_of_best: 0.4,
            follow_points: true,
            link_cells: 3.5,
            alike: 0.7,
            min_purity: 0.5,
            trim: 0.0,
            margin_cells: 0.8,
            max_region_share: 0.6,
            crop_margin: 0.1,
            max_candidates: 4,
        }
    }
}

/// A 227 pixel window in a 600 pixel wide frame.
const PAPER_WINDOW_SHARE: f32 = 227.0 / 600.0;

impl Settings {
    /// The paper's: frames with under 25 % or over 75 % moving points are dropped, and the fixed window is the region.
    pub fn paper() -> Self {
        Settings {
            min_inlier_share: 0.0,
            detail: 1,
            moving_noise: 0.0,
            min_moving_share: 0.25,
            max_moving_share: 0.75,
            follow_points: false,
            max_region_share: 1.0,
            crop_margin: 0.0,
            max_candidates: 1,
            ..Settings::default()
        }
    }
}

/// Why a frame gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// There is no frame before it of the same source and size.
    FirstFrame,
    /// Its pixels are not width x height x 3 bytes, or it has none.
    Malformed,
    /// The frame before has too little texture.
    FewCorners,
    /// The two frames differ so much that they show different scenes.
    Cut,
    /// So small a share of the corners could be followed that the frames show different scenes, or one is blurred.
    CornersLost,
    /// Too few of the corners could be followed.
    FewTracked,
    /// No homography explains enough of the flow.
    CameraUnknown,
    /// Too few points move on their own.
    TooFewMoving,
    /// So many points move that it is the camera, seen wrongly.
    TooManyMoving,
    /// Points move, but nowhere do enough of them move together.
    NoWindow,
}

impl Rejection {
    /// Its name in counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Rejection::FirstFrame => "first_frame",
            Rejection::Malformed => "malformed",
            Rejection::FewCorners => "few_corners",
            Rejection::Cut => "cut",
            Rejection::CornersLost => "corners_lost",
            Rejection::FewTracked => "few_tracked",
            Rejection::CameraUnknown => "camera_unknown",
            Rejection::TooFewMoving => "too_few_moving",
            Rejection::TooManyMoving => "too_many_moving",
            Rejection::NoWindow => "no_window",
        }
    }
}

/// Something that moves on its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The box it covers, inside the frame.
    pub region: Rect,
    /// The square around it to cut out.
    pub crop: Rect,
    /// Points that move with it, those of the finer grid counted in.
    pub moving_points: usize,
}

/// Says what one frame gave, beside the frame before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mined {
    /// The candidates, best first and never none, or why there are none.
    pub outcome: Result<Vec<Candidate>, Rejection>,
    /// Points that move on their own, of `tracked_points`.
    pub moving_points: usize,
    /// Points of the even grid followed from the frame before.
    pub tracked_points: usize,
    /// Share of those that the camera's homography explains, 0 when it is not known.
    pub inlier_share: f32,
}

/// Mines the frames of one source, one after the other.
#[derive(Clone, Debug)]
pub struct Miner {
    settings: Settings,
    /// The last frame's source and pyramid; `None` at the start and after `reset`.
    previous: Option<(SourceId, Pyramid)>,
    /// A pyramid's memory to use again.
    spare: Pyramid,
}

impl Miner {
    /// A miner that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        Miner { settings, previous: None, spare: Pyramid::default() }
    }

    /// Forgets the frame before.
    pub fn reset(&mut self) {
        if let Some((_, pyramid)) = self.previous.take() {
            self.spare = pyramid;
        }
    }

    /// The brightness of the last frame, if there was one since the start or `reset`.
    pub fn last_gray(&self) -> Option<&Gray> {
        self.previous.as_ref().and_then(|(_, pyramid)| pyramid.levels().first())
    }

    /// Returns what moves in `frame` against the frame mined before it. The result depends on the two frames, their source and
    /// `frame.seq` alone.
    pub fn mine(&mut self, frame: &Frame) -> Mined {
        let pixels = frame.width.checked_mul(frame.height).and_then(|n| n.checked_mul(3));
        if pixels != Some(frame.rgb.len()) || frame.rgb.is_empty() {
            self.reset();
            return Mined::rejected(Rejection::Malformed);
        }
        let mut later = std::mem::take(&mut self.spare);
        later.refill(frame, self.settings.pyramid_levels);
        let mut mined = Mined::rejected(Rejection::FirstFrame);
        if let Some((source, earlier)) = self.previous.take() {
            if source == frame.source && same_size(&earlier, &later) {
                mined = between(&self.settings, &earlier, &later, frame);
            }
            self.spare = earlier;
        }
        self.previous = Some((frame.source, later));
        mined
    }
}

impl Mined {
    fn rejected(why: Rejection) -> Self {
        Mined { outcome: Err(why), moving_points: 0, tracked_points: 0, inlier_share: 0.0 }
    }
}

fn same_size(a: &Pyramid, b: &Pyramid) -> bool {
    let size = |p: &Pyramid| p.levels().first().map(|g| (g.width, g.height));
    size(a) == size(b)
}

/// Returns what moves between two pictures of one size.
fn between(settings: &Settings, earlier: &Pyramid, later: &Pyramid, frame: &Frame) -> Mined {
    let mut mined = Mined::rejected(Rejection::Cut);
    if difference(earlier, later) > settings.cut_difference {
        return mined;
    }
    let cell_px = corners::cell_side(frame.width, frame.height, settings.max_corners);
    let fine_px = (cell_px / settings.detail.max(1)).max(3);
    let fine = corners::corners(&earlier.levels()[0], fine_px, settings.min_corner_strength);
    let found = corners::strongest(&fine, cell_px, frame.width);
    if found.len() < settings.min_tracked {
        mined.outcome = Err(Rejection::FewCorners);
        return mined;
    }
    let follow = |c: &corners::Corner| {
        flow::follow(earlier, later, (c.x, c.y), settings.max_return_px, settings.max_difference)
    };
    let flows: Vec<Flow> = found.iter().filter_map(follow).collect();
    mined.tracked_points = flows.len();
    if (flows.len() as f32) < settings.min_tracked_share * found.len() as f32 {
        mined.outcome = Err(Rejection::CornersLost);
        return mined;
    }
    if flows.len() < settings.min_tracked {
        mined.outcome = Err(Rejection::FewTracked);
        return mined;
    }
    let mut rng = Pcg64::new(u128::from(frame.seq), u128::from(frame.source.0));
    mined.outcome = Err(Rejection::CameraUnknown);
    let Some(camera) = homography::camera(&flows, settings.camera_px, &mut rng) else { return mined };
    mined.inlier_share = camera.inliers as f32 / flows.len() as f32;
    if mined.inlier_share < settings.min_inlier_share {
        return mined;
    }
    let bound_px = moving_bound(settings, &flows, &camera.homography);
    let mover = |flow: &Flow| Mover { at: flow.to, residual: camera.homography.residual(flow) };
    let moves = |flow: &Flow| length(camera.homography.residual(flow)) > bound_px;
    let mut movers: Vec<Mover> = flows.iter().filter(|f| moves(f)).map(mover).collect();
    mined.moving_points = movers.len();
    let share = movers.len() as f32 / flows.len() as f32;
    mined.outcome = if movers.len() < settings.min_moving.max(1) || share < settings.min_moving_share {
        Err(Rejection::TooFewMoving)
    } else if share > settings.max_moving_share {
        Err(Rejection::TooManyMoving)
    } else {
        let mut flows = flows;
        if settings.detail > 1 {
            let from: Vec<(f32, f32)> = flows.iter().filter(|f| moves(f)).map(|f| f.from).collect();
            let reach_px = settings.detail_reach_cells * cell_px as f32;
            let more = corners::near(&fine, &from, reach_px, settings.max_detail);
            let more: Vec<Flow> = more.iter().filter(|c| !found.contains(c)).filter_map(follow).collect();
            movers.extend(more.iter().filter(|f| moves(f)).map(mover));
            flows.extend(more);
        }
        let found = candidates(settings, &flows, movers, fine_px as f32, frame);
        if found.is_empty() { Err(Rejection::NoWindow) } else { Ok(found) }
    };
    mined
}

/// Mean absolute difference of the two coarsest pictures, grey levels.
fn difference(a: &Pyramid, b: &Pyramid) -> f32 {
    match (a.levels().last(), b.levels().last()) {
        (Some(a), Some(b)) => {
            let sum: f32 = a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs()).sum();
            sum / a.data.len().max(1) as f32
        }
        _ => 0.0,
    }
}

/// The residual over which a flow is motion of its own, pixels.
fn moving_bound(settings: &Settings, flows: &[Flow], camera: &homography::Homography) -> f32 {
    let mut explained: Vec<f32> = flows.iter().map(|f| length(camera.residual(f))).collect();
    explained.retain(|r| *r <= settings.camera_px);
    explained.sort_by(f32::total_cmp);
    let noise_px = explained.get(explained.len() / 2).copied().unwrap_or(0.0);
    settings.moving_px.max(settings.moving_noise * noise_px)
}

fn length(flow: (f32, f32)) -> f32 {
    let (x, y) = flow;
    (x * x + y * y).sqrt()
}

/// Takes the window with the most movers, in it the cluster with the most, and again without that cluster's points.
fn candidates(
    settings: &Settings,
    flows: &[Flow],
    movers: Vec<Mover>,
    cell_px: f32,
    frame: &Frame,
) -> Vec<Candidate> {
    let (width, height) = (frame.width, frame.height);
    let side_px = settings.window_share * width.max(height) as f32;
    let cluster = region::clusters(&movers, settings.link_cells * cell_px, settings.alike);
    let mut left: Vec<usize> = (0..movers.len()).collect();
    let mut found: Vec<Candidate> = Vec::new();
    while found.len() < settings.max_candidates {
        let points: Vec<(f32, f32)> = left.iter().map(|&i| movers[i].at).collect();
        let Some((window, count)) = window::densest(&points, width, height, side_px) else { break };
        if count < settings.min_moving {
            break;
        }
        if !settings.follow_points {
            let crop = region::crop(&window, settings.crop_margin, width, height);
            found.push(Candidate { region: window, crop, moving_points: count });
            left.retain(|&i| !window::holds(&window, movers[i].at));
            continue;
        }
        let mut members = vec![0usize; movers.len()];
        for &i in left.iter().filter(|&&i| window::holds(&window, movers[i].at)) {
            members[cluster[i]] += 1;
        }
        let Some(chosen) = (0..members.len()).max_by_key(|&c| (members[c], usize::MAX - c)) else { break };
        let of_cluster = left.iter().filter(|&&i| cluster[i] == chosen).map(|&i| movers[i].at);
        let points: Vec<(f32, f32)> = of_cluster.collect();
        left.retain(|&i| cluster[i] != chosen);
        let Some(region) =
            region::cover(&points, settings.trim, settings.margin_cells * cell_px, width, height)
        else {
            break;
        };
        let inside = flows.iter().filter(|f| window::holds(&region, f.to)).count();
        let share = region.area() / (width as f32 * height as f32);
        let best = found.first().map_or(0, |c| c.moving_points) as f32;
        if points.len() >= settings.min_moving
            && points.len() as f32 >= settings.min_share_of_best * best
            && points.len() as f32 >= settings.min_purity * inside as f32
            && share <= settings.max_region_share
        {
            let crop = region::crop(&region, settings.crop_margin, width, height);
            found.push(Candidate { region, crop, moving_points: points.len() });
        }
    }
    found
}

#[cfg(test)]
mod tests;
