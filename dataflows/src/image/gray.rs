//! Brightness of a frame, and its pyramid.

use crate::frame::Frame;

/// One brightness value a pixel, 0 to 255, row-major without padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Gray {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height` x `width` values.
    pub data: Vec<f32>,
}

impl Gray {
    /// The luma of an RGB frame (ITU-R BT.601 weights).
    pub fn of(frame: &Frame) -> Self {
        let data = frame
            .rgb
            .chunks_exact(3)
            .map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]))
            .collect();
        Gray { width: frame.width, height: frame.height, data }
    }

    /// The value at column `x`, row `y`.
    pub fn at(&self, x: usize, y: usize) -> f32 {
        self.data[y * self.width + x]
    }
}
