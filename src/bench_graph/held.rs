//! The graph as the dataflow's changes have it so far.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::bail;
use kinetograph_dataflows::time::Diff;

use crate::collections::{Collection, Each, Listed, Maps, each_collection};
use crate::epoch::Changes;

/// Follows the changes of an epoch, of which `held` is the graph before.
///
/// # Errors
/// When they are no changes of it: a record comes that is there, or goes that is not.
pub fn follow(held: &mut Each<Maps>, changes: &Changes) -> anyhow::Result<()> {
    if let Some(error) = changes.errors.first() {
        bail!("the graph could not follow: {error}");
    }
    each_collection!(C => {
        let records = C::of_mut(held);
        for (record, diff) in C::of(&changes.of) {
            change::<C>(records, record, *diff)?;
        }
    });
    Ok(())
}

fn change<C: Collection>(
    held: &mut BTreeMap<C::Key, C::Value>,
    record: &C::Record,
    diff: Diff,
) -> anyhow::Result<()> {
    let (key, value) = C::parts(record);
    match (diff, held.entry(key.clone())) {
        (-1, Entry::Occupied(at)) if at.get() == value => drop(at.remove()),
        (1, Entry::Vacant(at)) => drop(at.insert(value.clone())),
        (_, at) => bail!("the graph changed the {} of {:?} by {diff}, which it was not", C::NAME, at.key()),
    }
    Ok(())
}
