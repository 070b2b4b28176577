//! Every video there is, and three that are none, in one run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::video::Videos;

/// More than the engine, libraries and a few queues of small frames take; far less than the videos decoded.
const MOST_MEMORY: u64 = 1 << 30;

#[test]
fn every_video_yields_its_frames_or_a_named_error_in_one_run_of_bounded_memory() {
    let videos = Videos::find().all();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let whole = videos.iter().find(|v| v.ends_with(".mp4")).unwrap();
    let bytes = std::fs::read(whole).unwrap();
    let mut rng = Pcg64::seed_from_u64(1);
    let broken = [path("truncated.mp4"), path("empty.mp4"), path("random.mp4")];
    std::fs::write(&broken[0], &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(&broken[1], []).unwrap();
    std::fs::write(&broken[2], (0..100_000).map(|_| rng.random()).collect::<Vec<u8>>()).unwrap();

    let (state, report) = (path("state"), path("report.json"));
    let output = Command::new(env!("CARGO_BIN_EXE_kinetograph"))
        .args(["run", "--batch", "--no-train", "--quiet", "--workers", "2", "--state", &state])
        .args(["--set", "ingest.max_side=160", "--set", "mine.max_corners=200"])
        .args(["--set", "track.template_px=48", "--set", "track.max_tracks=2", "--report", &report])
        .args(videos.iter().chain(&broken))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let failed: BTreeMap<String, String> = report["sources_failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| {
            let source = Path::new(f["source"].as_str().unwrap()).file_name().unwrap();
            (source.to_string_lossy().into_owned(), f["reason"].as_str().unwrap().to_owned())
        })
        .collect();
    let names: Vec<&str> = failed.keys().map(String::as_str).collect();
    assert_eq!(names, ["empty.mp4", "random.mp4", "truncated.mp4"], "{failed:?}");
    for (name, reason) in &failed {
        assert!(reason.contains(name.as_str()), "the reason does not name {name}: {reason}");
    }
    for (name, frames) in frames_by_source(&state) {
        assert!(frames > 0 || failed.contains_key(&name), "{name}: no frame and no reason");
    }
    let peak = report["peak_rss_bytes"].as_u64().unwrap();
    println!("{} frames of {} videos, {} MiB at most", report["frames"], videos.len(), peak >> 20);
    assert!(peak < MOST_MEMORY, "{} MiB", peak >> 20);
}

/// Frames committed of each source, by its file's name.
fn frames_by_source(state: &str) -> Vec<(String, u64)> {
    let out = format!("{state}-export");
    let export = Command::new(env!("CARGO_BIN_EXE_kinetograph"))
        .args(["export", "--state", state, "--out", &out])
        .output()
        .unwrap();
    assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
    let table = std::fs::read_to_string(Path::new(&out).join("sources.tsv")).unwrap();
    let mut lines = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let (name, frames) = (column("name"), column("frames"));
    lines.map(|row| (row[name].to_string(), row[frames].parse().unwrap())).collect()
}
