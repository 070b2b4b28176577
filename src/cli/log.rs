//! The log of the command line: to standard error, above the lines of progress where there are any.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The lines of progress that are being drawn.
static LINES: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Installs the log. `RUST_LOG` says what is told (`kinetograph=debug`, for one); without it, warnings and errors are.
pub(super) fn install() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(AboveLines);
    // Whoever calls the command line from a program of their own may have a log already.
    let _ = log.try_init();
}

/// Has the log written above `lines` until it is told of others, or of none.
#[cfg(any(feature = "ingest", feature = "train"))]
pub(super) fn above(lines: Option<MultiProgress>) {
    *LINES.lock().unwrap_or_else(PoisonError::into_inner) = lines;
}

struct AboveLines;

/// One line of the log, written as a whole.
struct Line(Vec<u8>);

impl<'w> MakeWriter<'w> for AboveLines {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line(Vec::new())
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A closed standard error has nobody to be told.
        let write = || drop(io::stderr().write_all(&self.0));
        match &*LINES.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(lines) => lines.suspend(write),
            None => write(),
        }
    }
}
