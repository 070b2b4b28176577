//! The tracks of one source: which candidates start one, which end, and the views they leave.

use std::sync::Arc;

use super::counts::{Counts, Lost, Refused};
use super::{Settings, Tracker};
use crate::frame::{Frame, PixelBox, Rect};
use crate::id::{NodeId, SourceId, TrackId};
use crate::image::crop::{Crop, square_around};

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
    /// Frames seen after the first.
    age: u64,
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
        let finished = self.follow(frame);
        for candidate in candidates {
            if let Err(why) = self.start(frame, segment, *candidate) {
                self.counts.refuse(why);
            }
        }
        finished
    }

    /// What became of candidates and tracks so far, over all segments.
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

    fn follow(&mut self, frame: &Frame) -> Vec<Finished> {
        let mut finished = Vec::new();
        for mut active in std::mem::take(&mut self.active) {
            match self.advance(&mut active, frame) {
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
    fn advance(&self, active: &mut Active, frame: &Frame) -> Result<bool, Lost> {
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
        if self.view_at.get(active.views.len()) == Some(&active.age) {
            let view = self.view(frame, active.track, active.views.len(), active.region);
            active.views.push(view.ok_or(Lost::BadFrame)?);
        }
        Ok(active.views.len() == self.view_at.len())
    }

    fn start(&mut self, frame: &Frame, segment: u64, region: Rect) -> Result<(), Refused> {
        let small =
            region.w.is_nan() || region.h.is_nan() || region.w.min(region.h) < self.settings.min_side_px;
        if small || inside(region, frame) < self.settings.min_inside {
            return Err(Refused::BadRegion);
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
        let tracker = Tracker::new(frame, region, &self.settings).ok_or(Refused::BadRegion)?;
        let first = self.view(frame, track, 0, region).ok_or(Refused::BadRegion)?;
        self.ordinal += 1;
        self.counts.started += 1;
        self.active.push(Active { track, tracker, region, age: 0, views: vec![first] });
        Ok(())
    }

    fn covered(&self, region: Rect) -> bool {
        let share = |other: &Rect| region.overlap(other) / region.area().min(other.area());
        self.active.iter().any(|active| share(&active.region) > self.settings.overlap)
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
fn inside(region: Rect, frame: &Frame) -> f32 {
    let whole = Rect { x: 0.0, y: 0.0, w: frame.width as f32, h: frame.height as f32 };
    if region.area() > 0.0 { region.overlap(&whole) / region.area() } else { 0.0 }
}
