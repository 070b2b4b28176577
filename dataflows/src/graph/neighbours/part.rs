//! Members of a cell and their rows as the kernel keeps them, place by place.

use std::borrow::Cow;

use super::super::node::Neighbour;
use super::super::product::{Deeper, Rows, Sketch, Sketched, bound};
use super::super::vector::Vector;
use super::best::Best;
use super::rules::Rules;
use super::threads::on_threads;
use crate::id::NodeId;

/// What a node is to the cell, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    Not,
    Old,
    New,
    /// A query that brings its list along: no row of this epoch is offered to it.
    Known,
}

/// A node of the cell, before it has a place and after it has left it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) head: Head,
    pub(super) body: Body,
}

/// What says whether two members are to meet. In places of its own: it is looked at for each pair that the product proposes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) id: NodeId,
    pub(super) pts_ns: u64,
    pub(super) row: Role,
    pub(super) query: Role,
    /// Whether the list is remembered as it was before this epoch.
    pub(super) remembered: bool,
}

/// What is looked at when they do.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) best: Best,
    /// For canonical scores.
    pub(super) vector: Vector,
}

impl Head {
    /// Whether `row` is to be offered to this query.
    pub(super) fn wants(&self, row: &Head) -> bool {
        match self.query {
            Role::New => row.row != Role::Not,
            Role::Old => row.row == Role::New,
            Role::Not | Role::Known => false,
        }
    }
}

impl Body {
    /// The list of the member with this `head`; `None` when it does not look into the cell.
    pub(super) fn list(&self, head: &Head, k: usize) -> Option<&[Neighbour]> {
        (head.query != Role::Not).then(|| self.best.list(k))
    }

    /// A canonical score below this changes nothing for that list.
    pub(super) fn floor(&self, head: &Head, k: usize) -> f32 {
        match head.query {
            Role::Old | Role::New => self.best.floor(k),
            Role::Not | Role::Known => f32::INFINITY,
        }
    }
}

/// What the error of fast scores depends on, each the largest of some members.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reach {
    /// The length of a vector.
    pub(super) norm: f64,
    /// The length of a sketch.
    pub(super) longest: f64,
    /// How far a stored sketch is from what it is.
    pub(super) off: f64,
}

/// Reaches are rounded up to this, so that the error of fast scores seldom grows.
const STEP: f64 = 1.0 / 65536.0;

/// What is kept of a member for the product, before it has a place: made by several threads.
pub(super) struct Shade {
    sketched: Sketched,
    norm: f64,
    longest: f64,
}

impl Shade {
    /// Of each member's vector as `sketch` has it.
    pub(super) fn of_all(vectors: &[&Vector], sketch: &Sketch, threads: usize) -> Vec<Shade> {
        let some: Vec<&[&Vector]> = vectors.chunks(TOGETHER).collect();
        on_threads(threads, 4, &some, |vectors| Shade::of(vectors, sketch)).into_iter().flatten().collect()
    }

    fn of(vectors: &[&Vector], sketch: &Sketch) -> Vec<Shade> {
        let vectors: Vec<Cow<'_, [f32]>> = vectors.iter().map(|vector| vector.values()).collect();
        let vectors: Vec<&[f32]> = vectors.iter().map(|vector| &**vector).collect();
        let shade = |(sketched, vector): (Sketched, &&[f32])| {
            let norm = bound::norm(vector);
            let longest = if sketch.is_whole() { norm } else { bound::norm(sketched.seen(vector).first) };
            Shade { sketched, norm, longest }
        };
        sketch.of(&vectors).into_iter().zip(&vectors).map(shade).collect()
    }

    /// Puts it, of a member's `vector`, at the end of `rows` and `deeper`.
    fn put(self, vector: &Vector, rows: &mut Rows, deeper: &mut Option<Deeper>) -> Reach {
        let vector = vector.values();
        let seen = self.sketched.seen(&vector);
        if let Some(deeper) = deeper {
            deeper.push(&seen);
        }
        Reach { norm: self.norm, longest: self.longest, off: rows.push(seen.first) }
    }
}

/// Members whose shades are made together, by one thread.
const TOGETHER: usize = 16;
/// Members whose shades are made before they get their places.
pub(super) const SHADES_AT_ONCE: usize = 1024;

impl Reach {
    /// The larger of each, rounded up.
    pub(super) fn and(self, other: Self) -> Self {
        let larger = |a: f64, b: f64| if b > a { (b / STEP).ceil() * STEP } else { a };
        Reach {
            norm: larger(self.norm, other.norm),
            longest: larger(self.longest, other.longest),
            off: larger(self.off, other.off),
        }
    }
}

/// A cell's members; a member's place is that of its row.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) heads: Vec<Head>,
    pub(super) bodies: Vec<Body>,
    pub(super) rows: Rows,
    /// What a second look sees of each.
    pub(super) deeper: Option<Deeper>,
    /// For each place of the rows its member's floor, lowered by the error of fast scores. Where no member is, nothing
    /// gets in.
    pub(super) floors: Vec<f32>,
}

impl Part {
    pub(super) fn new(d: usize, rules: &Rules) -> Self {
        let rows = rules.rows(d, &Sketch::Whole);
        Part { heads: Vec::new(), bodies: Vec::new(), rows, deeper: None, floors: Vec::new() }
    }

    /// Members.
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// All members, place by place.
    pub(super) fn into_members(self) -> impl Iterator<Item = Member> {
        self.heads.into_iter().zip(self.bodies).map(|(head, body)| Member { head, body })
    }

    /// The list of the member at a place; `None` when it does not look into the cell.
    pub(super) fn list(&self, at: usize, k: usize) -> Option<&[Neighbour]> {
        self.bodies[at].list(&self.heads[at], k)
    }

    /// Puts a member at the end, its floor not yet set.
    pub(super) fn push(&mut self, member: Member, shade: Shade) -> Reach {
        let Member { head, body } = member;
        let reach = shade.put(&body.vector, &mut self.rows, &mut self.deeper);
        self.heads.push(head);
        self.bodies.push(body);
        self.floors.resize(self.rows.places(), f32::INFINITY);
        reach
    }

    /// Puts another sketch of every member in place of the one that is there.
    pub(super) fn sketch_again(&mut self, d: usize, rules: &Rules, sketch: &Sketch) -> Reach {
        self.rows = rules.rows(d, sketch);
        self.deeper = sketch.deeper();
        let mut reach = Reach::default();
        for bodies in self.bodies.chunks(SHADES_AT_ONCE) {
            let vectors: Vec<&Vector> = bodies.iter().map(|body| &body.vector).collect();
            let shades = Shade::of_all(&vectors, sketch, rules.threads);
            for (vector, shade) in vectors.into_iter().zip(shades) {
                reach = reach.and(shade.put(vector, &mut self.rows, &mut self.deeper));
            }
        }
        reach
    }

    /// Takes a member out; the last one takes its place.
    pub(super) fn swap_remove(&mut self, at: usize) -> Member {
        let member = Member { head: self.heads.swap_remove(at), body: self.bodies.swap_remove(at) };
        self.rows.swap_remove(at);
        if let Some(deeper) = &mut self.deeper {
            deeper.swap_remove(at);
        }
        let last = self.len();
        self.floors[at] = self.floors[last];
        self.floors[last] = f32::INFINITY;
        self.floors.truncate(self.rows.places());
        member
    }

    /// Brings a member's floor up to date.
    pub(super) fn set_floor(&mut self, at: usize, k: usize, error: f32) {
        self.floors[at] = bound::lowered(self.bodies[at].floor(&self.heads[at], k), error);
    }
}
