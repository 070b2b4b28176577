//! A new query's best rows while it meets all rows, until its list is made of them.

/// The `full` best rows so far of a new query, by canonical score. Putting each row into the list that is among the best for
/// a while would cost more than choosing now and then.
#[derive(Debug)]
pub(super) struct Draft {
    /// Canonical score and place of each row.
    rows: Vec<(f32, u32)>,
    full: usize,
    floor: f32,
    /// Rows are sorted out when they are this many.
    limit: usize,
}

impl Draft {
    /// Of a query that rows scoring below `floor` need not be offered to.
    pub(super) fn new(full: usize, floor: f32) -> Self {
        Draft { rows: Vec::new(), full, floor, limit: full + 4 }
    }

    /// A row scoring less is not among the best.
    pub(super) fn floor(&self) -> f32 {
        self.floor
    }

    /// Takes a row in.
    pub(super) fn push(&mut self, score: f32, place: u32) {
        self.rows.push((score, place));
        if self.rows.len() >= self.limit {
            self.sort_out();
            self.limit = self.rows.len() + self.full.max(4) / 4;
        }
    }

    /// Drops what scores below the last of the `full` best; rows that score the same stay.
    fn sort_out(&mut self) {
        if self.full == 0 || self.rows.len() < self.full {
            return;
        }
        let (_, last, _) = self.rows.select_nth_unstable_by(self.full - 1, |a, b| b.0.total_cmp(&a.0));
        self.floor = self.floor.max(last.0);
        self.rows.retain(|(score, _)| *score >= self.floor);
    }

    /// Canonical scores and places of the best rows.
    pub(super) fn best(mut self) -> impl Iterator<Item = (f32, usize)> {
        self.sort_out();
        self.rows.into_iter().map(|(score, place)| (score, place as usize))
    }
}
