//! The whole dataflow.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use differential_dataflow::VecCollection;

use crate::id::NodeId;
use crate::index::node::{CellId, ClassId, Cluster, GroupId, List, Pair, Row};
use crate::index::partition::codebook::Decision;
use crate::index::search::neighbours::{Neighbours, neighbours};
use crate::observe::embed::Embedder;
use crate::observe::operators::embed::{EmbedFailure, embed};
use crate::observe::operators::mine::mine;
use crate::observe::operators::track::track;
use crate::observe::stream::{Clock, Embedded, Failures, Observed, Seen};
use crate::relations::closure::{Closure, closure};
use crate::time::{Diff, Epoch};

/// Everything the dataflow is given, on each worker.
pub struct Inputs<'s> {
    /// Frames of the sources this worker reads, each source in order.
    pub frames: VecCollection<'s, Epoch, Seen, Diff>,
    /// Nodes that come from elsewhere than the frames: the store's on restart; -1 retires a node.
    pub rows: VecCollection<'s, Epoch, Row, Diff>,
    /// Decisions about the codebook with their order, on one worker; each takes effect at the epoch it is given at.
    pub codebook: VecCollection<'s, Epoch, (u64, Decision), Diff>,
    /// Classes as the store has them, so that a restart keeps their labels.
    pub classes: Arc<HashMap<NodeId, ClassId>>,
}

/// What the dataflow runs by.
#[derive(Clone)]
pub struct Plan {
    /// How sources are cut up.
    pub observe: crate::observe::stream::Settings,
    /// Finding what moves.
    pub mine: crate::observe::mine::Settings,
    /// Following it.
    pub track: crate::observe::track::Settings,
    /// Cells, lists, clusters.
    pub graph: crate::settings::GraphSettings,
    /// From crop to vector.
    pub embedder: Arc<dyn Embedder>,
    /// Time spent by stage.
    pub clock: Arc<Clock>,
    /// Scores computed for lists.
    pub scored: Arc<AtomicU64>,
}

/// What this worker's vision code could not go on with.
#[derive(Clone, Default)]
pub struct Troubles {
    /// Sources, and why.
    pub sources: Failures,
    /// The embedder, if it failed.
    pub embedder: EmbedFailure,
}

/// Every collection, as this worker sees its part of it.
pub struct Outputs<'s> {
    /// New nodes with their crops and vectors.
    pub nodes: VecCollection<'s, Epoch, Embedded, Diff>,
    /// Views, counts and stills as they come out of the vision code.
    pub observed: VecCollection<'s, Epoch, Observed, Diff>,
    /// Node to the cell that stores it.
    pub cells: VecCollection<'s, Epoch, (NodeId, CellId), Diff>,
    /// Node to its group.
    pub groups: VecCollection<'s, Epoch, (NodeId, GroupId), Diff>,
    /// Node and cell to the best neighbours there.
    pub lists: VecCollection<'s, Epoch, ((NodeId, CellId), List), Diff>,
    /// Child clusters.
    pub clusters: VecCollection<'s, Epoch, Cluster, Diff>,
    /// Inter-instance edges, the smaller node first.
    pub inter: VecCollection<'s, Epoch, (NodeId, NodeId), Diff>,
    /// Transitive pairs with their reasons.
    pub pairs: VecCollection<'s, Epoch, Pair, Diff>,
    /// Node to its class.
    pub classes: VecCollection<'s, Epoch, (NodeId, ClassId), Diff>,
    /// What could not be followed, in words: empty unless the log or the embedder is broken.
    pub errors: VecCollection<'s, Epoch, String, Diff>,
}

/// The way of a frame: mine, track, embed; cells, neighbours; clusters, edges, pairs, classes.
pub fn wire<'s>(inputs: Inputs<'s>, plan: &Plan, troubles: &Troubles) -> Outputs<'s> {
    let Plan { observe, mine: mining, track: tracking, graph, embedder, clock, scored } = plan;
    let failures = || troubles.sources.clone();

    let proposed = mine(inputs.frames, mining, observe.segment_frames, failures(), clock.clone());
    let observed = track(proposed, tracking, *observe, failures(), clock.clone());
    let views = observed.clone().flat_map(Observed::view);
    let embedded = embed(views, embedder.clone(), troubles.embedder.clone(), clock.clone());

    let rows = embedded.clone().map(|e| e.row()).concat(inputs.rows);
    let nodes = rows.clone().map(|row| row.id);
    let Neighbours { cells, groups, lists, neighbours, errors } =
        neighbours(rows, inputs.codebook, &graph.neighbours, scored.clone());

    let Closure { clusters, inter, pairs, classes, .. } =
        closure(nodes, neighbours, inputs.classes, &graph.closure);

    Outputs { nodes: embedded, observed, cells, groups, lists, clusters, inter, pairs, classes, errors }
}
