//! The replay buffer: which of all positives seen are kept to draw from.

pub mod fifo;
pub mod reservoir;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use serde::{Deserialize, Serialize};

use super::view::{Changes, Kind, Positive, View};
use fifo::Fifo;
use reservoir::Reservoir;

/// Transitive pairs in nine draws; the other [`INTRA_SHARE`] are intra-instance (about 7M to 2M in the paper).
pub const TRANSITIVE_SHARE: u32 = 7;
/// See [`TRANSITIVE_SHARE`].
pub const INTRA_SHARE: u32 = 2;

/// Which positives stay when there are more than the buffer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// A uniform sample of all positives that hold now, whatever their age. The default: consecutive epochs of one
    /// video resemble each other, and a sample over everything is what breaks that up.
    #[default]
    Reservoir,
    /// The newest. Follows a drifting stream; good where it is diverse by itself.
    Fifo,
}

/// A bounded choice of positives of one kind.
pub trait Replay: Send {
    /// A positive came. It may or may not be kept.
    fn insert(&mut self, positive: Positive, rng: &mut Pcg32);
    /// A positive is no more: it is not in the buffer from now on.
    fn remove(&mut self, positive: Positive);
    /// So many positives hold now: if it knew of more, those are no more that were not kept.
    fn held(&mut self, positives: u64);
    /// Returns the positives that are kept. The order matters to draws and is part of [`Replay::save`].
    fn kept(&self) -> &[Positive];
    /// The whole state, as plain numbers beside the kept positives: their ages and counters, as the policy wants.
    fn save(&self) -> Saved;
}

/// A policy's state as a checkpoint keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Kept positives, in order.
    pub kept: Vec<Positive>,
    /// The policy's own numbers.
    pub numbers: Vec<u64>,
}

/// Both kinds of positives, each in a buffer of its own, with the draws' random numbers.
pub struct Buffer {
    transitive: Box<dyn Replay>,
    intra: Box<dyn Replay>,
    rng: Pcg32,
}

/// A saved [`Buffer`]: transitive and intra.
pub type SavedBuffer = (Saved, Saved, Pcg32);

impl Buffer {
    /// An empty buffer for at most `capacity` positives, shared 7 : 2 between the kinds.
    pub fn new(policy: Policy, capacity: usize, seed: u64) -> Self {
        Self::load(policy, capacity, (Saved::default(), Saved::default(), Pcg32::seed_from_u64(seed)))
    }

    /// The buffer as it was saved.
    pub fn load(policy: Policy, capacity: usize, (transitive, intra, rng): SavedBuffer) -> Self {
        let shares = (TRANSITIVE_SHARE + INTRA_SHARE) as usize;
        let intra_capacity = (capacity * INTRA_SHARE as usize / shares).max(1);
        let make = |capacity: usize, saved: Saved| -> Box<dyn Replay> {
            match policy {
                Policy::Reservoir => Box::new(Reservoir::load(capacity, saved)),
                Policy::Fifo => Box::new(Fifo::load(capacity, saved)),
            }
        };
        Buffer {
            transitive: make(capacity.saturating_sub(intra_capacity).max(1), transitive),
            intra: make(intra_capacity, intra),
            rng,
        }
    }

    /// Returns the bytes that [`Buffer::load`] takes.
    pub fn save(&self) -> SavedBuffer {
        (self.transitive.save(), self.intra.save(), self.rng.clone())
    }

    /// Follows the view: what went leaves at once, what came may enter.
    pub fn follow(&mut self, changes: &Changes) {
        for (kind, positive) in &changes.went {
            match kind {
                Kind::Transitive => self.transitive.remove(*positive),
                Kind::Intra => self.intra.remove(*positive),
            }
        }
        for (kind, positive) in &changes.came {
            match kind {
                Kind::Transitive => self.transitive.insert(*positive, &mut self.rng),
                Kind::Intra => self.intra.insert(*positive, &mut self.rng),
            }
        }
    }

    /// Drops what `view` does not hold, and says how many those were. Where something was forgotten since, nobody tells of
    /// its positives one by one any more.
    pub fn keep_only(&mut self, view: &View) -> usize {
        let strangers = |kind: Kind, replay: &dyn Replay| -> Vec<(Kind, Positive)> {
            replay.kept().iter().filter(|p| !view.holds(kind, **p)).map(|p| (kind, *p)).collect()
        };
        let mut went = strangers(Kind::Transitive, &*self.transitive);
        went.extend(strangers(Kind::Intra, &*self.intra));
        let count = went.len();
        self.follow(&Changes { went, ..Changes::default() });
        self.transitive.held(view.transitive() as u64);
        self.intra.held(view.intra() as u64);
        count
    }

    /// Returns the numbers of transitive and intra positives it holds.
    pub fn len(&self) -> (usize, usize) {
        (self.transitive.kept().len(), self.intra.kept().len())
    }

    /// Returns true when there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// A positive with its kind, transitive to intra 7 : 2 when it has both, its ends in random order (anchor first);
    /// `None` when it is empty.
    pub fn draw(&mut self) -> Option<(Kind, Positive)> {
        let (transitive, intra) = (self.transitive.kept(), self.intra.kept());
        let kind = match (transitive.is_empty(), intra.is_empty()) {
            (true, true) => return None,
            (false, true) => Kind::Transitive,
            (true, false) => Kind::Intra,
            (false, false) if self.rng.random_ratio(TRANSITIVE_SHARE, TRANSITIVE_SHARE + INTRA_SHARE) => {
                Kind::Transitive
            }
            (false, false) => Kind::Intra,
        };
        let kept = if kind == Kind::Transitive { transitive } else { intra };
        let (a, b) = kept[self.rng.random_range(0..kept.len() as u64) as usize];
        Some((kind, if self.rng.random() { (a, b) } else { (b, a) }))
    }
}
