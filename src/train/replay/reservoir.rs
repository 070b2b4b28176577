//! A uniform sample of a set that grows and shrinks: random pairing (Gemulla, Lehner, Haas: "A dip in the reservoir",
//! VLDB 2006). Without deletions it is the classic reservoir; after deletions, later insertions fill the gaps in such
//! a way that every set of that size stays equally likely.

use std::collections::HashMap;

use rand::Rng;
use rand_pcg::Pcg32;

use super::{Replay, Saved};
use crate::train::view::Positive;

/// The sample.
pub struct Reservoir {
    capacity: usize,
    kept: Vec<Positive>,
    places: HashMap<Positive, usize>,
    /// Positives that hold now, kept or not.
    population: u64,
    /// Deletions not yet made up for by an insertion, of kept and of other positives.
    gaps_kept: u64,
    gaps_other: u64,
}

impl Reservoir {
    /// A sample of at most `capacity`, as saved.
    pub fn load(capacity: usize, saved: Saved) -> Self {
        let number = |i: usize| saved.numbers.get(i).copied().unwrap_or(0);
        Reservoir {
            capacity,
            population: number(0),
            gaps_kept: number(1),
            gaps_other: number(2),
            places: saved.kept.iter().enumerate().map(|(i, p)| (*p, i)).collect(),
            kept: saved.kept,
        }
    }

    fn push(&mut self, positive: Positive) {
        self.places.insert(positive, self.kept.len());
        self.kept.push(positive);
    }
}

impl Replay for Reservoir {
    fn insert(&mut self, positive: Positive, rng: &mut Pcg32) {
        self.population += 1;
        let gaps = self.gaps_kept + self.gaps_other;
        if gaps > 0 {
            if rng.random_range(0..gaps) < self.gaps_kept {
                self.gaps_kept -= 1;
                self.push(positive);
            } else {
                self.gaps_other -= 1;
            }
        } else if self.kept.len() < self.capacity {
            self.push(positive);
        } else {
            let place = rng.random_range(0..self.population) as usize;
            if let Some(old) = self.kept.get_mut(place) {
                self.places.remove(old);
                *old = positive;
                self.places.insert(positive, place);
            }
        }
    }

    fn remove(&mut self, positive: Positive) {
        self.population = self.population.saturating_sub(1);
        let Some(place) = self.places.remove(&positive) else {
            self.gaps_other += 1;
            return;
        };
        self.gaps_kept += 1;
        self.kept.swap_remove(place);
        if let Some(moved) = self.kept.get(place) {
            self.places.insert(*moved, place);
        }
    }

    fn held(&mut self, positives: u64) {
        self.gaps_other += self.population.saturating_sub(positives);
        self.population = self.population.min(positives);
    }

    fn kept(&self) -> &[Positive] {
        &self.kept
    }

    fn save(&self) -> Saved {
        Saved { kept: self.kept.clone(), numbers: vec![self.population, self.gaps_kept, self.gaps_other] }
    }
}
