//! Connected components of a graph that gains and loses nodes and edges.
//!
//! Every vertex carries its component's label. A new edge between two components relabels the smaller; a lost edge
//! may have cut its component in two, which a search from both ends decides. Both searches take turns, one edge at a
//! time, so each change costs in the order of the smaller side, except that a cut which leaves a long detour
//! costs the detour.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::graph::Diff;
use crate::graph::node::ClassId;
use crate::id::NodeId;

/// What a component is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Element {
    /// A node, to be labelled.
    Node(NodeId),
    /// An edge, either way round. It connects even where its ends are not nodes themselves.
    Edge(NodeId, NodeId),
}

/// A graph with its components.
#[derive(Default)]
pub struct Connectivity {
    /// Labels from before a restart, until the first changes are applied.
    hints: Option<Arc<HashMap<NodeId, ClassId>>>,
    /// Where each vertex is in `vertices`.
    handles: HashMap<NodeId, u32>,
    vertices: Vec<Vertex>,
    free: Vec<u32>,
    /// The greatest label given.
    last_label: u64,
    /// The greatest mark given: see `Vertex::mark`.
    last_mark: u64,
    /// The vertices that this batch touched, with the label they had as nodes before.
    touched: Vec<(u32, Option<ClassId>)>,
}

struct Vertex {
    id: NodeId,
    label: ClassId,
    /// How often it is there as a node: an end of an edge need not be one.
    count: Diff,
    /// The other ends with the edge's multiplicity, sorted. A plain vector, because degrees are small: at most k by
    /// mutual neighbours and 254 by views of one track.
    edges: Vec<(u32, Diff)>,
    /// The last search side that came here.
    mark: u64,
    /// Whether it is in `touched`.
    touched: bool,
}

impl Vertex {
    fn label_as_node(&self) -> Option<ClassId> {
        (self.count > 0).then_some(self.label)
    }
}

/// One side of a search: the vertices reached, how many of them are done, and how many edges of the next one.
struct Side {
    mark: u64,
    reached: Vec<u32>,
    done: usize,
    edges_done: usize,
}

impl Connectivity {
    /// An empty graph whose first components take up the labels in `hints`: see [`classes`](super::classes).
    pub fn with_hints(hints: Arc<HashMap<NodeId, ClassId>>) -> Self {
        let last_label = hints.values().map(|label| label.0).max().unwrap_or(0);
        Connectivity { hints: Some(hints), last_label, ..Connectivity::default() }
    }

    /// Applies `changes`, each element at most once, as one step, and returns the net changes of labels. The same
    /// batches in the same order give the same labels.
    pub fn apply(&mut self, changes: &[(Element, Diff)]) -> Vec<((NodeId, ClassId), Diff)> {
        // What comes goes first: an edge that is replaced then does not split its component and join it again.
        for (element, diff) in changes.iter().filter(|(_, diff)| *diff > 0) {
            self.change(*element, *diff);
        }
        for (element, diff) in changes.iter().filter(|(_, diff)| *diff < 0) {
            self.change(*element, *diff);
        }
        if let Some(hints) = self.hints.take() {
            self.take_up(&hints);
        }
        let mut net = Vec::new();
        for (handle, before) in std::mem::take(&mut self.touched) {
            let vertex = &mut self.vertices[handle as usize];
            vertex.touched = false;
            let (id, after) = (vertex.id, vertex.label_as_node());
            if before != after {
                net.extend(before.map(|label| ((id, label), -1)));
                net.extend(after.map(|label| ((id, label), 1)));
            }
            if vertex.count == 0 && vertex.edges.is_empty() {
                self.handles.remove(&id);
                self.free.push(handle);
            }
        }
        net
    }

    /// How many vertices there are: nodes, and ends of edges.
    pub fn vertices(&self) -> usize {
        self.handles.len()
    }

    fn change(&mut self, element: Element, diff: Diff) {
        match element {
            Element::Node(node) => {
                let handle = self.vertex(node);
                self.vertices[handle as usize].count += diff;
            }
            Element::Edge(a, b) if a != b => {
                let (a, b) = (self.vertex(a.min(b)), self.vertex(a.max(b)));
                let before = self.multiplicity(a, b);
                if before <= 0 && before + diff > 0 {
                    self.join(a, b);
                }
                self.set_multiplicity(a, b, before + diff);
                self.set_multiplicity(b, a, before + diff);
                if before > 0 && before + diff <= 0 {
                    self.split(a, b);
                }
            }
            Element::Edge(..) => {}
        }
    }

    /// The vertex of `id`, touched; a new one is a component of its own.
    fn vertex(&mut self, id: NodeId) -> u32 {
        let handle = match self.handles.get(&id) {
            Some(handle) => *handle,
            None => {
                let label = self.new_label();
                let vertex = Vertex { id, label, count: 0, edges: Vec::new(), mark: 0, touched: false };
                let handle = match self.free.pop() {
                    Some(handle) => {
                        self.vertices[handle as usize] = vertex;
                        handle
                    }
                    None => {
                        self.vertices.push(vertex);
                        (self.vertices.len() - 1) as u32
                    }
                };
                self.handles.insert(id, handle);
                handle
            }
        };
        self.touch(handle);
        handle
    }

    fn touch(&mut self, handle: u32) {
        let vertex = &mut self.vertices[handle as usize];
        if !vertex.touched {
            vertex.touched = true;
            self.touched.push((handle, vertex.label_as_node()));
        }
    }

    fn new_label(&mut self) -> ClassId {
        self.last_label += 1;
        ClassId(self.last_label)
    }

    fn multiplicity(&self, from: u32, to: u32) -> Diff {
        let edges = &self.vertices[from as usize].edges;
        edges.binary_search_by_key(&to, |(end, _)| *end).map_or(0, |at| edges[at].1)
    }

    fn set_multiplicity(&mut self, from: u32, to: u32, count: Diff) {
        let edges = &mut self.vertices[from as usize].edges;
        match edges.binary_search_by_key(&to, |(end, _)| *end) {
            Ok(at) if count == 0 => drop(edges.remove(at)),
            Ok(at) => edges[at].1 = count,
            Err(_) if count == 0 => {}
            Err(at) => edges.insert(at, (to, count)),
        }
    }

    /// Gives the components of `a` and `b`, not joined by an edge yet, one label.
    fn join(&mut self, a: u32, b: u32) {
        let (label_a, label_b) = (self.vertices[a as usize].label, self.vertices[b as usize].label);
        if label_a == label_b {
            return;
        }
        // Of two that are equally large the first to start is relabelled: let the older label stay.
        let (newer, older) = if label_a > label_b { (a, b) } else { (b, a) };
        if let Some((start, smaller)) = self.search(newer, older) {
            let label = self.vertices[if start == newer { older } else { newer } as usize].label;
            self.relabel(&smaller, label);
        }
    }

    /// Gives the smaller side a new label if `a` and `b`, whose edge is gone, are apart now.
    fn split(&mut self, a: u32, b: u32) {
        if let Some((_, smaller)) = self.search(b, a) {
            let label = self.new_label();
            self.relabel(&smaller, label);
        }
    }

    fn relabel(&mut self, handles: &[u32], label: ClassId) {
        for handle in handles {
            self.touch(*handle);
            self.vertices[*handle as usize].label = label;
        }
    }

    /// Searches from both ends in turns, one edge each. `None` when they meet; else the start of the side that was
    /// exhausted first, and all that it reached: its whole component.
    fn search(&mut self, first: u32, second: u32) -> Option<(u32, Vec<u32>)> {
        let mut side = |start: u32| {
            self.last_mark += 1;
            self.vertices[start as usize].mark = self.last_mark;
            Side { mark: self.last_mark, reached: vec![start], done: 0, edges_done: 0 }
        };
        let mut turn = side(first);
        let mut other = side(second);
        while let Some(&at) = turn.reached.get(turn.done) {
            if let Some(&(end, count)) = self.vertices[at as usize].edges.get(turn.edges_done) {
                turn.edges_done += 1;
                let mark = &mut self.vertices[end as usize].mark;
                if count > 0 && *mark == other.mark {
                    return None;
                }
                if count > 0 && *mark != turn.mark {
                    *mark = turn.mark;
                    turn.reached.push(end);
                }
            } else {
                turn.done += 1;
                turn.edges_done = 0;
            }
            std::mem::swap(&mut turn, &mut other);
        }
        Some((turn.reached[0], turn.reached))
    }

    /// Relabels components by `hints`.
    fn take_up(&mut self, hints: &HashMap<NodeId, ClassId>) {
        let hinted = |vertex: &Vertex| hints.get(&vertex.id).map(|hint| (vertex.id, (vertex.label, *hint)));
        let hinted: BTreeMap<NodeId, (ClassId, ClassId)> =
            self.vertices.iter().filter(|vertex| vertex.count > 0).filter_map(hinted).collect();
        let mut renamed: HashMap<ClassId, ClassId> = HashMap::new();
        let mut taken: HashSet<ClassId> = HashSet::new();
        for (label, hint) in hinted.into_values() {
            renamed.entry(label).or_insert_with(|| if taken.insert(hint) { hint } else { label });
        }
        for vertex in &mut self.vertices {
            vertex.label = renamed.get(&vertex.label).copied().unwrap_or(vertex.label);
        }
    }
}
