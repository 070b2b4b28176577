//! A folder that appears whole or not at all: written beside its place, then renamed into it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;

/// A folder being written. Dropped before [`Folder::finish`], it leaves nothing.
#[derive(Debug)]
pub struct Folder {
    out: PathBuf,
    partial: PathBuf,
}

impl Folder {
    /// Begins the folder that will be `out`. What is there now must be empty, or something that `is_former` knows
    /// as an earlier folder of the same `kind`.
    ///
    /// # Errors
    /// When `out` holds anything else, or nothing can be written beside it.
    pub fn begin(out: &Path, kind: &str, is_former: &dyn Fn(&Path) -> bool) -> anyhow::Result<Self> {
        let place = || out.display().to_string();
        // A path like `.` or `a/..` has no name to write beside; a link's target is what gets replaced.
        let out = match fs::canonicalize(out) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => out.to_path_buf(),
            Err(error) => return Err(error).with_context(place),
        };
        let Some(name) = out.file_name().and_then(|n| n.to_str()) else {
            bail!("{}: not a place for a folder; name one inside it", out.display());
        };
        match fs::read_dir(&out) {
            Ok(mut entries) => {
                if entries.next().is_some() && !is_former(&out) {
                    bail!("{}: not empty and not a former {kind}; choose another folder", out.display());
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| out.display().to_string()),
        }
        let partial = out.with_file_name(format!(".{name}.partial-{}", std::process::id()));
        fs::create_dir_all(&partial).with_context(|| partial.display().to_string())?;
        Ok(Folder { out, partial })
    }

    /// Where the file `name` is written for now.
    pub fn path(&self, name: &str) -> PathBuf {
        self.partial.join(name)
    }

    /// Makes the folder `name` inside.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn subfolder(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())
    }

    /// Writes `bytes` to the file `name`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path(name);
        fs::write(&path, bytes).with_context(|| path.display().to_string())
    }

    /// Writes `value` as JSON to the file `name`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(value).with_context(|| name.to_string())?;
        text.push(b'\n');
        self.write(name, &text)
    }

    /// Puts the folder in its place, and what was there away.
    ///
    /// # Errors
    /// When it cannot be renamed; what was there is then there still.
    pub fn finish(self) -> anyhow::Result<()> {
        let former = self.partial.with_extension(format!("former-{}", std::process::id()));
        let there = self.out.exists();
        if there {
            fs::rename(&self.out, &former).with_context(|| self.out.display().to_string())?;
        }
        if let Err(error) = fs::rename(&self.partial, &self.out) {
            if there {
                fs::rename(&former, &self.out).with_context(|| former.display().to_string())?;
            }
            return Err(error).with_context(|| self.out.display().to_string());
        }
        if there {
            fs::remove_dir_all(&former).with_context(|| former.display().to_string())?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Gone already after `finish`; otherwise there is nobody left to tell that a leftover stays.
        let _ = fs::remove_dir_all(&self.partial);
    }
}
