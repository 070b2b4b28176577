//! Random epochs, each noted as it was committed, then shown again from the last.

use std::path::Path;
use std::sync::Arc;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{CellId, ClassId, GroupId, Pair, PairKind};
use kinetograph_dataflows::index::partition::codebook::Decision;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::*;
use crate::state::State;
use crate::state::record::EpochLog;
use crate::store::memory::MemoryStore;

const NODES: u64 = 12;
/// Tables whose records go back, and those of which only the digest does.
const SHOWN: [Table; 12] = [
    Table::Nodes,
    Table::Sources,
    Table::Cells,
    Table::Groups,
    Table::Lists,
    Table::Clusters,
    Table::Edges,
    Table::Pairs,
    Table::Classes,
    Table::Decisions,
    Table::Log,
    Table::Meta,
];
const DIGESTED: [Table; 2] = [Table::Crops, Table::Vectors];

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// The records of `table`, from `from` on.
fn records(view: &View<'_>, table: Table, from: &[u8]) -> Records {
    let mut records = Records::new();
    view.scan(table, from, &mut |key, value| {
        records.push((key.to_vec(), value.to_vec()));
        true
    })
    .unwrap();
    records
}

/// A batch that changes some of everything, as an epoch does.
fn epoch(state: &State, epoch: u64, kept: u64, rng: &mut Pcg64) {
    epoch_of(state, epoch, kept, false, rng);
}

fn epoch_of(state: &State, epoch: u64, kept: u64, whole: bool, rng: &mut Pcg64) {
    let view = state.view().unwrap();
    let (mut batch, mut delta) = (Batch::default(), EpochDelta::default());
    for id in 0..NODES {
        let node = NodeId(id << 8);
        let there = view.raw(Table::Nodes, &key::node(node)).unwrap().is_some();
        if !there && rng.random_bool(0.3) {
            batch.put(Table::Nodes, key::node(node), vec![rng.random(); 3]);
            batch.put(Table::Crops, key::node(node), vec![rng.random(); 9]);
            batch.put(Table::Vectors, key::vector(key::FIRST_SPACE, node), vec![rng.random(); 8]);
        } else if there && rng.random_bool(0.1) {
            batch.delete(Table::Nodes, key::node(node));
            batch.delete(Table::Crops, key::node(node));
            batch.delete(Table::Vectors, key::vector(key::FIRST_SPACE, node));
        }
        if rng.random_bool(0.3) {
            let key = key::list(key::FIRST_SPACE, node, CellId(rng.random_range(0..2)));
            // As the committer does it: what goes is taken out before what comes is put.
            batch.delete(Table::Lists, key.clone());
            if rng.random_bool(0.8) {
                batch.put(Table::Lists, key, vec![rng.random(); 5]);
            }
        }
        if rng.random_bool(0.3) {
            let key = key::in_first_space(&key::node(node));
            let (old, new) = (view.raw(Table::Groups, &key), rng.random());
            if let Some(old) = old.unwrap() {
                delta.groups.push(((node, GroupId(key::u32_at(&old, 0).unwrap())), -1));
                batch.delete(Table::Groups, key.clone());
            }
            if rng.random_bool(0.8) {
                delta.groups.insert(0, ((node, GroupId(new)), 1));
                batch.put(Table::Groups, key, new.to_be_bytes());
            }
        }
        if rng.random_bool(0.2) {
            let (key, new) = (key::in_first_space(&key::node(node)), rng.random_range(0..4u64));
            if let Some(old) = view.raw(Table::Classes, &key).unwrap() {
                delta.classes.push(((node, ClassId(key::u64_at(&old, 0).unwrap())), -1));
            }
            delta.classes.push(((node, ClassId(new)), 1));
            batch.put(Table::Classes, key, new.to_be_bytes());
        }
        let mut toggle = |table, key: Vec<u8>| {
            let there = view.raw(table, &key).unwrap().is_some();
            if there {
                batch.delete(table, key)
            } else {
                batch.put(table, key, [])
            }
            if there { -1 } else { 1 }
        };
        let other = NodeId(rng.random_range(0..NODES) << 8);
        if rng.random_bool(0.2) {
            toggle(Table::Edges, key::in_first_space(&key::nodes(&[node, other])));
            toggle(Table::Clusters, key::in_first_space(&key::nodes(&[node, other, node])));
            let pair = Pair { a: node, b: other, kind: PairKind::AMoved, via_a: other, via_b: node };
            delta.pairs.push((pair, toggle(Table::Pairs, key::in_first_space(&key::pair(&pair)))));
        }
    }
    batch.put(
        Table::Cells,
        key::in_first_space(&key::node(NodeId(rng.random_range(0..NODES)))),
        vec![rng.random(); 4],
    );
    batch.put(
        Table::Sources,
        key::source(kinetograph_dataflows::id::SourceId(rng.random_range(0..2))),
        [rng.random()],
    );
    let decisions = vec![(epoch + 3, Decision::Merge { cell: CellId(0) }); rng.random_range(0..3)];
    for (order, (effective, decision)) in decisions.iter().enumerate() {
        batch.put(
            Table::Decisions,
            key::decision(key::FIRST_SPACE, *effective, order as u64),
            encode(decision),
        );
    }
    let log = EpochLog { decisions, ..EpochLog::default() };
    batch.put(Table::Log, key::epoch(epoch), encode(&log));
    batch.put(Table::Deltas, key::epoch(epoch), encode(&delta));
    if let Some(old) = epoch.checked_sub(kept) {
        batch.delete(Table::Deltas, key::epoch(old));
    }
    batch.put(Table::Meta, key::TOTALS, encode(&rng.random::<u64>()));
    batch.put(Table::Meta, key::EPOCH, encode(&epoch));
    keep(&view, epoch, whole, &mut batch).unwrap();
    drop(view);
    state.commit(&batch).unwrap();
}

fn noted(view: &View<'_>) -> (Vec<Records>, Vec<(u64, Digest)>) {
    let shown = SHOWN.iter().map(|table| records(view, *table, &[])).collect();
    let digests = SHOWN.iter().chain(&DIGESTED).filter(|t| **t != Table::Classes);
    (shown, digests.map(|table| view.digest(*table).unwrap()).collect())
}

#[test]
fn every_epoch_that_is_kept_is_shown_as_it_was() {
    for seed in 0..5 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let state = State::over(Arc::new(MemoryStore::default()), Path::new("past")).unwrap();
        let mut then = vec![(0, noted(&state.view().unwrap()))];
        let mut now = 0;
        for _ in 0..40 {
            // Not every epoch is committed.
            now += rng.random_range(1..4);
            epoch(&state, now, 1000, &mut rng);
            then.push((now, noted(&state.view().unwrap())));
        }
        for (epoch, expected) in &then[1..] {
            let view = state.view_as_of(*epoch).unwrap();
            assert_eq!(&noted(&view), expected, "as of epoch {epoch}, seed {seed}");
            for table in SHOWN {
                let all = records(&view, table, &[]);
                for at in [0, all.len() / 3, all.len() / 2] {
                    let Some((from, value)) = all.get(at) else { continue };
                    assert_eq!(records(&view, table, from), all[at..], "{table:?} from record {at}");
                    assert_eq!(view.raw(table, from).unwrap().as_ref(), Some(value));
                }
            }
        }
        let between = then.windows(2).find(|w| w[0].0 + 1 < w[1].0 && w[0].0 > 0).unwrap();
        assert_eq!(noted(&state.view_as_of(between[0].0 + 1).unwrap()), between[0].1);
    }
}

#[test]
fn an_epoch_that_is_not_kept_is_refused_with_those_that_are() {
    let mut rng = Pcg64::seed_from_u64(9);
    let state = State::over(Arc::new(MemoryStore::default()), Path::new("past")).unwrap();
    (1..=20).for_each(|now| epoch(&state, now, 8, &mut rng));
    assert_eq!(since(&state.view().unwrap()).unwrap(), 12);
    for asked in [11, 21] {
        let said = state.view_as_of(asked).err().unwrap().to_string();
        assert!(said.contains(&format!("as of epoch {asked}")), "{said}");
        assert!(said.contains("from epoch 12") && said.contains("to 20"), "{said}");
    }
    assert!(state.view_as_of(12).is_ok() && state.view_as_of(20).is_ok());

    let mut batch = Batch::default();
    erase(&state.view().unwrap(), &mut batch).unwrap();
    state.commit(&batch).unwrap();
    assert_eq!(since(&state.view().unwrap()).unwrap(), 20);
    epoch(&state, 21, 8, &mut rng);
    assert_eq!(since(&state.view().unwrap()).unwrap(), 20);
    assert!(state.view_as_of(19).is_err() && state.view_as_of(20).is_ok());
}

#[test]
fn what_another_process_did_not_commit_is_undone_until_it_is_settled() {
    let everything = |state: &State| -> Vec<Records> {
        let view = state.view().unwrap();
        Table::ALL.iter().map(|table| records(&view, *table, &[])).collect()
    };
    let mut unsettled_ones = 0;
    for seed in 0..5 {
        let mut rng = Pcg64::seed_from_u64(seed);
        let state = State::over(Arc::new(MemoryStore::default()), Path::new("ahead")).unwrap();
        let mut then = Vec::new();
        for now in 1..=20 {
            epoch_of(&state, now, 1000, true, &mut rng);
            then.push(everything(&state));
        }
        for back in [18, 15, 12] {
            let batch = undo(&state.view().unwrap(), back).unwrap();
            state.commit(&batch).unwrap();
            assert_eq!(everything(&state), then[back as usize - 1], "back to {back}, seed {seed}");
        }
        let unsettled_at = |from| unsettled(&state.view().unwrap(), from).unwrap();
        let all = unsettled_at(1);
        unsettled_ones += all.len();
        let Some(last) = all.last().copied() else { continue };
        assert!(undo(&state.view().unwrap(), last - 1).is_ok());
        let mut batch = Batch::default();
        settle(&state.view().unwrap(), &all, &mut batch).unwrap();
        state.commit(&batch).unwrap();
        assert_eq!(unsettled_at(1), BTreeSet::new());
        let said = undo(&state.view().unwrap(), last - 1).unwrap_err().to_string();
        assert!(said.contains(&format!("as of epoch {}", last - 1)), "{said}");
    }
    assert!(unsettled_ones > 0, "nothing went: the test shows nothing");
}
