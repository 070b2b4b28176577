//! From lists over parts of what a node probes to its list over all of it.

use std::hash::Hash;

use differential_dataflow::VecCollection;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::{Data, ExchangeData};
use hashbrown::HashMap;
use timely::dataflow::channels::pact::Exchange;

use crate::by_epoch::by_epoch;
use crate::index::node::{List, Neighbour};
use crate::time::{Diff, Epoch};

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
        let mut merged = Vec::with_capacity(changes.len());
        let mut changes = changes.into_iter().peekable();
        let mut of_key = Vec::new();
        while let Some(first) = changes.next() {
            let key = first.0.0;
            of_key.push(first);
            while let Some(next) = changes.next_if(|((next, _), _)| *next == key) {
                of_key.push(next);
            }
            let lists = parts.entry(key).or_default();
            if only_list_changes(lists, &of_key) {
                // A part's list is the key's: most keys have one part.
                merged.append(&mut of_key);
                continue;
            }
            let before = whole(lists, k);
            for ((_, list), diff) in of_key.drain(..) {
                if diff > 0 {
                    lists.extend(std::iter::repeat_n(list, diff.unsigned_abs()));
                } else {
                    for _ in 0..diff.unsigned_abs() {
                        if let Some(at) = lists.iter().position(|l| *l == list) {
                            lists.swap_remove(at);
                        }
                    }
                }
            }
            let after = whole(lists, k);
            if lists.is_empty() {
                parts.remove(&key);
            }
            if before != after {
                merged.extend(before.map(|list| ((key, list), -1)));
                merged.extend(after.map(|list| ((key, list), 1)));
            }
        }
        merged
    })
}

/// Returns true when the changes put another list in the place of a key's only one. It is then there.
fn only_list_changes<K>(lists: &mut [List], changes: &[((K, List), Diff)]) -> bool {
    let [list] = lists else { return false };
    let ([((_, gone), -1), ((_, new), 1)] | [((_, new), 1), ((_, gone), -1)]) = changes else { return false };
    let same = list == gone;
    if same {
        list.clone_from(new);
    }
    same
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
