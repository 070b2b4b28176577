//! Files that are not, or no longer, a state: refused with a reason and left as they are.

use std::fs::{self, File};
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Env, EnvOpenOptions, WithTls};
use kinetograph::store::lmdb::LmdbStore;
use kinetograph::store::{Batch, Store, StoreError, Table};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::batches;

/// Both ways of opening refuse the folder as no state, and `data.mdb` stays as it is.
#[track_caller]
fn is_refused(dir: &Path, case: &str) -> String {
    let before = fs::read(dir.join("data.mdb")).unwrap();
    let mut said = String::new();
    for opened in [LmdbStore::open(dir), LmdbStore::open_read(dir), LmdbStore::open(dir)] {
        match opened {
            Err(error @ StoreError::Format { .. }) => said = error.to_string(),
            Err(other) => panic!("{case}: {other}"),
            Ok(_) => panic!("{case}: was opened"),
        }
    }
    assert!(fs::read(dir.join("data.mdb")).unwrap() == before, "{case}: the file was changed");
    said
}

/// A state of some hundred pages.
fn state() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(dir.path()).unwrap();
    (1..=12).for_each(|number| store.commit(&batches::batch(number)).unwrap());
    dir
}

fn raw(dir: &Path) -> Env<WithTls> {
    // SAFETY: nobody else has this temporary folder open.
    unsafe { EnvOpenOptions::new().map_size(1 << 26).max_dbs(20).open(dir).unwrap() }
}

fn put_raw(dir: &Path, table: &str, key: &[u8], value: &[u8]) {
    let env = raw(dir);
    let txn = env.write_txn().unwrap();
    let done = env.create_databases_and_commit(txn, |opener, txn| {
        opener.create_database::<Bytes, Bytes>(txn, Some(table))?.put(txn, key, value)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(()))
    });
    done.unwrap();
}

#[test]
fn garbage_is_refused() {
    let mut random = Pcg64Mcg::seed_from_u64(5);
    let mut noise = vec![0; 50_000];
    random.fill(&mut noise[..]);
    for garbage in [&b"not a state"[..], &[0; 8192], &noise, &noise[..4096]] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("data.mdb"), garbage).unwrap();
        is_refused(dir.path(), &format!("{} bytes of garbage", garbage.len()));
    }
}

#[test]
fn another_format_or_program_is_refused_by_name() {
    let newer = state();
    put_raw(newer.path(), "kinetograph", b"format", &9_u32.to_le_bytes());
    assert!(is_refused(newer.path(), "newer").contains("format 9, this version reads format 2"));

    let odd = state();
    put_raw(odd.path(), "kinetograph", b"format", b"?");
    is_refused(odd.path(), "odd format record");

    let foreign = tempfile::tempdir().unwrap();
    put_raw(foreign.path(), "songs", b"a", b"b");
    assert!(is_refused(foreign.path(), "foreign").contains("another program"));

    let engine = state();
    let mut bytes = fs::read(engine.path().join("data.mdb")).unwrap();
    // LMDB's own data version follows its magic number in both of its first pages.
    bytes[20] = 7;
    bytes[4096 + 20] = 7;
    fs::write(engine.path().join("data.mdb"), bytes).unwrap();
    is_refused(engine.path(), "another LMDB");
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let dir = state();
    let data = dir.path().join("data.mdb");
    let whole = fs::read(&data).unwrap();
    for percent in [10, 40, 70, 95] {
        let end = whole.len() * percent / 100;
        fs::write(&data, &whole[..end]).unwrap();
        is_refused(dir.path(), &format!("cut to {percent} %"));
    }
    fs::write(&data, &whole).unwrap();
    assert_eq!(batches::held_by(&LmdbStore::open(dir.path()).unwrap()), 12);
}

#[test]
fn a_cut_through_free_pages_only_loses_nothing() {
    let dir = state();
    let data = dir.path().join("data.mdb");
    let store = LmdbStore::open(dir.path()).unwrap();
    let (mut put, mut delete) = (Batch::default(), Batch::default());
    // More than the later commits take, of which each writes to every table.
    put.put(Table::Sources, *b"large", vec![1; 80_000 * Table::ALL.len()]);
    delete.delete(Table::Sources, *b"large");
    store.commit(&put).unwrap();
    store.commit(&delete).unwrap();
    // Later commits take the freed pages, the front ones first, and leave the end.
    (13..=20).for_each(|number| store.commit(&batches::batch(number)).unwrap());
    drop(store);
    let whole = fs::read(&data).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    // From the free end on, until cuts have gone through what is kept for a while.
    for page in (1..whole.len() / 4096).rev().step_by(3) {
        if refused == 20 {
            break;
        }
        fs::write(&data, &whole[..page * 4096]).unwrap();
        match LmdbStore::open(dir.path()) {
            Err(StoreError::Format { .. }) => refused += 1,
            Err(other) => panic!("cut to {page} pages: {other}"),
            Ok(store) => {
                accepted += 1;
                assert_eq!(batches::held_by(&store), 20);
                // The list of free pages may have been lost, which is found when it is needed.
                match store.commit(&batches::batch(21)) {
                    Ok(()) => assert_eq!(batches::held_by(&store), 21),
                    Err(StoreError::Format { .. }) => assert_eq!(batches::held_by(&store), 20),
                    Err(other) => panic!("commit after a cut to {page} pages: {other}"),
                }
            }
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_folder_without_a_state_is_missing_to_readers_and_new_to_writers() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("a/b");
    assert!(matches!(LmdbStore::open_read(&inner), Err(StoreError::Missing { .. })));
    fs::create_dir_all(&inner).unwrap();
    File::create(inner.join("data.mdb")).unwrap();
    assert!(matches!(LmdbStore::open_read(&inner), Err(StoreError::Missing { .. })));
    assert_eq!(batches::held_by(&LmdbStore::open(&inner).unwrap()), 0);
    assert_eq!(batches::held_by(&LmdbStore::open_read(&inner).unwrap()), 0);
}

#[test]
fn a_path_that_is_no_folder_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for opened in [LmdbStore::open(file.path()), LmdbStore::open_read(file.path())] {
        let said = opened.unwrap_err().to_string();
        assert!(said.contains(&file.path().display().to_string()), "{said}");
    }
}
