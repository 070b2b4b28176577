//! Reading a collection record by record, where holding it whole would be too much.

use kinetograph_dataflows::id::NodeId;

use super::view::View;
use super::{StateError, key};
use crate::collections::Collection;
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

    /// Calls `visit` with each record of a derived collection, ascending by key.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn each<C: Collection>(&self, mut visit: impl FnMut(C::Key, C::Value)) -> Result<(), StateError> {
        let mut damaged = None;
        self.scan_space(C::TABLE, &mut |key, value| {
            match C::read_stored_key(key).zip(C::read_value(value)) {
                Some((key, value)) => visit(key, value),
                None => damaged = Some(format!("key of {} bytes, value of {}", key.len(), value.len())),
            }
            damaged.is_none()
        })?;
        self.whole(C::TABLE, damaged)
    }

    fn whole(&self, table: Table, damaged: Option<String>) -> Result<(), StateError> {
        match damaged {
            Some(reason) => Err(StateError::Damaged { place: self.place().to_string(), table, reason }),
            None => Ok(()),
        }
    }
}
