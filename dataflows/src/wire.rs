//! The whole dataflow.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use differential_dataflow::VecCollection;

use crate::id::NodeId;
use crate::index::node::{ClassId, Row};
use crate::index::partition::codebook::Decision;
use crate::index::search::neighbours::{Neighbours, neighbours};
use crate::observe::embed::Embedder;
use crate::observe::operators::embed::{EmbedFailure, embed};
use crate::observe::operators::mine::mine;
use crate::observe::operators::track::track;
use crate::observe::stream::{Clock, Embedded, Failures, Observed, Seen};
use crate::relations::closure::{Closure, closure};
use crate::settings::GraphSettings;
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

/// Says what the dataflow runs by.
#[derive(Clone)]
pub struct Plan {
    /// Says how sources are cut up.
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

/// Says what this worker's vision code could not go on with.
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
    /// The graph over the nodes.
    pub graph: Derived<'s>,
}

/// The collections of a graph, as this worker sees its part of them.
pub struct Derived<'s> {
    /// Cells, groups and lists.
    pub neighbours: Neighbours<'s>,
    /// The collections that follow from the lists.
    pub closure: Closure<'s>,
}

/// The way of a frame: mine, track, embed; then the way of a node.
pub fn wire<'s>(inputs: Inputs<'s>, plan: &Plan, troubles: &Troubles) -> Outputs<'s> {
    let Plan { observe, mine: mining, track: tracking, graph, embedder, clock, scored } = plan;
    let failures = || troubles.sources.clone();

    let proposed = mine(inputs.frames, mining, observe.segment_frames, failures(), clock.clone());
    let observed = track(proposed, tracking, *observe, failures(), clock.clone());
    let views = observed.clone().flat_map(Observed::view);
    let embedded = embed(views, embedder.clone(), troubles.embedder.clone(), clock.clone());

    let rows = embedded.clone().map(|e| e.row()).concat(inputs.rows);
    let graph = derive(rows, inputs.codebook, inputs.classes, graph, scored.clone());

    Outputs { nodes: embedded, observed, graph }
}

/// The way of a node: cells, neighbours; clusters, edges, pairs, classes. `known` are the labels of classes from before a
/// restart; `scored` counts the scores computed for lists.
pub fn derive<'s>(
    rows: VecCollection<'s, Epoch, Row, Diff>,
    codebook: VecCollection<'s, Epoch, (u64, Decision), Diff>,
    known: Arc<HashMap<NodeId, ClassId>>,
    settings: &GraphSettings,
    scored: Arc<AtomicU64>,
) -> Derived<'s> {
    let nodes = rows.clone().map(|row| row.id);
    let neighbours = neighbours(rows, codebook, &settings.neighbours, scored);
    let closure = closure(nodes, neighbours.neighbours.clone(), known, &settings.closure);
    Derived { neighbours, closure }
}
