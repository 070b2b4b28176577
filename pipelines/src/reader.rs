//! One source being read: its pipeline, its thread and its queue.

use std::convert::Infallible;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, Sender, TryRecvError, TrySendError, bounded, select};
use gstreamer as gst;
use gstreamer_video as video;

use crate::clock::Clock;
use crate::container::{lacks_index, stated_length_if_cut};
use crate::error::IngestError;
use crate::frame::{End, Event, Frame, packed};
use crate::pipeline::{Pipeline, source_size};
use crate::settings::Settings;
use crate::trouble::Trouble;

/// The time that one look for a frame lasts before the bus and the stop signal get theirs.
const LOOK: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// After an error, when nothing came for as long, nothing more will.
const LAST_FRAMES: Duration = Duration::from_secs(2);

/// A source being read. Dropping it stops the pipeline and waits for its thread, also when the queue is full.
#[derive(Debug)]
pub struct Reader {
    events: Receiver<Event>,
    dropped: Arc<AtomicU64>,
    first_frame_ns: Arc<AtomicU64>,
    /// Its end is the signal to stop.
    stop: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// The queue: frames in order, then one [`Event::End`], after which it is closed. A full queue makes the decoding of a
    /// replayable source wait; a live source drops the frame.
    pub fn receiver(&self) -> &Receiver<Event> {
        &self.events
    }

    /// The wall clock when the first frame was decoded, nanoseconds since 1970; 0 before.
    pub fn first_frame_ns(&self) -> u64 {
        self.first_frame_ns.load(Ordering::Relaxed)
    }

    /// Frames of a live source that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The thread has no panics of its own; one from below must not take the engine along.
            if thread.join().is_err() {
                tracing::error!("an ingest thread panicked");
            }
        }
    }
}

/// The fate of a frame that finds the queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// Decoding waits for the reader.
    Wait,
    /// The frame is dropped and counted: a live source does not wait.
    Drop,
}

/// Reads what `pipeline` gives of the source at `place` on a thread of its own. `file` is the one that is read, if there is one.
pub(crate) fn read(
    place: String,
    file: Option<File>,
    pipeline: Pipeline,
    overflow: Overflow,
    settings: &Settings,
) -> Result<Reader, IngestError> {
    let (to_reader, events) = bounded(settings.queue_frames);
    let (stop, stopped) = bounded(0);
    let dropped = Arc::new(AtomicU64::new(0));
    let first_frame_ns = Arc::new(AtomicU64::new(0));
    let feed = Feed {
        place,
        file,
        pipeline,
        stall: Duration::from_secs(settings.stall_timeout_s),
        to_reader,
        overflow,
        dropped: dropped.clone(),
        first_frame_ns: first_frame_ns.clone(),
        stopped,
        clock: Clock::default(),
        frames: 0,
        source_size: (0, 0),
    };
    let thread = std::thread::Builder::new().name("ingest".to_owned()).spawn(move || feed.run());
    let thread = thread.map_err(|error| IngestError::GStreamer { reason: format!("no thread ({error})") })?;
    Ok(Reader { events, dropped, first_frame_ns, stop: Some(stop), thread: Some(thread) })
}

/// The reader is gone.
struct Stopped;

/// The parts that the thread of one source works with.
struct Feed {
    place: String,
    file: Option<File>,
    pipeline: Pipeline,
    stall: Duration,
    to_reader: Sender<Event>,
    overflow: Overflow,
    dropped: Arc<AtomicU64>,
    first_frame_ns: Arc<AtomicU64>,
    stopped: Receiver<Infallible>,
    clock: Clock,
    frames: u64,
    source_size: (usize, usize),
}

impl Feed {
    fn run(mut self) {
        if let Ok(error) = self.pump() {
            let end = End { frames: self.frames, error };
            // An error here only says that the reader left meanwhile.
            let _: Result<(), Stopped> = self.send(Event::End(end));
        }
    }

    /// Hands over frames until the source ends, and says what was wrong with it.
    fn pump(&mut self) -> Result<Option<IngestError>, Stopped> {
        let mut trouble = Trouble::default();
        // Told here because decodebin at times swallows the demuxer's error for it and falls silent.
        if self.file.as_mut().is_some_and(|file| lacks_index(file).unwrap_or(false)) {
            let reason = self.cut_short().unwrap_or_else(|| "not complete".to_owned());
            let reason = format!("{reason}, and its index (moov) is missing");
            return Ok(Some(self.damaged(reason)));
        }
        let refused = self.pipeline.start().is_err();
        let mut last_sign = Instant::now();
        loop {
            if self.stopped.try_recv() == Err(TryRecvError::Disconnected) {
                return Err(Stopped);
            }
            let was_fatal = trouble.is_fatal();
            while let Some(message) = self.pipeline.bus.pop() {
                trouble.note(&self.place, &message);
                last_sign = Instant::now();
            }
            if refused {
                let error = trouble.verdict(&self.place, self.frames);
                let reason = "the pipeline does not start".to_owned();
                return Ok(Some(error.unwrap_or(IngestError::GStreamer { reason })));
            }
            if trouble.is_fatal() && !was_fatal && (trouble.is_undecodable() || !self.pipeline.flush_out()) {
                break;
            }
            match self.pipeline.sink.try_pull_object(LOOK) {
                Some(object) => {
                    if let Err(error) = self.take(object)? {
                        return Ok(Some(error));
                    }
                    last_sign = Instant::now();
                }
                None if self.pipeline.sink.is_eos() => break,
                None if trouble.is_fatal() && last_sign.elapsed() > LAST_FRAMES => break,
                None if last_sign.elapsed() > self.stall => {
                    let (place, frames) = (self.place.clone(), self.frames);
                    let stalled = IngestError::Stalled { place, seconds: self.stall.as_secs(), frames };
                    return Ok(Some(self.cut_short().map_or(stalled, |reason| self.damaged(reason))));
                }
                None => {}
            }
        }
        // An error announced just before the end.
        while let Some(message) = self.pipeline.bus.pop() {
            trouble.note(&self.place, &message);
        }
        Ok(self.verdict(&trouble))
    }

    /// Hands over one frame, or takes note of what comes before the next.
    fn take(&mut self, object: gst::MiniObject) -> Result<Result<(), IngestError>, Stopped> {
        let sample = match object.downcast::<gst::Sample>() {
            Ok(sample) => sample,
            Err(other) => {
                if let Some(event) = other.downcast_ref::<gst::Event>() {
                    self.source_size = source_size(event).unwrap_or(self.source_size);
                }
                return Ok(Ok(()));
            }
        };
        let Some(frame) = self.frame(&sample) else {
            let reason = "a decoded picture cannot be read".to_owned();
            return Ok(Err(self.damaged(reason)));
        };
        if self.first_frame_ns.load(Ordering::Relaxed) == 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
            self.first_frame_ns.store(now, Ordering::Relaxed);
        }
        if self.overflow == Overflow::Drop {
            match self.to_reader.try_send(Event::Frame(frame)) {
                Ok(()) => self.frames += 1,
                Err(TrySendError::Full(_)) => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
                Err(TrySendError::Disconnected(_)) => return Err(Stopped),
            }
            return Ok(Ok(()));
        }
        self.send(Event::Frame(frame))?;
        self.frames += 1;
        Ok(Ok(()))
    }

    fn frame(&mut self, sample: &gst::SampleRef) -> Option<Frame> {
        let buffer = sample.buffer()?;
        let info = video::VideoInfo::from_caps(sample.caps()?).ok()?;
        let picture = video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
        let rgb = packed(&picture)?;
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let time = segment.zip(buffer.pts()).and_then(|(segment, pts)| segment.to_running_time(pts));
        let rate = (info.fps().numer(), info.fps().denom());
        Some(Frame {
            seq: self.frames,
            pts_ns: self.clock.stamp(time.map(gst::ClockTime::nseconds), rate),
            width: info.width() as usize,
            height: info.height() as usize,
            source_size: self.source_size,
            rgb,
        })
    }

    fn send(&self, event: Event) -> Result<(), Stopped> {
        select! {
            send(self.to_reader, event) -> sent => sent.map_err(|_| Stopped),
            recv(self.stopped) -> _ => Err(Stopped),
        }
    }

    /// Returns what was wrong with a source that came to an end.
    fn verdict(&mut self, trouble: &Trouble) -> Option<IngestError> {
        let announced = trouble.verdict(&self.place, self.frames);
        let broken_off = matches!(announced, None | Some(IngestError::Damaged { .. }));
        if let (true, Some(reason)) = (broken_off, self.cut_short()) {
            return Some(self.damaged(reason));
        }
        if announced.is_none() && self.frames == 0 {
            return Some(self.damaged("it ends before its first picture".to_owned()));
        }
        announced
    }

    fn damaged(&self, reason: String) -> IngestError {
        IngestError::Damaged { place: self.place.clone(), frames: self.frames, reason }
    }

    /// Says so when the file is shorter than its container claims.
    fn cut_short(&mut self) -> Option<String> {
        let file = self.file.as_mut()?;
        let stated = stated_length_if_cut(file).ok().flatten()?;
        let actual = file.metadata().ok()?.len();
        Some(format!("cut short: {actual} bytes of {stated}"))
    }
}

#[cfg(test)]
mod tests {
    use gstreamer::prelude::*;

    use super::*;
    use crate::pipeline::Head;
    use crate::test_pattern::TestPattern;

    /// Starts a test picture whose pipeline goes silent before the given frame.
    fn silent_from(frame: u64) -> Receiver<Event> {
        let pattern = TestPattern::parse("test://").unwrap();
        let pipeline = Pipeline::build(&Head::Test(&pattern), &Settings::default()).unwrap();
        let count = std::sync::atomic::AtomicU64::new(0);
        let pad = pipeline.sink.static_pad("sink").unwrap();
        let kind = gst::PadProbeType::BUFFER | gst::PadProbeType::BLOCK;
        pad.add_probe(kind, move |_, _| {
            let before = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if before >= frame { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Pass }
        });
        let (to_reader, events) = bounded(100);
        let (stop, stopped) = bounded(0);
        let feed = Feed {
            place: "still".to_owned(),
            file: None,
            pipeline,
            stall: Duration::from_secs(1),
            to_reader,
            overflow: Overflow::Wait,
            dropped: Arc::default(),
            first_frame_ns: Arc::default(),
            stopped,
            clock: Clock::default(),
            frames: 0,
            source_size: (0, 0),
        };
        std::thread::spawn(move || {
            feed.run();
            drop(stop);
        });
        events
    }

    #[test]
    fn a_pipeline_that_goes_silent_is_given_up() {
        for frames in [0, 7] {
            let got: Vec<Event> = silent_from(frames).iter().collect();
            assert_eq!(got.len() as u64, frames + 1);
            let error = IngestError::Stalled { place: "still".to_owned(), seconds: 1, frames };
            assert_eq!(got.last(), Some(&Event::End(End { frames, error: Some(error) })));
        }
    }
}
