//! An epoch's changes as records of the store.

use std::collections::HashMap;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::time::Diff;

use crate::epoch::Changes;
use crate::state::digest::Digest;
use crate::state::key::{self, FIRST_SPACE};
use crate::state::record::EpochDelta;
use crate::state::view::View;
use crate::state::{StateError, encode};
use crate::store::{Batch, Table};

/// Each change of a derived collection as a record of the store; of a key that goes and comes, going is first.
pub fn records(changes: &Changes, mut put: impl FnMut(Table, Vec<u8>, Vec<u8>, Diff)) {
    for ((node, cell), diff) in &changes.cells {
        put(Table::Cells, key::node(*node), cell.0.to_be_bytes().to_vec(), *diff);
    }
    for ((node, group), diff) in &changes.groups {
        put(Table::Groups, key::node(*node), group.0.to_be_bytes().to_vec(), *diff);
    }
    for (((node, cell), list), diff) in &changes.lists {
        put(Table::Lists, key::list(FIRST_SPACE, *node, *cell), encode(list), *diff);
    }
    for (cluster, diff) in &changes.clusters {
        put(Table::Clusters, key::nodes(cluster), Vec::new(), *diff);
    }
    for ((a, b), diff) in &changes.inter {
        put(Table::Edges, key::nodes(&[*a, *b]), Vec::new(), *diff);
    }
    for (pair, diff) in &changes.pairs {
        put(Table::Pairs, key::pair(pair), Vec::new(), *diff);
    }
    for ((node, class), diff) in &changes.classes {
        put(Table::Classes, key::node(*node), class.0.to_be_bytes().to_vec(), *diff);
    }
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
    let sign = |diff: &Diff| if *diff < 0 { -1 } else { 1 };
    EpochDelta {
        nodes: came.map(|node| (node, 1)).chain(retired.iter().map(|node| (*node, -1))).collect(),
        pairs: changes.pairs.iter().map(|(pair, d)| (*pair, sign(d))).collect(),
        groups: changes.groups.iter().map(|((n, g), d)| (*n, *g, sign(d))).collect(),
        classes: changes.classes.iter().map(|((n, c), d)| (*n, *c, sign(d))).collect(),
    }
}

/// The collection, if any, in which what a dataflow made of the stored nodes and lists differs from what `view` holds.
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub fn inconsistent(changes: &Changes, view: &View<'_>) -> Result<Option<&'static str>, StateError> {
    let mut made: HashMap<Table, Digest> = HashMap::new();
    records(changes, |table, key, value, _| made.entry(table).or_default().add(&key, &value));
    made.insert(Table::Classes, Digest::of_partition(changes.classes.iter().map(|(c, _)| *c)));
    for (table, collection) in [
        (Table::Cells, "cells"),
        (Table::Groups, "groups"),
        (Table::Lists, "lists"),
        (Table::Clusters, "clusters"),
        (Table::Edges, "edges"),
        (Table::Pairs, "pairs"),
        (Table::Classes, "classes"),
    ] {
        if view.digest(table)?.1 != made.get(&table).copied().unwrap_or_default() {
            return Ok(Some(collection));
        }
    }
    Ok(None)
}
