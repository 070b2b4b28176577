//! Frames flow numbered, timed, sized, held back by a full queue, and stopped at once.

use std::time::{Duration, Instant};

use crate::clips::{drain, make, read, read_path};
use crossbeam::channel::bounded;
use kinetograph_pipelines::{Event, IngestError, Life, NamedSource, Settings};

fn test_source(query: &str) -> NamedSource {
    NamedSource::from_uri(&format!("test://?{query}")).unwrap()
}

#[test]
fn a_test_picture_is_finite_and_the_same_every_time() {
    let source = test_source("frames=75&width=33&height=21&fps=25&pattern=ball");
    let (frames, end) = read(&source);
    assert_eq!((frames.len(), end.error), (75, None));
    assert!(frames.iter().all(|frame| (frame.width, frame.height) == (33, 21)));
    assert_eq!(frames[74].pts_ns, 74 * 40_000_000);
    assert_ne!(frames[0].rgb, frames[40].rgb, "the ball moves");
    assert!(read(&source).0 == frames);
}

#[test]
fn pixels_are_rgb_without_padding() {
    // 33 columns make a row of 99 bytes, which GStreamer pads to 100.
    for (pattern, pixel) in [("red", [255, 0, 0]), ("green", [0, 255, 0]), ("blue", [0, 0, 255])] {
        let (frames, _) = read(&test_source(&format!("frames=1&width=33&height=21&pattern={pattern}")));
        assert!(frames[0].rgb.chunks(3).all(|got| got == pixel), "{pattern}");
    }
}

#[test]
fn large_pictures_are_scaled_down_and_small_ones_left_alone() {
    for (width, height, want) in [
        (1280, 720, (320, 180)),
        (719, 1281, (180, 320)),
        (320, 240, (320, 240)),
        (17, 31, (17, 31)),
        (641, 7, (320, 3)),
    ] {
        let source = test_source(&format!("frames=2&width={width}&height={height}"));
        let settings = Settings { max_side: 320, ..Settings::default() };
        let (frames, _) = drain(&source.source.open(&settings).unwrap());
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[1].width, frames[1].height), want);
        assert_eq!(frames[1].source_size, (width, height));
    }
}

#[test]
fn bad_settings_are_named() {
    let source = test_source("frames=1");
    for (settings, named) in [
        (Settings { max_side: 0, ..Settings::default() }, "max_side"),
        (Settings { queue_frames: 0, ..Settings::default() }, "queue_frames"),
        (Settings { stall_timeout_s: 0, ..Settings::default() }, "stall_timeout_s"),
        (Settings { decoder_threads: 99, ..Settings::default() }, "decoder_threads"),
    ] {
        let error = source.source.open(&settings).err().unwrap();
        assert!(matches!(&error, IngestError::BadSetting { setting, .. } if *setting == named), "{error}");
    }
}

#[test]
fn a_slow_reader_loses_no_frame() {
    let settings = Settings { queue_frames: 1, ..Settings::default() };
    let reader = test_source("frames=200&width=64&height=48").source.open(&settings).unwrap();
    for want in 0..60 {
        std::thread::sleep(Duration::from_millis(2));
        let event = reader.receiver().recv().unwrap();
        assert!(matches!(&event, Event::Frame(frame) if frame.seq == want), "{event:?}");
    }
    let rest = reader.receiver().iter().filter(|event| matches!(event, Event::Frame(_))).count();
    assert_eq!(rest, 140);
}

#[test]
fn a_full_queue_holds_the_decoder_back() {
    let settings = Settings { queue_frames: 4, ..Settings::default() };
    let reader = test_source("frames=100000").source.open(&settings).unwrap();
    wait_until_full(reader.receiver());
    assert_eq!(reader.receiver().len(), 4);
}

fn wait_until_full(queue: &crossbeam::channel::Receiver<Event>) {
    let started = Instant::now();
    while !queue.is_full() {
        assert!(started.elapsed() < Duration::from_secs(30), "the queue fills");
        std::thread::yield_now();
    }
}

/// Drops `value` on a thread of its own and fails when that takes too long.
fn drop_in_time<T: Send + 'static>(value: T) {
    let (done, waits) = bounded(1);
    std::thread::spawn(move || {
        drop(value);
        done.send(()).unwrap();
    });
    waits.recv_timeout(Duration::from_secs(30)).expect("dropped within half a minute");
}

#[test]
fn dropping_a_reader_midway_ends_it_also_when_the_queue_is_full_and_shared() {
    let mut sources =
        vec![test_source("frames=1000000"), test_source("frames=1000000&width=1920&height=1080")];
    if let Some(data) = crate::clips::data() {
        for video in ["tracking/tlp_carchase2.mp4", "tracking/otb_dog1.webm", "tracking/otb_jogging.ts"] {
            sources.push(NamedSource::from_path(&data.join(video)).unwrap());
        }
    }
    for source in &sources {
        drop_in_time(source.source.open(&Settings::default()).unwrap());

        let reader = source.source.open(&Settings::default()).unwrap();
        assert!(matches!(reader.receiver().recv(), Ok(Event::Frame(_))));
        drop_in_time(reader);

        let reader = source.source.open(&Settings { queue_frames: 2, ..Settings::default() }).unwrap();
        wait_until_full(reader.receiver());
        let shared = reader.receiver().clone();
        drop_in_time(reader);
        assert_eq!(shared.iter().count(), 2, "what was queued is still there, and then the queue is closed");
    }
}

#[test]
fn a_size_that_changes_midway_reaches_each_frame() {
    let folder = tempfile::tempdir().unwrap();
    let mut joined = Vec::new();
    for (count, width, height) in [(20, 320, 240), (15, 1280, 720), (10, 160, 120)] {
        let path = folder.path().join("part.h264");
        let line = format!(
            "videotestsrc num-buffers={count} ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 \
             ! x264enc bframes=0 ! video/x-h264,stream-format=byte-stream,alignment=au ! filesink location={}",
            path.display()
        );
        let Some(()) = make(&line) else { return };
        joined.extend(std::fs::read(&path).unwrap());
    }
    let path = folder.path().join("joined.h264");
    std::fs::write(&path, joined).unwrap();
    let (frames, end) = read_path(&path);
    assert_eq!((frames.len(), end.error), (45, None));
    for frame in &frames {
        let (source_size, size) = match frame.seq {
            0..20 => ((320, 240), (320, 240)),
            20..35 => ((1280, 720), (640, 360)),
            _ => ((160, 120), (160, 120)),
        };
        assert_eq!((frame.source_size, (frame.width, frame.height)), (source_size, size), "{frame:?}");
    }
}

#[test]
fn pixels_that_are_not_square_are_made_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.mkv");
    let line = format!(
        "videotestsrc num-buffers=5 ! video/x-raw,width=360,height=288,pixel-aspect-ratio=64/45 \
         ! x264enc ! matroskamux ! filesink location={}",
        path.display()
    );
    let Some(()) = make(&line) else { return };
    let (frames, _) = read_path(&path);
    assert_eq!(frames.len(), 5);
    assert_eq!((frames[0].source_size, frames[0].width, frames[0].height), ((360, 288), 360, 203));
}

#[test]
fn frames_without_times_follow_the_frame_rate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bare.h264");
    let line = format!(
        "videotestsrc num-buffers=50 ! video/x-raw,width=64,height=48,framerate=25/1 ! x264enc bframes=2 \
         ! video/x-h264,stream-format=byte-stream ! filesink location={}",
        path.display()
    );
    let Some(()) = make(&line) else { return };
    let (frames, end) = read_path(&path);
    assert_eq!((frames.len(), end.error), (50, None));
    assert!(frames[49].pts_ns.abs_diff(49 * 40_000_000) < 100_000_000, "{}", frames[49].pts_ns);
}

#[test]
fn a_live_source_does_not_wait_and_counts_what_it_drops() {
    let source = test_source("frames=endless&width=64&height=48&fps=100");
    assert_eq!(source.source.life(), Life::Live);
    let settings = Settings { queue_frames: 4, ..Settings::default() };
    let started = Instant::now();
    let reader = source.source.open(&settings).unwrap();
    while reader.dropped() < 10 {
        assert!(started.elapsed() < Duration::from_secs(30), "{} dropped", reader.dropped());
        std::thread::sleep(Duration::from_millis(5));
    }
    // The four that waited, then what comes now: numbered without a hole, the time of what was dropped kept.
    let frames: Vec<_> = (0..8)
        .map(|_| match reader.receiver().recv().unwrap() {
            Event::Frame(frame) => frame,
            Event::End(end) => panic!("{end:?}"),
        })
        .collect();
    assert_eq!(frames.iter().map(|frame| frame.seq).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    assert!(frames[4].pts_ns - frames[3].pts_ns > 50_000_000, "{frames:?}");
    // It comes at its rate, not as fast as it can be made.
    assert!(started.elapsed() > Duration::from_millis(170), "{:?}", started.elapsed());
}
