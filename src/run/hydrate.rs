//! What a run starts from: nodes, lists, decisions and classes as the store has them. No distance is computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinetograph_dataflows::graph::node::{CellId, List, Row};
use kinetograph_dataflows::id::NodeId;

use super::worker::Stored;
use crate::state::view::View;
use crate::state::{State, StateError};
use crate::store::Table;

/// Reads everything the dataflow needs from `view`.
///
/// # Errors
/// [`StateError`] when a record cannot be read, or a node has no vector.
pub fn stored(state: &State, view: &View<'_>) -> Result<Stored, StateError> {
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
        classes: Arc::new(view.classes()?.into_iter().collect()),
    })
}
