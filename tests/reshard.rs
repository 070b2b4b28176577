//! A state dealt out to several processes and put together again, through the command line, on real video.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::video::Videos;

fn kinetograph(arguments: &[&str], states: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinetograph"));
    command.args(arguments);
    for state in states {
        command.arg("--state").arg(state);
    }
    command.output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(3));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn shards_read_as_the_whole_and_go_on_as_one() {
    let videos = Videos::find();
    let found = videos.short();
    let dir = tempfile::tempdir().unwrap();
    let names = |names: &[&str]| names.iter().map(|name| dir.path().join(name)).collect::<Vec<_>>();
    let run = |states: &[PathBuf], of: usize| {
        let mut arguments = vec!["run", "--batch", "--no-train", "--quiet"];
        for set in [
            "graph.closure.min_cluster=3",
            "graph.neighbours.codebook.growing.cap=12",
            "observe.segment_frames=32",
            "track.frames=10",
            "ingest.max_side=240",
            "track.template_px=48",
        ] {
            arguments.extend(["--set", set]);
        }
        arguments.extend(found.iter().take(of).map(String::as_str));
        kinetograph(&arguments, states)
    };
    let stats = |states: &[PathBuf]| -> Value {
        serde_json::from_str(&done(&kinetograph(&["stats", "--json"], states))).unwrap()
    };
    let reshard = |from: &[PathBuf], to: &[PathBuf]| {
        let mut arguments = vec!["reshard"];
        to.iter().for_each(|to| arguments.extend(["--to", to.to_str().unwrap()]));
        kinetograph(&arguments, from)
    };
    let (whole, two, one) = (names(&["whole"]), names(&["two-0", "two-1"]), names(&["one"]));
    done(&run(&whole, 2));
    let then = stats(&whole);
    assert!(then["nodes"].as_u64().unwrap() > 0, "nothing was found: the test shows nothing");
    let said = done(&reshard(&whole, &two));
    assert!(said.contains("two-0") && said.contains("two-1"), "{said}");

    let turned = [two[1].clone(), two[0].clone()];
    for key in ["digests", "epoch", "nodes", "pairs", "stills", "frames", "log_epochs"] {
        assert_eq!(stats(&turned)[key], then[key], "{key}");
    }
    done(&kinetograph(&["verify", "--quiet"], &two));
    let out = dir.path().join("out");
    done(&kinetograph(&["export", "--out", out.to_str().unwrap()], &two));
    assert!(out.join("pairs.tsv").exists());

    let alone = refused(&kinetograph(&["stats"], &two[1..]));
    assert!(alone.contains("shard 0 is missing"), "{alone}");
    let part = refused(&kinetograph(&["forget", "--node", "1"], &two[..1]));
    assert!(part.contains("reshard"), "{part}");
    let again = refused(&reshard(&whole, &two));
    assert!(again.contains("two-0") && again.contains("already"), "{again}");

    done(&reshard(&two, &one));
    assert_eq!(stats(&one)["digests"], then["digests"]);
    // It goes on as the state that was never dealt out does.
    done(&run(&one, 3));
    done(&run(&whole, 3));
    assert_eq!(stats(&one)["digests"], stats(&whole)["digests"]);
    done(&kinetograph(&["verify", "--quiet"], &one));
}
