//! A proposer that multiplies whole vectors.

use super::bound::{Arithmetic, ErrorInputs, at_least, error};
use super::proposer::Proposer;
use crate::index::kernels::Encoding;
use crate::index::kernels::Kernel;
use crate::index::kernels::Panels;
use crate::index::kernels::norm::norm;
use crate::index::kernels::vector::Vector;
use crate::index::kernels::{Candidate, Limits, Queries};

/// Rows whose fast scores differ from the canonical ones by roundings alone, and by what their encoding loses.
#[derive(Debug)]
pub struct WholeVectors {
    kernel: Kernel,
    panels: Panels,
    inputs: ErrorInputs,
    error: f32,
}

impl WholeVectors {
    /// Without rows; they will have `d` values.
    pub fn new(d: usize, encoding: Encoding, kernel: Kernel) -> Self {
        let panels = Panels::new(d, encoding);
        WholeVectors { kernel, panels, inputs: ErrorInputs::default(), error: 0.0 }
    }
}

impl Proposer for WholeVectors {
    fn len(&self) -> usize {
        self.panels.len()
    }

    fn append(&mut self, vectors: &[&Vector], _: usize) {
        let before = self.inputs;
        for vector in vectors {
            let vector = vector.values();
            let norm = norm(&vector);
            self.inputs =
                self.inputs.and(ErrorInputs { norm, longest: norm, off: self.panels.push(&vector) });
        }
        if self.inputs != before {
            let by = Arithmetic::of(self.panels.encoding());
            self.error = error(&by, self.panels.d(), self.inputs.norm, self.inputs.off);
        }
    }

    fn swap_remove(&mut self, at: usize) {
        self.panels.swap_remove(at);
    }

    fn error(&self) -> f32 {
        self.error
    }

    fn values(&self) -> usize {
        self.panels.d()
    }

    fn together(&self) -> usize {
        Queries::together(&self.panels)
    }

    fn is_tight(&self) -> bool {
        true
    }

    fn queries(&self, some: &[(usize, Limits)]) -> Queries {
        Queries::new(&self.panels, self.kernel, some.iter().copied())
    }

    fn propose(
        &self,
        queries: &mut Queries,
        from: usize,
        thresholds: &[f32],
        candidates: &mut Vec<Candidate>,
    ) -> Option<usize> {
        queries.propose(&self.panels, from, thresholds, candidates)
    }

    fn rerank(&self, _: usize, candidates: &mut [Candidate]) {
        for candidate in candidates {
            candidate.least = at_least(candidate.most, self.error);
        }
    }
}
