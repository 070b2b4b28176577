//! Some vectors at a time against all rows.

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

    /// Adds to `hits` the pairs of these vectors with the rows of a panel that reach the vector's floor or the row's. `floors`
    /// has one for each place in all panels.
    pub fn propose(&mut self, rows: &Panels, panel: usize, floors: &[f32], hits: &mut Vec<Hit>) {
        let first = panel * ROWS;
        let Some(floors) = floors[first..].first_chunk::<ROWS>() else { return };
        let mut next = rows.after(panel);
        let share = next.len().div_ceil(self.groups.len().max(1));
        let values = rows.panel(panel, &mut self.decoded);
        let met = |lates: &[Late]| lates.iter().any(|late| late.rows > first);
        self.tiles.fill([[0.0; ROWS]; LATES]);
        for from in (0..self.d).step_by(STRETCH) {
            let stretch = from..self.d.min(from + STRETCH);
            let panel = &values[stretch.clone()];
            let lates = self.lates.chunks(LATES);
            for ((group, tile), lates) in self.groups.iter().zip(&mut self.tiles).zip(lates) {
                if met(lates) {
                    let (soon, rest) = next.split_at(share.min(next.len()));
                    self.kernel.add(panel, &group[stretch.clone()], tile, soon);
                    next = rest;
                }
            }
        }
        for (group, (tile, lates)) in self.tiles.iter().zip(self.lates.chunks(LATES)).enumerate() {
            let own = std::array::from_fn(|at| lates.get(at).map_or(f32::INFINITY, |late| late.floor));
            let reached = self.kernel.reached(tile, floors, &own);
            for (at, (late, mut rows)) in lates.iter().zip(reached).enumerate() {
                let met = late.rows.saturating_sub(first);
                if met < ROWS {
                    rows &= (1 << met) - 1;
                }
                while rows != 0 {
                    let row = rows.trailing_zeros() as usize;
                    rows &= rows - 1;
                    hits.push(Hit { late: group * LATES + at, row: first + row, fast: tile[at][row] });
                }
            }
        }
    }
}
