//! A search from both ends of a lost edge for another way between them.

use super::incidence::Incidence;
use crate::packed::blocks::reserve;

/// Edges that a search looks at, over both ends.
const DETOUR: usize = 512;
/// Marks until they are taken off all vertices and given anew. Few in tests, so that they see it.
const MARKS: u32 = if cfg!(test) { 50 } else { u32::MAX };

/// The last search that came to each vertex, by its handle.
#[derive(Default)]
pub(super) struct Marks {
    of: Vec<u32>,
    /// The greatest mark given.
    last: u32,
}

impl Marks {
    /// Makes `vertex` one that no search has come to; handles are used in turn, or again.
    pub(super) fn add(&mut self, vertex: u32) {
        match self.of.get_mut(vertex as usize) {
            Some(mark) => *mark = 0,
            None => {
                reserve(&mut self.of, 1);
                self.of.push(0);
            }
        }
    }

    /// Makes sure that there are two marks that no vertex has.
    fn renew(&mut self) {
        if self.last > MARKS - 2 {
            self.of.iter_mut().for_each(|mark| *mark = 0);
            self.last = 0;
        }
    }

    /// A mark that no vertex has.
    pub(super) fn new_mark(&mut self) -> u32 {
        self.renew();
        self.last += 1;
        self.last
    }

    /// Two of them.
    fn two(&mut self) -> (u32, u32) {
        self.renew();
        self.last += 2;
        (self.last - 1, self.last)
    }

    pub(super) fn set(&mut self, vertex: u32, mark: u32) {
        self.of[vertex as usize] = mark;
    }

    pub(super) fn has(&self, vertex: u32, mark: u32) -> bool {
        self.of[vertex as usize] == mark
    }
}

/// Says what a search found.
pub(super) enum Detour {
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
    fn from(start: u32, mark: u32, marks: &mut Marks) -> Self {
        marks.set(start, mark);
        Side { mark, reached: vec![(start, 0)], done: 0, edges_done: 0 }
    }

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

/// A way from `a` to `b`, looked for from both in turns, one edge each.
pub(super) fn detour(graph: &Incidence, marks: &mut Marks, a: u32, b: u32) -> Detour {
    let (from_a, from_b) = marks.two();
    let (mut turn, mut other) = (Side::from(a, from_a, marks), Side::from(b, from_b, marks));
    for _ in 0..DETOUR {
        let Some(&(at, _)) = turn.reached.get(turn.done) else { return Detour::Apart };
        if let Some(half) = graph.of(at).get(turn.edges_done).copied() {
            turn.edges_done += 1;
            if !graph.there(at, half) {
            } else if marks.has(half.other, other.mark) {
                let mut path = turn.path_back(turn.done);
                path.reverse();
                let met = other.reached.iter().position(|(vertex, _)| *vertex == half.other);
                path.extend(met.map(|met| other.path_back(met)).unwrap_or_default());
                if path[0] != a {
                    path.reverse();
                }
                return Detour::Path(path);
            } else if !marks.has(half.other, turn.mark) {
                marks.set(half.other, turn.mark);
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
