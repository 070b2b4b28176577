//! Reading sources in lanes: each lane reads its sources one after the other, a slice an epoch.
//!
//! Which lane a source is in depends on its id alone, so that with `--batch` the same files give the same epochs on any
//! number of workers.

use std::collections::VecDeque;

use crossbeam::channel::TryRecvError;
use kinetograph_dataflows::frame::Frame;
use kinetograph_dataflows::id::SourceId;
use kinetograph_dataflows::observe::Seen;
use kinetograph_pipelines::{Event, Reader, Source};
use std::sync::Arc;

use super::outputs::Slice;

/// Frames taken from a source before the dataflow gets a turn: keeps few frames in memory at once.
const BURST: usize = 4;

/// A source that is still to be read.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its id in the store.
    pub id: SourceId,
    /// Where it is read from.
    pub source: Source,
    /// Frames committed already.
    pub position: u64,
}

/// Sources read one after the other.
#[derive(Default)]
pub struct Lane {
    waiting: VecDeque<Waiting>,
    open: Option<Open>,
    done: bool,
}

struct Open {
    id: SourceId,
    reader: Reader,
    /// The first frame the vision code must see again: the start of the segment in which reading stopped.
    replay_from: u64,
    /// The first frame that is not committed.
    position: u64,
    /// The first frame of this epoch's slice.
    slice_from: u64,
}

/// What a lane did when it was asked for frames.
#[derive(Debug, PartialEq, Eq)]
pub enum Took {
    /// Some frames; there may be more.
    Some,
    /// None were ready.
    None,
    /// The lane's part of this epoch is complete.
    Complete,
}

impl Lane {
    /// Adds a source behind the others.
    pub fn push(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// Whether nothing is left to read.
    pub fn exhausted(&self) -> bool {
        self.waiting.is_empty() && self.open.is_none()
    }

    /// The source that is being read.
    pub fn reading(&self) -> Option<SourceId> {
        self.open.as_ref().map(|open| open.id)
    }

    /// Takes frames that are ready, at most so many that the slice holds `slice_frames`; gives them to `feed`.
    pub fn take(
        &mut self,
        settings: &kinetograph_pipelines::Settings,
        segment_frames: u64,
        slice_frames: u64,
        slices: &mut Vec<Slice>,
        mut feed: impl FnMut(Seen),
    ) -> Took {
        if self.done {
            return Took::Complete;
        }
        if self.open.is_none() && !self.open_next(settings, segment_frames, slices) {
            self.done = true;
            return Took::Complete;
        }
        let Some(open) = &mut self.open else { return Took::Complete };
        for taken in 0..BURST {
            if open.position - open.slice_from >= slice_frames {
                return self.complete(slices);
            }
            match open.reader.receiver().try_recv() {
                Ok(Event::Frame(frame)) if frame.seq < open.replay_from => {}
                Ok(Event::Frame(frame)) => {
                    let replayed = frame.seq < open.position;
                    open.position = open.position.max(frame.seq + 1);
                    feed(Seen::Frame { frame: numbered(open.id, frame), replayed });
                }
                Ok(Event::End(end)) => {
                    feed(Seen::End(open.id));
                    let end = end.error.map_or(Ok(()), |error| Err(error.to_string()));
                    return self.close(end, slices);
                }
                Err(TryRecvError::Empty) if taken == 0 => return Took::None,
                Err(TryRecvError::Empty) => return Took::Some,
                Err(TryRecvError::Disconnected) => {
                    feed(Seen::End(open.id));
                    return self.close(Err("its reader ended without a word".to_string()), slices);
                }
            }
        }
        Took::Some
    }

    /// Ends this epoch's slice with what was taken.
    pub fn complete(&mut self, slices: &mut Vec<Slice>) -> Took {
        if !self.done
            && let Some(open) = &mut self.open
            && open.position > open.slice_from
        {
            slices.push(Slice { source: open.id, from: open.slice_from, to: open.position, end: None });
            open.slice_from = open.position;
        }
        self.done = true;
        Took::Complete
    }

    /// Ends the source that is being read, and this epoch's slice.
    pub fn close(&mut self, end: Result<(), String>, slices: &mut Vec<Slice>) -> Took {
        if let Some(open) = self.open.take() {
            slices.push(Slice { source: open.id, from: open.slice_from, to: open.position, end: Some(end) });
        }
        self.done = true;
        Took::Complete
    }

    /// Begins the next epoch.
    pub fn next_epoch(&mut self) {
        self.done = false;
        if let Some(open) = &mut self.open {
            open.slice_from = open.position;
        }
    }

    /// Opens the next source; a source that cannot be opened ends here. `false` when there is nothing to read in
    /// this epoch.
    fn open_next(
        &mut self,
        settings: &kinetograph_pipelines::Settings,
        segment_frames: u64,
        slices: &mut Vec<Slice>,
    ) -> bool {
        let Some(Waiting { id, source, position }) = self.waiting.pop_front() else { return false };
        match kinetograph_pipelines::open(&source, settings) {
            Ok(reader) => {
                let replay_from = position - position % segment_frames;
                self.open = Some(Open { id, reader, replay_from, position, slice_from: position });
                true
            }
            Err(error) => {
                let end = Some(Err(error.to_string()));
                slices.push(Slice { source: id, from: position, to: position, end });
                false
            }
        }
    }
}

/// The frame as the dataflow knows it; its pixels are moved, not copied.
fn numbered(source: SourceId, frame: kinetograph_pipelines::Frame) -> Frame {
    Frame {
        source,
        seq: frame.seq,
        pts_ns: frame.pts_ns,
        width: frame.width,
        height: frame.height,
        source_size: frame.source_size,
        rgb: Arc::new(frame.rgb),
    }
}
