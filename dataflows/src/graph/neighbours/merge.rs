//! From lists over parts of what a node looks into to its list over all of it.

use std::collections::HashMap;
use std::hash::Hash;

use differential_dataflow::VecCollection;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::{Data, ExchangeData};
use timely::dataflow::channels::pact::Exchange;

use super::super::by_epoch::by_epoch;
use super::super::node::{List, Neighbour};
use super::super::{Diff, Epoch};

/// For each key the `k` best entries of all its lists, each once: one record a key, an empty list included.
pub(super) fn merge<'s, K>(
    lists: VecCollection<'s, Epoch, (K, List), Diff>,
    k: usize,
) -> VecCollection<'s, Epoch, (K, List), Diff>
where
    K: ExchangeData + Data + Hash + Eq + Copy,
{
    let by_key = Exchange::new(|((key, _), _, _): &((K, List), Epoch, Diff)| key.hashed());
    // The lists of each key as they stand. A list that two parts have is there twice.
    let mut parts: HashMap<K, Vec<List>> = HashMap::new();
    by_epoch(lists, by_key, "Merge lists", move |changes| {
        let mut merged = Vec::new();
        for of_key in changes.chunk_by(|a, b| a.0.0 == b.0.0) {
            let key = of_key[0].0.0;
            let mut lists = parts.remove(&key).unwrap_or_default();
            let before = whole(&lists, k);
            for ((_, list), diff) in of_key {
                if *diff > 0 {
                    lists.extend(std::iter::repeat_n(list, diff.unsigned_abs()).cloned());
                } else {
                    for _ in 0..diff.unsigned_abs() {
                        if let Some(at) = lists.iter().position(|l| l == list) {
                            lists.swap_remove(at);
                        }
                    }
                }
            }
            let after = whole(&lists, k);
            if before != after {
                merged.extend(before.map(|list| ((key, list), -1)));
                merged.extend(after.map(|list| ((key, list), 1)));
            }
            if !lists.is_empty() {
                parts.insert(key, lists);
            }
        }
        merged
    })
}

fn whole(lists: &[List], k: usize) -> Option<List> {
    (!lists.is_empty()).then(|| best_of(lists.iter().flatten().copied(), k))
}

/// The `k` first entries in order, each once.
pub(super) fn best_of(entries: impl Iterator<Item = Neighbour>, k: usize) -> List {
    let mut list: List = entries.collect();
    list.sort_unstable();
    list.dedup();
    list.truncate(k);
    list.shrink_to_fit();
    list
}
