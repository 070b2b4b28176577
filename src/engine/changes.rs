//! An epoch's changes as records of the store.

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::time::Diff;

use crate::collections::{Collection, Listed, each_collection};
use crate::epoch::Changes;
use crate::state::StateError;
use crate::state::digest::Digest;
use crate::state::key::{self, FIRST_SPACE};
use crate::state::record::EpochDelta;
use crate::state::view::View;
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

/// The collection, if any, in which what a dataflow made of the stored nodes and lists differs from what `view` holds.
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub fn inconsistent(changes: &Changes, view: &View<'_>) -> Result<Option<&'static str>, StateError> {
    each_collection!(C => {
        let made = Digest::of::<C>(C::of(&changes.of).iter().map(|(record, _)| C::parts(record)));
        if view.digest(C::TABLE)?.1 != made {
            return Ok(Some(C::NAME));
        }
    });
    Ok(None)
}
