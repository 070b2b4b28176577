//! The tracks of one source: which candidates start one, which end, and the views they leave.

use std::sync::Arc;

use super::counts::{Counts, Lost, Refused};
use super::settings::Settings;
use super::tracker::Tracker;
use crate::id::{NodeId, SourceId, TrackId};
use crate::observe::frame::{Frame, PixelBox, Rect};
use crate::observe::image::crop::{Crop, square_around};

/// A track that had all its frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The track.
    pub track: TrackId,
    /// Its first view, those between if settings ask for some, and its last.
    pub views: Vec<View>,
}

/// One view of a track, ready to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The node it becomes.
    pub id: NodeId,
    /// Number of its frame in the source.
    pub seq: u64,
    /// Presentation time of its frame, nanoseconds.
    pub pts_ns: u64,
    /// The object's box in the source picture.
    pub region: PixelBox,
    /// The square that was cut around it, in the source picture; it may reach over the edge.
    pub crop_box: PixelBox,
    /// The crop: a JPEG of 96 x 96 pixels.
    pub crop: Arc<[u8]>,
}

/// A region is on an object when this share of the smaller one lies in the other.
const ON_IT: f32 = 0.5;

/// Follows candidates over the frames of one source, segment by segment.
///
/// A segment's tracks depend on its frames and candidates alone: state is reset when another segment begins, or when frames
/// start over.
pub struct Tracks {
    source: SourceId,
    settings: Settings,
    segment_frames: u64,
    /// Frame offsets in a track at which a view is taken, ascending; 0 first, the track's last frame last.
    view_at: Vec<u64>,
    /// Segment and number of the last frame.
    last: Option<(u64, u64)>,
    /// Columns and rows of the last frame.
    size: (usize, usize),
    /// Tracks started in this segment.
    ordinal: u64,
    /// Oldest first.
    active: Vec<Active>,
    counts: Counts,
}

struct Active {
    track: TrackId,
    tracker: Tracker,
    region: Rect,
    /// The region at the start.
    start: Rect,
    /// Frames seen after the first.
    age: u64,
    /// Frames after the first on which something was proposed where it is.
    moving: u64,
    views: Vec<View>,
}

impl Tracks {
    /// For one source whose segments have `segment_frames` frames (0 is taken as 1).
    pub fn new(source: SourceId, settings: Settings, segment_frames: u64) -> Self {
        let last = u64::from(settings.frames.max(2)) - 1;
        let parts = (u64::from(settings.views) + 1).min(255);
        let mut view_at: Vec<u64> = (0..=parts).map(|part| part * last / parts).collect();
        view_at.dedup();
        Tracks {
            source,
            settings,
            segment_frames: segment_frames.max(1),
            view_at,
            last: None,
            size: (0, 0),
            ordinal: 0,
            active: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes the next frame and the regions proposed on it, best first, in pixels of the frame. Returns the tracks that had
    /// their last frame with it, oldest first.
    pub fn step(&mut self, frame: &Frame, candidates: &[Rect]) -> Vec<Finished> {
        let segment = frame.seq / self.segment_frames;
        if self.last.is_none_or(|(before, seq)| segment != before || frame.seq <= seq) {
            self.drop_all(Lost::SegmentEnd);
            self.ordinal = 0;
        } else if self.size != (frame.width, frame.height) {
            self.drop_all(Lost::BadFrame);
        }
        self.last = Some((segment, frame.seq));
        self.size = (frame.width, frame.height);
        let finished = self.follow(frame, candidates);
        for candidate in candidates {
            if let Err(why) = self.start(frame, segment, *candidate) {
                self.counts.refuse(why);
            }
        }
        finished
    }

    /// Returns what became of candidates and tracks so far, over all segments.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The tracks being followed, oldest first, each with its present region in pixels of the frame.
    pub fn active(&self) -> impl Iterator<Item = (TrackId, Rect)> {
        self.active.iter().map(|active| (active.track, active.region))
    }

    fn drop_all(&mut self, why: Lost) {
        self.active.drain(..).for_each(|_| self.counts.lose(why));
    }

    fn follow(&mut self, frame: &Frame, candidates: &[Rect]) -> Vec<Finished> {
        let mut finished = Vec::new();
        for mut active in std::mem::take(&mut self.active) {
            match self.advance(&mut active, frame, candidates) {
                Err(why) => self.counts.lose(why),
                Ok(true) => {
                    self.counts.finished += 1;
                    finished.push(Finished { track: active.track, views: active.views });
                }
                Ok(false) => self.active.push(active),
            }
        }
        finished
    }

    /// One frame further; `true` when that was the last.
    fn advance(&self, active: &mut Active, frame: &Frame, candidates: &[Rect]) -> Result<bool, Lost> {
        let step = active.tracker.follow(frame);
        active.region = step.region;
        active.age += 1;
        if step.lost {
            return Err(Lost::LowPsr);
        }
        if step.region.w.min(step.region.h) < self.settings.min_side_px {
            return Err(Lost::TooSmall);
        }
        if inside(step.region, frame) < self.settings.min_inside {
            return Err(Lost::LeftFrame);
        }
        // `active` holds the older tracks that came through this frame.
        if self.covered(step.region) {
            return Err(Lost::Merged);
        }
        active.moving += u64::from(candidates.iter().any(|c| shared(c, &active.region) > ON_IT));
        let last = self.view_at.last() == Some(&active.age);
        if last && self.stood_still(active) {
            return Err(Lost::Still);
        }
        if self.view_at.get(active.views.len()) == Some(&active.age) {
            let view = self.view(frame, active.track, active.views.len(), active.region);
            active.views.push(view.ok_or(Lost::BadFrame)?);
        }
        Ok(active.views.len() == self.view_at.len())
    }

    /// Returns true when the track, at its end, did not go anywhere or was seldom where something moved: noise, a shadow, or the
    /// background that an object left behind.
    fn stood_still(&self, active: &Active) -> bool {
        let ((x0, y0), (x1, y1)) = (active.start.centre(), active.region.centre());
        let size = active.start.area().sqrt().max(1.0);
        let went = (x1 - x0).hypot(y1 - y0) / size;
        let grew = (active.region.area().sqrt() / size - 1.0).abs();
        let moving = active.moving as f32 / active.age.max(1) as f32;
        went.max(grew) < self.settings.min_travel || moving < self.settings.min_moving
    }

    fn start(&mut self, frame: &Frame, segment: u64, region: Rect) -> Result<(), Refused> {
        let small =
            region.w.is_nan() || region.h.is_nan() || region.w.min(region.h) < self.settings.min_side_px;
        if small {
            return Err(Refused::TooSmall);
        }
        if inside(region, frame) < self.settings.min_inside {
            return Err(Refused::Outside);
        }
        if self.covered(region) {
            return Err(Refused::Overlap);
        }
        if self.active.len() >= self.settings.max_tracks {
            return Err(Refused::Full);
        }
        let left = self.segment_frames - frame.seq % self.segment_frames;
        if left < u64::from(self.settings.frames.max(2)) {
            return Err(Refused::TooLate);
        }
        let track = TrackId::new(self.source, segment, self.ordinal).ok_or(Refused::NoNumber)?;
        let tracker = Tracker::new(frame, region, &self.settings).ok_or(Refused::Untrackable)?;
        let first = self.view(frame, track, 0, region).ok_or(Refused::Untrackable)?;
        self.ordinal += 1;
        self.counts.started += 1;
        let views = vec![first];
        self.active.push(Active { track, tracker, region, start: region, age: 0, moving: 0, views });
        Ok(())
    }

    fn covered(&self, region: Rect) -> bool {
        self.active.iter().any(|active| shared(&region, &active.region) > self.settings.overlap)
    }

    fn view(&self, frame: &Frame, track: TrackId, view: usize, region: Rect) -> Option<View> {
        let square = square_around(region, self.settings.crop_margin);
        let crop = Crop::cut(frame, square).and_then(|crop| crop.encode()).ok()?;
        Some(View {
            id: track.node(view)?,
            seq: frame.seq,
            pts_ns: frame.pts_ns,
            region: region.in_source(frame),
            crop_box: square.in_source(frame),
            crop,
        })
    }
}

/// The share of a region that is inside the frame, 0 to 1.
/// Share of the smaller region that lies in the other.
fn shared(a: &Rect, b: &Rect) -> f32 {
    a.overlap(b) / a.area().min(b.area())
}

fn inside(region: Rect, frame: &Frame) -> f32 {
    let whole = Rect { x: 0.0, y: 0.0, w: frame.width as f32, h: frame.height as f32 };
    if region.area() > 0.0 { region.overlap(&whole) / region.area() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::track::scene::Scene;

    const SEGMENT: u64 = 64;

    fn tracks(settings: Settings) -> Tracks {
        Tracks::new(SourceId(3), settings, SEGMENT)
    }

    fn slow() -> Scene {
        Scene { velocity: (1.0, 0.5), ..Scene::default() }
    }

    /// Frames `from..to` of a scene, the true box proposed on each.
    fn run(tracks: &mut Tracks, scene: &Scene, from: u64, to: u64) -> Vec<Finished> {
        (from..to).flat_map(|t| tracks.step(&scene.frame(t), &[scene.target(t)])).collect()
    }

    fn settled(tracks: &Tracks) -> bool {
        let counts = tracks.counts();
        counts.started == counts.finished + counts.lost.iter().sum::<u64>() + tracks.active().count() as u64
    }

    #[test]
    fn a_track_of_30_frames_leaves_its_first_and_its_30th_view() {
        let mut tracks = tracks(Settings::default());
        let finished = run(&mut tracks, &slow(), 0, 30);
        assert_eq!(finished.len(), 1);
        let [first, last] = &finished[0].views[..] else { panic!("{} views", finished[0].views.len()) };
        assert_eq!((first.seq, last.seq, last.pts_ns), (0, 29, 29 * 40_000_000));
        assert_eq!(finished[0].track, TrackId::new(SourceId(3), 0, 0).unwrap());
        assert_eq!((first.id.view(), last.id.view()), (0, 1));
        assert_eq!((first.id.track(), last.id.track()), (finished[0].track, finished[0].track));
        assert_eq!(first.region, slow().target(0).in_source(&slow().frame(0)));
        assert_eq!((first.crop_box.w, first.crop_box.h), (48, 48));
        for view in &finished[0].views {
            Crop::decode(&view.crop).unwrap();
        }
        assert!(settled(&tracks));
    }

    #[test]
    fn a_track_that_went_nowhere_or_was_where_nothing_moved_gives_no_nodes() {
        let still = Scene { velocity: (0.0, 0.0), ..Scene::default() };
        let mut standing = tracks(Settings::default());
        assert_eq!(run(&mut standing, &still, 0, 30), []);
        assert_eq!(standing.counts().lost(Lost::Still), 1);
        let mut unseen = tracks(Settings::default());
        unseen.step(&slow().frame(0), &[slow().target(0)]);
        let finished: Vec<Finished> = (1..30).flat_map(|t| unseen.step(&slow().frame(t), &[])).collect();
        assert_eq!((finished.len(), unseen.counts().lost(Lost::Still)), (0, 1));
    }

    #[test]
    fn views_between_are_evenly_spread() {
        let mut tracks = tracks(Settings { views: 2, frames: 10, min_travel: 0.0, ..Settings::default() });
        let finished = run(&mut tracks, &slow(), 0, 10);
        let seqs: Vec<u64> = finished[0].views.iter().map(|view| view.seq).collect();
        assert_eq!(seqs, [0, 3, 6, 9]);
        let many = Settings { views: 255, frames: 2, min_travel: 0.0, ..Settings::default() };
        let finished = run(&mut Tracks::new(SourceId(3), many, SEGMENT), &slow(), 0, 2);
        assert_eq!(finished[0].views.len(), 2);
    }

    #[test]
    fn an_object_being_followed_is_not_started_twice() {
        let mut tracks = tracks(Settings::default());
        run(&mut tracks, &slow(), 0, 29);
        let counts = tracks.counts();
        assert_eq!((counts.started, counts.refused(Refused::Overlap)), (1, 28));
        let inner = Rect { x: slow().target(28).x + 12.0, y: slow().target(28).y + 12.0, w: 16.0, h: 16.0 };
        tracks.step(&slow().frame(29), &[]);
        assert_eq!(tracks.counts().finished, 1);
        tracks.step(&slow().frame(30), &[slow().target(30), inner]);
        assert_eq!(tracks.counts().started, 2, "a part of it is covered too");
    }

    #[test]
    fn a_segment_decoded_again_gives_the_same_ids_boxes_and_bytes() {
        let scene = Scene { velocity: (0.7, 0.3), ..Scene::default() };
        let settings = Settings { frames: 10, min_travel: 0.0, ..Settings::default() };
        let mut through = Tracks::new(SourceId(3), settings.clone(), 24);
        run(&mut through, &scene, 5, 24);
        let first = run(&mut through, &scene, 24, 48);
        let alone = run(&mut Tracks::new(SourceId(3), settings, 24), &scene, 24, 48);
        assert!(first.len() >= 2);
        assert_eq!(first, alone);
        let again = run(&mut through, &scene, 24, 48);
        assert_eq!(first, again, "frames that start over are a segment started over");
        assert!(settled(&through));
    }

    #[test]
    fn tracks_in_flight_at_a_segments_end_are_dropped_and_late_ones_not_started() {
        let mut tracks = Tracks::new(SourceId(3), Settings::default(), 40);
        run(&mut tracks, &slow(), 5, 36);
        assert_eq!(
            tracks.counts().refused(Refused::TooLate),
            2,
            "frames 34 and 35, after the track that began at 5"
        );
        let mut cut = Tracks::new(SourceId(3), Settings::default(), 40);
        cut.step(&slow().frame(3), &[slow().target(3)]);
        cut.step(&slow().frame(40), &[]);
        assert_eq!((cut.counts().lost(Lost::SegmentEnd), cut.active().count()), (1, 0));
        assert!(settled(&tracks) && settled(&cut));
    }

    #[test]
    fn a_track_whose_object_is_gone_is_dropped_without_views() {
        let scene = Scene { hidden: 10..60, ..slow() };
        let mut tracks = tracks(Settings::default());
        let first = tracks.step(&scene.frame(0), &[scene.target(0)]);
        let rest: Vec<Finished> = (1..40).flat_map(|t| tracks.step(&scene.frame(t), &[])).collect();
        assert!(first.is_empty() && rest.is_empty());
        assert_eq!(tracks.counts().lost(Lost::LowPsr), 1);
    }

    #[test]
    fn a_track_that_leaves_the_frame_is_dropped() {
        let scene = Scene { velocity: (-3.0, 0.0), ..Scene::default() };
        let mut tracks = tracks(Settings { min_psr: 0.0, ..Settings::default() });
        tracks.step(&scene.frame(0), &[scene.target(0)]);
        let finished: Vec<Finished> = (1..40).flat_map(|t| tracks.step(&scene.frame(t), &[])).collect();
        assert!(finished.is_empty());
        assert_eq!(tracks.counts().lost(Lost::LeftFrame), 1);
    }

    #[test]
    fn no_more_tracks_than_allowed_and_none_on_bad_boxes() {
        let frame = slow().frame(0);
        let boxes: Vec<Rect> =
            (0..4).map(|i| Rect { x: 50.0 * i as f32, y: 20.0, w: 30.0, h: 30.0 }).collect();
        let mut tracks = tracks(Settings { max_tracks: 3, ..Settings::default() });
        let bad = [
            Rect { x: 0.0, y: 0.0, w: 3.0, h: 30.0 },
            Rect { x: -25.0, y: 120.0, w: 30.0, h: 30.0 },
            Rect { x: f32::NAN, y: f32::NAN, w: f32::NAN, h: f32::NAN },
            Rect { x: 0.0, y: 0.0, w: f32::INFINITY, h: f32::INFINITY },
        ];
        tracks.step(&frame, &[&bad[..], &boxes[..]].concat());
        let counts = tracks.counts();
        assert_eq!(counts.started, 3);
        assert_eq!(
            [Refused::Full, Refused::TooSmall, Refused::Outside].map(|reason| counts.refused(reason)),
            [1, 2, 2]
        );
        let ids: Vec<TrackId> = tracks.active().map(|(track, _)| track).collect();
        assert_eq!(ids, [0, 1, 2].map(|n| TrackId::new(SourceId(3), 0, n).unwrap()));
    }

    #[test]
    fn a_frame_of_another_size_ends_all_tracks() {
        let mut tracks = tracks(Settings::default());
        tracks.step(&slow().frame(0), &[slow().target(0)]);
        let mut other = Scene::flat(100, 80, 50);
        other.seq = 1;
        tracks.step(&other, &[]);
        assert_eq!(tracks.counts().lost(Lost::BadFrame), 1);
    }

    #[test]
    fn of_two_tracks_on_one_object_the_older_stays() {
        let scene = slow();
        let mut tracks = tracks(Settings::default());
        let beside = Rect { x: scene.target(0).x + 22.0, ..scene.target(0) };
        tracks.step(&scene.frame(0), &[scene.target(0), beside]);
        assert_eq!(tracks.active().count(), 2);
        tracks.settings.overlap = 0.2;
        tracks.step(&scene.frame(1), &[]);
        let left: Vec<TrackId> = tracks.active().map(|(track, _)| track).collect();
        assert_eq!(left, [TrackId::new(SourceId(3), 0, 0).unwrap()]);
        assert_eq!(tracks.counts().lost(Lost::Merged), 1);
    }
}
