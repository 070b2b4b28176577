//! SGD with momentum and weight decay, by torch's rule, with a state that can be saved.

use tch::{TchError, Tensor};

/// The optimizer. For each weight w with gradient g: g' = g + decay w; b = momentum b + g' (b = g' at first);
/// w = w - lr b.
pub struct Sgd {
    lr: f64,
    momentum: f64,
    weight_decay: f64,
    buffers: Vec<Option<Tensor>>,
}

impl Sgd {
    /// A fresh optimizer of `weights` tensors.
    pub fn new(weights: usize, lr: f64, momentum: f64, weight_decay: f64) -> Self {
        Sgd { lr, momentum, weight_decay, buffers: (0..weights).map(|_| None).collect() }
    }

    /// One step along the weights' gradients, which are cleared. A weight without gradient is left alone.
    ///
    /// # Errors
    /// libtorch's error.
    pub fn step(&mut self, weights: &[&Tensor]) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        for (weight, buffer) in weights.iter().zip(&mut self.buffers) {
            let mut gradient = weight.f_grad()?;
            if !gradient.defined() {
                continue;
            }
            let mut weight = weight.shallow_clone();
            let mut step = gradient.f_add(&weight.f_mul_scalar(self.weight_decay)?)?;
            if self.momentum != 0.0 {
                match buffer {
                    Some(buffer) => {
                        let _ = buffer.f_mul_scalar_(self.momentum)?.f_add_(&step)?;
                    }
                    None => *buffer = Some(step.copy()),
                }
                if let Some(buffer) = buffer {
                    step = buffer.shallow_clone();
                }
            }
            let _ = weight.f_sub_(&step.f_mul_scalar(self.lr)?)?;
            let _ = gradient.f_zero_()?;
        }
        Ok(())
    }

    /// The momentum buffers, one a weight, in the order of the weights; `None` before the weight's first step.
    pub fn buffers(&self) -> &[Option<Tensor>] {
        &self.buffers
    }

    /// Takes over saved momentum buffers.
    pub fn restore(&mut self, buffers: Vec<Option<Tensor>>) {
        self.buffers = buffers;
    }
}
