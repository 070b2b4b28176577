//! The node budget over real video.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use kinetograph::engine::feed::StateFeed;
use kinetograph::state::State;
use kinetograph::train::feed::Feed;
use kinetograph::train::view::View;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;

use super::program::{SMALL_CELLS, batch, digests, done, kinetograph, stats, verify};
use crate::video::Videos;

const BUDGET: u64 = 24;

fn settings(policy: &str) -> Vec<String> {
    let mut more: Vec<String> = SMALL_CELLS.map(String::from).into();
    for setting in [format!("budget.nodes={BUDGET}"), format!("budget.policy={policy}")] {
        more.extend(["--set".to_string(), setting]);
    }
    more
}

fn run(state: &Path, videos: &[String], policy: &str, workers: &str) -> Value {
    let (more, report) = (settings(policy), state.with_extension("json"));
    let mut command = batch(state, videos, &["--quiet", "--workers", workers]);
    done(&command.args(&more).arg("--report").arg(&report).output().unwrap());
    serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap()
}

#[test]
fn with_a_budget_any_number_of_workers_gives_the_same_graph_and_it_is_exact() {
    let (videos, dir) = (Videos::find().short(), tempfile::tempdir().unwrap());
    let all = dir.path().join("all");
    done(&batch(&all, &videos, &SMALL_CELLS).output().unwrap());
    let all = stats(&all)["nodes"].as_u64().unwrap();
    assert!(all > 3 * BUDGET, "only {all} nodes: the test shows nothing");
    let mut by_policy = BTreeSet::new();
    for policy in ["oldest", "redundant"] {
        let mut first = None;
        for workers in ["1", "2", "3"] {
            let state = dir.path().join(format!("{policy}-{workers}"));
            let report = run(&state, &videos, policy, workers);
            verify(&state);
            let found = stats(&state);
            let (nodes, retired) = (found["nodes"].as_u64().unwrap(), found["retired"].as_u64().unwrap());
            // Whole tracks go, so the last one may have taken a node or two more than needed.
            assert!(nodes <= BUDGET && nodes + 4 > BUDGET, "{nodes} nodes stay");
            assert_eq!(nodes + retired, all, "what goes is counted, and nothing else goes");
            assert_eq!((&report["retired"], &report["nodes"]), (&found["retired"], &found["nodes"]));
            assert_eq!(report["budget"], BUDGET);
            let digests = digests(&state);
            assert_eq!(first.get_or_insert_with(|| digests.clone()), &digests, "{policy}, {workers} workers");
            followed(&state);
        }
        by_policy.insert(first.unwrap()["nodes"].clone());
    }
    assert_eq!(by_policy.len(), 2, "the two policies kept the same nodes");
}

/// The tables of an export, and how many crops it has; what was said with them.
fn export(state: &Path, more: &[&str]) -> (BTreeMap<&'static str, String>, usize, String) {
    let out = state.with_extension("export");
    let mut command = kinetograph(&["export", "--out", out.to_str().unwrap(), "--state"]);
    let output = command.arg(state).args(more).output().unwrap();
    done(&output);
    let tables = ["nodes.tsv", "neighbours.tsv", "clusters.tsv", "edges.tsv", "pairs.tsv", "codebook.json"];
    let tables = tables.map(|name| (name, std::fs::read_to_string(out.join(name)).unwrap()));
    let crops = std::fs::read_dir(out.join("crops")).unwrap().count();
    (tables.into(), crops, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_state_is_shown_as_it_was_before_nodes_were_taken_back() {
    let (videos, dir) = (Videos::find().short(), tempfile::tempdir().unwrap());
    let state = dir.path().join("state");
    let mut then = Vec::new();
    for video in &videos {
        run(&state, std::slice::from_ref(video), "redundant", "1");
        then.push((stats(&state), export(&state, &[])));
    }
    let ids = |tables: &BTreeMap<&str, String>| -> BTreeSet<String> {
        tables["nodes.tsv"].lines().map(|row| row.split('\t').next().unwrap().to_string()).collect()
    };
    let now = ids(&then.last().unwrap().1.0);
    let mut gone_in_all = 0;
    for (stats, (tables, crops, _)) in &then {
        let epoch = stats["epoch"].to_string();
        let output =
            kinetograph(&["stats", "--json", "--as-of", &epoch, "--state"]).arg(&state).output().unwrap();
        done(&output);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        for field in ["digests", "nodes", "tracks", "cells", "clusters", "pairs", "classes", "largest_class"]
        {
            assert_eq!(shown[field], stats[field], "{field} as of epoch {epoch}");
        }
        let gone = ids(tables).difference(&now).count();
        assert_eq!(shown["retired_since"], gone, "as of epoch {epoch}");
        let (again, crops_left, said) = export(&state, &["--as-of", &epoch]);
        for (name, table) in tables {
            assert!(&again[name] == table, "{name} as of epoch {epoch}");
        }
        assert_eq!(crops_left, crops - gone, "crops as of epoch {epoch}");
        assert_eq!(said.contains(&format!("{gone} nodes were retired since")), gone > 0, "{said}");
        gone_in_all += gone;
    }
    assert!(gone_in_all > 0, "nothing was taken back: the test shows nothing");
}

/// Whoever follows the changes from the first epoch on ends with what is there, and no crop of what went.
fn followed(state: &Path) {
    let state = State::open_read(state).unwrap();
    let view = state.view().unwrap();
    let mut feed = StateFeed::of_state(state.clone(), false);
    let mut known = View::default();
    let mut came: BTreeMap<_, bool> = BTreeMap::new();
    // Epoch after epoch, as a trainer that never lags.
    for (epoch, delta) in view.deltas(0).unwrap() {
        came.extend(delta.nodes.iter().map(|(node, diff)| (*node, *diff > 0)));
        let delta = kinetograph::train::feed::Delta {
            epoch,
            nodes: delta.nodes,
            pairs: delta.pairs,
            groups: delta.groups.into_iter().map(|((n, g), d)| (n, g, d)).collect(),
            classes: delta.classes.into_iter().map(|((n, c), d)| (n, c, d)).collect(),
        };
        known.apply(&delta);
    }
    let nodes = view.nodes().unwrap();
    assert_eq!(known.nodes(), nodes.len());
    assert!(nodes.keys().all(|node| known.has(*node)));
    let pairs: BTreeSet<_> = view.pairs().unwrap().into_iter().map(|p| (p.a, p.b)).collect();
    assert_eq!(known.transitive(), pairs.len());
    for (node, stays) in came {
        assert_eq!(feed.crop(node).unwrap().is_some(), stays, "node {node}");
    }
    let later = feed.after(Some(0), Duration::ZERO).unwrap().unwrap();
    assert_eq!(later.nodes.len(), nodes.len(), "coalesced, what came and went is not there");
}

#[test]
fn killed_while_nodes_go_it_ends_with_the_graph_of_a_run_that_was_not() {
    let (videos, dir) = (Videos::find().short(), tempfile::tempdir().unwrap());
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    run(&whole, &videos, "redundant", "2");
    let mut rng = Pcg64::seed_from_u64(11);
    let (mut kills, mut retiring) = (0, 0);
    let mut last_epoch = 0;
    'lives: loop {
        let mut child = batch(&killed, &videos, &["--quiet", "--workers", "2"])
            .args(settings("redundant"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A few epochs on, or as soon as something new is to go.
        let goal = last_epoch + rng.random_range(4..16);
        let while_nodes_go = kills % 2 == 0;
        let pending = loop {
            if child.try_wait().unwrap().is_some() {
                break 'lives;
            }
            let (epoch, pending) = moment(&killed);
            if epoch >= goal || (while_nodes_go && pending && epoch > last_epoch) {
                break pending;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        retiring += usize::from(pending);
        last_epoch = moment(&killed).0;
    }
    println!("{kills} kills, {retiring} of them between a decision and its effect");
    assert!(kills >= 3 && retiring >= 1, "{kills} kills, {retiring} while nodes were to go");
    run(&killed, &videos, "redundant", "1");
    assert_eq!(digests(&killed), digests(&whole));
    verify(&killed);
}

/// The last epoch of a state, and whether nodes are to go after it; 0 while there is none.
fn moment(state: &Path) -> (u64, bool) {
    let Ok(state) = State::open_read(state) else { return (0, false) };
    let view = state.view().unwrap();
    (view.epoch().unwrap(), !view.retiring(8).unwrap().is_empty())
}
