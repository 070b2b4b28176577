//! The inner loop: six queries times sixteen rows, one single, two words or four bytes of each at a time.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use super::encoding::{Encoding, LANE};
use super::tile::{Epilogue, Lane, QUERIES, ROWS, Stretch, Sums, Tile};

/// The instructions that multiply. Only kinds that this processor has are to be had. Sums of steps are the same with all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Default for Kernel {
    fn default() -> Self {
        Kernel::best()
    }
}

impl Kernel {
    /// Every one that this processor has, the fastest last: plain Rust, AVX2 with FMA, AVX-512 with VNNI.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Kernel(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                all.push(Kernel(Kind::Avx2));
            }
            if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vnni") {
                all.push(Kernel(Kind::Avx512));
            }
        }
        all
    }

    /// The fastest.
    pub fn best() -> Self {
        Kernel::all().pop().unwrap_or(Kernel(Kind::Portable))
    }

    /// The name of its instructions.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512vnni",
        }
    }

    /// Returns what multiplying two values takes beside two singles: of AVX-512 measured, of AVX2 by its instructions.
    pub(crate) fn cost(self, encoding: Encoding) -> f64 {
        match (self.0, encoding) {
            (Kind::Portable, _) | (_, Encoding::F32) => 1.0,
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2, Encoding::Bytes) => 1.0,
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx512, Encoding::Bytes) => 0.25,
            #[cfg(target_arch = "x86_64")]
            (Kind::Avx2 | Kind::Avx512, Encoding::Words) => 0.5,
        }
    }

    /// Adds to `sums` the products of the queries with the rows, over some of their lanes.
    pub(super) fn add(self, stretch: &Stretch<'_>, sums: &mut Sums) {
        match self.0 {
            Kind::Portable => add(stretch, sums),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a kernel of this kind is made only when the processor was seen to have AVX2 and FMA.
            Kind::Avx2 => unsafe { avx2::add(stretch, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a kernel of this kind is made only when the processor was seen to have AVX-512F and its VNNI.
            Kind::Avx512 => unsafe { avx512::add(stretch, sums) },
        }
    }

    /// For each query the rows, a bit each, whose scores reach the query's threshold or the row's, once the last lanes are added to `sums`.
    /// `tile` gets the scores of those queries that have any.
    pub(super) fn reached(
        self,
        stretch: &Stretch<'_>,
        sums: &mut Sums,
        epilogue: &Epilogue<'_>,
        tile: &mut Tile,
    ) -> [u16; QUERIES] {
        match self.0 {
            Kind::Portable => {
                add(stretch, sums);
                reached(stretch.encoding, sums, epilogue, tile)
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `add`.
            Kind::Avx2 => unsafe { avx2::reached(stretch, sums, epilogue, tile) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `add`.
            Kind::Avx512 => unsafe { avx512::reached(stretch, sums, epilogue, tile) },
        }
    }
}

fn add(stretch: &Stretch<'_>, sums: &mut Sums) {
    match stretch.encoding {
        Encoding::F32 => add_by(stretch, sums, |sum, row, value| {
            let product = f32::from_le_bytes(row) * f32::from_le_bytes(value);
            (f32::from_bits(sum.cast_unsigned()) + product).to_bits().cast_signed()
        }),
        Encoding::Words => add_by(stretch, sums, |sum, row, value| {
            let words = |lane: [u8; LANE]| [[lane[0], lane[1]], [lane[2], lane[3]]].map(i16::from_le_bytes);
            let products = words(row).into_iter().zip(words(value)).map(|(x, y)| i32::from(x) * i32::from(y));
            sum + products.sum::<i32>()
        }),
        Encoding::Bytes => add_by(stretch, sums, |sum, row, value| {
            let products = row.iter().zip(value).map(|(x, y)| i32::from(*x) * i32::from(y.cast_signed()));
            sum + products.sum::<i32>()
        }),
    }
}

#[inline(always)]
fn add_by(stretch: &Stretch<'_>, sums: &mut Sums, add: impl Fn(i32, [u8; LANE], [u8; LANE]) -> i32) {
    if stretch.first {
        *sums = [[0; ROWS]; QUERIES];
    }
    for (Lane(rows), values) in stretch.panel.iter().zip(stretch.values) {
        for (sums, value) in sums.iter_mut().zip(values) {
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum = add(*sum, *row, value.to_le_bytes());
            }
        }
    }
}

fn reached(encoding: Encoding, sums: &Sums, epilogue: &Epilogue<'_>, tile: &mut Tile) -> [u16; QUERIES] {
    let mut reached = [0; QUERIES];
    for (query, (reached, scores)) in reached.iter_mut().zip(tile).enumerate() {
        for (row, score) in scores.iter_mut().enumerate() {
            let sum = sums[query][row];
            *score = match encoding {
                Encoding::F32 => f32::from_bits(sum.cast_unsigned()),
                _ => {
                    let scale = epilogue.scales[query] * epilogue.row_scales[row];
                    (sum - epilogue.zeros[query]) as f32 * scale
                }
            };
            let threshold = epilogue.thresholds[row].min(epilogue.own[query]);
            // An undefined score counts as reached: it comes of infinite sums, whose error is infinite too.
            *reached |= u16::from(*score >= threshold || score.is_nan()) << row;
        }
    }
    reached
}
