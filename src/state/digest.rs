//! Digests of collections: equal digests mean equal collections, whatever order they were built in.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

use super::key::FIRST_SPACE;
use crate::collections::{Collection, Labels, canonical};

/// The sum of the hashes of a collection's records, modulo 2^128.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u128);

impl Digest {
    /// Adds the record (`key`, `value`).
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.add_record(Digest::of_record(key, value));
    }

    /// Adds a record of which only the digest is left.
    pub fn add_record(&mut self, digest: u128) {
        self.0 = self.0.wrapping_add(digest);
    }

    /// Returns what [`Digest::add`] adds for the record (`key`, `value`).
    pub fn of_record(key: &[u8], value: &[u8]) -> u128 {
        let mut record = Vec::with_capacity(8 + key.len() + value.len());
        record.extend_from_slice(&(key.len() as u64).to_le_bytes());
        record.extend_from_slice(key);
        record.extend_from_slice(value);
        xxh3_128(&record)
    }

    /// Of a collection's records: the same for every labelling that is the same partition, where values are
    /// [opaque](Labels::Opaque).
    pub fn of<'r, C: Collection>(records: impl Iterator<Item = (&'r C::Key, &'r C::Value)>) -> Self {
        let mut digest = Digest::default();
        let mut add = |key: &C::Key, value: &C::Value| {
            let key = match C::SPACE_IN_DIGEST {
                true => C::stored_key(FIRST_SPACE, key),
                false => C::key_bytes(key),
            };
            digest.add(&key, &C::value_bytes(value));
        };
        match C::labels() {
            Labels::Meant => records.for_each(|(key, value)| add(key, value)),
            Labels::Opaque { .. } => {
                let records = records.map(|(key, value)| (key.clone(), value.clone())).collect();
                canonical::<C>(records).iter().for_each(|(key, value)| add(key, value));
            }
        }
        digest
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use kinetograph_dataflows::id::NodeId;
    use kinetograph_dataflows::index::node::ClassId;

    use super::*;
    use crate::collections::Classes;

    #[test]
    fn a_digest_does_not_know_the_order_but_knows_every_byte() {
        let of = |records: &[(&str, &str)]| {
            let mut digest = Digest::default();
            records.iter().for_each(|(k, v)| digest.add(k.as_bytes(), v.as_bytes()));
            digest
        };
        assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
        assert_ne!(of(&[("a", "1")]), of(&[("a1", "")]));
        assert_ne!(of(&[("a", "1"), ("a", "1")]), of(&[]));
    }

    #[test]
    fn two_labellings_of_one_partition_have_one_digest() {
        let of = |labels: &[u64]| {
            let labels: Vec<_> =
                labels.iter().enumerate().map(|(n, l)| (NodeId(n as u64), ClassId(*l))).collect();
            Digest::of::<Classes>(labels.iter().map(Classes::parts))
        };
        assert_eq!(of(&[7, 7, 3]), of(&[1, 1, 9]));
        assert_ne!(of(&[7, 7, 3]), of(&[7, 3, 3]));
    }
}
