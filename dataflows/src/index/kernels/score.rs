//! The canonical score: the one number that orders neighbours, the same on every machine.

use std::cmp::Ordering;

use half::f16;
use serde::{Deserialize, Serialize};

/// Sums are kept in this many lanes and added up in a fixed order, so that the result does not depend on the
/// processor's vector width.
const LANES: usize = 16;

/// A canonical score (cosine of unit vectors). Its order puts the nearer (larger) first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Score(pub f32);

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Score {}

impl std::hash::Hash for Score {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// A value of a vector that is scored: a single or a half, which is the single of its value.
pub trait Value: Copy {
    /// A block's values.
    fn singles(block: &[Self; LANES]) -> [f32; LANES];

    /// [`Value::singles`] in the registers of AVX2.
    ///
    /// # Safety
    /// The processor must have AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn halves(block: &[Self; LANES]) -> [std::arch::x86_64::__m256; 2];

    /// [`Value::singles`] in a register of AVX-512.
    ///
    /// # Safety
    /// The processor must have AVX-512F.
    #[cfg(target_arch = "x86_64")]
    unsafe fn wide(block: &[Self; LANES]) -> std::arch::x86_64::__m512;
}

/// The canonical score of two vectors of one length: their dot product, summed in a fixed order. Symmetric to the bit.
///
/// ```
/// use kinetograph_dataflows::index::kernels::score::score;
/// assert_eq!(score(&[0.6, 0.8], &[1.0, 0.0]).0, 0.6);
/// ```
pub fn score<V: Value>(a: &[f32], b: &[V]) -> Score {
    debug_assert_eq!(a.len(), b.len(), "vectors of one space have one length");
    let d = a.len().min(b.len());
    let mut out = [0.0];
    scores(&a[..d], &b[..d], &mut out);
    Score(out[0])
}

/// The canonical scores of one vector (d values) against each row of `rows` (n x d, row-major) into `out` (n): to the
/// bit what [`score`] gives for each, faster.
pub fn scores<V: Value>(a: &[f32], rows: &[V], out: &mut [f32]) {
    let d = a.len();
    scores_by(a, |at| &rows[at * d..(at + 1) * d], out);
}

/// [`scores`] of `rows` (n of d values each) wherever they are.
pub fn scores_of<V: Value>(a: &[f32], rows: &[&[V]], out: &mut [f32]) {
    scores_by(a, |at| rows[at], out);
}

fn scores_by<'a, V: Value + 'a>(a: &[f32], row: impl Fn(usize) -> &'a [V], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor was just seen to have AVX-512F.
            return unsafe { wide::scores_avx512(a, row, out) };
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("f16c") {
            // SAFETY: the processor was just seen to have AVX2 and F16C.
            return unsafe { wide::scores_avx2(a, row, out) };
        }
    }
    scores_with(a, row, out, portable::<4, V>, portable::<1, V>);
}

/// Asks for what is soon read to be brought near.
pub(crate) fn near<T>(soon: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..size_of_val(soon)).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, whatever the address; every x86-64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(soon.as_ptr().cast::<i8>().wrapping_add(at)) };
    }
}

/// Whole blocks of a vector.
type Blocks<'a, V> = &'a [[V; LANES]];

/// [`scores`] with `four` and `one` to sum whole blocks of a vector against those of four rows and of one.
#[inline(always)]
fn scores_with<'a, V: Value + 'a>(
    a: &[f32],
    row: impl Fn(usize) -> &'a [V],
    out: &mut [f32],
    four: impl Fn(Blocks<'_, f32>, [Blocks<'_, V>; 4]) -> [[f32; LANES]; 4],
    one: impl Fn(Blocks<'_, f32>, [Blocks<'_, V>; 1]) -> [[f32; LANES]; 1],
) {
    if a.is_empty() {
        return out.fill(0.0);
    }
    let (blocks, rest) = a.as_chunks::<LANES>();
    let (fours, ones) = out.as_chunks_mut::<4>();
    let first = 4 * fours.len();
    for (at, out) in fours.iter_mut().enumerate() {
        let rows: [&[V]; 4] = std::array::from_fn(|r| row(4 * at + r));
        let lanes = four(blocks, rows.map(|row| row.as_chunks().0));
        *out = std::array::from_fn(|r| total(lanes[r], rest, rows[r]));
    }
    for (at, out) in ones.iter_mut().enumerate() {
        let row = row(first + at);
        let [lanes] = one(blocks, [row.as_chunks().0]);
        *out = total(lanes, rest, row);
    }
}

/// The end of the canonical sum: the values after the last whole block join their lanes, then lanes are added up in
/// halves.
#[inline(always)]
fn total<V: Value>(mut lanes: [f32; LANES], a_rest: &[f32], b: &[V]) -> f32 {
    if !a_rest.is_empty() {
        lanes = with_rest(lanes, a_rest, b.as_chunks::<LANES>().1);
    }
    let eight: [f32; 8] = std::array::from_fn(|i| lanes[i] + lanes[i + 8]);
    let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
    // -0.0 and 0.0 order apart under total_cmp; adding 0.0 makes them one
    (four[0] + four[2]) + (four[1] + four[3]) + 0.0
}

#[inline(never)]
fn with_rest<V: Value>(mut lanes: [f32; LANES], a_rest: &[f32], b_rest: &[V]) -> [f32; LANES] {
    for (lane, (x, y)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        let [y, ..] = V::singles(&[*y; LANES]);
        *lane += x * y;
    }
    lanes
}

/// The lanes of `a` against each of `R` rows: value i of every block goes to lane i.
#[inline(always)]
fn portable<const R: usize, V: Value>(a: Blocks<'_, f32>, rows: [Blocks<'_, V>; R]) -> [[f32; LANES]; R] {
    rows.map(|row| {
        let mut lanes = [0.0f32; LANES];
        for (x, y) in a.iter().zip(row) {
            let y = V::singles(y);
            for lane in 0..LANES {
                lanes[lane] += x[lane] * y[lane];
            }
        }
        lanes
    })
}

impl Value for f32 {
    #[inline(always)]
    fn singles(block: &[f32; LANES]) -> [f32; LANES] {
        *block
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn halves(block: &[f32; LANES]) -> [std::arch::x86_64::__m256; 2] {
        // SAFETY: two registers are 16 values of f32, and any bits are a value of either type.
        unsafe { std::mem::transmute::<[f32; LANES], [std::arch::x86_64::__m256; 2]>(*block) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn wide(block: &[f32; LANES]) -> std::arch::x86_64::__m512 {
        // SAFETY: a register is 16 values of f32, and any bits are a value of either type.
        unsafe { std::mem::transmute::<[f32; LANES], std::arch::x86_64::__m512>(*block) }
    }
}

impl Value for f16 {
    #[inline(always)]
    fn singles(block: &[f16; LANES]) -> [f32; LANES] {
        block.map(f16::to_f32)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn halves(block: &[f16; LANES]) -> [std::arch::x86_64::__m256; 2] {
        // SAFETY: two registers of 8 halves are 16 values of f16, and any bits are a value of either type.
        let packed = unsafe { std::mem::transmute::<[f16; LANES], [std::arch::x86_64::__m128i; 2]>(*block) };
        packed.map(|half| std::arch::x86_64::_mm256_cvtph_ps(half))
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn wide(block: &[f16; LANES]) -> std::arch::x86_64::__m512 {
        // SAFETY: a register is 16 values of f16, and any bits are a value of either type.
        std::arch::x86_64::_mm512_cvtph_ps(unsafe {
            std::mem::transmute::<[f16; LANES], std::arch::x86_64::__m256i>(*block)
        })
    }
}

/// [`portable`] with the registers of newer processors, which the compiler does not find by itself. The same products
/// and the same sums in the same order, none fused: the same bits.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_add_ps, _mm256_mul_ps, _mm256_setzero_ps, _mm512_add_ps, _mm512_mul_ps,
        _mm512_setzero_ps,
    };
    use std::mem::transmute;

    use crate::index::kernels::score::{Blocks, LANES, Value, scores_with};

    #[target_feature(enable = "avx512f")]
    pub(super) fn scores_avx512<'a, V: Value + 'a>(
        a: &[f32],
        row: impl Fn(usize) -> &'a [V],
        out: &mut [f32],
    ) {
        scores_with(a, row, out, |a, r| four_avx512(a, r), |a, r| one_avx512(a, r));
    }

    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn scores_avx2<'a, V: Value + 'a>(a: &[f32], row: impl Fn(usize) -> &'a [V], out: &mut [f32]) {
        scores_with(a, row, out, |a, r| four_avx2(a, r), |a, r| one_avx2(a, r));
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn four_avx512<V: Value>(a: Blocks<'_, f32>, [r0, r1, r2, r3]: [Blocks<'_, V>; 4]) -> [[f32; LANES]; 4] {
        let [mut s0, mut s1, mut s2, mut s3] = [_mm512_setzero_ps(); 4];
        for ((((x, y0), y1), y2), y3) in a.iter().zip(r0).zip(r1).zip(r2).zip(r3) {
            let x = wide(x);
            s0 = _mm512_add_ps(s0, _mm512_mul_ps(x, wide(y0)));
            s1 = _mm512_add_ps(s1, _mm512_mul_ps(x, wide(y1)));
            s2 = _mm512_add_ps(s2, _mm512_mul_ps(x, wide(y2)));
            s3 = _mm512_add_ps(s3, _mm512_mul_ps(x, wide(y3)));
        }
        [narrow(s0), narrow(s1), narrow(s2), narrow(s3)]
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn one_avx512<V: Value>(a: Blocks<'_, f32>, [row]: [Blocks<'_, V>; 1]) -> [[f32; LANES]; 1] {
        let mut sum = _mm512_setzero_ps();
        for (x, y) in a.iter().zip(row) {
            sum = _mm512_add_ps(sum, _mm512_mul_ps(wide(x), wide(y)));
        }
        [narrow(sum)]
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    fn four_avx2<V: Value>(a: Blocks<'_, f32>, [r0, r1, r2, r3]: [Blocks<'_, V>; 4]) -> [[f32; LANES]; 4] {
        let [mut s0, mut s1, mut s2, mut s3] = [[_mm256_setzero_ps(); 2]; 4];
        for ((((x, y0), y1), y2), y3) in a.iter().zip(r0).zip(r1).zip(r2).zip(r3) {
            let x = halves(x);
            s0 = add_product(s0, x, halves(y0));
            s1 = add_product(s1, x, halves(y1));
            s2 = add_product(s2, x, halves(y2));
            s3 = add_product(s3, x, halves(y3));
        }
        [join(s0), join(s1), join(s2), join(s3)]
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    fn one_avx2<V: Value>(a: Blocks<'_, f32>, [row]: [Blocks<'_, V>; 1]) -> [[f32; LANES]; 1] {
        let mut sum = [_mm256_setzero_ps(); 2];
        for (x, y) in a.iter().zip(row) {
            sum = add_product(sum, halves(x), halves(y));
        }
        [join(sum)]
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    fn add_product(sum: [__m256; 2], x: [__m256; 2], y: [__m256; 2]) -> [__m256; 2] {
        [_mm256_add_ps(sum[0], _mm256_mul_ps(x[0], y[0])), _mm256_add_ps(sum[1], _mm256_mul_ps(x[1], y[1]))]
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn wide<V: Value>(block: &[V; LANES]) -> __m512 {
        // SAFETY: whoever calls this has AVX-512F.
        unsafe { V::wide(block) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn narrow(sum: __m512) -> [f32; LANES] {
        // SAFETY: a register is 16 values of f32, and any bits are a value of either type.
        unsafe { transmute::<__m512, [f32; LANES]>(sum) }
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    fn halves<V: Value>(block: &[V; LANES]) -> [__m256; 2] {
        // SAFETY: whoever calls this has AVX2 and F16C.
        unsafe { V::halves(block) }
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    fn join(sum: [__m256; 2]) -> [f32; LANES] {
        // SAFETY: two registers are 16 values of f32, and any bits are a value of either type.
        unsafe { transmute::<[__m256; 2], [f32; LANES]>(sum) }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn random(n: usize, rng: &mut Pcg64) -> Vec<f32> {
        (0..n).map(|_| rng.random::<f32>() - 0.5).collect()
    }

    #[test]
    fn many_scores_at_once_are_to_the_bit_the_single_ones() {
        let mut rng = Pcg64::seed_from_u64(5);
        for (n, d) in [(1, 3), (4, 16), (7, 40), (9, 512), (0, 8), (3, 0)] {
            let (a, rows) = (random(d, &mut rng), random(n * d, &mut rng));
            let (mut fast, mut plain) = (vec![1.0; n], vec![2.0; n]);
            scores(&a, &rows, &mut fast);
            let row = |at: usize| &rows[at * d..(at + 1) * d];
            scores_with(&a, row, &mut plain, portable::<4, f32>, portable::<1, f32>);
            let (mut apart, rows_apart) = (vec![3.0; n], (0..n).map(row).collect::<Vec<_>>());
            scores_of(&a, &rows_apart, &mut apart);
            assert_eq!(
                fast.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                apart.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            );
            for i in 0..n {
                let row = &rows[i * d..(i + 1) * d];
                assert_eq!(Score(fast[i]), score(&a, row), "row {i} of {n}, d {d}");
                assert_eq!(Score(plain[i]), score(row, &a), "row {i} of {n}, d {d}");
            }
        }
    }
}
