//! The choice of what a gallery shows of a state that is too large to show: evenly sampled where all are alike, best and varied where not.

use std::collections::{BTreeMap, BTreeSet};

use kinetograph_dataflows::id::{NodeId, SourceId, TrackId};
use kinetograph_dataflows::index::kernels::vector::Vector;
use kinetograph_dataflows::index::node::{ClassId, Cluster, Pair, PairKind};

use crate::recompute::relations::tracks;
use crate::state::StateError;
use crate::state::record::{NodeRecord, SourceRecord};
use crate::state::view::View;

const SOURCES: usize = 12;
const TRACKS: usize = 24;
const CLUSTERS: usize = 12;
const PAIRS: usize = 16;
const CLASSES: usize = 10;
/// Crops in a row of any kind.
const IN_A_ROW: usize = 11;
/// The bonus to a pair's score for being of two sources, when pairs compete for a place.
const ACROSS_SOURCES: f32 = 0.02;
/// The bonus for a complete change of view; a turn the tracker saw is what transitivity is for.
const CHANGE_OF_VIEW: f32 = 0.1;

/// Some of a whole.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Whose they are, for people.
    pub name: String,
    /// Nodes in the whole.
    pub nodes: usize,
    /// Tracks in the whole.
    pub tracks: usize,
    /// The nodes to show.
    pub shown: Vec<NodeId>,
}

/// A transitive pair with the score of the edge that made it.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// The pair.
    pub pair: Pair,
    /// Canonical score of `via_a` and `via_b`.
    pub score: f32,
}

/// The number of each kind, shown or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// The last committed epoch.
    pub epoch: u64,
    /// Videos.
    pub sources: usize,
    /// Frames looked at.
    pub frames: u64,
    /// Tracks.
    pub tracks: usize,
    /// Nodes.
    pub nodes: usize,
    /// Child clusters.
    pub clusters: usize,
    /// Pairs of nodes that are a transitive pair.
    pub pairs: usize,
    /// Classes.
    pub classes: usize,
    /// Classes of more than one track.
    pub joined: usize,
}

/// The things that a gallery shows.
#[derive(Clone, Debug, Default)]
pub struct Album {
    /// The number of each kind.
    pub totals: Totals,
    /// Mined objects, source by source.
    pub sources: Vec<Sample>,
    /// First and last view of a track.
    pub tracks: Vec<(NodeId, NodeId)>,
    /// Child clusters.
    pub clusters: Vec<Cluster>,
    /// Transitive pairs.
    pub pairs: Vec<Path>,
    /// Classes of more than one track, the largest first.
    pub classes: Vec<Sample>,
    seen: BTreeMap<NodeId, NodeRecord>,
    names: BTreeMap<SourceId, String>,
}

/// The state that choices are made from.
struct Whole {
    with_crop: BTreeSet<NodeId>,
    scores: BTreeMap<(NodeId, NodeId), f32>,
    vectors: BTreeMap<NodeId, Vector>,
    classes: BTreeMap<NodeId, ClassId>,
}

impl Album {
    /// Chooses from the state that `view` sees. The same state gives the same album.
    ///
    /// # Errors
    /// [`StateError`] when the store cannot be read or a record is damaged.
    pub fn pick(view: &View<'_>) -> Result<Self, StateError> {
        let (seen, sources) = (view.nodes()?, view.sources()?);
        let mut scores = BTreeMap::new();
        for ((node, _), list) in view.lists()? {
            scores.extend(list.iter().map(|n| ((node, n.node), n.score.0)));
        }
        let with_crop = view.crop_nodes()?.into_iter().filter(|n| seen.contains_key(n)).collect();
        let whole = Whole { with_crop, scores, vectors: view.vectors()?, classes: view.classes()? };
        let (clusters, pairs) = (view.clusters()?, view.pairs()?);
        let tracks = tracks(seen.keys().copied());
        let mut members: BTreeMap<ClassId, Vec<NodeId>> = BTreeMap::new();
        whole.classes.iter().for_each(|(node, class)| members.entry(*class).or_default().push(*node));
        let mut joined: Vec<_> =
            members.values().map(|m| (track_count(m), m)).filter(|(count, _)| *count > 1).collect();
        joined.sort_by_key(|(count, m)| (std::cmp::Reverse((*count, m.len())), m[0]));
        let totals = Totals {
            epoch: view.epoch()?,
            sources: sources.len(),
            frames: sources.values().map(|s| s.counts.frames).sum(),
            tracks: tracks.len(),
            nodes: seen.len(),
            clusters: clusters.len(),
            pairs: pairs.iter().map(|p| (p.a, p.b)).collect::<BTreeSet<_>>().len(),
            classes: members.len(),
            joined: joined.len(),
        };
        let classes = joined.iter().take(CLASSES).enumerate().map(|(at, (count, members))| Sample {
            name: format!("Class {}", at + 1),
            nodes: members.len(),
            tracks: *count,
            shown: spread(&one_a_track(members, &whole.with_crop), IN_A_ROW),
        });
        Ok(Album {
            totals,
            sources: of_sources(&sources, &tracks, &whole.with_crop),
            tracks: first_and_last(&tracks, &whole.with_crop),
            clusters: varied_clusters(&clusters, &whole),
            pairs: varied_pairs(&pairs, &whole),
            classes: classes.collect(),
            seen,
            names: sources.into_iter().map(|(id, s)| (id, s.name)).collect(),
        })
    }

    /// Every node that is shown somewhere.
    pub fn shown(&self) -> BTreeSet<NodeId> {
        let samples = self.sources.iter().chain(&self.classes).flat_map(|s| s.shown.iter().copied());
        samples
            .chain(self.tracks.iter().flat_map(|(first, last)| [*first, *last]))
            .chain(self.clusters.iter().flatten().copied())
            .chain(self.pairs.iter().flat_map(|p| [p.pair.a, p.pair.via_a, p.pair.via_b, p.pair.b]))
            .collect()
    }

    /// The name of the video that `node` was seen in.
    pub fn source(&self, node: NodeId) -> &str {
        self.names.get(&node.source()).map_or("", String::as_str)
    }

    /// The number of the frame that `node` was seen in.
    pub fn frame(&self, node: NodeId) -> u64 {
        self.seen.get(&node).map_or(0, |record| record.seq)
    }
}

/// `count` of `items`, evenly over all of them and in their order.
pub fn spread<T: Copy>(items: &[T], count: usize) -> Vec<T> {
    let shown = count.min(items.len());
    (0..shown).map(|i| items[(2 * i + 1) * items.len() / (2 * shown)]).collect()
}

fn track_count(nodes: &[NodeId]) -> usize {
    nodes.iter().map(|n| n.track()).collect::<BTreeSet<_>>().len()
}

fn source_count(nodes: &[NodeId]) -> usize {
    nodes.iter().map(|n| n.source()).collect::<BTreeSet<_>>().len()
}

/// The first view of each track that can be shown.
fn one_a_track(nodes: &[NodeId], with_crop: &BTreeSet<NodeId>) -> Vec<NodeId> {
    let mut first: BTreeMap<TrackId, NodeId> = BTreeMap::new();
    for node in nodes.iter().filter(|n| with_crop.contains(n)) {
        first.entry(node.track()).or_insert(*node);
    }
    first.into_values().collect()
}

fn of_sources(
    sources: &BTreeMap<SourceId, SourceRecord>,
    tracks: &BTreeMap<TrackId, Vec<NodeId>>,
    with_crop: &BTreeSet<NodeId>,
) -> Vec<Sample> {
    let mut nodes: BTreeMap<SourceId, Vec<NodeId>> = BTreeMap::new();
    tracks.iter().for_each(|(track, views)| nodes.entry(track.source()).or_default().extend(views));
    let nodes: Vec<_> = nodes.iter().collect();
    let sample = |(source, nodes): (&SourceId, &Vec<NodeId>)| Sample {
        name: sources.get(source).map_or_else(|| format!("source {source}"), |s| s.name.clone()),
        nodes: nodes.len(),
        tracks: track_count(nodes),
        shown: spread(&one_a_track(nodes, with_crop), IN_A_ROW),
    };
    spread(&nodes, SOURCES).into_iter().map(sample).collect()
}

/// As many tracks of each source as of any other, evenly over its time.
fn first_and_last(
    tracks: &BTreeMap<TrackId, Vec<NodeId>>,
    with_crop: &BTreeSet<NodeId>,
) -> Vec<(NodeId, NodeId)> {
    let mut of_source: BTreeMap<SourceId, Vec<(NodeId, NodeId)>> = BTreeMap::new();
    for (track, views) in tracks {
        if let [first, .., last] = views[..]
            && with_crop.contains(&first)
            && with_crop.contains(&last)
        {
            of_source.entry(track.source()).or_default().push((first, last));
        }
    }
    let each = TRACKS.div_ceil(of_source.len().max(1));
    let some: Vec<_> = of_source.values().flat_map(|all| spread(all, each)).collect();
    spread(&some, TRACKS)
}

/// Leaves the worse half out where more than `enough` is left: variety must not bring the worst to the front.
fn better_half<T>(best_first: &mut Vec<T>, enough: usize) {
    let half = best_first.len().div_ceil(2);
    best_first.truncate(half.max(enough));
}

fn varied_clusters(clusters: &[Cluster], whole: &Whole) -> Vec<Cluster> {
    let merit = |cluster: &Cluster| {
        let between = cluster.iter().flat_map(|a| cluster.iter().map(move |b| (*a, *b)));
        let known: Vec<f32> = between.filter_map(|edge| whole.scores.get(&edge).copied()).collect();
        let mean = known.iter().sum::<f32>() / known.len().max(1) as f32;
        mean + ACROSS_SOURCES * (source_count(cluster).min(3) - 1) as f32
    };
    let mut best: Vec<(f32, &Cluster)> = clusters
        .iter()
        .filter(|c| !c.is_empty() && c.iter().all(|n| whole.with_crop.contains(n)))
        .map(|c| (merit(c), c))
        .collect();
    best.sort_by(|x, y| y.0.total_cmp(&x.0).then_with(|| x.1.cmp(y.1)));
    better_half(&mut best, CLUSTERS);
    let mut shown: Vec<Cluster> = Vec::new();
    let mut nodes = BTreeSet::new();
    for most_of_a_class in 1..=CLUSTERS {
        let mut of_class: BTreeMap<_, usize> = BTreeMap::new();
        shown.iter().for_each(|c| *of_class.entry(whole.classes.get(&c[0])).or_default() += 1);
        for (_, cluster) in &best {
            let count = of_class.entry(whole.classes.get(&cluster[0])).or_default();
            let known = cluster.iter().filter(|n| nodes.contains(*n)).count();
            if shown.len() < CLUSTERS && *count < most_of_a_class && 3 * known < cluster.len() {
                *count += 1;
                nodes.extend(cluster.iter().copied());
                shown.push(spread(cluster, IN_A_ROW));
            }
        }
    }
    shown
}

fn varied_pairs(pairs: &[Pair], whole: &Whole) -> Vec<Path> {
    let likeness = |a: NodeId, b: NodeId| match (whole.vectors.get(&a), whole.vectors.get(&b)) {
        (Some(a), Some(b)) if a.len() == b.len() => a.score(b).0,
        _ => 1.0,
    };
    // Pairs with both ends moved show the most; without any (tracks of one view), show what there is.
    let moved = |p: &&Pair| p.kind == PairKind::BothMoved;
    let both = pairs.iter().any(|p| moved(&p));
    let visible = |p: &&Pair| [p.a, p.via_a, p.via_b, p.b].iter().all(|n| whole.with_crop.contains(n));
    let mut best: Vec<(f32, Path)> = pairs
        .iter()
        .filter(|p| !both || moved(p))
        .filter(visible)
        .filter_map(|pair| {
            let score = *whole.scores.get(&(pair.via_a, pair.via_b))?;
            let change = 2.0 - likeness(pair.a, pair.via_a) - likeness(pair.b, pair.via_b);
            let across = if pair.a.source() == pair.b.source() { 0.0 } else { ACROSS_SOURCES };
            let merit = score + across + CHANGE_OF_VIEW * (change / 2.0).clamp(0.0, 1.0);
            Some((merit, Path { pair: *pair, score }))
        })
        .collect();
    best.sort_by(|x, y| y.0.total_cmp(&x.0).then_with(|| x.1.pair.cmp(&y.1.pair)));
    better_half(&mut best, PAIRS);
    let mut shown: Vec<Path> = Vec::new();
    let mut tracks = BTreeSet::new();
    // At first one of a class and of two sources; more of them only while there is room.
    for most in 1..=PAIRS {
        let mut of: BTreeMap<_, usize> = BTreeMap::new();
        let keys =
            |p: &Pair| [(whole.classes.get(&p.a).copied(), None), (None, Some((p.a.source(), p.b.source())))];
        shown.iter().for_each(|path| keys(&path.pair).iter().for_each(|k| *of.entry(*k).or_default() += 1));
        for (_, path) in &best {
            let ends = [path.pair.a.track(), path.pair.b.track()];
            let crowded = keys(&path.pair).iter().any(|k| of.get(k).is_some_and(|n| *n >= most));
            if shown.len() < PAIRS && !crowded && !ends.iter().any(|t| tracks.contains(t)) {
                keys(&path.pair).iter().for_each(|k| *of.entry(*k).or_default() += 1);
                tracks.extend(ends);
                shown.push(*path);
            }
        }
        if shown.len() == PAIRS {
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_even_and_in_order() {
        assert_eq!(spread(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 2), [2, 7]);
        assert_eq!(spread(&[0, 1, 2], 5), [0, 1, 2]);
        assert!(spread::<u8>(&[], 5).is_empty());
    }
}
