//! The inner loop over steps: six vectors times sixteen rows, four bytes or two words at a time.

use super::steps::Width;
use super::tile::{LATES, ROWS, Tile};

/// Bytes of a row that are multiplied and added at once.
pub(super) const LANE: usize = 4;

/// A lane of each row of a panel: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Steps(pub(super) [[u8; LANE]; ROWS]);

/// A lane of each of a group of vectors, signed, little-endian.
pub(super) type Group = [i32; LATES];

/// Sums of products of [`LATES`] vectors with the [`ROWS`] rows of a panel.
pub(super) type Sums = [[i32; ROWS]; LATES];

/// What makes scores of sums, and what these are compared with.
pub(super) struct End<'a> {
    /// What is too much in each vector's sums.
    pub(super) zeros: [i32; LATES],
    /// What a step of each vector is worth.
    pub(super) scales: [f32; LATES],
    /// What a step of each row is worth.
    pub(super) row_scales: &'a [f32; ROWS],
    /// Each row's floor.
    pub(super) floors: &'a [f32; ROWS],
    /// Each vector's own floor.
    pub(super) own: [f32; LATES],
}

impl End<'_> {
    fn score(&self, sum: i32, late: usize, row: usize) -> f32 {
        (sum - self.zeros[late]) as f32 * (self.scales[late] * self.row_scales[row])
    }
}

/// How a processor multiplies steps. Only kinds that this one can do are to be had. All give the same sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepsKernel(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl StepsKernel {
    /// Every one that this processor has, the fastest last.
    pub fn all() -> Vec<Self> {
        let mut all = vec![StepsKernel(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx2") {
                all.push(StepsKernel(Kind::Avx2));
            }
            if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vnni") {
                all.push(StepsKernel(Kind::Vnni));
            }
        }
        all
    }

    /// The fastest.
    pub fn best() -> Self {
        StepsKernel::all().pop().unwrap_or(StepsKernel(Kind::Portable))
    }

    /// What multiplying two of these takes beside two singles: with VNNI measured, with AVX2 by its instructions.
    pub(super) fn cost(self, width: Width) -> f64 {
        match (self.0, width) {
            (Kind::Portable, _) => 1.0,
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2, Width::Bytes) => 1.0,
            #[cfg(target_arch = "x86_64")]
            (Kind::Vnni, Width::Bytes) => 0.25,
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2 | Kind::Vnni, Width::Words) => 0.5,
        }
    }

    /// Adds to `sums` the products of the first `count` vectors in `group` with the rows in `panel`, both some of their lanes long; what the
    /// others' sums are is left open. Asks for `next`, which is read soon, to be brought near.
    pub(super) fn add(
        self,
        width: Width,
        panel: &[Steps],
        (group, count): (&[Group], usize),
        sums: &mut Sums,
        next: &[Steps],
    ) {
        match (self.0, width) {
            (Kind::Portable, Width::Bytes) => add(panel, group, sums, bytes),
            (Kind::Portable, Width::Words) => add(panel, group, sums, words),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a kernel of this kind is made only when the processor was seen to have AVX2.
            (Kind::Avx2, Width::Bytes) => unsafe { wide::bytes_avx2(panel, (group, count), sums, next) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            (Kind::Avx2, Width::Words) => unsafe { wide::words_avx2(panel, group, sums, next) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a kernel of this kind is made only when the processor was seen to have AVX-512F and its VNNI.
            (Kind::Vnni, Width::Bytes) => unsafe { wide::bytes_vnni(panel, (group, count), sums, next) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            (Kind::Vnni, Width::Words) => unsafe { wide::words_vnni(panel, (group, count), sums, next) },
        }
    }

    /// [`StepsKernel::add`], and what of the scores that come of it reaches a floor. `tile` gets them where any of a vector does.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn meet(
        self,
        width: Width,
        panel: &[Steps],
        group: (&[Group], usize),
        sums: &mut Sums,
        of_end: &End<'_>,
        tile: &mut Tile,
        next: &[Steps],
    ) -> [u16; LATES] {
        match (self.0, width) {
            (Kind::Portable, _) => {
                self.add(width, panel, group, sums, next);
                end(sums, of_end, tile)
            }
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2, _) => {
                self.add(width, panel, group, sums, next);
                // SAFETY: as in `add`.
                unsafe { wide::end_avx2(sums, of_end, tile) }
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `add`.
            (Kind::Vnni, Width::Bytes) => unsafe {
                wide::meet_bytes_vnni(panel, group, sums, of_end, tile, next)
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `add`.
            (Kind::Vnni, Width::Words) => unsafe {
                wide::meet_words_vnni(panel, group, sums, of_end, tile, next)
            },
        }
    }
}

/// The scores of `sums`, and those that reach a floor.
#[inline(always)]
fn end(sums: &Sums, end: &End<'_>, tile: &mut Tile) -> [u16; LATES] {
    let mut reached = [0; LATES];
    for (late, (reached, scores)) in reached.iter_mut().zip(tile).enumerate() {
        for (row, score) in scores.iter_mut().enumerate() {
            *score = end.score(sums[late][row], late, row);
        }
        for (row, score) in scores.iter().enumerate() {
            let floor = end.floors[row].min(end.own[late]);
            // An undefined score counts as reached: it comes of infinite lengths, whose error is infinite too.
            *reached |= u16::from(*score >= floor || score.is_nan()) << row;
        }
    }
    reached
}

fn add(panel: &[Steps], group: &[Group], sums: &mut Sums, product: impl Fn([u8; LANE], [u8; LANE]) -> i32) {
    for (Steps(rows), values) in panel.iter().zip(group) {
        for (sums, values) in sums.iter_mut().zip(values) {
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum += product(*row, values.to_le_bytes());
            }
        }
    }
}

fn bytes(row: [u8; LANE], vector: [u8; LANE]) -> i32 {
    row.iter().zip(vector).map(|(row, value)| i32::from(*row) * i32::from(value.cast_signed())).sum()
}

fn words(row: [u8; LANE], vector: [u8; LANE]) -> i32 {
    let words = |lane: [u8; LANE]| [[lane[0], lane[1]], [lane[2], lane[3]]].map(i16::from_le_bytes);
    words(row).into_iter().zip(words(vector)).map(|(row, value)| i32::from(row) * i32::from(value)).sum()
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m128i, __m256i, __m512i, _CMP_NLT_UQ, _MM_HINT_T1, _mm_cvtsi32_si128, _mm_prefetch,
        _mm256_add_epi32, _mm256_broadcastq_epi64, _mm256_cvtepu8_epi16, _mm256_madd_epi16,
        _mm256_set1_epi32, _mm256_setzero_si256, _mm512_add_epi32, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps,
        _mm512_dpbusd_epi32, _mm512_dpwssd_epi32, _mm512_loadu_ps, _mm512_min_ps, _mm512_mul_ps,
        _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512, _mm512_storeu_ps, _mm512_sub_epi32,
    };
    use std::arch::x86_64::{_mm_cvtepi8_epi16, _mm_loadu_si128, _mm512_loadu_si512, _mm512_storeu_si512};
    use std::mem::transmute;

    use super::{End, Group, LANE, LATES, ROWS, Steps, Sums, Tile, end};

    /// Vectors whose sums fit into AVX2's registers.
    const AT_ONCE: usize = LATES / 2;

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn bytes_vnni(panel: &[Steps], group: (&[Group], usize), sums: &mut Sums, next: &[Steps]) {
        let add = |sum, rows, value| _mm512_dpbusd_epi32(sum, rows, value);
        sums_of(panel, group, sums, next, add);
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn words_vnni(panel: &[Steps], group: (&[Group], usize), sums: &mut Sums, next: &[Steps]) {
        let add = |sum, rows, value| _mm512_dpwssd_epi32(sum, rows, value);
        sums_of(panel, group, sums, next, add);
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn meet_bytes_vnni(
        panel: &[Steps],
        group: (&[Group], usize),
        sums: &Sums,
        end: &End<'_>,
        tile: &mut Tile,
        next: &[Steps],
    ) -> [u16; LATES] {
        let add = |sum, rows, value| _mm512_dpbusd_epi32(sum, rows, value);
        reached_of(panel, group, sums, end, tile, next, add)
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn meet_words_vnni(
        panel: &[Steps],
        group: (&[Group], usize),
        sums: &Sums,
        end: &End<'_>,
        tile: &mut Tile,
        next: &[Steps],
    ) -> [u16; LATES] {
        let add = |sum, rows, value| _mm512_dpwssd_epi32(sum, rows, value);
        reached_of(panel, group, sums, end, tile, next, add)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn sums_of(
        panel: &[Steps],
        (group, count): (&[Group], usize),
        sums: &mut Sums,
        next: &[Steps],
        add: impl Fn(__m512i, __m512i, __m512i) -> __m512i,
    ) {
        near(next);
        match count {
            0..=2 => add_vnni::<2>(panel, group, sums, add),
            3..=4 => add_vnni::<4>(panel, group, sums, add),
            _ => add_vnni::<LATES>(panel, group, sums, add),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn reached_of(
        panel: &[Steps],
        (group, count): (&[Group], usize),
        sums: &Sums,
        end: &End<'_>,
        tile: &mut Tile,
        next: &[Steps],
        add: impl Fn(__m512i, __m512i, __m512i) -> __m512i,
    ) -> [u16; LATES] {
        near(next);
        match count {
            0..=2 => end_vnni(products::<2>(panel, group, sums, add), end, tile),
            3..=4 => end_vnni(products::<4>(panel, group, sums, add), end, tile),
            _ => end_vnni(products::<LATES>(panel, group, sums, add), end, tile),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn add_vnni<const N: usize>(
        panel: &[Steps],
        group: &[Group],
        sums: &mut Sums,
        add: impl Fn(__m512i, __m512i, __m512i) -> __m512i,
    ) {
        for (sum, out) in products::<N>(panel, group, sums, add).into_iter().zip(sums) {
            // SAFETY: a register is 16 values of i32.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sum) };
        }
    }

    /// Of the first `N` vectors. Lanes take turns between two sums each, so that few vectors do not wait for one another.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn products<const N: usize>(
        panel: &[Steps],
        group: &[Group],
        sums: &Sums,
        add: impl Fn(__m512i, __m512i, __m512i) -> __m512i,
    ) -> [__m512i; N] {
        // SAFETY: a register is the 64 bytes of all lanes.
        let load = |lanes: &Steps| unsafe { _mm512_loadu_si512(std::ptr::from_ref(lanes).cast()) };
        let (mut all, mut odd) = ([_mm512_setzero_si512(); N], [_mm512_setzero_si512(); N]);
        for (all, sums) in all.iter_mut().zip(sums) {
            // SAFETY: a register is 16 values of i32.
            *all = unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) };
        }
        let ((twos, last), (of_twos, of_last)) = (panel.as_chunks::<2>(), group.as_chunks::<2>());
        for (lanes, values) in twos.iter().zip(of_twos) {
            let [first, second] = [load(&lanes[0]), load(&lanes[1])];
            for late in 0..N {
                all[late] = add(all[late], first, _mm512_set1_epi32(values[0][late]));
                odd[late] = add(odd[late], second, _mm512_set1_epi32(values[1][late]));
            }
        }
        for (lanes, values) in last.iter().zip(of_last) {
            let rows = load(lanes);
            for late in 0..N {
                all[late] = add(all[late], rows, _mm512_set1_epi32(values[late]));
            }
        }
        for late in 0..N {
            all[late] = _mm512_add_epi32(all[late], odd[late]);
        }
        all
    }

    /// As [`end`](super::end): the same bits.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn end_vnni<const N: usize>(sums: [__m512i; N], end: &End<'_>, tile: &mut Tile) -> [u16; LATES] {
        // SAFETY: a register is 16 values of f32.
        let load = |values: &[f32; ROWS]| unsafe { _mm512_loadu_ps(values.as_ptr()) };
        let (row_scales, floors) = (load(end.row_scales), load(end.floors));
        let mut reached = [0; LATES];
        for late in 0..N {
            let sum = _mm512_sub_epi32(sums[late], _mm512_set1_epi32(end.zeros[late]));
            let scale = _mm512_mul_ps(_mm512_set1_ps(end.scales[late]), row_scales);
            let scores = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
            let floor = _mm512_min_ps(floors, _mm512_set1_ps(end.own[late]));
            // "Not less than" holds for an undefined score, too.
            reached[late] = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(scores, floor);
            if reached[late] != 0 {
                // SAFETY: as above.
                unsafe { _mm512_storeu_ps(tile[late].as_mut_ptr(), scores) };
            }
        }
        reached
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn end_avx2(sums: &Sums, of_end: &End<'_>, tile: &mut Tile) -> [u16; LATES] {
        end(sums, of_end, tile)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn words_avx2(panel: &[Steps], group: &[Group], sums: &mut Sums, next: &[Steps]) {
        near(next);
        let mut all = [[_mm256_setzero_si256(); 2]; LATES];
        for (lanes, values) in panel.iter().zip(group) {
            // SAFETY: two registers are the 64 bytes of all lanes, and any bits are a value of either type.
            let [left, right] = unsafe { transmute::<[[u8; LANE]; ROWS], [__m256i; 2]>(lanes.0) };
            for late in 0..LATES {
                let value = _mm256_set1_epi32(values[late]);
                all[late][0] = _mm256_add_epi32(all[late][0], _mm256_madd_epi16(left, value));
                all[late][1] = _mm256_add_epi32(all[late][1], _mm256_madd_epi16(right, value));
            }
        }
        for (all, sums) in all.into_iter().zip(sums) {
            // SAFETY: two registers are 16 values of i32, and any bits are one.
            let more = unsafe { transmute::<[__m256i; 2], [i32; ROWS]>(all) };
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn bytes_avx2(
        panel: &[Steps],
        (group, count): (&[Group], usize),
        sums: &mut Sums,
        next: &[Steps],
    ) {
        near(next);
        for first in (0..count).step_by(AT_ONCE) {
            // For each vector and each four rows, two sums a row: products of 16 bits are added in pairs.
            let mut all = [[_mm256_setzero_si256(); ROWS / LANE]; AT_ONCE];
            for (lanes, values) in panel.iter().zip(group) {
                let (fours, _) = lanes.0.as_chunks::<LANE>();
                let rows: [__m256i; ROWS / LANE] = std::array::from_fn(|four| {
                    // SAFETY: a register is four values of four rows.
                    let bytes = unsafe { _mm_loadu_si128(fours[four].as_ptr().cast::<__m128i>()) };
                    _mm256_cvtepu8_epi16(bytes)
                });
                for late in 0..AT_ONCE {
                    let value = _mm_cvtepi8_epi16(_mm_cvtsi32_si128(values[first + late]));
                    let value = _mm256_broadcastq_epi64(value);
                    for four in 0..ROWS / LANE {
                        let products = _mm256_madd_epi16(rows[four], value);
                        all[late][four] = _mm256_add_epi32(all[late][four], products);
                    }
                }
            }
            for (late, all) in all.into_iter().enumerate() {
                // SAFETY: a register is 8 values of i32, and any bits are one.
                let pairs = all.map(|sums| unsafe { transmute::<__m256i, [[i32; 2]; LANE]>(sums) });
                for (sum, [left, right]) in sums[first + late].iter_mut().zip(pairs.as_flattened()) {
                    *sum += left + right;
                }
            }
        }
    }

    fn near(next: &[Steps]) {
        for lanes in next {
            // SAFETY: a hint, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(lanes).cast()) };
        }
    }
}
