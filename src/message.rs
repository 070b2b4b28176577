//! Messages between processes: postcard, each after its length (4 bytes, little-endian).

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No message is longer: a picture or a list is far shorter.
const LONGEST: u32 = 1 << 30;

/// Sends `message`, so that [`receive`] makes it again.
///
/// # Errors
/// When the stream cannot be written to, or the message is longer than 1 GiB.
pub(crate) fn send<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("the message is too long"))?;
    stream.write_all(&[&length.to_le_bytes()[..], &bytes].concat())?;
    stream.flush()
}

/// Waits for a message.
///
/// # Errors
/// When the stream cannot be read, ends, or holds no such message.
pub(crate) fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
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
