//! Space: the map grows, deleted space is used again.

use kinetograph::store::lmdb::{LmdbStore, Opening};
use kinetograph::store::{Batch, Store, StoreError, Table};

use super::batches;

#[test]
fn a_map_that_is_outgrown_grows() {
    let dir = tempfile::tempdir().unwrap();
    let store = Opening { map_bytes: 1 << 20 }.write(dir.path()).unwrap();
    let mut batch = Batch::default();
    for key in 0..100_u8 {
        batch.put(Table::Stills, [key], vec![key; 100_000]);
    }
    store.commit(&batch).unwrap();
    for key in 0..100_u8 {
        let value = store.snapshot().unwrap().get(Table::Stills, &[key]).unwrap();
        assert!(value == Some(vec![key; 100_000]));
    }
}

#[test]
fn a_map_does_not_move_under_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let store = Opening { map_bytes: 1 << 20 }.write(dir.path()).unwrap();
    store.commit(&batches::batch(1)).unwrap();
    let snapshot = store.snapshot().unwrap();
    let mut large = Batch::default();
    large.put(Table::Stills, *b"large", vec![1; 3 << 20]);
    let refused = store.commit(&large).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Engine { reason, .. } if reason.contains("snapshots")),
        "{refused}"
    );
    assert_eq!(batches::held(&*snapshot), Ok(1));
    drop(snapshot);
    assert_eq!(batches::held_by(&store), 1, "nothing of the refused batch is there");
    store.commit(&large).unwrap();
}

#[test]
fn deleted_space_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(dir.path()).unwrap();
    let change = |put: bool, round: u8| {
        let mut batch = Batch::default();
        for key in 0..200_u16 {
            match put {
                true => batch.put(Table::Crops, key.to_be_bytes(), vec![round; 6_000]),
                false => batch.delete(Table::Crops, key.to_be_bytes()),
            }
        }
        store.commit(&batch).unwrap();
    };
    change(true, 0);
    let once = store.file_bytes().unwrap();
    for round in 1..20 {
        change(false, round);
        change(true, round);
    }
    let often = store.file_bytes().unwrap();
    assert!(often < 3 * once, "{once} bytes after one filling, {often} after twenty");
}
