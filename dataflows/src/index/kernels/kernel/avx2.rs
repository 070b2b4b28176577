//! The inner loop with AVX2 and FMA.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _CMP_NLT_UQ, _MM_HINT_T1, _mm_cvtepi8_epi16, _mm_cvtsi32_si128,
    _mm_loadu_si128, _mm_prefetch, _mm256_add_epi32, _mm256_broadcastq_epi64, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi16, _mm256_fmadd_ps,
    _mm256_hadd_epi32, _mm256_madd_epi16, _mm256_min_ps, _mm256_movemask_ps, _mm256_mul_ps,
    _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256, _mm256_sub_epi32,
};
use std::mem::transmute;

use crate::index::kernels::encoding::{Encoding, LANE};
use crate::index::kernels::tile::{Epilogue, Lane, QUERIES, ROWS, Stretch, Sums, Tile};

/// Queries whose sums of bytes fit into the registers.
const OF_BYTES: usize = 3;

#[target_feature(enable = "avx2,fma")]
pub(super) fn add(stretch: &Stretch<'_>, sums: &mut Sums) {
    near(stretch.next);
    match stretch.count {
        0..=2 => store(all::<2>(stretch, sums), sums),
        3..=4 => store(all::<4>(stretch, sums), sums),
        _ => store(all::<QUERIES>(stretch, sums), sums),
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn reached(
    stretch: &Stretch<'_>,
    sums: &Sums,
    epilogue: &Epilogue<'_>,
    tile: &mut Tile,
) -> [u16; QUERIES] {
    near(stretch.next);
    match stretch.count {
        0..=2 => compared(stretch.encoding, all::<2>(stretch, sums), epilogue, tile),
        3..=4 => compared(stretch.encoding, all::<4>(stretch, sums), epilogue, tile),
        _ => compared(stretch.encoding, all::<QUERIES>(stretch, sums), epilogue, tile),
    }
}

/// The sums of the first `N` queries, with what is in `sums`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn all<const N: usize>(stretch: &Stretch<'_>, sums: &Sums) -> [[__m256i; 2]; N] {
    let mut before = [[_mm256_setzero_si256(); 2]; N];
    if !stretch.first {
        for (before, sums) in before.iter_mut().zip(sums) {
            // SAFETY: two registers are 16 values of i32, and any bits are one.
            *before = unsafe { transmute::<[i32; ROWS], [__m256i; 2]>(*sums) };
        }
    }
    match stretch.encoding {
        Encoding::F32 => floats(stretch, before),
        Encoding::Words => words(stretch, before),
        Encoding::Bytes => bytes(stretch, before),
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn floats<const N: usize>(stretch: &Stretch<'_>, before: [[__m256i; 2]; N]) -> [[__m256i; 2]; N] {
    let mut all = before.map(|two| two.map(|sums| _mm256_castsi256_ps(sums)));
    for (lanes, values) in stretch.panel.iter().zip(stretch.values) {
        let [left, right] = halves(lanes).map(|half| _mm256_castsi256_ps(half));
        for query in 0..N {
            let value = _mm256_castsi256_ps(_mm256_set1_epi32(values[query]));
            all[query][0] = _mm256_fmadd_ps(value, left, all[query][0]);
            all[query][1] = _mm256_fmadd_ps(value, right, all[query][1]);
        }
    }
    all.map(|two| two.map(|sums| _mm256_castps_si256(sums)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn words<const N: usize>(stretch: &Stretch<'_>, mut all: [[__m256i; 2]; N]) -> [[__m256i; 2]; N] {
    for (lanes, values) in stretch.panel.iter().zip(stretch.values) {
        let [left, right] = halves(lanes);
        for query in 0..N {
            let value = _mm256_set1_epi32(values[query]);
            all[query][0] = _mm256_add_epi32(all[query][0], _mm256_madd_epi16(left, value));
            all[query][1] = _mm256_add_epi32(all[query][1], _mm256_madd_epi16(right, value));
        }
    }
    all
}

/// Bytes are made words first.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn bytes<const N: usize>(stretch: &Stretch<'_>, before: [[__m256i; 2]; N]) -> [[__m256i; 2]; N] {
    let mut out = before;
    for first in (0..N).step_by(OF_BYTES) {
        // For each query and each four rows, two sums a row: products of 16 bits are added in pairs.
        let mut all = [[_mm256_setzero_si256(); ROWS / LANE]; OF_BYTES];
        let count = OF_BYTES.min(N - first);
        for (lanes, values) in stretch.panel.iter().zip(stretch.values) {
            let (fours, _) = lanes.0.as_chunks::<LANE>();
            let rows: [__m256i; ROWS / LANE] = std::array::from_fn(|four| {
                // SAFETY: a register is four values of four rows.
                let bytes = unsafe { _mm_loadu_si128(fours[four].as_ptr().cast::<__m128i>()) };
                _mm256_cvtepu8_epi16(bytes)
            });
            for (all, value) in all.iter_mut().zip(&values[first..first + count]) {
                let value = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(*value)));
                for (sum, rows) in all.iter_mut().zip(rows) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(rows, value));
                }
            }
        }
        for (out, [a, b, c, d]) in out[first..].iter_mut().zip(all) {
            let joined = |x, y| _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(x, y));
            out[0] = _mm256_add_epi32(out[0], joined(a, b));
            out[1] = _mm256_add_epi32(out[1], joined(c, d));
        }
    }
    out
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store<const N: usize>(all: [[__m256i; 2]; N], sums: &mut Sums) {
    for (two, sums) in all.into_iter().zip(sums) {
        // SAFETY: two registers are 16 values of i32, and any bits are one.
        *sums = unsafe { transmute::<[__m256i; 2], [i32; ROWS]>(two) };
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn compared<const N: usize>(
    encoding: Encoding,
    all: [[__m256i; 2]; N],
    epilogue: &Epilogue<'_>,
    tile: &mut Tile,
) -> [u16; QUERIES] {
    let (row_scales, thresholds) = (singles(epilogue.row_scales), singles(epilogue.thresholds));
    let mut reached = [0; QUERIES];
    for query in 0..N {
        let own = _mm256_set1_ps(epilogue.own[query]);
        let zero = _mm256_set1_epi32(epilogue.zeros[query]);
        let scale = _mm256_set1_ps(epilogue.scales[query]);
        let scores: [__m256; 2] = std::array::from_fn(|half| match encoding {
            Encoding::F32 => _mm256_castsi256_ps(all[query][half]),
            _ => {
                let sums = _mm256_cvtepi32_ps(_mm256_sub_epi32(all[query][half], zero));
                _mm256_mul_ps(sums, _mm256_mul_ps(scale, row_scales[half]))
            }
        });
        let half = |at: usize| {
            // "Not less than" holds for an undefined score, too.
            let not_below = _mm256_cmp_ps::<_CMP_NLT_UQ>(scores[at], _mm256_min_ps(thresholds[at], own));
            _mm256_movemask_ps(not_below) as u16
        };
        reached[query] = half(0) | half(1) << 8;
        if reached[query] != 0 {
            // SAFETY: two registers are 16 values of f32, and any bits are one.
            tile[query] = unsafe { transmute::<[__m256; 2], [f32; ROWS]>(scores) };
        }
    }
    reached
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn halves(lanes: &Lane) -> [__m256i; 2] {
    // SAFETY: two registers are the 64 bytes of all lanes, and any bits are a value of either type.
    unsafe { transmute::<[[u8; LANE]; ROWS], [__m256i; 2]>(lanes.0) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn singles(values: &[f32; ROWS]) -> [__m256; 2] {
    // SAFETY: two registers are 16 values of f32, and any bits are a value of either type.
    unsafe { transmute::<[f32; ROWS], [__m256; 2]>(*values) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn near(next: &[Lane]) {
    for lanes in next {
        _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(lanes).cast());
    }
}
