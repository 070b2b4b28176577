//! Random epochs of a graph, in one store and dealt out to several: both show the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::index::node::{CellId, ClassId, GroupId, Pair, PairKind};
use kinetograph_dataflows::index::partition::codebook::Decision;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::super::history::keep;
use super::super::record::MadeWith;
use super::*;
use crate::reshard::{part, reshard};
use crate::store::Batch;
use crate::store::memory::MemoryStore;

const SOURCES: u32 = 5;

fn random_node(rng: &mut Pcg64) -> NodeId {
    NodeId(u64::from(rng.random_range(0..SOURCES)) << 40 | rng.random_range(0..4u64) << 8)
}

/// Some of everything, as an epoch changes it; without history.
fn epoch(view: &View<'_>, epoch: u64, rng: &mut Pcg64) -> Batch {
    let (mut batch, mut delta, mut log) = (Batch::default(), EpochDelta::default(), EpochLog::default());
    let bytes = |rng: &mut Pcg64| rng.random::<u64>().to_le_bytes();
    for _ in 0..rng.random_range(1..8) {
        let (node, other) = (random_node(rng), random_node(rng));
        let there = view.raw(Table::Nodes, &key::node(node)).unwrap().is_some();
        if there && rng.random_bool(0.2) {
            batch.delete(Table::Nodes, key::node(node));
            batch.delete(Table::Crops, key::node(node));
            batch.delete(Table::Vectors, key::vector(key::FIRST_SPACE, node));
            delta.nodes.push((node, -1));
        } else {
            batch.put(Table::Nodes, key::node(node), bytes(rng));
            batch.put(Table::Crops, key::node(node), bytes(rng));
            batch.put(Table::Vectors, key::vector(key::FIRST_SPACE, node), bytes(rng));
            delta.nodes.push((node, 1));
        }
        batch.put(
            Table::Lists,
            key::list(key::FIRST_SPACE, node, CellId(rng.random_range(0..3))),
            bytes(rng),
        );
        batch.put(Table::Cells, key::in_first_space(&key::node(node)), bytes(rng));
        batch.put(Table::Edges, key::in_first_space(&key::nodes(&[node, other])), []);
        batch.put(Table::Clusters, key::in_first_space(&key::nodes(&[node, other, node])), []);
        let pair = Pair { a: node, b: other, kind: PairKind::AMoved, via_a: other, via_b: node };
        let key = key::in_first_space(&key::pair(&pair));
        let there = view.raw(Table::Pairs, &key).unwrap();
        match there {
            Some(_) => batch.delete(Table::Pairs, key),
            None => batch.put(Table::Pairs, key, []),
        }
        delta.pairs.push((pair, if there.is_some() { -1 } else { 1 }));
        let (old, new) =
            (view.raw(Table::Groups, &key::in_first_space(&key::node(node))).unwrap(), rng.random());
        delta.groups.extend(old.map(|old| ((node, GroupId(key::u32_at(&old, 0).unwrap())), -1)));
        delta.groups.push(((node, GroupId(new)), 1));
        batch.put(Table::Groups, key::in_first_space(&key::node(node)), new.to_be_bytes());
        let (old, new) =
            (view.raw(Table::Classes, &key::in_first_space(&key::node(node))).unwrap(), rng.random());
        delta.classes.extend(old.map(|old| ((node, ClassId(key::u64_at(&old, 0).unwrap())), -1)));
        delta.classes.push(((node, ClassId(new)), 1));
        batch.put(Table::Classes, key::in_first_space(&key::node(node)), new.to_be_bytes());
    }
    // A change is told once, though drawn twice.
    delta.nodes.sort_by_key(|(node, diff)| (-diff, *node));
    delta.nodes.dedup_by_key(|(node, _)| *node);
    delta.pairs.sort_by_key(|(pair, diff)| (*diff, *pair));
    delta.pairs.dedup_by_key(|(pair, _)| *pair);
    delta.groups.sort_by_key(|(record, diff)| (*diff, *record));
    delta.classes.sort_by_key(|(record, diff)| (*diff, *record));
    for source in 0..SOURCES {
        if epoch == 1 || rng.random_bool(0.4) {
            batch.put(Table::Sources, key::source(SourceId(source)), bytes(rng));
            batch.put(Table::Stills, key::still(rng.random(), SourceId(source), epoch), bytes(rng));
            log.slices.push((SourceId(source), epoch, epoch + 1));
        }
    }
    if rng.random_bool(0.3) {
        log.decisions.push((epoch + 3, Decision::Merge { cell: CellId(0) }));
        batch.put(
            Table::Decisions,
            key::decision(key::FIRST_SPACE, epoch + 3, 0),
            encode(&log.decisions[0].1),
        );
        log.retired = Some((epoch + 3, vec![random_node(rng)]));
        let totals = Totals { retired: epoch, forgotten: 0 };
        batch.put(Table::Meta, key::TOTALS, encode(&totals));
    }
    batch.put(Table::Log, key::epoch(epoch), encode(&log));
    batch.put(Table::Deltas, key::epoch(epoch), encode(&delta));
    batch.put(Table::Meta, key::EPOCH, encode(&epoch));
    batch
}

/// Returns what a process commits of `whole`.
fn share(shard: Shard, epoch: u64, whole: &Batch) -> Batch {
    let mut batch = Batch::default();
    for (table, key, value) in whole.changes() {
        let own = match table {
            // Each process knows how far it read its own sources.
            Table::Sources => epoch == 1 || shard.keeps(*table, key),
            _ => true,
        };
        match value {
            Some(value) if own => {
                if let Some(value) = part(shard, *table, key, value) {
                    batch.put(*table, key.clone(), value);
                }
            }
            None if shard.keeps(*table, key) => batch.delete(*table, key.clone()),
            _ => {}
        }
    }
    batch
}

fn commit(state: &State, epoch: u64, mut batch: Batch) {
    let view = state.view().unwrap();
    keep(&view, epoch, false, &mut batch).unwrap();
    drop(view);
    state.commit(&batch).unwrap();
}

fn begun(name: &str, shard: Shard) -> State {
    let state = State::over(Arc::new(MemoryStore::default()), Path::new(name)).unwrap();
    let mut batch = Batch::default();
    batch.put(Table::Meta, key::SETTINGS, encode(&MadeWith { config: "a = 1".into(), space: "s".into() }));
    if shard != Shard::WHOLE {
        batch.put(Table::Meta, key::SHARD, encode(&shard));
    }
    state.commit(&batch).unwrap();
    state
}

fn shards(of: u32) -> Vec<State> {
    (0..of).map(|process| begun(&format!("shard {process}"), Shard { process, of })).collect()
}

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn records(view: &View<'_>, table: Table, from: &[u8]) -> Records {
    let mut records = Records::new();
    view.scan(table, from, &mut |key, value| {
        records.push((key.to_vec(), value.to_vec()));
        true
    })
    .unwrap();
    records
}

/// What is gone for good, or not taken back.
const NOT_THEN: [Table; 3] = [Table::Stills, Table::Crops, Table::Vectors];

fn assert_same(shown: &View<'_>, whole: &View<'_>, but: &[Table], what: &str) {
    for table in Table::ALL {
        if table == Table::History || but.contains(&table) {
            continue;
        }
        let mut all = records(whole, table, &[]);
        if table == Table::Meta {
            // What a store counts from is its own.
            all.retain(|(key, _)| key != key::TOTALS && key != key::FORMAT);
            let mut own = records(shown, table, &[]);
            own.retain(|(key, _)| key != key::TOTALS && key != key::FORMAT);
            assert_eq!(own, all, "{what}: meta");
            assert_eq!(shown.totals().unwrap(), whole.totals().unwrap(), "{what}");
            continue;
        }
        assert_eq!(records(shown, table, &[]), all, "{what}: {table:?}");
        for at in [0, all.len() / 3, all.len() / 2] {
            let Some((from, value)) = all.get(at) else { continue };
            assert_eq!(records(shown, table, from), all[at..], "{what}: {table:?} from record {at}");
            assert_eq!(shown.raw(table, from).unwrap().as_ref(), Some(value), "{what}: {table:?}");
        }
    }
}

#[test]
fn shards_show_what_the_whole_shows_now_then_and_when_one_is_behind() {
    for (seed, of) in [(0, 1), (1, 2), (2, 3), (3, 2), (4, 7)] {
        let mut rng = Pcg64::seed_from_u64(seed);
        let (whole, parts) = (begun("whole", Shard::WHOLE), shards(of));
        let mut behind = Vec::new();
        for now in 1..=30 {
            let batch = epoch(&whole.view().unwrap(), now, &mut rng);
            for (process, state) in (0..).zip(&parts) {
                let share = share(Shard { process, of }, now, &batch);
                // From epoch 27 on, one process lags.
                if now > 27 && process == of - 1 && of > 1 {
                    behind.push((now, share));
                } else {
                    commit(state, now, share);
                }
            }
            commit(&whole, now, batch);
        }
        let all = State::of_shards(parts.iter().rev().cloned().collect()).unwrap();
        if of > 1 {
            assert_eq!(all.view().unwrap().epoch().unwrap(), 27);
            let then = whole.view_as_of(27).unwrap();
            assert_same(&all.view().unwrap(), &then, &NOT_THEN, &format!("of {of}, one behind"));
            assert!(all.view_as_of(28).is_err(), "not all have epoch 28");
        }
        behind.into_iter().for_each(|(now, share)| commit(&parts[of as usize - 1], now, share));
        assert_same(&all.view().unwrap(), &whole.view().unwrap(), &[], &format!("of {of}"));
        for then in [1, 13, 29] {
            let (shown, then) = (all.view_as_of(then).unwrap(), whole.view_as_of(then).unwrap());
            assert_same(&shown, &then, &NOT_THEN, &format!("of {of}, as it was"));
        }
        assert_eq!(all.since().unwrap(), whole.since().unwrap());
        if of > 1 {
            assert!(all.commit(&Batch::default()).is_err(), "several shards are only read");
        }
    }
}

#[test]
fn dealt_out_and_put_together_again_it_is_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Pcg64::seed_from_u64(11);
    let names = |of: usize, set: &str| -> Vec<PathBuf> {
        (0..of).map(|at| dir.path().join(format!("{set}{at}"))).collect()
    };
    let whole = begun("whole", Shard::WHOLE);
    let disk = State::open(&dir.path().join("whole")).unwrap();
    let settings = whole.view().unwrap().raw(Table::Meta, key::SETTINGS).unwrap().unwrap();
    let mut batch = Batch::default();
    batch.put(Table::Meta, key::SETTINGS, settings);
    disk.commit(&batch).unwrap();
    for now in 1..=12 {
        let batch = epoch(&whole.view().unwrap(), now, &mut rng);
        commit(&disk, now, batch.clone());
        commit(&whole, now, batch);
    }
    std::fs::create_dir(disk.train_dir()).unwrap();
    std::fs::write(disk.train_dir().join("loss.tsv"), "1").unwrap();
    drop(disk);
    let mut from = vec![dir.path().join("whole")];
    for (of, set) in [(2, "two"), (3, "three"), (1, "one")] {
        let to = names(of, set);
        let dealt = reshard(&from, &to).unwrap();
        let all = State::open_shards(&to).unwrap();
        assert_same(&all.view().unwrap(), &whole.view().unwrap(), &[], set);
        assert_eq!(dealt.epoch, 12);
        assert_eq!(dealt.nodes.iter().sum::<u64>(), whole.view().unwrap().nodes_count());
        assert_eq!(std::fs::read_to_string(to[0].join("train/loss.tsv")).unwrap(), "1");
        assert!(matches!(reshard(&from, &to), Err(crate::reshard::ReshardError::Taken(_))));
        assert!(from.iter().all(|folder| folder.exists()), "what was given stays");
        from = to;
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");
}

impl View<'_> {
    fn nodes_count(&self) -> u64 {
        records(self, Table::Nodes, &[]).len() as u64
    }
}

#[test]
fn what_is_not_all_of_one_graph_is_refused_by_name() {
    let said = |states: Vec<State>| State::of_shards(states).err().unwrap().to_string();
    let three = || shards(3);
    let missing = said(three().into_iter().take(2).collect());
    assert!(missing.starts_with("shard 1") && missing.contains("shard 2 is missing"), "{missing}");
    let twice = said([three(), shards(3)].concat());
    assert!(twice.contains("named twice"), "{twice}");
    let mixed = said(vec![three().swap_remove(0), shards(2).swap_remove(1)]);
    assert!(mixed.contains("not of the same graph"), "{mixed}");
    let alone = said(vec![three().swap_remove(1)]);
    assert!(alone.contains("shard 0 is missing"), "{alone}");
    assert!(State::of_shards(Vec::new()).is_err());
}
