//! The inner loop: six vectors times sixteen rows.

/// Rows of a panel.
pub const ROWS: usize = 16;
/// Vectors that meet a panel at a time: with 16 rows their sums fill 12 of AVX2's 16 registers.
pub const LATES: usize = 6;

/// Fast scores of [`LATES`] vectors against the [`ROWS`] rows of a panel.
pub type Tile = [[f32; ROWS]; LATES];

/// Value i of each row of a panel: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Strip(pub(super) [f32; ROWS]);

/// Value i of each of a group of vectors.
pub(super) type Group = [f32; LATES];

/// How a processor multiplies. Only kinds that this one can do are to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Fma,
}

impl Kernel {
    /// The fastest.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            return Kernel(Kind::Fma);
        }
        Kernel::portable()
    }

    /// The one every processor has.
    pub fn portable() -> Self {
        Kernel(Kind::Portable)
    }

    /// For each vector of `tile` the rows, a bit each, whose score is not below their floor in `floors`, or not below the
    /// vector's own.
    pub(super) fn reached(self, tile: &Tile, floors: &[f32; ROWS], own: &[f32; LATES]) -> [u16; LATES] {
        match self.0 {
            Kind::Portable => std::array::from_fn(|late| {
                let row = |row: usize| u16::from(reached(tile[late][row], floors[row], own[late])) << row;
                (0..ROWS).fold(0, |rows, at| rows | row(at))
            }),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `add`.
            Kind::Fma => unsafe { wide::reached(tile, floors, own) },
        }
    }

    /// [`Kernel::add`] to nothing, and what of it is [`Kernel::reached`]. `tile` is left as it was where nothing is.
    pub(super) fn meet(
        self,
        panel: &[Strip],
        group: &[Group],
        (floors, own): (&[f32; ROWS], &[f32; LATES]),
        tile: &mut Tile,
        next: &[Strip],
    ) -> [u16; LATES] {
        match self.0 {
            Kind::Portable => {
                *tile = [[0.0; ROWS]; LATES];
                add(panel, group, tile);
                self.reached(tile, floors, own)
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `add`.
            Kind::Fma => unsafe { wide::meet(panel, group, (floors, own), tile, next) },
        }
    }

    /// Adds to `tile` the products of the vectors in `group` with the rows in `panel`, both some of their values long.
    /// Asks for `next`, which is read soon, to be brought near.
    pub(super) fn add(self, panel: &[Strip], group: &[Group], tile: &mut Tile, next: &[Strip]) {
        match self.0 {
            Kind::Portable => add(panel, group, tile),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Kernel` of this kind is made only when the processor was seen to have AVX2 and FMA.
            Kind::Fma => unsafe { wide::add(panel, group, tile, next) },
        }
    }
}

/// Whether a score is not below its row's floor, or not below the vector's.
fn reached(score: f32, floor: f32, other_floor: f32) -> bool {
    // An undefined score counts as reached: it comes of infinite sums, whose error is infinite too.
    score.is_nan() || score >= floor.min(other_floor)
}

fn add(panel: &[Strip], group: &[Group], tile: &mut Tile) {
    for (Strip(rows), values) in panel.iter().zip(group) {
        for (sums, value) in tile.iter_mut().zip(values) {
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum += value * row;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256, _CMP_NLT_UQ, _MM_HINT_T1, _mm_prefetch, _mm256_cmp_ps, _mm256_fmadd_ps, _mm256_min_ps,
        _mm256_movemask_ps, _mm256_set1_ps, _mm256_setzero_ps,
    };
    use std::mem::transmute;

    use super::{Group, LATES, ROWS, Strip, Tile};

    type Sums = [[__m256; 2]; LATES];

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn add(panel: &[Strip], group: &[Group], tile: &mut Tile, next: &[Strip]) {
        let mut sums = [[_mm256_setzero_ps(); 2]; LATES];
        for (sum, row) in sums.iter_mut().zip(&*tile) {
            *sum = halves(row);
        }
        store(products(panel, group, sums, next), tile);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn meet(
        panel: &[Strip],
        group: &[Group],
        (floors, own): (&[f32; ROWS], &[f32; LATES]),
        tile: &mut Tile,
        next: &[Strip],
    ) -> [u16; LATES] {
        let sums = products(panel, group, [[_mm256_setzero_ps(); 2]; LATES], next);
        let reached = not_below(&sums, floors, own);
        if reached != [0; LATES] {
            store(sums, tile);
        }
        reached
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn reached(tile: &Tile, floors: &[f32; ROWS], own: &[f32; LATES]) -> [u16; LATES] {
        let mut sums = [[_mm256_setzero_ps(); 2]; LATES];
        for (sum, row) in sums.iter_mut().zip(tile) {
            *sum = halves(row);
        }
        not_below(&sums, floors, own)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn products(panel: &[Strip], group: &[Group], mut sums: Sums, next: &[Strip]) -> Sums {
        for strip in next {
            _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(strip).cast());
        }
        for (Strip(rows), values) in panel.iter().zip(group) {
            let [left, right] = halves(rows);
            for late in 0..LATES {
                let value = _mm256_set1_ps(values[late]);
                sums[late][0] = _mm256_fmadd_ps(value, left, sums[late][0]);
                sums[late][1] = _mm256_fmadd_ps(value, right, sums[late][1]);
            }
        }
        sums
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn store(sums: Sums, tile: &mut Tile) {
        for (sum, row) in sums.into_iter().zip(tile) {
            *row = join(sum);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn not_below(sums: &Sums, floors: &[f32; ROWS], own: &[f32; LATES]) -> [u16; LATES] {
        let floors = halves(floors);
        let mut reached = [0; LATES];
        for late in 0..LATES {
            let own = _mm256_set1_ps(own[late]);
            let half = |at: usize| {
                // "Not less than" holds for an undefined score, too.
                let not_below = _mm256_cmp_ps::<_CMP_NLT_UQ>(sums[late][at], _mm256_min_ps(floors[at], own));
                _mm256_movemask_ps(not_below) as u16
            };
            reached[late] = half(0) | half(1) << 8;
        }
        reached
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn halves(lanes: &[f32; 16]) -> [__m256; 2] {
        // SAFETY: two registers are 16 values of f32, and any bits are a value of either type.
        unsafe { transmute::<[f32; 16], [__m256; 2]>(*lanes) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn join(sum: [__m256; 2]) -> [f32; 16] {
        // SAFETY: as in `halves`.
        unsafe { transmute::<[__m256; 2], [f32; 16]>(sum) }
    }
}
