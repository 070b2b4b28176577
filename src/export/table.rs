//! Tables as text: a header line, then tabs between fields and a newline after each row.

use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;

use super::folder::Folder;

/// The characters that may not stand in a field as they are.
const ENDING: [char; 4] = ['\\', '\t', '\n', '\r'];

/// A table being written.
pub(crate) struct Tsv {
    file: BufWriter<File>,
    path: PathBuf,
    /// The row being written; kept for its memory.
    line: String,
    rows: usize,
}

impl Tsv {
    pub(crate) fn create(folder: &Folder, name: &str, columns: &[&str]) -> anyhow::Result<Self> {
        let path = folder.path(name);
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        let mut tsv = Tsv { file: BufWriter::new(file), path, line: String::new(), rows: 0 };
        let columns: Vec<&dyn Display> = columns.iter().map(|column| column as &dyn Display).collect();
        tsv.row(&columns)?;
        tsv.rows = 0;
        Ok(tsv)
    }

    /// One row. Numbers are written so that reading them gives the same number.
    pub(crate) fn row(&mut self, fields: &[&dyn Display]) -> anyhow::Result<()> {
        self.rows += 1;
        self.line.clear();
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                self.line.push('\t');
            }
            let begin = self.line.len();
            write!(self.line, "{field}")?;
            if self.line[begin..].contains(ENDING) {
                let whole = escaped(&self.line[begin..]);
                self.line.replace_range(begin.., &whole);
            }
        }
        self.line.push('\n');
        self.file.write_all(self.line.as_bytes()).with_context(|| self.path.display().to_string())
    }

    /// The number of rows, once they are all in the file.
    pub(crate) fn finish(mut self) -> anyhow::Result<usize> {
        self.file.flush().with_context(|| self.path.display().to_string())?;
        Ok(self.rows)
    }
}

/// `field` without the characters that end fields and rows: tab as `\t`, newline as `\n`, return as `\r`, and `\` as
/// `\\`.
pub fn escaped(field: &str) -> String {
    field.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_never_ends_its_field_or_row() {
        assert_eq!(escaped("a\tb\nc\r\\t"), "a\\tb\\nc\\r\\\\t");
        assert_eq!(escaped("street corner.mp4"), "street corner.mp4");
    }
}
