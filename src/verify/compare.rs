//! What is stored beside what was computed again.

use std::collections::{BTreeMap, BTreeSet};

use kinetograph_dataflows::graph::codebook::Codebook;
use kinetograph_dataflows::graph::node::{CellId, ClassId, Cluster, List, Pair, PairKind};
use kinetograph_dataflows::id::NodeId;

use super::recompute::{Lists, Member};
use super::{Check, read};
use crate::state::StateError;
use crate::state::view::View;

/// Whether each node is stored in the cell that the codebook gives it.
pub(crate) fn cells(view: &View<'_>, members: &[Member]) -> Result<Check, StateError> {
    let expected = members.iter().map(|m| (m.id, m.cell.0)).collect();
    labels("cells", "cell", view.cells().map(|cells| by_number(cells, |c| c.0)), &expected)
}

/// Whether each node is in the group that the codebook gives it.
pub(crate) fn groups(view: &View<'_>, members: &[Member], codebook: &Codebook) -> Result<Check, StateError> {
    let expected = members.iter().map(|m| (m.id, codebook.group(&m.vector).0)).collect();
    labels("groups", "group", view.groups().map(|groups| by_number(groups, |g| g.0)), &expected)
}

fn by_number<T>(labels: BTreeMap<NodeId, T>, number: impl Fn(T) -> u32) -> BTreeMap<NodeId, u32> {
    labels.into_iter().map(|(node, label)| (node, number(label))).collect()
}

fn labels(
    collection: &'static str,
    label: &str,
    stored: Result<BTreeMap<NodeId, u32>, StateError>,
    expected: &BTreeMap<NodeId, u32>,
) -> Result<Check, StateError> {
    let mut check = Check::new(collection);
    let Some(stored) = read(&mut check, stored)? else { return Ok(check) };
    for node in either(stored.keys(), expected.keys()) {
        let (found, right) = (stored.get(&node), expected.get(&node));
        check.expect(found == right, || match (found, right) {
            (Some(found), Some(right)) => format!("node {node}: in {label} {found}, expected {right}"),
            (None, Some(right)) => format!("node {node}: in no {label}, expected {right}"),
            (found, _) => format!("node {node}: in {label} {}, expected none", found.unwrap_or(&0)),
        });
    }
    Ok(check)
}

/// Whether each list is right: who is in it, in which order, with which score. No list is an empty list.
pub(crate) fn lists(view: &View<'_>, expected: &Lists) -> Result<Check, StateError> {
    let mut check = Check::new("lists");
    let Some(stored) = read(&mut check, view.lists())? else { return Ok(check) };
    let none = List::new();
    for (node, cell) in either(stored.keys(), expected.keys()) {
        let found = stored.get(&(node, cell)).unwrap_or(&none);
        let right = expected.get(&(node, cell)).unwrap_or(&none);
        check.expect(found == right, || list_words(node, cell, found, right));
    }
    Ok(check)
}

fn list_words(node: NodeId, cell: CellId, found: &List, right: &List) -> String {
    let at = (0..found.len().max(right.len())).find(|i| found.get(*i) != right.get(*i)).unwrap_or(0);
    let list = format!("node {node}: list in cell {}", cell.0);
    match (found.get(at), right.get(at)) {
        (Some(f), Some(r)) if f.node == r.node => {
            format!("{list} scores {} at rank {} {}, expected {}", f.node, at + 1, f.score.0, r.score.0)
        }
        (Some(f), Some(r)) => format!("{list} has {} at rank {}, expected {}", f.node, at + 1, r.node),
        (Some(f), None) => format!("{list} has {} at rank {}, expected its end", f.node, at + 1),
        (None, r) => {
            let r = r.map_or_else(String::new, |r| r.node.to_string());
            format!("{list} ends before rank {}, expected {r}", at + 1)
        }
    }
}

/// Whether `stored` is the set `expected`.
pub(crate) fn set<T: Ord>(
    collection: &'static str,
    stored: Result<Vec<T>, StateError>,
    expected: &BTreeSet<T>,
    words: impl Fn(&T) -> String,
) -> Result<Check, StateError> {
    let mut check = Check::new(collection);
    let Some(stored) = read(&mut check, stored)? else { return Ok(check) };
    let stored: BTreeSet<T> = stored.into_iter().collect();
    for record in expected.union(&stored) {
        let (is, should) = (stored.contains(record), expected.contains(record));
        check.expect(is == should, || {
            format!("{} {}", words(record), if is { "should not be there" } else { "is missing" })
        });
    }
    Ok(check)
}

pub(crate) fn cluster_words(cluster: &Cluster) -> String {
    let members: Vec<String> = cluster.iter().map(NodeId::to_string).collect();
    format!("cluster {}", members.join(" "))
}

pub(crate) fn edge_words((a, b): &(NodeId, NodeId)) -> String {
    format!("edge {a} - {b}")
}

pub(crate) fn pair_words(pair: &Pair) -> String {
    let Pair { a, b, kind, via_a, via_b } = pair;
    format!("pair {a} - {b} ({}, over {via_a} - {via_b})", kind_name(*kind))
}

/// The name of a kind of pair: a dash marks the ends that are another view.
pub fn kind_name(kind: PairKind) -> &'static str {
    match kind {
        PairKind::BothMoved => "A'-B'",
        PairKind::AMoved => "A'-B",
        PairKind::BMoved => "A-B'",
    }
}

/// Whether the stored labels are the partition `expected`, whose classes are named by their smallest member.
pub(crate) fn classes(view: &View<'_>, expected: &BTreeMap<NodeId, NodeId>) -> Result<Check, StateError> {
    let mut check = Check::new("classes");
    let Some(stored) = read(&mut check, view.classes())? else { return Ok(check) };
    let mut smallest: BTreeMap<ClassId, NodeId> = BTreeMap::new();
    for (node, class) in &stored {
        smallest.entry(*class).or_insert(*node);
    }
    for node in either(stored.keys(), expected.keys()) {
        let found = stored.get(&node).and_then(|class| smallest.get(class));
        let right = expected.get(&node);
        check.expect(found == right, || match (found, right) {
            (Some(found), Some(right)) => {
                format!("node {node}: in the class that begins with {found}, expected that of {right}")
            }
            (None, _) => format!("node {node}: has no class"),
            (_, None) => format!("node {node}: has a class and is not in the table of nodes"),
        });
    }
    Ok(check)
}

/// The keys in either, ascending, once.
fn either<'k, K: Ord + Copy + 'k>(
    a: impl Iterator<Item = &'k K>,
    b: impl Iterator<Item = &'k K>,
) -> BTreeSet<K> {
    a.chain(b).copied().collect()
}
