//! Files that are not, or no longer, a state: refused with a reason and left as they are.

use std::fs::{self, File};
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Env, EnvOpenOptions, WithTls};
use kinetograph::store::lmdb::LmdbStore;
use kinetograph::store::{Batch, Store, StoreError, Table};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::batches;

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
    assert!(is_refused(newer.path(), "newer").contains("format 9, this version reads format 1"));

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
fn a_file_whose_last_pages_were_given_back_is_not_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let (data, keys) = (dir.path().join("data.mdb"), 3_000_u32);
    let store = LmdbStore::open(dir.path()).unwrap();
    let mut batch = Batch::default();
    for key in 0..keys {
        batch.put(Table::Nodes, key.to_be_bytes(), vec![key as u8; 100]);
    }
    store.commit(&batch).unwrap();
    drop(store);
    // Delete behind the store's back, in ever larger steps, until LMDB leaves the file shorter than its last page.
    let env = raw(dir.path());
    let nodes = env.open_databases_and_commit(env.read_txn().unwrap(), |opener, txn| {
        opener.open_database::<Bytes, Bytes>(txn, Some("02")).map(CommitOrAbort::<_, ()>::Commit)
    });
    let nodes = nodes.unwrap().unwrap_commit().unwrap();
    let mut left = keys;
    let short = loop {
        let mut txn = env.write_txn().unwrap();
        for _ in 0..37.min(left) {
            left -= 1;
            nodes.delete(&mut txn, &left.to_be_bytes()).unwrap();
        }
        txn.commit().unwrap();
        let promised = (env.info().last_page_number as u64 + 1) * 4096;
        if fs::metadata(&data).unwrap().len() < promised || left == 0 {
            break fs::metadata(&data).unwrap().len() < promised;
        }
    };
    drop(env);
    println!("short: {short}, left {left}");
    assert!(short);
    let store = LmdbStore::open(dir.path()).unwrap();
    let mut found = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        found += 1;
        true
    };
    store.snapshot().unwrap().scan(Table::Nodes, &[], &mut count).unwrap();
    assert_eq!(found, left);
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
