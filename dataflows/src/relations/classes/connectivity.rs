//! Connected components of a graph that gains and loses nodes and edges.
//!
//! Every vertex carries its component's label. A new edge between two components relabels the smaller; a lost edge
//! that parts its component gives the smaller part a new label. Whether it does is answered by the spanning
//! [`Forest`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::forest::{Change, Forest};
use crate::id::NodeId;
use crate::index::node::ClassId;
use crate::packed::blocks::reserve;
use crate::time::Diff;

/// Says what a component is made of.
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
    /// Handles of `vertices`, by id.
    handles: HashTable<u32>,
    vertices: Vec<Vertex>,
    free: Vec<u32>,
    forest: Forest,
    /// The greatest label given.
    last_label: u64,
    /// The vertices that this batch touched, with the label they had as nodes before.
    touched: Vec<(u32, Option<ClassId>)>,
}

struct Vertex {
    id: NodeId,
    label: ClassId,
    /// How often it is there as a node: an end of an edge need not be one.
    count: i32,
    /// True when it is in `touched`.
    touched: bool,
}

impl Vertex {
    fn label_as_node(&self) -> Option<ClassId> {
        (self.count > 0).then_some(self.label)
    }
}

/// Ids that differ in few bits get hashes that differ in many (the multiplier is Knuth's, 2^64 over the golden ratio).
fn hash(id: NodeId) -> u64 {
    let x = id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 32)
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
            if vertex.count == 0 && !self.forest.has_edges(handle) {
                if let Ok(entry) = self.handles.find_entry(hash(id), |of| *of == handle) {
                    entry.remove();
                }
                self.free.push(handle);
            }
        }
        net
    }

    /// Returns how many vertices there are: nodes, and ends of edges.
    pub fn vertices(&self) -> usize {
        self.handles.len()
    }

    fn change(&mut self, element: Element, diff: Diff) {
        match element {
            Element::Node(node) => {
                let handle = self.vertex(node);
                self.vertices[handle as usize].count += diff as i32;
            }
            Element::Edge(a, b) if a != b => {
                let (a, b) = (self.vertex(a.min(b)), self.vertex(a.max(b)));
                let labels = [a, b].map(|handle| self.vertices[handle as usize].label);
                let connected = labels[0] == labels[1];
                let sizes = if connected { [0, 0] } else { [a, b].map(|handle| self.forest.size(handle)) };
                // Of two that are equally large the one with the younger label is relabelled.
                let joiner = match sizes[0].cmp(&sizes[1]).then(labels[1].cmp(&labels[0])) {
                    std::cmp::Ordering::Less => 0,
                    _ => 1,
                };
                let mut smaller = Vec::new();
                if !connected && diff > 0 {
                    self.forest.each([a, b][joiner], |handle| smaller.push(handle));
                }
                match self.forest.change(a, b, diff, connected) {
                    Change::Same => {}
                    Change::Joined => self.relabel(&smaller, labels[1 - joiner]),
                    Change::Parted => {
                        let part = if self.forest.size(a) < self.forest.size(b) { a } else { b };
                        let mut smaller = Vec::new();
                        self.forest.each(part, |handle| smaller.push(handle));
                        let label = self.new_label();
                        self.relabel(&smaller, label);
                    }
                }
            }
            Element::Edge(..) => {}
        }
    }

    /// The vertex of `id`, touched; a new one is a component of its own.
    fn vertex(&mut self, id: NodeId) -> u32 {
        let vertices = &self.vertices;
        let handle = match self.handles.find(hash(id), |of| vertices[*of as usize].id == id) {
            Some(handle) => *handle,
            None => self.new_vertex(id),
        };
        self.touch(handle);
        handle
    }

    fn new_vertex(&mut self, id: NodeId) -> u32 {
        let vertex = Vertex { id, label: self.new_label(), count: 0, touched: false };
        let handle = match self.free.pop() {
            Some(handle) => {
                self.vertices[handle as usize] = vertex;
                handle
            }
            None => {
                reserve(&mut self.vertices, 1);
                self.vertices.push(vertex);
                (self.vertices.len() - 1) as u32
            }
        };
        let vertices = &self.vertices;
        self.handles.insert_unique(hash(id), handle, |of| hash(vertices[*of as usize].id));
        self.forest.add(handle);
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

    fn relabel(&mut self, handles: &[u32], label: ClassId) {
        for handle in handles {
            self.touch(*handle);
            self.vertices[*handle as usize].label = label;
        }
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
