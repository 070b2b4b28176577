//! The newest positives.

use std::collections::{BTreeMap, HashMap};

use rand_pcg::Pcg32;

use super::{Replay, Saved};
use crate::train::view::Positive;

/// At most `capacity` positives; a new one pushes out the oldest.
pub struct Fifo {
    capacity: usize,
    kept: Vec<Positive>,
    /// Ordinals of the kept, by place: the smaller came earlier.
    ages: Vec<u64>,
    places: HashMap<Positive, usize>,
    oldest: BTreeMap<u64, Positive>,
    next: u64,
}

impl Fifo {
    /// A buffer of at most `capacity`, as saved.
    pub fn load(capacity: usize, saved: Saved) -> Self {
        let (next, ages) =
            saved.numbers.split_first().map_or((0, Vec::new()), |(n, ages)| (*n, ages.to_vec()));
        Fifo {
            capacity,
            next,
            oldest: ages.iter().copied().zip(saved.kept.iter().copied()).collect(),
            places: saved.kept.iter().enumerate().map(|(i, p)| (*p, i)).collect(),
            kept: saved.kept,
            ages,
        }
    }
}

impl Replay for Fifo {
    fn insert(&mut self, positive: Positive, _rng: &mut Pcg32) {
        if self.kept.len() >= self.capacity
            && let Some((_, oldest)) = self.oldest.first_key_value()
        {
            self.remove(*oldest);
        }
        self.places.insert(positive, self.kept.len());
        self.oldest.insert(self.next, positive);
        self.kept.push(positive);
        self.ages.push(self.next);
        self.next += 1;
    }

    fn remove(&mut self, positive: Positive) {
        let Some(place) = self.places.remove(&positive) else { return };
        self.kept.swap_remove(place);
        self.oldest.remove(&self.ages.swap_remove(place));
        if let Some(moved) = self.kept.get(place) {
            self.places.insert(*moved, place);
        }
    }

    /// Only the kept are known here.
    fn held(&mut self, _positives: u64) {}

    fn kept(&self) -> &[Positive] {
        &self.kept
    }

    fn save(&self) -> Saved {
        let numbers = std::iter::once(self.next).chain(self.ages.iter().copied()).collect();
        Saved { kept: self.kept.clone(), numbers }
    }
}
