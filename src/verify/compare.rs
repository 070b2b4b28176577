//! What is stored beside what was computed again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{CellId, ClassId, Cluster, List, Pair, PairKind};
use kinetograph_dataflows::index::partition::codebook::Codebook;

use super::{Check, read};
use crate::recompute::Rules;
use crate::recompute::cores::on_all_cores;
use crate::recompute::nearest::{self, Lists, Member};
use crate::state::StateError;
use crate::state::view::View;

/// Nodes looked at at a time.
const TOGETHER: usize = 1024;

/// Whether each node is stored in the cell that the codebook gives it.
pub(crate) fn cells(view: &View<'_>, members: &[Member]) -> Result<Check, StateError> {
    let expected = members.iter().map(|m| (m.id, m.cell.0)).collect();
    labels("cells", "cell", view.cells().map(|cells| by_number(cells, |c| c.0)), &expected)
}

/// Whether each node is in the group that the codebook gives it.
pub(crate) fn groups(view: &View<'_>, members: &[Member], codebook: &Codebook) -> Result<Check, StateError> {
    let chunks: Vec<&[Member]> = members.chunks(TOGETHER).collect();
    let group = |some: &&[Member]| -> Vec<(NodeId, u32)> {
        some.iter().map(|m| (m.id, codebook.group(&m.vector.values()).0)).collect()
    };
    let expected = on_all_cores(&chunks, group, &|_| {}).into_iter().flatten().collect();
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

/// Whether each list is right: who is in it, in which order, with which score. No list is an empty list. Also the right
/// lists.
pub(crate) fn lists(
    view: &View<'_>,
    members: &[Member],
    codebook: &Codebook,
    rules: &Rules,
    done: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Lists, Check), StateError> {
    let mut check = Check::new("lists");
    let stored = read(&mut check, view.lists())?;
    let readable = stored.is_some();
    let mut lists: Lists = stored.unwrap_or_default().into_iter().collect();
    let looked_at: Vec<AtomicBool> = lists.iter().map(|_| AtomicBool::new(false)).collect();
    let none = List::new();
    let wrong = |node: NodeId, cell: CellId, list: List| {
        let stored = lists.binary_search_by_key(&(node, cell), |(key, _)| *key).ok();
        stored.iter().for_each(|at| looked_at[*at].store(true, Ordering::Relaxed));
        let found = stored.map_or(&none, |at| &lists[at].1);
        (*found != list).then_some(((node, cell), list))
    };
    let mut right: BTreeMap<(NodeId, CellId), List> =
        nearest::lists(members, codebook, rules, wrong, done).into_iter().collect();
    for (at, (key, list)) in lists.iter().enumerate() {
        // Nobody probes that cell from that node.
        if !looked_at[at].load(Ordering::Relaxed) && !list.is_empty() {
            right.insert(*key, List::new());
        }
    }
    check.checked = if readable { lists.len() } else { 0 };
    for ((key, found), right) in lists.iter().filter_map(|list| Some((list, right.get(&list.0)?))) {
        check.differs(|| list_words(key.0, key.1, found, right));
    }
    for (key, list) in &mut lists {
        right.remove(key).into_iter().for_each(|right| *list = right);
    }
    for ((node, cell), list) in &right {
        if readable {
            check.expect(false, || list_words(*node, *cell, &none, list));
        }
    }
    lists.extend(right);
    lists.sort_unstable_by_key(|(key, _)| *key);
    Ok((lists, check))
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

/// Whether the records that `stored` shows, in any order, are the set `expected`, which is sorted.
pub(crate) fn set<T: Ord>(
    collection: &'static str,
    stored: impl FnOnce(&mut dyn FnMut(T)) -> Result<(), StateError>,
    expected: &[T],
    words: impl Fn(&T) -> String,
) -> Result<Check, StateError> {
    let mut check = Check::new(collection);
    let (mut seen, mut strange) = (vec![false; expected.len()], Vec::new());
    let shown = stored(&mut |record: T| match expected.binary_search(&record) {
        Ok(at) => seen[at] = true,
        Err(_) => strange.push(record),
    });
    if read(&mut check, shown)?.is_none() {
        return Ok(check);
    }
    check.checked = expected.len() + strange.len();
    let missing = expected.iter().zip(&seen).filter(|(_, seen)| !**seen).map(|(record, _)| (record, false));
    let mut differences: Vec<(&T, bool)> =
        strange.iter().map(|record| (record, true)).chain(missing).collect();
    differences.sort_unstable();
    for (record, is) in differences {
        let verdict = if is { "should not be there" } else { "is missing" };
        check.differs(|| format!("{} {verdict}", words(record)));
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
