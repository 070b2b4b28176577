//! Euler tours of the trees of a forest (Henzinger and King 1999), each kept in a treap.
//!
//! A tree's tour stops at each vertex once and at both arcs of each edge: the stops between the two arcs of an edge are
//! the tree beyond it. So trees are cut and linked by taking sequences apart and putting them together, each in
//! expected logarithmic time. A tree also knows how many vertices it has, and, when asked, the sum (exclusive or) of
//! its vertices' [`Sketch`]es: a change only notes which sums no longer hold, as few of them are ever asked for.

use super::sketch::{Sketch, add};
use crate::packed::blocks::reserve;

/// No stop.
pub(super) const NONE: u32 = u32::MAX;
/// Stops of one vertex and one edge.
const OF_BOTH: u32 = 3;

/// Every tour. Vertices and edges have numbers of their own; both are used in turn, and again.
#[derive(Default)]
pub(super) struct Tours {
    /// The stop of vertex n is the 3n-th, those of edge n's arcs are the two after it.
    stops: Vec<Stop>,
    /// By stop: of those that are not stale, the sum of the sketches at and below. It grows when one is asked for.
    sums: Vec<Sketch>,
}

/// A stop's place in the treap of its tour. Changes follow chains of these all over the memory: four fit a cache line.
#[derive(Clone, Copy)]
struct Stop {
    parent: u32,
    left: u32,
    right: u32,
    /// How many vertices are at and below, and [`STALE`].
    below: u32,
}

/// The bit of a stop whose sum is to be made anew: then those above it are to be, too.
const STALE: u32 = 1 << 31;

const APART: Stop = Stop { parent: NONE, left: NONE, right: NONE, below: STALE };

impl Stop {
    fn vertices(self) -> u32 {
        self.below & !STALE
    }
}

/// Random and different for each stop, and the same on every machine (the finalizer of MurmurHash3).
fn priority(stop: u32) -> u32 {
    let mut x = stop.wrapping_add(0x9e37_79b9);
    x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

fn of_vertex(vertex: u32) -> u32 {
    vertex * OF_BOTH
}

impl Tours {
    /// Makes `vertex` a tour of its own.
    pub(super) fn add(&mut self, vertex: u32) {
        self.make_room(vertex);
        self.stops[of_vertex(vertex) as usize] = Stop { below: STALE | 1, ..APART };
    }

    fn make_room(&mut self, number: u32) {
        let len = (of_vertex(number) + OF_BOTH) as usize;
        if self.stops.len() < len {
            let more = len - self.stops.len();
            reserve(&mut self.stops, more);
            self.stops.resize(len, APART);
        }
    }

    /// The name of the tour that `vertex` is in, until it changes.
    pub(super) fn tour(&self, vertex: u32) -> u32 {
        self.top(of_vertex(vertex))
    }

    fn top(&self, stop: u32) -> u32 {
        let mut at = stop;
        loop {
            match self.stops[at as usize].parent {
                NONE => return at,
                parent => at = parent,
            }
        }
    }

    /// Returns how many vertices `tour` has.
    pub(super) fn vertices(&self, tour: u32) -> u32 {
        self.stops[tour as usize].vertices()
    }

    /// Notes that the sketch of `vertex` is another now.
    pub(super) fn changed(&mut self, vertex: u32) {
        let mut at = of_vertex(vertex);
        while at != NONE && self.stops[at as usize].below & STALE == 0 {
            self.stops[at as usize].below |= STALE;
            at = self.stops[at as usize].parent;
        }
    }

    /// The sum of the sketches of `tour`'s vertices, of which `sketch` tells each. It costs in the order of what changed
    /// in the tour since it was asked for last.
    pub(super) fn sum(&mut self, tour: u32, sketch: &impl Fn(u32) -> Sketch) -> Sketch {
        let len = self.stops.len();
        if self.sums.is_empty() {
            // Zeros from the system, which are not in memory until they are written to.
            self.sums = vec![Sketch::default(); len];
        } else if self.sums.len() < len {
            let more = len - self.sums.len();
            reserve(&mut self.sums, more);
            self.sums.resize(len, Sketch::default());
        }
        self.make_anew(tour, sketch)
    }

    /// As deep as the treap, so in the order of its size's logarithm.
    fn make_anew(&mut self, at: u32, sketch: &impl Fn(u32) -> Sketch) -> Sketch {
        if at == NONE {
            return Sketch::default();
        }
        let Stop { left, right, below, .. } = self.stops[at as usize];
        if below & STALE != 0 {
            let mut sum = if at.is_multiple_of(OF_BOTH) { sketch(at / OF_BOTH) } else { Sketch::default() };
            add(&mut sum, &self.make_anew(left, sketch));
            add(&mut sum, &self.make_anew(right, sketch));
            self.sums[at as usize] = sum;
            self.stops[at as usize].below &= !STALE;
        }
        self.sums[at as usize]
    }

    /// Calls `visit` with the vertices of `tour` in order, until it returns something.
    pub(super) fn visit<T>(&self, tour: u32, mut visit: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let mut above = Vec::new();
        let mut at = tour;
        loop {
            while at != NONE {
                above.push(at);
                at = self.stops[at as usize].left;
            }
            let stop = above.pop()?;
            if stop.is_multiple_of(OF_BOTH) {
                let found = visit(stop / OF_BOTH);
                if found.is_some() {
                    return found;
                }
            }
            at = self.stops[stop as usize].right;
        }
    }

    /// Makes one tree of two by `edge`, from `u` in the first to `v` in the second.
    pub(super) fn link(&mut self, edge: u32, u: u32, v: u32) {
        self.make_room(edge);
        let (there, back) = (of_vertex(edge) + 1, of_vertex(edge) + 2);
        (self.stops[there as usize], self.stops[back as usize]) = (APART, APART);
        // The second tour goes round to start at `v`, and comes right after `u`.
        let (before, after) = self.split(of_vertex(v), false);
        let second = self.join(after, before);
        let (before, after) = self.split(of_vertex(u), true);
        let before = self.join(before, there);
        let before = self.join(before, second);
        let after = self.join(back, after);
        self.join(before, after);
    }

    /// Takes `edge`, linked from u to v, out of its tree, and returns u's and v's tours.
    pub(super) fn cut(&mut self, edge: u32) -> (u32, u32) {
        let (there, back) = (of_vertex(edge) + 1, of_vertex(edge) + 2);
        let (before, rest) = self.split(there, false);
        if self.top(back) == rest {
            self.without_first(rest, there);
            let (beyond, rest) = self.split(back, false);
            let after = self.without_first(rest, back);
            (self.join(before, after), beyond)
        } else {
            let (before, inner) = self.split(back, false);
            let inner = self.without_first(inner, back);
            let after = self.without_first(rest, there);
            (inner, self.join(before, after))
        }
    }

    /// Takes the arc at `first`, where the sequence `all` starts, out of it. All that is above an arc at which a sequence was just split is
    /// stale, and it counts for no vertex.
    fn without_first(&mut self, all: u32, first: u32) -> u32 {
        let Stop { parent, left, right, below } = std::mem::replace(&mut self.stops[first as usize], APART);
        debug_assert!(left == NONE && below & STALE != 0);
        if right != NONE {
            self.stops[right as usize].parent = parent;
        }
        if parent == NONE {
            return right;
        }
        self.stops[parent as usize].left = right;
        all
    }

    /// Takes a tour apart before or after `stop`, and returns the two sequences.
    fn split(&mut self, stop: u32, after: bool) -> (u32, u32) {
        let at = &mut self.stops[stop as usize];
        let mut was = at.vertices();
        let mut parent = std::mem::replace(&mut at.parent, NONE);
        let side = if after { &mut at.right } else { &mut at.left };
        let child = std::mem::replace(side, NONE);
        at.below |= STALE;
        if child != NONE {
            let below = &mut self.stops[child as usize];
            below.parent = NONE;
            let vertices = below.vertices();
            self.stops[stop as usize].below -= vertices;
        }
        let (mut left, mut right) = if after { (stop, child) } else { (child, stop) };
        let mut from = stop;
        while parent != NONE {
            let here = &mut self.stops[parent as usize];
            let vertices = here.vertices();
            here.below = STALE | (vertices - was);
            let next = std::mem::replace(&mut here.parent, NONE);
            if here.right == from {
                here.right = left;
                self.hang(parent, left);
                left = parent;
            } else {
                here.left = right;
                self.hang(parent, right);
                right = parent;
            }
            was = vertices;
            (from, parent) = (parent, next);
        }
        (left, right)
    }

    /// Tells `child`, if it is one, that it is below `parent` now.
    fn hang(&mut self, parent: u32, child: u32) {
        if child != NONE {
            let below = &mut self.stops[child as usize];
            below.parent = parent;
            let vertices = below.vertices();
            self.stops[parent as usize].below += vertices;
        }
    }

    /// Puts two sequences one after the other.
    fn join(&mut self, left: u32, right: u32) -> u32 {
        if left == NONE || right == NONE {
            return if left == NONE { right } else { left };
        }
        let (mut a, mut b) = (left, right);
        let (mut parent, mut on_right) = (NONE, false);
        let mut root = NONE;
        loop {
            let left_is_above = priority(a) > priority(b);
            let (above, below) = if left_is_above { (a, b) } else { (b, a) };
            match parent {
                NONE => root = above,
                parent => {
                    let slot = &mut self.stops[parent as usize];
                    *(if on_right { &mut slot.right } else { &mut slot.left }) = above;
                }
            }
            let vertices = self.stops[below as usize].vertices();
            let stop = &mut self.stops[above as usize];
            stop.parent = parent;
            stop.below = (stop.below | STALE) + vertices;
            (parent, on_right) = (above, left_is_above);
            let next = if left_is_above { &mut stop.right } else { &mut stop.left };
            if *next == NONE {
                *next = below;
                self.stops[below as usize].parent = above;
                return root;
            }
            (a, b) = if left_is_above { (*next, b) } else { (a, *next) };
        }
    }
}
