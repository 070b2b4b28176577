//! Short strings of bytes by number, packed: what an operator keeps of each node or track.
//!
//! A map from ids to vectors takes several times what is in them: half of its table is empty, and each vector has a
//! pointer, two lengths, the allocator's header and its own slack. Here strings of about the same length lie side by
//! side in one pool, without holes: the last one moves into the place of one that goes. What a table doubles is four
//! bytes a number.

use hashbrown::HashTable;

/// Strings of bytes by number; a number without one has the empty string.
#[derive(Default)]
pub(crate) struct Blocks {
    /// Places in `slots`.
    index: HashTable<u32>,
    slots: Vec<Slot>,
    /// By [`pool`] of the length.
    pools: Vec<Pool>,
}

struct Slot {
    number: u64,
    len: u32,
    /// Which of its pool's places.
    place: u32,
}

/// Strings whose lengths are rounded up to the same.
#[derive(Default)]
struct Pool {
    bytes: Vec<u8>,
    /// Of each place, whose string it is: a place in `slots`.
    owners: Vec<u32>,
}

/// Lengths up to this are rounded up to a multiple of 8, longer ones by at most an eighth.
const SHORT: usize = 128;

/// The pool for strings of `len` bytes, and the bytes that each takes there.
fn pool(len: usize) -> (usize, usize) {
    if len <= SHORT {
        let eights = len.div_ceil(8);
        return (eights - 1, eights * 8);
    }
    let octave = (len - 1).ilog2() as usize;
    let step = 1 << (octave - 3);
    let steps = len.div_ceil(step);
    (SHORT / 8 + (octave - SHORT.ilog2() as usize) * 8 + steps - 9, steps * step)
}

/// Ids that differ in few bits get hashes that differ in many (the multiplier is Knuth's, 2^64 over the golden ratio).
fn hash(number: u64) -> u64 {
    let x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 32)
}

/// Makes room for `more`: an eighth instead of twice as much, as there is much of it and it seldom moves.
pub(crate) fn reserve<T>(vec: &mut Vec<T>, more: usize) {
    if vec.capacity() - vec.len() < more {
        vec.reserve_exact(more.max(vec.len() / 8).max(64 / size_of::<T>().max(1)));
    }
}

/// Gives back what is empty once that is more than what is not.
fn trim<T>(vec: &mut Vec<T>) {
    if vec.capacity() > 2 * vec.len() + 1024 {
        vec.shrink_to(vec.len() + vec.len() / 8);
    }
}

impl Blocks {
    /// Returns how many numbers have a string.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The string of `number`.
    pub(crate) fn get(&self, number: u64) -> &[u8] {
        match self.find(number) {
            Some(slot) => {
                let Slot { len, place, .. } = self.slots[slot];
                let (pool, size) = pool(len as usize);
                let from = place as usize * size;
                &self.pools[pool].bytes[from..from + len as usize]
            }
            None => &[],
        }
    }

    /// Makes `string` that of `number`.
    pub(crate) fn set(&mut self, number: u64, string: &[u8]) {
        match self.find(number) {
            None if string.is_empty() => {}
            None => {
                let slot = self.slots.len();
                reserve(&mut self.slots, 1);
                self.slots.push(Slot { number, len: 0, place: 0 });
                let slots = &self.slots;
                self.index.insert_unique(hash(number), slot as u32, |of| hash(slots[*of as usize].number));
                self.put(slot, string);
            }
            Some(slot) if string.is_empty() => {
                self.take(slot);
                self.forget(slot);
            }
            Some(slot) => {
                let Slot { len, place, .. } = self.slots[slot];
                let (old, size) = pool(len as usize);
                if pool(string.len()).0 == old {
                    let from = place as usize * size;
                    self.pools[old].bytes[from..from + string.len()].copy_from_slice(string);
                    self.slots[slot].len = string.len() as u32;
                } else {
                    self.take(slot);
                    self.put(slot, string);
                }
            }
        }
    }

    fn find(&self, number: u64) -> Option<usize> {
        let found = self.index.find(hash(number), |of| self.slots[*of as usize].number == number);
        found.map(|slot| *slot as usize)
    }

    /// Gives `slot`, which has none, its string.
    fn put(&mut self, slot: usize, string: &[u8]) {
        let (at, size) = pool(string.len());
        if self.pools.len() <= at {
            self.pools.resize_with(at + 1, Pool::default);
        }
        let Pool { bytes, owners } = &mut self.pools[at];
        reserve(bytes, size);
        bytes.extend_from_slice(string);
        bytes.resize((owners.len() + 1) * size, 0);
        reserve(owners, 1);
        self.slots[slot].place = owners.len() as u32;
        self.slots[slot].len = string.len() as u32;
        owners.push(slot as u32);
    }

    /// Takes the string of `slot` out of its pool.
    fn take(&mut self, slot: usize) {
        let Slot { len, place, .. } = self.slots[slot];
        let (at, size) = pool(len as usize);
        let Pool { bytes, owners } = &mut self.pools[at];
        let last = owners.len() - 1;
        bytes.copy_within(last * size.., place as usize * size);
        bytes.truncate(last * size);
        owners.swap_remove(place as usize);
        if let Some(moved) = owners.get(place as usize) {
            self.slots[*moved as usize].place = place;
        }
        trim(bytes);
        trim(owners);
    }

    /// Takes out `slot`, whose string is gone.
    fn forget(&mut self, slot: usize) {
        let number = self.slots[slot].number;
        if let Ok(entry) = self.index.find_entry(hash(number), |of| *of as usize == slot) {
            entry.remove();
        }
        self.slots.swap_remove(slot);
        if let Some(moved) = self.slots.get(slot) {
            let was = self.slots.len();
            if let Some(of) = self.index.find_mut(hash(moved.number), |of| *of as usize == was) {
                *of = slot as u32;
            }
            let (at, _) = pool(moved.len as usize);
            self.pools[at].owners[moved.place as usize] = slot as u32;
        }
        trim(&mut self.slots);
        if self.index.capacity() > 4 * self.slots.len() + 1024 {
            let slots = &self.slots;
            self.index.shrink_to(2 * slots.len(), |of| hash(slots[*of as usize].number));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn pools_follow_each_other_and_none_wastes_more_than_an_eighth() {
        let mut last = (0, 8);
        for len in 1..5000 {
            let (at, size) = pool(len);
            assert!(size >= len && (size - len) * 8 <= len.max(64), "{len}: {size}");
            assert!((at, size) == last || (at == last.0 + 1 && size > last.1), "{len}: {at}, {size}");
            last = (at, size);
        }
    }

    #[test]
    fn blocks_hold_what_a_map_holds() {
        let mut rng = Pcg64::seed_from_u64(3);
        let (mut blocks, mut map) = (Blocks::default(), BTreeMap::new());
        for round in 0..60_000u64 {
            // Times of growth and times of decline.
            let gone = rng.random_bool(if round / 15_000 % 2 == 0 { 0.2 } else { 0.8 });
            let number = rng.random_range(0..2000) << 8;
            let most = if rng.random_bool(0.05) { 700 } else { 60 };
            let len = if gone { 0 } else { rng.random_range(1..most) };
            let string: Vec<u8> = (0..len).map(|_| rng.random()).collect();
            blocks.set(number, &string);
            match string.is_empty() {
                true => drop(map.remove(&number)),
                false => drop(map.insert(number, string)),
            }
            assert_eq!(blocks.len(), map.len());
            if round % 1000 == 0 {
                (0..2000).map(|n| n << 8).for_each(|n| {
                    assert_eq!(blocks.get(n), map.get(&n).map_or(&[][..], |s| s));
                });
            }
        }
        map.keys().for_each(|number| blocks.set(*number, &[]));
        assert_eq!(blocks.len(), 0);
        let kept: usize = blocks.pools.iter().map(|pool| pool.bytes.capacity()).sum();
        assert!(kept <= 1024 * blocks.pools.len(), "{kept} bytes for nothing");
    }
}
