//! States of an earlier format, brought to this one: the data file is written anew and takes the old one's place at once, so a
//! kill leaves the old state or the new.
//!
//! In format 2 vectors and lists alone had their embedding space in their keys. In format 3 all that is of a space begins with it;
//! keys and values are else what they were, and so are digests.

use std::path::Path;

use super::history::Replaced;
use super::key::{self, in_first_space};
use super::record::Format;
use super::{FORMAT_VERSION, StateError, encode};
use crate::store::Table;
use crate::store::lmdb::{Rewritten, rewrite};

/// The earliest format that can be brought to this one.
pub(super) const EARLIEST: u32 = 2;

/// The tables of format 2 whose keys lacked the space.
const WITHOUT_SPACE: [Table; 8] = [
    Table::Cells,
    Table::Groups,
    Table::Clusters,
    Table::Edges,
    Table::Degrees,
    Table::Pairs,
    Table::Classes,
    Table::Decisions,
];

/// Brings the state of format 2 in `dir` to this format.
///
/// # Errors
/// [`StateError`] when a record cannot be read, or the state cannot be written; it is then as it was.
pub(super) fn from_2(dir: &Path) -> Result<(), StateError> {
    tracing::info!(state = %dir.display(), "bringing the state to format {FORMAT_VERSION}");
    rewrite(dir, &record)?;
    Ok(())
}

/// A record of format 2 as it is in format 3.
fn record(table: Table, key: &[u8], value: &[u8]) -> Result<Rewritten, String> {
    let (key, value) = match table {
        Table::Meta if key == key::FORMAT => (key.to_vec(), encode(&Format { version: FORMAT_VERSION })),
        Table::History => (key.to_vec(), history(value)?),
        table if WITHOUT_SPACE.contains(&table) => (in_first_space(key), value.to_vec()),
        _ => (key.to_vec(), value.to_vec()),
    };
    Ok(Some((key, value)))
}

/// Returns what an epoch replaced, with the keys of format 3.
fn history(value: &[u8]) -> Result<Vec<u8>, String> {
    let Replaced(replaced) = postcard::from_bytes(value).map_err(|error| {
        format!(
            "a record of its history is damaged ({error}); `kinetograph verify` of the version that wrote it says what \
             else is wrong"
        )
    })?;
    let without = |number: u8| WITHOUT_SPACE.iter().any(|table| *table as u8 == number);
    let renamed = replaced.into_iter().map(|((table, key), before)| {
        let key = if without(table) { in_first_space(&key) } else { key };
        ((table, key), before)
    });
    Ok(encode(&Replaced(renamed.collect())))
}

#[cfg(test)]
mod tests;
