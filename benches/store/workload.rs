//! The engine's epochs: nodes with their crops, vectors and lists, the lists of older nodes that they change, pairs.

use kinetograph::store::{Batch, Snapshot, Table};
use rand::{Rng, RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use xxhash_rust::xxh3::Xxh3;

/// Existing nodes whose lists change, per new node.
const CHANGED_LISTS: u64 = 5;
/// Pairs per new node.
const PAIRS: u64 = 20;

/// A growing state, the same for the same seed.
pub(crate) struct Workload {
    random: Pcg64Mcg,
    pub(crate) nodes: u64,
    epoch: u64,
    pairs: Vec<[u8; 33]>,
}

impl Workload {
    pub(crate) fn new() -> Self {
        Workload { random: Pcg64Mcg::seed_from_u64(17), nodes: 0, epoch: 0, pairs: Vec::new() }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    /// The next epoch, of `nodes` new nodes.
    pub(crate) fn epoch(&mut self, nodes: u64) -> Batch {
        let mut batch = Batch::default();
        for node in self.nodes..self.nodes + nodes {
            let key = node.to_be_bytes();
            batch.put(Table::Nodes, key, self.bytes(80));
            let crop_bytes = self.random.random_range(3_000..5_200);
            batch.put(Table::Crops, key, self.bytes(crop_bytes));
            batch.put(Table::Vectors, key, self.bytes(2048));
            batch.put(Table::Cells, key, self.bytes(8));
            batch.put(Table::Groups, key, self.bytes(8));
            batch.put(Table::Classes, key, self.bytes(16));
            batch.put(Table::Lists, key, self.bytes(160));
        }
        let known = self.nodes + nodes;
        for _ in 0..nodes * CHANGED_LISTS {
            let old = self.random.random_range(0..known);
            batch.put(Table::Lists, old.to_be_bytes(), self.bytes(160));
        }
        for at in 0..nodes * PAIRS {
            let mut pair = [0; 33];
            pair[..8].copy_from_slice(&self.random.random_range(0..known).to_be_bytes());
            self.random.fill_bytes(&mut pair[8..]);
            batch.put(Table::Pairs, pair, Vec::new());
            if at % 10 == 0 && !self.pairs.is_empty() {
                let gone = self.random.random_range(0..self.pairs.len());
                batch.delete(Table::Pairs, self.pairs.swap_remove(gone));
            }
            self.pairs.push(pair);
        }
        let epoch = self.epoch.to_be_bytes();
        batch.put(Table::Log, epoch, self.bytes(200));
        let delta_bytes = self.random.random_range(1_000..4_000);
        batch.put(Table::Deltas, epoch, self.bytes(delta_bytes));
        batch.put(Table::Meta, *b"epoch", epoch);
        self.nodes = known;
        self.epoch += 1;
        batch
    }
}

/// A fingerprint of everything that a store holds, and the number of its records.
pub(crate) fn digest(snapshot: &dyn Snapshot) -> anyhow::Result<(u64, u64)> {
    let (mut hash, mut records) = (Xxh3::new(), 0);
    for table in Table::ALL {
        let mut record = |key: &[u8], value: &[u8]| {
            hash.update(&[table as u8]);
            hash.update(&(key.len() as u64).to_le_bytes());
            hash.update(key);
            hash.update(&(value.len() as u64).to_le_bytes());
            hash.update(value);
            records += 1;
            true
        };
        snapshot.scan(table, &[], &mut record)?;
    }
    Ok((hash.digest(), records))
}
