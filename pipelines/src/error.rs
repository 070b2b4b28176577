//! Errors of a source. Each names it and says what to do.

/// Why a source could not be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// A path, folder or pattern that gives no video.
    #[error("{pattern}: no video matches; check the spelling, or put the pattern in quotes")]
    NoMatch {
        /// The argument as it was given.
        pattern: String,
    },
    /// A pattern that is not a valid glob.
    #[error("{pattern}: not a valid pattern ({reason}); write a literal [ as [[]")]
    BadPattern {
        /// The argument as it was given.
        pattern: String,
        /// The fault, and where it is.
        reason: String,
    },
    /// A URI that is malformed or of a kind that is not read.
    #[error("{uri}: not an address that can be read; give {wanted}")]
    BadUri {
        /// The address as it was given.
        uri: String,
        /// The addresses that can be read instead.
        wanted: String,
    },
    /// A `test://` address with a parameter that is unknown or out of range.
    #[error("{uri}: {reason}")]
    BadTestPattern {
        /// The address as it was given.
        uri: String,
        /// Which parameter, and what it may be.
        reason: String,
    },
    /// A setting out of its range.
    #[error("setting {setting}: {reason}")]
    BadSetting {
        /// The field of [`crate::Settings`].
        setting: &'static str,
        /// The values that it may have.
        reason: String,
    },
    /// There is nothing at that path.
    #[error("{place}: no such file; check the path")]
    Missing {
        /// The path.
        place: String,
    },
    /// The file or folder may not be read.
    #[error("{place}: permission denied; make it readable for this user")]
    Denied {
        /// The path.
        place: String,
    },
    /// A folder where a file is needed.
    #[error("{place}: this is a folder; give the videos in it, or let `expand` list them")]
    Folder {
        /// The path.
        place: String,
    },
    /// Neither a file nor a folder: a pipe, a socket or a device.
    #[error("{place}: not a regular file; save the video to a file first")]
    NotAFile {
        /// The path.
        place: String,
    },
    /// A file of zero bytes.
    #[error("{place}: the file is empty; copy or record it again")]
    Empty {
        /// The path.
        place: String,
    },
    /// The operating system could not read the file.
    #[error("{place}: cannot be read ({reason}); check the disk or the network share")]
    Unreadable {
        /// The path.
        place: String,
        /// The system's own words.
        reason: String,
    },
    /// The content is not of any known video format.
    #[error("{place}: not a video ({reason}); leave it out, or convert it to mp4, mkv, webm or avi")]
    NotVideo {
        /// The path.
        place: String,
        /// GStreamer's own words.
        reason: String,
    },
    /// A media file without a video stream, such as a sound recording.
    #[error("{place}: no video stream in it (sound only?); leave it out")]
    NoVideoStream {
        /// The path.
        place: String,
    },
    /// The format is known and GStreamer's plugin for it is not installed.
    #[error("{place}: no plugin for {codec}; install it (gstreamer1.0-libav, -plugins-good, -bad or -ugly)")]
    MissingPlugin {
        /// The path.
        place: String,
        /// The missing decoder, as GStreamer names it: "H.264 decoder".
        codec: String,
    },
    /// The content breaks off or cannot be decoded further. What was decoded before it was delivered.
    #[error(
        "{place}: damaged after {frames} frames ({reason}); those are kept; fetch it again or re-encode it"
    )]
    Damaged {
        /// The path.
        place: String,
        /// Frames delivered before the damage.
        frames: u64,
        /// GStreamer's own words, or what the container's own length says.
        reason: String,
    },
    /// The pipeline neither produced a frame nor said anything for longer than `stall_timeout_s`.
    #[error(
        "{place}: nothing came for {seconds} s after {frames} frames; check the disk, or raise stall_timeout_s"
    )]
    Stalled {
        /// The path.
        place: String,
        /// The time it was waited, seconds.
        seconds: u64,
        /// Frames delivered before.
        frames: u64,
    },
    /// GStreamer itself does not work: it cannot start, or a core element is not installed.
    #[error("GStreamer: {reason}; install gstreamer1.0-plugins-base and -good")]
    GStreamer {
        /// The step that failed.
        reason: String,
    },
}

impl IngestError {
    /// The typed error for what the operating system said about `place`.
    pub(crate) fn from_io(place: &str, error: &std::io::Error) -> IngestError {
        let place = place.to_owned();
        match error.kind() {
            std::io::ErrorKind::NotFound => IngestError::Missing { place },
            std::io::ErrorKind::PermissionDenied => IngestError::Denied { place },
            _ => IngestError::Unreadable { place, reason: error.to_string() },
        }
    }
}
