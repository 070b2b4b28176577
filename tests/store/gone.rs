//! A state whose folder is taken away while it is open.

use kinetograph::store::lmdb::LmdbStore;
use kinetograph::store::{Store, StoreError};

use super::batches;

#[test]
fn nothing_is_durable_in_a_folder_that_was_deleted_moved_or_replaced() {
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("state");
    let gone = |store: &LmdbStore| {
        assert!(matches!(store.commit(&batches::batch(2)), Err(StoreError::Gone { .. })));
        assert!(matches!(store.snapshot().map(drop), Err(StoreError::Gone { .. })));
    };
    let store = LmdbStore::open(&dir).unwrap();
    store.commit(&batches::batch(1)).unwrap();
    std::fs::rename(&dir, outside.path().join("elsewhere")).unwrap();
    gone(&store);
    // In its place another.
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(outside.path().join("elsewhere/data.mdb"), dir.join("data.mdb")).unwrap();
    gone(&store);
    drop(store);

    let store = LmdbStore::open(&outside.path().join("third")).unwrap();
    std::fs::remove_dir_all(store.dir()).unwrap();
    gone(&store);
}
