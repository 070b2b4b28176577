//! The output of a source: frames, then one end.

use gstreamer as gst;
use gstreamer_video as video;
use gstreamer_video::prelude::*;

use crate::error::IngestError;

/// One decoded picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its number in the source: 0-based, in presentation order, every decoded frame counted.
    pub seq: u64,
    /// Presentation time in nanoseconds; the first frame's is 0 and every later one's is greater.
    pub pts_ns: u64,
    /// Columns of `rgb`.
    pub width: usize,
    /// Rows of `rgb`.
    pub height: usize,
    /// Columns and rows of the picture as stored in the source, before scaling.
    pub source_size: (usize, usize),
    /// `height` x `width` x 3 bytes, row-major, R G B, no padding.
    pub rgb: Vec<u8>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Frame { seq, pts_ns, width, height, source_size, .. } = self;
        write!(out, "Frame {seq} at {pts_ns} ns, {width}x{height} of {source_size:?}")
    }
}

/// The end of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Frames delivered; the last one's number is one less.
    pub frames: u64,
    /// `None` when the source was read to its end. Otherwise why not; the frames before it stand.
    pub error: Option<IngestError>,
}

/// An item of a [`crate::Reader`]'s queue, which gives frames in order, then exactly one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The next picture.
    Frame(Frame),
    /// Nothing comes after it.
    End(End),
}

/// The pixels of a mapped RGB picture without the padding of its rows: the one copy that is made.
pub(crate) fn packed(picture: &video::VideoFrameRef<&gst::BufferRef>) -> Option<Vec<u8>> {
    let (row_bytes, rows) = (picture.width() as usize * 3, picture.height() as usize);
    let stride = usize::try_from(*picture.plane_stride().first()?).ok()?;
    let data = picture.plane_data(0).ok()?;
    if stride == row_bytes {
        return data.get(..row_bytes * rows).map(<[u8]>::to_vec);
    }
    let mut rgb = Vec::with_capacity(row_bytes * rows);
    for row in 0..rows {
        rgb.extend_from_slice(data.get(row * stride..row * stride + row_bytes)?);
    }
    Some(rgb)
}
