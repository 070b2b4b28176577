//! A kind of address.

use crate::error::IngestError;
use crate::source::NamedSource;

/// A kind of address.
#[derive(Clone, Copy)]
pub struct Scheme {
    /// The beginning of such an address, `test://` for one.
    pub prefix: &'static str,
    /// An address of this kind, for messages.
    pub example: &'static str,
    /// Makes the source at an address that begins with the prefix, and the name that people know it by.
    pub source: fn(&str) -> Result<NamedSource, IngestError>,
}
