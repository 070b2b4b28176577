//! From positives to triplets: which views a step looks at, and which of them stand against which pair.

use kinetograph_dataflows::id::NodeId;
use rand::Rng;

use super::view::{Kind, Positive, View};

/// The views of one step. Views are named by their place in `nodes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Every view of the step, a node a view; a node may be there twice (each view is mirrored by its own chance).
    pub nodes: Vec<NodeId>,
    /// The pairs that have a negative among the views.
    pub pairs: Vec<Drawn>,
    /// Pairs for which the whole graph holds no valid negative: they are left out.
    pub no_negative: usize,
}

/// One drawn pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Its kind.
    pub kind: Kind,
    /// Place of the anchor.
    pub anchor: usize,
    /// Place of the positive.
    pub positive: usize,
    /// Places of valid negatives, each node once, ascending.
    pub candidates: Vec<usize>,
}

/// Anchor, positive and negative by their places in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triplet {
    /// Anchor.
    pub anchor: usize,
    /// Positive.
    pub positive: usize,
    /// Negative.
    pub negative: usize,
}

/// The rule by which negatives are picked from the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mining {
    /// Negatives a pair.
    pub negatives: usize,
    /// Negatives that come from the hardest; 0 while training is young.
    pub hard: usize,
    /// Candidates that count as the hardest.
    pub hardest: usize,
}

impl Batch {
    /// The batch of `drawn`. The pairs' own views serve each other as negatives, as in the paper; where they give a
    /// pair fewer than `negatives`, views drawn from the whole graph join in.
    pub fn new(view: &View, drawn: &[(Kind, Positive)], negatives: usize, rng: &mut impl Rng) -> Self {
        let mut nodes: Vec<NodeId> =
            drawn.iter().flat_map(|(_, (anchor, positive))| [*anchor, *positive]).collect();
        for (_, pair) in drawn {
            let mut found: Vec<NodeId> =
                nodes.iter().copied().filter(|n| view.is_negative(*pair, *n)).collect();
            found.sort_unstable();
            found.dedup();
            for _ in found.len()..negatives {
                match view.draw_negative(*pair, rng) {
                    Some(node) if !found.contains(&node) => {
                        found.push(node);
                        nodes.push(node);
                    }
                    Some(_) => {}
                    None => break,
                }
            }
        }
        let mut batch = Batch { nodes, ..Batch::default() };
        for (i, (kind, pair)) in drawn.iter().enumerate() {
            let mut candidates: Vec<usize> =
                (0..batch.nodes.len()).filter(|at| view.is_negative(*pair, batch.nodes[*at])).collect();
            candidates.sort_by_key(|at| batch.nodes[*at]);
            candidates.dedup_by_key(|at| batch.nodes[*at]);
            candidates.sort_unstable();
            if candidates.is_empty() {
                batch.no_negative += 1;
            } else {
                batch.pairs.push(Drawn { kind: *kind, anchor: 2 * i, positive: 2 * i + 1, candidates });
            }
        }
        batch
    }

    /// Leaves out views that cannot be shown (`missing[place]`), with the pairs that need them.
    pub fn leave_out(&mut self, missing: &[bool]) {
        let gone = |at: usize| missing.get(at).copied().unwrap_or(false);
        self.pairs.retain_mut(|pair| {
            pair.candidates.retain(|at| !gone(*at));
            !gone(pair.anchor) && !gone(pair.positive) && !pair.candidates.is_empty()
        });
    }

    /// The triplets, and how many of their negatives were picked for being hard. `distances` holds
    /// `nodes.len()` squared values, row after row: the network's distance between any two views as it is now. The
    /// hardest candidates are those nearest to the anchor.
    pub fn triplets(&self, distances: &[f32], mining: Mining, rng: &mut impl Rng) -> (Vec<Triplet>, usize) {
        let mut triplets = Vec::with_capacity(self.pairs.len() * mining.negatives);
        let mut hard_count = 0;
        for pair in &self.pairs {
            let mut rest = pair.candidates.clone();
            let mut chosen = Vec::with_capacity(mining.negatives);
            if mining.hard > 0 {
                let row = &distances[pair.anchor * self.nodes.len()..];
                rest.sort_by(|a, b| row[*a].total_cmp(&row[*b]).then(a.cmp(b)));
                let hardest = mining.hardest.min(rest.len());
                let mut near: Vec<usize> = rest.drain(..hardest).collect();
                chosen.extend(pick(&mut near, mining.hard, rng));
                rest.extend(near);
                hard_count += chosen.len();
            }
            chosen.extend(pick(&mut rest, mining.negatives.saturating_sub(chosen.len()), rng));
            triplets.extend(chosen.iter().map(|&negative| Triplet {
                anchor: pair.anchor,
                positive: pair.positive,
                negative,
            }));
        }
        (triplets, hard_count)
    }
}

/// Takes `count` of `from` at random, or all there are.
fn pick(from: &mut Vec<usize>, count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let count = count.min(from.len());
    (0..count).map(|_| from.swap_remove(rng.random_range(0..from.len() as u64) as usize)).collect()
}
