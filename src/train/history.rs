//! `loss.tsv`: one line a step, for plots and for whoever asks how training goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// The file's name in the training folder.
pub const FILE: &str = "loss.tsv";
const HEADER: &str = "step\tepoch\tloss\ttransitive\tintra\thard_share\tno_negative\tseconds";

/// One step's line of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Its ordinal, 1 for the first.
    pub step: u64,
    /// The last epoch it could know of.
    pub epoch: u64,
    /// The loss before the step's update.
    pub loss: f32,
    /// Transitive pairs in it.
    pub transitive: usize,
    /// Intra-instance pairs in it.
    pub intra: usize,
    /// Share of its negatives that were picked for being hard.
    pub hard_share: f32,
    /// Drawn pairs left out because the graph holds no negative for them.
    pub no_negative: usize,
    /// Seconds of training so far, waiting left out.
    pub seconds: f64,
}

/// The open file.
pub struct History {
    file: File,
}

impl History {
    /// Opens `dir`'s history to go on after `step`: later lines, and a torn last one, are cut off.
    ///
    /// # Errors
    /// The file system's error.
    pub fn open(dir: &Path, step: u64) -> io::Result<Self> {
        let path = dir.join(FILE);
        let rewritten = dir.join(".loss.tsv.partial");
        let mut out = BufWriter::new(File::create(&rewritten)?);
        writeln!(out, "{HEADER}")?;
        if path.exists() {
            let mut lines = BufReader::new(File::open(&path)?);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line)? > 0 {
                let known =
                    std::str::from_utf8(&line).ok().and_then(|l| l.split('\t').next()?.parse::<u64>().ok());
                if line.ends_with(b"\n") && known.is_some_and(|at| at <= step) {
                    out.write_all(&line)?;
                }
                line.clear();
            }
        }
        out.into_inner()?.sync_all()?;
        fs::rename(&rewritten, &path)?;
        Ok(History { file: OpenOptions::new().append(true).open(&path)? })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The file system's error.
    pub fn push(&mut self, line: &Line) -> io::Result<()> {
        let text = format!(
            "{}\t{}\t{}\t{}\t{}\t{:.3}\t{}\t{:.3}\n",
            line.step,
            line.epoch,
            line.loss,
            line.transitive,
            line.intra,
            line.hard_share,
            line.no_negative,
            line.seconds
        );
        self.file.write_all(text.as_bytes())
    }
}
