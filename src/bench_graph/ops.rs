//! `--ops`: what comes and goes in which epoch, read line by line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The columns, in this order.
pub const COLUMNS: [&str; 6] = ["epoch", "op", "node", "track", "source", "time"];
/// Epochs stay below this, so that decisions have room to take effect after the last.
const EPOCHS: u64 = 1 << 62;

/// A node that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Its line in the file, from 1.
    pub line: u64,
    /// When.
    pub epoch: u64,
    /// The node's number in the file of vectors.
    pub node: u64,
    /// Which way.
    pub change: Change,
}

/// Which way a node goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It comes.
    Insert {
        /// The object it is a view of; names are those of its source.
        track: String,
        /// What it was seen in.
        source: String,
        /// When it was seen, nanoseconds.
        pts_ns: u64,
    },
    /// It goes; track and source may be named again.
    Delete {
        /// The track it came with.
        track: Option<String>,
        /// The source it came with.
        source: Option<String>,
    },
}

/// The fault in the operations, and its line.
#[derive(Debug, thiserror::Error)]
#[error("{}, line {line}: {fault}", path.display())]
pub struct OpsError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// The fault in it.
    pub fault: Fault,
}

/// The fault in a line.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read: the disk, or bytes that are not UTF-8.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// Too few or too many fields.
    #[error(
        "{0} fields between tabs; expected epoch, + or -, node, track, source, time (after - the node may be the last)"
    )]
    Fields(usize),
    /// A header with other columns.
    #[error("the header is `{0}`; expected epoch, op, node, track, source and time (or time_s, time_ns)")]
    Header(String),
    /// Not an epoch.
    #[error("epoch `{0}` is not a whole number below 2^62")]
    Epoch(String),
    /// An epoch after a later one.
    #[error("epoch {epoch} comes after epoch {before}; epochs may only go up")]
    Back {
        /// This line's.
        epoch: u64,
        /// The line's before.
        before: u64,
    },
    /// Neither + nor -.
    #[error("`{0}` is neither + nor -")]
    Op(String),
    /// Not a node's number.
    #[error("node `{0}` is not a whole number from 0 to 2^64 - 1")]
    Node(String),
    /// No name.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Not a time.
    #[error("time `{0}` is not {1}")]
    Time(String, &'static str),
    /// An insert of what is there.
    #[error("node {0} is there already; take it back with - first")]
    Twice(u64),
    /// A delete of what is not there.
    #[error("node {0} is not there and cannot be taken back")]
    Absent(u64),
    /// A delete that knows the node by another track or source.
    #[error("node {node} came with {what} `{came}`, not `{said}`")]
    Other {
        /// The node.
        node: u64,
        /// Track or source.
        what: &'static str,
        /// Its name when the node came.
        came: String,
        /// Its name now.
        said: String,
    },
    /// More than an id has room for.
    #[error("{0}")]
    Full(String),
    /// The node's vector cannot be used.
    #[error("{0}")]
    Vector(#[from] super::vectors::VectorsError),
}

/// The unit of the column of times.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Nanoseconds,
}

/// The operations of a file, line after line; only one is in memory.
pub struct Ops {
    path: PathBuf,
    file: BufReader<File>,
    text: String,
    line: u64,
    epoch: u64,
    unit: Unit,
    read: u64,
    bytes: u64,
}

impl Ops {
    /// Opens `path`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, OpsError> {
        let at = |error| OpsError { path: path.to_path_buf(), line: 0, fault: Fault::Unreadable(error) };
        let file = File::open(path).map_err(at)?;
        let bytes = file.metadata().map_err(at)?.len();
        Ok(Ops {
            path: path.to_path_buf(),
            file: BufReader::with_capacity(1 << 20, file),
            text: String::new(),
            line: 0,
            epoch: 0,
            unit: Unit::Seconds,
            read: 0,
            bytes,
        })
    }

    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Bytes of the whole file; 0 of a pipe.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `fault`, at `line`.
    pub fn wrong(&self, line: u64, fault: Fault) -> OpsError {
        OpsError { path: self.path.clone(), line, fault }
    }

    fn next(&mut self) -> Result<Option<Op>, OpsError> {
        loop {
            self.text.clear();
            self.line += 1;
            let read = self.file.read_line(&mut self.text);
            let read = read.map_err(|error| self.wrong(self.line, Fault::Unreadable(error)))?;
            self.read += read as u64;
            if read == 0 {
                return Ok(None);
            }
            let text = self.text.trim_end_matches(['\n', '\r']);
            if text.is_empty() {
                continue;
            }
            let fields: Vec<&str> = text.split('\t').collect();
            if self.line == 1 && fields[0] == COLUMNS[0] {
                self.unit = header(&fields).map_err(|fault| self.wrong(1, fault))?;
                continue;
            }
            let op = op(&fields, self.line, self.epoch, self.unit);
            let op = op.map_err(|fault| self.wrong(self.line, fault))?;
            self.epoch = op.epoch;
            return Ok(Some(op));
        }
    }
}

impl Iterator for Ops {
    type Item = Result<Op, OpsError>;

    fn next(&mut self) -> Option<Self::Item> {
        Ops::next(self).transpose()
    }
}

fn header(fields: &[&str]) -> Result<Unit, Fault> {
    let unit = match fields.last() {
        Some(&"time" | &"time_s") => Unit::Seconds,
        Some(&"time_ns" | &"pts_ns") => Unit::Nanoseconds,
        _ => return Err(Fault::Header(fields.join(" "))),
    };
    match fields.len() == COLUMNS.len() && fields[..5] == COLUMNS[..5] {
        true => Ok(unit),
        false => Err(Fault::Header(fields.join(" "))),
    }
}

fn op(fields: &[&str], line: u64, before: u64, unit: Unit) -> Result<Op, Fault> {
    let whole = fields.len() == COLUMNS.len();
    if !whole && !(3..=6).contains(&fields.len()) {
        return Err(Fault::Fields(fields.len()));
    }
    let epoch = fields[0].parse().ok().filter(|epoch| *epoch < EPOCHS);
    let epoch: u64 = epoch.ok_or_else(|| Fault::Epoch(fields[0].into()))?;
    if epoch < before {
        return Err(Fault::Back { epoch, before });
    }
    let node = fields[2].parse().map_err(|_| Fault::Node(fields[2].into()))?;
    let change = match fields[1] {
        "+" if !whole => return Err(Fault::Fields(fields.len())),
        "+" => {
            let name = |at: usize| match fields[at] {
                "" => Err(Fault::Empty(COLUMNS[at])),
                name => Ok(name.to_string()),
            };
            Change::Insert { track: name(3)?, source: name(4)?, pts_ns: time(fields[5], unit)? }
        }
        "-" => {
            let name = |at: usize| fields.get(at).filter(|name| !name.is_empty()).map(ToString::to_string);
            Change::Delete { track: name(3), source: name(4) }
        }
        other => return Err(Fault::Op(other.into())),
    };
    Ok(Op { line, epoch, node, change })
}

/// Nanoseconds, exactly: a decimal number of seconds has no other value in binary.
fn time(text: &str, unit: Unit) -> Result<u64, Fault> {
    let found = match unit {
        Unit::Nanoseconds => text.parse().ok(),
        Unit::Seconds => seconds(text),
    };
    let what = match unit {
        Unit::Nanoseconds => "a whole number of nanoseconds below 2^64",
        Unit::Seconds => {
            "seconds: digits, at most nine of them after a point, below 2^64 nanoseconds (a column named time_ns is nanoseconds)"
        }
    };
    found.ok_or_else(|| Fault::Time(text.into(), what))
}

fn seconds(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > 9 || !digits(whole) || !digits(part) {
        return None;
    }
    let part: u64 = format!("{part:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Op>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ops.tsv");
        std::fs::write(&path, text).unwrap();
        Ops::open(&path).unwrap().collect::<Result<_, _>>().map_err(|e| e.to_string())
    }

    #[test]
    fn times_are_exact_to_the_nanosecond() {
        for (text, ns) in [("0", 0), ("12.5", 12_500_000_000), ("0.000000001", 1), ("3.", 3_000_000_000)] {
            assert_eq!(seconds(text), Some(ns), "{text}");
        }
        for text in ["", ".5", "-1", "1e3", "1.0000000001", "18446744074", "nan", "+1"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_header_says_what_times_are() {
        let row = "3\t+\t7\tcar\tyard\t12\r\n\n3\t-\t7\n";
        let ns = |text: &str| match &read(text).unwrap()[0].change {
            Change::Insert { pts_ns, .. } => *pts_ns,
            Change::Delete { .. } => panic!("not an insert"),
        };
        assert_eq!(ns(row), 12_000_000_000);
        assert_eq!(ns(&format!("epoch\top\tnode\ttrack\tsource\ttime_ns\n{row}")), 12);
        let ops = read(row).unwrap();
        assert_eq!((ops[1].line, ops[1].epoch, ops[1].node), (3, 3, 7));
        assert_eq!(ops[1].change, Change::Delete { track: None, source: None });
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for (line, words) in [
            ("1\t+\t5\tt\ts", "5 fields"),
            ("1\t+\t5\tt\ts\t0\tmore", "7 fields"),
            ("1", "1 fields"),
            ("-1\t+\t5\tt\ts\t0", "epoch `-1`"),
            ("9223372036854775807\t+\t5\tt\ts\t0", "below 2^62"),
            ("0\t+\t5\tt\ts\t0", "epoch 0 comes after epoch 1"),
            ("1\tadd\t5\tt\ts\t0", "neither + nor -"),
            ("1\t+\tfive\tt\ts\t0", "node `five`"),
            ("1\t+\t5\t\ts\t0", "the track is empty"),
            ("1\t+\t5\tt\t\t0", "the source is empty"),
            ("1\t+\t5\tt\ts\tsoon", "time `soon`"),
        ] {
            let said = read(&format!("1\t+\t4\tt\ts\t0\n{line}\n")).unwrap_err();
            assert!(said.contains("ops.tsv, line 2: ") && said.contains(words), "{said}");
        }
        assert!(read("epoch\tnode\n").unwrap_err().contains("line 1: the header"));
    }
}
