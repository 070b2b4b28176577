//! The size at which a picture is delivered.

/// Sizes whose pixels are further from square than this are taken for a broken header, and shown as stored.
const WIDEST_PIXEL: f64 = 4.0;

/// The size (columns, rows) at which a picture of `size` with pixels of shape `pixel` (width over height) is
/// delivered: pixels made square, then the long side brought to at most `max_side`. Neither side ever grows:
/// wide pixels take rows away, tall ones take columns. Each side is rounded to the nearest pixel and is at
/// least 1.
pub(crate) fn fit(size: (u32, u32), pixel: (i32, i32), max_side: u32) -> (u32, u32) {
    let shape = match pixel {
        (wide, high) if wide > 0 && high > 0 => f64::from(wide) / f64::from(high),
        _ => 1.0,
    };
    let shape = if (1.0 / WIDEST_PIXEL..=WIDEST_PIXEL).contains(&shape) { shape } else { 1.0 };
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    let (width, height) = if shape >= 1.0 { (width, height / shape) } else { (width * shape, height) };
    let scale = (f64::from(max_side) / width.max(height)).min(1.0);
    let side = |length: f64| ((length * scale).round() as u32).max(1);
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_side_is_brought_down_and_never_up() {
        assert_eq!(fit((1280, 720), (1, 1), 640), (640, 360));
        assert_eq!(fit((720, 1280), (1, 1), 640), (360, 640));
        assert_eq!(fit((320, 240), (1, 1), 640), (320, 240));
        assert_eq!(fit((853, 479), (1, 1), 640), (640, 359));
        assert_eq!(fit((5000, 1), (1, 1), 640), (640, 1));
    }

    #[test]
    fn pixels_become_square_without_any_side_growing() {
        // PAL widescreen and its upright opposite.
        assert_eq!(fit((720, 576), (64, 45), 2000), (720, 405));
        assert_eq!(fit((576, 720), (45, 64), 2000), (405, 720));
        assert_eq!(fit((720, 576), (64, 45), 360), (360, 203));
        assert_eq!(fit((100, 50), (0, 1), 640), (100, 50));
        assert_eq!(fit((100, 50), (1000, 1), 640), (100, 50));
    }
}
