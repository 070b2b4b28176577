//! Training over a feed in memory: coloured and textured crops of a few classes.

mod drawing;
mod numbers;

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kinetograph::train::TrainError;
use kinetograph::train::checkpoint::strike::{Struck, strike};
use kinetograph::train::checkpoint::{self, CheckpointError};
use kinetograph::train::feed::{Delta, Feed, FeedError, MemoryFeed};
use kinetograph::train::history;
use kinetograph::train::replay::{Buffer, Policy};
use kinetograph::train::settings::{Norm, Settings};
use kinetograph::train::trainer::{Progress, Stepped, Trainer, spawn};
use kinetograph::train::view::View;
use kinetograph_dataflows::id::{NodeId, SourceId, TrackId};
use kinetograph_dataflows::index::node::{ClassId, GroupId, Pair, PairKind};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;

const CLASSES: u64 = 4;

/// Two views of `tracks` tracks from track `first` on; track i is of class i mod 4. Tracks of a class follow each other
/// in a chain of inter-instance edges, so their other views are transitive pairs.
fn slice(epoch: u64, first: u64, tracks: u64) -> Delta {
    let mut delta = Delta { epoch, ..Delta::default() };
    for ordinal in first..first + tracks {
        let class = ordinal % CLASSES;
        for view in [0, 1] {
            let node = node(ordinal, view);
            delta.nodes.push((node, 1));
            delta.groups.push((node, GroupId(class as u32), 1));
            delta.classes.push((node, ClassId(class), 1));
        }
        if ordinal >= CLASSES {
            delta.pairs.push((pair(ordinal - CLASSES, ordinal), 1));
        }
    }
    delta
}

fn node(ordinal: u64, view: usize) -> NodeId {
    TrackId::new(SourceId(3), 0, ordinal).unwrap().node(view).unwrap()
}

fn pair(a: u64, b: u64) -> Pair {
    Pair { a: node(a, 1), b: node(b, 1), kind: PairKind::BothMoved, via_a: node(a, 0), via_b: node(b, 0) }
}

/// Stripes of the class's direction and colour, with noise of the node's own.
fn crop(node: NodeId) -> Vec<u8> {
    let class = (node.track().0 & 0xfff) % CLASSES;
    let mut rng = Pcg32::seed_from_u64(node.0);
    let shift: u32 = rng.random_range(0..12);
    let picture = image::RgbImage::from_fn(96, 96, |x, y| {
        let along = if class.is_multiple_of(2) { x } else { y };
        let stripe = (along + shift) / 6 % 2 * 120;
        let colour = if class < 2 { [stripe, 60, 100] } else { [60, stripe, 20] };
        image::Rgb(colour.map(|c| (c + rng.random_range(0..60u32)) as u8))
    });
    let mut jpeg = Cursor::new(Vec::new());
    picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    jpeg.into_inner()
}

fn feed(deltas: Vec<Delta>) -> MemoryFeed {
    let crops = deltas.iter().flat_map(|d| &d.nodes).map(|(n, _)| (*n, crop(*n))).collect();
    MemoryFeed { deltas, crops, open: false }
}

fn settings() -> Settings {
    Settings {
        batch_pairs: 6,
        threads: 1,
        random_only_steps: 4,
        updates_per_node: 1.0,
        ..Settings::default()
    }
}

fn train(feed: impl Feed + 'static, settings: &Settings, dir: &Path) -> Trainer<Box<dyn Feed>> {
    let mut trainer =
        Trainer::open(Box::new(feed) as Box<dyn Feed>, settings.clone(), dir, Arc::default()).unwrap();
    trainer.run(&AtomicBool::new(false)).unwrap();
    trainer
}

/// Every weight and momentum buffer of a checkpoint, bit for bit, with its state.
fn contents(dir: &Path, step: u64) -> (Vec<(String, Vec<u8>)>, String) {
    let file = checkpoint::path(dir, step);
    let bytes = fs::read(&file).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<_> = tensors.tensors().into_iter().map(|(n, v)| (n, v.data().to_vec())).collect();
    all.sort();
    let mut state = checkpoint::header(&file).unwrap();
    (state.seconds, state.settings.max_steps) = (0.0, None);
    (all, format!("{:?}", serde_json::to_string(&state).unwrap()))
}

#[test]
fn the_loss_goes_down_and_an_ended_stream_ends_training() {
    let dir = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let progress = Arc::new(Progress::default());
    let nodes = 2 * 40;
    let running =
        spawn(Box::new(feed(vec![slice(0, 0, 40)])), settings(), dir.path(), stop, progress.clone()).unwrap();
    let summary = running.join().unwrap().unwrap();
    assert_eq!(summary.steps, nodes, "one step a node and no more");
    assert_eq!(progress.steps.load(std::sync::atomic::Ordering::Relaxed), nodes);
    assert!(summary.loss_last < 0.6 * summary.loss_first, "{summary:?}");
    let lines = fs::read_to_string(dir.path().join(history::FILE)).unwrap();
    assert_eq!(lines.lines().count() as u64, nodes + 1);
    let fields: Vec<&str> = lines.lines().last().unwrap().split('\t').collect();
    assert_eq!(fields[0], "80");
    assert_eq!(fields[3].parse::<u64>().unwrap() + fields[4].parse::<u64>().unwrap(), 6);
    assert_eq!(fields[5], "0.500", "two of four negatives are hard by now");
}

#[test]
fn a_set_stop_ends_training_with_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut open = feed(vec![slice(0, 0, 10)]);
    open.open = true;
    let mut trainer = Trainer::open(open, settings(), dir.path(), Arc::default()).unwrap();
    assert!(trainer.take_in(Duration::ZERO).unwrap());
    assert!(matches!(trainer.step().unwrap(), Stepped::Done(_)));
    let summary = trainer.run(&AtomicBool::new(true)).unwrap();
    assert_eq!(summary.steps, 1);
    assert_eq!(checkpoint::list(dir.path()).unwrap().len(), 1);
    assert_eq!(checkpoint::oldest_epoch(dir.path()).unwrap(), Some(0));
}

/// A feed whose deltas come when a test says so.
#[derive(Clone)]
struct Staged(Arc<Mutex<MemoryFeed>>);

impl Feed for Staged {
    fn after(&mut self, epoch: Option<u64>, timeout: Duration) -> Result<Option<Delta>, FeedError> {
        self.0.lock().unwrap().after(epoch, timeout)
    }
    fn ended(&self) -> bool {
        self.0.lock().unwrap().ended()
    }
    fn crop(&mut self, node: NodeId) -> Result<Option<Vec<u8>>, FeedError> {
        self.0.lock().unwrap().crop(node)
    }
    fn as_of(&mut self, epoch: u64) -> Result<Delta, FeedError> {
        self.0.lock().unwrap().as_of(epoch)
    }
}

#[test]
fn twenty_steps_are_ten_and_ten_more_after_a_restart_to_the_bit() {
    let gone = Delta {
        epoch: 2,
        nodes: vec![(node(5, 0), -1), (node(5, 1), -1)],
        groups: vec![(node(5, 0), GroupId(1), -1), (node(5, 1), GroupId(1), -1)],
        classes: vec![(node(5, 0), ClassId(1), -1), (node(5, 1), ClassId(1), -1)],
        pairs: vec![(pair(1, 5), -1)],
    };
    let all = [slice(0, 0, 12), slice(1, 12, 8), gone, slice(3, 20, 6)];
    for (policy, norm) in [(Policy::Reservoir, Norm::Group), (Policy::Fifo, Norm::Batch)] {
        let settings = Settings {
            batch_pairs: 3,
            replay: policy,
            norm,
            replay_capacity: 18,
            checkpoint_every: 5,
            ..settings()
        };
        // The same epochs come after the same steps, in one run and in two.
        let run = |dir: &Path, restart: bool| {
            let staged = Staged(Arc::new(Mutex::new(feed(all.to_vec()))));
            staged.0.lock().unwrap().deltas.truncate(0);
            let open = || Trainer::open(staged.clone(), settings.clone(), dir, Arc::default()).unwrap();
            let mut trainer = open();
            for step in 0..20 {
                if restart && step == 10 {
                    trainer.write_checkpoint().unwrap();
                    // Steps after the checkpoint are lost with the process, and made again.
                    trainer.step().unwrap();
                    drop(trainer);
                    trainer = open();
                    assert_eq!(trainer.summary().resumed_from, Some(10));
                }
                if step % 5 == 0 {
                    staged.0.lock().unwrap().deltas.push(all[step / 5].clone());
                    assert!(trainer.take_in(Duration::ZERO).unwrap());
                }
                assert!(matches!(trainer.step().unwrap(), Stepped::Done(_)));
            }
            trainer.write_checkpoint().unwrap();
        };
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(one.path(), false);
        run(two.path(), true);
        let ((a, state_a), (b, state_b)) = (contents(one.path(), 20), contents(two.path(), 20));
        assert_eq!(state_a, state_b);
        assert_eq!(a.len(), b.len());
        for ((name, a), (_, b)) in a.iter().zip(&b) {
            assert!(a == b, "{policy:?}: {name} differs");
        }
        let steps = |dir: &Path| -> Vec<String> {
            let text = fs::read_to_string(dir.join(history::FILE)).unwrap();
            text.lines().map(|l| l.rsplit_once('\t').unwrap().0.to_owned()).collect()
        };
        assert_eq!(steps(one.path()), steps(two.path()), "the history is cut back and written on");
    }
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { checkpoint_every: 2, max_steps: Some(6), checkpoints_kept: 3, ..settings() };
    train(feed(vec![slice(0, 0, 8)]), &settings, dir.path());
    let steps = |dir: &Path| checkpoint::list(dir).unwrap().iter().map(|(s, _)| *s).collect::<Vec<_>>();
    assert_eq!(steps(dir.path()), [2, 4, 6]);
    // A write that was cut short never got its name; a truncated and an altered file did.
    fs::write(dir.path().join(".checkpoint-8.partial"), b"half").unwrap();
    let last = checkpoint::path(dir.path(), 6);
    let mut bytes = fs::read(&last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&last, &bytes).unwrap();
    let before = checkpoint::path(dir.path(), 4);
    let whole = fs::read(&before).unwrap();
    fs::write(&before, &whole[..whole.len() - 100]).unwrap();
    for file in [&last, &before] {
        let error = checkpoint::Checkpoint::read(file).err().unwrap();
        assert!(matches!(&error, CheckpointError::Damaged { file: named, .. } if named == file), "{error}");
    }
    let trainer = train(feed(vec![slice(0, 0, 8)]), &settings, dir.path());
    assert_eq!(trainer.summary().resumed_from, Some(2));
    assert_eq!(trainer.summary().steps, 6);
    drop(trainer);
    assert_eq!(steps(dir.path()), [2, 4, 6]);
    for (_, file) in checkpoint::list(dir.path()).unwrap() {
        fs::write(file, b"gone").unwrap();
    }
    let error = Trainer::open(feed(vec![]), settings, dir.path(), Arc::default()).err().unwrap();
    assert!(matches!(error, TrainError::Checkpoint(CheckpointError::Damaged { file, .. }) if file == last));
}

#[test]
fn another_network_does_not_resume_and_nonsense_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { max_steps: Some(1), ..settings() };
    train(feed(vec![slice(0, 0, 8)]), &settings, dir.path());
    let other = Settings { norm: Norm::None, ..settings.clone() };
    let error = Trainer::open(feed(vec![]), other, dir.path(), Arc::default()).err().unwrap();
    assert!(matches!(error, TrainError::Checkpoint(CheckpointError::Foreign { .. })), "{error}");
    let nonsense = Settings { lr: f64::NAN, ..settings.clone() };
    let error = Trainer::open(feed(vec![]), nonsense, dir.path(), Arc::default()).err().unwrap();
    assert!(error.to_string().contains("train.lr"), "{error}");
    let wild = Settings { lr: 1e30, max_steps: None, ..settings };
    let fresh = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::open(feed(vec![slice(0, 0, 8)]), wild, fresh.path(), Arc::default()).unwrap();
    assert!(matches!(trainer.run(&AtomicBool::new(false)), Err(TrainError::NotFinite { .. })));
}

#[test]
fn a_retracted_pair_is_never_drawn_again() {
    for policy in [Policy::Reservoir, Policy::Fifo] {
        let mut rng = Pcg32::seed_from_u64(5);
        let (mut view, mut buffer) = (View::default(), Buffer::new(policy, 45, 5));
        buffer.follow(&view.apply(&slice(0, 0, 100)));
        let mut held: Vec<Pair> = slice(0, 0, 100).pairs.into_iter().map(|(p, _)| p).collect();
        let mut gone = HashSet::new();
        for epoch in 1..60 {
            let mut delta = Delta { epoch, ..Delta::default() };
            let retracted = held.swap_remove(rng.random_range(0..held.len() as u64) as usize);
            gone.insert((retracted.a, retracted.b));
            delta.pairs.push((retracted, -1));
            let retired = node(epoch, 0);
            delta.nodes.push((retired, -1));
            delta.groups.push((retired, GroupId((epoch % CLASSES) as u32), -1));
            delta.classes.push((retired, ClassId(epoch % CLASSES), -1));
            gone.insert((node(epoch, 0), node(epoch, 1)));
            let fresh = 100 + epoch;
            delta.nodes.extend([(node(fresh, 0), 1), (node(fresh, 1), 1)]);
            let new = pair(epoch, fresh);
            delta.pairs.push((new, 1));
            held.push(new);
            buffer.follow(&view.apply(&delta));
            let (transitive, intra) = buffer.len();
            assert!(transitive <= 35 && intra <= 10, "{transitive} and {intra}");
            for _ in 0..200 {
                let (kind, (a, b)) = buffer.draw().unwrap();
                let pair = (a.min(b), a.max(b));
                assert!(!gone.contains(&pair) && view.holds(kind, pair), "{policy:?} drew {pair:?}");
            }
        }
        assert_eq!(buffer.keep_only(&view), 0);
    }
}

/// A feed that must not be asked for some nodes' crops.
struct Without(MemoryFeed, BTreeSet<NodeId>);

impl Feed for Without {
    fn after(&mut self, epoch: Option<u64>, timeout: Duration) -> Result<Option<Delta>, FeedError> {
        self.0.after(epoch, timeout)
    }
    fn ended(&self) -> bool {
        self.0.ended()
    }
    fn crop(&mut self, node: NodeId) -> Result<Option<Vec<u8>>, FeedError> {
        assert!(!self.1.contains(&node), "node {node} was drawn");
        self.0.crop(node)
    }
    fn as_of(&mut self, epoch: u64) -> Result<Delta, FeedError> {
        self.0.as_of(epoch)
    }
}

#[test]
fn a_node_struck_from_checkpoints_is_never_drawn_and_the_weights_stay() {
    let struck: BTreeSet<NodeId> = [5, 9].iter().flat_map(|t| [node(*t, 0), node(*t, 1)]).collect();
    for policy in [Policy::Reservoir, Policy::Fifo] {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            replay: policy,
            replay_capacity: 30,
            checkpoint_every: 4,
            max_steps: Some(8),
            ..settings()
        };
        drop(train(feed(vec![slice(0, 0, 20)]), &settings, dir.path()));
        fs::write(dir.path().join("checkpoint-000000002.safetensors.damaged"), b"who knows").unwrap();
        let before = [4, 8].map(|step| contents(dir.path(), step));
        let done = strike(dir.path(), &struck).unwrap();
        assert!(done.checkpoints == 2 && done.pairs > 0 && done.removed == 1, "{policy:?}: {done:?}");
        for (step, (tensors, state)) in [4, 8].into_iter().zip(&before) {
            let (now, state_now) = contents(dir.path(), step);
            assert_eq!(&state_now, state);
            for ((name, now), (_, before)) in now.iter().zip(tensors) {
                let holds_nodes = name.starts_with("replay.") || name == "view.order";
                assert!(holds_nodes || now == before, "{policy:?}: {name} changed");
                let ids: BTreeSet<NodeId> =
                    now.as_chunks::<8>().0.iter().map(|b| NodeId(u64::from_le_bytes(*b))).collect();
                assert!(!holds_nodes || ids.is_disjoint(&struck), "{policy:?}: {name} names a struck node");
            }
        }
        assert_eq!(
            strike(dir.path(), &struck).unwrap(),
            Struck::default(),
            "there is nothing more to strike"
        );

        // The graph's history says nothing of them either.
        let mut all = [slice(0, 0, 20), slice(1, 20, 12)];
        for delta in &mut all {
            delta.nodes.retain(|(node, _)| !struck.contains(node));
            delta.groups.retain(|(node, ..)| !struck.contains(node));
            delta.classes.retain(|(node, ..)| !struck.contains(node));
            delta.pairs.retain(|(p, _)| ![p.a, p.b, p.via_a, p.via_b].iter().any(|n| struck.contains(n)));
        }
        let settings = Settings { max_steps: Some(20), ..settings };
        let trainer = train(Without(feed(all.to_vec()), struck.clone()), &settings, dir.path());
        assert_eq!((trainer.summary().resumed_from, trainer.summary().steps), (Some(8), 20));
    }
}

#[test]
fn one_folder_has_one_trainer() {
    let dir = tempfile::tempdir().unwrap();
    let first = Trainer::open(feed(vec![]), settings(), dir.path(), Arc::default()).unwrap();
    let second = Trainer::open(feed(vec![]), settings(), dir.path(), Arc::default()).err().unwrap();
    assert!(second.to_string().contains("another training"), "{second}");
    drop(first);
    Trainer::open(feed(vec![]), settings(), dir.path(), Arc::default()).unwrap();
}

#[test]
fn a_graph_without_negatives_trains_nothing_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut alone = slice(0, 0, 8);
    alone.groups.iter_mut().for_each(|(_, group, _)| *group = GroupId(0));
    let summary = train(feed(vec![alone]), &settings(), dir.path()).summary();
    assert_eq!(summary.steps, 0);
    assert!(summary.no_negative > 0);
    assert!(checkpoint::list(dir.path()).unwrap().is_empty());
}

#[test]
fn an_unreadable_crop_costs_its_pairs_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut feed = feed(vec![slice(0, 0, 8)]);
    feed.crops.insert(node(2, 0), b"no picture".to_vec());
    feed.crops.remove(&node(3, 1));
    let summary = train(feed, &Settings { max_steps: Some(6), ..settings() }, dir.path()).summary();
    assert_eq!(summary.steps, 6);
    assert!(summary.unreadable > 0);
}
