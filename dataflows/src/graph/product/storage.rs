//! The setting that says how rows are kept for the product.

use serde::{Deserialize, Serialize};

use super::encoding::Encoding;

/// How rows are kept for the product. The lists are the same: what takes less memory proposes more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value, in steps of each row's own. Earlier versions' `f16` is read as this.
    #[serde(alias = "f16")]
    Words,
    /// Whole vectors a byte a value, in steps of each row's own; their projections 2 bytes.
    #[default]
    Bytes,
}

impl Storage {
    /// How whole vectors are kept.
    pub fn whole(self) -> Encoding {
        match self {
            Storage::F32 => Encoding::F32,
            Storage::Words => Encoding::Words,
            Storage::Bytes => Encoding::Bytes,
        }
    }

    /// How projections are kept: a byte's step is too coarse for them, as their first values are much larger than the others.
    pub fn projected(self) -> Encoding {
        match self {
            Storage::F32 => Encoding::F32,
            Storage::Words | Storage::Bytes => Encoding::Words,
        }
    }
}
