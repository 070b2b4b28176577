//! `kinetograph forget`.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kinetograph::state::record::Erasing;
use kinetograph::state::{State, history, key};
use kinetograph_dataflows::id::NodeId;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::program::{NO_CODEBOOK, SMALL_CELLS, batch, digests, done, kinetograph, stats, verify};
use crate::video::Videos;

fn forget(state: &Path, what: &[&str]) -> Command {
    let mut command = kinetograph(&["forget", "--state"]);
    command.arg(state).args(what);
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The shortest trace, bytes.
const BEGIN: usize = 16;

/// The name of the last of `videos` as the state has it.
fn last_name(videos: &[String]) -> String {
    Path::new(videos.last().unwrap()).file_name().unwrap().to_str().unwrap().to_string()
}

/// Crops and vectors of nodes, as the data file holds them.
fn traces(state: &Path, of: impl Fn(NodeId) -> bool) -> Vec<Vec<u8>> {
    let state = State::open_read(state).unwrap();
    let view = state.view().unwrap();
    let vectors = view.vectors().unwrap();
    let mut traces = Vec::new();
    for node in view.nodes().unwrap().into_keys().filter(|node| of(*node)) {
        let crop = view.crop(node).unwrap().unwrap();
        // The middle of the entropy-coded data: no two pictures share it.
        traces.push(crop[crop.len() / 2..crop.len() / 2 + 64].to_vec());
        let vector: Vec<u8> = vectors[&node].to_bytes();
        let at = vector.chunks_exact(16).position(|c| c.chunks_exact(4).all(|x| x != [0; 4])).unwrap() * 16;
        traces.push(vector[at..at + 16].to_vec());
    }
    traces
}

/// How many of `traces` lie anywhere in the state's folder.
fn found(state: &Path, traces: &[Vec<u8>]) -> usize {
    let mut bytes = std::fs::read(state.join("data.mdb")).unwrap();
    for file in std::fs::read_dir(state.join("train")).into_iter().flatten() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    // One pass: by how they begin.
    let mut begin: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, trace) in traces.iter().enumerate() {
        begin.entry(&trace[..BEGIN]).or_default().push(at);
    }
    let mut there: BTreeSet<usize> = BTreeSet::new();
    for (from, window) in bytes.windows(BEGIN).enumerate() {
        let candidates = begin.get(window).into_iter().flatten();
        there.extend(candidates.filter(|at| bytes[from..].starts_with(&traces[**at])));
    }
    there.len()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let into = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &into),
            false => drop(std::fs::copy(entry.path(), into).unwrap()),
        }
    }
}

#[test]
fn a_forgotten_source_leaves_the_state_of_a_run_that_never_saw_it() {
    let (videos, dir) = (Videos::find().short(), tempfile::tempdir().unwrap());
    let (state, never) = (dir.path().join("state"), dir.path().join("never"));
    done(&batch(&state, &videos, &NO_CODEBOOK).output().unwrap());
    done(&batch(&never, &videos[..2], &NO_CODEBOOK).output().unwrap());
    let name = last_name(&videos);
    let of_it = |node: NodeId| node.source().0 == 2;
    let (its, others) = (traces(&state, of_it), traces(&state, |node| !of_it(node)));
    assert!(its.len() > 10 && found(&state, &its) == its.len());
    let before = std::fs::metadata(state.join("data.mdb")).unwrap().len();

    let dry = forget(&state, &["--source", &name, "--dry-run"]).output().unwrap();
    done(&dry);
    assert!(said(&dry).contains(&format!("{} nodes", its.len() / 2)), "{}", said(&dry));
    assert_eq!(found(&state, &its), its.len());
    done(&forget(&state, &["--source", &name]).output().unwrap());
    verify(&state);
    assert_eq!(digests(&state), digests(&never));
    assert_eq!(found(&state, &its), 0, "bytes of forgotten crops or vectors are still there");
    assert_eq!(found(&state, &others), others.len(), "the search finds what is there");
    assert!(std::fs::metadata(state.join("data.mdb")).unwrap().len() < before);
    no_mention(&state, of_it);

    // The same folder again, and the same content under another name.
    let copied = dir.path().join(format!("copy-of-{name}"));
    std::fs::copy(videos.last().unwrap(), &copied).unwrap();
    let mut again = videos.clone();
    again.push(copied.display().to_string());
    let output = batch(&state, &again, &NO_CODEBOOK).output().unwrap();
    done(&output);
    assert_eq!(said(&output).matches("not taken in again").count(), 2, "{}", said(&output));
    assert_eq!(digests(&state), digests(&never));
    let found = stats(&state);
    assert_eq!((&found["sources"]["forgotten"], &found["sources"]["ended"]), (&1.into(), &2.into()));
    let output = forget(&state, &["--source", &name]).output().unwrap();
    done(&output);
    assert!(said(&output).contains("nothing to forget"), "{}", said(&output));
}

/// Nothing in log and deltas names a forgotten node.
fn no_mention(state: &Path, of_it: impl Fn(NodeId) -> bool) {
    let state = State::open_read(state).unwrap();
    let view = state.view().unwrap();
    for (epoch, delta) in view.deltas(0).unwrap() {
        let pairs = delta.pairs.iter().flat_map(|(p, _)| [p.a, p.b, p.via_a, p.via_b]);
        let nodes = delta.nodes.iter().map(|(n, _)| *n).chain(delta.groups.iter().map(|((n, _), _)| *n));
        let mut all = nodes.chain(delta.classes.iter().map(|((n, _), _)| *n)).chain(pairs);
        assert!(!all.any(&of_it), "epoch {epoch} names a forgotten node");
    }
    for (epoch, log) in view.log(0).unwrap() {
        assert!(!log.retired.into_iter().flat_map(|(_, nodes)| nodes).any(&of_it), "log of epoch {epoch}");
    }
    assert!(view.replaced(0).unwrap().is_empty(), "what epochs replaced is still kept");
    assert_eq!(history::since(&view).unwrap(), view.epoch().unwrap());
    assert!(view.totals().unwrap().forgotten > 0);
}

#[test]
fn with_a_grown_codebook_the_graph_is_that_of_the_log_and_can_be_made_anew() {
    let (videos, dir) = (Videos::find().short(), tempfile::tempdir().unwrap());
    let (state, anew) = (dir.path().join("state"), dir.path().join("anew"));
    done(&batch(&state, &videos, &SMALL_CELLS).output().unwrap());
    assert!(stats(&state)["cells"].as_u64().unwrap() > 1);
    copy(&state, &anew);
    let name = last_name(&videos);
    let mut by_workers = Vec::new();
    for workers in ["1", "2", "3"] {
        let state = dir.path().join(format!("on-{workers}"));
        copy(&anew, &state);
        done(&forget(&state, &["--source", &name, "--workers", workers]).output().unwrap());
        verify(&state);
        by_workers.push(digests(&state));
    }
    assert!(by_workers.windows(2).all(|w| w[0] == w[1]), "{by_workers:#?}");
    by_workers.clear();
    for workers in ["1", "3"] {
        let state = dir.path().join(format!("anew-on-{workers}"));
        copy(&anew, &state);
        let what = ["--source", &name, "--rebuild-codebook", "--workers", workers];
        let centroids = centroids(&state);
        done(&forget(&state, &what).output().unwrap());
        verify(&state);
        // A cell that held nothing of what went may well have the same centroid again.
        let now = self::centroids(&state);
        let old: Vec<Vec<u8>> = centroids.into_iter().filter(|c| !now.contains(c)).collect();
        assert!(!old.is_empty());
        assert_eq!(found(&state, &old), 0, "a centroid of the old codebook is still there");
        by_workers.push(digests(&state));
        // It goes on from there.
        done(&batch(&state, &videos, &SMALL_CELLS).output().unwrap());
        verify(&state);
    }
    assert_eq!(by_workers[0], by_workers[1]);
}

fn centroids(state: &Path) -> Vec<Vec<u8>> {
    use kinetograph_dataflows::index::partition::codebook::Decision;
    let state = State::open_read(state).unwrap();
    let decisions = state.view().unwrap().decisions().unwrap();
    let mut centroids = Vec::new();
    for (_, decision) in decisions {
        if let Decision::Divide { children, .. } = decision {
            for (_, centroid) in children {
                let bytes: Vec<u8> = centroid.iter().flat_map(|x| x.to_le_bytes()).collect();
                let nonzero = |c: &[u8]| c.chunks_exact(4).all(|x| x != [0; 4]);
                let at = bytes.chunks_exact(16).position(nonzero).unwrap() * 16;
                centroids.push(bytes[at..at + 16].to_vec());
            }
        }
    }
    assert!(!centroids.is_empty() && found(state.dir(), &centroids) == centroids.len());
    centroids
}

#[test]
fn killed_at_any_moment_a_state_is_as_before_or_as_after() {
    let (videos, dir) = (Videos::find().small(), tempfile::tempdir().unwrap());
    let (state, after) = (dir.path().join("state"), dir.path().join("after"));
    done(&batch(&state, &videos, &SMALL_CELLS).output().unwrap());
    copy(&state, &after);
    let name = last_name(&videos);
    let its = traces(&state, |node| node.source().0 == 1);
    let begun = Instant::now();
    done(&forget(&after, &["--source", &name]).output().unwrap());
    let took = begun.elapsed();
    let before = digests(&state);
    let forgotten = digests(&after);
    // The next run may find that cells are to merge.
    done(&batch(&after, &videos, &SMALL_CELLS).output().unwrap());
    let settled = digests(&after);
    let mut rng = Pcg64::seed_from_u64(3);
    let (mut as_before, mut as_after, mut unfinished) = (0, 0, 0);
    for round in 0..12 {
        let killed = dir.path().join(format!("killed-{round}"));
        copy(&state, &killed);
        let mut child = forget(&killed, &["--source", &name]).stdout(Stdio::null()).spawn().unwrap();
        let mut ended = || child.try_wait().unwrap().is_some();
        match round % 4 {
            0 => std::thread::sleep(took.mul_f64(rng.random_range(0.0..0.5))),
            1 => std::thread::sleep(took.mul_f64(rng.random_range(0.5..1.0))),
            // Committed, and little or nothing erased.
            2 => while !ended() && !erasing(&killed) {},
            // The new file is being written.
            _ => while !ended() && !killed.join("compacting").exists() {},
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let found_now = digests(&killed);
        assert!(found_now == before || found_now == forgotten, "neither before nor after");
        let is_after = found_now == forgotten;
        verify(&killed);
        as_before += usize::from(!is_after);
        as_after += usize::from(is_after);
        unfinished += usize::from(is_after && found(&killed, &its) > 0);
        // A run finishes the erasing; what was as before is still there to be forgotten.
        done(&batch(&killed, &videos, &SMALL_CELLS).output().unwrap());
        let left = if is_after { 0 } else { its.len() };
        assert_eq!(found(&killed, &its), left, "as after: {is_after}");
        assert!(!killed.join("compacting").exists());
        if !is_after {
            done(&forget(&killed, &["--source", &name]).output().unwrap());
            assert_eq!(digests(&killed), forgotten);
            done(&batch(&killed, &videos, &SMALL_CELLS).output().unwrap());
        }
        assert_eq!((digests(&killed), found(&killed, &its)), (settled.clone(), 0));
        std::fs::remove_dir_all(&killed).unwrap();
    }
    println!("{as_before} as before, {as_after} as after, {unfinished} of these with bytes left to erase");
    assert!(as_before > 0 && unfinished > 0, "{as_before} as before, {unfinished} half-way");
}

/// Whether something is still to be erased outside the tables.
fn erasing(state: &Path) -> bool {
    let view = |state: &State| Ok(state.view()?.meta::<Erasing>(key::ERASING)?.is_some());
    State::open_read(state).and_then(|state| view(&state)).unwrap_or(false)
}

#[test]
fn one_node_goes_alone_and_old_ones_go_by_age() {
    let (videos, dir) = (Videos::find().small(), tempfile::tempdir().unwrap());
    let state = dir.path().join("state");
    done(&batch(&state, &videos, &SMALL_CELLS).output().unwrap());
    let nodes: Vec<NodeId> =
        State::open_read(&state).unwrap().view().unwrap().nodes().unwrap().into_keys().collect();
    let node = nodes[nodes.len() / 2];
    let its = traces(&state, |n| n == node);
    let output = forget(&state, &["--node", &node.to_string()]).output().unwrap();
    done(&output);
    assert!(said(&output).contains("other views"), "{}", said(&output));
    verify(&state);
    assert_eq!(stats(&state)["nodes"].as_u64().unwrap(), nodes.len() as u64 - 1);
    assert_eq!(found(&state, &its), 0);
    no_mention(&state, |n| n == node);
    // What is committed is not read again, so it does not come back.
    done(&batch(&state, &videos, &SMALL_CELLS).output().unwrap());
    assert_eq!(stats(&state)["nodes"].as_u64().unwrap(), nodes.len() as u64 - 1);

    let before = digests(&state);
    done(&forget(&state, &["--older-than", "1d"]).output().unwrap());
    assert_eq!(digests(&state), before, "nothing is that old");
    done(&forget(&state, &["--older-than", "0s"]).output().unwrap());
    let found = stats(&state);
    assert_eq!((&found["nodes"], &found["lists"], &found["stills"]), (&0.into(), &0.into(), &0.into()));
    verify(&state);
    // The sources are known: nothing comes back.
    done(&batch(&state, &videos, &SMALL_CELLS).output().unwrap());
    assert_eq!(stats(&state)["nodes"], 0);
}

#[test]
fn a_request_that_names_nothing_says_what_there_is() {
    let (videos, dir) = (Videos::find().small(), tempfile::tempdir().unwrap());
    let state = dir.path().join("state");
    let none = forget(&state, &["--source", "nobody"]).output().unwrap();
    assert!(said(&none).contains("no kinetograph state"), "{}", said(&none));
    assert!(!state.exists(), "forgetting made a state");
    done(&batch(&state, &videos[..1], &[]).output().unwrap());
    let source = forget(&state, &["--source", "nobody"]).output().unwrap();
    assert_eq!(source.status.code(), Some(3));
    assert!(said(&source).contains(&last_name(&videos[..1])), "{}", said(&source));
    let node = forget(&state, &["--node", "7"]).output().unwrap();
    assert!(said(&node).contains("no node 7; there are"), "{}", said(&node));
    for wrong in [&["--older-than", "soon"][..], &[], &["--node", "1", "--source", "x"]] {
        assert_eq!(forget(&state, wrong).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_state_that_somebody_writes_to_is_left_alone() {
    let (videos, dir) = (Videos::find().small(), tempfile::tempdir().unwrap());
    let state = dir.path().join("state");
    let mut running = kinetograph(&["run", "--no-train", "--quiet", "--state"])
        .arg(&state)
        .args(&videos)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !kinetograph(&["stats", "--state"]).arg(&state).output().unwrap().status.success() {
        assert!(running.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = forget(&state, &["--older-than", "0s"]).output().unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("another kinetograph process"), "{}", said(&output));
}

#[test]
fn nobody_trains_meanwhile() {
    let (videos, dir) = (Videos::find().small(), tempfile::tempdir().unwrap());
    let state = dir.path().join("state");
    done(&batch(&state, &videos[..1], &[]).output().unwrap());
    let before = digests(&state);
    std::fs::create_dir(state.join("train")).unwrap();
    let training = kinetograph::train::lock::take(&state.join("train")).unwrap();
    let output = forget(&state, &["--older-than", "0s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("a training is under way"), "{}", said(&output));
    assert_eq!(digests(&state), before);
    drop(training);
    let nowhere = dir.path().join("nowhere").display().to_string();
    let output = forget(&state, &["--older-than", "0s", "--checkpoint", &nowhere]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("nowhere"), "{}", said(&output));
    assert_eq!(digests(&state), before);
    done(&forget(&state, &["--older-than", "0s"]).output().unwrap());
    assert_eq!(stats(&state)["nodes"], 0);
}

#[cfg(feature = "train")]
#[test]
fn a_training_goes_on_without_what_was_forgotten() {
    use kinetograph::train::checkpoint::{Checkpoint, list};

    let (videos, dir) = (Videos::find().short(), tempfile::tempdir().unwrap());
    let state = dir.path().join("state");
    let mut command = batch(&state, &videos, &SMALL_CELLS);
    command.args(["--train", "--set", "train.max_steps=6", "--set", "train.checkpoint_every=3"]);
    done(
        &command
            .args(["--set", "train.batch_pairs=4", "--set", "train.updates_per_node=1"])
            .output()
            .unwrap(),
    );
    let named = |of_it: &dyn Fn(NodeId) -> bool| {
        let mut named = 0;
        for (_, file) in list(&state.join("train")).unwrap() {
            let checkpoint = Checkpoint::read(&file).unwrap();
            let (transitive, intra, _) = checkpoint.replay().unwrap();
            let pairs = transitive.kept.iter().chain(&intra.kept).flat_map(|(a, b)| [*a, *b]);
            named += pairs.chain(checkpoint.order().unwrap()).filter(|node| of_it(*node)).count();
        }
        named
    };
    let its = |node: NodeId| node.source().0 == 2;
    assert!(named(&its) > 0, "the checkpoints never knew what is forgotten: the test shows nothing");
    let output = forget(&state, &["--source", &last_name(&videos)]).output().unwrap();
    done(&output);
    assert!(said(&output).contains("replay buffers"), "{}", said(&output));
    assert!(named(&its) == 0 && named(&|_| true) > 0);
    let mut train = kinetograph(&["train", "--steps", "12", "--state"]);
    let output = train.arg(&state).args(["--set", "train.batch_pairs=4"]).output().unwrap();
    done(&output);
    assert!(said(&output).contains("12 steps"), "{}", said(&output));
    assert_eq!(named(&its), 0);
}
