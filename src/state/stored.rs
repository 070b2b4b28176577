//! The stored graph that a run starts from: nodes, lists, decisions and classes. No distance is computed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{CellId, ClassId, List, Row};
use kinetograph_dataflows::index::partition::codebook::Decision;
use kinetograph_dataflows::time::Epoch;

use crate::state::record::Shard;
use crate::state::view::View;
use crate::state::{State, StateError};
use crate::store::Table;

/// The contents of the store at the start.
#[derive(Default)]
pub struct Stored {
    /// Nodes with their lists.
    pub rows: Vec<Row>,
    /// Decisions with the epoch they take effect at, in order.
    pub decisions: Vec<(Epoch, Decision)>,
    /// Nodes told to go that are still there, by the epoch they go at.
    pub retiring: BTreeMap<Epoch, Vec<NodeId>>,
    /// Classes.
    pub classes: Arc<HashMap<NodeId, ClassId>>,
}

/// A decision that was taken from a closed epoch; it takes effect some epochs later.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// A change of the codebook, with its place among those of its epoch.
    Codebook(u64, Decision),
    /// Nodes that go.
    Retire(Vec<NodeId>),
}

impl Stored {
    /// Returns what of this the process that keeps `shard` gives the dataflow. Decisions are given by process 0, which also has all
    /// labels of classes.
    pub fn of_shard(&self, shard: Shard) -> Stored {
        let first = shard.process == 0;
        Stored {
            rows: self.rows.iter().filter(|row| shard.has(row.id.source())).cloned().collect(),
            decisions: if first { self.decisions.clone() } else { Vec::new() },
            retiring: if first { self.retiring.clone() } else { BTreeMap::new() },
            classes: self.classes.clone(),
        }
    }

    /// Everything decided, with the epoch it takes effect at, in the order of these. What took effect before `start` does
    /// so at `start`.
    pub fn decided(&self, start: Epoch) -> Vec<(Epoch, Decided)> {
        let codebook = self.decisions.iter().enumerate().map(|(order, (effective, decision))| {
            (start.max(*effective), Decided::Codebook(order as u64, decision.clone()))
        });
        let retiring =
            self.retiring.iter().map(|(effective, nodes)| (*effective, Decided::Retire(nodes.clone())));
        let mut decided: Vec<_> = codebook.chain(retiring).collect();
        decided.sort_by_key(|(effective, _)| *effective);
        decided
    }
}

/// Reads everything the dataflow needs from `view`. A decision takes effect `delay` epochs after the one it was taken
/// from.
///
/// # Errors
/// [`StateError`] when a record cannot be read, or a node has no vector.
pub fn stored(state: &State, view: &View<'_>, delay: u64) -> Result<Stored, StateError> {
    let vectors = view.vectors()?;
    let mut known: BTreeMap<NodeId, Vec<(CellId, List)>> = BTreeMap::new();
    for ((node, cell), list) in view.lists()? {
        known.entry(node).or_default().push((cell, list));
    }
    let rows = view.nodes()?.into_iter().map(|(id, record)| {
        let vector = vectors.get(&id).cloned().ok_or_else(|| StateError::Damaged {
            place: state.place(),
            table: Table::Vectors,
            reason: format!("node {id} has no vector"),
        })?;
        let known = Some(Arc::new(known.remove(&id).unwrap_or_default()));
        Ok(Row { id, pts_ns: record.pts_ns, vector, known })
    });
    Ok(Stored {
        rows: rows.collect::<Result<_, StateError>>()?,
        decisions: view.decisions()?,
        retiring: view.retiring(delay)?,
        classes: Arc::new(view.classes()?.into_iter().collect()),
    })
}
