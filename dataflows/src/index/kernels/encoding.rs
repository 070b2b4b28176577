//! Scalar quantization: the values of a vector as they are, or as whole numbers of steps of the vector's own, in words of 16 bits or in
//! bytes.
//!
//! A byte is a quarter of the memory that a product has to read, a word half of it, and many processors multiply and add two words in the
//! time of one single, newer ones four bytes. Sums of whole numbers are exact; what rounding to steps loses is measured when a row is stored.

use super::norm::norm;

/// Bytes of a row that are multiplied and added at once.
pub(crate) const LANE: usize = 4;
/// The largest step of bytes.
const BYTES: f32 = 127.0;
/// The byte of a row that stands for 0: processors want the bytes of one side without a sign.
pub(crate) const ZERO: u8 = 128;
/// The length of a vector in steps of words.
const WORDS: f64 = 32_000.0;
/// More values than this could add up to more than an `i32` holds.
const LONGEST: usize = 65_536;

/// The form in which a row's values are kept for the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Values as they are, 4 bytes each.
    F32,
    /// Steps of which a vector is at most 32,000 long, so that no sum of products outgrows 32 bits: 2 bytes each.
    Words,
    /// 255 steps, the largest value 127 of them: a byte each.
    Bytes,
}

impl Encoding {
    /// This encoding, unless sums over `d` values would outgrow it.
    pub(crate) fn fitting(self, d: usize) -> Self {
        if d <= LONGEST { self } else { Encoding::F32 }
    }

    /// Values of a row that are multiplied and added at once.
    pub(crate) fn values(self) -> usize {
        match self {
            Encoding::F32 => 1,
            Encoding::Words => 2,
            Encoding::Bytes => 4,
        }
    }

    /// Returns what a step of `row` is worth.
    pub(crate) fn scale(self, row: &[f32]) -> f32 {
        match self {
            Encoding::F32 => 1.0,
            Encoding::Words => normal((norm(row) / WORDS) as f32),
            Encoding::Bytes => byte_scale(row),
        }
    }

    /// The bytes of some of a row's values, as rows have them; what is left over is zero.
    pub(crate) fn encode(self, values: &[f32], scale: f32) -> [u8; LANE] {
        let at = |at: usize| values.get(at).map_or(0.0, |value| *value);
        match self {
            Encoding::F32 => at(0).to_le_bytes(),
            Encoding::Words => {
                let [left, right] = [0, 1].map(|i| word_step(at(i), scale).to_le_bytes());
                [left[0], left[1], right[0], right[1]]
            }
            Encoding::Bytes => std::array::from_fn(|i| ZERO.wrapping_add_signed(byte_step(at(i), scale))),
        }
    }

    /// The steps that [`Encoding::encode`] made; for values as they are, none.
    pub(crate) fn steps(self, lane: [u8; LANE]) -> [i16; LANE] {
        match self {
            Encoding::F32 => [0; LANE],
            Encoding::Words => {
                [i16::from_le_bytes([lane[0], lane[1]]), i16::from_le_bytes([lane[2], lane[3]]), 0, 0]
            }
            Encoding::Bytes => lane.map(|byte| i16::from(byte) - i16::from(ZERO)),
        }
    }
}

/// A scale that is not rounded coarsely, else 0: steps are then worth nothing, and there are none.
fn normal(scale: f32) -> f32 {
    if scale.is_normal() { scale } else { 0.0 }
}

/// Returns what a step of `row` is worth in bytes.
pub(crate) fn byte_scale(row: &[f32]) -> f32 {
    normal(row.iter().fold(0.0f32, |most, value| most.max(value.abs())) / BYTES)
}

/// The step nearest to `value` in bytes; 0 where steps are worth nothing.
pub(crate) fn byte_step(value: f32, scale: f32) -> i8 {
    if scale == 0.0 { 0 } else { (value / scale).round().clamp(-BYTES, BYTES) as i8 }
}

/// The step nearest to `value` in words; 0 where steps are worth nothing.
fn word_step(value: f32, scale: f32) -> i16 {
    if scale == 0.0 { 0 } else { (value / scale).round().clamp(-WORDS as f32, WORDS as f32) as i16 }
}
