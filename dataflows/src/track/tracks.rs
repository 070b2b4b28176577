//! The objects of one source that are followed at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Settings, Tracker};
use crate::frame::{Frame, PixelBox, Rect};
use crate::id::{NodeId, SourceId, TrackId};
use crate::image::crop::{Crop, CropError, square_around};

/// Side of the square cut around a region, over the region's longer side.
const CROP_MARGIN: f32 = 1.2;
/// A track whose region is less than this share inside the frame has left it.
const INSIDE: f32 = 0.6;

/// A finished track.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its id.
    pub track: TrackId,
    /// Its first and last view, and those between that were asked for.
    pub views: Vec<View>,
}

/// One crop of a track: a new node.
#[derive(Clone, Debug)]
pub struct View {
    /// Its id.
    pub id: NodeId,
    /// Number of its frame.
    pub seq: u64,
    /// Presentation time of that frame, nanoseconds.
    pub pts_ns: u64,
    /// The object, in source pixels.
    pub region: PixelBox,
    /// The square that was cut, in source pixels.
    pub crop_box: PixelBox,
    /// The cut square, 96 x 96, JPEG.
    pub crop: Arc<[u8]>,
}

/// Why a track was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lost {
    /// The tracker was not sure enough.
    LowPsr,
    /// The object left the picture.
    LeftFrame,
    /// The segment ended before the track was long enough.
    SegmentEnd,
    /// The object did not move from its place, so it was no object but noise.
    Still,
    /// Another track follows the same thing.
    Merged,
    /// Its crop could not be made.
    NoCrop,
}

impl Lost {
    /// Its name in reports; never changes.
    pub fn name(self) -> &'static str {
        match self {
            Lost::LowPsr => "low_psr",
            Lost::LeftFrame => "left_frame",
            Lost::SegmentEnd => "segment_end",
            Lost::Still => "still",
            Lost::Merged => "merged",
            Lost::NoCrop => "no_crop",
        }
    }
}

/// What became of tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Begun.
    pub started: u64,
    /// Reached their length.
    pub finished: u64,
    /// Dropped, by reason.
    pub lost: BTreeMap<Lost, u64>,
}

/// Follows the objects of one source. What comes out of a segment depends on its frames alone.
pub struct Tracks {
    source: SourceId,
    settings: Settings,
    segment_frames: u64,
    active: Vec<Active>,
    /// The segment of the last frame, and the tracks begun in it.
    segment: Option<(u64, u64)>,
    counts: Counts,
}

struct Active {
    id: TrackId,
    tracker: Tracker,
    /// Frames followed, the first included.
    age: u32,
    start: Rect,
    views: Vec<View>,
}

impl Tracks {
    /// No tracks yet.
    pub fn new(source: SourceId, settings: Settings, segment_frames: u64) -> Self {
        Tracks {
            source,
            settings,
            segment_frames: segment_frames.max(1),
            active: Vec::new(),
            segment: None,
            counts: Counts::default(),
        }
    }

    /// What became of tracks so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Follows all tracks onto `frame`, the next of the source, and begins tracks on `candidates` (regions in frame
    /// pixels, best first) that nobody follows yet. At a segment's start all tracks end.
    pub fn step(&mut self, frame: &Frame, candidates: &[Rect]) -> Vec<Finished> {
        let segment = frame.seq / self.segment_frames;
        if self.segment.is_none_or(|(now, _)| now != segment) {
            self.segment = Some((segment, 0));
            let dropped = self.active.len() as u64;
            self.active.clear();
            if dropped > 0 {
                *self.counts.lost.entry(Lost::SegmentEnd).or_default() += dropped;
            }
        }
        let finished = self.follow(frame);
        for candidate in candidates {
            self.begin(frame, segment, *candidate);
        }
        finished
    }

    fn follow(&mut self, frame: &Frame) -> Vec<Finished> {
        let mut finished = Vec::new();
        let mut kept: Vec<Active> = Vec::with_capacity(self.active.len());
        for mut active in std::mem::take(&mut self.active) {
            let step = active.tracker.follow(frame);
            active.age += 1;
            let others =
                kept.iter().any(|other| other.tracker.region().iou(&step.region) > self.settings.merge);
            let lost = match () {
                () if step.lost => Some(Lost::LowPsr),
                () if !inside(&step.region, frame) => Some(Lost::LeftFrame),
                () if others => Some(Lost::Merged),
                () => self.look(&mut active, frame, &step.region).err(),
            };
            if let Some(reason) = lost {
                *self.counts.lost.entry(reason).or_default() += 1;
            } else if active.age >= self.settings.frames.max(2) {
                self.counts.finished += 1;
                finished.push(Finished { track: active.id, views: active.views });
            } else {
                kept.push(active);
            }
        }
        self.active = kept;
        finished
    }

    /// Takes a view when one is due at the track's age.
    fn look(&self, active: &mut Active, frame: &Frame, region: &Rect) -> Result<(), Lost> {
        let frames = self.settings.frames.max(2);
        if active.age == frames && !moved(&active.start, region, self.settings.min_travel) {
            return Err(Lost::Still);
        }
        let parts = self.settings.views_between + 1;
        let due = (1..=parts).any(|part| active.age == 1 + (frames - 1) * part / parts);
        if due {
            let view = view(active.id, active.views.len(), frame, region).ok().flatten();
            active.views.push(view.ok_or(Lost::NoCrop)?);
        }
        Ok(())
    }

    fn begin(&mut self, frame: &Frame, segment: u64, region: Rect) {
        let followed =
            self.active.iter().any(|a| same_place(&a.tracker.region(), &region, self.settings.overlap));
        if followed || self.active.len() >= self.settings.max_tracks || !inside(&region, frame) {
            return;
        }
        let Some((_, begun)) = &mut self.segment else { return };
        let Some(id) = TrackId::new(self.source, segment, *begun) else { return };
        let Some(tracker) = Tracker::new(frame, region, &self.settings) else { return };
        let Ok(Some(first)) = view(id, 0, frame, &region) else { return };
        *begun += 1;
        self.counts.started += 1;
        self.active.push(Active { id, tracker, age: 1, start: region, views: vec![first] });
    }
}

fn view(track: TrackId, ordinal: usize, frame: &Frame, region: &Rect) -> Result<Option<View>, CropError> {
    let Some(id) = track.node(ordinal) else { return Ok(None) };
    let square = square_around(*region, CROP_MARGIN);
    let crop = Crop::cut(frame, square)?.encode()?;
    Ok(Some(View {
        id,
        seq: frame.seq,
        pts_ns: frame.pts_ns,
        region: region.in_source(frame),
        crop_box: square.in_source(frame),
        crop,
    }))
}

fn inside(region: &Rect, frame: &Frame) -> bool {
    let whole = Rect { x: 0.0, y: 0.0, w: frame.width as f32, h: frame.height as f32 };
    region.overlap(&whole) >= INSIDE * region.area()
}

/// Whether two regions cover the same thing: by intersection over union, or one lies mostly in the other.
fn same_place(a: &Rect, b: &Rect, overlap: f32) -> bool {
    let smaller = a.area().min(b.area()).max(1.0);
    a.iou(b) > overlap || a.overlap(b) / smaller > 0.5
}

/// Whether the region's middle went at least `share` of its size, or its size changed as much.
fn moved(start: &Rect, end: &Rect, share: f32) -> bool {
    let ((x0, y0), (x1, y1)) = (start.centre(), end.centre());
    let went = ((x1 - x0).powi(2) + (y1 - y0).powi(2)).sqrt();
    let size = (start.w * start.h).sqrt().max(1.0);
    went >= share * size || ((end.w * end.h).sqrt() / size - 1.0).abs() >= share
}
