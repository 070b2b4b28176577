//! Brightness of a frame, and its pyramid.

use crate::observe::frame::Frame;

/// One brightness value a pixel, 0 to 255, row-major without padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gray {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height` x `width` values.
    pub data: Vec<f32>,
}

/// The same picture at full, half, quarter ... size. Pixel (x, y) of a level lies on pixel (2x, 2y) of the one before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pyramid {
    levels: Vec<Gray>,
}

/// A level is not halved when that would make its shorter side smaller than this, in pixels.
const SMALLEST_SIDE: usize = 16;

impl Gray {
    /// The luma of an RGB frame (ITU-R BT.601 weights).
    pub fn of(frame: &Frame) -> Self {
        let mut gray = Gray::default();
        gray.refill(frame);
        gray
    }

    /// Becomes the luma of `frame`, keeping the memory it has.
    pub fn refill(&mut self, frame: &Frame) {
        (self.width, self.height) = (frame.width, frame.height);
        self.data.clear();
        let luma = |p: &[u8]| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]);
        self.data.extend(frame.rgb.chunks_exact(3).map(luma));
    }

    /// The value at column `x`, row `y`.
    pub fn at(&self, x: usize, y: usize) -> f32 {
        self.data[y * self.width + x]
    }

    /// The values of row `y`.
    pub fn row(&self, y: usize) -> &[f32] {
        &self.data[y * self.width..(y + 1) * self.width]
    }

    /// Half the size, every second pixel after a 5-tap binomial blur (Burt and Adelson 1983); edges repeat.
    pub fn half(&self) -> Gray {
        let mut half = Gray::default();
        self.halve_into(&mut half);
        half
    }

    fn halve_into(&self, half: &mut Gray) {
        (half.width, half.height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        half.data.clear();
        if self.width == 0 || self.height == 0 {
            return;
        }
        half.data.reserve(half.width * half.height);
        let last = self.height - 1;
        // One blurred row with its ends repeated: two values before, three after (the third for odd widths).
        let mut blurred = vec![0.0f32; self.width + 5];
        for y in (0..self.height).step_by(2) {
            let [a, b, c, d, e] =
                [y.saturating_sub(2), y.saturating_sub(1), y, (y + 1).min(last), (y + 2).min(last)]
                    .map(|y| self.row(y));
            let inner = &mut blurred[2..2 + self.width];
            for (((((out, a), b), c), d), e) in inner.iter_mut().zip(a).zip(b).zip(c).zip(d).zip(e) {
                *out = (a + e + 4.0 * (b + d) + 6.0 * c) * (1.0 / 16.0);
            }
            let (first, end) = (inner[0], inner[self.width - 1]);
            blurred[..2].fill(first);
            blurred[2 + self.width..].fill(end);
            half.data.extend((0..half.width).map(|x| {
                let t = &blurred[2 * x..2 * x + 5];
                (t[0] + t[4] + 4.0 * (t[1] + t[3]) + 6.0 * t[2]) * (1.0 / 16.0)
            }));
        }
    }
}

impl Pyramid {
    /// `frame` at up to `levels` sizes: fewer when the frame is small, at least one.
    pub fn of(frame: &Frame, levels: usize) -> Self {
        let mut pyramid = Pyramid::default();
        pyramid.refill(frame, levels);
        pyramid
    }

    /// Becomes the pyramid of `frame`, keeping the memory it has.
    pub fn refill(&mut self, frame: &Frame, levels: usize) {
        let mut count = 1;
        while count < levels && (frame.width.min(frame.height) >> count) >= SMALLEST_SIDE {
            count += 1;
        }
        self.levels.resize_with(count, Gray::default);
        self.levels[0].refill(frame);
        for level in 1..count {
            let (above, below) = self.levels.split_at_mut(level);
            above[level - 1].halve_into(&mut below[0]);
        }
    }

    /// The sizes, the full one first.
    pub fn levels(&self) -> &[Gray] {
        &self.levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SourceId;
    use std::sync::Arc;

    fn frame(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Frame {
        let rgb = (0..width * height).flat_map(|i| [value(i % width, i / width); 3]).collect();
        let source_size = (width, height);
        Frame { source: SourceId(0), seq: 0, pts_ns: 0, width, height, source_size, rgb: Arc::new(rgb) }
    }

    #[test]
    fn half_of_a_flat_picture_is_as_bright() {
        for (w, h) in [(1, 1), (1, 9), (7, 5), (64, 33)] {
            let half = Gray::of(&frame(w, h, |_, _| 100)).half();
            assert_eq!((half.width, half.height), (w.div_ceil(2), h.div_ceil(2)));
            assert_eq!(half.data.len(), half.width * half.height);
            assert!(half.data.iter().all(|v| (v - 100.0).abs() < 0.01));
        }
    }

    #[test]
    fn a_level_keeps_the_place_of_what_it_shows() {
        let half = Gray::of(&frame(64, 64, |x, _| 2 * x as u8)).half();
        for x in 2..30 {
            assert!((half.at(x, 16) - 4.0 * x as f32).abs() < 0.01);
        }
    }

    #[test]
    fn a_refilled_pyramid_is_a_fresh_one() {
        let mut pyramid = Pyramid::of(&frame(100, 70, |x, y| (x ^ y) as u8), 4);
        assert_eq!(pyramid.levels().len(), 3);
        let small = frame(40, 41, |x, y| (x * y) as u8);
        pyramid.refill(&small, 4);
        assert_eq!(pyramid, Pyramid::of(&small, 4));
    }
}
