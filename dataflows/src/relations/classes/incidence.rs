//! Which edges there are, at both of their ends.

use hashbrown::HashMap;

use crate::packed::blocks::reserve;

/// The edges at each vertex, by its handle.
#[derive(Default)]
pub(super) struct Incidence {
    edges: Vec<Vec<Half>>,
    /// How often an edge is there, the smaller end first, of those that are not there just once.
    counts: HashMap<(u32, u32), i32>,
}

/// An edge as one end has it.
#[derive(Clone, Copy)]
pub(super) struct Half {
    /// The other end.
    pub(super) other: u32,
    /// Where the other end has it in its edges, and [`TREE`] and [`NOT_ONCE`].
    twin: u32,
}

/// The bit of an edge that is in the forest.
const TREE: u32 = 1 << 31;
/// The bit of an edge that is there more or less than once: then `Incidence::counts` has it.
const NOT_ONCE: u32 = 1 << 30;
/// Where the other end has an edge.
const PLACE: u32 = NOT_ONCE - 1;

/// Where two vertices have their edge.
pub(super) type Places = (usize, usize);

impl Half {
    fn place(self) -> usize {
        (self.twin & PLACE) as usize
    }

    /// Returns whether the edge is in the forest.
    pub(super) fn tree(self) -> bool {
        self.twin & TREE != 0
    }
}

impl Incidence {
    /// Makes `vertex` one without edges; handles are used in turn, or again.
    pub(super) fn add(&mut self, vertex: u32) {
        match self.edges.get_mut(vertex as usize) {
            Some(edges) => *edges = Vec::new(),
            None => {
                reserve(&mut self.edges, 1);
                self.edges.push(Vec::new());
            }
        }
    }

    /// Returns how many vertices there were at most.
    pub(super) fn len(&self) -> usize {
        self.edges.len()
    }

    /// The edges at `vertex`, those that are there less than once too.
    pub(super) fn of(&self, vertex: u32) -> &[Half] {
        &self.edges[vertex as usize]
    }

    /// Returns whether an edge that `from` has is there.
    pub(super) fn there(&self, from: u32, half: Half) -> bool {
        half.twin & NOT_ONCE == 0 || self.count(from, half) > 0
    }

    /// Returns how often an edge that `from` has is there.
    pub(super) fn count(&self, from: u32, half: Half) -> i32 {
        match half.twin & NOT_ONCE {
            0 => 1,
            _ => self.counts.get(&(from.min(half.other), from.max(half.other))).copied().unwrap_or(1),
        }
    }

    /// Where `a` and `b` have their edge, looked for at the one with fewer.
    pub(super) fn find(&self, a: u32, b: u32) -> Option<Places> {
        let (of_a, of_b) = (self.of(a), self.of(b));
        if of_a.len() <= of_b.len() {
            let at = of_a.iter().position(|half| half.other == b)?;
            Some((at, of_a[at].place()))
        } else {
            let at = of_b.iter().position(|half| half.other == a)?;
            Some((of_b[at].place(), at))
        }
    }

    /// A new edge, there once; returns where its ends have it.
    pub(super) fn push(&mut self, a: u32, b: u32) -> Places {
        let lengths = [a, b].map(|vertex| self.of(vertex).len() as u32);
        for (from, to, twin) in [(a, b, lengths[1]), (b, a, lengths[0])] {
            let edges = &mut self.edges[from as usize];
            if edges.len() == edges.capacity() {
                // A quarter more instead of twice as much: most of the memory is here.
                edges.reserve_exact(2 + edges.len() / 4);
            }
            edges.push(Half { other: to, twin });
        }
        (lengths[0] as usize, lengths[1] as usize)
    }

    /// Takes the edge between `a` and `b`, which have it at `places`, out.
    pub(super) fn take(&mut self, a: u32, b: u32, places: Places) {
        self.set_count(a, b, places, 1);
        self.take_half(a, places.0);
        self.take_half(b, places.1);
    }

    fn take_half(&mut self, vertex: u32, at: usize) {
        let edges = &mut self.edges[vertex as usize];
        edges.swap_remove(at);
        let moved = edges.get(at).copied();
        if edges.capacity() > 2 * edges.len() + 4 {
            edges.shrink_to(edges.len() + 2);
        }
        if let Some(moved) = moved {
            let twin = &mut self.edges[moved.other as usize][moved.place()].twin;
            *twin = (*twin & !PLACE) | at as u32;
        }
    }

    /// Notes that the edge between `a` and `b`, which have it at `places`, is there `count` times.
    pub(super) fn set_count(&mut self, a: u32, b: u32, places: Places, count: i32) {
        let once = self.of(a)[places.0].twin & NOT_ONCE == 0;
        if once && count == 1 {
            return;
        }
        let ends = (a.min(b), a.max(b));
        match count {
            1 => drop(self.counts.remove(&ends)),
            _ => drop(self.counts.insert(ends, count)),
        }
        self.flag(a, b, places, NOT_ONCE, count != 1);
    }

    /// Notes whether the edge between `a` and `b`, which have it at `places`, is in the forest.
    pub(super) fn set_tree(&mut self, a: u32, b: u32, places: Places, tree: bool) {
        self.flag(a, b, places, TREE, tree);
    }

    fn flag(&mut self, a: u32, b: u32, places: Places, flag: u32, on: bool) {
        for (vertex, at) in [(a, places.0), (b, places.1)] {
            let twin = &mut self.edges[vertex as usize][at].twin;
            *twin = if on { *twin | flag } else { *twin & !flag };
        }
    }
}
