//! A store read over the network: the trainer of one process reads what the others have.
//!
//! A connection has one snapshot at a time. Messages are postcard, each after its length (4 bytes, little-endian). Only
//! reading is offered, to anybody who can connect: like timely's own connections, this is for networks one trusts.

mod client;
mod server;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Table;

pub use client::RemoteStore;
pub use server::Server;

/// What a client says first; another version is refused.
const GREETING: &[u8; 16] = b"kinetograph st 1";
/// No message is longer: a picture or a list is far shorter.
const LONGEST: u32 = 1 << 30;
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

fn send<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
    stream.write_all(&[&length.to_le_bytes()[..], &bytes].concat())?;
    stream.flush()
}

fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a message of a kinetograph"));
    }
    // Room is made as bytes arrive: a length alone costs nothing.
    let mut bytes = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    postcard::from_bytes(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn table(number: u8) -> Option<Table> {
    Table::ALL.into_iter().find(|table| *table as u8 == number)
}
