//! A graph with a spanning forest of it, under inserts and deletes of edges.
//!
//! When a tree's edge goes, the two parts of the tree are one component still if some other edge crosses between them.
//! It is looked for in four ways, the cheapest first:
//! 1. a small part's edges are looked through;
//! 2. a search from both ends of the lost edge, over a bounded number of edges, finds a short detour, and one of the
//!    detour's edges crosses;
//! 3. each part knows the sum (exclusive or) of its vertices' sketches, which are sums of the names of their edges
//!    that are not in the forest: an edge inside is in the sum twice and so not at all, and when one edge crosses, the
//!    sum is its name (after Kapron, King and Mountjoy 2013). Sums over samples of the edges do the same where a few
//!    cross;
//! 4. all edges of the smaller part are looked through.
//!
//! What the sketches name is looked up, so that all four are exact. The last is paid by the change of label of every
//! vertex of the smaller part when nothing crosses. When something does, it is needed only where there is no short
//! detour and no sample had exactly one of the crossing edges: then it costs in the order of the smaller part. So can
//! the third, but only of what has changed there since its sums were made.

use hashbrown::HashTable;

use super::detour::{Detour, Marks, detour};
use super::incidence::{Half, Incidence, Places};
use super::sketch;
use super::sketch::Sketch;
use super::tours::Tours;
use crate::packed::blocks::reserve;
use crate::time::Diff;

/// Parts of at most so many vertices are looked through at once.
const SMALL: u32 = 32;

/// A graph over handles, with its spanning forest.
#[derive(Default)]
pub(super) struct Forest {
    graph: Incidence,
    tours: Tours,
    /// The forest's edges, by the number that `tours` has them by, from one end to the other.
    trees: Vec<(u32, u32)>,
    /// Their numbers, by their ends.
    numbers: HashTable<u32>,
    /// Numbers to use again.
    free: Vec<u32>,
    marks: Marks,
}

/// Says what came of the change of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The components are as before.
    Same,
    /// Its ends were in two components, which are one now.
    Joined,
    /// Its ends were in one component, which is two now.
    Parted,
}

/// The same for both ways round.
fn hash(a: u32, b: u32) -> u64 {
    sketch::hash(u64::from(a.min(b)) << 32 | u64::from(a.max(b)))
}

impl Forest {
    /// Makes `handle` a vertex without edges; handles are used in turn, or again once they have no edges.
    pub(super) fn add(&mut self, handle: u32) {
        self.graph.add(handle);
        self.marks.add(handle);
        self.tours.add(handle);
    }

    /// Returns whether `handle` has edges.
    pub(super) fn has_edges(&self, handle: u32) -> bool {
        !self.graph.of(handle).is_empty()
    }

    /// Returns how many vertices the component of `handle` has.
    pub(super) fn size(&self, handle: u32) -> u32 {
        self.tours.vertices(self.tours.tour(handle))
    }

    /// Calls `visit` with each vertex of the component of `handle`.
    pub(super) fn each(&self, handle: u32, mut visit: impl FnMut(u32)) {
        self.tours.visit(self.tours.tour(handle), |vertex| -> Option<()> {
            visit(vertex);
            None
        });
    }

    /// Changes how often the edge between two different vertices is there; `connected` tells whether they are in one
    /// component. It connects while it is there more than 0 times.
    pub(super) fn change(&mut self, a: u32, b: u32, diff: Diff, connected: bool) -> Change {
        let found = self.graph.find(a, b);
        let (before, tree) = found.map_or((0, false), |(at, _)| {
            let half = self.graph.of(a)[at];
            (self.graph.count(a, half), half.tree())
        });
        let after = before + diff as i32;
        let places = match found {
            Some(places) if after == 0 => {
                self.graph.take(a, b, places);
                places
            }
            Some(places) => {
                self.graph.set_count(a, b, places, after);
                places
            }
            None => {
                let places = self.graph.push(a, b);
                self.graph.set_count(a, b, places, after);
                places
            }
        };
        if before <= 0 && after > 0 {
            if !connected {
                self.link(a, b, places);
                return Change::Joined;
            }
            self.changed(a, b);
        } else if before > 0 && after <= 0 {
            if tree {
                if after != 0 {
                    self.graph.set_tree(a, b, places, false);
                }
                return self.cut(a, b);
            }
            self.changed(a, b);
        }
        Change::Same
    }

    /// Takes the edge between `a` and `b`, which is gone, out of the forest, and another in if one crosses.
    fn cut(&mut self, a: u32, b: u32) -> Change {
        let trees = &self.trees;
        let of_edge =
            |number: &u32| matches!(trees[*number as usize], ends if ends == (a, b) || ends == (b, a));
        let Ok(entry) = self.numbers.find_entry(hash(a, b), of_edge) else {
            unreachable!("an edge of the forest has a number");
        };
        let number = entry.remove().0;
        self.free.push(number);
        let tours = self.tours.cut(number);
        let crossing = self.crossing(self.trees[number as usize], tours);
        match crossing.and_then(|(x, y)| Some((x, y, self.graph.find(x, y)?))) {
            Some((x, y, places)) => {
                self.changed(x, y);
                self.link(x, y, places);
                Change::Same
            }
            None => Change::Parted,
        }
    }

    /// Takes up the edge between `a` and `b`, which have it at `places`, into the forest.
    fn link(&mut self, a: u32, b: u32, places: Places) {
        self.graph.set_tree(a, b, places, true);
        let (a, b) = if self.size(a) >= self.size(b) { (a, b) } else { (b, a) };
        let number = self.free.pop().unwrap_or(self.trees.len() as u32);
        match self.trees.get_mut(number as usize) {
            Some(ends) => *ends = (a, b),
            None => {
                reserve(&mut self.trees, 1);
                self.trees.push((a, b));
            }
        }
        self.tours.link(number, a, b);
        let trees = &self.trees;
        self.numbers.insert_unique(hash(a, b), number, |number| {
            let (a, b) = trees[*number as usize];
            hash(a, b)
        });
    }

    /// Notes that an edge that is not in the forest comes or goes: its ends have other sketches.
    fn changed(&mut self, a: u32, b: u32) {
        self.tours.changed(a);
        self.tours.changed(b);
    }

    /// An edge between the two `tours`, of both ends of `gone`, an edge that is no more.
    fn crossing(&mut self, gone: (u32, u32), tours: (u32, u32)) -> Option<(u32, u32)> {
        let (a, b) = gone;
        let first_is_smaller = self.tours.vertices(tours.0) < self.tours.vertices(tours.1);
        let smaller = if first_is_smaller { tours.0 } else { tours.1 };
        if self.tours.vertices(smaller) <= SMALL {
            return self.look_through(smaller);
        }
        match detour(&self.graph, &mut self.marks, a, b) {
            Detour::Path(path) => return Some(self.crossing_of(&path, tours.0)),
            Detour::Apart => return None,
            Detour::TooLong => {}
        }
        self.sketched(smaller).or_else(|| self.look_through(smaller))
    }

    /// An edge out of `tour`, by looking at all of its vertices.
    fn look_through(&mut self, tour: u32) -> Option<(u32, u32)> {
        let (graph, marks) = (&self.graph, &mut self.marks);
        let mark = marks.new_mark();
        self.tours.visit(tour, |vertex| -> Option<()> {
            marks.set(vertex, mark);
            None
        });
        self.tours.visit(tour, |vertex| {
            let mut edges = graph.of(vertex).iter();
            let out = edges.find(|half| !marks.has(half.other, mark) && graph.there(vertex, **half));
            out.map(|half| (vertex, half.other))
        })
    }

    /// An edge out of `tour`, if a sample has just one.
    fn sketched(&mut self, tour: u32) -> Option<(u32, u32)> {
        let graph = &self.graph;
        let sum = self.tours.sum(tour, &|vertex| {
            let apart = |half: &&Half| !half.tree() && graph.there(vertex, **half);
            let mut sum = Sketch::default();
            let edges = graph.of(vertex).iter().filter(apart);
            edges.for_each(|half| sketch::add(&mut sum, &sketch::of_edge(vertex, half.other)));
            sum
        });
        sum.iter().find_map(|word| {
            let (a, b) = sketch::ends(*word);
            let known = a != b && (a.max(b) as usize) < self.graph.len();
            let (at, _) = if known { self.graph.find(a, b)? } else { return None };
            let there = self.graph.there(a, self.graph.of(a)[at]);
            let crosses = there && (self.tours.tour(a) == tour) != (self.tours.tour(b) == tour);
            crosses.then_some((a, b))
        })
    }

    /// The edge where `path` leaves the tour of its first vertex.
    fn crossing_of(&self, path: &[u32], tour: u32) -> (u32, u32) {
        let (mut inside, mut outside) = (0, path.len() - 1);
        while outside - inside > 1 {
            let middle = (inside + outside) / 2;
            if self.tours.tour(path[middle]) == tour {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        (path[inside], path[outside])
    }
}
