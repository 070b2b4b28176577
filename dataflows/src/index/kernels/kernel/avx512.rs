//! The inner loop with AVX-512 and its VNNI, which multiplies 64 bytes or 32 words and adds them to sums of 32 bits.

use std::arch::x86_64::{
    __m512i, _CMP_NLT_UQ, _MM_HINT_T1, _mm_prefetch, _mm512_add_epi32, _mm512_add_ps, _mm512_castps_si512,
    _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_dpwssd_epi32,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_min_ps, _mm512_mul_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_si512, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_epi32,
};

use crate::index::kernels::encoding::Encoding;
use crate::index::kernels::tile::{Epilogue, Lane, QUERIES, ROWS, Stretch, Sums, Tile};

#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) fn add(stretch: &Stretch<'_>, sums: &mut Sums) {
    near(stretch.next);
    match stretch.count {
        0..=2 => store(all::<2>(stretch, sums), sums),
        3..=4 => store(all::<4>(stretch, sums), sums),
        _ => store(all::<QUERIES>(stretch, sums), sums),
    }
}

#[target_feature(enable = "avx512f,avx512vnni")]
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
#[target_feature(enable = "avx512f,avx512vnni")]
fn all<const N: usize>(stretch: &Stretch<'_>, sums: &Sums) -> [__m512i; N] {
    let float = |bits| _mm512_castsi512_ps(bits);
    let steps = |x, y| _mm512_add_epi32(x, y);
    match stretch.encoding {
        Encoding::F32 => products(
            stretch,
            sums,
            |sum, rows, value| _mm512_castps_si512(_mm512_fmadd_ps(float(value), float(rows), float(sum))),
            |x, y| _mm512_castps_si512(_mm512_add_ps(float(x), float(y))),
        ),
        Encoding::Words => {
            products(stretch, sums, |sum, rows, value| _mm512_dpwssd_epi32(sum, rows, value), steps)
        }
        Encoding::Bytes => {
            products(stretch, sums, |sum, rows, value| _mm512_dpbusd_epi32(sum, rows, value), steps)
        }
    }
}

/// Lanes take turns between two sums each, so that few queries do not wait for one another.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn products<const N: usize>(
    stretch: &Stretch<'_>,
    sums: &Sums,
    add: impl Fn(__m512i, __m512i, __m512i) -> __m512i,
    join: impl Fn(__m512i, __m512i) -> __m512i,
) -> [__m512i; N] {
    // SAFETY: a register is the 64 bytes of all lanes.
    let load = |lanes: &Lane| unsafe { _mm512_loadu_si512(std::ptr::from_ref(lanes).cast()) };
    let (mut all, mut odd) = ([_mm512_setzero_si512(); N], [_mm512_setzero_si512(); N]);
    if !stretch.first {
        for (all, sums) in all.iter_mut().zip(sums) {
            // SAFETY: a register is 16 values of i32.
            *all = unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) };
        }
    }
    let ((twos, last), (of_twos, of_last)) =
        (stretch.panel.as_chunks::<2>(), stretch.values.as_chunks::<2>());
    for (lanes, values) in twos.iter().zip(of_twos) {
        let [first, second] = [load(&lanes[0]), load(&lanes[1])];
        for query in 0..N {
            all[query] = add(all[query], first, _mm512_set1_epi32(values[0][query]));
            odd[query] = add(odd[query], second, _mm512_set1_epi32(values[1][query]));
        }
    }
    for (lanes, values) in last.iter().zip(of_last) {
        let rows = load(lanes);
        for query in 0..N {
            all[query] = add(all[query], rows, _mm512_set1_epi32(values[query]));
        }
    }
    for query in 0..N {
        all[query] = join(all[query], odd[query]);
    }
    all
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn store<const N: usize>(all: [__m512i; N], sums: &mut Sums) {
    for (all, sums) in all.into_iter().zip(sums) {
        // SAFETY: a register is 16 values of i32.
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), all) };
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn compared<const N: usize>(
    encoding: Encoding,
    all: [__m512i; N],
    epilogue: &Epilogue<'_>,
    tile: &mut Tile,
) -> [u16; QUERIES] {
    // SAFETY: a register is 16 values of f32.
    let load = |values: &[f32; ROWS]| unsafe { _mm512_loadu_ps(values.as_ptr()) };
    let (row_scales, thresholds) = (load(epilogue.row_scales), load(epilogue.thresholds));
    let mut reached = [0; QUERIES];
    for query in 0..N {
        let scores = match encoding {
            Encoding::F32 => _mm512_castsi512_ps(all[query]),
            _ => {
                let sums = _mm512_sub_epi32(all[query], _mm512_set1_epi32(epilogue.zeros[query]));
                let scale = _mm512_mul_ps(_mm512_set1_ps(epilogue.scales[query]), row_scales);
                _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale)
            }
        };
        let threshold = _mm512_min_ps(thresholds, _mm512_set1_ps(epilogue.own[query]));
        // "Not less than" holds for an undefined score, too.
        reached[query] = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(scores, threshold);
        if reached[query] != 0 {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(tile[query].as_mut_ptr(), scores) };
        }
    }
    reached
}

fn near(next: &[Lane]) {
    for lanes in next {
        // SAFETY: a hint, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(lanes).cast()) };
    }
}
