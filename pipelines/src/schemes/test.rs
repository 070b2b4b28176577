//! A moving test picture: with an end it is read like a file, without one it is live.

use std::sync::Arc;

use super::scheme::Scheme;
use crate::error::IngestError;
use crate::pipeline::{Head, Pipeline};
use crate::reader::Reader;
use crate::reader::{Overflow, read};
use crate::settings::Settings;
use crate::source::{Life, NamedSource, Source};
use crate::test_pattern::TestPattern;

pub(super) const SCHEME: Scheme = Scheme {
    prefix: "test://",
    example: "test://",
    source: |uri| Ok(NamedSource { name: uri.to_owned(), source: Arc::new(TestSource::from_uri(uri)?) }),
};

/// A test picture at a `test://` address, the same on every run.
#[derive(Clone, Debug)]
pub struct TestSource {
    uri: String,
    pattern: TestPattern,
}

impl TestSource {
    /// The test picture at an address: see the crate's page.
    ///
    /// # Errors
    /// [`IngestError::BadTestPattern`].
    pub fn from_uri(uri: &str) -> Result<Self, IngestError> {
        Ok(TestSource { uri: uri.to_owned(), pattern: TestPattern::parse(uri)? })
    }
}

impl Source for TestSource {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn life(&self) -> Life {
        if self.pattern.frames.is_some() { Life::Replayable } else { Life::Live }
    }

    /// The address: it says all that there is to the content.
    fn fingerprint(&self) -> Result<String, IngestError> {
        Ok(self.uri.clone())
    }

    fn open(&self, settings: &Settings) -> Result<Reader, IngestError> {
        settings.check()?;
        let pipeline = Pipeline::build(&Head::Test(&self.pattern), settings)?;
        let overflow = match self.life() {
            Life::Replayable => Overflow::Wait,
            Life::Live => Overflow::Drop,
        };
        read(self.place(), None, pipeline, overflow, settings)
    }
}
