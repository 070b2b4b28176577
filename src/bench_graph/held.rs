//! The graph as the dataflow's changes have it so far.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{CellId, ClassId, Cluster, GroupId, List, Pair};

use crate::epoch::{Changes, Net};

/// Every collection, each record once.
#[derive(Debug, Default)]
pub struct Held {
    /// Node to the cell that stores it.
    pub cells: BTreeMap<NodeId, CellId>,
    /// Node to its group.
    pub groups: BTreeMap<NodeId, GroupId>,
    /// Node to its class.
    pub classes: BTreeMap<NodeId, ClassId>,
    /// Node and cell to the best neighbours there.
    pub lists: BTreeMap<(NodeId, CellId), List>,
    /// Child clusters.
    pub clusters: BTreeSet<Cluster>,
    /// Inter-instance edges.
    pub inter: BTreeSet<(NodeId, NodeId)>,
    /// Transitive pairs with their reasons.
    pub pairs: BTreeSet<Pair>,
}

impl Held {
    /// Follows the changes of an epoch.
    ///
    /// # Errors
    /// When they are no changes of this: a record comes that is there, or goes that is not.
    pub fn follow(&mut self, changes: Changes) -> anyhow::Result<()> {
        if let Some(misfit) = changes.misfits.first() {
            bail!("the graph could not follow: {misfit}");
        }
        labels(&mut self.cells, changes.cells)?;
        labels(&mut self.groups, changes.groups)?;
        labels(&mut self.classes, changes.classes)?;
        labels(&mut self.lists, changes.lists)?;
        set(&mut self.clusters, changes.clusters)?;
        set(&mut self.inter, changes.inter)?;
        set(&mut self.pairs, changes.pairs)
    }
}

fn labels<K: Ord + std::fmt::Debug, V: PartialEq>(
    held: &mut BTreeMap<K, V>,
    changes: Net<(K, V)>,
) -> anyhow::Result<()> {
    for ((key, value), diff) in changes {
        match (diff, held.entry(key)) {
            (-1, Entry::Occupied(at)) if *at.get() == value => drop(at.remove()),
            (1, Entry::Vacant(at)) => drop(at.insert(value)),
            (_, at) => bail!("the graph changed the record of {:?} by {diff}, which it was not", at.key()),
        }
    }
    Ok(())
}

fn set<T: Ord + std::fmt::Debug>(held: &mut BTreeSet<T>, changes: Net<T>) -> anyhow::Result<()> {
    for (record, diff) in changes {
        let fits = match diff {
            -1 => held.remove(&record),
            1 if !held.contains(&record) => held.insert(record),
            _ => false,
        };
        if !fits {
            bail!("the graph changed a record by {diff} that was not so");
        }
    }
    Ok(())
}
