//! The life of a run: which phase it is in, which epoch is committed, and how its threads wait for news of either.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A stretch of a run's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It waits for the other processes, and finds its sources.
    Opening,
    /// The contents of the state are brought back into memory and checked.
    Restoring,
    /// It takes in what comes.
    Running,
    /// All there is was taken in and committed; training may go on.
    Finished,
    /// It was told to end, or something failed.
    Stopping,
}

/// When something happened for the first time.
#[derive(Clone, Debug, Default)]
struct Milestones {
    opened: Option<Instant>,
    restored: Option<Instant>,
    finished: Option<Instant>,
    stopped: Option<Instant>,
    fault: Option<String>,
}

/// The phase of a run, and its last committed epoch. All its threads share one.
#[derive(Debug, Default)]
pub struct Lifecycle {
    committed: AtomicU64,
    /// Nothing is read, decided or waited for: no epoch is begun before somebody [nudges](Lifecycle::nudge).
    idle: AtomicBool,
    milestones: Mutex<Milestones>,
    news: Condvar,
    workers: Mutex<Vec<Thread>>,
}

impl Lifecycle {
    /// The last committed epoch.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// Says that every epoch up to `epoch` is durable, and wakes whoever waits for that.
    pub fn commit(&self, epoch: u64) {
        self.committed.store(epoch, Ordering::Release);
        self.wake();
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        let at = self.milestones();
        match &*at {
            Milestones { stopped: Some(_), .. } => Phase::Stopping,
            Milestones { finished: Some(_), .. } => Phase::Finished,
            Milestones { restored: Some(_), .. } => Phase::Running,
            Milestones { opened: Some(_), .. } => Phase::Restoring,
            _ => Phase::Opening,
        }
    }

    /// Says that the run knows its sources and goes on from `committed`.
    pub fn open(&self, committed: u64) {
        self.committed.store(committed, Ordering::Release);
        self.reach(|at| at.opened.get_or_insert_with(Instant::now));
    }

    /// Says that what the state held is back in memory and checked.
    pub fn restore(&self) {
        self.reach(|at| at.restored.get_or_insert_with(Instant::now));
    }

    /// The time at which what the state held was back in memory.
    pub fn restored_at(&self) -> Option<Instant> {
        self.milestones().restored
    }

    /// Says that nothing is left to take in: the dataflow may end.
    pub fn finish(&self) {
        self.reach(|at| at.finished.get_or_insert_with(Instant::now));
    }

    /// Tells whether all there is was taken in and committed.
    pub fn finished(&self) -> bool {
        self.finished_at().is_some()
    }

    /// The time at which all there is was taken in and committed.
    pub fn finished_at(&self) -> Option<Instant> {
        self.milestones().finished
    }

    /// Ends everything soon; what is not committed is taken again next time.
    pub fn stop(&self) {
        self.reach(|at| at.stopped.get_or_insert_with(Instant::now));
    }

    /// Tells whether everything is to end.
    pub fn stopped(&self) -> bool {
        self.milestones().stopped.is_some()
    }

    /// Ends everything because of `reason`; the first reason is kept.
    pub fn fail(&self, reason: String) {
        self.milestones().fault.get_or_insert(reason);
        self.stop();
    }

    /// The reason why everything was ended, if something failed.
    pub fn fault(&self) -> Option<String> {
        self.milestones().fault.clone()
    }

    /// Tells whether epochs rest because nothing is read, decided or waited for.
    pub fn idle(&self) -> bool {
        self.idle.load(Ordering::Acquire)
    }

    /// Lets epochs rest until somebody [nudges](Lifecycle::nudge).
    pub fn rest(&self) {
        self.idle.store(true, Ordering::Release);
    }

    /// Has epochs go on: there is something to do.
    pub fn nudge(&self) {
        self.idle.store(false, Ordering::Release);
        self.wake();
    }

    /// Registers the calling thread to be unparked at news.
    pub fn wake_me(&self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(std::thread::current());
    }

    /// Waits until more than `epoch` is committed, everything ends, or `timeout` has passed.
    pub fn wait_beyond(&self, epoch: u64, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut at = self.milestones();
        while self.committed() <= epoch && at.finished.is_none() && at.stopped.is_none() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            at = self.news.wait_timeout(at, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for `timeout`, or less when the run finishes or is told to end meanwhile.
    pub fn wait_stopped(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut at = self.milestones();
        let finished = at.finished.is_some();
        while at.stopped.is_none() && at.finished.is_some() == finished {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            at = self.news.wait_timeout(at, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn reach(&self, milestone: impl FnOnce(&mut Milestones) -> &mut Instant) {
        milestone(&mut self.milestones());
        self.wake();
    }

    fn wake(&self) {
        // Whoever has looked and not begun to wait holds the lock.
        drop(self.milestones());
        self.news.notify_all();
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Thread::unpark);
    }

    fn milestones(&self) -> MutexGuard<'_, Milestones> {
        self.milestones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other_and_the_first_fault_is_kept() {
        let life = Lifecycle::default();
        assert_eq!(life.phase(), Phase::Opening);
        life.open(7);
        assert_eq!((life.phase(), life.committed()), (Phase::Restoring, 7));
        life.restore();
        assert_eq!(life.phase(), Phase::Running);
        life.finish();
        assert_eq!(life.phase(), Phase::Finished);
        life.fail("the disk is full".to_owned());
        life.fail("the committer is gone".to_owned());
        assert_eq!(life.phase(), Phase::Stopping);
        assert_eq!(life.fault().as_deref(), Some("the disk is full"));
    }

    #[test]
    fn whoever_waits_for_an_epoch_is_woken_by_its_commit() {
        let life = std::sync::Arc::new(Lifecycle::default());
        let waiting = {
            let life = life.clone();
            std::thread::spawn(move || {
                life.wait_beyond(3, Duration::from_secs(60));
                life.committed()
            })
        };
        life.commit(3);
        life.commit(4);
        assert_eq!(waiting.join().unwrap(), 4);
    }
}
