//! The input from a video: one decoded picture.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::SourceId;

/// One decoded RGB picture of a source. Cloning shares the pixels.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The video it is from.
    pub source: SourceId,
    /// Its number in the video: 0-based, in presentation order, every decoded frame counted.
    pub seq: u64,
    /// Presentation time in nanoseconds from the video's start.
    pub pts_ns: u64,
    /// Columns of `rgb`.
    pub width: usize,
    /// Rows of `rgb`.
    pub height: usize,
    /// Columns and rows of the picture before it was scaled down.
    pub source_size: (usize, usize),
    /// `height` x `width` x 3 bytes, row-major, R G B, no padding.
    pub rgb: Arc<Vec<u8>>,
}

/// A box in pixels of the decoded (scaled) frame: top-left corner and size. It may reach over the frame's edge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge, pixels.
    pub x: f32,
    /// Top edge, pixels.
    pub y: f32,
    /// Width, pixels.
    pub w: f32,
    /// Height, pixels.
    pub h: f32,
}

impl Rect {
    /// Its middle, (x, y).
    pub fn centre(&self) -> (f32, f32) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    /// Area in square pixels; 0 when empty.
    pub fn area(&self) -> f32 {
        self.w.max(0.0) * self.h.max(0.0)
    }

    /// Area shared with `other`, in square pixels.
    pub fn overlap(&self, other: &Rect) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union, 0 to 1.
    pub fn iou(&self, other: &Rect) -> f32 {
        let shared = self.overlap(other);
        let union = self.area() + other.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }

    /// The same box in pixels of the source picture, rounded to whole pixels.
    pub fn in_source(&self, frame: &Frame) -> PixelBox {
        let sx = frame.source_size.0 as f32 / frame.width as f32;
        let sy = frame.source_size.1 as f32 / frame.height as f32;
        PixelBox {
            x: (self.x * sx).round() as i32,
            y: (self.y * sy).round() as i32,
            w: (self.w * sx).round().max(1.0) as i32,
            h: (self.h * sy).round().max(1.0) as i32,
        }
    }
}

/// A box in whole pixels of the source picture (before scaling).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PixelBox {
    /// Left edge, pixels; may be negative.
    pub x: i32,
    /// Top edge, pixels; may be negative.
    pub y: i32,
    /// Width, pixels.
    pub w: i32,
    /// Height, pixels.
    pub h: i32,
}
