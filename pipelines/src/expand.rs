//! From what was typed to the list of videos.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::IngestError;
use crate::schemes::last_parts;
use crate::source::NamedSource;

/// File endings, lower case, that count as video when a folder or an open pattern is searched.
pub const VIDEO_EXTENSIONS: [&str; 32] = [
    "264", "265", "3gp", "asf", "avi", "divx", "dv", "f4v", "flv", "h264", "h265", "hevc", "ivf", "m1v",
    "m2ts", "m2v", "m4v", "mjpeg", "mjpg", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts",
    "vob", "webm", "wmv", "y4m",
];

/// The videos that `arguments` stand for, in the order given, each once.
///
/// An argument is
/// - a file's path, taken whatever its ending;
/// - a folder, searched to its depths for files that end like a video, in the order of their paths; names that
///   begin with a dot are left out;
/// - a pattern (`clips/**/cam[12]*.mp4`): what it matches, in the order of their paths. One that spells out its
///   ending takes every file it matches; an open one (`clips/*`) takes those that end like a video, and
///   searches folders;
/// - an address of one of the [schemes](crate::SCHEMES): `file://` with an absolute path, or `test://` (see the crate's page).
///
/// A path that exists is never read as a pattern. Links are resolved, and a file reached twice is listed once. What a search
/// comes by and cannot read is [skipped](Listing::skipped), and said.
///
/// # Errors
/// The first argument that gives nothing: [`IngestError::Missing`] for a path, [`IngestError::NoMatch`] for a
/// folder or pattern without a video, [`IngestError::BadPattern`], [`IngestError::BadUri`],
/// [`IngestError::BadTestPattern`], or what the system says to a folder that cannot be listed.
pub fn expand(arguments: &[String]) -> Result<Listing, IngestError> {
    let mut found = Listing::default();
    for argument in arguments {
        expand_one(argument, &mut found)?;
    }
    let mut seen = BTreeSet::new();
    found.sources.retain(|source| seen.insert(source.uri().to_owned()));
    let mut told = BTreeSet::new();
    found.skipped.retain(|skipped| told.insert(skipped.to_string()));
    tell_apart(&mut found.sources);
    Ok(found)
}

/// The sources that arguments stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The videos, each once.
    pub sources: Vec<NamedSource>,
    /// The files in a folder or by a pattern that end like a video and cannot be read: links that lead nowhere, pipes, and
    /// folders that cannot be listed. Each once.
    pub skipped: Vec<IngestError>,
}

impl Listing {
    fn count(&self) -> usize {
        self.sources.len() + self.skipped.len()
    }

    /// Adds what `path`, found in a search, is.
    fn add(&mut self, path: &Path) {
        // Without a "." on the way, so that what is named is named once.
        let path: PathBuf = path.components().collect();
        match NamedSource::from_path(&path) {
            Ok(source) if path.is_file() => self.sources.push(source),
            Ok(source) => self.skipped.push(IngestError::NotAFile { place: source.source.place() }),
            Err(error) => self.skipped.push(error),
        }
    }
}

fn expand_one(argument: &str, found: &mut Listing) -> Result<(), IngestError> {
    if argument.contains("://") {
        let named = NamedSource::from_uri(argument)?;
        match named.source.path() {
            Some(path) => add_path(path, argument, found)?,
            None => found.sources.push(named),
        }
        return Ok(());
    }
    let path = Path::new(argument);
    if path.symlink_metadata().is_ok() || !argument.contains(['*', '?', '[']) {
        return add_path(path, argument, found);
    }
    let bad = |error: glob::PatternError| IngestError::BadPattern {
        pattern: argument.to_owned(),
        reason: error.to_string(),
    };
    let own_ending = path.extension().is_some_and(|end| !end.to_string_lossy().contains(['*', '?', '[']));
    let before = found.count();
    let mut matches = Vec::new();
    // As a shell does it: a star does not stand for a leading dot.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    for entry in glob::glob_with(argument, options).map_err(bad)? {
        matches.push(entry.map_err(|error| {
            let place = error.path().display().to_string();
            IngestError::from_io(&place, error.error())
        })?);
    }
    matches.sort();
    for path in matches {
        if path.is_dir() {
            search(&path, &mut BTreeSet::new(), found)?;
        } else if own_ending || ends_like_video(&path) {
            found.add(&path);
        }
    }
    if found.count() == before {
        return Err(IngestError::NoMatch { pattern: argument.to_owned() });
    }
    Ok(())
}

/// A file as it is, a folder searched.
fn add_path(path: &Path, argument: &str, found: &mut Listing) -> Result<(), IngestError> {
    if !path.is_dir() {
        found.sources.push(NamedSource::from_path(path)?);
        return Ok(());
    }
    let before = found.count();
    search(path, &mut BTreeSet::new(), found)?;
    if found.count() == before {
        return Err(IngestError::NoMatch { pattern: argument.to_owned() });
    }
    Ok(())
}

/// Adds the videos below `folder`. `visited` holds the folders on the way, so that a link back up ends.
fn search(folder: &Path, visited: &mut BTreeSet<PathBuf>, found: &mut Listing) -> Result<(), IngestError> {
    let io = |error: std::io::Error| IngestError::from_io(&folder.display().to_string(), &error);
    if !visited.insert(folder.canonicalize().map_err(io)?) {
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        entries.push(entry.map_err(io)?.path());
    }
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if let Err(error) = search(&path, visited, found) {
                found.skipped.push(error);
            }
        } else if ends_like_video(&path) {
            found.add(&path);
        }
    }
    Ok(())
}

fn ends_like_video(path: &Path) -> bool {
    let Some(ending) = path.extension() else { return false };
    let ending = ending.to_string_lossy().to_lowercase();
    VIDEO_EXTENSIONS.contains(&ending.as_str())
}

/// Puts parent folders before the names that several files share, as many as it takes. [`expand`] has done so for what it
/// returns; lists that are put together afterwards need it again.
pub fn tell_apart(sources: &mut [NamedSource]) {
    let paths: Vec<Option<PathBuf>> =
        sources.iter().map(|source| source.source.path().map(Path::to_path_buf)).collect();
    let deepest = paths.iter().flatten().map(|path| path.iter().count()).max().unwrap_or(0);
    for depth in 2..=deepest {
        let mut once = BTreeSet::new();
        let mut shared = BTreeSet::new();
        for source in sources.iter() {
            if !once.insert(source.name.clone()) {
                shared.insert(source.name.clone());
            }
        }
        if shared.is_empty() {
            return;
        }
        for (source, path) in sources.iter_mut().zip(&paths) {
            if let (true, Some(path)) = (shared.contains(&source.name), path) {
                source.name = last_parts(path, depth);
            }
        }
    }
}
