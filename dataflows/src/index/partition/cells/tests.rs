//! What one worker's rows do within an epoch, without timely. The operator's own test is in `neighbours`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::places::{Moves, PlacementError, Places};
use super::*;
use crate::id::{SourceId, TrackId};
use crate::index::node::List;

fn row(n: u64, vector: [f32; 2]) -> Row {
    let id = TrackId::new(SourceId(1), 0, n).unwrap().node(0).unwrap();
    Row { id, pts_ns: 0, vector: vector.into(), known: None }
}

fn divide() -> ((u64, Decision), Diff) {
    let children = vec![(CellId(1), [1.0, 0.0].into()), (CellId(2), [0.0, 1.0].into())];
    ((0, Decision::Divide { cell: CellId(0), children }), 1)
}

fn cells(moves: &Moves) -> Vec<(u32, Diff)> {
    moves.cells.iter().map(|((_, cell), diff)| (cell.0, *diff)).collect()
}

#[test]
fn only_rows_whose_place_changes_move() {
    let mut places = Places::new(Probes::default());
    places.apply(0, vec![divide()], vec![(row(1, [1.0, 0.0]), 1), (row(2, [0.0, 1.0]), 1)]);
    let children = vec![(CellId(3), [1.0, 0.1].into()), (CellId(4), [1.0, -0.1].into())];
    let again = ((0, Decision::Divide { cell: CellId(1), children }), 1);
    let moves = places.apply(1, vec![again], vec![]);
    assert_eq!(cells(&moves), [(1, -1), (3, 1)]);
    assert_eq!((moves.data.len(), moves.queries.len(), moves.groups.len()), (2, 2, 0));
}

#[test]
fn a_row_that_comes_and_goes_in_one_epoch_leaves_no_trace() {
    let mut places = Places::new(Probes::default());
    let moves = places.apply(0, vec![], vec![(row(1, [1.0, 0.0]), -1), (row(1, [1.0, 0.0]), 1)]);
    assert!(moves.data.is_empty() && moves.errors.is_empty(), "{moves:?}");
}

#[test]
fn a_row_replaced_as_its_cell_divides_leaves_the_old_cell_for_the_new() {
    let mut places = Places::new(Probes::default());
    places.apply(0, vec![], vec![(row(1, [1.0, 0.0]), 1)]);
    let moves = places.apply(1, vec![divide()], vec![(row(1, [0.0, 1.0]), 1), (row(1, [1.0, 0.0]), -1)]);
    assert_eq!(cells(&moves), [(0, -1), (2, 1)]);
}

#[test]
fn a_known_list_goes_along_with_the_first_query_only() {
    let mut places = Places::new(Probes::default());
    let known = Some(Arc::new(vec![(CellId(0), List::new())]));
    let moves = places.apply(0, vec![], vec![(Row { known, ..row(1, [1.0, 0.0]) }, 1)]);
    assert_eq!(moves.queries[0].0.1.known, Some(List::new()));
    let moves = places.apply(1, vec![divide()], vec![]);
    assert!(moves.queries.iter().all(|((_, query), _)| query.known.is_none() && query.row.known.is_none()));
}

#[test]
fn a_retracted_decision_is_told() {
    let ((order, decision), _) = divide();
    let moves = Places::new(Probes::default()).apply(3, vec![((order, decision), -1)], vec![]);
    assert_eq!(moves.errors, [PlacementError::Retracted { order: 0, epoch: 3 }]);
}

/// Of few directions, so that many scores are equal.
fn vector(rng: &mut Pcg64) -> [f32; 2] {
    [rng.random_range(-2..=2) as f32, rng.random_range(-2..=2) as f32]
}

/// A decision that fits `codebook`: more often one that divides, and now and then new groups.
fn decision(codebook: &Codebook, rng: &mut Pcg64) -> Decision {
    let parents: Vec<CellId> = codebook.parents_of_leaves().map(|(parent, _)| parent).collect();
    let leaves: Vec<CellId> = codebook.leaves().collect();
    match rng.random_range(0..10) {
        0 => Decision::Group { centroids: (0..3).map(|_| vector(rng).into()).collect() },
        1..=3 if !parents.is_empty() => Decision::Merge { cell: parents[rng.random_range(0..parents.len())] },
        4..=6 if leaves.len() > 8 => Decision::Merge { cell: parents[rng.random_range(0..parents.len())] },
        _ => {
            let children = (codebook.next_id().0..).take(rng.random_range(2..=3));
            let children = children.map(|id| (CellId(id), vector(rng).into())).collect();
            Decision::Divide { cell: leaves[rng.random_range(0..leaves.len())], children }
        }
    }
}

/// Adds `changes` to `held`. Of nodes that were not replaced, no two may cancel out.
fn add<T: Ord + Copy + Debug>(
    held: &mut BTreeMap<(NodeId, T), Diff>,
    replaced: &BTreeSet<NodeId>,
    changes: impl Iterator<Item = ((NodeId, T), Diff)>,
) {
    let changes: Vec<_> = changes.collect();
    for (key, diff) in &changes {
        assert!(replaced.contains(&key.0) || !changes.contains(&(*key, -diff)), "{key:?} comes and goes");
        *held.entry(*key).or_default() += diff;
    }
    held.retain(|_, diff| *diff != 0);
}

/// Collections that have each of `keys` once.
fn once<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, Diff> {
    keys.map(|key| (key, 1)).collect()
}

#[test]
fn rows_are_where_the_codebook_puts_them_whatever_divides_and_merges() {
    let cases = [(1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (2, 1.0), (3, 1.3), (4, 2.0)];
    for (count, within) in cases {
        for seed in 0..40 {
            let probes = Probes { count, within };
            let mut rng = Pcg64::seed_from_u64(seed * 10 + count as u64);
            let (mut places, mut codebook) = (Places::new(probes), Codebook::default());
            let mut live: BTreeMap<NodeId, Row> = BTreeMap::new();
            let (mut data, mut queries) = (BTreeMap::new(), BTreeMap::new());
            let (mut cells, mut groups) = (BTreeMap::new(), BTreeMap::new());
            for epoch in 0..60 {
                let mut decisions = Vec::new();
                for order in 0..rng.random_range(0..4u64) {
                    let decision = decision(&codebook, &mut rng);
                    codebook.apply(&decision).unwrap();
                    decisions.push(((order, decision), 1));
                }
                let (mut changes, mut replaced) = (Vec::new(), BTreeSet::new());
                let leaving: Vec<NodeId> = live.keys().filter(|_| rng.random_bool(0.15)).copied().collect();
                for id in leaving {
                    changes.push((Row::gone(id), -1));
                    if let Some(old) = live.remove(&id).filter(|_| rng.random_bool(0.3)) {
                        let new = Row { vector: vector(&mut rng).into(), ..old };
                        changes.push((new.clone(), 1));
                        live.insert(id, new);
                        replaced.insert(id);
                    }
                }
                for at in 0..rng.random_range(0..8) {
                    let new = row(epoch * 8 + at, vector(&mut rng));
                    changes.push((new.clone(), 1));
                    live.insert(new.id, new);
                }
                let moves = places.apply(epoch, decisions, changes);
                assert_eq!(moves.errors, []);
                let stores = moves.data.iter().map(|((cell, row), diff)| ((row.id, *cell), *diff));
                let looked = moves.queries.iter().map(|((cell, query), diff)| ((query.row.id, *cell), *diff));
                add(&mut data, &replaced, stores);
                add(&mut queries, &replaced, looked);
                add(&mut cells, &replaced, moves.cells.into_iter());
                add(&mut groups, &replaced, moves.groups.into_iter());

                let of = recompute(live.values(), &codebook);
                let stored = once(of.iter().map(|(id, (cell, _))| (*id, *cell)));
                let probed = |row: &Row| codebook.probed(&row.vector.values(), probes);
                let looked = live.values().flat_map(|row| probed(row).into_iter().map(|cell| (row.id, cell)));
                let what = format!("{probes:?}, seed {seed}, epoch {epoch}");
                assert_eq!(data, stored, "{what}");
                assert_eq!(cells, stored, "{what}");
                assert_eq!(queries, once(looked), "{what}");
                assert_eq!(groups, once(of.iter().map(|(id, (_, group))| (*id, *group))), "{what}");
            }
        }
    }
}
