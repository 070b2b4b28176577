//! Giving space back: the new file holds every record and nothing else, whoever looks at the old one or is killed.

use std::path::Path;
use std::thread;
use std::time::Duration;

use kinetograph::store::lmdb::{LmdbStore, compact};
use kinetograph::store::{Batch, Store, Table};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::batches;
use super::processes::{DIR, Process, say};

#[test]
fn what_was_deleted_is_nowhere_and_the_file_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(dir.path()).unwrap();
    let secret = |key: u16| [b"what nobody may find ".as_slice(), &key.to_be_bytes(), &[7; 900]].concat();
    let mut batch = batches::batch(1);
    for key in 0..500_u16 {
        // Between others on one page, on pages of their own, and as keys.
        batch.put(Table::Crops, [b"c", &key.to_be_bytes()[..]].concat(), secret(key));
        batch.put(Table::Stills, [b"s", &key.to_be_bytes()[..]].concat(), secret(key).repeat(9));
        batch.put(Table::Pairs, secret(key)[..300].to_vec(), []);
    }
    store.commit(&batch).unwrap();
    let mut gone = Batch::default();
    for key in 0..500_u16 {
        gone.delete(Table::Crops, [b"c", &key.to_be_bytes()[..]].concat());
        gone.delete(Table::Stills, [b"s", &key.to_be_bytes()[..]].concat());
        gone.delete(Table::Pairs, secret(key)[..300].to_vec());
    }
    gone.put(Table::Sources, *b"note", *b"a note for whoever compacts");
    store.commit(&gone).unwrap();
    drop(store);
    let holds = |words: &[u8]| {
        let bytes = std::fs::read(dir.path().join("data.mdb")).unwrap();
        bytes.windows(words.len()).any(|w| w == words)
    };
    assert!(holds(b"what nobody may find"), "LMDB leaves it in free pages");

    let compacted = compact(dir.path(), &[(Table::Sources, b"note")]).unwrap();
    assert!(!holds(b"what nobody may find") && !holds(b"a note for whoever compacts"));
    assert!(compacted.after * 4 < compacted.before, "{compacted:?}");
    assert_eq!(compacted.after, std::fs::metadata(dir.path().join("data.mdb")).unwrap().len());
    let store = LmdbStore::open(dir.path()).unwrap();
    assert_eq!(batches::held_by(&store), 1);
    assert!(!dir.path().join("compacting").exists());
}

#[test]
fn nobody_is_misled_who_has_the_old_file_open() {
    // Which of LMDB's two meta pages is the last depends on how many transactions there were.
    for commits in 1..=4 {
        let dir = tempfile::tempdir().unwrap();
        let store = LmdbStore::open(dir.path()).unwrap();
        (1..=commits).for_each(|number| store.commit(&batches::batch(number)).unwrap());
        drop(store);
        let mut old = Process::start("store::processes::child_reads", dir.path());
        assert_eq!(old.hear().unwrap(), "open");
        assert_eq!(old.ask("hold"), commits);
        compact(dir.path(), &[]).unwrap();

        let store = LmdbStore::open(dir.path()).unwrap();
        assert_eq!(batches::held_by(&store), commits, "{commits} commits");
        let mut new = Process::start("store::processes::child_reads", dir.path());
        assert_eq!(new.hear().unwrap(), "open");
        assert_eq!(new.ask("look"), commits);
        for number in commits + 1..commits + 4 {
            store.commit(&batches::batch(number)).unwrap();
            assert_eq!((batches::held_by(&store), new.ask("look")), (number, number));
        }
        let complaint = old.complaint("look");
        assert!(complaint.contains("has rewritten this state"), "{complaint}");
    }
}

/// Compacts again and again until it is killed.
#[test]
#[ignore = "a child of the test below"]
fn child_compacts() {
    let Ok(dir) = std::env::var(DIR) else { return };
    for round in 0.. {
        compact(Path::new(&dir), &[]).unwrap();
        say(round);
    }
}

#[test]
fn a_killed_compaction_leaves_a_whole_state() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Pcg64Mcg::seed_from_u64(5);
    let store = LmdbStore::open(dir.path()).unwrap();
    store.commit(&batches::batch(1)).unwrap();
    drop(store);
    let mut left = 0;
    for life in 0..20 {
        let mut child = Process::start("store::compaction::child_compacts", dir.path());
        child.hear_number();
        thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
        child.kill();
        left += u32::from(dir.path().join("compacting").exists());
        let store = LmdbStore::open(dir.path()).unwrap();
        assert_eq!(batches::held_by(&store), life + 1, "life {life}");
        store.commit(&batches::batch(life + 2)).unwrap();
    }
    assert!(left > 3, "only {left} of 20 were killed half-way");
    compact(dir.path(), &[]).unwrap();
    assert!(!dir.path().join("compacting").exists());
}
