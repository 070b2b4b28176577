//! What one worker's rows do within an epoch, without timely. The operator's own test is in `neighbours`.

use super::places::{Misfit, Moves, Places};
use super::*;
use crate::id::{SourceId, TrackId};

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
    let mut places = Places::new(1);
    places.apply(0, vec![divide()], vec![(row(1, [1.0, 0.0]), 1), (row(2, [0.0, 1.0]), 1)]);
    let children = vec![(CellId(3), [1.0, 0.1].into()), (CellId(4), [1.0, -0.1].into())];
    let again = ((0, Decision::Divide { cell: CellId(1), children }), 1);
    let moves = places.apply(1, vec![again], vec![]);
    assert_eq!(cells(&moves), [(1, -1), (3, 1)]);
    assert_eq!((moves.data.len(), moves.queries.len(), moves.groups.len()), (2, 2, 0));
}

#[test]
fn a_row_that_comes_and_goes_in_one_epoch_leaves_no_trace() {
    let mut places = Places::new(1);
    let moves = places.apply(0, vec![], vec![(row(1, [1.0, 0.0]), -1), (row(1, [1.0, 0.0]), 1)]);
    assert!(moves.data.is_empty() && moves.misfits.is_empty(), "{moves:?}");
}

#[test]
fn a_row_replaced_as_its_cell_divides_leaves_the_old_cell_for_the_new() {
    let mut places = Places::new(1);
    places.apply(0, vec![], vec![(row(1, [1.0, 0.0]), 1)]);
    let moves = places.apply(1, vec![divide()], vec![(row(1, [0.0, 1.0]), 1), (row(1, [1.0, 0.0]), -1)]);
    assert_eq!(cells(&moves), [(0, -1), (2, 1)]);
}

#[test]
fn a_known_list_goes_along_with_the_first_query_only() {
    let mut places = Places::new(1);
    let known = Some(Arc::new(vec![(CellId(0), List::new())]));
    let moves = places.apply(0, vec![], vec![(Row { known, ..row(1, [1.0, 0.0]) }, 1)]);
    assert_eq!(moves.queries[0].0.1.known, Some(List::new()));
    let moves = places.apply(1, vec![divide()], vec![]);
    assert!(moves.queries.iter().all(|((_, query), _)| query.known.is_none() && query.row.known.is_none()));
}

#[test]
fn a_retracted_decision_is_told() {
    let ((order, decision), _) = divide();
    let moves = Places::new(1).apply(3, vec![((order, decision), -1)], vec![]);
    assert_eq!(moves.misfits, [Misfit::Retracted { order: 0, epoch: 3 }]);
}
