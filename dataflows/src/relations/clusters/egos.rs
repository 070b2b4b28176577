//! Each node's mutual neighbours with the edges among them, and the cliques that a step makes and breaks.

use differential_dataflow::consolidation::consolidate;

use super::adjacency::News;
use super::cliques::{cliques, has, put, words};
use crate::id::NodeId;
use crate::index::node::Cluster;
use crate::packed::blocks::Blocks;
use crate::packed::ids::{pull, push};
use crate::time::Diff;

/// The surroundings of some nodes: all that it takes to find the cliques through them.
pub(super) struct Egos {
    min_cluster: usize,
    /// Each node's [`Ego`].
    of: Blocks,
    bytes: Vec<u8>,
}

/// What is around one node: its n neighbours, sorted, then n sets of neighbours that are beside each, in one block.
///
/// Kept as bytes: n, the differences of the ids, and a bit for each two neighbours.
#[derive(Default)]
struct Ego {
    /// n ids and n times [`words`] of n.
    block: Vec<u64>,
    size: usize,
}

impl Ego {
    fn new(others: impl Iterator<Item = NodeId>) -> Self {
        let mut block: Vec<u64> = others.map(|node| node.0).collect();
        let size = block.len();
        block.resize(size + size * words(size), 0);
        Ego { block, size }
    }

    fn size(&self) -> usize {
        self.size
    }

    fn read(mut bytes: &[u8]) -> Self {
        let mut last = 0;
        let size = pull(&mut bytes).unwrap_or(0) as usize;
        let mut ego = Ego::new((0..size).map_while(|_| {
            last += pull(&mut bytes)?;
            Some(NodeId(last))
        }));
        for (bit, (a, b)) in twos(size).enumerate() {
            if bytes[bit / 8] >> (bit % 8) & 1 == 1 {
                ego.set_beside(a, b, true);
            }
        }
        ego
    }

    /// Nothing for a node without neighbours.
    fn write(&self, bytes: &mut Vec<u8>) {
        if self.size == 0 {
            return;
        }
        push(bytes, self.size as u64);
        let mut last = 0;
        for id in self.others() {
            push(bytes, id - last);
            last = *id;
        }
        let bits = bytes.len();
        bytes.resize(bits + (self.size * (self.size - 1) / 2).div_ceil(8), 0);
        for (bit, (a, b)) in twos(self.size).enumerate() {
            bytes[bits + bit / 8] |= u8::from(self.beside(a, b)) << (bit % 8);
        }
    }

    fn others(&self) -> &[u64] {
        &self.block[..self.size()]
    }

    fn rows(&self) -> &[u64] {
        &self.block[self.size()..]
    }

    fn index(&self, node: NodeId) -> Option<usize> {
        self.others().binary_search(&node.0).ok()
    }

    fn beside(&self, a: usize, b: usize) -> bool {
        let words = words(self.size());
        has(&self.rows()[a * words..(a + 1) * words], b)
    }

    fn set_beside(&mut self, a: usize, b: usize, present: bool) {
        let (size, words) = (self.size(), words(self.size()));
        let rows = &mut self.block[size..];
        put(&mut rows[a * words..(a + 1) * words], b, present);
        put(&mut rows[b * words..(b + 1) * words], a, present);
    }

    /// The same edges among `others`, sorted, of which some may be new and have none yet.
    fn moved_to(&self, others: impl Iterator<Item = NodeId>) -> Self {
        let mut moved = Ego::new(others);
        let from: Vec<Option<usize>> = moved.others().iter().map(|n| self.index(NodeId(*n))).collect();
        for a in 0..moved.size() {
            for b in 0..a {
                if let (Some(x), Some(y)) = (from[a], from[b])
                    && self.beside(x, y)
                {
                    moved.set_beside(a, b, true);
                }
            }
        }
        moved
    }
}

/// Each two of `size`, the larger first.
fn twos(size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..size).flat_map(|a| (0..a).map(move |b| (a, b)))
}

impl Egos {
    /// No nodes; clusters will have at least `min_cluster` nodes, and at least 2.
    pub(super) fn new(min_cluster: usize) -> Self {
        Egos { min_cluster: min_cluster.max(2), of: Blocks::default(), bytes: Vec::new() }
    }

    /// Applies one step's net news, sorted, and returns the net changes of the clusters whose smallest changed member
    /// is one of these nodes. A clique that comes, goes, or stops or starts being maximal has a member with a changed
    /// edge.
    pub(super) fn apply(&mut self, news: &[(News, Diff)]) -> Vec<(Cluster, Diff)> {
        let mut net = Vec::new();
        let mut of_node = Vec::new();
        for heard in news.chunk_by(|(x, _), (y, _)| x.to == y.to) {
            let node = heard[0].0.to;
            let (own, told): (Vec<_>, Vec<_>) = heard.iter().partition(|(news, _)| news.about == node);
            let mut ego = Ego::read(self.of.get(node.0));
            let touched: Vec<NodeId> = heard.iter().map(|(news, _)| news.about).collect();
            if own.is_empty() {
                ego.hear(&told);
            } else {
                let own = |sign: Diff| own.iter().filter(move |c| c.1 == sign).flat_map(|c| &c.0.neighbours);
                let (gained, lost): (Vec<_>, Vec<_>) =
                    (own(1).copied().collect(), own(-1).copied().collect());
                let all_touched = |other: &NodeId| {
                    touched.binary_search(other).is_ok()
                        || gained.binary_search(other).is_ok()
                        || lost.binary_search(other).is_ok()
                };
                self.through(node, &ego, all_touched, |cluster| of_node.push((cluster, -1)));
                let stay = ego.others().iter().map(|n| NodeId(*n)).filter(|n| lost.binary_search(n).is_err());
                let mut others: Vec<NodeId> = stay.chain(gained.iter().copied()).collect();
                others.sort_unstable();
                ego = ego.moved_to(others.into_iter());
                ego.hear(&told);
                self.through(node, &ego, all_touched, |cluster| of_node.push((cluster, 1)));
                consolidate(&mut of_node);
                net.append(&mut of_node);
            }
            self.bytes.clear();
            ego.write(&mut self.bytes);
            self.of.set(node.0, &self.bytes);
        }
        net
    }

    /// The clusters through `node` without a smaller touched member.
    fn through(
        &self,
        node: NodeId,
        ego: &Ego,
        touched: impl Fn(&NodeId) -> bool,
        mut emit: impl FnMut(Cluster),
    ) {
        if ego.size() + 1 < self.min_cluster {
            return;
        }
        let mut smaller = vec![0; words(ego.size())];
        for (at, other) in ego.others().iter().map(|n| NodeId(*n)).enumerate() {
            put(&mut smaller, at, other < node && touched(&other));
        }
        cliques(ego.rows(), ego.size(), &smaller, self.min_cluster - 1, |clique| {
            let mut cluster: Cluster =
                clique.iter().map(|at| NodeId(ego.others()[*at])).chain([node]).collect();
            cluster.sort_unstable();
            emit(cluster);
        });
    }
}

impl Ego {
    /// Takes up what the neighbours tell.
    fn hear(&mut self, told: &[&(News, Diff)]) {
        for (news, diff) in told {
            let Some(a) = self.index(news.about) else { continue };
            for b in news.neighbours.iter().filter_map(|node| self.index(*node)).collect::<Vec<_>>() {
                self.set_beside(a, b, *diff > 0);
            }
        }
    }
}
