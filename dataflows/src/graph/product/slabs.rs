//! Panels side by side, some dozens of kilobytes at a stretch.

/// Bytes of a slab, if a panel is not larger: memory that no cache holds is read faster in long stretches than panel by panel. Few in tests.
const SLAB: usize = if cfg!(test) { 1024 } else { 64 * 1024 };

/// Panels of as many values each. Only the last slab ever moves, while it grows.
#[derive(Clone, Debug)]
pub(super) struct Slabs<T> {
    /// Values of a panel.
    values: usize,
    /// Panels of a slab: a power of two.
    panels: usize,
    len: usize,
    slabs: Vec<Vec<T>>,
}

impl<T: Copy> Slabs<T> {
    /// Without panels; they will have `values` values.
    pub(super) fn new(values: usize) -> Self {
        let panels = (SLAB / (values * size_of::<T>()).max(1)).max(1);
        Slabs { values, panels: 1 << panels.ilog2(), len: 0, slabs: Vec::new() }
    }

    /// Panels.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a panel of `value` at the end.
    pub(super) fn push(&mut self, value: T) {
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
    pub(super) fn pop(&mut self) {
        self.len -= 1;
        let at = self.len % self.panels;
        match self.slabs.last_mut() {
            Some(slab) if at > 0 => slab.truncate(at * self.values),
            _ => drop(self.slabs.pop()),
        }
    }

    /// A panel; nothing after the last.
    pub(super) fn panel(&self, panel: usize) -> &[T] {
        if panel >= self.len {
            return &[];
        }
        &self.slabs[panel / self.panels][panel % self.panels * self.values..][..self.values]
    }

    /// A panel, to change it.
    pub(super) fn panel_mut(&mut self, panel: usize) -> &mut [T] {
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
