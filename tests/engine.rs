//! The whole engine through its command line, on real video.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::video::Videos;

/// Small slices, so that short videos have many epochs, small cells, so that the codebook grows on the way, and small pictures and
/// filters, as vision takes most of the time.
const QUICK: [&str; 14] = [
    "--set",
    "engine.slice_frames=8",
    "--set",
    "graph.closure.min_cluster=3",
    "--set",
    "graph.neighbours.codebook.growing.cap=12",
    "--set",
    "observe.segment_frames=32",
    "--set",
    "track.frames=10",
    "--set",
    "ingest.max_side=240",
    "--set",
    "track.template_px=48",
];

fn kinetograph(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinetograph"));
    command.args(arguments);
    command
}

fn run(state: &Path, videos: &[&str], more: &[&str]) -> Output {
    let mut command = kinetograph(&["run", "--batch", "--no-train", "--quiet", "--state"]);
    command.arg(state).args(QUICK).args(videos).args(more).output().unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn stats(state: &Path) -> Value {
    let output = kinetograph(&["stats", "--json", "--state"]).arg(state).output().unwrap();
    done(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn digests(state: &Path) -> BTreeMap<String, String> {
    serde_json::from_value(stats(state)["digests"].clone()).unwrap()
}

fn verify(state: &Path) {
    let output = kinetograph(&["verify", "--state"]).arg(state).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_same_files_give_the_same_graph_on_one_two_and_three_workers() {
    let videos = Videos::find();
    let files = videos.short();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let dir = tempfile::tempdir().unwrap();
    let mut first = None;
    for workers in ["1", "2", "3"] {
        let state = dir.path().join(workers);
        done(&run(&state, &files, &["--workers", workers]));
        verify(&state);
        let digests = digests(&state);
        assert_eq!(first.get_or_insert_with(|| digests.clone()), &digests, "{workers} workers");
    }
    let found = stats(&dir.path().join("1"));
    for collection in ["nodes", "lists", "clusters", "inter_edges", "distinct_pairs", "classes"] {
        assert!(
            found[collection].as_u64().unwrap() > 0,
            "no {collection}: the test shows nothing\n{found:#}"
        );
    }
    assert!(found["cells"].as_u64().unwrap() > 1, "the codebook never grew\n{found:#}");
    check_export(&dir.path().join("1"), &dir.path().join("export"));
}

#[test]
fn a_state_in_half_precision_is_the_same_on_any_workers_and_goes_on_however_rows_are_stored() {
    let videos = Videos::find();
    let files = videos.short();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let dir = tempfile::tempdir().unwrap();
    let halves = ["--set", "embed.precision=f16"];
    let at_once = dir.path().join("at once");
    done(&run(&at_once, &files, &[&halves[..], &["--workers", "2"]].concat()));
    verify(&at_once);
    check_export(&at_once, &dir.path().join("export"));
    // One video at a time, so that the later runs begin with what is stored.
    let by_and_by = dir.path().join("by and by");
    for (at, file) in files.iter().enumerate() {
        let stored = ["graph.neighbours.storage=f32", "graph.neighbours.storage=words"][at.min(1)];
        done(&run(&by_and_by, &[file], &[&halves[..], &["--set", stored]].concat()));
    }
    verify(&by_and_by);
    assert!(stats(&by_and_by)["lists"].as_u64().unwrap() > 0, "no lists: the test shows nothing");
    assert_eq!(digests(&at_once)["vectors"], digests(&by_and_by)["vectors"]);

    let output = run(&by_and_by, &files, &[]);
    let message = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(3));
    assert!(message.contains("embed space") && message.contains("f16"), "{message}");
}

/// An outsider's brute force over the exported files finds the same graph.
fn check_export(state: &Path, out: &Path) {
    done(&kinetograph(&["export", "--state"]).arg(state).arg("--out").arg(out).output().unwrap());
    for python in ["python3", "/usr/bin/python3"] {
        let numpy = Command::new(python).args(["-c", "import numpy"]).stderr(Stdio::null()).status();
        if numpy.is_ok_and(|status| status.success()) {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/check_export.py");
            let output = Command::new(python).arg(script).arg(out).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            return;
        }
    }
    println!("skipped: check_export.py (no python3 with numpy)");
}

#[test]
fn killed_at_25_random_moments_it_ends_with_the_graph_of_a_run_that_was_not() {
    let videos = Videos::find();
    let files = videos.small();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let start = Instant::now();
    done(&run(&whole, &files, &["--workers", "2"]));
    // Kills fall anywhere in a run, however fast this machine is.
    let latest_ms = (start.elapsed().as_millis() as u64).max(100);

    let mut rng = Pcg64::seed_from_u64(7);
    let (mut kills, mut progressed, mut finished) = (0, 0, 0);
    let mut last_epoch = 0;
    while kills < 25 {
        let mut child =
            kinetograph(&["run", "--batch", "--no-train", "--quiet", "--workers", "2", "--state"])
                .arg(&killed)
                .args(QUICK)
                .args(&files)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(0..latest_ms)));
        if child.try_wait().unwrap().is_some_and(|status| status.success()) {
            // It got to the end between two kills: that end must be right too, and the next kills hit a new state.
            assert_eq!(digests(&killed), digests(&whole), "after {kills} kills");
            std::fs::remove_dir_all(&killed).unwrap();
            (last_epoch, finished) = (0, finished + 1);
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let epoch = match kinetograph(&["stats", "--json", "--state"]).arg(&killed).output().unwrap() {
            output if output.status.success() => {
                serde_json::from_slice::<Value>(&output.stdout).unwrap()["epoch"].as_u64().unwrap()
            }
            _ => 0,
        };
        assert!(epoch >= last_epoch, "epoch {last_epoch} was committed and is gone");
        progressed += usize::from(epoch > last_epoch);
        last_epoch = epoch;
    }
    println!("{kills} kills, {progressed} of them after new epochs, {finished} runs that got to their end");
    assert!(progressed >= 3, "{progressed} kills in the middle: the test shows too little");
    done(&run(&killed, &files, &["--workers", "1"]));
    assert_eq!(digests(&killed), digests(&whole));
    verify(&killed);
}

#[test]
fn broken_sources_are_named_and_the_others_go_on() {
    let videos = Videos::find();
    let good = videos.short().remove(0);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let bytes = std::fs::read(&good).unwrap();
    let extension = Path::new(&good).extension().unwrap().to_str().unwrap();
    let truncated = path(&format!("truncated.{extension}"));
    std::fs::write(&truncated, &bytes[..bytes.len() / 2]).unwrap();
    let (empty, random, missing) = (path("empty.mp4"), path("random.mp4"), path("missing.mp4"));
    std::fs::write(&empty, []).unwrap();
    let mut rng = Pcg64::seed_from_u64(1);
    std::fs::write(&random, (0..100_000).map(|_| rng.random()).collect::<Vec<u8>>()).unwrap();

    let (state, report) = (dir.path().join("state"), path("report.json"));
    let all = [&*good, &truncated, &empty, &random, &missing];
    done(&run(&state, &all, &["--report", &report]));
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let failed: Vec<String> =
        report["sources_failed"].as_array().unwrap().iter().map(|failed| failed.to_string()).collect();
    for name in ["empty.mp4", "random.mp4", "missing.mp4"] {
        assert!(failed.iter().any(|f| f.contains(name)), "{name} is not among {failed:?}");
    }
    assert!(!failed.iter().any(|f| f.contains(&*Path::new(&good).file_name().unwrap().to_string_lossy())));
    assert!(report["frames"].as_u64().unwrap() > 50);
    verify(&state);

    let nothing = run(&dir.path().join("none"), &[&missing, &empty], &[]);
    assert_eq!(nothing.status.code(), Some(1));
}

#[test]
fn a_state_refuses_settings_its_graph_was_not_made_with() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    done(&run(&state, &["test://?frames=20"], &[]));
    let output = run(&state, &["test://?frames=20"], &["--set", "graph.neighbours.k=4"]);
    let message = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(3));
    assert!(message.contains("graph.neighbours.k"), "{message}");
    done(&run(&state, &["test://?frames=20"], &["--set", "engine.max_lag_epochs=2"]));
}

#[test]
fn two_runs_on_one_state_do_not_get_in_each_others_way() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut first = kinetograph(&["run", "--no-train", "--quiet", "test://?frames=30", "--state"])
        .arg(&state)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !kinetograph(&["stats", "--state"]).arg(&state).output().unwrap().status.success() {
        assert!(first.try_wait().unwrap().is_none(), "the first run ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = run(&state, &["test://?frames=20"], &[]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another kinetograph process"));
}

#[test]
fn a_state_that_is_deleted_under_a_run_ends_it_also_when_there_is_nothing_to_do() {
    for source in ["test://?frames=20", "test://?frames=100000&width=160&height=120"] {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let mut engine = kinetograph(&["run", "--no-train", "--quiet", source, "--state"]);
        let mut engine = engine.arg(&state).stderr(Stdio::piped()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let waits = |engine: &mut std::process::Child| {
            assert!(engine.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(20));
            assert!(Instant::now() < until);
        };
        let frames = || {
            let output = kinetograph(&["stats", "--json", "--state"]).arg(&state).output().unwrap();
            serde_json::from_slice(&output.stdout).map_or(0, |stats: Value| stats["frames"].as_u64().unwrap())
        };
        while frames() < 20 {
            waits(&mut engine);
        }
        std::fs::remove_dir_all(&state).unwrap();
        while engine.try_wait().unwrap().is_none() {
            if Instant::now() > until {
                engine.kill().unwrap();
                panic!("{source}: it went on without its state");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = engine.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("deleted") && said.contains(state.to_str().unwrap()), "{said}");
    }
}

#[test]
fn a_state_of_the_papers_preset_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let paper = || {
        let mut command =
            kinetograph(&["run", "--batch", "--no-train", "--quiet", "--preset", "paper", "--state"]);
        command.arg(&state).arg("test://?frames=40&width=160&height=120");
        command
    };
    done(&paper().output().unwrap());
    done(&paper().output().unwrap());
    verify(&state);
    assert_eq!(stats(&state)["frames"], 40);
    done(
        &kinetograph(&["gallery", "--state"])
            .arg(&state)
            .arg("--out")
            .arg(dir.path().join("g"))
            .output()
            .unwrap(),
    );
}

#[test]
fn a_run_that_is_told_to_stop_ends_well_and_writes_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let (state, report) = (dir.path().join("state"), dir.path().join("report.json"));
    let mut frames = 0;
    for _ in 0..4 {
        let mut child = kinetograph(&["run", "--no-train", "--quiet", "--workers", "2", "--state"])
            .arg(&state)
            .args(["test://?frames=200000&width=64&height=48", "--report"])
            .arg(&report)
            .spawn()
            .unwrap();
        let read = || stats_if_any(&state).map_or(0, |stats| stats["frames"].as_u64().unwrap());
        while read() <= frames {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(20));
        }
        let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(killed.success() && child.wait().unwrap().success());
        let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        frames = report["frames"].as_u64().unwrap();
        std::fs::write(dir.path().join("report.json"), "").unwrap();
    }
    verify(&state);
}

fn stats_if_any(state: &Path) -> Option<Value> {
    let output = kinetograph(&["stats", "--json", "--state"]).arg(state).output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn what_cannot_work_is_said_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    // Not in lock-step and not until idle, and yet it ends: there is nothing to wait for.
    let mut missing = kinetograph(&["run", "--no-train", "nofile.mp4", "--state"]);
    let output = missing.arg(&state).args(QUICK).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nofile.mp4"));

    let report = dir.path().join("no/such/folder/report.json").display().to_string();
    let output = run(&dir.path().join("other"), &["test://?frames=20"], &["--report", &report]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&report));
    assert!(!dir.path().join("other").exists());

    // A source that was good in an earlier run does not make this one a success.
    done(&run(&state, &["test://?frames=20"], &[]));
    let output = run(&state, &["nofile.mp4"], &[]);
    assert_eq!(output.status.code(), Some(1));
}
