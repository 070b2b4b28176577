//! A comparison of what is stored with what was computed again.

use super::{Check, read};
use crate::collections::{Collection, Labels, canonical};
use crate::state::StateError;
use crate::state::view::View;

/// Returns whether the records of a collection are those that are `right`, which ascend by key.
pub(super) fn compare<C: Collection>(
    view: &View<'_>,
    right: &[(C::Key, C::Value)],
) -> Result<Check, StateError> {
    let mut check = Check::new(C::NAME);
    let mut compared = Compared::<C> { right, seen: vec![false; right.len()], checked: 0, wrong: Vec::new() };
    let shown = match C::labels() {
        Labels::Meant => view.each::<C>(|key, value| compared.see(key, value)),
        Labels::Opaque { .. } => view.read::<C>().map(|stored| {
            let stored = canonical::<C>(stored.into_iter().collect());
            stored.into_iter().for_each(|(key, value)| compared.see(key, value));
        }),
    };
    if read(&mut check, shown)?.is_some() {
        compared.end(&mut check);
    }
    Ok(check)
}

/// The records of a collection, as they are looked at.
struct Compared<'r, C: Collection> {
    right: &'r [(C::Key, C::Value)],
    /// For each of those, true when there is a record.
    seen: Vec<bool>,
    checked: usize,
    /// Records that are not right, with the place of the right one.
    wrong: Vec<(C::Key, C::Value, Option<usize>)>,
}

impl<C: Collection> Compared<'_, C> {
    fn see(&mut self, key: C::Key, value: C::Value) {
        self.checked += 1;
        let at = self.right.binary_search_by(|(right, _)| right.cmp(&key)).ok();
        let is_right = match at {
            // A second record of one key, which a damaged table may show, is one too many.
            Some(at) => !std::mem::replace(&mut self.seen[at], true) && self.right[at].1 == value,
            None => C::is_void(&value),
        };
        if !is_right {
            self.wrong.push((key, value, at));
        }
    }

    fn end(self, check: &mut Check) {
        let missing = self.right.iter().zip(&self.seen).filter(|(_, seen)| !**seen).map(|(right, _)| right);
        let missing: Vec<_> = missing.collect();
        check.checked = self.checked + missing.len();
        let wrong =
            self.wrong.iter().map(|(key, found, at)| (key, Some(found), at.map(|at| &self.right[at].1)));
        let missing = missing.into_iter().map(|(key, value)| (key, None, Some(value)));
        let mut differences: Vec<_> = wrong.chain(missing).collect();
        differences.sort_by_key(|(key, ..)| *key);
        for (key, found, right) in differences {
            check.differs(|| C::difference(key, found, right));
        }
    }
}
