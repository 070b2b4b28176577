//! Where a record belongs, and several tables read side by side.

use kinetograph_dataflows::id::{NodeId, SourceId};

use super::super::key;
use crate::collections::{Collection, each_collection};
use crate::store::{Snapshot, StoreError, Table};

/// The source that a record follows from: for one of several nodes, that of the first.
pub(super) fn source_of(table: Table, key: &[u8]) -> Option<SourceId> {
    let node = |at| key::u64_at(key, at).map(|node| NodeId(node).source());
    each_collection!(C => {
        if table == C::TABLE {
            return C::read_stored_key(key).map(|key| C::home(&key).source());
        }
    });
    match table {
        Table::Sources | Table::SourceDecisions | Table::Connections => key::u32_at(key, 0).map(SourceId),
        Table::Stills => key::u32_at(key, 8).map(SourceId),
        Table::Vectors => node(2),
        Table::Nodes | Table::Crops => node(0),
        _ => None,
    }
}

/// Records read ahead at a time.
const CHUNK: usize = 256;
/// Bytes read ahead at a time, so that pictures do not pile up.
const CHUNK_BYTES: usize = 1 << 20;

/// The rest of a table, read a chunk at a time.
pub(super) struct Chunked<'s> {
    snapshot: &'s dyn Snapshot,
    table: Table,
    /// The next records, the first last.
    ahead: Vec<(Vec<u8>, Vec<u8>)>,
    /// True when there may be more behind them.
    more: bool,
}

impl<'s> Chunked<'s> {
    pub(super) fn new(snapshot: &'s dyn Snapshot, table: Table, from: &[u8]) -> Result<Self, StoreError> {
        let mut chunked = Chunked { snapshot, table, ahead: Vec::new(), more: true };
        chunked.read(from)?;
        Ok(chunked)
    }

    /// The next record's key; `None` at the end.
    pub(super) fn key(&self) -> Option<&[u8]> {
        self.ahead.last().map(|(key, _)| key.as_slice())
    }

    /// Goes past the next record, and returns its value.
    pub(super) fn take(&mut self) -> Result<Vec<u8>, StoreError> {
        let Some((mut key, value)) = self.ahead.pop() else { return Ok(Vec::new()) };
        if self.ahead.is_empty() && self.more {
            // Of all keys after this one, the first.
            key.push(0);
            self.read(&key)?;
        }
        Ok(value)
    }

    fn read(&mut self, from: &[u8]) -> Result<(), StoreError> {
        let (ahead, mut bytes) = (&mut self.ahead, 0);
        self.snapshot.scan(self.table, from, &mut |key, value| {
            bytes += key.len() + value.len();
            ahead.push((key.to_vec(), value.to_vec()));
            ahead.len() < CHUNK && bytes < CHUNK_BYTES
        })?;
        self.more = ahead.len() == CHUNK || bytes >= CHUNK_BYTES;
        ahead.reverse();
        Ok(())
    }
}
