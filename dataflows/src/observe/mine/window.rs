//! The window of the picture that holds the most moving points.

use crate::observe::frame::Rect;

/// Window corners lie on this grid, pixels; fine against any window.
const STEP_PX: f32 = 4.0;

/// The `side_px` square, cut to the `width` x `height` picture, that holds the most `points`: exact on a grid of 4
/// pixels, by an integral image, then put around its points where that loses none. The count is of the points inside.
/// `None` when there are no points in the picture.
pub fn densest(points: &[(f32, f32)], width: usize, height: usize, side_px: f32) -> Option<(Rect, usize)> {
    let columns = (width as f32 / STEP_PX).ceil() as usize;
    let rows = (height as f32 / STEP_PX).ceil() as usize;
    let reach = ((side_px / STEP_PX) as usize).max(1);
    let (reach_x, reach_y) = (reach.min(columns), reach.min(rows));
    // integral[(row) * (columns + 1) + column]: points above and left of that grid corner.
    let stride = columns + 1;
    let mut integral = vec![0u32; stride * (rows + 1)];
    for &(x, y) in points {
        let (column, row) = ((x / STEP_PX).floor(), (y / STEP_PX).floor());
        if column >= 0.0 && row >= 0.0 && (column as usize) < columns && (row as usize) < rows {
            integral[(row as usize + 1) * stride + column as usize + 1] += 1;
        }
    }
    for row in 1..=rows {
        let mut along = 0;
        for column in 1..=columns {
            along += integral[row * stride + column];
            integral[row * stride + column] = along + integral[(row - 1) * stride + column];
        }
    }
    let mut best = (0u32, 0usize, 0usize);
    for row in 0..=rows - reach_y {
        let upper = &integral[row * stride..][..stride];
        let lower = &integral[(row + reach_y) * stride..][..stride];
        for column in 0..=columns - reach_x {
            let right = column + reach_x;
            let count = lower[right] + upper[column] - upper[right] - lower[column];
            if count > best.0 {
                best = (count, column, row);
            }
        }
    }
    let (count, column, row) = best;
    if count == 0 {
        return None;
    }
    let (w, h) = (side_px.min(width as f32), side_px.min(height as f32));
    let found = Rect { x: column as f32 * STEP_PX, y: row as f32 * STEP_PX, w, h };
    let inside: Vec<(f32, f32)> = points.iter().filter(|p| holds(&found, **p)).copied().collect();
    let (mut left, mut top) = (f32::INFINITY, f32::INFINITY);
    let (mut right, mut bottom) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    for &(x, y) in &inside {
        (left, right) = (left.min(x), right.max(x));
        (top, bottom) = (top.min(y), bottom.max(y));
    }
    let x = ((left + right - w) / 2.0).clamp(0.0, width as f32 - w);
    let y = ((top + bottom - h) / 2.0).clamp(0.0, height as f32 - h);
    let centred = Rect { x, y, w, h };
    let count = points.iter().filter(|p| holds(&centred, **p)).count();
    Some((centred, count))
}

/// Returns whether the point lies in the box, its right and bottom edge counted in.
pub fn holds(rect: &Rect, point: (f32, f32)) -> bool {
    let (x, y) = (point.0 - rect.x, point.1 - rect.y);
    x >= 0.0 && y >= 0.0 && x <= rect.w && y <= rect.h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_sits_around_the_densest_points() {
        let mut points: Vec<(f32, f32)> = (0..30).map(|i| (i as f32 * 13.0, 5.0)).collect();
        points.extend((0..40).map(|i| (300.0 + (i % 8) as f32 * 5.0, 200.0 + (i / 8) as f32 * 5.0)));
        let (window, count) = densest(&points, 400, 300, 100.0).unwrap();
        assert_eq!(count, 40);
        assert_eq!(window.centre(), (317.5, 210.0));
    }

    #[test]
    fn no_window_holds_more() {
        let points: Vec<(f32, f32)> =
            (0..200u32).map(|i| ((i * 7919 % 397) as f32, (i * 104_729 % 293) as f32)).collect();
        let (_, count) = densest(&points, 397, 293, 80.0).unwrap();
        for y in (0..213).step_by(4) {
            for x in (0..317).step_by(4) {
                let other = Rect { x: x as f32, y: y as f32, w: 79.9, h: 79.9 };
                assert!(points.iter().filter(|p| holds(&other, **p)).count() <= count);
            }
        }
    }

    #[test]
    fn odd_pictures_and_points_outside_are_no_trouble() {
        assert_eq!(densest(&[], 100, 100, 50.0), None);
        assert_eq!(densest(&[(-5.0, 3.0), (200.0, 3.0), (f32::NAN, 1.0)], 100, 100, 50.0), None);
        let (window, count) = densest(&[(0.0, 0.0)], 1, 1, 50.0).unwrap();
        assert_eq!((window, count), (Rect { x: 0.0, y: 0.0, w: 1.0, h: 1.0 }, 1));
        assert!(densest(&[(0.0, 40.0)], 1, 50, 0.0).is_some());
    }
}
