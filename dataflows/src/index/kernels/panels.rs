//! Rows of one length, sixteen to a panel with their values interleaved: one step of the inner loop multiplies a lane of each of six
//! queries with a lane of each of sixteen rows.

use super::encoding::{Encoding, LANE};
use super::norm::distance;
use super::tile::{Lane, ROWS};

/// Rows of d values each, in an order of their own: a row's place changes only when another is taken out.
#[derive(Clone, Debug)]
pub struct Panels {
    d: usize,
    encoding: Encoding,
    len: usize,
    /// Of each panel what a step of each row is worth.
    scales: Vec<[f32; ROWS]>,
    lanes: Slabs<Lane>,
}

impl Panels {
    /// Without rows; they will have `d` values. More than 65,536 are always kept as they are.
    pub fn new(d: usize, encoding: Encoding) -> Self {
        let encoding = encoding.fitting(d);
        Panels { d, encoding, len: 0, scales: Vec::new(), lanes: Slabs::new(d.div_ceil(encoding.values())) }
    }

    /// The form in which values are kept.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Values a row (d).
    pub fn d(&self) -> usize {
        self.d
    }

    /// Lanes a row.
    pub(crate) fn lanes(&self) -> usize {
        self.d.div_ceil(self.encoding.values())
    }

    /// The lanes of a panel; none after the last.
    pub(crate) fn panel(&self, panel: usize) -> &[Lane] {
        self.lanes.panel(panel)
    }

    /// Returns what a step of each row of a panel is worth.
    pub(crate) fn scales(&self, panel: usize) -> &[f32; ROWS] {
        &self.scales[panel]
    }

    /// Puts `row` (d values) at the end. Returns how far what is stored is from it.
    pub fn push(&mut self, row: &[f32]) -> f64 {
        assert_eq!(row.len(), self.d, "rows of one cell have one length");
        let (panel, at, encoding) = (self.len / ROWS, self.len % ROWS, self.encoding);
        self.len += 1;
        if panel == self.lanes.len() {
            self.scales.push([0.0; ROWS]);
            self.lanes.push(Lane([[0; LANE]; ROWS]));
        }
        let scale = encoding.scale(row);
        self.scales[panel][at] = scale;
        let lanes = self.lanes.panel_mut(panel);
        for (lanes, values) in lanes.iter_mut().zip(row.chunks(encoding.values())) {
            lanes.0[at] = encoding.encode(values, scale);
        }
        if encoding == Encoding::F32 {
            return 0.0;
        }
        let stored = lanes.iter().flat_map(|lanes| {
            let steps = encoding.steps(lanes.0[at]).into_iter().take(encoding.values());
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

/// Bytes of a slab, if a panel is not larger: memory that no cache holds is read faster in long stretches than panel by panel. Few in tests.
const SLAB: usize = if cfg!(test) { 1024 } else { 64 * 1024 };

/// Panels of as many values each. Only the last slab ever moves, while it grows.
#[derive(Clone, Debug)]
struct Slabs<T> {
    /// Values of a panel.
    values: usize,
    /// Panels of a slab: a power of two.
    panels: usize,
    len: usize,
    slabs: Vec<Vec<T>>,
}

impl<T: Copy> Slabs<T> {
    /// Without panels; they will have `values` values.
    fn new(values: usize) -> Self {
        let panels = (SLAB / (values * size_of::<T>()).max(1)).max(1);
        Slabs { values, panels: 1 << panels.ilog2(), len: 0, slabs: Vec::new() }
    }

    /// Panels.
    fn len(&self) -> usize {
        self.len
    }

    /// Puts a panel of `value` at the end.
    fn push(&mut self, value: T) {
        let at = self.len % self.panels;
        if at == 0 {
            self.slabs.push(Vec::new());
        }
        self.len += 1;
        if let Some(slab) = self.slabs.last_mut() {
            if slab.len() == slab.capacity() {
                slab.reserve_exact((2 * at).clamp(1, self.panels) * self.values - slab.len());
            }
            slab.resize(slab.len() + self.values, value);
        }
    }

    /// Takes the last panel away.
    fn pop(&mut self) {
        self.len -= 1;
        let at = self.len % self.panels;
        match self.slabs.last_mut() {
            Some(slab) if at > 0 => slab.truncate(at * self.values),
            _ => drop(self.slabs.pop()),
        }
    }

    /// A panel; nothing after the last.
    fn panel(&self, panel: usize) -> &[T] {
        if panel >= self.len {
            return &[];
        }
        &self.slabs[panel / self.panels][panel % self.panels * self.values..][..self.values]
    }

    /// A panel, to change it.
    fn panel_mut(&mut self, panel: usize) -> &mut [T] {
        &mut self.slabs[panel / self.panels][panel % self.panels * self.values..][..self.values]
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn panels_are_those_that_were_put_there_and_lie_side_by_side() {
        let mut rng = Pcg64::seed_from_u64(1);
        for values in [0, 1, 3, 32, 100, 128, 500] {
            let (mut slabs, mut held) = (Slabs::new(values), Vec::new());
            for round in 0..2000u64 {
                // First more come than go, then more go.
                if held.is_empty() || rng.random_bool(if round < 1000 { 0.8 } else { 0.3 }) {
                    slabs.push(0);
                    held.push(vec![round; values]);
                    slabs.panel_mut(held.len() - 1).fill(round);
                } else {
                    slabs.pop();
                    held.pop();
                }
                assert_eq!(slabs.len(), held.len());
                assert!(slabs.panel(held.len()).is_empty(), "nothing after the last");
            }
            let panels: Vec<&[u64]> = (0..held.len()).map(|at| slabs.panel(at)).collect();
            assert_eq!(panels, held);
            let apart = panels.windows(2).filter(|two| two[0].as_ptr_range().end != two[1].as_ptr());
            assert!(apart.count() <= held.len() * values * size_of::<u64>() / (SLAB / 2).max(1), "{values}");
        }
    }
}
