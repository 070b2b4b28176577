//! Kinetograph's ingest.
