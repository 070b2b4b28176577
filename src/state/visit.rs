//! Reading a collection record by record, where holding it whole would be too much.

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::Pair;

use super::view::View;
use super::{StateError, key};
use crate::store::Table;

impl View<'_> {
    /// Bytes of the keys and values of `table`.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn bytes(&self, table: Table) -> Result<u64, StateError> {
        let mut bytes = 0;
        self.scan(table, &[], &mut |key, value| {
            bytes += (key.len() + value.len()) as u64;
            true
        })?;
        Ok(bytes)
    }

    /// Calls `visit` with each node that has a crop, ascending, and its JPEG.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn each_crop(&self, mut visit: impl FnMut(NodeId, &[u8])) -> Result<(), StateError> {
        let mut damaged = None;
        self.scan(Table::Crops, &[], &mut |key, jpeg| {
            match key::u64_at(key, 0) {
                Some(node) => visit(NodeId(node), jpeg),
                None => damaged = Some(format!("key of {} bytes", key.len())),
            }
            damaged.is_none()
        })?;
        self.whole(Table::Crops, damaged)
    }

    /// Calls `visit` with each transitive pair, ascending.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn each_pair(&self, mut visit: impl FnMut(Pair)) -> Result<(), StateError> {
        let mut damaged = None;
        self.scan(Table::Pairs, &[], &mut |key, _| {
            match key::pair_at(key) {
                Some(pair) => visit(pair),
                None => damaged = Some(format!("key of {} bytes", key.len())),
            }
            damaged.is_none()
        })?;
        self.whole(Table::Pairs, damaged)
    }

    fn whole(&self, table: Table, damaged: Option<String>) -> Result<(), StateError> {
        match damaged {
            Some(reason) => Err(StateError::Damaged { place: self.place().to_string(), table, reason }),
            None => Ok(()),
        }
    }
}
