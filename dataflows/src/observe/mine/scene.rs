//! Made-up pictures with known motion, for the tests of this module.

use std::sync::Arc;

use crate::id::SourceId;
use crate::observe::frame::Frame;

/// A grey frame of source 3 whose pixel (x, y) has `value(x, y)`.
pub(crate) fn frame(seq: u64, width: usize, height: usize, value: impl Fn(f32, f32) -> f32) -> Frame {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            rgb.extend([value(x as f32, y as f32).round().clamp(0.0, 255.0) as u8; 3]);
        }
    }
    let source_size = (width, height);
    Frame {
        source: SourceId(3),
        seq,
        pts_ns: seq * 40_000_000,
        width,
        height,
        source_size,
        rgb: Arc::new(rgb),
    }
}

/// Smooth, aperiodic brightness over the whole plane, 0 to 255: noise on two grids, interpolated.
pub(crate) fn texture(x: f32, y: f32) -> f32 {
    0.6 * noise(x / 9.0, y / 9.0, 1) + 0.4 * noise(x / 23.0, y / 23.0, 2)
}

fn noise(x: f32, y: f32, seed: i64) -> f32 {
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (ease(x - left), ease(y - top));
    let knot = |dx: i64, dy: i64| {
        let mut v = (left as i64 + dx) as u64 ^ (((top as i64 + dy) as u64) << 24) ^ ((seed as u64) << 50);
        v = (v ^ v >> 31).wrapping_mul(0x7fb5_d329_728e_a185);
        v = (v ^ v >> 27).wrapping_mul(0x81da_def4_bc2d_d44d);
        ((v >> 40) & 255) as f32
    };
    let upper = knot(0, 0) * (1.0 - fx) + knot(1, 0) * fx;
    let lower = knot(0, 1) * (1.0 - fx) + knot(1, 1) * fx;
    upper * (1.0 - fy) + lower * fy
}
