//! The oracle: neighbours by brute force, from rows and a codebook alone.

use std::collections::BTreeMap;

use super::merge::best_of;
use super::rules::Rules;
use crate::id::NodeId;
use crate::index::node::{CellId, List, Neighbour, Row};
use crate::index::partition::codebook::Codebook;
use crate::index::partition::policy::Settings;

/// Says what [`recompute`] gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recomputed {
    /// For each node and each cell it probes, its best rows there.
    pub lists: BTreeMap<(NodeId, CellId), List>,
    /// For each node its k best over those cells.
    pub neighbours: BTreeMap<NodeId, List>,
}

/// Lists and neighbours of `rows` (one a node) under `codebook`: each query against every row of its cells, one score at a
/// time.
pub fn recompute(rows: &[Row], codebook: &Codebook, settings: &Settings) -> Recomputed {
    let rules = Rules::of(settings, 1);
    let mut stored: BTreeMap<CellId, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        stored.entry(codebook.cell(&row.vector.values())).or_default().push(row);
    }
    let mut recomputed = Recomputed::default();
    for query in rows {
        let mut found = Vec::new();
        for cell in codebook.probed(&query.vector.values(), settings.probes()) {
            let rows = stored.get(&cell).map_or(&[][..], |rows| rows.as_slice());
            let rows = if rows.len() < rules.min_rows { &[] } else { rows };
            let eligible = rows.iter().filter(|r| rules.eligible((query.id, query.pts_ns), (r.id, r.pts_ns)));
            let entries = eligible.map(|r| Neighbour { score: query.vector.score(&r.vector), node: r.id });
            let list = best_of(entries, settings.k);
            found.extend_from_slice(&list);
            recomputed.lists.insert((query.id, cell), list);
        }
        recomputed.neighbours.insert(query.id, best_of(found.into_iter(), settings.k));
    }
    recomputed
}
