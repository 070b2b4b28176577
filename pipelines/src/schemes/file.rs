//! A video file.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gstreamer::glib;
use xxhash_rust::xxh3::Xxh3;

use super::scheme::Scheme;
use crate::error::IngestError;
use crate::pipeline::{Head, Pipeline};
use crate::reader::Reader;
use crate::reader::{Overflow, read};
use crate::settings::Settings;
use crate::source::{Life, NamedSource, Source};

/// Bytes hashed at either end of a file.
const FINGERPRINT_BYTES: u64 = 64 * 1024;

pub(super) const SCHEME: Scheme =
    Scheme { prefix: "file://", example: "file:///path", source: |uri| FileSource::from_uri(uri)?.named() };

/// A file, which can be read again and ends.
#[derive(Clone, Debug)]
pub struct FileSource {
    uri: String,
    path: PathBuf,
}

impl FileSource {
    /// The file at a `file://` address with an absolute path. It need not exist.
    ///
    /// # Errors
    /// [`IngestError::BadUri`].
    pub fn from_uri(uri: &str) -> Result<Self, IngestError> {
        match glib::filename_from_uri(uri) {
            Ok((path, _)) if path.is_absolute() => Ok(FileSource { uri: uri.to_owned(), path }),
            _ => Err(bad(uri)),
        }
    }

    /// The file at `path`. Links are resolved, so that one file has one address.
    ///
    /// # Errors
    /// [`IngestError::Missing`], [`IngestError::Denied`] and the like.
    pub fn at(path: &Path) -> Result<Self, IngestError> {
        let place = path.display().to_string();
        let path = path.canonicalize().map_err(|error| IngestError::from_io(&place, &error))?;
        let uri = glib::filename_to_uri(&path, None).map_err(|_| bad(&place))?;
        Ok(FileSource { uri: uri.into(), path })
    }

    pub(super) fn name(&self) -> String {
        last_parts(&self.path, 1)
    }

    fn named(self) -> Result<NamedSource, IngestError> {
        Ok(NamedSource { name: self.name(), source: Arc::new(self) })
    }
}

impl Source for FileSource {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn life(&self) -> Life {
        Life::Replayable
    }

    /// The file's size and a hash (XXH3, 128 bits) of its first and last 64 KiB, in hex: `size-hash`. A file that moved keeps
    /// it; so does one that changed in its middle alone.
    fn fingerprint(&self) -> Result<String, IngestError> {
        let place = self.place();
        let (mut file, about) = open_file(&self.path, &place)?;
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

    fn open(&self, settings: &Settings) -> Result<Reader, IngestError> {
        settings.check()?;
        let place = self.place();
        let (file, about) = open_file(&self.path, &place)?;
        if about.len() == 0 {
            return Err(IngestError::Empty { place });
        }
        let pipeline = Pipeline::build(&Head::Decoded { uri: &self.uri }, settings)?;
        read(place, Some(file), pipeline, Overflow::Wait, settings)
    }
}

fn bad(uri: &str) -> IngestError {
    IngestError::BadUri { uri: uri.to_owned(), wanted: "file:// and an absolute path".to_owned() }
}

/// Opens a regular file for reading. Looks before it opens: opening a pipe would wait for its writer.
fn open_file(path: &Path, place: &str) -> Result<(File, Metadata), IngestError> {
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
