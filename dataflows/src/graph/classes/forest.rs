//! A graph with a spanning forest of it, under inserts and deletes of edges.
//!
//! When a tree's edge goes, the two parts of the tree are one component still if some other edge crosses between them.
//! It is looked for in four ways, the cheapest first:
//! 1. a small part's edges are looked through;
//! 2. a search from both ends of the lost edge, over a bounded number of edges, finds a short detour, and one of the
//!    detour's edges crosses;
//! 3. each part knows the sum (exclusive or) of its vertices' sketches, which are sums of the names of their edges: an
//!    edge inside is in the sum twice and so not at all, and when one edge crosses, the sum is its name (after Kapron,
//!    King and Mountjoy 2013). Sums over samples of the edges do the same where a few cross;
//! 4. all edges of the smaller part are looked through.
//!
//! What the sketches name is looked up, so that all four are exact. The last is paid by the change of label of every
//! vertex of the smaller part when nothing crosses. When something does, it is needed only where there is no short
//! detour and no sample had exactly one of the crossing edges: then it costs in the order of the smaller part.

use hashbrown::{HashMap, HashTable};

use super::tours::{Sketch, Tours, WORDS};
use crate::graph::Diff;
use crate::graph::closure::blocks::reserve;

/// Parts of at most so many vertices are looked through at once.
const SMALL: u32 = 32;
/// Edges that a search for a detour looks at, over both ends.
const DETOUR: usize = 512;
/// Marks until they are taken off all vertices and given anew. Few in tests, so that they see it.
const MARKS: u32 = if cfg!(test) { 50 } else { u32::MAX };

/// A graph over handles, with its spanning forest.
#[derive(Default)]
pub(super) struct Forest {
    /// By handle.
    vertices: Vec<Vertex>,
    tours: Tours,
    /// The stops of all arcs, by their ends.
    arcs: HashTable<u32>,
    /// How often an edge is there, the smaller end first, of those that are not there just once.
    counts: Counts,
    /// The greatest mark given: see `Vertex::mark`.
    last_mark: u32,
}

struct Vertex {
    edges: Vec<Half>,
    /// In the tours.
    stop: u32,
    /// The last search that came here.
    mark: u32,
}

/// An edge as one end has it.
#[derive(Clone, Copy)]
struct Half {
    other: u32,
    /// Where the other end has it in its edges, and [`TREE`] and [`NOT_ONCE`].
    twin: u32,
}

/// Whether an edge is in the forest.
const TREE: u32 = 1 << 31;
/// Whether an edge is there more or less than once: then `Forest::counts` has it.
const NOT_ONCE: u32 = 1 << 30;
/// Where the other end has an edge.
const PLACE: u32 = NOT_ONCE - 1;

/// The edges that are there other than once.
type Counts = HashMap<(u32, u32), i32>;

impl Half {
    fn place(self) -> usize {
        (self.twin & PLACE) as usize
    }

    /// How often it is there, where one end is `from`.
    fn count(self, from: u32, counts: &Counts) -> i32 {
        match self.twin & NOT_ONCE {
            0 => 1,
            _ => counts.get(&(from.min(self.other), from.max(self.other))).copied().unwrap_or(1),
        }
    }
}

/// What came of the change of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The components are as before.
    Same,
    /// Its ends were in two components, which are one now.
    Joined,
    /// Its ends were in one component, which is two now.
    Parted,
}

impl Forest {
    /// Makes `handle` a vertex without edges; handles are used in turn, or again after [`remove`](Self::remove).
    pub(super) fn add(&mut self, handle: u32) {
        let stop = self.tours.stop(handle, handle);
        let vertex = Vertex { edges: Vec::new(), stop, mark: 0 };
        match self.vertices.get_mut(handle as usize) {
            Some(place) => *place = vertex,
            None => {
                reserve(&mut self.vertices, 1);
                self.vertices.push(vertex);
            }
        }
    }

    /// Gives up a vertex that has no edges.
    pub(super) fn remove(&mut self, handle: u32) {
        self.tours.remove(self.vertices[handle as usize].stop);
    }

    /// Whether `handle` has edges.
    pub(super) fn has_edges(&self, handle: u32) -> bool {
        !self.vertices[handle as usize].edges.is_empty()
    }

    /// How many vertices the component of `handle` has.
    pub(super) fn size(&self, handle: u32) -> u32 {
        self.tours.vertices(self.tour(handle))
    }

    /// Calls `visit` with each vertex of the component of `handle`.
    pub(super) fn each(&self, handle: u32, mut visit: impl FnMut(u32)) {
        self.tours.visit(self.tour(handle), |vertex| -> Option<()> {
            visit(vertex);
            None
        });
    }

    /// Changes how often the edge between two different vertices is there; `connected` tells whether they are in one
    /// component. It connects while it is there more than 0 times.
    pub(super) fn change(&mut self, a: u32, b: u32, diff: Diff, connected: bool) -> Change {
        let found = self.find(a, b);
        let before = found.map_or(0, |(at, _)| self.half(a, at).count(a, &self.counts));
        let after = before + diff as i32;
        let mut change = Change::Same;
        let tree = found.is_some_and(|(at, _)| self.half(a, at).twin & TREE != 0);
        if after != 0 {
            let places = found.unwrap_or_else(|| self.push(a, b));
            self.set_count(a, b, places, after);
        } else if let Some((at_a, at_b)) = found {
            self.set_count(a, b, (at_a, at_b), 1);
            self.take(a, at_a);
            self.take(b, at_b);
        }
        if before <= 0 && after > 0 {
            if connected {
                self.sketch(a, b);
            } else {
                self.link(a, b);
                change = Change::Joined;
            }
        } else if before > 0 && after <= 0 {
            if tree {
                if after != 0 {
                    self.set_tree(a, b, false);
                }
                let (there, back) = (self.take_arc(a, b), self.take_arc(b, a));
                let tours = self.tours.cut(there, back);
                self.tours.remove(there);
                self.tours.remove(back);
                match self.crossing(a, b, tours) {
                    Some((x, y)) => {
                        self.sketch(x, y);
                        self.link(x, y);
                    }
                    None => change = Change::Parted,
                }
            } else {
                self.sketch(a, b);
            }
        }
        change
    }

    fn tour(&self, handle: u32) -> u32 {
        self.tours.tour(self.vertices[handle as usize].stop)
    }

    fn half(&self, vertex: u32, at: usize) -> Half {
        self.vertices[vertex as usize].edges[at]
    }

    /// Where `a` and `b` have their edge, looked for at the one with fewer.
    fn find(&self, a: u32, b: u32) -> Option<(usize, usize)> {
        let (of_a, of_b) = (&self.vertices[a as usize].edges, &self.vertices[b as usize].edges);
        if of_a.len() <= of_b.len() {
            let at = of_a.iter().position(|half| half.other == b)?;
            Some((at, of_a[at].place()))
        } else {
            let at = of_b.iter().position(|half| half.other == a)?;
            Some((of_b[at].place(), at))
        }
    }

    /// Notes that the edge between `a` and `b`, which have it at `places`, is there `count` times.
    fn set_count(&mut self, a: u32, b: u32, places: (usize, usize), count: i32) {
        let once = self.half(a, places.0).twin & NOT_ONCE == 0;
        if once && count == 1 {
            return;
        }
        let ends = (a.min(b), a.max(b));
        match count {
            1 => drop(self.counts.remove(&ends)),
            _ => drop(self.counts.insert(ends, count)),
        }
        for (vertex, at) in [(a, places.0), (b, places.1)] {
            let twin = &mut self.vertices[vertex as usize].edges[at].twin;
            *twin = if count == 1 { *twin & !NOT_ONCE } else { *twin | NOT_ONCE };
        }
    }

    /// A new edge, there once; returns where its ends have it.
    fn push(&mut self, a: u32, b: u32) -> (usize, usize) {
        let lengths = [a, b].map(|v| self.vertices[v as usize].edges.len() as u32);
        for (from, to, twin) in [(a, b, lengths[1]), (b, a, lengths[0])] {
            let edges = &mut self.vertices[from as usize].edges;
            if edges.len() == edges.capacity() {
                // A quarter more instead of twice as much: most of the memory is here.
                edges.reserve_exact(2 + edges.len() / 4);
            }
            edges.push(Half { other: to, twin });
        }
        (lengths[0] as usize, lengths[1] as usize)
    }

    /// Takes one half of an edge out; its twin is taken out in its turn.
    fn take(&mut self, vertex: u32, at: usize) {
        let edges = &mut self.vertices[vertex as usize].edges;
        edges.swap_remove(at);
        if let Some(moved) = edges.get(at).copied() {
            let twin = &mut self.vertices[moved.other as usize].edges[moved.place()].twin;
            *twin = (*twin & !PLACE) | at as u32;
        }
        let edges = &mut self.vertices[vertex as usize].edges;
        if edges.capacity() > 2 * edges.len() + 4 {
            edges.shrink_to(edges.len() + 2);
        }
    }

    fn set_tree(&mut self, a: u32, b: u32, tree: bool) {
        if let Some((at_a, at_b)) = self.find(a, b) {
            for (vertex, at) in [(a, at_a), (b, at_b)] {
                let twin = &mut self.vertices[vertex as usize].edges[at].twin;
                *twin = if tree { *twin | TREE } else { *twin & !TREE };
            }
        }
    }

    /// Takes up the edge between `a` and `b` into the forest.
    fn link(&mut self, a: u32, b: u32) {
        let (a, b) = if self.size(a) >= self.size(b) { (a, b) } else { (b, a) };
        self.set_tree(a, b, true);
        let (there, back) = self.tours.link(self.vertices[a as usize].stop, self.vertices[b as usize].stop);
        for stop in [there, back] {
            let tours = &self.tours;
            self.arcs.insert_unique(hash(tours.ends(stop)), stop, |stop| hash(tours.ends(*stop)));
        }
    }

    fn take_arc(&mut self, from: u32, to: u32) -> u32 {
        let tours = &self.tours;
        let found = self.arcs.find_entry(hash((from, to)), |stop| tours.ends(*stop) == (from, to));
        match found {
            Ok(entry) => entry.remove().0,
            Err(_) => unreachable!("an edge of the forest has two arcs"),
        }
    }

    /// Puts an edge that is not in the forest into the sketches of its ends, or takes it out.
    fn sketch(&mut self, a: u32, b: u32) {
        let (a, b) = (a.min(b), a.max(b));
        let name = u64::from(a) << 32 | u64::from(b);
        let sample = hash((a, b));
        let mut sketch = Sketch::default();
        for (word, bits) in sketch.iter_mut().zip(SAMPLED) {
            *word = if sample & ((1 << bits) - 1) == 0 { name } else { 0 };
        }
        for vertex in [a, b] {
            self.tours.add(self.vertices[vertex as usize].stop, &sketch);
        }
    }

    /// An edge between the two tours of `a` and `b`, whose edge is gone.
    fn crossing(&mut self, a: u32, b: u32, tours: (u32, u32)) -> Option<(u32, u32)> {
        let first_is_smaller = self.tours.vertices(tours.0) < self.tours.vertices(tours.1);
        let smaller = if first_is_smaller { tours.0 } else { tours.1 };
        if self.tours.vertices(smaller) <= SMALL {
            return self.look_through(smaller);
        }
        match self.detour(a, b) {
            Detour::Path(path) => return Some(self.crossing_of(&path, tours.0)),
            Detour::Apart => return None,
            Detour::TooLong => {}
        }
        self.sketched(smaller).or_else(|| self.look_through(smaller))
    }

    /// An edge out of `tour`, by looking at all of its vertices.
    fn look_through(&mut self, tour: u32) -> Option<(u32, u32)> {
        self.renew_marks();
        let mark = self.new_mark();
        let (vertices, counts) = (&mut self.vertices, &self.counts);
        self.tours.visit(tour, |vertex| -> Option<()> {
            vertices[vertex as usize].mark = mark;
            None
        });
        self.tours.visit(tour, |vertex| {
            let mut edges = vertices[vertex as usize].edges.iter();
            let out = edges
                .find(|half| half.count(vertex, counts) > 0 && vertices[half.other as usize].mark != mark);
            out.map(|half| (vertex, half.other))
        })
    }

    /// An edge out of `tour`, if a sample has just one.
    fn sketched(&self, tour: u32) -> Option<(u32, u32)> {
        self.tours.sum(tour).iter().find_map(|name| {
            let (a, b) = ((name >> 32) as u32, *name as u32);
            let known = a != b && (a.max(b) as usize) < self.vertices.len();
            let (at, _) = if known { self.find(a, b)? } else { return None };
            let half = self.half(a, at);
            let crosses = half.count(a, &self.counts) > 0 && (self.tour(a) == tour) != (self.tour(b) == tour);
            crosses.then_some((a, b))
        })
    }

    /// The edge where `path` leaves the tour of its first vertex.
    fn crossing_of(&self, path: &[u32], tour: u32) -> (u32, u32) {
        let (mut inside, mut outside) = (0, path.len() - 1);
        while outside - inside > 1 {
            let middle = (inside + outside) / 2;
            if self.tour(path[middle]) == tour {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        (path[inside], path[outside])
    }

    /// Makes sure that there are two marks that no vertex has.
    fn renew_marks(&mut self) {
        if self.last_mark > MARKS - 2 {
            self.vertices.iter_mut().for_each(|vertex| vertex.mark = 0);
            self.last_mark = 0;
        }
    }

    fn new_mark(&mut self) -> u32 {
        self.last_mark += 1;
        self.last_mark
    }

    /// Searches from both ends in turns, one edge each.
    fn detour(&mut self, a: u32, b: u32) -> Detour {
        self.renew_marks();
        let mut side = |start: u32| {
            let mark = self.new_mark();
            self.vertices[start as usize].mark = mark;
            Side { mark, reached: vec![(start, 0)], done: 0, edges_done: 0 }
        };
        let (mut turn, mut other) = (side(a), side(b));
        for _ in 0..DETOUR {
            let Some(&(at, _)) = turn.reached.get(turn.done) else { return Detour::Apart };
            if let Some(half) = self.vertices[at as usize].edges.get(turn.edges_done).copied() {
                turn.edges_done += 1;
                let there = half.count(at, &self.counts) > 0;
                let mark = &mut self.vertices[half.other as usize].mark;
                if there && *mark == other.mark {
                    let mut path = turn.path_back(turn.done);
                    path.reverse();
                    let met = other.reached.iter().position(|(vertex, _)| *vertex == half.other);
                    path.extend(met.map(|met| other.path_back(met)).unwrap_or_default());
                    if path[0] != a {
                        path.reverse();
                    }
                    return Detour::Path(path);
                }
                if there && *mark != turn.mark {
                    *mark = turn.mark;
                    turn.reached.push((half.other, turn.done));
                }
            } else {
                turn.done += 1;
                turn.edges_done = 0;
            }
            std::mem::swap(&mut turn, &mut other);
        }
        Detour::TooLong
    }
}

/// Of each word of a sketch, how many zero bits a sampled edge's hash ends with: all edges, then ever fewer.
const SAMPLED: [u32; WORDS] = [0, 1, 3, 5];

/// The finalizer of SplitMix64.
fn hash((from, to): (u32, u32)) -> u64 {
    let mut x = (u64::from(from) << 32 | u64::from(to)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

enum Detour {
    /// From the first end to the second.
    Path(Vec<u32>),
    /// One end's component is exhausted.
    Apart,
    /// Not found yet.
    TooLong,
}

/// One side of a search: the vertices reached, each with the place of the one it was reached from, how many of them
/// are done, and how many edges of the next one.
struct Side {
    mark: u32,
    reached: Vec<(u32, usize)>,
    done: usize,
    edges_done: usize,
}

impl Side {
    /// From the vertex reached at `place` to the start.
    fn path_back(&self, place: usize) -> Vec<u32> {
        let mut path = vec![self.reached[place].0];
        let mut at = place;
        while at != 0 {
            at = self.reached[at].1;
            path.push(self.reached[at].0);
        }
        path
    }
}
