//! Flow control: nothing runs ahead of a slow disk, and nothing gets stuck behind it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kinetograph::config::Config;
use kinetograph::engine::Options;
use kinetograph::engine::start_over;
use kinetograph::state::State;
use kinetograph::store::memory::MemoryStore;
use kinetograph::store::{Batch, Snapshot, Store, StoreError};

/// A store whose disk is slow.
#[derive(Default)]
struct Slow {
    store: MemoryStore,
    commits: AtomicU64,
}

impl Store for Slow {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        std::thread::sleep(Duration::from_millis(30));
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.store.commit(batch)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        self.store.snapshot()
    }
}

/// A store whose disk is full after some commits.
#[derive(Default)]
struct Full {
    store: MemoryStore,
    room: AtomicU64,
}

impl Store for Full {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let room = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(1));
        room.map_err(|_| StoreError::Full { place: "here".into() })?;
        self.store.commit(batch)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        self.store.snapshot()
    }
}

fn options(workers: usize) -> Options {
    Options {
        sources: (0..3).map(|i| format!("test://{i}?frames=40&width=96&height=64")).collect(),
        state: "memory".into(),
        workers,
        batch: true,
        train: false,
        until_idle: true,
        cluster: None,
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.engine.slice_frames = 4;
    config.engine.max_lag_epochs = 1;
    config
}

#[test]
fn a_sink_that_sleeps_stalls_the_sources_and_not_the_engine() {
    for workers in [1, 3] {
        let store = Arc::new(Slow::default());
        let state = State::over(store.clone(), Path::new("memory")).unwrap();
        let report = start_over(state, &config(), &options(workers)).unwrap().join().unwrap();
        assert_eq!(report.frames, 120, "{workers} workers");
        assert!(store.commits.load(Ordering::Relaxed) >= 10);
    }
}

#[test]
fn a_full_disk_ends_the_run_with_its_reason_and_loses_nothing() {
    let store = Arc::new(Full { room: AtomicU64::new(8), ..Full::default() });
    let state = || State::over(store.clone(), Path::new("memory")).unwrap();
    let error = start_over(state(), &config(), &options(2)).unwrap().join().unwrap_err();
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(state().view().unwrap().epoch().unwrap() > 2);

    store.room.store(u64::MAX, Ordering::Relaxed);
    let report = start_over(state(), &config(), &options(3)).unwrap().join().unwrap();
    assert!(report.frames_this_run < 120);
    assert_eq!(report.frames, 120);
}
