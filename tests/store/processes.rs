//! Several processes on one state, and processes that are killed.
//!
//! The other processes are this test binary again, told by `STORE_TEST_DIR` to run one of the children below.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use kinetograph::store::lmdb::{LmdbStore, Opening};
use kinetograph::store::{Batch, Store, StoreError, Table};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::batches;

pub(crate) const DIR: &str = "STORE_TEST_DIR";
/// Before what a child says, to tell it from the test harness's own words.
const SAYS: &str = "child says ";

pub(crate) fn say(words: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    // A parent that has gone away is no trouble of the child's.
    let _ = writeln!(out, "\n{SAYS}{words}").and_then(|()| out.flush());
}

/// Commits numbered batches after those that are there, saying the number of each, until it is killed.
#[test]
#[ignore = "a child of the tests below"]
fn child_writes() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = LmdbStore::open(Path::new(&dir)).unwrap();
    for number in batches::held_by(&store) + 1.. {
        store.commit(&batches::batch(number)).unwrap();
        say(number);
    }
}

/// For each line "look" says the number of the last whole batch; for "hold" also keeps the snapshot for ever.
#[test]
#[ignore = "a child of the tests below"]
fn child_reads() {
    let Ok(dir) = std::env::var(DIR) else { return };
    // A small map, so that the writer's state outgrows it.
    let store = Opening { map_bytes: 1 << 20 }.read(Path::new(&dir)).unwrap();
    say("open");
    for line in std::io::stdin().lines() {
        let snapshot = match store.snapshot() {
            Ok(snapshot) => snapshot,
            Err(refused) => {
                say(refused);
                continue;
            }
        };
        match batches::held(&*snapshot) {
            Ok(number) => say(number),
            Err(complaint) => say(complaint),
        }
        if line.unwrap() == "hold" {
            std::mem::forget(snapshot);
        }
    }
}

/// A child and what it says. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(test: &str, dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Process { child, asks, answers }
    }

    /// The next thing it says; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.answers.read_line(&mut line).unwrap() > 0 {
            // A kill may cut the last line short: it counts only with its end.
            if let Some(said) = line.strip_prefix(SAYS).and_then(|said| said.strip_suffix('\n')) {
                return Some(said.to_string());
            }
            line.clear();
        }
        None
    }

    pub(crate) fn hear_number(&mut self) -> u64 {
        let said = self.hear().expect("the child has ended");
        said.parse().unwrap_or_else(|_| panic!("the child complains: {said}"))
    }

    pub(crate) fn ask(&mut self, line: &str) -> u64 {
        writeln!(self.asks, "{line}").unwrap();
        self.hear_number()
    }

    /// What it says when it cannot tell a number.
    pub(crate) fn complaint(&mut self, line: &str) -> String {
        writeln!(self.asks, "{line}").unwrap();
        self.hear().expect("the child has ended")
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_killed_writer_leaves_whole_batches_and_its_readers_see_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Pcg64Mcg::seed_from_u64(3);
    drop(LmdbStore::open(dir.path()).unwrap());
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let mut reader = Process::start("store::processes::child_reads", dir.path());
    assert_eq!(reader.hear().unwrap(), "open");

    // One reader for all the writers' lives: it looks all the time, and never back.
    let looking = thread::spawn(move || {
        let (mut last, mut looks) = (0, 0_u32);
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let now = reader.ask("look");
            assert!(now >= last, "{now} after {last}");
            (last, looks) = (now, looks + 1);
        }
        (reader.ask("look"), looks)
    });

    let mut held = 0;
    for life in 0..20 {
        let mut writer = Process::start("store::processes::child_writes", dir.path());
        let mut acknowledged = writer.hear_number();
        thread::sleep(Duration::from_micros(random.random_range(0..40_000)));
        writer.kill();
        while let Some(said) = writer.hear() {
            acknowledged = said.parse().unwrap();
        }
        let store = LmdbStore::open(dir.path()).unwrap();
        held = batches::held_by(&store);
        // One more may have been committed and not yet said.
        assert!((acknowledged..=acknowledged + 1).contains(&held), "life {life}: {held}, not {acknowledged}");
    }
    stop.send(()).unwrap();
    let (seen, looks) = looking.join().unwrap();
    assert_eq!(seen, held);
    println!("{held} batches in 20 lives, {looks} looks");
    assert!(looks > 20, "the reader looked only {looks} times");
}

#[test]
fn one_process_writes_and_others_are_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Process::start("store::processes::child_writes", dir.path());
    writer.hear_number();
    let refused = LmdbStore::open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
    assert!(refused.to_string().contains("another kinetograph process is writing"));

    let reader = LmdbStore::open_read(dir.path()).unwrap();
    let before = batches::held_by(&reader);
    while batches::held_by(&reader) < before + 3 {
        writer.hear_number();
    }
    assert!(matches!(reader.commit(&batches::batch(1)), Err(StoreError::ReadOnly { .. })));
    drop(reader);

    writer.kill();
    let store = LmdbStore::open(dir.path()).unwrap();
    store.commit(&batches::batch(batches::held_by(&store) + 1)).unwrap();
    assert!(matches!(LmdbStore::open(dir.path()), Err(StoreError::Busy { .. })), "nor twice in one process");
}

#[test]
fn a_reader_whose_map_is_outgrown_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(dir.path()).unwrap();
    let mut reader = Process::start("store::processes::child_reads", dir.path());
    assert_eq!(reader.hear().unwrap(), "open");
    // Each of these outgrows what the reader has mapped.
    for number in 1..=4 {
        let mut filler = Batch::default();
        filler.put(Table::Stills, *b"filler", vec![1; 4 << 20]);
        store.commit(&filler).unwrap();
        filler = batches::batch(number);
        filler.delete(Table::Stills, *b"filler");
        store.commit(&filler).unwrap();
        assert_eq!(reader.ask("look"), number);
    }
    assert!(store.file_bytes().unwrap() > 4 << 20);
}

#[test]
fn the_pages_of_a_killed_reader_are_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = LmdbStore::open(dir.path()).unwrap();
    store.commit(&batches::batch(1)).unwrap();
    let mut reader = Process::start("store::processes::child_reads", dir.path());
    assert_eq!(reader.hear().unwrap(), "open");
    assert_eq!(reader.ask("hold"), 1);
    let write = |times: u32| {
        for _ in 0..times {
            let mut batch = Batch::default();
            batch.put(Table::Stills, *b"still", vec![1; 200_000]);
            store.commit(&batch).unwrap();
        }
        store.file_bytes().unwrap()
    };
    let start = store.file_bytes().unwrap();
    let held = write(20);
    assert!(held > start + 20 * 200_000, "a snapshot that is looked at keeps what it sees: {start}, {held}");
    reader.kill();
    let after = write(200);
    assert!(after < held + 80 * 200_000, "dead readers keep nothing for long: {held}, {after}");
}
