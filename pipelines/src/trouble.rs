//! From what GStreamer announces to this crate's errors.

use gstreamer as gst;

use crate::error::IngestError;

/// The trouble that was announced about one source so far.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// The first error; the ones after it are its echoes.
    error: Option<(gst::glib::Error, String)>,
    /// Formats that no plugin was found for, sound and subtitles not counted.
    missing: Option<String>,
}

impl Trouble {
    /// Takes note of one message from the bus.
    pub(crate) fn note(&mut self, place: &str, message: &gst::MessageRef) {
        match message.view() {
            gst::MessageView::Error(error) => {
                let words = error.debug().map(|debug| debug.to_string()).unwrap_or_default();
                tracing::debug!(place, error = %error.error(), words, "pipeline error");
                if self.error.is_none() {
                    self.error = Some((error.error(), words));
                }
            }
            gst::MessageView::Warning(warning) => {
                tracing::debug!(place, warning = %warning.error(), "pipeline warning");
            }
            gst::MessageView::Element(element) => {
                if let Some(what) = element.structure().and_then(missing_for_video) {
                    self.missing.get_or_insert(what);
                }
            }
            _ => {}
        }
    }

    /// Returns true when an error was announced: nothing new will be read.
    pub(crate) fn is_fatal(&self) -> bool {
        self.error.is_some()
    }

    /// Returns true when it was announced that nothing in the source can be decoded: no frame can come any more.
    pub(crate) fn is_undecodable(&self) -> bool {
        self.error.as_ref().is_some_and(|(error, words)| {
            error.matches(gst::CoreError::MissingPlugin)
                || error.matches(gst::StreamError::CodecNotFound)
                || words.contains("no suitable plugins found")
        })
    }

    /// The error for a source that gave `frames` frames; `None` when none was announced.
    pub(crate) fn verdict(&self, place: &str, frames: u64) -> Option<IngestError> {
        let (error, words) = self.error.as_ref()?;
        let place = place.to_owned();
        let reason = error.message().trim_end_matches('.').to_owned();
        Some(if frames > 0 {
            IngestError::Damaged { place, frames, reason }
        } else if let Some(codec) = self.missing.clone() {
            IngestError::MissingPlugin { place, codec }
        } else if self.is_undecodable() {
            match lacking(words).find(|(_, media)| !is_sound_or_text(media)) {
                Some((codec, _)) => IngestError::MissingPlugin { place, codec: codec.to_owned() },
                None => IngestError::NoVideoStream { place },
            }
        } else if error.matches(gst::StreamError::TypeNotFound) || error.matches(gst::StreamError::WrongType)
        {
            IngestError::NotVideo { place, reason }
        } else if error.matches(gst::ResourceError::NotFound) {
            IngestError::Missing { place }
        } else if error.matches(gst::ResourceError::NotAuthorized) {
            IngestError::Denied { place }
        } else if error.is::<gst::ResourceError>() {
            IngestError::Unreadable { place, reason }
        } else {
            IngestError::Damaged { place, frames, reason }
        })
    }
}

/// Returns what a `missing-plugin` message lacks, as GStreamer words it, unless it is for sound or text.
fn missing_for_video(structure: &gst::StructureRef) -> Option<String> {
    if structure.name() != "missing-plugin" {
        return None;
    }
    let caps = structure.get::<gst::Caps>("detail").ok();
    let media = caps.as_ref().and_then(|caps| caps.structure(0)).map(|first| first.name().to_string());
    if media.as_deref().is_some_and(is_sound_or_text) {
        return None;
    }
    structure.get::<String>("name").ok().or(media)
}

/// Streams that are not wanted. As nothing decodes them here, GStreamer lists them as lacking a decoder.
fn is_sound_or_text(media: &str) -> bool {
    ["audio/", "text/", "subpicture/", "subtitle/", "closedcaption/", "application/x-subtitle"]
        .iter()
        .any(|kind| media.starts_with(kind))
}

/// The codecs and media types in lines such as "Missing decoder: H.264 (Main Profile) (video/x-h264,
/// level=...)".
fn lacking(words: &str) -> impl Iterator<Item = (&str, &str)> {
    words.lines().filter_map(|line| line.strip_prefix("Missing decoder: ")).filter_map(|line| {
        line.match_indices(" (").find_map(|(at, _)| {
            let media = line[at + 2..].split([',', ')']).next()?;
            media.contains('/').then_some((&line[..at], media))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_what_is_lacking_are_taken_apart() {
        let words = "no suitable plugins found:\nMissing decoder: H.264 (Main Profile) (video/x-h264, level=3)\n\
                     Missing decoder: Vorbis (audio/x-vorbis)\n";
        let got: Vec<_> = lacking(words).collect();
        assert_eq!(got, [("H.264 (Main Profile)", "video/x-h264"), ("Vorbis", "audio/x-vorbis")]);
        assert!(!is_sound_or_text(got[0].1) && is_sound_or_text(got[1].1));
    }
}
