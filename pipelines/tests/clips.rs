//! Videos for the tests: the shared ones, and small ones made on the spot.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use kinetograph_pipelines::{End, Event, Frame, IngestError, NamedSource, Reader, Settings};

/// The shared videos' folder, or `None` (with a printed line) where it is not there.
pub(crate) fn data() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("KINETOGRAPH_DATA").map_or_else(default, PathBuf::from);
    if folder.join("MANIFEST.tsv").is_file() {
        return Some(folder);
    }
    println!("skipped: no videos at {}; set KINETOGRAPH_DATA", folder.display());
    None
}

/// Runs a `gst-launch` line to its end; `None` (with a printed line) where an element of it is not installed.
pub(crate) fn make(line: &str) -> Option<()> {
    gst::init().unwrap();
    let pipeline = match gst::parse::launch(line) {
        Ok(pipeline) => pipeline,
        Err(error) => {
            println!("skipped: {error}");
            return None;
        }
    };
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends).unwrap();
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    Some(())
}

/// Everything a reader gives, with a limit on the wait for each event.
pub(crate) fn drain(reader: &Reader) -> (Vec<Frame>, End) {
    let mut frames = Vec::new();
    loop {
        match reader.receiver().recv_timeout(Duration::from_secs(60)).expect("an event within a minute") {
            Event::Frame(frame) => frames.push(frame),
            Event::End(end) => {
                let after = reader.receiver().recv_timeout(Duration::from_secs(60));
                assert!(after.is_err(), "nothing comes after the end");
                assert_eq!(end.frames, frames.len() as u64);
                check_order(&frames);
                return (frames, end);
            }
        }
    }
}

fn check_order(frames: &[Frame]) {
    for (seq, frame) in frames.iter().enumerate() {
        assert_eq!(frame.seq, seq as u64);
        assert_eq!(frame.rgb.len(), frame.width * frame.height * 3);
    }
    assert!(frames.first().is_none_or(|first| first.pts_ns == 0));
    assert!(frames.windows(2).all(|pair| pair[0].pts_ns < pair[1].pts_ns), "times grow");
}

/// Opens with the default settings and reads to the end; what `open` refuses comes as an end without frames.
pub(crate) fn read(source: &NamedSource) -> (Vec<Frame>, End) {
    match source.source.open(&Settings::default()) {
        Ok(reader) => drain(&reader),
        Err(error) => (Vec::new(), End { frames: 0, error: Some(error) }),
    }
}

/// As [`read`], of a path.
pub(crate) fn read_path(path: &Path) -> (Vec<Frame>, End) {
    read(&NamedSource::from_path(path).unwrap())
}

/// The error of a file that gives no frame at all.
pub(crate) fn refusal(path: &Path) -> IngestError {
    let (frames, end) = read_path(path);
    assert!(frames.is_empty(), "{end:?}");
    end.error.expect("an error")
}
