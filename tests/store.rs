//! What every store promises, and what the one on disk promises on top: whole commits whatever happens to the process,
//! the disk or the file.

mod batches;
mod compaction;
mod conformance;
mod damage;
mod full_disk;
mod gone;
mod growth;
mod processes;
