//! The trainer's view of the graph: what it needs to draw pairs and to tell a valid negative.

use std::collections::{BTreeMap, HashMap};

use kinetograph_dataflows::id::{NodeId, TrackId};
use kinetograph_dataflows::index::node::{ClassId, GroupId, Pair};
use rand::Rng;

use super::feed::Delta;

/// Two nodes that should look alike, the smaller first.
pub type Positive = (NodeId, NodeId);

/// Why two nodes should look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A transitive pair of the graph.
    Transitive,
    /// Two views of one track.
    Intra,
}

/// Positives that came and went with a delta, each list ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New positives.
    pub came: Vec<(Kind, Positive)>,
    /// Positives that are no more.
    pub went: Vec<(Kind, Positive)>,
    /// Nodes that are no more.
    pub retired: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    group: Option<GroupId>,
    class: Option<ClassId>,
    /// Place in its group's list.
    place: usize,
}

/// Nodes, tracks, groups, classes and pairs as of one epoch.
///
/// Nodes without a group or class (none said yet) are neither anchors nor negatives.
#[derive(Clone, Debug, Default)]
pub struct View {
    epoch: Option<u64>,
    nodes: HashMap<NodeId, Known>,
    tracks: HashMap<TrackId, Vec<NodeId>>,
    groups: BTreeMap<GroupId, Vec<NodeId>>,
    /// Distinct transitive pairs with the number of their reasons.
    pairs: HashMap<Positive, i32>,
    ever: u64,
}

impl View {
    /// Carries out `delta` and says which positives it made and unmade. The result does not depend on the order of
    /// the delta's records.
    pub fn apply(&mut self, delta: &Delta) -> Changes {
        let mut changes = Changes::default();
        let (mut groups, mut classes) = (delta.groups.clone(), delta.classes.clone());
        // What goes is taken out first, so that a move from one group to another ends in the new one.
        groups.sort_unstable_by_key(|(node, group, diff)| (*diff, *node, *group));
        classes.sort_unstable_by_key(|(node, class, diff)| (*diff, *node, *class));
        let mut nodes = delta.nodes.clone();
        nodes.sort_unstable_by_key(|(node, diff)| (*diff, *node));
        for &(node, diff) in &nodes {
            if diff > 0 { self.admit(node, &mut changes) } else { self.retire(node, &mut changes) }
        }
        for (node, group, diff) in groups {
            let known = self.nodes.get(&node).and_then(|k| k.group);
            if diff < 0 && known == Some(group) {
                self.leave_group(node);
            } else if diff > 0 && known != Some(group) {
                self.leave_group(node);
                self.enter_group(node, group);
            }
        }
        for (node, class, diff) in classes {
            let Some(known) = self.nodes.get_mut(&node) else { continue };
            if diff > 0 {
                known.class = Some(class);
            } else if known.class == Some(class) {
                known.class = None;
            }
        }
        self.count_pairs(&delta.pairs, &mut changes);
        changes.came.sort_unstable();
        changes.went.sort_unstable();
        self.epoch = Some(delta.epoch);
        changes
    }

    fn admit(&mut self, node: NodeId, changes: &mut Changes) {
        if self.nodes.insert(node, Known::default()).is_some() {
            return;
        }
        self.ever += 1;
        let views = self.tracks.entry(node.track()).or_default();
        changes.came.extend(views.iter().map(|v| (Kind::Intra, ordered(*v, node))));
        let at = views.partition_point(|v| *v < node);
        views.insert(at, node);
    }

    fn retire(&mut self, node: NodeId, changes: &mut Changes) {
        self.leave_group(node);
        if self.nodes.remove(&node).is_none() {
            return;
        }
        changes.retired.push(node);
        if let Some(views) = self.tracks.get_mut(&node.track()) {
            views.retain(|v| *v != node);
            changes.went.extend(views.iter().map(|v| (Kind::Intra, ordered(*v, node))));
            if views.is_empty() {
                self.tracks.remove(&node.track());
            }
        }
    }

    fn enter_group(&mut self, node: NodeId, group: GroupId) {
        if let Some(known) = self.nodes.get_mut(&node) {
            let members = self.groups.entry(group).or_default();
            (known.group, known.place) = (Some(group), members.len());
            members.push(node);
        }
    }

    fn leave_group(&mut self, node: NodeId) {
        let Some(known) = self.nodes.get_mut(&node) else { return };
        let Some(group) = known.group.take() else { return };
        let place = known.place;
        let Some(members) = self.groups.get_mut(&group) else { return };
        members.swap_remove(place);
        if let Some(moved) = members.get(place).and_then(|m| self.nodes.get_mut(m)) {
            moved.place = place;
        }
        if members.is_empty() {
            self.groups.remove(&group);
        }
    }

    fn count_pairs(&mut self, reasons: &[(Pair, i8)], changes: &mut Changes) {
        let mut net: BTreeMap<Positive, i32> = BTreeMap::new();
        for (pair, diff) in reasons {
            *net.entry(ordered(pair.a, pair.b)).or_default() += i32::from(*diff);
        }
        for (pair, diff) in net {
            let count = self.pairs.entry(pair).or_insert(0);
            let before = *count;
            *count += diff;
            match (before > 0, *count > 0) {
                (false, true) => changes.came.push((Kind::Transitive, pair)),
                (true, false) => changes.went.push((Kind::Transitive, pair)),
                _ => {}
            }
            if *count == 0 {
                self.pairs.remove(&pair);
            }
        }
    }

    /// The last epoch applied.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Returns the number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the number of nodes that ever came, retired ones included.
    pub fn nodes_ever(&self) -> u64 {
        self.ever
    }

    /// Returns the number of distinct transitive pairs.
    pub fn transitive(&self) -> usize {
        self.pairs.len()
    }

    /// Returns the number of pairs of views of one track.
    pub fn intra(&self) -> usize {
        self.tracks.values().map(|views| views.len() * (views.len() - 1) / 2).sum()
    }

    /// Returns true when the graph has the node.
    pub fn has(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Returns true when the two are a transitive pair, two views of one track, or the same node.
    pub fn paired(&self, a: NodeId, b: NodeId) -> bool {
        a.track() == b.track() || self.pairs.get(&ordered(a, b)).is_some_and(|count| *count > 0)
    }

    /// Returns true when the two nodes are a positive of that kind.
    pub fn holds(&self, kind: Kind, (a, b): Positive) -> bool {
        let related = match kind {
            Kind::Transitive => self.pairs.get(&(a, b)).is_some_and(|count| *count > 0),
            Kind::Intra => a != b && a.track() == b.track(),
        };
        related && self.has(a) && self.has(b)
    }

    /// Returns true when `negative` may stand against the pair: it is of another group and another class than either end,
    /// and paired with neither.
    pub fn is_negative(&self, (anchor, positive): Positive, negative: NodeId) -> bool {
        [anchor, positive].iter().all(|end| {
            let (Some(end_known), Some(known)) = (self.nodes.get(end), self.nodes.get(&negative)) else {
                return false;
            };
            matches!((end_known.group, known.group), (Some(a), Some(b)) if a != b)
                && matches!((end_known.class, known.class), (Some(a), Some(b)) if a != b)
                && !self.paired(*end, negative)
        })
    }

    /// A valid negative of the pair, drawn uniformly from those there are; `None` when there is none.
    pub fn draw_negative(&self, pair: Positive, rng: &mut impl Rng) -> Option<NodeId> {
        const TRIES: usize = 32;
        let own = self.nodes.get(&pair.0)?.group?;
        let others =
            || self.groups.iter().filter(move |(group, _)| **group != own).map(|(_, members)| members);
        let count: usize = others().map(Vec::len).sum();
        if count == 0 {
            return None;
        }
        for _ in 0..TRIES {
            let mut at = rng.random_range(0..count as u64) as usize;
            for members in others() {
                if let Some(node) = members.get(at) {
                    if self.is_negative(pair, *node) {
                        return Some(*node);
                    }
                    break;
                }
                at -= members.len();
            }
        }
        // Rare: nearly everything is of the pair's class. One pass decides, and keeps the draw uniform.
        let valid: Vec<NodeId> = others().flatten().copied().filter(|n| self.is_negative(pair, *n)).collect();
        (!valid.is_empty()).then(|| valid[rng.random_range(0..valid.len() as u64) as usize])
    }

    /// The nodes group after group in the order draws index them, with how often nodes came: what a checkpoint keeps
    /// so that a resumed training draws as it would have.
    pub fn order(&self) -> (Vec<NodeId>, u64) {
        (self.groups.values().flatten().copied().collect(), self.ever)
    }

    /// Takes over the order of an earlier [`View::order`] of the same graph. Nodes it does not name come last.
    pub fn restore_order(&mut self, order: &[NodeId], ever: u64) {
        self.ever = ever;
        let rank: HashMap<NodeId, usize> = order.iter().enumerate().map(|(i, n)| (*n, i)).collect();
        for members in self.groups.values_mut() {
            members.sort_unstable_by_key(|n| (rank.get(n).copied().unwrap_or(usize::MAX), *n));
            for (place, node) in members.iter().enumerate() {
                if let Some(known) = self.nodes.get_mut(node) {
                    known.place = place;
                }
            }
        }
    }
}

fn ordered(a: NodeId, b: NodeId) -> Positive {
    if a <= b { (a, b) } else { (b, a) }
}
