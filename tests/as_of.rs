//! What a state was at an epoch that is past, through the command line, on real video.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::video::Videos;

fn kinetograph(arguments: &[&str], state: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinetograph"));
    command.args(arguments).arg("--state").arg(state).output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Small cells, so that the codebook grows on the way.
fn run(state: &Path, video: &str, more: &[&str]) {
    let mut arguments = vec!["run", "--batch", "--no-train", "--quiet", video];
    for set in [
        "engine.slice_frames=16",
        "graph.closure.min_cluster=3",
        "graph.neighbours.codebook.growing.cap=12",
        "observe.segment_frames=32",
        "track.frames=10",
        "ingest.max_side=240",
        "track.template_px=48",
    ] {
        arguments.extend(["--set", set]);
    }
    arguments.extend(more);
    done(&kinetograph(&arguments, state));
}

fn stats(state: &Path, more: &[&str]) -> Value {
    let arguments = [&["stats", "--json"], more].concat();
    serde_json::from_str(&done(&kinetograph(&arguments, state))).unwrap()
}

/// Every file of an export with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().chain(fs::read_dir(folder.join("crops")).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths
        .map(|path| (path.strip_prefix(folder).unwrap().display().to_string(), fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn a_state_is_shown_as_it_was_when_it_was_at_that_epoch() {
    let videos = Videos::find();
    let found = videos.small();
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let export = |name: &str, more: &[&str]| {
        let out = dir.path().join(name);
        let arguments = [&["export", "--out", out.to_str().unwrap()], more].concat();
        done(&kinetograph(&arguments, &state));
        files(&out)
    };
    let mut then = Vec::new();
    for (at, video) in found.iter().take(2).enumerate() {
        run(&state, video, &[]);
        let stats = stats(&state, &[]);
        then.push((stats["epoch"].to_string(), stats, export(&format!("then-{at}"), &[])));
    }
    run(&state, &videos.short()[1], &[]);
    let now = stats(&state, &[]);
    assert!(then[0].1["nodes"].as_u64().unwrap() > 0, "nothing was found: the test shows nothing");
    assert_ne!(then[0].1["digests"], then[1].1["digests"], "nothing changed: the test shows nothing");
    for (at, (epoch, expected, exported)) in then.iter().enumerate() {
        let mut shown = stats(&state, &["--as-of", epoch]);
        for field in ["digests", "epoch", "nodes", "pairs", "largest_class", "frames", "cells", "log_epochs"]
        {
            assert_eq!(shown[field], expected[field], "{field} as of epoch {epoch}");
        }
        // What does not go back, or is how things are now.
        for field in ["stills", "sources"] {
            shown[field] = expected[field].clone();
        }
        assert_eq!(&shown, expected, "as of epoch {epoch}");
        let again = export(&format!("again-{at}"), &["--as-of", epoch]);
        assert_eq!(again.keys().collect::<Vec<_>>(), exported.keys().collect::<Vec<_>>());
        let text =
            |files: &BTreeMap<String, Vec<u8>>, name: &str| String::from_utf8(files[name].clone()).unwrap();
        for (name, bytes) in exported {
            match name.as_str() {
                // Sources that are known now are shown, those that came later with nothing taken of them yet.
                "sources.tsv" => {
                    let shown = text(&again, name);
                    assert!(
                        text(exported, name).lines().all(|row| shown.lines().any(|r| r == row)),
                        "{shown}"
                    );
                }
                "export.json" => {
                    let marks = [exported, &again].map(|files| {
                        let mut mark: Value = serde_json::from_str(&text(files, name)).unwrap();
                        mark["rows"]["sources"].take();
                        mark
                    });
                    assert_eq!(marks[0], marks[1]);
                }
                _ => assert!(&again[name] == bytes, "{name} as of epoch {epoch}"),
            }
        }
    }

    let last = now["epoch"].as_u64().unwrap();
    let refused = kinetograph(&["stats", "--as-of", &(last + 1).to_string()], &state);
    let said = String::from_utf8_lossy(&refused.stderr).to_string();
    assert_eq!(refused.status.code(), Some(3));
    assert!(said.contains("from epoch 0") && said.contains(&format!("to {last}")), "{said}");

    run(&state, "test://?frames=80&width=64", &["--set", "engine.deltas_kept_epochs=3"]);
    let since = stats(&state, &[])["since"].as_u64().unwrap();
    assert!(since > 0, "old epochs are dropped");
    let refused = kinetograph(&["export", "--out", "none", "--as-of", &(since - 1).to_string()], &state);
    let said = String::from_utf8_lossy(&refused.stderr).to_string();
    assert!(said.contains(&format!("from epoch {since}")), "{said}");
    stats(&state, &["--as-of", &since.to_string()]);
}
