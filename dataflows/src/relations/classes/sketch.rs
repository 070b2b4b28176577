//! Sketches name the replacement of a lost edge: sums of names of edges (after Kapron, King and Mountjoy 2013).

/// Number of words of a sketch.
const WORDS: usize = 4;
/// Sums (exclusive or) of edges' names: of all, then of ever smaller samples.
pub(super) type Sketch = [u64; WORDS];

/// Of each word, how many zero bits a sampled edge's hash ends with.
const SAMPLED: [u32; WORDS] = [0, 1, 3, 5];

/// The sketch of the edge between `a` and `b`.
pub(super) fn of_edge(a: u32, b: u32) -> Sketch {
    let name = u64::from(a.min(b)) << 32 | u64::from(a.max(b));
    let sample = hash(name);
    SAMPLED.map(|bits| if sample & ((1 << bits) - 1) == 0 { name } else { 0 })
}

/// The ends that a word names if it is of one edge.
pub(super) fn ends(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

pub(super) fn add(sum: &mut Sketch, other: &Sketch) {
    sum.iter_mut().zip(other).for_each(|(word, other)| *word ^= other);
}

/// The finalizer of SplitMix64.
pub(super) fn hash(name: u64) -> u64 {
    let mut x = name.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
