//! A bitmap font for labels in pictures: 5 columns, 7 rows, ink from the left in the low five bits of each row.

use image::{Rgb, RgbImage};

/// Rows of a glyph above the baseline.
pub const ROWS: u32 = 7;

/// The glyphs of the characters from space to `~`.
#[rustfmt::skip]
const GLYPHS: [[u8; 7]; 95] = [
    [0, 0, 0, 0, 0, 0, 0], [4, 4, 4, 4, 4, 0, 4], [10, 10, 10, 0, 0, 0, 0], [10, 10, 31, 10, 31, 10, 10],
    [4, 15, 20, 14, 5, 30, 4], [24, 25, 2, 4, 8, 19, 3], [12, 18, 20, 8, 21, 18, 13], [4, 4, 8, 0, 0, 0, 0],
    [2, 4, 8, 8, 8, 4, 2], [8, 4, 2, 2, 2, 4, 8], [0, 4, 21, 14, 21, 4, 0], [0, 4, 4, 31, 4, 4, 0],
    [0, 0, 0, 0, 4, 4, 8], [0, 0, 0, 14, 0, 0, 0], [0, 0, 0, 0, 0, 0, 4], [1, 1, 2, 4, 8, 16, 16],
    [14, 17, 17, 17, 17, 17, 14], [4, 12, 4, 4, 4, 4, 14], [14, 17, 1, 2, 4, 8, 31], [31, 2, 4, 2, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2], [31, 16, 30, 1, 1, 17, 14], [6, 8, 16, 30, 17, 17, 14], [31, 1, 2, 4, 8, 8, 8],
    [14, 17, 17, 14, 17, 17, 14], [14, 17, 17, 15, 1, 2, 12], [0, 0, 4, 0, 0, 4, 0], [0, 0, 4, 0, 4, 4, 8],
    [2, 4, 8, 16, 8, 4, 2], [0, 0, 31, 0, 31, 0, 0], [8, 4, 2, 1, 2, 4, 8], [14, 17, 1, 2, 4, 0, 4],
    [14, 17, 1, 13, 21, 21, 14], [14, 17, 17, 17, 31, 17, 17], [30, 17, 17, 30, 17, 17, 30], [14, 17, 16, 16, 16, 17, 14],
    [28, 18, 17, 17, 17, 18, 28], [31, 16, 16, 30, 16, 16, 31], [31, 16, 16, 30, 16, 16, 16], [14, 17, 16, 23, 17, 17, 15],
    [17, 17, 17, 31, 17, 17, 17], [14, 4, 4, 4, 4, 4, 14], [7, 2, 2, 2, 2, 18, 12], [17, 18, 20, 24, 20, 18, 17],
    [16, 16, 16, 16, 16, 16, 31], [17, 27, 21, 21, 17, 17, 17], [17, 17, 25, 21, 19, 17, 17], [14, 17, 17, 17, 17, 17, 14],
    [30, 17, 17, 30, 16, 16, 16], [14, 17, 17, 17, 21, 18, 13], [30, 17, 17, 30, 20, 18, 17], [15, 16, 16, 14, 1, 1, 30],
    [31, 4, 4, 4, 4, 4, 4], [17, 17, 17, 17, 17, 17, 14], [17, 17, 17, 17, 17, 10, 4], [17, 17, 17, 21, 21, 21, 10],
    [17, 17, 10, 4, 10, 17, 17], [17, 17, 17, 10, 4, 4, 4], [31, 1, 2, 4, 8, 16, 31], [14, 8, 8, 8, 8, 8, 14],
    [16, 16, 8, 4, 2, 1, 1], [14, 2, 2, 2, 2, 2, 14], [4, 10, 17, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 31],
    [8, 4, 2, 0, 0, 0, 0], [0, 0, 14, 1, 15, 17, 15], [16, 16, 22, 25, 17, 17, 30], [0, 0, 14, 17, 16, 17, 14],
    [1, 1, 13, 19, 17, 17, 15], [0, 0, 14, 17, 31, 16, 14], [6, 9, 8, 28, 8, 8, 8], [15, 17, 17, 17, 15, 1, 14],
    [16, 16, 22, 25, 17, 17, 17], [4, 0, 4, 4, 4, 4, 4], [2, 0, 2, 2, 2, 2, 12], [16, 16, 18, 20, 24, 20, 18],
    [4, 4, 4, 4, 4, 4, 4], [0, 0, 26, 21, 21, 21, 21], [0, 0, 22, 25, 17, 17, 17], [0, 0, 14, 17, 17, 17, 14],
    [30, 17, 17, 17, 30, 16, 16], [15, 17, 17, 17, 15, 1, 1], [0, 0, 22, 25, 16, 16, 16], [0, 0, 15, 16, 14, 1, 30],
    [8, 8, 28, 8, 8, 9, 6], [0, 0, 17, 17, 17, 19, 13], [0, 0, 17, 17, 17, 10, 4], [0, 0, 17, 17, 21, 21, 10],
    [0, 0, 17, 10, 4, 10, 17], [17, 17, 17, 17, 15, 1, 14], [0, 0, 31, 2, 4, 8, 31], [2, 4, 4, 8, 4, 4, 2],
    [4, 4, 4, 4, 4, 4, 4], [8, 4, 4, 2, 4, 4, 8], [0, 0, 8, 21, 2, 0, 0],
];

/// A glyph: its rows, the columns that have ink (first, and one past the last), and how far it hangs below the line.
fn glyph(c: char) -> ([u8; 7], (u32, u32), u32) {
    let at = (c as usize).checked_sub(' ' as usize);
    let rows = at.and_then(|at| GLYPHS.get(at)).copied().unwrap_or(GLYPHS['?' as usize - ' ' as usize]);
    let ink = rows.iter().fold(0, |ink, row| ink | row);
    let columns =
        if ink == 0 { (0, 3) } else { (u32::from(ink).leading_zeros() - 27, 5 - ink.trailing_zeros()) };
    (rows, columns, if matches!(c, 'g' | 'p' | 'q' | 'y') { 2 } else { 0 })
}

/// The width of `text`, in pixels, when each dot is `dot` pixels.
pub fn width(text: &str, dot: u32) -> u32 {
    let dots: u32 = text.chars().map(|c| glyph(c).1).map(|(from, to)| to - from + 1).sum();
    dots.saturating_sub(1) * dot
}

/// Writes `text` with its top left corner at (`x`, `y`), each dot `dot` pixels; what is past the edge is cut off.
/// Characters that are not ASCII become question marks.
pub fn write(picture: &mut RgbImage, text: &str, x: u32, y: u32, dot: u32, ink: Rgb<u8>) {
    let mut left = x;
    for c in text.chars() {
        let (rows, (from, to), hangs) = glyph(c);
        for (down, row) in (0u32..).zip(rows) {
            for across in (from..to).filter(|across| row & (16 >> across) != 0) {
                let (px, py) = (left + (across - from) * dot, y + (down + hangs) * dot);
                for (dx, dy) in (0..dot).flat_map(|dy| (0..dot).map(move |dx| (dx, dy))) {
                    if let Some(pixel) = picture.get_pixel_mut_checked(px + dx, py + dy) {
                        *pixel = ink;
                    }
                }
            }
        }
        left += (to - from + 1) * dot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_wide_as_it_is_said_to_be() {
        let ink = Rgb([255; 3]);
        for text in ["Kinetograph", "A'-B' 0.93", "il|", "?"] {
            let mut picture = RgbImage::new(400, 30);
            write(&mut picture, text, 10, 5, 2, ink);
            let columns = (0..400).filter(|x| (0..30).any(|y| *picture.get_pixel(*x, y) == ink));
            let (first, last) = (columns.clone().min().unwrap(), columns.max().unwrap());
            assert_eq!((first, last + 1 - first), (10, width(text, 2)), "{text}");
        }
    }

    #[test]
    fn text_past_the_edge_is_cut_off() {
        let mut picture = RgbImage::new(4, 4);
        write(&mut picture, "\u{2248} Wide", 2, 2, 3, Rgb([1; 3]));
    }
}
