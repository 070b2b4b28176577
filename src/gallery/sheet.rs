//! The contact sheet: the same highlights in one picture.

use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::PairKind;

use super::font;
use super::pick::{Album, Path};
use crate::state::StateError;
use crate::stats::grouped;

const WIDTH: u32 = 1600;
const EDGE: u32 = 48;
const INNER: u32 = WIDTH - 2 * EDGE;

const GROUND: Rgb<u8> = Rgb([251, 250, 248]);
const INK: Rgb<u8> = Rgb([29, 28, 26]);
const SOFT: Rgb<u8> = Rgb([108, 104, 98]);
const LINE: Rgb<u8> = Rgb([222, 217, 209]);
const ACCENT: Rgb<u8> = Rgb([181, 69, 27]);

/// Reads a node's crop.
pub type Crop<'c> = dyn Fn(NodeId) -> Result<Option<Vec<u8>>, StateError> + 'c;

/// A picture, [`WIDTH`] wide, that shows the best of `album`.
///
/// # Errors
/// [`StateError`] when a crop cannot be read; one that is no picture is left grey.
pub fn sheet(album: &Album, crop: &Crop<'_>) -> Result<RgbImage, StateError> {
    let mut sheet = Sheet { picture: RgbImage::from_pixel(WIDTH, 4000, GROUND), y: EDGE, crop };
    sheet.line("Kinetograph: what moved, and what belongs together", 4, INK);
    let totals = &album.totals;
    let numbers = [
        (totals.sources as u64, "videos"),
        (totals.frames, "frames"),
        (totals.tracks as u64, "tracks"),
        (totals.clusters as u64, "child clusters"),
        (totals.pairs as u64, "transitive pairs"),
        (totals.classes as u64, "classes"),
    ];
    let numbers: Vec<String> = numbers.iter().map(|(n, what)| format!("{} {what}", grouped(*n))).collect();
    sheet.line(&numbers.join("   "), 2, SOFT);
    if totals.nodes == 0 {
        sheet.line("Nothing was mined yet.", 3, INK);
    }
    sheet.tracks(album)?;
    sheet.clusters(album)?;
    sheet.pairs(album)?;
    sheet.classes(album)?;
    let height = (sheet.y + EDGE / 2).min(sheet.picture.height());
    Ok(imageops::crop_imm(&sheet.picture, 0, 0, WIDTH, height).to_image())
}

struct Sheet<'c> {
    picture: RgbImage,
    /// Where the next thing goes.
    y: u32,
    crop: &'c Crop<'c>,
}

impl Sheet<'_> {
    fn line(&mut self, text: &str, dot: u32, ink: Rgb<u8>) {
        font::write(&mut self.picture, text, EDGE, self.y, dot, ink);
        self.y += (font::ROWS + 5) * dot;
    }

    fn heading(&mut self, title: &str, caption: &str) {
        self.y += 26;
        self.fill(EDGE, self.y, INNER, 1, LINE);
        self.y += 22;
        font::write(&mut self.picture, title, EDGE, self.y, 3, INK);
        let beside = EDGE + font::width(title, 3) + 24;
        font::write(&mut self.picture, caption, beside, self.y + 7, 2, SOFT);
        self.y += 44;
    }

    fn fill(&mut self, x: u32, y: u32, w: u32, h: u32, ink: Rgb<u8>) {
        for (px, py) in (y..y + h).flat_map(|py| (x..x + w).map(move |px| (px, py))) {
            if let Some(pixel) = self.picture.get_pixel_mut_checked(px, py) {
                *pixel = ink;
            }
        }
    }

    fn label(&mut self, text: &str, middle: u32, y: u32, ink: Rgb<u8>) {
        let x = middle.saturating_sub(font::width(text, 2) / 2);
        font::write(&mut self.picture, text, x, y, 2, ink);
    }

    /// A node's crop, `side` pixels wide, its top left corner at (`x`, `y`).
    fn place(&mut self, node: NodeId, x: u32, y: u32, side: u32) -> Result<(), StateError> {
        self.fill(x, y, side, side, LINE);
        let jpeg = (self.crop)(node)?.unwrap_or_default();
        if let Ok(crop) = image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg) {
            let crop = imageops::resize(&crop.to_rgb8(), side, side, FilterType::CatmullRom);
            imageops::replace(&mut self.picture, &crop, i64::from(x), i64::from(y));
        }
        Ok(())
    }

    fn tracks(&mut self, album: &Album) -> Result<(), StateError> {
        const SIDE: u32 = 116;
        const ARROW: u32 = 36;
        const STEP: u32 = INNER / 5;
        if album.tracks.is_empty() {
            return Ok(());
        }
        self.heading("Track", "One object, when the tracker found it and when it let go.");
        for tracks in super::pick::spread(&album.tracks, 10).chunks(5) {
            for (x, (first, last)) in (EDGE..).step_by(STEP as usize).zip(tracks) {
                self.place(*first, x, self.y, SIDE)?;
                self.place(*last, x + SIDE + ARROW, self.y, SIDE)?;
                self.arrow(x + SIDE + 7, self.y + SIDE / 2, ARROW - 14);
                let frames = format!("frame {} to {}", album.frame(*first), album.frame(*last));
                font::write(&mut self.picture, &frames, x, self.y + SIDE + 10, 2, SOFT);
            }
            self.y += SIDE + 44;
        }
        self.y -= 14;
        Ok(())
    }

    fn arrow(&mut self, x: u32, y: u32, length: u32) {
        self.fill(x, y - 1, length, 2, SOFT);
        for back in 0..7 {
            self.fill(x + length - back, y - 1 - back, 2, 2, SOFT);
            self.fill(x + length - back, y - 1 + back, 2, 2, SOFT);
        }
    }

    /// Sets of crops one after the other, in at most three rows; a set is never broken.
    fn sets<'s>(&mut self, sets: impl Iterator<Item = &'s [NodeId]>) -> Result<(), StateError> {
        const COLUMNS: usize = 11;
        const STEP: u32 = INNER / COLUMNS as u32;
        let (mut column, mut rows) = (0, 1);
        for set in sets {
            if column > 0 && column + set.len() > COLUMNS {
                (column, rows) = (0, rows + 1);
                if rows > 3 {
                    break;
                }
                self.y += STEP;
            }
            for node in set.iter().take(COLUMNS) {
                self.place(*node, EDGE + column as u32 * STEP, self.y, STEP - 10)?;
                column += 1;
            }
            column += 1;
        }
        self.y += STEP;
        Ok(())
    }

    fn clusters(&mut self, album: &Album) -> Result<(), StateError> {
        if album.clusters.is_empty() {
            return Ok(());
        }
        self.heading(
            "Cluster",
            "In each set every view is among the nearest of every other one; no two are of one track.",
        );
        self.sets(album.clusters.iter().map(Vec::as_slice))
    }

    fn pairs(&mut self, album: &Album) -> Result<(), StateError> {
        if album.pairs.is_empty() {
            return Ok(());
        }
        self.heading(
            "Transitive pair",
            "A and B look alike, A' is A at another time, B' is B: so A' and B' belong together.",
        );
        for pairs in album.pairs.chunks(2).take(3) {
            let mut below = 0;
            for (x, path) in [EDGE, EDGE + INNER / 2 + 16].into_iter().zip(pairs) {
                below = below.max(self.pair(path, x)?);
            }
            self.y += below + 30;
        }
        self.y -= 22;
        Ok(())
    }

    /// A pair with its path, from (`x`, y) on; returns its height.
    fn pair(&mut self, path: &Path, x: u32) -> Result<u32, StateError> {
        const SIDE: u32 = 120;
        const GAP: u32 = 84;
        let Path { pair, score } = path;
        let (a_moved, b_moved) = (pair.kind != PairKind::BMoved, pair.kind != PairKind::AMoved);
        let mut ends = vec![("A", pair.via_a), ("B", pair.via_b)];
        if a_moved {
            ends.insert(0, ("A'", pair.a));
        }
        if b_moved {
            ends.push(("B'", pair.b));
        }
        let (y, last) = (self.y, ends.len() - 1);
        for (at, (name, node)) in ends.iter().enumerate() {
            let left = x + at as u32 * (SIDE + GAP);
            let paired = at == 0 || at == last;
            if paired {
                self.fill(left, y, SIDE, SIDE, ACCENT);
                self.place(*node, left + 4, y + 4, SIDE - 8)?;
            } else {
                self.place(*node, left + 4, y + 4, SIDE - 8)?;
            }
            self.label(name, left + SIDE / 2, y + SIDE + 8, if paired { ACCENT } else { INK });
            if at == last {
                break;
            }
            let (from, middle) = (left + SIDE + 6, y + SIDE / 2);
            let alike = name.starts_with('A') && ends[at + 1].1 == pair.via_b;
            let (above, under) =
                if alike { ("alike", format!("{score:.2}")) } else { ("track", String::new()) };
            self.label(above, left + SIDE + GAP / 2, middle - 24, SOFT);
            self.label(&under, left + SIDE + GAP / 2, middle + 12, SOFT);
            let dashes = if alike { (GAP - 12) / 12 } else { 1 };
            let dash = (GAP - 12) / dashes;
            for nth in 0..dashes {
                self.fill(from + nth * dash, middle - 1, if alike { dash - 5 } else { dash }, 2, SOFT);
            }
        }
        let (left, right) = (x + SIDE / 2 - 1, x + last as u32 * (SIDE + GAP) + SIDE / 2 - 1);
        let foot = y + SIDE + 44;
        self.fill(left, foot - 14, 2, 14, ACCENT);
        self.fill(right, foot - 14, 2, 14, ACCENT);
        self.fill(left, foot, right - left + 2, 2, ACCENT);
        let verdict = format!("{} and {} are a pair", ends[0].0, ends[last].0);
        self.label(&verdict, u32::midpoint(left, right), foot + 10, ACCENT);
        Ok(SIDE + 72)
    }

    fn classes(&mut self, album: &Album) -> Result<(), StateError> {
        if album.classes.is_empty() {
            return Ok(());
        }
        self.heading(
            "Class",
            "Everything that tracks and clusters join, directly or through others; one view a track.",
        );
        self.sets(album.classes.iter().map(|class| class.shown.as_slice()))
    }
}
