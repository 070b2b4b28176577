//! A video to read: its address, its name for people, and what its content is known by.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use gstreamer::glib;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::IngestError;
use crate::test_pattern::TestPattern;

/// Bytes hashed at either end of a file.
const FINGERPRINT_BYTES: u64 = 64 * 1024;

/// One video input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Source {
    /// `file:///...` (absolute, links resolved) or `test://...`.
    pub uri: String,
    /// Short, for people: the file's name, with as many of its folders as it takes to tell it from the others.
    pub name: String,
}

impl Source {
    /// The source at a `file://` or `test://` address, named by its last part. The file need not exist.
    ///
    /// # Errors
    /// [`IngestError::BadUri`], [`IngestError::BadTestPattern`].
    pub fn from_uri(uri: &str) -> Result<Source, IngestError> {
        let name = match locate(uri)? {
            Location::Test(_) => uri.to_owned(),
            Location::File(path) => last_parts(&path, 1),
        };
        Ok(Source { uri: uri.to_owned(), name })
    }

    /// The source that is the file at `path`. Links are resolved, so that one file has one address.
    ///
    /// # Errors
    /// [`IngestError::Missing`], [`IngestError::Denied`] and the like.
    pub fn from_path(path: &Path) -> Result<Source, IngestError> {
        let place = path.display().to_string();
        let path = path.canonicalize().map_err(|error| IngestError::from_io(&place, &error))?;
        let uri =
            glib::filename_to_uri(&path, None).map_err(|_| IngestError::BadUri { uri: place.clone() })?;
        Ok(Source { uri: uri.into(), name: last_parts(&path, 1) })
    }

    /// Where it is, as errors write it: the file's path, or the address.
    pub fn place(&self) -> String {
        match locate(&self.uri) {
            Ok(Location::File(path)) => path.display().to_string(),
            _ => self.uri.clone(),
        }
    }

    /// What the content is known by: the file's size and a hash (XXH3, 128 bits) of its first and last 64 KiB,
    /// in hex: `size-hash`. A file that moved keeps it; so does one that changed in its middle alone. For
    /// `test://` it is the address.
    ///
    /// # Errors
    /// [`IngestError::Missing`], [`IngestError::Denied`], [`IngestError::Folder`] and the like.
    pub fn fingerprint(&self) -> Result<String, IngestError> {
        let path = match locate(&self.uri)? {
            Location::Test(_) => return Ok(self.uri.clone()),
            Location::File(path) => path,
        };
        let place = self.place();
        let (mut file, about) = open_file(&path, &place)?;
        let size = about.len();
        let read = |file: &mut File, from: u64| -> std::io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            file.take(FINGERPRINT_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let mut hash = Xxh3::new();
        for from in [0, size.saturating_sub(FINGERPRINT_BYTES)] {
            let bytes = read(&mut file, from).map_err(|error| IngestError::from_io(&place, &error))?;
            hash.update(&bytes);
        }
        Ok(format!("{size:x}-{:032x}", hash.digest128()))
    }
}

/// What an address stands for.
#[derive(Debug)]
pub(crate) enum Location {
    /// A file's path.
    File(PathBuf),
    /// A moving test picture.
    Test(TestPattern),
}

/// Takes an address apart.
pub(crate) fn locate(uri: &str) -> Result<Location, IngestError> {
    if uri.starts_with("test://") {
        return TestPattern::parse(uri).map(Location::Test);
    }
    match glib::filename_from_uri(uri) {
        Ok((path, _)) if path.is_absolute() => Ok(Location::File(path)),
        _ => Err(IngestError::BadUri { uri: uri.to_owned() }),
    }
}

/// Opens a regular file for reading. Looks before it opens: opening a pipe would wait for its writer.
pub(crate) fn open_file(path: &Path, place: &str) -> Result<(File, Metadata), IngestError> {
    let io = |error: std::io::Error| IngestError::from_io(place, &error);
    let about = std::fs::metadata(path).map_err(io)?;
    if about.is_dir() {
        return Err(IngestError::Folder { place: place.to_owned() });
    }
    if !about.is_file() {
        return Err(IngestError::NotAFile { place: place.to_owned() });
    }
    Ok((File::open(path).map_err(io)?, about))
}

/// The last `count` parts of a path, with slashes.
pub(crate) fn last_parts(path: &Path, count: usize) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts[parts.len().saturating_sub(count)..].join("/")
}
