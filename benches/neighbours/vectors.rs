//! Clustered unit vectors, the same for the same numbers.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// A stream of vectors around some centres: a vector is as far from its centre as 0.7 of the centre's own length.
pub(crate) struct Clusters {
    rng: Pcg64,
    centres: Vec<Vec<f32>>,
}

impl Clusters {
    /// Of `n` vectors of `d` values, around n / 50 centres.
    pub(crate) fn new(n: usize, d: usize) -> Self {
        let mut rng = Pcg64::seed_from_u64(1);
        let centres = (0..(n / 50).max(1)).map(|_| (0..d).map(|_| bell(&mut rng)).collect()).collect();
        Clusters { rng, centres }
    }

    /// The next of them.
    pub(crate) fn next(&mut self) -> Vec<f32> {
        let Clusters { rng, centres } = self;
        let centre = &centres[rng.random_range(0..centres.len())];
        let vector: Vec<f32> = centre.iter().map(|c| c + 0.7 * bell(rng)).collect();
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter().map(|x| x / norm).collect()
    }
}

fn bell(rng: &mut Pcg64) -> f32 {
    (0..4).map(|_| rng.random::<f32>() - 0.5).sum()
}

/// `n` vectors of `d` values of [`Clusters`].
pub(crate) fn clustered(n: usize, d: usize) -> Vec<Arc<[f32]>> {
    let mut clusters = Clusters::new(n, d);
    (0..n).map(|_| clusters.next().into()).collect()
}

/// The first `n` vectors of `d` values in a file with one tensor of float32, one vector a row.
pub(crate) fn stored(file: &Path, n: usize, d: usize) -> Vec<Arc<[f32]>> {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (length, rest) = bytes.split_first_chunk::<8>().expect("a safetensors file");
    let (header, values) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: serde_json::Value = serde_json::from_slice(header).expect("its header");
    let tensors = header.as_object().expect("tensors by name");
    let (_, tensor) = tensors.iter().find(|(name, _)| *name != "__metadata__").expect("a tensor");
    assert_eq!(tensor["dtype"], "F32", "{}", file.display());
    assert_eq!(tensor["shape"][1], d, "{}: values a vector", file.display());
    let (values, _) = values.as_chunks::<4>();
    let vectors: Vec<Arc<[f32]>> = values
        .chunks_exact(d)
        .take(n)
        .map(|row| row.iter().map(|x| f32::from_le_bytes(*x)).collect())
        .collect();
    assert_eq!(vectors.len(), n, "{}: vectors", file.display());
    vectors
}
