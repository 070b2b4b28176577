//! What a state's history says of nodes: nothing more of those that are forgotten.

use std::collections::BTreeSet;

use kinetograph_dataflows::id::NodeId;

use super::Chosen;
use crate::state::record::EpochDelta;
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
        if scrub_delta(&mut delta, &chosen.nodes) {
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

/// Takes every mention of `nodes` out of `delta`; whether there was any.
pub(super) fn scrub_delta(delta: &mut EpochDelta, nodes: &BTreeSet<NodeId>) -> bool {
    let records = |d: &EpochDelta| d.nodes.len() + d.pairs.len() + d.groups.len() + d.classes.len();
    let before = records(delta);
    delta.nodes.retain(|(node, _)| !nodes.contains(node));
    delta
        .pairs
        .retain(|(pair, _)| ![pair.a, pair.b, pair.via_a, pair.via_b].iter().any(|n| nodes.contains(n)));
    delta.groups.retain(|(node, ..)| !nodes.contains(node));
    delta.classes.retain(|(node, ..)| !nodes.contains(node));
    records(delta) < before
}
