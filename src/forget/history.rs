//! The history of a state, as it says of nodes: nothing more of those that are forgotten.

use super::Chosen;
use crate::state::view::View;
use crate::state::{StateError, encode, key};
use crate::store::{Batch, Table};

/// Puts what is left of the log and of the kept deltas into `batch`; with `codebook`, all decisions go, too.
pub(super) fn scrub(
    view: &View<'_>,
    chosen: &Chosen,
    codebook: bool,
    batch: &mut Batch,
) -> Result<(), StateError> {
    for (epoch, mut log) in view.log(0)? {
        let before = log.clone();
        log.slices.retain(|(source, ..)| !chosen.sources.contains_key(source));
        if let Some((_, nodes)) = &mut log.retired {
            nodes.retain(|node| !chosen.nodes.contains(node));
        }
        if codebook {
            log.decisions.clear();
        }
        if log != before {
            batch.put(Table::Log, key::epoch(epoch), encode(&log));
        }
    }
    for (epoch, mut delta) in view.deltas(0)? {
        if delta.strike(|node| chosen.nodes.contains(&node)) {
            batch.put(Table::Deltas, key::epoch(epoch), encode(&delta));
        }
    }
    if codebook {
        for decision in view.decision_keys()? {
            batch.delete(Table::Decisions, decision);
        }
    }
    Ok(())
}
