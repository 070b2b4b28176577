//! Some vectors at a time against all rows.

use std::ops::Range;

use super::panels::Panels;
use super::tile::{Group, Kernel, LATES, ROWS, Strip, Tile};

/// Values of a panel and of a group that are multiplied at a stretch: a panel's are 16 KB, to stay in a core's first cache
/// while all groups of the batch pass.
const STRETCH: usize = 256;
/// Values of a batch within a stretch: 192 KB, to stay in a core's own cache beside two panels.
const BATCH: usize = 48 * 1024;

/// A vector of a batch, as the product sees it.
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// It meets the rows before this place.
    pub rows: usize,
    /// A fast score below this and below the row's floor proposes nothing.
    pub floor: f32,
}

/// A pair whose fast score reaches a floor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The vector's place in the batch.
    pub late: usize,
    /// The row's place.
    pub row: usize,
    /// The fast score.
    pub fast: f32,
}

/// Vectors that meet the same rows together.
#[derive(Debug)]
pub struct Batch {
    kernel: Kernel,
    d: usize,
    /// For each six vectors, d values of each, interleaved.
    groups: Vec<Vec<Group>>,
    lates: Vec<Late>,
    tiles: Vec<Tile>,
    decoded: Vec<Strip>,
}

impl Batch {
    /// How many vectors of `d` values go well together.
    pub fn size(d: usize) -> usize {
        (BATCH / d.clamp(1, STRETCH)).next_multiple_of(LATES)
    }

    /// Without vectors; they will have `d` values.
    pub fn new(d: usize, kernel: Kernel) -> Self {
        Batch { kernel, d, groups: Vec::new(), lates: Vec::new(), tiles: Vec::new(), decoded: Vec::new() }
    }

    /// Adds a vector (d values).
    pub fn push(&mut self, vector: &[f32], late: Late) {
        let lane = self.lates.len() % LATES;
        if lane == 0 {
            self.groups.push(vec![[0.0; LATES]; self.d]);
            self.tiles.push([[0.0; ROWS]; LATES]);
        }
        if let Some(group) = self.groups.last_mut() {
            group.iter_mut().zip(vector).for_each(|(values, value)| values[lane] = *value);
        }
        self.lates.push(late);
    }

    /// The vectors.
    pub fn lates(&mut self) -> &mut [Late] {
        &mut self.lates
    }

    /// Panels that any vector meets.
    pub fn panels(&self) -> usize {
        self.lates.iter().map(|late| late.rows.div_ceil(ROWS)).max().unwrap_or(0)
    }

    /// Adds to `hits` the pairs of these vectors with the rows of some panels that reach the vector's floor or the row's. `floors`
    /// has one for each place in all panels.
    pub fn propose(&mut self, rows: &Panels, panels: Range<usize>, floors: &[f32], hits: &mut Vec<Hit>) {
        let limits: Vec<Limits> = self.lates.chunks(LATES).map(Limits::of).collect();
        for panel in panels {
            let first = panel * ROWS;
            let Some(floors) = floors[first..].first_chunk::<ROWS>() else { return };
            let mut next = rows.after(panel);
            let share = next.len().div_ceil(self.groups.len().max(1));
            let values = rows.panel(panel, &mut self.decoded);
            let once = (1..=STRETCH).contains(&self.d);
            if !once {
                self.tiles.fill([[0.0; ROWS]; LATES]);
            }
            for from in (0..self.d).step_by(STRETCH) {
                let stretch = from..self.d.min(from + STRETCH);
                let panel = &values[stretch.clone()];
                let groups = self.groups.iter().zip(&mut self.tiles).zip(&limits).enumerate();
                for (at, ((group, tile), limits)) in groups {
                    if limits.rows <= first {
                        continue;
                    }
                    let (soon, rest) = next.split_at(share.min(next.len()));
                    next = rest;
                    if once {
                        let reached = self.kernel.meet(panel, group, (floors, &limits.own), tile, soon);
                        gather(at * LATES, first, of_group(&self.lates, at), tile, reached, hits);
                    } else {
                        self.kernel.add(panel, &group[stretch.clone()], tile, soon);
                    }
                }
            }
            if once {
                continue;
            }
            for (at, (tile, limits)) in self.tiles.iter().zip(&limits).enumerate() {
                let reached = self.kernel.reached(tile, floors, &limits.own);
                gather(at * LATES, first, of_group(&self.lates, at), tile, reached, hits);
            }
        }
    }
}

/// What is told of the vectors of a group, for the time of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Rows that any of them meets.
    pub(super) rows: usize,
    pub(super) own: [f32; LATES],
}

impl Limits {
    pub(super) fn of(lates: &[Late]) -> Self {
        let own = std::array::from_fn(|at| lates.get(at).map_or(f32::INFINITY, |late| late.floor));
        Limits { rows: lates.iter().map(|late| late.rows).max().unwrap_or(0), own }
    }
}

/// The vectors of a group.
pub(super) fn of_group(lates: &[Late], group: usize) -> &[Late] {
    &lates[group * LATES..lates.len().min((group + 1) * LATES)]
}

/// Adds to `hits` the pairs of a tile that `reached` has a bit for, of rows that their vectors meet: `lates` are those from place
/// `of_late` of the batch on, the tile's rows those from place `first` on.
pub(super) fn gather(
    of_late: usize,
    first: usize,
    lates: &[Late],
    tile: &Tile,
    reached: [u16; LATES],
    hits: &mut Vec<Hit>,
) {
    if reached == [0; LATES] {
        return;
    }
    for (at, (late, mut rows)) in lates.iter().zip(reached).enumerate() {
        let met = late.rows.saturating_sub(first);
        if met < ROWS {
            rows &= (1 << met) - 1;
        }
        while rows != 0 {
            let row = rows.trailing_zeros() as usize;
            rows &= rows - 1;
            hits.push(Hit { late: of_late + at, row: first + row, fast: tile[at][row] });
        }
    }
}
