//! One walk through all rows: random changes, restart, past epochs, export, verification, forgetting and shards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};
use kinetograph_dataflows::id::{NodeId, SourceId, TrackId};
use kinetograph_dataflows::index::kernels::vector::{Precision, Vector};
use kinetograph_dataflows::index::node::{CellId, Row};
use kinetograph_dataflows::index::partition::codebook::Decision;
use kinetograph_dataflows::observe::frame::PixelBox;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::*;
use crate::config::Config;
use crate::epoch::Changes;
use crate::epoch::changes;
use crate::export::{export, export_as_of};
use crate::forget::{Settings, What, forget};
use crate::recompute::Rules;
use crate::reshard::reshard;
use crate::state::digest::Digest;
use crate::state::history;
use crate::state::kept::KeptSince;
use crate::state::record::{Counts, EpochLog, MadeWith, NodeRecord, SourceRecord};
use crate::state::stored::stored;
use crate::state::view::View;
use crate::state::{State, encode, key};
use crate::stats::stats;
use crate::store::{Batch, Table};
use crate::turn::{Given, Graph, Labels};
use crate::verify::verify;

const SOURCES: u32 = 3;
const DIMS: usize = 16;
const KINDS: u64 = 4;

fn config() -> Config {
    Config::parse(
        "[graph.neighbours]\nk = 5\nlook_into = 2\nseparation_s = 0.5\n[graph.closure]\nmin_cluster = 3\n",
        "walk",
    )
    .unwrap()
}

/// A state on disk that is changed at random.
struct Walk {
    state: State,
    graph: Graph,
    rng: Pcg64,
    epoch: u64,
    live: BTreeSet<NodeId>,
    next: u64,
    /// By collection: how many records came, and how many went.
    touched: BTreeMap<&'static str, [usize; 2]>,
}

impl Walk {
    fn begin(dir: &Path, seed: u64) -> Self {
        let state = State::open(dir).unwrap();
        let mut batch = Batch::default();
        let made = MadeWith { config: config().to_toml(), space: "walk".into() };
        batch.put(Table::Meta, key::SETTINGS, encode(&made));
        for id in 0..SOURCES {
            let source = SourceRecord {
                uri: format!("file:///{id}.mp4"),
                name: format!("{id}.mp4"),
                fingerprint: id.to_string(),
                position: 1 << 40,
                ended: false,
                failure: None,
                counts: Counts::default(),
                forgotten: false,
            };
            batch.put(Table::Sources, key::source(SourceId(id)), encode(&source));
        }
        state.commit(&batch).unwrap();
        let graph = Graph::start(2, &config().graph, Labels::default()).unwrap();
        let rng = Pcg64::seed_from_u64(seed);
        Walk { state, graph, rng, epoch: 0, live: BTreeSet::new(), next: 0, touched: BTreeMap::new() }
    }

    /// A vector near that of a kind, of unit length.
    fn vector(&mut self, kind: u64) -> Vec<f32> {
        let mut of_kind = Pcg64::seed_from_u64(1000 + kind);
        let mut near = || 3.0 * of_kind.random_range(-1.0f32..1.0) + self.rng.random_range(-1.0f32..1.0);
        let v: Vec<f32> = (0..DIMS).map(|_| near()).collect();
        let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
        v.into_iter().map(|x| x / norm).collect()
    }

    /// The next epoch: tracks come, nodes go, and what is decided for it takes effect.
    fn step(&mut self) {
        self.epoch += 1;
        let (epoch, mut given) = (self.epoch, Given::default());
        let (mut batch, mut gone) = (Batch::default(), Vec::new());
        let crop = crop();
        for _ in 0..self.rng.random_range(2..6) {
            let at = self.next;
            self.next += 1;
            let track = TrackId::new(SourceId((at % 3) as u32), at / 64, at % 64).unwrap();
            let kind = self.rng.random_range(0..KINDS);
            for view in 0..2 {
                let id = track.node(view).unwrap();
                let vector = Vector::new(&self.vector(kind), Precision::F32);
                let pts_ns = (at * 2 + view as u64) * 1_000_000_000;
                let anywhere = PixelBox { x: 0, y: 0, w: 96, h: 96 };
                let record = NodeRecord { seq: at, pts_ns, region: anywhere, crop_box: anywhere, epoch };
                batch.put(Table::Nodes, key::node(id), encode(&record));
                batch.put(Table::Crops, key::node(id), crop.clone());
                batch.put(Table::Vectors, key::vector(key::FIRST_SPACE, id), vector.to_bytes());
                given.rows.push((Row { id, pts_ns, vector, known: None }, 1));
                self.live.insert(id);
            }
        }
        for _ in 0..self.rng.random_range(0..if self.live.len() > 60 { 9 } else { 3 }) {
            let node = *self.live.iter().choose(&mut self.rng).unwrap();
            // What comes in an epoch does not go in it.
            if self.live.remove(&node) && given.rows.iter().all(|(row, _)| row.id != node) {
                given.rows.push((Row::gone(node), -1));
                gone.push(node);
            } else {
                self.live.insert(node);
            }
        }
        let centroids = [0, 1, 2].map(|kind| self.vector(kind));
        given.decisions = match epoch {
            6 => vec![Decision::Divide {
                cell: CellId(0),
                children: (1..).map(CellId).zip(centroids.map(Into::into)).collect(),
            }],
            9 => vec![Decision::Group { centroids: centroids.map(Into::into).to_vec() }],
            _ => Vec::new(),
        };
        for (order, decision) in given.decisions.iter().enumerate() {
            batch.put(
                Table::Decisions,
                key::decision(key::FIRST_SPACE, epoch, order as u64),
                encode(decision),
            );
        }
        let came: Vec<NodeId> = given.rows.iter().filter(|(_, d)| *d > 0).map(|(row, _)| row.id).collect();
        let (changes, _) = self.graph.turn(epoch, given).unwrap();
        assert_eq!(changes.errors, Vec::<String>::new());
        each_collection!(C => {
            let [came, went] = self.touched.entry(C::NAME).or_default();
            *came += C::of(&changes.of).iter().filter(|(_, diff)| *diff > 0).count();
            *went += C::of(&changes.of).iter().filter(|(_, diff)| *diff < 0).count();
        });
        changes::put(&changes, &gone, &mut batch);
        let delta = changes::delta(came.into_iter(), &changes, &gone);
        batch.put(Table::Deltas, key::epoch(epoch), encode(&delta));
        batch.put(Table::Log, key::epoch(epoch), encode(&EpochLog::default()));
        batch.put(Table::Meta, key::EPOCH, encode(&epoch));
        history::keep(&self.state.view().unwrap(), epoch, false, &mut batch).unwrap();
        self.state.commit(&batch).unwrap();
    }

    /// The graph anew, from what is stored; each row's difference is seen.
    fn restart(&mut self) {
        let restored = self.restored();
        let view = self.state.view().unwrap();
        assert_eq!(changes::inconsistent(&restored, &view).unwrap(), None);
        drop(view);
        each_collection!(C => {
            let undo = self.tamper::<C>();
            let view = self.state.view().unwrap();
            assert_eq!(changes::inconsistent(&restored, &view).unwrap(), Some(C::NAME));
            drop(view);
            self.state.commit(&undo).unwrap();
        });
    }

    /// Returns what a dataflow makes of what is stored.
    fn restored(&mut self) -> Changes {
        self.graph.finish().unwrap();
        let view = self.state.view().unwrap();
        let kept = stored(&self.state, &view, 1).unwrap();
        self.graph = Graph::start(1, &config().graph, kept.classes.clone()).unwrap();
        let given = Given {
            rows: kept.rows.into_iter().map(|row| (row, 1)).collect(),
            decisions: kept.decisions.into_iter().map(|(_, decision)| decision).collect(),
        };
        self.graph.turn(self.epoch, given).unwrap().0
    }

    /// Makes the state one of an earlier version, which did not keep `C`.
    fn lose<C: Collection>(&self) {
        let (mut batch, view) = (Batch::default(), self.state.view().unwrap());
        view.each::<C>(|key, _| batch.delete(C::TABLE, C::stored_key(key::FIRST_SPACE, &key))).unwrap();
        let kept = view.kept_since().unwrap();
        let mut less = KeptSince::nothing();
        each_collection!(Other => {
            if Other::TABLE != C::TABLE && kept.has(Other::TABLE, 0) {
                less.add(Other::TABLE, 0);
            }
        });
        batch.put(Table::Meta, key::COLLECTIONS, encode(&less));
        drop(view);
        self.state.commit(&batch).unwrap();
    }

    /// Takes one record of a collection out of the state; what puts it back.
    fn tamper<C: Collection>(&self) -> Batch {
        let (mut batch, mut undo) = (Batch::default(), Batch::default());
        let records = self.state.view().unwrap().read::<C>().unwrap();
        let record = records.into_iter().find(|(_, value)| !C::is_void(value));
        let (key, value) = record.unwrap_or_else(|| panic!("{} is empty", C::NAME));
        let key = C::stored_key(key::FIRST_SPACE, &key);
        batch.delete(C::TABLE, key.clone());
        undo.put(C::TABLE, key, C::value_bytes(&value));
        self.state.commit(&batch).unwrap();
        undo
    }
}

fn crop() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 50);
    encoder.write_image(&[128; 96 * 96 * 3], 96, 96, ExtendedColorType::Rgb8).unwrap();
    bytes.into_inner()
}

/// The records and digest of each collection, in words.
fn shown(view: &View<'_>) -> BTreeMap<&'static str, (String, (u64, Digest))> {
    let mut shown = BTreeMap::new();
    each_collection!(C => {
        let records = canonical::<C>(view.read::<C>().unwrap().into_iter().collect());
        shown.insert(C::NAME, (format!("{records:?}"), view.digest(C::TABLE).unwrap()));
    });
    shown
}

/// The tables of an export.
fn tables(folder: &Path) -> BTreeMap<String, String> {
    let mut tables = BTreeMap::from([("nodes.tsv".into(), read(folder, "nodes.tsv"))]);
    each_collection!(C => {
        if let Export::Table { file, columns, .. } = C::export() {
            let text = read(folder, file);
            assert_eq!(text.lines().next().unwrap(), columns.join("\t"));
            tables.insert(file.into(), text);
        }
    });
    tables
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

/// Whether a verification finds every row as it should be, and each row's missing record.
fn verified(walk: &Walk) {
    let rules = Rules::of(&config().graph);
    let look = || verify(&walk.state, &rules, None, &|_, _, _| {}).unwrap();
    let report = look();
    assert_eq!(report.differences, 0, "{report}");
    each_collection!(C => {
        assert!(report.check(C::NAME).is_some_and(|check| check.checked > 0), "{}", C::NAME);
        let undo = walk.tamper::<C>();
        let report = look();
        assert!(report.differences > 0, "{}", C::NAME);
        assert_eq!(report.check(C::NAME).unwrap().differences, report.differences, "{report}");
        walk.state.commit(&undo).unwrap();
    });
}

/// Another space beside the first: all that is of a space again under its number, less one record of each row.
fn beside(walk: &Walk) {
    const OTHER: u16 = 7;
    let view = walk.state.view().unwrap();
    let (mut batch, mut records) = (Batch::default(), BTreeMap::new());
    each_collection!(C => {
        let all = view.read::<C>().unwrap();
        for (key, value) in all.iter().skip(1) {
            batch.put(C::TABLE, C::stored_key(OTHER, key), C::value_bytes(value));
        }
        records.insert(C::NAME, all.len() - 1);
    });
    for (node, vector) in view.vectors().unwrap() {
        batch.put(Table::Vectors, key::vector(OTHER, node), vector.to_bytes());
    }
    batch.put(Table::Decisions, key::decision(OTHER, 1, 0), encode(&Decision::Merge { cell: CellId(9) }));
    drop(view);
    walk.state.commit(&batch).unwrap();
    let other = walk.state.view().unwrap().in_space(OTHER);
    each_collection!(C => {
        assert_eq!(other.read::<C>().unwrap().len(), records[C::NAME], "{}", C::NAME);
        assert_eq!(other.digest(C::TABLE).unwrap().0, records[C::NAME] as u64, "{}", C::NAME);
    });
    assert_eq!(other.decisions().unwrap().len(), 1);
    let first = walk.state.view().unwrap();
    assert_eq!(other.digest(Table::Vectors).unwrap(), first.digest(Table::Vectors).unwrap());
}

/// That a row's parts fit each other.
fn coherent<C: Collection>(view: &View<'_>) {
    for (key, value) in view.read::<C>().unwrap() {
        let (bytes, of_value) = (C::key_bytes(&key), C::value_bytes(&value));
        assert_eq!(key::u64_at(&bytes, 0), Some(C::home(&key).0), "{}: the home comes first", C::NAME);
        assert_eq!(C::read_key(&bytes).as_ref(), Some(&key));
        assert_eq!(C::read_value(&of_value).as_ref(), Some(&value));
        assert_eq!(C::read_key(&[&bytes[..], &[0]].concat()), None, "{}: a longer key", C::NAME);
        let record = C::join(key.clone(), value.clone());
        assert_eq!(C::parts(&record), (&key, &value));
        let mut names = BTreeSet::new();
        C::nodes(&key, &value, &mut |node| {
            names.insert(node);
        });
        assert!(names.contains(&C::home(&key)), "{}: the home is named", C::NAME);
    }
}

#[test]
fn every_row_is_kept_through_changes_restarts_and_history_and_shown_checked_forgotten_and_dealt_out() {
    let dir = tempfile::tempdir().unwrap();
    let (place, out) = (dir.path().join("state"), dir.path().join("out"));
    let rules = Rules::of(&config().graph);
    let mut walk = Walk::begin(&place, 5);
    let mut then = Vec::new();
    for at in 1..=24 {
        walk.step();
        if [7, 13, 20].contains(&at) {
            walk.restart();
        }
        if at % 5 == 0 {
            export(&walk.state, &rules, &out).unwrap();
            then.push((walk.epoch, shown(&walk.state.view().unwrap()), tables(&out)));
        }
    }
    for (name, [came, went]) in &walk.touched {
        assert!(*came > 0 && *went > 0, "{name}: nothing came or nothing went, so the walk shows nothing");
    }

    let alone = shown(&walk.state.view().unwrap());
    beside(&walk);
    assert_eq!(shown(&walk.state.view().unwrap()), alone, "another space beside it changes nothing");
    verified(&walk);
    each_collection!(C => { coherent::<C>(&walk.state.view().unwrap()) });
    for (epoch, expected, files) in &then {
        assert_eq!(&shown(&walk.state.view_as_of(*epoch).unwrap()), expected, "as of epoch {epoch}");
        export_as_of(&walk.state, *epoch, &rules, &out).unwrap();
        assert_eq!(&tables(&out), files, "as of epoch {epoch}");
    }
    let (first, last) = (&then[0], &then[then.len() - 1]);
    each_collection!(C => {
        assert_ne!(first.1[C::NAME], last.1[C::NAME], "{}: nothing changed", C::NAME);
        match C::export() {
            Export::Table { file, .. } => assert!(last.2[file].lines().count() > 1, "{file} is empty"),
            Export::Column { name, .. } => {
                let header = last.2["nodes.tsv"].lines().next().unwrap();
                assert!(header.split('\t').any(|column| column == name), "{header}");
            }
        }
    });

    // Dealt out to two and put together again, it is what it was.
    let now = shown(&walk.state.view().unwrap());
    let epoch = walk.epoch;
    let of_source: BTreeSet<NodeId> =
        walk.live.iter().copied().filter(|node| node.source() == SourceId(1)).collect();
    drop(walk);
    let two = [dir.path().join("a"), dir.path().join("b")];
    reshard(std::slice::from_ref(&place), &two).unwrap();
    let shards = State::open_shards(&two).unwrap();
    assert_eq!(shown(&shards.view().unwrap()), now);
    drop(shards);
    each_collection!(C => {
        for shard in &two {
            let state = State::open_read(shard).unwrap();
            let there = state.view().unwrap().read::<C>().unwrap().len();
            assert!(there > 0, "{}: all records are in one shard", C::NAME);
        }
    });
    reshard(&two, std::slice::from_ref(&dir.path().join("one"))).unwrap();
    assert_eq!(shown(&State::open_read(&dir.path().join("one")).unwrap().view().unwrap()), now);

    // A source goes, and nothing names its nodes any more.
    let settings = Settings { rebuild_codebook: false, checkpoints: Vec::new(), workers: 2 };
    forget(&place, &What::Source("1.mp4".into()), &settings).unwrap();
    let state = State::open(&place).unwrap();
    let view = state.view().unwrap();
    assert_eq!(view.epoch().unwrap(), epoch + 1);
    assert!(!of_source.is_empty());
    let forgotten = |node: NodeId| of_source.contains(&node);
    each_collection!(C => {
        let mut left = 0;
        view.each::<C>(|key, value| {
            C::nodes(&key, &value, &mut |node| assert!(!forgotten(node), "{} names {node}", C::NAME));
            left += 1;
        })
        .unwrap();
        assert!(left > 0, "{}: nothing is left", C::NAME);
    });
    for mut delta in view.deltas(0).unwrap().into_values() {
        assert!(!delta.strike(forgotten), "a delta names a forgotten node");
    }
    let report = verify(&state, &rules, None, &|_, _, _| {}).unwrap();
    assert_eq!(report.differences, 0, "{report}");
}

#[test]
fn a_row_that_an_earlier_version_did_not_keep_is_filled_by_a_run_and_by_forgetting() {
    let rules = Rules::of(&config().graph);
    let look = |state: &State| verify(state, &rules, None, &|_, _, _| {}).unwrap();
    each_collection!(C => {
        // Lists and classes are what a graph is restored from: no version lacks them.
        if ![Table::Lists, Table::Classes].contains(&C::TABLE) {
            let dir = tempfile::tempdir().unwrap();
            let mut walk = Walk::begin(dir.path(), 9);
            (0..11).for_each(|_| walk.step());
            let now = shown(&walk.state.view().unwrap());
            walk.lose::<C>();
            let report = look(&walk.state);
            assert_eq!((report.differences, &report.not_kept[..]), (0, &[C::NAME][..]), "{report}");
            assert!(!stats(&walk.state, 5).unwrap().digests.contains_key(C::NAME), "{}", C::NAME);

            let restored = walk.restored();
            let view = walk.state.view().unwrap();
            assert_eq!(changes::inconsistent(&restored, &view).unwrap(), None);
            let mut batch = Batch::default();
            assert_eq!(changes::fill(&restored, &view, walk.epoch, &mut batch).unwrap(), [C::NAME]);
            drop(view);
            walk.state.commit(&batch).unwrap();
            assert_eq!(shown(&walk.state.view().unwrap()), now, "{}", C::NAME);
            let before = walk.state.view_as_of(walk.epoch - 1).unwrap();
            assert!(!before.keeps::<C>().unwrap(), "{}: it is not known what was there then", C::NAME);
            drop(before);
            walk.step();
            assert!(look(&walk.state).not_kept.is_empty() && look(&walk.state).differences == 0);

            for rebuild_codebook in [false, true] {
                walk.lose::<C>();
                let node = *walk.live.first().unwrap();
                walk.live.remove(&node);
                let Walk { state, graph, rng, epoch, live, next, touched } = walk;
                drop(state);
                let settings = Settings { rebuild_codebook, checkpoints: Vec::new(), workers: 1 };
                forget(dir.path(), &What::Node(node.0), &settings).unwrap();
                let state = State::open(dir.path()).unwrap();
                let report = look(&state);
                assert!(report.not_kept.is_empty() && report.differences == 0, "{}: {report}", C::NAME);
                walk = Walk { state, graph, rng, epoch, live, next, touched };
            }
        }
    });
}
