//! A video input: its address, what its content is known by, whether it can be read again, and how it is read.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::error::IngestError;
use crate::reader::Reader;
use crate::settings::Settings;

/// One video input.
///
/// # Contract
/// - Two sources with one [`uri`](Source::uri) are the same place; two with one [`fingerprint`](Source::fingerprint) have the
///   same content.
/// - A [`Life::Replayable`] source gives the same frames, with the same numbers and times, each time it is opened. Its reader waits
///   for whoever takes the frames, and ends.
/// - A [`Life::Live`] source gives what happens from now on. Each opening is a new connection, whose frames are numbered from
///   0. Its reader does not wait: a frame that finds the queue full is dropped and [counted](Reader::dropped). It ends only by an error.
pub trait Source: fmt::Debug + Send + Sync {
    /// The address, by which a state knows the source.
    fn uri(&self) -> &str;

    /// The place as errors write it: a file's path, else the address. It holds no password.
    fn place(&self) -> String {
        self.uri().to_owned()
    }

    /// The file that is read, if it is one.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// Tells whether the source can be read again.
    fn life(&self) -> Life;

    /// The name of the content, whatever its place.
    ///
    /// # Errors
    /// The system's word on a file that cannot be read.
    fn fingerprint(&self) -> Result<String, IngestError>;

    /// Starts to read: one pipeline, one thread, one bounded queue.
    ///
    /// # Errors
    /// Whatever can be told without decoding. Trouble with the content comes as [`End::error`](crate::End::error).
    fn open(&self, settings: &Settings) -> Result<Reader, IngestError>;
}

/// The two kinds of life that a source can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It can be read again from any place and has an end: a file.
    Replayable,
    /// It cannot be read again and has no end: a camera. What is missed between two connections is a gap.
    Live,
}

/// A source and the name that people know it by.
#[derive(Clone, Debug)]
pub struct NamedSource {
    /// A short name: of a file its own, with as many of its folders as it takes to tell it from the others.
    pub name: String,
    /// The source.
    pub source: Arc<dyn Source>,
}

impl NamedSource {
    /// The source's address.
    pub fn uri(&self) -> &str {
        self.source.uri()
    }
}

impl PartialEq for NamedSource {
    fn eq(&self, other: &Self) -> bool {
        (self.uri(), &self.name) == (other.uri(), &other.name)
    }
}

impl Eq for NamedSource {}
