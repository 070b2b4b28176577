//! One graph run by several processes, on real video, through the command line.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::Value;

use crate::video::Videos;

/// Small cells, so that the codebook grows on the way, and clusters of two, so that there are edges.
const SETTINGS: [&str; 7] = [
    "engine.slice_frames=16",
    "graph.closure.min_cluster=2",
    "graph.neighbours.codebook.growing.cap=24",
    "observe.segment_frames=32",
    "track.frames=10",
    "ingest.max_side=240",
    "track.template_px=48",
];

/// Processes that run one graph.
struct Cluster {
    dir: tempfile::TempDir,
    states: Vec<PathBuf>,
}

impl Cluster {
    fn new(of: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let states = (0..of).map(|process| dir.path().join(format!("shard-{process}"))).collect();
        let cluster = Cluster { dir, states };
        cluster.listen_anew();
        cluster
    }

    /// Names free ports in the host file.
    fn listen_anew(&self) {
        let free: Vec<TcpListener> =
            self.states.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let hosts: String =
            free.iter().map(|listener| format!("{}\n", listener.local_addr().unwrap())).collect();
        std::fs::write(self.hosts(), hosts).unwrap();
    }

    fn hosts(&self) -> PathBuf {
        self.dir.path().join("hosts")
    }

    fn command(&self, process: usize, videos: &[String], more: &[&str]) -> Command {
        let mut command = run(&self.states[process], videos, more);
        command.arg("--hostfile").arg(self.hosts()).args(["--process", &process.to_string()]);
        command
    }

    fn start(&self, process: usize, videos: &[String], more: &[&str]) -> Child {
        let mut command = self.command(process, videos, more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs all processes until they are through.
    fn run(&self, videos: &[String], more: &[&str]) {
        self.listen_anew();
        let children: Vec<Child> =
            (0..self.states.len()).map(|process| self.start(process, videos, more)).collect();
        children.into_iter().for_each(|child| done(&child.wait_with_output().unwrap()));
    }

    fn stats(&self) -> Value {
        stats(&self.states)
    }

    /// How far all are; 0 before they began.
    fn epoch(&self) -> u64 {
        let output = kinetograph(&["stats", "--json"], &self.states);
        serde_json::from_slice(&output.stdout).map_or(0, |stats: Value| stats["epoch"].as_u64().unwrap())
    }

    fn verify(&self) {
        done(&kinetograph(&["verify", "--quiet"], &self.states));
    }
}

fn run(state: &Path, videos: &[String], more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinetograph"));
    command.args(["run", "--batch", "--quiet", "--state"]).arg(state).args(videos);
    if !more.contains(&"--train") {
        command.arg("--no-train");
    }
    for set in SETTINGS {
        command.args(["--set", set]);
    }
    command.args(more);
    command
}

fn kinetograph(arguments: &[&str], states: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kinetograph"));
    command.args(arguments);
    for state in states {
        command.arg("--state").arg(state);
    }
    command.output().unwrap()
}

fn stats(states: &[PathBuf]) -> Value {
    let output = kinetograph(&["stats", "--json"], states);
    done(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a process that ended in failure said.
fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    said
}

#[test]
fn one_graph_on_any_number_of_processes_and_workers_which_may_change() {
    let videos = Videos::find().short();
    let dir = tempfile::tempdir().unwrap();
    let whole = [dir.path().join("whole")];
    // A quarter of what there is goes again.
    let all = [dir.path().join("all")];
    done(&run(&all[0], &videos, &[]).output().unwrap());
    let budget = format!("budget.nodes={}", stats(&all)["nodes"].as_u64().unwrap() * 3 / 4);
    let with = |workers: &'static str| ["--set", budget.as_str(), "--workers", workers];
    // The third comes in a second run.
    done(&run(&whole[0], &videos[..2], &with("2")).output().unwrap());
    done(&run(&whole[0], &videos, &with("1")).output().unwrap());
    let expected = stats(&whole);
    assert!(expected["inter_edges"].as_u64().unwrap() > 0, "nothing was found: the test shows nothing");
    assert!(expected["cells"].as_u64().unwrap() > 1, "the codebook did not grow: the test shows less");
    assert!(expected["retired"].as_u64().unwrap() > 0, "nothing was retired: the test shows less");
    for (of, first, then) in [(2, "1", "2"), (2, "2", "1"), (4, "1", "1")] {
        let cluster = Cluster::new(of);
        cluster.run(&videos[..2], &with(first));
        cluster.run(&videos, &with(then));
        let got = cluster.stats();
        for key in ["digests", "epoch", "nodes", "pairs", "retired", "frames", "log_epochs"] {
            assert_eq!(got[key], expected[key], "{key} of {of} processes, {first} workers, then {then}");
        }
        cluster.verify();
    }
}

#[test]
fn a_process_that_dies_ends_all_and_all_go_on_together() {
    let videos = Videos::find().short();
    let dir = tempfile::tempdir().unwrap();
    let whole = [dir.path().join("whole")];
    let begun = Instant::now();
    done(&run(&whole[0], &videos, &["--workers", "1"]).output().unwrap());
    let takes = begun.elapsed();
    let mut rng = Pcg64::seed_from_u64(5);
    let cluster = Cluster::new(2);
    let (mut hits, mut rounds) = (0, 0);
    while hits < 4 {
        rounds += 1;
        assert!(rounds < 20, "it is always through before it is killed");
        cluster.listen_anew();
        let mut children = [cluster.start(0, &videos, &[]), cluster.start(1, &videos, &[])];
        std::thread::sleep(takes.mul_f64(rng.random_range(0.05..0.5)));
        let killed: usize = hits % 2;
        children[killed].kill().unwrap();
        children[killed].wait().unwrap();
        let [first, second] = children;
        let left = if killed == 0 { second } else { first };
        let since = Instant::now();
        let left = left.wait_with_output().unwrap();
        assert!(since.elapsed() < Duration::from_secs(20), "it took {:?} to notice", since.elapsed());
        if left.status.success() {
            // Too late: everything anew.
            cluster.states.iter().for_each(|state| std::fs::remove_dir_all(state).unwrap());
            continue;
        }
        let said = refused(&left);
        let name = format!("process {killed} (127.0.0.1:");
        assert!(said.contains(&name), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        hits += 1;
    }
    cluster.run(&videos, &[]);
    assert_eq!(cluster.stats()["digests"], stats(&whole)["digests"]);
    cluster.verify();
}

#[test]
fn processes_that_are_not_alike_or_do_not_come_are_named() {
    let videos = Videos::find().small();
    let cluster = Cluster::new(2);
    let alone = refused(&cluster.command(0, &videos, &["--patience", "1"]).output().unwrap());
    assert!(alone.contains("process 1 (127.0.0.1:") && alone.contains("did not come"), "{alone}");
    let alone = refused(&cluster.command(1, &videos, &["--patience", "1"]).output().unwrap());
    assert!(alone.contains("process 0 (127.0.0.1:") && alone.contains("did not come"), "{alone}");
    std::fs::remove_dir_all(&cluster.states[0]).unwrap();
    // Who waited in vain is as new as who comes now.
    cluster.run(&videos, &[]);

    let both = |first: (&[String], &[&str]), second: (&[String], &[&str])| {
        cluster.listen_anew();
        for state in &cluster.states {
            let _ = std::fs::remove_dir_all(state);
        }
        let children = [cluster.start(0, first.0, first.1), cluster.start(1, second.0, second.1)];
        children.map(|child| refused(&child.wait_with_output().unwrap()))
    };
    let said = both((&videos, &["--set", "track.frames=12"]), (&videos, &[]));
    assert!(said.iter().all(|said| said.contains("track.frames") && said.contains("12")), "{said:?}");
    let said = both((&videos, &["--workers", "1"]), (&videos, &["--workers", "2"]));
    assert!(said.iter().all(|said| said.contains("--workers")), "{said:?}");
    let said = both((&videos, &[]), (&videos[..1], &[]));
    let lacking = Path::new(&videos[1]).file_name().unwrap().to_str().unwrap();
    let named = |said: &String| said.contains("number 2 of the list of sources") && said.contains(lacking);
    assert!(said.iter().all(named), "{said:?}");
    // Nothing is left of it.
    cluster.states.iter().for_each(|state| drop(std::fs::remove_dir_all(state)));
    cluster.run(&videos, &[]);
}

/// Somebody looks which ports are open, and stays: the others come all the same.
#[test]
fn strangers_who_say_nothing_keep_nobody_waiting() {
    let videos = Videos::find().small();
    let cluster = Cluster::new(2);
    // Longer than one stranger may be silent, and far less than all, one after the other.
    let patience = ["--patience", "12"];
    let first = cluster.start(0, &videos, &patience);
    let hosts = std::fs::read_to_string(cluster.hosts()).unwrap();
    let address = hosts.lines().next().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let mut strangers = Vec::new();
    while strangers.len() < 12 {
        strangers.extend(TcpStream::connect(address));
        assert!(Instant::now() < until, "nobody listens");
        std::thread::sleep(Duration::from_millis(10));
    }
    let second = cluster.start(1, &videos, &patience);
    [first, second].into_iter().for_each(|child| done(&child.wait_with_output().unwrap()));
}

/// One is told to stop: the other says so, and that is no failure.
#[cfg(unix)]
#[test]
fn a_process_that_is_told_to_stop_ends_all_in_peace() {
    let videos = ["test://?frames=100000&width=160&height=120", "test://?frames=100001&width=160&height=120"];
    let videos = videos.map(String::from);
    let cluster = Cluster::new(2);
    for told in 0..2 {
        let reached = cluster.epoch();
        cluster.listen_anew();
        let children = [cluster.start(0, &videos, &[]), cluster.start(1, &videos, &[])];
        let until = Instant::now() + Duration::from_secs(60);
        while cluster.epoch() <= reached {
            assert!(Instant::now() < until, "nothing is taken in");
            std::thread::sleep(Duration::from_millis(100));
        }
        let pid = children[told].id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let outputs = children.map(|child| child.wait_with_output().unwrap());
        outputs.iter().for_each(done);
        let said = String::from_utf8_lossy(&outputs[1 - told].stderr);
        assert!(said.contains("was told to stop") && !said.contains("panicked"), "{said}");
    }
    cluster.verify();
}

#[test]
fn a_shard_runs_as_itself_until_it_is_dealt_out_anew() {
    let videos = Videos::find().small();
    let cluster = Cluster::new(2);
    cluster.run(&videos[..1], &[]);
    let alone = refused(&run(&cluster.states[1], &videos, &[]).output().unwrap());
    assert!(alone.contains("shard 1 of 2") && alone.contains("reshard"), "{alone}");
    let hosts = cluster.hosts();
    let turned = ["--process", "0", "--hostfile", hosts.to_str().unwrap()];
    let turned = refused(&run(&cluster.states[1], &videos, &turned).output().unwrap());
    assert!(turned.contains("shard 1 of 2") && turned.contains("process 0 of 2"), "{turned}");
    // One of them is lost: the other does not go back to nothing.
    let lost = cluster.dir.path().join("lost");
    std::fs::rename(&cluster.states[1], &lost).unwrap();
    for _ in 0..2 {
        cluster.listen_anew();
        let children = [cluster.start(0, &videos, &[]), cluster.start(1, &videos, &[])];
        for child in children {
            let said = refused(&child.wait_with_output().unwrap());
            assert!(said.contains("its state is new"), "{said}");
        }
    }
    std::fs::remove_dir_all(&cluster.states[1]).unwrap();
    std::fs::rename(&lost, &cluster.states[1]).unwrap();

    let whole = [cluster.dir.path().join("whole")];
    done(&kinetograph(&["reshard", "--to", whole[0].to_str().unwrap()], &cluster.states));
    done(&run(&whole[0], &videos, &[]).output().unwrap());
    cluster.run(&videos, &[]);
    assert_eq!(cluster.stats()["digests"], stats(&whole)["digests"]);
}

/// Process 0 trains on what all have: crops come from where they were cut.
#[cfg(feature = "train")]
#[test]
fn process_0_trains_on_the_crops_of_all() {
    let videos = Videos::find().short();
    let cluster = Cluster::new(2);
    let mut set = vec!["--train"];
    for setting in [
        "budget.nodes=0",
        "graph.neighbours.groups.schedule=[[16, 4]]",
        "train.max_steps=2",
        "train.batch_pairs=8",
    ] {
        set.extend(["--set", setting]);
    }
    let children = [cluster.start(0, &videos, &set), cluster.start(1, &videos, &set)];
    children.into_iter().for_each(|child| done(&child.wait_with_output().unwrap()));
    let loss = |state: &Path| std::fs::read_to_string(state.join("train").join("loss.tsv"));
    let steps = loss(&cluster.states[0]).unwrap().lines().filter(|l| !l.starts_with("step")).count();
    assert_eq!(steps, 2);
    assert!(loss(&cluster.states[1]).is_err(), "one process trains");
}
