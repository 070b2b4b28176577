//! Rows in steps: every vector rounded to whole steps of its own, in bytes or in words of 16 bits, for sixteen rows at a time.
//!
//! A byte is a quarter of the memory that a product has to read, a word half of it, and processors multiply and add two words in the time
//! of one single, newer ones four bytes. Sums are of whole numbers and exact; what rounding to steps loses is measured when a row is stored, as for half
//! precision.

use std::ops::Range;

use super::batch::{Hit, Late, Limits, gather, of_group};
use super::bound::{distance, norm};
use super::slabs::Slabs;
use super::steps_tile::{End, Group, LANE, Steps, StepsKernel, Sums};
use super::tile::{LATES, ROWS, Tile};

/// How wide a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 255 steps, the largest value 127 of them.
    Bytes,
    /// Steps of which a vector is at most 32,000 long, so that no sum of products outgrows 32 bits.
    Words,
}

impl Width {
    /// Values of a row that are multiplied and added at once.
    pub(super) fn values(self) -> usize {
        match self {
            Width::Bytes => LANE,
            Width::Words => LANE / 2,
        }
    }

    /// What a step of `row` is worth.
    fn scale(self, row: &[f32]) -> f32 {
        match self {
            Width::Bytes => byte_scale(row),
            Width::Words => normal((norm(row) / WORDS) as f32),
        }
    }

    /// The bytes of some of a row's values, as rows have them; what is left over is zero.
    fn lane(self, values: &[f32], scale: f32) -> [u8; LANE] {
        let at = |at: usize| values.get(at).map_or(0.0, |value| *value);
        match self {
            // Rows are unsigned, as processors want one side to be.
            Width::Bytes => std::array::from_fn(|i| ZERO.wrapping_add_signed(byte_step(at(i), scale))),
            Width::Words => {
                let [left, right] = [0, 1].map(|i| word_step(at(i), scale).to_le_bytes());
                [left[0], left[1], right[0], right[1]]
            }
        }
    }

    /// The steps that [`Width::lane`] made.
    fn steps(self, lane: [u8; LANE]) -> [i16; LANE] {
        match self {
            Width::Bytes => lane.map(|byte| i16::from(byte) - i16::from(ZERO)),
            Width::Words => {
                [i16::from_le_bytes([lane[0], lane[1]]), i16::from_le_bytes([lane[2], lane[3]]), 0, 0]
            }
        }
    }
}

/// The largest step of bytes.
const BYTES: f32 = 127.0;
/// The byte of a row that stands for 0.
const ZERO: u8 = 128;
/// The length of a vector in steps of words.
const WORDS: f64 = 32_000.0;
/// More values than this could add up to more than an `i32` holds.
pub(super) const LONGEST: usize = 65_536;
/// Lanes of a panel that are multiplied at a stretch, 16 KB, to stay in a core's first cache while the batch passes.
const STRETCH: usize = 256;
/// Bytes of a batch within a stretch: to stay in a core's own cache beside two panels.
const BATCH: usize = 192 * 1024;

/// Rows of d values each, sixteen to a panel, in an order of their own: a row's place changes only when another is taken out.
#[derive(Clone, Debug)]
pub struct StepPanels {
    d: usize,
    width: Width,
    len: usize,
    /// Of each panel what a step of each row is worth.
    scales: Vec<[f32; ROWS]>,
    lanes: Slabs<Steps>,
}

impl StepPanels {
    /// Without rows; they will have `d` values, at most 65,536.
    pub fn new(d: usize, width: Width) -> Self {
        assert!(d <= LONGEST, "{d} values do not add up in 32 bits");
        let lanes = Slabs::new(d.div_ceil(width.values()));
        StepPanels { d, width, len: 0, scales: Vec::new(), lanes }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Values a row (d).
    pub fn d(&self) -> usize {
        self.d
    }

    fn lanes(&self) -> usize {
        self.d.div_ceil(self.width.values())
    }

    /// Puts `row` (d values) at the end. Returns how far what is stored is from it.
    pub fn push(&mut self, row: &[f32]) -> f64 {
        assert_eq!(row.len(), self.d, "rows of one cell have one length");
        let (panel, at, width) = (self.len / ROWS, self.len % ROWS, self.width);
        self.len += 1;
        if panel == self.lanes.len() {
            self.scales.push([0.0; ROWS]);
            self.lanes.push(Steps([[0; LANE]; ROWS]));
        }
        let scale = width.scale(row);
        self.scales[panel][at] = scale;
        let lanes = self.lanes.panel_mut(panel);
        for (lanes, values) in lanes.iter_mut().zip(row.chunks(width.values())) {
            lanes.0[at] = width.lane(values, scale);
        }
        let stored = lanes.iter().flat_map(|lanes| {
            let steps = width.steps(lanes.0[at]).into_iter().take(width.values());
            steps.map(|step| f64::from(scale) * f64::from(step))
        });
        distance(row, stored)
    }

    /// Takes a row out; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) {
        assert!(at < self.len, "row {at} of {}", self.len);
        self.len -= 1;
        let last = self.len;
        self.scales[at / ROWS][at % ROWS] = self.scales[last / ROWS][last % ROWS];
        for i in 0..self.lanes() {
            let moved = self.lanes.panel(last / ROWS)[i].0[last % ROWS];
            self.lanes.panel_mut(at / ROWS)[i].0[at % ROWS] = moved;
        }
        if last.is_multiple_of(ROWS) {
            self.scales.pop();
            self.lanes.pop();
        }
    }
}

/// A scale that is not rounded coarsely, else 0: steps are then worth nothing, and there are none.
fn normal(scale: f32) -> f32 {
    if scale.is_normal() { scale } else { 0.0 }
}

/// What a step of `row` is worth in bytes.
pub(super) fn byte_scale(row: &[f32]) -> f32 {
    normal(row.iter().fold(0.0f32, |most, value| most.max(value.abs())) / BYTES)
}

/// The step nearest to `value` in bytes; 0 where steps are worth nothing.
pub(super) fn byte_step(value: f32, scale: f32) -> i8 {
    if scale == 0.0 { 0 } else { (value / scale).round().clamp(-BYTES, BYTES) as i8 }
}

/// The step nearest to `value` in words; 0 where steps are worth nothing.
fn word_step(value: f32, scale: f32) -> i16 {
    if scale == 0.0 { 0 } else { (value / scale).round().clamp(-WORDS as f32, WORDS as f32) as i16 }
}

/// Vectors that meet the same rows together.
#[derive(Debug)]
pub struct StepBatch {
    kernel: StepsKernel,
    width: Width,
    lanes: usize,
    groups: Vec<Late6>,
    lates: Vec<Late>,
}

/// Six vectors of a batch.
#[derive(Debug)]
struct Late6 {
    values: Vec<Group>,
    scales: [f32; LATES],
    /// What the zero of the rows' bytes adds to each one's sums.
    zeros: [i32; LATES],
    sums: Sums,
}

impl StepBatch {
    /// How many rows like these go well together.
    pub fn size(rows: &StepPanels) -> usize {
        (BATCH / (rows.lanes() * LANE).clamp(1, STRETCH * LANE)).next_multiple_of(LATES)
    }

    /// Without vectors, which will be rows of `rows`.
    pub fn new(rows: &StepPanels, kernel: StepsKernel) -> Self {
        let (groups, lates) = (Vec::new(), Vec::new());
        StepBatch { kernel, width: rows.width, lanes: rows.lanes(), groups, lates }
    }

    /// Adds the row of `rows` at a place.
    pub fn push(&mut self, rows: &StepPanels, at: usize, late: Late) {
        assert!(at < rows.len, "row {at} of {}", rows.len);
        let lane = self.lates.len() % LATES;
        if lane == 0 {
            self.groups.push(Late6 {
                values: vec![[0; LATES]; self.lanes],
                scales: [0.0; LATES],
                zeros: [0; LATES],
                sums: [[0; ROWS]; LATES],
            });
        }
        let (scales, lanes) = (&rows.scales[at / ROWS], rows.lanes.panel(at / ROWS));
        if let Some(group) = self.groups.last_mut() {
            group.scales[lane] = scales[at % ROWS];
            for (values, lanes) in group.values.iter_mut().zip(lanes) {
                let of_row = lanes.0[at % ROWS];
                values[lane] = i32::from_le_bytes(match self.width {
                    Width::Words => of_row,
                    Width::Bytes => of_row.map(|byte| byte.wrapping_sub(ZERO)),
                });
                if self.width == Width::Bytes {
                    let steps = self.width.steps(of_row);
                    group.zeros[lane] +=
                        i32::from(ZERO) * steps.iter().map(|step| i32::from(*step)).sum::<i32>();
                }
            }
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
    pub fn propose(&mut self, rows: &StepPanels, panels: Range<usize>, floors: &[f32], hits: &mut Vec<Hit>) {
        let limits: Vec<Limits> = self.lates.chunks(LATES).map(Limits::of).collect();
        let mut tile: Tile = [[0.0; ROWS]; LATES];
        for panel in panels {
            let first = panel * ROWS;
            let Some(floors) = floors[first..].first_chunk::<ROWS>() else { return };
            let mut next = rows.lanes.panel(panel + 1);
            let share = next.len().div_ceil(self.groups.len().max(1));
            let (scales, lanes) = (&rows.scales[panel], rows.lanes.panel(panel));
            let last = self.lanes.saturating_sub(1) / STRETCH * STRETCH;
            for from in (0..=last).step_by(STRETCH) {
                let stretch = from..self.lanes.min(from + STRETCH);
                for (at, (group, limits)) in self.groups.iter_mut().zip(&limits).enumerate() {
                    if limits.rows <= first {
                        continue;
                    }
                    if from == 0 {
                        group.sums = [[0; ROWS]; LATES];
                    }
                    let (soon, rest) = next.split_at(share.min(next.len()));
                    next = rest;
                    let lates = of_group(&self.lates, at);
                    let values = (&group.values[stretch.clone()], lates.len());
                    let panel = &lanes[stretch.clone()];
                    if from < last {
                        self.kernel.add(self.width, panel, values, &mut group.sums, soon);
                        continue;
                    }
                    let end = End {
                        zeros: group.zeros,
                        scales: group.scales,
                        row_scales: scales,
                        floors,
                        own: limits.own,
                    };
                    let reached =
                        self.kernel.meet(self.width, panel, values, &mut group.sums, &end, &mut tile, soon);
                    gather(at * LATES, first, lates, &tile, reached, hits);
                }
            }
        }
    }
}
