//! The picture that a `test://` address asks for.

use crate::error::IngestError;

/// GStreamer 1.22's `videotestsrc` patterns.
const PATTERNS: [&str; 26] = [
    "smpte",
    "snow",
    "black",
    "white",
    "red",
    "green",
    "blue",
    "checkers-1",
    "checkers-2",
    "checkers-4",
    "checkers-8",
    "circular",
    "blink",
    "smpte75",
    "zone-plate",
    "gamut",
    "chroma-zone-plate",
    "solid-color",
    "ball",
    "smpte100",
    "bar",
    "pinwheel",
    "spokes",
    "gradient",
    "colors",
    "smpte-rp-219",
];

/// The picture that a `test://` address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestPattern {
    /// Number of pictures; `None` for a live one, which has no end.
    pub(crate) frames: Option<i32>,
    /// Columns.
    pub(crate) width: i32,
    /// Rows.
    pub(crate) height: i32,
    /// Pictures a second, as a fraction.
    pub(crate) fps: (i32, i32),
    /// One of [`PATTERNS`].
    pub(crate) pattern: &'static str,
}

impl TestPattern {
    /// Reads `test://LABEL?frames=300&width=320&height=240&fps=30&pattern=ball`: every part after `test://` may
    /// be left out, and the label only tells two otherwise equal sources apart. `frames=endless` has no end.
    pub(crate) fn parse(uri: &str) -> Result<TestPattern, IngestError> {
        let bad = |reason: String| IngestError::BadTestPattern { uri: uri.to_owned(), reason };
        let Some(rest) = uri.strip_prefix("test://") else {
            return Err(bad("it does not begin with test://".to_owned()));
        };
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let mut test =
            TestPattern { frames: Some(300), width: 320, height: 240, fps: (30, 1), pattern: "ball" };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = |most: i32| match value.parse::<i32>() {
                Ok(n) if (1..=most).contains(&n) => Ok(n),
                _ => Err(bad(format!("{key}={value} must be a whole number from 1 to {most}"))),
            };
            match key {
                "frames" if value == "endless" => test.frames = None,
                "frames" => test.frames = Some(number(1_000_000_000)?),
                "width" => test.width = number(8192)?,
                "height" => test.height = number(8192)?,
                "fps" => {
                    test.fps = fraction(value).ok_or_else(|| {
                        bad(format!("fps={value} must be 1 to 1000, whole or a fraction such as 30000/1001"))
                    })?;
                }
                "pattern" => {
                    let known = PATTERNS.iter().find(|known| **known == value);
                    test.pattern = known.ok_or_else(|| {
                        bad(format!("pattern={value} is unknown; one of {}", PATTERNS.join(", ")))
                    })?;
                }
                _ => {
                    return Err(bad(format!(
                        "unknown parameter {key}; use frames, width, height, fps, pattern"
                    )));
                }
            }
        }
        Ok(test)
    }
}

/// "30" or "30000/1001", between 1 and 1000.
fn fraction(text: &str) -> Option<(i32, i32)> {
    let (over, under) = text.split_once('/').unwrap_or((text, "1"));
    let (over, under) = (over.parse::<i32>().ok()?, under.parse::<i32>().ok()?);
    let in_range = under > 0 && over >= under && i64::from(over) <= 1000 * i64::from(under);
    in_range.then_some((over, under))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_default_and_can_be_given() {
        let plain = TestPattern::parse("test://").unwrap();
        assert_eq!((plain.frames, plain.width, plain.height, plain.fps), (Some(300), 320, 240, (30, 1)));
        let given =
            TestPattern::parse("test://a?frames=7&width=33&height=21&fps=30000/1001&pattern=snow").unwrap();
        let want =
            TestPattern { frames: Some(7), width: 33, height: 21, fps: (30000, 1001), pattern: "snow" };
        assert_eq!(given, want);
        assert_eq!(TestPattern::parse("test://?frames=endless").unwrap().frames, None);
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, named) in [
            ("frames=0", "frames=0"),
            ("frames=-1", "frames=-1"),
            ("width=9000", "width=9000"),
            ("height=", "height="),
            ("fps=0", "fps=0"),
            ("fps=30/0", "fps=30/0"),
            ("pattern=cat", "pattern=cat"),
            ("colour=red", "colour"),
        ] {
            let error = TestPattern::parse(&format!("test://?{query}")).unwrap_err();
            assert!(matches!(&error, IngestError::BadTestPattern { .. }), "{error}");
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
