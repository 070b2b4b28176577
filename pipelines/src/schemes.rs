//! The kinds of address that can be read.
//!
//! To read another kind, write a [`Source`](crate::Source) for it in a file of its own here, and add its [`Scheme`] to [`SCHEMES`].

mod file;
mod scheme;
mod test;

use std::path::Path;
use std::sync::Arc;

pub use file::FileSource;
pub(crate) use file::last_parts;
pub use scheme::Scheme;
pub use test::TestSource;

use crate::error::IngestError;
use crate::source::NamedSource;

/// The kinds of address that can be read.
pub const SCHEMES: &[Scheme] = &[file::SCHEME, test::SCHEME];

impl NamedSource {
    /// The source at an address of one of the [`SCHEMES`]. A file need not exist.
    ///
    /// # Errors
    /// [`IngestError::BadUri`], [`IngestError::BadTestPattern`].
    pub fn from_uri(uri: &str) -> Result<NamedSource, IngestError> {
        let scheme = SCHEMES.iter().find(|scheme| uri.starts_with(scheme.prefix));
        let bad = || {
            let examples: Vec<&str> = SCHEMES.iter().map(|scheme| scheme.example).collect();
            IngestError::BadUri { uri: uri.to_owned(), wanted: format!("a path, {}", examples.join(" or ")) }
        };
        (scheme.ok_or_else(bad)?.source)(uri)
    }

    /// The source that is the file at `path`. Links are resolved, so that one file has one address.
    ///
    /// # Errors
    /// [`IngestError::Missing`], [`IngestError::Denied`] and the like.
    pub fn from_path(path: &Path) -> Result<NamedSource, IngestError> {
        let source = FileSource::at(path)?;
        Ok(NamedSource { name: source.name(), source: Arc::new(source) })
    }
}
