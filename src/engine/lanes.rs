//! Reading sources in lanes. A lane reads its files one after the other, and every live source all the time: a slice of each an epoch.
//!
//! The lane of a source depends on its number alone, so that with `--batch` the same files give the same epochs on any
//! number of workers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crossbeam::channel::TryRecvError;
use kinetograph_dataflows::id::SourceId;
use kinetograph_dataflows::observe::frame::Frame;
use kinetograph_dataflows::observe::stream::Seen;
use kinetograph_pipelines::{Event as Read, Life, NamedSource, Reader};

use super::board::{Board, SourceState};
use super::events::{Event, Events};
use super::outputs::{Connected, Slice};

/// Frames taken from a source before the dataflow gets a turn: keeps few frames in memory at once.
const BURST: usize = 4;

/// A source that is still to be read.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its number.
    pub id: SourceId,
    /// The source.
    pub source: NamedSource,
    /// The first frame that is not committed.
    pub position: u64,
}

/// An order about a source to the lane that reads it.
#[derive(Clone, Debug)]
pub enum LaneOrder {
    /// Read it.
    Read(Waiting),
    /// Do not read it any more: it is paused or removed.
    Leave(SourceId, SourceState),
}

/// The surroundings of lanes: how they read, and who is told what they do.
pub struct Surroundings<'a> {
    /// The settings of reading videos.
    pub ingest: &'a kinetograph_pipelines::Settings,
    /// Frames of a segment.
    pub segment_frames: u64,
    /// Frames of each source in an epoch, at most.
    pub slice_frames: u64,
    /// Of live sources that gave frames before this run, the time of the last one, nanoseconds since 1970.
    pub last_seen: &'a BTreeMap<SourceId, u64>,
    /// Says that live sources may be connected: not while the state is restored, as nobody takes their frames then.
    pub connect: bool,
    /// The board, with what is known of each source.
    pub board: &'a Board,
    /// Who is told.
    pub events: &'a Events,
}

/// Sources that take turns.
#[derive(Default)]
pub struct Lane {
    /// Files behind the one that is being read.
    files: VecDeque<Waiting>,
    /// Live sources that are not connected yet.
    live: Vec<Waiting>,
    /// At most one file, and every connected live source.
    open: Vec<Open>,
    /// The places at which sources stood that were left: more may have been taken of them than is committed.
    left: HashMap<SourceId, Left>,
    /// True when something ended in this epoch, so that the file after it waits for the next.
    ended: bool,
}

/// The place at which a source stood when it was left.
#[derive(Clone, Copy, Default)]
struct Left {
    /// The first frame that was not taken.
    position: u64,
    /// Of a live source, the time of the last frame, nanoseconds since 1970.
    last_ns: u64,
    /// Says that it came to its end, which may not be committed yet.
    ended: bool,
}

struct Open {
    source: Waiting,
    reader: Reader,
    /// The first frame the vision code must see again: the start of the segment in which reading stopped.
    replay_from: u64,
    /// The first frame that is not taken.
    position: u64,
    /// The first frame of this epoch's slice.
    slice_from: u64,
    /// Of a live source, the connection.
    connection: Option<Connection>,
    /// Frames that were dropped before this connection.
    dropped_before: u64,
    /// True when its part of this epoch is complete.
    done: bool,
}

/// A connection with a live source as far as it has come.
struct Connection {
    /// The number of its first frame: the start of a segment, so that nothing is followed across a gap.
    first_seq: u64,
    /// The time of its first frame, nanoseconds since 1970; `None` before that came.
    start_ns: Option<u64>,
    /// The time of its last frame; before that came, of the last one of the connection before.
    last_ns: u64,
}

/// A lane's answer when it is asked for frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// Some frames; there may be more.
    Some,
    /// None were ready.
    None,
    /// The lane's part of this epoch is complete.
    Complete,
    /// The lane has nothing to read.
    Nothing,
}

impl Lane {
    /// Adds a source behind the others.
    pub fn push(&mut self, waiting: Waiting) {
        match waiting.source.source.life() {
            Life::Replayable => self.files.push_back(waiting),
            Life::Live => self.live.push(waiting),
        }
    }

    /// Tells whether nothing is left to read.
    pub fn exhausted(&self) -> bool {
        self.files.is_empty() && self.live.is_empty() && self.open.is_empty()
    }

    /// The sources that are being read.
    pub fn reading(&self) -> Vec<SourceId> {
        self.open.iter().map(|open| open.source.id).collect()
    }

    /// Tells whether the lane reads `source`, or will.
    fn has(&self, source: SourceId) -> bool {
        let waiting = self.files.iter().chain(&self.live).map(|waiting| waiting.id);
        waiting.chain(self.open.iter().map(|open| open.source.id)).any(|id| id == source)
    }

    /// Takes frames that are ready, at most so many that a source's slice holds `slice_frames`; gives them to `feed`.
    pub fn take(
        &mut self,
        around: &Surroundings<'_>,
        slices: &mut Vec<Slice>,
        mut feed: impl FnMut(Seen),
    ) -> Took {
        if self.exhausted() && !self.ended {
            return Took::Nothing;
        }
        self.open_next(around, slices);
        let (mut some, mut all_done) = (false, true);
        let mut at = 0;
        while at < self.open.len() {
            let took = self.open[at].take(around, slices, &mut feed);
            some |= took == Took::Some;
            all_done &= matches!(took, Took::Complete | Took::Nothing);
            if took == Took::Nothing {
                self.ended = true;
                self.open[at].tell_disconnected("it ended", around.events);
                // Waits for the reader's thread.
                let open = self.open.remove(at);
                self.left.insert(open.source.id, open.left(true));
            } else {
                at += 1;
            }
        }
        match (some, all_done) {
            (_, true) => Took::Complete,
            (true, false) => Took::Some,
            (false, false) => Took::None,
        }
    }

    /// Ends this epoch's slices with what was taken.
    pub fn complete(&mut self, slices: &mut Vec<Slice>) {
        self.open.iter_mut().filter(|open| !open.done).for_each(|open| open.complete(slices));
    }

    /// Ends `source` because `reason` keeps it from being gone on with, and its part of this epoch.
    pub fn fail(&mut self, source: SourceId, reason: String, slices: &mut Vec<Slice>) {
        if let Some(at) = self.open.iter().position(|open| open.source.id == source) {
            let mut open = self.open.remove(at);
            open.end(Err(reason), slices);
            self.left.insert(source, open.left(true));
            self.ended = true;
        }
    }

    /// Does what is asked for; what was taken of a source that is left is in this epoch's slice.
    pub fn obey(
        &mut self,
        order: LaneOrder,
        around: &Surroundings<'_>,
        slices: &mut Vec<Slice>,
        feed: impl FnOnce(Seen),
    ) {
        match order {
            LaneOrder::Read(mut waiting) => {
                let left = self.left.get(&waiting.id).copied().unwrap_or_default();
                waiting.position = waiting.position.max(left.position);
                // Asked for twice before it was looked at, it is read once; and what has ended is not read again, though whoever
                // asked did not know yet.
                let over = left.ended && waiting.source.source.life() == Life::Replayable;
                if !over && !self.has(waiting.id) {
                    around.board.change(waiting.id, |status| status.state = SourceState::Waiting);
                    self.push(waiting);
                }
            }
            LaneOrder::Leave(id, state) => {
                // One that has ended meanwhile is not here any more, and stays ended.
                if !self.has(id) {
                    return;
                }
                around.board.change(id, |status| (status.state, status.queued) = (state, 0));
                for waiting in self.files.iter().chain(&self.live).filter(|waiting| waiting.id == id) {
                    self.left.entry(id).or_default().position = waiting.position;
                }
                self.files.retain(|waiting| waiting.id != id);
                self.live.retain(|waiting| waiting.id != id);
                let Some(at) = self.open.iter().position(|open| open.source.id == id) else { return };
                feed(Seen::End(id));
                let open = self.open.remove(at);
                self.left.insert(id, open.left(false));
                let reason = if state == SourceState::Paused { "paused" } else { "removed" };
                open.tell_disconnected(reason, around.events);
                open.leave(reason, slices);
            }
        }
    }

    /// Begins the next epoch.
    pub fn next_epoch(&mut self) {
        self.ended = false;
        for open in &mut self.open {
            open.done = false;
            open.slice_from = open.position;
        }
    }

    /// Opens the next file when none is open, and every live source; a source that cannot be opened ends here.
    fn open_next(&mut self, around: &Surroundings<'_>, slices: &mut Vec<Slice>) {
        let file_open = self.ended || self.open.iter().any(|open| open.connection.is_none());
        let file = if file_open { None } else { self.files.pop_front() };
        let live = if around.connect { std::mem::take(&mut self.live) } else { Vec::new() };
        for waiting in live.into_iter().chain(file) {
            let (id, position) = (waiting.id, waiting.position);
            let left = self.left.get(&id).map_or(0, |left| left.last_ns);
            match Open::at(waiting, left, around) {
                Ok(open) => self.open.push(open),
                Err(reason) => {
                    self.left.insert(id, Left { position, last_ns: left, ended: true });
                    let end = Some(Err(reason));
                    slices.push(Slice { source: id, from: position, to: position, end, connected: None });
                    self.ended = true;
                }
            }
        }
    }
}

impl Open {
    /// Opens `source`; a live one was last seen at `left_ns` in this run.
    fn at(source: Waiting, left_ns: u64, around: &Surroundings<'_>) -> Result<Self, String> {
        let live = source.source.source.life() == Life::Live;
        let reader = source.source.source.open(around.ingest).map_err(|error| error.to_string())?;
        let segment = around.segment_frames;
        let last_ns = around.last_seen.get(&source.id).copied().unwrap_or(0).max(left_ns);
        let position = if live { source.position.next_multiple_of(segment) } else { source.position };
        let mut dropped_before = 0;
        around.board.change(source.id, |status| {
            (status.state, status.reason) = (SourceState::Running, None);
            status.connections += u64::from(live);
            dropped_before = status.dropped;
        });
        let uri = source.source.uri().to_owned();
        around.events.tell(Event::SourceOpened { id: source.id.0, uri, position });
        let connection = live.then_some(Connection { first_seq: position, start_ns: None, last_ns });
        let replay_from = position - position % segment;
        Ok(Open {
            source,
            reader,
            replay_from,
            position,
            slice_from: position,
            connection,
            dropped_before,
            done: false,
        })
    }

    fn take(
        &mut self,
        around: &Surroundings<'_>,
        slices: &mut Vec<Slice>,
        feed: &mut impl FnMut(Seen),
    ) -> Took {
        if self.done {
            return Took::Complete;
        }
        let id = self.source.id;
        let queued = self.reader.receiver().len() as u64;
        let dropped = self.dropped_before + self.reader.dropped();
        around.board.change(id, |status| (status.queued, status.dropped) = (queued, dropped));
        for taken in 0..BURST {
            if self.position - self.slice_from >= around.slice_frames {
                self.complete(slices);
                return Took::Complete;
            }
            match self.reader.receiver().try_recv() {
                Ok(Read::Frame(frame)) => {
                    if let Some((frame, replayed)) = self.numbered(frame) {
                        feed(Seen::Frame { frame, replayed });
                    }
                }
                Ok(Read::End(end)) => {
                    feed(Seen::End(id));
                    self.end(end.error.map_or(Ok(()), |error| Err(error.to_string())), slices);
                    return Took::Nothing;
                }
                Err(TryRecvError::Empty) if taken == 0 => return Took::None,
                Err(TryRecvError::Empty) => return Took::Some,
                Err(TryRecvError::Disconnected) => {
                    feed(Seen::End(id));
                    self.end(Err("its reader ended without a word".to_string()), slices);
                    return Took::Nothing;
                }
            }
        }
        Took::Some
    }

    /// The frame as the dataflow knows it, its pixels moved and not copied, and whether it was committed before; `None` for one that
    /// need not be seen again.
    fn numbered(&mut self, frame: kinetograph_pipelines::Frame) -> Option<(Frame, bool)> {
        let (seq, pts_ns) = match &mut self.connection {
            None => (frame.seq, frame.pts_ns),
            Some(connection) => {
                // A clock that was put back must not make the times of a source go back.
                let after = connection.last_ns + 1;
                // It was decoded before it was taken.
                let start =
                    connection.start_ns.get_or_insert_with(|| self.reader.first_frame_ns().max(after));
                let start = *start;
                connection.last_ns = start.saturating_add(frame.pts_ns);
                (connection.first_seq + frame.seq, connection.last_ns)
            }
        };
        if seq < self.replay_from {
            return None;
        }
        let replayed = seq < self.position;
        self.position = self.position.max(seq + 1);
        let frame = Frame {
            source: self.source.id,
            seq,
            pts_ns,
            width: frame.width,
            height: frame.height,
            source_size: frame.source_size,
            rgb: Arc::new(frame.rgb),
        };
        Some((frame, replayed))
    }

    fn complete(&mut self, slices: &mut Vec<Slice>) {
        if self.position > self.slice_from {
            self.slice(None, None, slices);
        }
        // What is told is not told again when the source ends or is left in this epoch.
        self.slice_from = self.position;
        self.done = true;
    }

    fn end(&mut self, end: Result<(), String>, slices: &mut Vec<Slice>) {
        let reason = end.clone().err().unwrap_or_else(|| "it ended".to_owned());
        self.slice(Some(end), Some(reason), slices);
        self.done = true;
    }

    /// The place at which it stands.
    fn left(&self, ended: bool) -> Left {
        let last_ns = self.connection.as_ref().map_or(0, |connection| connection.last_ns);
        Left { position: self.position, last_ns, ended }
    }

    /// Tells that a gap begins, if the source is live.
    fn tell_disconnected(&self, reason: &str, events: &Events) {
        if self.connection.is_some() {
            let (id, uri) = (self.source.id.0, self.source.source.uri().to_owned());
            events.tell(Event::SourceDisconnected { id, uri, reason: reason.to_owned() });
        }
    }

    /// It may be gone on with.
    fn leave(&self, reason: &str, slices: &mut Vec<Slice>) {
        let connected = self.connection.as_ref().is_some_and(|connection| connection.start_ns.is_some());
        if self.position > self.slice_from || connected {
            self.slice(None, Some(reason.to_owned()), slices);
        }
    }

    fn slice(&self, end: Option<Result<(), String>>, broken: Option<String>, slices: &mut Vec<Slice>) {
        let connected = self.connection.as_ref().and_then(|connection| {
            Some(Connected {
                first_seq: connection.first_seq,
                first_ns: connection.start_ns?,
                last_ns: connection.last_ns,
                dropped: self.reader.dropped(),
                ended: broken,
            })
        });
        slices.push(Slice {
            source: self.source.id,
            from: self.slice_from,
            to: self.position,
            end,
            connected,
        });
    }
}
