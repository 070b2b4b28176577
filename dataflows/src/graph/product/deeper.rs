//! A second look at a pair whose shadows may reach a floor: along more directions, in bytes.
//!
//! Of each row there are its scores with the directions after those of its shadow, in 255 steps of the row's own, and how long what all
//! of them leave is. They are read only for pairs that the product proposes, so they cost it nothing. See
//! [`bound`](super::bound), "A second look".

use super::batch::Hit;
use super::bound::{distance, norm, rounded_up};
use super::sketch::Seen;
use super::steps::{byte_scale, byte_step};

/// The further scores of rows, each in its place.
#[derive(Clone, Debug, Default)]
pub struct Deeper {
    /// Values a row.
    values: usize,
    steps: Vec<i8>,
    rows: Vec<Row>,
}

/// What is known of a row beside its steps.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// What a step is worth.
    scale: f32,
    /// How long the further scores are.
    length: f32,
    /// How far what is stored is from them.
    off: f32,
    /// How long what the shadow leaves is.
    left_first: f32,
    /// How long what all directions leave is.
    left: f32,
}

impl Deeper {
    /// Without rows; they will have `values` further scores.
    pub fn new(values: usize) -> Self {
        Deeper { values, steps: Vec::new(), rows: Vec::new() }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts a row at the end.
    pub fn push(&mut self, seen: &Seen<'_>) {
        let values = seen.further;
        assert_eq!(values.len(), self.values, "rows of one cell have one length");
        let scale = byte_scale(values);
        let first = self.steps.len();
        self.steps.extend(values.iter().map(|value| byte_step(*value, scale)));
        let stored = self.steps[first..].iter().map(|step| f64::from(scale) * f64::from(*step));
        let off = rounded_up(distance(values, stored));
        let length = rounded_up(norm(values));
        self.rows.push(Row { scale, length, off, left_first: seen.left_first, left: seen.left });
    }

    /// Takes a row out; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) {
        self.rows.swap_remove(at);
        let last = self.rows.len() * self.values;
        self.steps.copy_within(last.., at * self.values);
        self.steps.truncate(last);
    }

    /// For each of `hits`, whose late ones are the rows from place `first` on: puts what its canonical
    /// score is at least into `least`, and lowers its fast score to what that would be at most if it were as good as can be told from
    /// here. `errors`: how far the first can be above the canonical score, and how much the second is to be raised.
    pub fn sharpen(&self, first: usize, errors: (f64, f64), hits: &mut [Hit], least: &mut Vec<f32>) {
        let pairs = Pairs { first, of: self, errors };
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor was just seen to have AVX2.
            return unsafe { sharpen_avx2(&pairs, hits, least) };
        }
        pairs.sharpen(hits, least, dot);
    }
}

struct Pairs<'a> {
    first: usize,
    of: &'a Deeper,
    errors: (f64, f64),
}

impl Pairs<'_> {
    #[inline(always)]
    fn sharpen(&self, hits: &mut [Hit], least: &mut Vec<f32>, dot: impl Fn(&[i8], &[i8]) -> i32) {
        let values = self.of.values;
        for hit in hits {
            let late = self.first + hit.late;
            let (a, b) = (&self.of.rows[late], &self.of.rows[hit.row]);
            let of_late = &self.of.steps[late * values..(late + 1) * values];
            let of_row = &self.of.steps[hit.row * values..(hit.row + 1) * values];
            let single = f64::from;
            let along = single(a.scale) * single(b.scale) * f64::from(dot(of_late, of_row));
            let middle = single(hit.fast) + along - single(a.left_first) * single(b.left_first);
            let lost = single(a.length) * single(b.off) + single(a.off) * (single(b.length) + single(b.off));
            let around = lost + single(a.left) * single(b.left);
            // Rounded to f32: to the next value below or above. Nothing is known of what an infinite score stands for.
            let lower = ((middle - around - self.errors.0) as f32).next_down();
            least.push(if hit.fast.is_finite() { lower } else { f32::NEG_INFINITY });
            hit.fast = hit.fast.min(((middle + around + self.errors.1) as f32).next_up());
        }
    }
}

/// The sum of the products of two rows of steps.
#[inline(always)]
fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
}

/// The same, sixteen at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sharpen_avx2(pairs: &Pairs<'_>, hits: &mut [Hit], least: &mut Vec<f32>) {
    pairs.sharpen(hits, least, |a, b| dot_avx2(a, b));
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn dot_avx2(a: &[i8], b: &[i8]) -> i32 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_shuffle_epi32, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_madd_epi16,
        _mm256_setzero_si256,
    };
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sums = _mm256_setzero_si256();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        let wide = |block: &[i8; 16]| {
            // SAFETY: a register is 16 values of i8.
            _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(block.as_ptr().cast::<__m128i>()) })
        };
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(wide(x), wide(y)));
    }
    let four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
    let sum = _mm_cvtsi128_si32(one);
    if a_rest.is_empty() { sum } else { sum + dot(a_rest, b_rest) }
}
