//! Which kernel multiplies, and where.

use serde::{Deserialize, Serialize};

use super::bound::Arithmetic;

/// Which kernel multiplies. The lists are the same with either. Written `own` or `torch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelKind {
    /// Ours, on the processor.
    #[default]
    Own,
    /// libtorch's, on a device that is no part of the setting: it is the run's.
    Torch(#[serde(skip)] Device),
}

/// Where libtorch multiplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The N-th CUDA device.
    Cuda(usize),
}

/// A kernel that this program was built without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the kernel \"torch\" needs libtorch, which this program was built without: build it with the feature `train`, or take \
     the kernel \"own\", whose lists are the same"
)]
pub struct NotBuilt;

impl KernelKind {
    /// Whether this program has it. Where it has not, our own kernel is taken, to the same effect.
    ///
    /// # Errors
    /// [`NotBuilt`].
    pub fn check(self) -> Result<(), NotBuilt> {
        match self {
            KernelKind::Own => Ok(()),
            KernelKind::Torch(_) if cfg!(feature = "torch") => Ok(()),
            KernelKind::Torch(_) => Err(NotBuilt),
        }
    }

    /// Every one that can be used here.
    #[cfg(test)]
    pub(crate) fn all_here() -> Vec<Self> {
        let torch = [
            #[cfg(feature = "torch")]
            KernelKind::Torch(Device::Cpu),
            #[cfg(feature = "torch")]
            KernelKind::Torch(Device::Cuda(0)),
        ];
        #[cfg(feature = "torch")]
        let torch = torch.into_iter().filter(|kind| match kind {
            KernelKind::Torch(Device::Cuda(_)) => tch::Cuda::is_available(),
            _ => true,
        });
        std::iter::once(KernelKind::Own).chain(torch).collect()
    }

    /// What its fast scores are within the bound of.
    pub fn arithmetic(self) -> Arithmetic {
        match self {
            KernelKind::Own => Arithmetic::IEEE,
            KernelKind::Torch(Device::Cpu) => Arithmetic::NORMAL,
            KernelKind::Torch(Device::Cuda(_)) => Arithmetic::TENSOR_CORES,
        }
    }
}
