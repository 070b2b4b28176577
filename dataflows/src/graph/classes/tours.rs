//! Euler tours of the trees of a forest (Henzinger and King 1999), each kept in a treap.
//!
//! A tree's tour stops at each vertex once and at both arcs of each edge: the stops between the two arcs of an edge are
//! the tree beyond it. So trees are cut and linked by taking sequences apart and putting them together, each in
//! expected logarithmic time. A tree also knows how many vertices it has and the sum (exclusive or) of what their
//! [`Sketch`]es hold.

use crate::graph::closure::blocks::reserve;

/// No stop.
pub(super) const NONE: u32 = u32::MAX;
/// How many words a sketch has.
pub(super) const WORDS: usize = 4;
/// What is summed over a tree's vertices: see [`Forest`](super::forest::Forest).
pub(super) type Sketch = [u64; WORDS];

/// Every tour.
#[derive(Default)]
pub(super) struct Tours {
    stops: Vec<Stop>,
    free: Vec<u32>,
}

/// A stop: a vertex (`from` and `to` are it) or an arc. With its place in the treap of its tour.
struct Stop {
    parent: u32,
    left: u32,
    right: u32,
    from: u32,
    to: u32,
    /// Vertices at and below.
    vertices: u32,
    /// The sum of the sketches at and below.
    sum: Sketch,
}

/// Random and different for each stop, and the same on every machine (the finalizer of MurmurHash3).
fn priority(stop: u32) -> u32 {
    let mut x = stop.wrapping_add(0x9e37_79b9);
    x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

fn add(sum: &mut Sketch, other: &Sketch) {
    sum.iter_mut().zip(other).for_each(|(word, other)| *word ^= other);
}

impl Tours {
    /// A stop of its own: a vertex with an empty sketch if `from` is `to`, else an arc.
    pub(super) fn stop(&mut self, from: u32, to: u32) -> u32 {
        let vertices = u32::from(from == to);
        let stop = Stop { parent: NONE, left: NONE, right: NONE, from, to, vertices, sum: Sketch::default() };
        match self.free.pop() {
            Some(at) => {
                self.stops[at as usize] = stop;
                at
            }
            None => {
                reserve(&mut self.stops, 1);
                self.stops.push(stop);
                (self.stops.len() - 1) as u32
            }
        }
    }

    /// Gives up a stop that is in no other's tour.
    pub(super) fn remove(&mut self, stop: u32) {
        self.free.push(stop);
    }

    /// The vertices that a stop is from and to.
    pub(super) fn ends(&self, stop: u32) -> (u32, u32) {
        let stop = &self.stops[stop as usize];
        (stop.from, stop.to)
    }

    /// The name of the tour that `stop` is in, until it changes.
    pub(super) fn tour(&self, stop: u32) -> u32 {
        let mut at = stop;
        loop {
            match self.stops[at as usize].parent {
                NONE => return at,
                parent => at = parent,
            }
        }
    }

    /// How many vertices `tour` has.
    pub(super) fn vertices(&self, tour: u32) -> u32 {
        self.stops[tour as usize].vertices
    }

    /// The sum of the sketches of `tour`'s vertices.
    pub(super) fn sum(&self, tour: u32) -> &Sketch {
        &self.stops[tour as usize].sum
    }

    /// Adds to the sketch of the vertex at `stop`.
    pub(super) fn add(&mut self, stop: u32, sketch: &Sketch) {
        let mut at = stop;
        while at != NONE {
            let stop = &mut self.stops[at as usize];
            add(&mut stop.sum, sketch);
            at = stop.parent;
        }
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
            let stop = &self.stops[above.pop()? as usize];
            if stop.from == stop.to {
                let found = visit(stop.from);
                if found.is_some() {
                    return found;
                }
            }
            at = stop.right;
        }
    }

    /// Makes one tree of two by an edge from `u`, a vertex's stop in the first, to `v`, one in the second, and
    /// returns the stops of its arcs.
    pub(super) fn link(&mut self, u: u32, v: u32) -> (u32, u32) {
        let (from, to) = (self.ends(u).0, self.ends(v).0);
        let (there, back) = (self.stop(from, to), self.stop(to, from));
        // The second tour goes round to start at `v`, and comes right after `u`.
        let (before, after) = self.split(v, false);
        let second = self.join(after, before);
        let (before, after) = self.split(u, true);
        let before = self.join(before, there);
        let before = self.join(before, second);
        let after = self.join(back, after);
        self.join(before, after);
        (there, back)
    }

    /// Takes the edge with the arcs `there`, from u to v, and `back` out of its tree, and returns u's and v's tours.
    pub(super) fn cut(&mut self, there: u32, back: u32) -> (u32, u32) {
        let (before, rest) = self.split(there, false);
        if self.tour(back) == rest {
            let (_, rest) = self.split(there, true);
            debug_assert_ne!(rest, NONE);
            let (beyond, _) = self.split(back, false);
            let (_, after) = self.split(back, true);
            (self.join(before, after), beyond)
        } else {
            let (before, _) = self.split(back, false);
            let (_, inner) = self.split(back, true);
            let (_, after) = self.split(there, true);
            (inner, self.join(before, after))
        }
    }

    /// Takes a tour apart before or after `stop`, and returns the two sequences.
    fn split(&mut self, stop: u32, after: bool) -> (u32, u32) {
        let at = &mut self.stops[stop as usize];
        let (mut was_vertices, mut was_sum) = (at.vertices, at.sum);
        let mut parent = std::mem::replace(&mut at.parent, NONE);
        let side = if after { &mut at.right } else { &mut at.left };
        let child = std::mem::replace(side, NONE);
        if child != NONE {
            let (vertices, sum) = (self.stops[child as usize].vertices, self.stops[child as usize].sum);
            self.stops[child as usize].parent = NONE;
            let at = &mut self.stops[stop as usize];
            at.vertices -= vertices;
            add(&mut at.sum, &sum);
        }
        let (mut left, mut right) = if after { (stop, child) } else { (child, stop) };
        let mut from = stop;
        while parent != NONE {
            let here = &mut self.stops[parent as usize];
            let (vertices, sum) = (here.vertices, here.sum);
            here.vertices -= was_vertices;
            add(&mut here.sum, &was_sum);
            let next = std::mem::replace(&mut here.parent, NONE);
            if here.right == from {
                here.right = NONE;
                self.hang(parent, left, true);
                left = parent;
            } else {
                here.left = NONE;
                self.hang(parent, right, false);
                right = parent;
            }
            (was_vertices, was_sum) = (vertices, sum);
            (from, parent) = (parent, next);
        }
        (left, right)
    }

    /// Makes `child` the left or right child of `parent`, which has none there.
    fn hang(&mut self, parent: u32, child: u32, right: bool) {
        if child == NONE {
            return;
        }
        let below = &mut self.stops[child as usize];
        below.parent = parent;
        let (vertices, sum) = (below.vertices, below.sum);
        let above = &mut self.stops[parent as usize];
        above.vertices += vertices;
        add(&mut above.sum, &sum);
        *(if right { &mut above.right } else { &mut above.left }) = child;
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
            let (vertices, sum) = (self.stops[below as usize].vertices, self.stops[below as usize].sum);
            let stop = &mut self.stops[above as usize];
            stop.parent = parent;
            stop.vertices += vertices;
            add(&mut stop.sum, &sum);
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
