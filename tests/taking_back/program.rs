//! The program, and what it says of a state.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Small slices, so that short videos have many epochs; short tracks that may be neighbours soon, and small clusters, so
/// that they have pairs.
pub(crate) const QUICK: [&str; 12] = [
    "--set",
    "engine.slice_frames=8",
    "--set",
    "graph.neighbours.separation_s=0.4",
    "--set",
    "graph.closure.min_cluster=3",
    "--set",
    "observe.segment_frames=32",
    "--set",
    "track.frames=6",
    "--set",
    "ingest.max_side=320",
];
/// Small cells, so that the codebook grows on the way.
pub(crate) const SMALL_CELLS: [&str; 2] = ["--set", "graph.neighbours.codebook.growing.cap=24"];
/// One cell and one group: the codebook does not depend on who was there.
pub(crate) const NO_CODEBOOK: [&str; 2] = ["--set", "graph.neighbours.groups.schedule=[]"];

pub(crate) fn kinetograph(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinetograph"));
    command.args(arguments);
    command
}

/// A run in lock-step without training.
pub(crate) fn batch(state: &Path, videos: &[String], more: &[&str]) -> Command {
    let mut command = kinetograph(&["run", "--batch", "--no-train", "--state"]);
    command.arg(state).args(QUICK).args(videos).args(more);
    command
}

pub(crate) fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn stats(state: &Path) -> Value {
    let output = kinetograph(&["stats", "--json", "--state"]).arg(state).output().unwrap();
    done(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn digests(state: &Path) -> BTreeMap<String, String> {
    serde_json::from_value(stats(state)["digests"].clone()).unwrap()
}

pub(crate) fn verify(state: &Path) {
    let output = kinetograph(&["verify", "--state"]).arg(state).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
