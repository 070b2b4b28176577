//! A running engine through its handle: what it tells, and sources that come, rest and go while it runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use kinetograph::config::Config;
use kinetograph::engine::Options;
use kinetograph::engine::board::{SourceState, SourceStatus};
use kinetograph::engine::control::ControlError;
use kinetograph::engine::events::Event;
use kinetograph::engine::lifecycle::Phase;
use kinetograph::engine::{RunHandle, start, start_over};
use kinetograph::state::State;
use kinetograph_dataflows::id::SourceId;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn config() -> Config {
    let mut config = Config::default();
    config.engine.slice_frames = 8;
    config.engine.tick_ms = 20;
    config.observe.segment_frames = 32;
    config.track.frames = 10;
    config.graph.closure.min_cluster = 3;
    config
}

fn options(state: &Path, sources: &[&str]) -> Options {
    let sources = sources.iter().map(ToString::to_string).collect();
    Options { sources, workers: 2, ..Options::new(state) }
}

fn begin(state: &Path, sources: &[&str]) -> RunHandle {
    start(&config(), &options(state, sources)).unwrap()
}

/// Waits until `reached` says so of the status.
fn until(run: &RunHandle, what: &str, reached: impl Fn(&[SourceStatus]) -> bool) {
    let since = Instant::now();
    loop {
        let status = run.status();
        if reached(&status.sources) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "{what} did not come: {status:#?}");
        assert!(!run.is_over(), "the run ended before {what}: {status:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn of(sources: &[SourceStatus], id: u32) -> &SourceStatus {
    sources.iter().find(|source| source.id == id).unwrap()
}

/// Waits for an event.
fn event(events: &Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.recv_timeout(PATIENCE).unwrap();
        if wanted(&event) {
            return event;
        }
    }
}

/// Digests of the state's collections.
fn digests(state: &Path) -> BTreeMap<String, String> {
    let stats = kinetograph::stats::stats(&State::open_read(state).unwrap(), 10).unwrap();
    let json = serde_json::to_value(&stats).unwrap();
    serde_json::from_value(json["digests"].clone()).unwrap()
}

/// Frames of `source` that were taken, epoch by epoch, must follow each other without a hole or a repetition.
fn assert_taken_once(state: &Path, source: SourceId, live: bool) {
    let state = State::open_read(state).unwrap();
    let log = state.view().unwrap().log(0).unwrap();
    let slices = log.values().flat_map(|log| &log.slices).filter(|slice| slice.0 == source);
    let mut next = 0;
    for (_, from, to) in slices {
        let begins = if live { from.is_multiple_of(32) && *from >= next } else { false };
        assert!(*from == next || begins, "source {}: {from} after {next}", source.0);
        next = *to;
    }
    assert!(next > 0, "source {}", source.0);
}

#[test]
fn five_sources_without_an_end_on_four_lanes_all_give_frames() {
    let dir = tempfile::tempdir().unwrap();
    let sources: Vec<String> =
        (0..5).map(|i| format!("test://{i}?frames=endless&width=96&height=64&fps=60")).collect();
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    assert_eq!(config().engine.lanes, 4);
    let run = begin(dir.path(), &sources);
    until(&run, "100 frames of each", |all| all.len() == 5 && all.iter().all(|source| source.frames >= 100));
    let frames: Vec<u64> = run.status().sources.iter().map(|source| source.frames).collect();
    let (least, most) = (frames.iter().min().unwrap(), frames.iter().max().unwrap());
    assert!(most - least < most / 2 + 16, "the sources do not share the turns: {frames:?}");
    assert!(run.status().sources.iter().all(|source| source.live));
    run.stop();
    let report = run.join().unwrap();
    assert_eq!(report.sources_failed, []);
}

#[test]
fn a_live_source_begins_a_segment_at_each_connection_and_what_it_missed_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let uri = "test://?frames=endless&width=96&height=64&fps=100";
    let run = begin(dir.path(), &[uri]);
    until(&run, "frames", |all| !all.is_empty() && all[0].frames > 40);
    run.pause(SourceId(0)).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    run.resume(SourceId(0)).unwrap();
    until(&run, "a second connection", |all| all[0].connections == 2);
    let before = run.status().sources[0].frames;
    until(&run, "frames of it", |all| all[0].frames > before + 40);
    run.stop();
    run.join().unwrap();
    // And a third connection by another run.
    let run = begin(dir.path(), &[uri]);
    until(&run, "frames of another run", |all| !all.is_empty() && all[0].frames > 10);
    run.stop();
    run.join().unwrap();

    assert_taken_once(dir.path(), SourceId(0), true);
    let state = State::open_read(dir.path()).unwrap();
    let view = state.view().unwrap();
    let connections = view.connections().unwrap();
    assert_eq!(connections.len(), 3);
    assert!(connections.keys().all(|(_, first)| first.is_multiple_of(32)), "{connections:?}");
    let gaps = view.gaps().unwrap();
    let reasons: Vec<&str> = gaps.iter().map(|gap| gap.reason.as_str()).collect();
    assert_eq!(reasons, ["paused", "the engine was not running"]);
    assert!(gaps[0].to_ns - gaps[0].from_ns >= 150_000_000, "{gaps:?}");
    // Nodes of both sides of a gap are as far apart in time as they were.
    for window in view.nodes().unwrap().values().collect::<Vec<_>>().windows(2) {
        if window[0].seq < window[1].seq {
            assert!(window[0].pts_ns < window[1].pts_ns, "{window:?}");
        }
    }
    drop(view);
    let shown = kinetograph::stats::stats(&state, 10).unwrap().to_string();
    assert!(shown.contains("2 gaps"), "{shown}");
    drop(state);

    // Forgotten, nothing tells any more when it was watched.
    let forget = Command::new(env!("CARGO_BIN_EXE_kinetograph"))
        .args(["forget", "--source", uri, "--state"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(forget.status.success(), "{}", String::from_utf8_lossy(&forget.stderr));
    let state = State::open_read(dir.path()).unwrap();
    let view = state.view().unwrap();
    assert!(view.sources().unwrap()[&SourceId(0)].forgotten);
    assert_eq!((view.connections().unwrap().len(), view.source_decisions().unwrap().len()), (0, 0));
}

#[test]
fn a_source_that_is_added_gets_its_number_in_a_transaction_and_every_run_after_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let first = options(dir.path(), &["test://first?frames=40&width=96&height=64"]);
    let run = start_over(state.clone(), &config(), &first).unwrap();
    let events = run.events();
    let added = run.add("test://second?frames=5000&width=320&height=240").unwrap();
    assert_eq!((added.len(), added[0].id, added[0].state), (1, 1, SourceState::Waiting));
    // It is durable when the answer comes, whatever happens next.
    assert_eq!(state.view().unwrap().sources().unwrap()[&SourceId(1)].uri, added[0].uri);
    assert_eq!(state.view().unwrap().source_decisions().unwrap().len(), 1);
    drop(state);
    event(&events, |event| matches!(event, Event::SourceAdded { id: 1, .. }));
    until(&run, "frames of the second", |all| of(all, 1).frames > 20);
    let again = run.add("test://second?frames=5000&width=320&height=240").unwrap_err();
    assert!(matches!(again, ControlError::State { .. }), "{again}");
    drop(run);

    // Not named any more, it is read on all the same.
    let run = begin(dir.path(), &[]);
    until(&run, "the second to be read on", |all| {
        all.iter().any(|source| source.id == 1 && source.frames > 0)
    });
    let status = run.status();
    assert_eq!(status.sources.len(), 1);
    assert!(status.sources[0].position > status.sources[0].frames, "{status:#?}");
    drop(run);
    assert_taken_once(dir.path(), SourceId(1), false);
}

#[test]
fn a_source_that_rests_or_goes_does_so_for_later_runs_too() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) =
        ("test://a?frames=100000&width=160&height=120", "test://b?frames=100000&width=160&height=120");
    let run = begin(dir.path(), &[a, b]);
    until(&run, "frames of both", |all| all.len() == 2 && all.iter().all(|source| source.frames > 20));
    assert_eq!(run.pause(SourceId(0)).unwrap().state, SourceState::Paused);
    assert_eq!(run.remove(SourceId(1)).unwrap().state, SourceState::Removed);
    assert!(matches!(run.pause(SourceId(0)), Err(ControlError::State { .. })));
    assert!(matches!(run.resume(SourceId(1)), Err(ControlError::State { .. })));
    assert!(matches!(run.pause(SourceId(7)), Err(ControlError::Unknown(_))));
    // What was taken before comes through; then nothing more does.
    until(&run, "rest", |_| run.status().idle);
    let rests: Vec<u64> = run.status().sources.iter().map(|source| source.position).collect();
    drop(run);

    let run = begin(dir.path(), &[a, b]);
    let events = run.events();
    event(
        &events,
        |event| matches!(event, Event::Notice { text } if text.contains(b) && text.contains("removed")),
    );
    until(&run, "rest", |_| run.status().idle);
    let status = run.status();
    assert_eq!(status.sources.len(), 1, "{status:#?}");
    assert_eq!((status.sources[0].state, status.sources[0].position), (SourceState::Paused, rests[0]));
    run.resume(SourceId(0)).unwrap();
    until(&run, "more frames of the first", |all| all[0].position > rests[0] + 20);
    // What was removed goes on where it stood when it is added again.
    assert_eq!(run.add(b).unwrap()[0].position, rests[1]);
    until(&run, "more frames of the second", |all| of(all, 1).position > rests[1] + 20);
    drop(run);
    assert_taken_once(dir.path(), SourceId(0), false);
    assert_taken_once(dir.path(), SourceId(1), false);
}

#[test]
fn a_file_that_is_paused_over_and_over_gives_the_nodes_of_one_that_is_not() {
    let videos = crate::video::Videos::find().small();
    let file = videos[0].as_str();
    let dir = tempfile::tempdir().unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    let run = start(&config(), &Options { until_idle: true, ..options(&whole, &[file]) }).unwrap();
    let report = run.join().unwrap();
    assert!(report.nodes > 0);

    let run = begin(&broken, &[file]);
    let events = run.events();
    event(&events, |event| matches!(event, Event::SourceOpened { .. }));
    let mut pauses = 0;
    loop {
        match run.pause(SourceId(0)) {
            Ok(_) => pauses += 1,
            Err(ControlError::State { state, .. }) if state.contains("end") => break,
            Err(error) => panic!("{error}"),
        }
        match run.resume(SourceId(0)) {
            Ok(_) => {}
            // It had come to its end when it was paused, and that was committed only now.
            Err(ControlError::State { state, .. }) if state.contains("end") => break,
            Err(error) => panic!("{error}"),
        }
        let position = run.status().sources[0].position;
        let ended = |all: &[SourceStatus]| all[0].state == SourceState::Ended;
        until(&run, "more frames", |all| all[0].position > position || ended(all));
    }
    assert!(pauses > 2, "{pauses} pauses");
    drop(run);
    assert_taken_once(&broken, SourceId(0), false);
    let (whole, broken) = (digests(&whole), digests(&broken));
    // Not those of the nodes: a node's record says in which epoch it came.
    for collection in ["crops", "vectors"] {
        assert_eq!(whole[collection], broken[collection], "{collection} after {pauses} pauses");
    }
}

#[test]
fn the_status_can_be_sent_anywhere_and_says_what_the_report_will() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.mp4").display().to_string();
    let sources = ["test://?frames=60&width=96&height=64", &missing];
    let run = begin(&dir.path().join("state"), &sources);
    let events = run.events();
    let failed = event(&events, |event| matches!(event, Event::SourceFailed { .. }));
    assert!(format!("{failed:?}").contains("missing.mp4"));
    event(&events, |event| matches!(event, Event::SourceEnded { frames: 60, .. }));
    until(&run, "rest", |_| run.status().idle);
    let status = run.status();
    assert_eq!((status.phase, status.totals.frames, status.sources[0].position), (Phase::Running, 60, 60));
    assert_eq!(status.sources[0].state, SourceState::Ended);
    assert!(status.queues.iter().all(|queue| queue.length <= queue.capacity), "{status:#?}");
    assert!(status.stages.iter().any(|stage| stage.stage == "mine" && stage.seconds > 0.0));
    let json = serde_json::to_string(&status).unwrap();
    let back: kinetograph::engine::status::Status = serde_json::from_str(&json).unwrap();
    assert_eq!(back.sources, status.sources);
    // Idle costs no epochs.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(run.status().epochs.begun, status.epochs.begun);
    run.stop();
    assert!(matches!(run.add("test://late"), Err(ControlError::Over)));
    assert_eq!(run.status().phase, Phase::Stopping);
    let report = run.join().unwrap();
    assert_eq!((report.frames, report.sources_failed.len()), (60, 1));
}

#[test]
fn a_run_in_lock_step_takes_no_orders_and_no_live_source() {
    let dir = tempfile::tempdir().unwrap();
    let live = "test://live?frames=endless";
    let sources = ["test://?frames=200&width=96&height=64", live];
    let run = start(&config(), &Options { batch: true, ..options(dir.path(), &sources) }).unwrap();
    assert!(matches!(run.add("test://b"), Err(ControlError::Batch)));
    assert!(matches!(run.pause(SourceId(0)), Err(ControlError::Batch)));
    let report = run.join().unwrap();
    assert_eq!(report.frames, 200);
    assert_eq!(report.sources_failed.len(), 1);
    assert!(report.sources_failed[0].reason.contains(live), "{:?}", report.sources_failed);
}

#[test]
fn a_run_that_is_stopped_and_dropped_over_and_over_gives_the_nodes_of_one_that_is_not() {
    let videos = crate::video::Videos::find().small();
    let file = videos[1].as_str();
    let dir = tempfile::tempdir().unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    let once = |state: &Path| Options { until_idle: true, ..options(state, &[file]) };
    start(&config(), &once(&whole)).unwrap().join().unwrap();

    let (mut starts, mut before) = (0, 0);
    loop {
        let run = start(&config(), &once(&broken)).unwrap();
        starts += 1;
        // Stopped at all kinds of moments: at once, while it is restored, and after some frames of its own.
        let further = [0, 1, 9, 40][starts % 4];
        while !run.is_over() && run.totals().frames < further {
            std::thread::sleep(Duration::from_millis(1));
        }
        if starts % 2 == 0 {
            run.stop();
            run.join().unwrap();
        } else {
            drop(run);
        }
        let state = State::open_read(&broken).unwrap();
        let view = state.view().unwrap();
        let source = view.sources().unwrap().remove(&SourceId(0));
        let position = source.as_ref().map_or(0, |source| source.position);
        assert!(position >= before, "{position} after {before}");
        before = position;
        if source.is_some_and(|source| source.ended) {
            break;
        }
        assert!(starts < 400, "no end after {starts} starts: {position} frames");
    }
    assert!(starts > 4, "{starts} starts");
    assert_taken_once(&broken, SourceId(0), false);
    let (whole, broken) = (digests(&whole), digests(&broken));
    for collection in ["crops", "vectors"] {
        assert_eq!(whole[collection], broken[collection], "{collection} after {starts} starts");
    }
}
