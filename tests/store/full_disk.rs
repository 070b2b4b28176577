//! A disk that fills up. Needs a small file system of its own, so it runs where one may be mounted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kinetograph::store::lmdb::LmdbStore;
use kinetograph::store::{Batch, Store, StoreError, Table};

/// A tmpfs of 8 MB, unmounted when dropped (lazily: a child being forked may still have it open).
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(dir.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(SmallDisk(dir)),
            _ => {
                println!("skipped: no tmpfs can be mounted here");
                None
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Takes the file away and its space at once, even while a child that is just being forked still has it open.
fn vacate(path: &Path) {
    fs::File::create(path).unwrap();
    fs::remove_file(path).unwrap();
}

const CHUNK_BYTES: usize = 100_000;

fn chunk(number: u64) -> Batch {
    let mut batch = Batch::default();
    batch.put(Table::Stills, number.to_be_bytes(), vec![number as u8; CHUNK_BYTES]);
    batch.put(Table::Log, number.to_be_bytes(), number.to_be_bytes());
    batch
}

/// Commits chunks from `first` on until the disk is full. Returns the number of the one that did not fit.
fn fill(store: &dyn Store, first: u64) -> u64 {
    for number in first..first + 1000 {
        match store.commit(&chunk(number)) {
            Ok(()) => {}
            Err(StoreError::Full { .. }) => return number,
            Err(other) => panic!("chunk {number}: {other}"),
        }
    }
    panic!("the disk never filled up");
}

/// The numbers of the chunks held, each of them whole.
fn chunks(store: &dyn Store) -> Vec<u64> {
    let snapshot = store.snapshot().unwrap();
    let number = |key: &[u8]| u64::from_be_bytes(key.try_into().unwrap());
    let (mut stills, mut log) = (Vec::new(), Vec::new());
    let mut still = |key: &[u8], value: &[u8]| {
        assert!(value.len() == CHUNK_BYTES && value.iter().all(|&byte| byte == number(key) as u8));
        stills.push(number(key));
        true
    };
    snapshot.scan(Table::Stills, &[], &mut still).unwrap();
    let mut entry = |key: &[u8], _: &[u8]| {
        log.push(number(key));
        true
    };
    snapshot.scan(Table::Log, &[], &mut entry).unwrap();
    assert_eq!(stills, log);
    stills
}

#[test]
fn a_full_disk_is_said_so_and_the_store_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (dir, other) = (disk.path("state"), disk.path("something else"));
    fs::write(&other, vec![1; 3_000_000]).unwrap();
    let store = LmdbStore::open(&dir).unwrap();

    let full_at = fill(&store, 0);
    assert!(full_at > 10, "full at chunk {full_at}");
    assert!(chunks(&store).into_iter().eq(0..full_at), "what was committed is readable");
    assert!(matches!(store.commit(&chunk(full_at)), Err(StoreError::Full { .. })), "still full");

    vacate(&other);
    let full_again_at = fill(&store, full_at);
    assert!(full_again_at >= full_at + 20, "3 MB more make room for more than {full_at} to {full_again_at}");
    assert!(chunks(&store).into_iter().eq(0..full_again_at));

    drop(store);
    let store = LmdbStore::open(&dir).unwrap();
    assert!(chunks(&store).into_iter().eq(0..full_again_at), "and after a restart on the full disk");
}

#[test]
fn deleting_makes_room_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = LmdbStore::open(&disk.path("state")).unwrap();
    let full_at = fill(&store, 0);
    for number in 0..full_at / 2 {
        let mut batch = Batch::default();
        batch.delete(Table::Stills, number.to_be_bytes());
        batch.delete(Table::Log, number.to_be_bytes());
        store.commit(&batch).unwrap();
    }
    let full_again_at = fill(&store, full_at);
    assert!(full_again_at > full_at + full_at / 3, "{full_at} chunks, then {full_again_at}");
    assert!(chunks(&store).into_iter().eq(full_at / 2..full_again_at));
}

#[test]
fn a_state_cannot_be_created_on_a_full_disk_but_later() {
    let Some(disk) = SmallDisk::mount() else { return };
    let other = disk.path("something else");
    // Leaves only part of what a new state needs: none, some pages, nearly all.
    for left in [0, 4096, 20_000, 40_000, 60_000] {
        let dir = disk.path(&format!("state {left}"));
        fs::create_dir(&dir).unwrap();
        let _ = fs::write(&other, vec![1; 16 << 20]);
        let taken = fs::metadata(&other).unwrap().len();
        fs::File::options().write(true).open(&other).unwrap().set_len(taken - left).unwrap();
        match LmdbStore::open(&dir) {
            Err(StoreError::Full { .. }) => {}
            Err(other) => panic!("{left} bytes left: {other}"),
            Ok(store) => assert!(left > 0 && chunks(&store).is_empty()),
        }
        vacate(&other);
        let store = LmdbStore::open(&dir).unwrap();
        store.commit(&chunk(1)).unwrap();
        assert_eq!(chunks(&store), [1]);
        drop(store);
        fs::remove_dir_all(&dir).unwrap();
    }
}
