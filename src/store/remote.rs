//! A store read over the network: the trainer of one process reads what the others have.
//!
//! A connection has one snapshot at a time. Messages are postcard, each after its length (4 bytes, little-endian). Only
//! reading is offered, to anybody who can connect: like timely's own connections, this is for networks one trusts.

mod client;
mod server;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::Table;
use crate::message::{receive, send};

pub use client::RemoteStore;
pub use server::Server;

/// A client's first message; another version is refused.
const GREETING: &[u8; 16] = b"kinetograph st 1";
/// Bytes of keys and values that one answer to [`Request::Scan`] holds, and a record more.
const SCANNED_BYTES: usize = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// From now on, the last commit is read.
    Snapshot,
    /// The value at a key, of a table by its number.
    Get(u8, Vec<u8>),
    /// Records from a key on, of a table by its number.
    Scan(u8, Vec<u8>),
    /// The snapshot is not needed any more.
    End,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done,
    Value(Option<Vec<u8>>),
    /// Records, and whether more follow.
    Records(Vec<(Vec<u8>, Vec<u8>)>, bool),
    /// Why there is no answer.
    Failed(String),
}

fn table(number: u8) -> Option<Table> {
    Table::ALL.into_iter().find(|table| *table as u8 == number)
}
