//! What every store promises, in memory and on disk.

use std::sync::atomic::{AtomicBool, Ordering};

use kinetograph::store::lmdb::LmdbStore;
use kinetograph::store::memory::MemoryStore;
use kinetograph::store::{Batch, MAX_KEY_BYTES, Snapshot, Store, StoreError, Table};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::batches;

fn with_each_store(test: impl Fn(&dyn Store)) {
    test(&MemoryStore::default());
    let dir = tempfile::tempdir().unwrap();
    test(&LmdbStore::open(dir.path()).unwrap());
}

fn put(store: &dyn Store, table: Table, key: &[u8], value: &[u8]) {
    let mut batch = Batch::default();
    batch.put(table, key, value);
    store.commit(&batch).unwrap();
}

fn scanned(snapshot: &dyn Snapshot, table: Table, from: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        true
    };
    snapshot.scan(table, from, &mut visit).unwrap();
    found
}

#[test]
fn what_was_put_is_found_in_its_table_only_until_deleted() {
    with_each_store(|store| {
        put(store, Table::Nodes, b"a", b"1");
        let snapshot = store.snapshot().unwrap();
        assert_eq!(snapshot.get(Table::Nodes, b"a").unwrap().unwrap(), b"1");
        assert_eq!(snapshot.get(Table::Nodes, b"b").unwrap(), None);
        assert_eq!(snapshot.get(Table::Crops, b"a").unwrap(), None);
        let mut batch = Batch::default();
        batch.delete(Table::Nodes, *b"a");
        batch.delete(Table::Nodes, *b"never there");
        store.commit(&batch).unwrap();
        assert_eq!(store.snapshot().unwrap().get(Table::Nodes, b"a").unwrap(), None);
    });
}

#[test]
fn the_last_change_of_a_key_wins() {
    with_each_store(|store| {
        let mut batch = Batch::default();
        batch.put(Table::Cells, *b"kept", *b"1");
        batch.delete(Table::Cells, *b"kept");
        batch.put(Table::Cells, *b"kept", *b"2");
        batch.put(Table::Cells, *b"gone", *b"1");
        batch.delete(Table::Cells, *b"gone");
        store.commit(&batch).unwrap();
        let found = scanned(&*store.snapshot().unwrap(), Table::Cells, &[]);
        assert_eq!(found, [(b"kept".to_vec(), b"2".to_vec())]);
    });
}

#[test]
fn a_scan_goes_by_bytes_from_where_it_is_told_and_stops_when_told() {
    with_each_store(|store| {
        let mut batch = Batch::default();
        for key in [&b"b"[..], b"a", b"ab", b"\xff", b"\0", b"c"] {
            batch.put(Table::Pairs, key, Vec::new());
        }
        batch.put(Table::Edges, *b"a", *b"before");
        batch.put(Table::Classes, *b"a", *b"behind");
        store.commit(&batch).unwrap();
        let snapshot = store.snapshot().unwrap();
        let keys = |from: &[u8]| scanned(&*snapshot, Table::Pairs, from).into_iter().map(|(key, _)| key);
        assert!(keys(b"").eq([&b"\0"[..], b"a", b"ab", b"b", b"c", b"\xff"]));
        assert!(keys(b"aa").eq([&b"ab"[..], b"b", b"c", b"\xff"]));
        assert!(keys(b"b").eq([&b"b"[..], b"c", b"\xff"]));
        assert_eq!(keys(b"\xff\0").count(), 0);
        assert_eq!(keys(&[0xff; 2 * MAX_KEY_BYTES]).count(), 0);
        let mut seen = 0;
        let mut two = |_: &[u8], _: &[u8]| {
            seen += 1;
            seen < 2
        };
        snapshot.scan(Table::Pairs, &[], &mut two).unwrap();
        assert_eq!(seen, 2);
    });
}

#[test]
fn a_snapshot_does_not_change_and_holds_no_commit_up() {
    with_each_store(|store| {
        store.commit(&batches::batch(1)).unwrap();
        let old = store.snapshot().unwrap();
        for number in 2..=20 {
            store.commit(&batches::batch(number)).unwrap();
        }
        let younger = store.snapshot().unwrap();
        assert_eq!(batches::held(&*old), Ok(1));
        assert_eq!(batches::held(&*younger), Ok(20));
    });
}

#[test]
fn values_may_be_empty_or_large() {
    with_each_store(|store| {
        let large: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
        put(store, Table::Stills, b"large", &large);
        put(store, Table::Stills, b"empty", b"");
        let snapshot = store.snapshot().unwrap();
        assert!(snapshot.get(Table::Stills, b"large").unwrap().unwrap() == large);
        assert_eq!(snapshot.get(Table::Stills, b"empty").unwrap().unwrap(), b"");
    });
}

#[test]
fn an_empty_batch_changes_nothing() {
    with_each_store(|store| {
        store.commit(&batches::batch(1)).unwrap();
        store.commit(&Batch::default()).unwrap();
        assert_eq!(batches::held_by(store), 1);
    });
}

#[test]
fn a_key_that_cannot_be_kept_refuses_the_whole_batch() {
    with_each_store(|store| {
        let longest = vec![7; MAX_KEY_BYTES];
        put(store, Table::Clusters, &longest, b"fits");
        for length in [0, MAX_KEY_BYTES + 1] {
            let mut batch = Batch::default();
            batch.put(Table::Clusters, *b"other", Vec::new());
            batch.put(Table::Clusters, vec![7; length], Vec::new());
            let refused = store.commit(&batch).unwrap_err();
            assert!(matches!(refused, StoreError::Key { bytes, .. } if bytes == length), "{refused}");
            assert_eq!(store.snapshot().unwrap().get(Table::Clusters, &vec![7; length]).unwrap(), None);
        }
        assert_eq!(scanned(&*store.snapshot().unwrap(), Table::Clusters, &[]), [(longest, b"fits".to_vec())]);
    });
}

#[test]
fn memory_and_disk_hold_the_same_after_random_batches_and_a_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryStore::default();
    let mut random = Pcg64Mcg::seed_from_u64(11);
    for _reopened in 0..3 {
        let disk = LmdbStore::open(dir.path()).unwrap();
        for _ in 0..40 {
            let mut batch = Batch::default();
            for _ in 0..random.random_range(0..60) {
                let table = Table::ALL[random.random_range(0..4)];
                let key = vec![random.random_range(0..6_u8); random.random_range(1..20)];
                if random.random_bool(0.4) {
                    batch.delete(table, key);
                } else {
                    let bytes = random.random_range(0..3_000);
                    batch.put(table, key, vec![random.random::<u8>(); bytes]);
                }
            }
            memory.commit(&batch).unwrap();
            disk.commit(&batch).unwrap();
        }
        let (ours, twin) = (disk.snapshot().unwrap(), memory.snapshot().unwrap());
        for table in Table::ALL {
            assert!(scanned(&*ours, table, &[]) == scanned(&*twin, table, &[]), "{table:?}");
        }
    }
}

#[test]
fn threads_read_whole_batches_while_others_commit() {
    with_each_store(|store| {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut last = 0;
                        while !done.load(Ordering::Acquire) {
                            let now = batches::held_by(store);
                            assert!(now >= last, "{now} after {last}");
                            last = now;
                        }
                    })
                })
                .collect();
            for number in 1..=60 {
                store.commit(&batches::batch(number)).unwrap();
            }
            done.store(true, Ordering::Release);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
        assert_eq!(batches::held_by(store), 60);
    });
}
