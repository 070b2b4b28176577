//! A new query's best rows while it meets all rows, until its list is made of them.

/// The `full` best rows so far of a new query. Putting each row into the list that is among the best for a while would
/// cost more than choosing now and then, and so would scoring each: what is known to score at least so much raises the floor unscored, and what may
/// score enough waits until all rows were met.
#[derive(Debug)]
pub(super) struct Draft {
    full: usize,
    floor: f32,
    /// Canonical scores and places of rows that were scored, best first: the `full` best, and those that score as the last of them.
    scored: Vec<(f32, u32)>,
    /// The `full` largest scores that rows are known to reach, largest first.
    promised: Vec<f32>,
    /// Of the rows that wait: what the fast score may be at most, and the place.
    waiting: Vec<(f32, u32)>,
    waiting_limit: usize,
}

/// Rows wait in no fewer before they are sorted out.
const WAITING: usize = 256;

impl Draft {
    /// Of a query that rows scoring below `floor` need not be offered to.
    pub(super) fn new(full: usize, floor: f32) -> Self {
        Draft {
            full,
            floor,
            scored: Vec::with_capacity(full),
            promised: Vec::with_capacity(full),
            waiting: Vec::with_capacity(WAITING),
            waiting_limit: WAITING,
        }
    }

    /// A row scoring less is not among the best.
    pub(super) fn floor(&self) -> f32 {
        self.floor
    }

    /// Takes in a row that was scored.
    pub(super) fn push(&mut self, score: f32, place: u32) {
        if self.full == 0 || score < self.floor {
            return;
        }
        let at = self.scored.partition_point(|(better, _)| better.total_cmp(&score).is_ge());
        self.scored.insert(at, (score, place));
        if let Some((last, _)) = self.scored.get(self.full - 1).copied() {
            self.floor = self.floor.max(last);
            while self.scored.last().is_some_and(|(score, _)| *score < last) {
                self.scored.pop();
            }
        }
    }

    /// Hears of an eligible row, each once, that scores no less than `least`.
    pub(super) fn promise(&mut self, least: f32) {
        if self.full == 0 || least <= self.floor || least.is_nan() {
            return;
        }
        self.promised.truncate(self.full - 1);
        let at = self.promised.partition_point(|more| *more >= least);
        self.promised.insert(at, least);
        if let Some(last) = self.promised.get(self.full - 1) {
            self.floor = self.floor.max(*last);
        }
    }

    /// Has a row wait whose fast score may be as much as `most`; those whose may not be `least(floor)` need not wait longer.
    pub(super) fn wait(&mut self, most: f32, place: u32, least: impl Fn(f32) -> f32) {
        self.waiting.push((most, place));
        if self.waiting.len() >= self.waiting_limit {
            let least = least(self.floor);
            // What is undefined may be anything.
            self.waiting.retain(|(most, _)| *most >= least || most.is_nan());
            self.waiting_limit = (2 * self.waiting.len()).max(WAITING);
        }
    }

    /// Adds to `to` the rows that wait and may still be among the best, those first that may score most; as for [`Draft::wait`]. They wait no
    /// longer.
    pub(super) fn waiting(&mut self, least: impl Fn(f32) -> f32, to: &mut Vec<(f32, u32)>) {
        let least = least(self.floor);
        self.waiting.retain(|(most, _)| *most >= least || most.is_nan());
        self.waiting.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        to.append(&mut self.waiting);
    }

    /// Canonical scores and places of the best rows.
    pub(super) fn best(self) -> impl Iterator<Item = (f32, usize)> {
        self.scored.into_iter().map(|(score, place)| (score, place as usize))
    }
}
