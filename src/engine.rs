//! The main job: frames in, the graph kept up to date and on disk, the trainer fed.
//!
//! ```text
//! sources --(one thread each)--> workers --(one share a worker and epoch)--> committer --> store --> trainer
//!                                   ^---- decisions, committed epoch, orders -----'  ^
//!                                                                                    '-- requests -- handle
//! ```
//!
//! ```no_run
//! use kinetograph::config::Config;
//! use kinetograph::engine::{self, Options};
//!
//! let options = Options { sources: vec!["videos".into()], ..Options::new("state") };
//! let run = engine::start(&Config::default(), &options)?;
//! run.add("test://camera?frames=endless")?;
//! for event in run.events() {
//!     println!("{event:?}: {:?}", run.status().phase);
//! }
//! println!("{}", run.join()?);
//! # Ok::<(), anyhow::Error>(())
//! ```

#[cfg(feature = "ingest")]
pub mod board;
#[cfg(feature = "ingest")]
pub mod cluster;
#[cfg(feature = "ingest")]
pub mod committer;
#[cfg(feature = "ingest")]
pub mod control;
#[cfg(feature = "ingest")]
pub mod events;
pub mod feed;
#[cfg(feature = "ingest")]
pub mod handle;
#[cfg(feature = "ingest")]
pub mod lanes;
pub mod lifecycle;
pub mod member;
pub mod options;
pub mod outputs;
#[cfg(feature = "ingest")]
pub mod parts;
#[cfg(feature = "ingest")]
pub mod report;
#[cfg(feature = "ingest")]
pub mod sources;
#[cfg(feature = "ingest")]
mod start;
#[cfg(feature = "ingest")]
pub mod status;
#[cfg(feature = "ingest")]
pub mod tallies;
#[cfg(feature = "ingest")]
pub mod training;
#[cfg(feature = "ingest")]
pub mod worker;

#[cfg(feature = "ingest")]
pub use self::handle::RunHandle;
pub use self::options::Options;
#[cfg(feature = "ingest")]
pub use self::start::{start, start_over, write_report};
