//! Vectors of another embedder, rounded to half precision.

use std::sync::Arc;

use half::f16;

use super::embedder::{EmbedError, Embedder};
use crate::index::kernels::vector::Precision;

/// Gives what another embedder gives, each value rounded to the nearest half. A space of its own.
pub struct Halves(pub Arc<dyn Embedder>);

impl Embedder for Halves {
    fn space(&self) -> String {
        format!("{}, f16", self.0.space())
    }

    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn precision(&self) -> Precision {
        Precision::F16
    }

    fn embed(&self, crops: &[&[u8]]) -> Result<Vec<f32>, EmbedError> {
        let mut values = self.0.embed(crops)?;
        values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
        Ok(values)
    }
}
