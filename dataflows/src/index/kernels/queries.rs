//! Some rows of a cell, as queries: they meet the others together, and pairs whose fast scores reach a threshold are proposed.

use super::encoding::{Encoding, LANE, ZERO};
use super::kernel::Kernel;
use super::panels::Panels;
use super::tile::{Epilogue, QUERIES, ROWS, Stretch, Sums, Tile};

/// Lanes of a panel that are multiplied at a stretch, 16 KB, to stay in a core's first cache while all queries meet them.
const STRETCH: usize = 256;
/// Bytes of queries within a stretch: to stay in a core's own cache beside two panels.
const TOGETHER: usize = 192 * 1024;
/// Panels whose candidates are gathered before they are looked at, so that a panel meets many queries at a time.
const BLOCK: usize = 32;
/// As many for the first block: a query without a list takes all that it meets until there is a threshold.
const FIRST: usize = 4;

/// Says what holds for a query.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// It meets the rows before this place.
    pub rows: usize,
    /// A fast score below this and below the row's threshold proposes nothing.
    pub threshold: f32,
}

/// A pair that is proposed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The query's place among those it came with.
    pub query: usize,
    /// The row's place.
    pub row: usize,
    /// The fast score: the canonical one is not above it by more than the error.
    pub most: f32,
    /// Says what the canonical score is at least, as far as is known.
    pub least: f32,
}

/// Queries that meet rows together.
#[derive(Debug)]
pub struct Queries {
    kernel: Kernel,
    encoding: Encoding,
    lanes: usize,
    groups: Vec<Group>,
    limits: Vec<Limits>,
}

/// Six queries.
#[derive(Debug)]
struct Group {
    /// A lane of each, one after the other.
    values: Vec<[i32; QUERIES]>,
    scales: [f32; QUERIES],
    /// What the zero of the rows' bytes adds to each one's sums.
    zeros: [i32; QUERIES],
    sums: Sums,
}

impl Queries {
    /// Returns how many rows like these go well together.
    pub fn together(rows: &Panels) -> usize {
        (TOGETHER / (rows.lanes() * LANE).clamp(1, STRETCH * LANE)).next_multiple_of(QUERIES)
    }

    /// The rows in some places of `rows`, each with its limits.
    pub fn new(rows: &Panels, kernel: Kernel, some: impl IntoIterator<Item = (usize, Limits)>) -> Self {
        let (groups, limits) = (Vec::new(), Vec::new());
        let mut queries = Queries { kernel, encoding: rows.encoding(), lanes: rows.lanes(), groups, limits };
        some.into_iter().for_each(|(at, limits)| queries.push(rows, at, limits));
        queries
    }

    fn push(&mut self, rows: &Panels, at: usize, limits: Limits) {
        assert!(at < rows.len(), "row {at} of {}", rows.len());
        let lane = self.limits.len() % QUERIES;
        if lane == 0 {
            self.groups.push(Group {
                values: vec![[0; QUERIES]; self.lanes],
                scales: [0.0; QUERIES],
                zeros: [0; QUERIES],
                sums: [[0; ROWS]; QUERIES],
            });
        }
        if let Some(group) = self.groups.last_mut() {
            group.scales[lane] = rows.scales(at / ROWS)[at % ROWS];
            for (values, lanes) in group.values.iter_mut().zip(rows.panel(at / ROWS)) {
                let of_row = lanes.0[at % ROWS];
                values[lane] = i32::from_le_bytes(match self.encoding {
                    Encoding::F32 | Encoding::Words => of_row,
                    Encoding::Bytes => of_row.map(|byte| byte.wrapping_sub(ZERO)),
                });
                if self.encoding == Encoding::Bytes {
                    let steps = self.encoding.steps(of_row);
                    group.zeros[lane] +=
                        i32::from(ZERO) * steps.iter().map(|step| i32::from(*step)).sum::<i32>();
                }
            }
        }
        self.limits.push(limits);
    }

    /// Returns what holds for each.
    pub fn limits(&self) -> &[Limits] {
        &self.limits
    }

    /// Raises a query's threshold.
    pub fn raise(&mut self, query: usize, threshold: f32) {
        self.limits[query].threshold = threshold;
    }

    /// Adds to `candidates` the pairs of these with `rows` from place `from` on, as many as go well together, that reach the
    /// query's threshold or the row's; and with rows before it of the same panel. `thresholds` has one for each row, and infinite ones up to
    /// a whole panel. Returns the place to go on from, `None` when there are no more.
    pub fn propose(
        &mut self,
        rows: &Panels,
        from: usize,
        thresholds: &[f32],
        candidates: &mut Vec<Candidate>,
    ) -> Option<usize> {
        let panels = self.limits.iter().map(|limits| limits.rows.div_ceil(ROWS)).max().unwrap_or(0);
        let first = from / ROWS;
        let next = panels.min(first + first.clamp(FIRST, BLOCK));
        let own: Vec<_> = self.limits.chunks(QUERIES).map(own_thresholds).collect();
        let met: Vec<usize> = self.limits.chunks(QUERIES).map(rows_met).collect();
        for panel in first..next {
            let thresholds = thresholds[panel * ROWS..].first_chunk::<ROWS>()?;
            self.meet(rows, panel, (thresholds, &own), &met, candidates);
        }
        (next < panels).then_some(next * ROWS)
    }

    /// Has all queries meet one panel. `met` has for each group the rows that any of it meets.
    fn meet(
        &mut self,
        rows: &Panels,
        panel: usize,
        thresholds: (&[f32; ROWS], &[[f32; QUERIES]]),
        met: &[usize],
        candidates: &mut Vec<Candidate>,
    ) {
        let first = panel * ROWS;
        let mut tile: Tile = [[0.0; ROWS]; QUERIES];
        let mut next = rows.panel(panel + 1);
        let share = next.len().div_ceil(self.groups.len().max(1));
        let lanes = rows.panel(panel);
        let last = self.lanes.saturating_sub(1) / STRETCH * STRETCH;
        for from in (0..=last).step_by(STRETCH) {
            let part = from..self.lanes.min(from + STRETCH);
            for (at, group) in self.groups.iter_mut().enumerate() {
                if met[at] <= first {
                    continue;
                }
                let (soon, rest) = next.split_at(share.min(next.len()));
                next = rest;
                let limits = &self.limits[at * QUERIES..self.limits.len().min((at + 1) * QUERIES)];
                let stretch = Stretch {
                    encoding: self.encoding,
                    panel: &lanes[part.clone()],
                    values: &group.values[part.clone()],
                    count: limits.len(),
                    first: from == 0,
                    next: soon,
                };
                if from < last {
                    self.kernel.add(&stretch, &mut group.sums);
                    continue;
                }
                let epilogue = Epilogue {
                    zeros: group.zeros,
                    scales: group.scales,
                    row_scales: rows.scales(panel),
                    thresholds: thresholds.0,
                    own: thresholds.1[at],
                };
                let reached = self.kernel.reached(&stretch, &mut group.sums, &epilogue, &mut tile);
                gather(at * QUERIES, first, limits, &tile, reached, candidates);
            }
        }
    }
}

/// The thresholds of a group; where there is no query, nothing reaches it.
fn own_thresholds(limits: &[Limits]) -> [f32; QUERIES] {
    std::array::from_fn(|at| limits.get(at).map_or(f32::INFINITY, |limits| limits.threshold))
}

/// The rows that any query of a group meets.
fn rows_met(limits: &[Limits]) -> usize {
    limits.iter().map(|limits| limits.rows).max().unwrap_or(0)
}

/// Adds to `candidates` the pairs of a tile that `reached` has a bit for, of rows that their queries meet: `limits` are of the queries from
/// place `query` on, the tile's rows those from place `first` on.
fn gather(
    query: usize,
    first: usize,
    limits: &[Limits],
    tile: &Tile,
    reached: [u16; QUERIES],
    candidates: &mut Vec<Candidate>,
) {
    if reached == [0; QUERIES] {
        return;
    }
    for (at, (limits, mut rows)) in limits.iter().zip(reached).enumerate() {
        let met = limits.rows.saturating_sub(first);
        if met < ROWS {
            rows &= (1 << met) - 1;
        }
        while rows != 0 {
            let row = rows.trailing_zeros() as usize;
            rows &= rows - 1;
            let (most, least) = (tile[at][row], f32::NEG_INFINITY);
            candidates.push(Candidate { query: query + at, row: first + row, most, least });
        }
    }
}
