//! A new query's best rows by fast score, until they are scored canonically.

use super::super::product::bound::lowered;

/// Collects the rows that may be among the `full` best of a new query. Scoring every row that is among the best for a
/// while would cost several times as much as scoring those that are left in the end.
#[derive(Debug)]
pub(super) struct Draft {
    /// Fast score and place of each row.
    rows: Vec<(f32, u32)>,
    full: usize,
    floor: f32,
    /// How far a fast score can be from the canonical one.
    error: f32,
    /// Rows are sorted out when they are this many.
    limit: usize,
}

impl Draft {
    /// Of a query that rows with fast scores below `floor` need not be offered to.
    pub(super) fn new(full: usize, floor: f32, error: f32) -> Self {
        Draft { rows: Vec::new(), full, floor, error, limit: 2 * full }
    }

    /// A row with a fast score below this is not among the best.
    pub(super) fn floor(&self) -> f32 {
        self.floor
    }

    /// Takes a row in.
    pub(super) fn push(&mut self, fast: f32, place: u32) {
        self.rows.push((fast, place));
        if self.rows.len() > self.limit {
            self.sort_out();
            self.limit = self.rows.len() + self.full.max(1);
        }
    }

    /// Drops what cannot be among the best: the `full` best by fast score have canonical scores at most one error lower
    /// than the last of them, and a row two errors below it has a canonical score still lower.
    fn sort_out(&mut self) {
        if self.full == 0 || self.rows.len() < self.full {
            return;
        }
        let (_, last, _) = self.rows.select_nth_unstable_by(self.full - 1, |a, b| b.0.total_cmp(&a.0));
        let floor = lowered(lowered(last.0, self.error), self.error);
        if floor > self.floor {
            self.floor = floor;
        }
        // An undefined fast score stays.
        self.rows.retain(|(fast, _)| fast.is_nan() || *fast >= floor);
    }

    /// The places of the rows that may be among the best.
    pub(super) fn places(mut self) -> impl Iterator<Item = usize> {
        self.sort_out();
        self.rows.into_iter().map(|(_, place)| place as usize)
    }
}
