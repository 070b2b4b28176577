//! An epoch's changes as records of the store.

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::time::{Diff, Epoch};

use crate::collections::{Collection, Listed, each_collection};
use crate::epoch::Changes;
use crate::state::digest::Digest;
use crate::state::key::{self, FIRST_SPACE};
use crate::state::record::EpochDelta;
use crate::state::view::View;
use crate::state::{StateError, encode};
use crate::store::{Batch, Table};

/// Shows `put` each change of a derived collection as a record of the store; of a key that goes and comes, going is first.
pub fn records(changes: &Changes, mut put: impl FnMut(Table, Vec<u8>, Vec<u8>, Diff)) {
    each_collection!(C => {
        for (record, diff) in C::of(&changes.of) {
            let (key, value) = C::parts(record);
            put(C::TABLE, C::stored_key(FIRST_SPACE, key), C::value_bytes(value), *diff);
        }
    });
}

/// Puts the changes of the derived collections into `batch`, and takes the records of `retired` nodes out.
pub fn put(changes: &Changes, retired: &[NodeId], batch: &mut Batch) {
    records(changes, |table, key, value, diff| match diff {
        ..0 => batch.delete(table, key),
        _ => batch.put(table, key, value),
    });
    for node in retired {
        batch.delete(Table::Nodes, key::node(*node));
        batch.delete(Table::Crops, key::node(*node));
        batch.delete(Table::Vectors, key::vector(FIRST_SPACE, *node));
    }
}

/// The changes that trainers follow, nodes that `came` and `retired` ones among them.
pub fn delta(came: impl Iterator<Item = NodeId>, changes: &Changes, retired: &[NodeId]) -> EpochDelta {
    let nodes = came.map(|node| (node, 1)).chain(retired.iter().map(|node| (*node, -1)));
    EpochDelta::new(nodes.collect(), &changes.of)
}

/// The collection, if any, in which what a dataflow made of the stored nodes and lists differs from what `view` holds. One that
/// the state does not keep yet does not.
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub fn inconsistent(changes: &Changes, view: &View<'_>) -> Result<Option<&'static str>, StateError> {
    let (kept, epoch) = (view.kept_since()?, view.epoch()?);
    each_collection!(C => {
        let made = C::of(&changes.of).iter().map(|(record, _)| C::parts(record));
        if kept.has(C::TABLE, epoch) && view.digest(C::TABLE)?.1 != Digest::of::<C>(made) {
            return Ok(Some(C::NAME));
        }
    });
    Ok(None)
}

/// Adds to `batch` the collections that the state in `view` does not keep yet, as a dataflow has `made` them, and that they are
/// kept from `epoch` on. Returns their names.
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub fn fill(
    made: &Changes,
    view: &View<'_>,
    epoch: Epoch,
    batch: &mut Batch,
) -> Result<Vec<&'static str>, StateError> {
    let (mut kept, now) = (view.kept_since()?, view.epoch()?);
    let mut filled = Vec::new();
    each_collection!(C => {
        if !kept.has(C::TABLE, now) {
            for (record, _) in C::of(&made.of) {
                let (key, value) = C::parts(record);
                batch.put(C::TABLE, C::stored_key(FIRST_SPACE, key), C::value_bytes(value));
            }
            kept.add(C::TABLE, epoch);
            filled.push(C::NAME);
        }
    });
    if !filled.is_empty() {
        batch.put(Table::Meta, key::COLLECTIONS, encode(&kept));
    }
    Ok(filled)
}
