//! When an epoch counts as committed by all, and when there is nothing left to do. Plain data, on process 0.
//!
//! A process in which an epoch changed nothing writes nothing for it. Before the epoch counts, it must have noted that it is through
//! with it, all the same, if another process wrote something: else nobody could tell after a crash. So it is asked to mark it.

use std::collections::BTreeSet;

use kinetograph_dataflows::time::Epoch;

/// The messages of the processes so far.
#[derive(Debug)]
pub(super) struct Agreement {
    processes: Vec<Process>,
    /// Epochs after the announced one that somebody wrote something for.
    written: BTreeSet<Epoch>,
    announced: Epoch,
}

#[derive(Clone, Debug)]
struct Process {
    /// The last epoch it is through with.
    closed: Epoch,
    /// The last epoch that its store says it is through with.
    durable: Epoch,
    /// The last epoch it was asked to mark.
    asked: Epoch,
    /// Epochs in a row in which it had nothing to do.
    quiet: u64,
}

/// The conclusion from what was said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// All epochs up to this one are committed by all.
    pub(super) announce: Option<Epoch>,
    /// Processes that are to mark an epoch as the last they are through with.
    pub(super) mark: Vec<(usize, Epoch)>,
}

impl Agreement {
    /// Of so many processes that all stand at `start`.
    pub(super) fn new(processes: usize, start: Epoch) -> Self {
        let process = Process { closed: start, durable: start, asked: start, quiet: 0 };
        Agreement { processes: vec![process; processes], written: BTreeSet::new(), announced: start }
    }

    /// `process` is through with `epoch`; it `wrote` something for it, durably, or had nothing to write.
    pub(super) fn closed(&mut self, process: usize, epoch: Epoch, wrote: bool, quiet: u64) {
        let of = &mut self.processes[process];
        of.closed = of.closed.max(epoch);
        of.quiet = quiet;
        if wrote {
            of.durable = of.durable.max(epoch);
            self.written.insert(epoch);
        }
    }

    /// `process` has marked `epoch`.
    pub(super) fn marked(&mut self, process: usize, epoch: Epoch) {
        let of = &mut self.processes[process];
        of.durable = of.durable.max(epoch);
    }

    /// Returns what is new since the last time.
    pub(super) fn news(&mut self) -> News {
        let closed = self.processes.iter().map(|process| process.closed).min().unwrap_or(self.announced);
        let durable = self.processes.iter().map(|process| process.durable).min().unwrap_or(closed);
        // Nothing that was written is beyond what each store knows it is through with.
        let in_doubt = self.written.range(durable + 1..).next().filter(|first| **first <= closed);
        let agreed = in_doubt.map_or(closed, |first| first - 1);
        let mut news = News::default();
        if agreed > self.announced {
            self.announced = agreed;
            self.written = self.written.split_off(&(agreed + 1));
            news.announce = Some(agreed);
        }
        if let Some(last) = self.written.range(..=closed).next_back().copied() {
            for (at, process) in self.processes.iter_mut().enumerate() {
                if process.durable < last && process.asked < last {
                    process.asked = last;
                    news.mark.push((at, last));
                }
            }
        }
        news
    }

    /// Returns true when every process had nothing to do for more than so many epochs, all of them committed.
    pub(super) fn idle(&self, quiet: u64) -> bool {
        self.processes.iter().all(|process| process.quiet > quiet && process.closed >= self.announced)
            && self.written.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn one_process_agrees_with_itself() {
        let mut agreement = Agreement::new(1, 7);
        assert_eq!(agreement.news(), News::default());
        agreement.closed(0, 8, true, 0);
        assert_eq!(agreement.news(), News { announce: Some(8), mark: vec![] });
        agreement.closed(0, 9, false, 1);
        assert_eq!(agreement.news(), News { announce: Some(9), mark: vec![] });
        assert!(agreement.idle(0) && !agreement.idle(1));
    }

    #[test]
    fn what_others_wrote_waits_for_the_mark_of_who_did_not() {
        let mut agreement = Agreement::new(2, 0);
        agreement.closed(0, 1, false, 0);
        agreement.closed(1, 1, false, 0);
        assert_eq!(agreement.news().announce, Some(1), "nobody wrote anything");
        agreement.closed(0, 2, true, 0);
        agreement.closed(1, 2, false, 0);
        assert_eq!(agreement.news(), News { announce: None, mark: vec![(1, 2)] });
        assert_eq!(agreement.news(), News::default(), "asked once");
        assert!(!agreement.idle(0));
        agreement.marked(1, 2);
        assert_eq!(agreement.news(), News { announce: Some(2), mark: vec![] });
    }

    /// Whatever is said in whatever order: after a crash the stores agree on no less than what was announced, as far as
    /// anything was written.
    #[test]
    fn what_was_announced_is_found_again_after_a_crash() {
        for seed in 0..50 {
            let mut rng = Pcg64::seed_from_u64(seed);
            let of = rng.random_range(1..4);
            let (mut agreement, mut announced) = (Agreement::new(of, 0), 0);
            let (mut closed, mut stores, mut marks) = (vec![0; of], vec![0; of], Vec::new());
            let mut written = BTreeSet::new();
            for _ in 0..300 {
                let process = rng.random_range(0..of);
                if closed[process] < announced + 4 {
                    closed[process] += 1;
                    let wrote = rng.random_bool(0.3);
                    if wrote {
                        stores[process] = closed[process];
                        written.insert(closed[process]);
                    }
                    agreement.closed(process, closed[process], wrote, 0);
                }
                if rng.random_bool(0.5) && !marks.is_empty() {
                    let (process, epoch): (usize, Epoch) =
                        marks.swap_remove(rng.random_range(0..marks.len()));
                    stores[process] = stores[process].max(epoch);
                    agreement.marked(process, epoch);
                }
                let news = agreement.news();
                news.mark.iter().for_each(|(process, epoch)| assert!(*epoch <= closed[*process]));
                marks.extend(news.mark);
                announced = news.announce.unwrap_or(announced).max(announced);
                let common = stores.iter().copied().min().unwrap_or(0);
                assert!(written.iter().all(|epoch| *epoch <= common || *epoch > announced), "seed {seed}");
            }
            assert!(announced > 20, "seed {seed}: it goes on");
        }
    }
}
