//! Kinetograph's ingest: video in through GStreamer, numbered RGB frames out. It knows nothing of the graph.
//!
//! [`expand`] turns what a user typed (paths, folders, patterns, addresses) into [`Source`]s, of the kinds that [`SCHEMES`] lists.
//! [`Source::open`] starts one: a pipeline, a thread and a bounded queue, from which a [`Reader`] gives [`Frame`]s and
//! then exactly one [`End`].
//!
//! ```
//! use kinetograph_pipelines::{Event, Settings, expand};
//!
//! let sources = expand(&["test://?frames=60&width=320&height=240&fps=30&pattern=ball".to_owned()])?.sources;
//! let reader = sources[0].source.open(&Settings { max_side: 160, ..Settings::default() })?;
//! let mut frames = 0;
//! for event in reader.receiver() {
//!     match event {
//!         Event::Frame(frame) => {
//!             assert_eq!((frame.seq, frame.width, frame.height), (frames, 160, 120));
//!             assert_eq!(frame.source_size, (320, 240));
//!             frames += 1;
//!         }
//!         Event::End(end) => assert_eq!((end.frames, end.error), (60, None)),
//!     }
//! }
//! assert_eq!(frames, 60);
//! # Ok::<(), kinetograph_pipelines::IngestError>(())
//! ```
//!
//! # What holds
//! - **Every decoded frame of a file comes out**, numbered from 0 in the order of presentation; none is dropped for being
//!   late and none is made up. A full queue makes decoding wait. A live source does not wait: what finds the queue full is
//!   dropped and counted ([`Reader::dropped`]).
//! - **The same file gives the same frames**, also a damaged one: software decoders only, one thread in each
//!   ([`Settings::decoder_threads`]).
//! - **Times** start at 0 and always grow. A variable frame rate is kept; missing times follow the frame rate
//!   (30 a second where there is none); a time not after its predecessor's becomes 1 ns after; a step back by
//!   more than 1 s, or forward by more than an hour, is a clock that started again and goes on one frame after.
//! - **Sizes**: the long side is brought down to [`Settings::max_side`], never up. Pixels that are not square
//!   are made square by taking rows or columns away, so that shapes are true and no side grows. A size that
//!   changes midway is followed: each frame has its own. A rotation tag is not applied and interlaced pictures
//!   are not taken apart.
//! - **One stream**: the first video stream; sound, subtitles and other streams are not decoded.
//! - **Trouble is typed** ([`IngestError`]), names the source and says what to do. Frames decoded before the
//!   damage come first, then [`End::error`]. A file shorter than its container says (MP4, MOV, AVI, Matroska,
//!   WebM, MPEG-TS) counts as damaged even where GStreamer reads it without complaint. Damage *inside* a file
//!   that the decoder covers up is not reported: fewer or patched frames come, and a clean end.
//! - **No hang**: errors are watched on the pipeline's bus, and silence ends after
//!   [`Settings::stall_timeout_s`].
//!
//! # Test pictures
//! `test://LABEL?frames=300&width=320&height=240&fps=30&pattern=ball` needs no file. Every part after `test://`
//! may be left out; the label only tells equal ones apart; `pattern` is one of GStreamer's `videotestsrc`. `frames=endless`
//! makes it live: it comes at its frame rate, has no end and cannot be read again.

mod clock;
mod container;
mod error;
mod expand;
mod fit;
mod frame;
mod pipeline;
mod reader;
mod schemes;
mod settings;
mod source;
mod test_pattern;
mod trouble;

pub use error::IngestError;
pub use expand::{Listing, VIDEO_EXTENSIONS, expand, tell_apart};
pub use frame::{End, Event, Frame};
pub use reader::Reader;
pub use schemes::{FileSource, SCHEMES, Scheme, TestSource};
pub use settings::Settings;
pub use source::{Life, NamedSource, Source};
