//! A made-up scene for tests: a textured square moving over a textured background.

use std::ops::Range;
use std::sync::Arc;

use crate::id::SourceId;
use crate::observe::frame::{Frame, Rect};

/// Says what happens in it; time in frames, lengths in pixels.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub width: usize,
    pub height: usize,
    /// The square's middle at frame 0.
    pub start: (f32, f32),
    /// Pixels a frame.
    pub velocity: (f32, f32),
    /// Factor on the side a frame.
    pub growth: f32,
    /// The square's side at frame 0.
    pub side: f32,
    /// Frames in which the square is not there.
    pub hidden: Range<u64>,
}

impl Default for Scene {
    fn default() -> Self {
        let start = (70.0, 60.0);
        Scene { width: 240, height: 180, start, velocity: (0.0, 0.0), growth: 1.0, side: 40.0, hidden: 0..0 }
    }
}

impl Scene {
    /// The square at frame `t`.
    pub(crate) fn target(&self, t: u64) -> Rect {
        let side = self.side * self.growth.powi(t as i32);
        let (x, y) = (self.start.0 + self.velocity.0 * t as f32, self.start.1 + self.velocity.1 * t as f32);
        Rect { x: x - side / 2.0, y: y - side / 2.0, w: side, h: side }
    }

    /// The picture at frame `t`.
    pub(crate) fn frame(&self, t: u64) -> Frame {
        let target = self.target(t);
        let mut rgb = Vec::with_capacity(self.width * self.height * 3);
        for y in 0..self.height {
            for x in 0..self.width {
                let (u, v) = ((x as f32 + 0.5 - target.x) / target.w, (y as f32 + 0.5 - target.y) / target.h);
                let shown = !self.hidden.contains(&t) && (0.0..1.0).contains(&u) && (0.0..1.0).contains(&v);
                let pixel = if shown { square(u, v) } else { ground(x as f32, y as f32) };
                rgb.extend(pixel.map(|value| value as u8));
            }
        }
        let source_size = (self.width, self.height);
        let (width, height) = source_size;
        Frame {
            source: SourceId(3),
            seq: t,
            pts_ns: t * 40_000_000,
            width,
            height,
            source_size,
            rgb: Arc::new(rgb),
        }
    }

    /// A picture of one grey.
    pub(crate) fn flat(width: usize, height: usize, grey: u8) -> Frame {
        let rgb = Arc::new(vec![grey; width * height * 3]);
        Frame { source: SourceId(3), seq: 0, pts_ns: 0, width, height, source_size: (width, height), rgb }
    }
}

fn square(u: f32, v: f32) -> [f32; 3] {
    let checks = ((u * 4.0) as i32 + (v * 4.0) as i32 * 3) % 5;
    [80.0 + 35.0 * checks as f32, 120.0 + 60.0 * (v * 9.0).sin(), 200.0 - 30.0 * checks as f32]
}

fn ground(x: f32, y: f32) -> [f32; 3] {
    let waves =
        (x * 0.21 + y * 0.05).sin() + (y * 0.17 - x * 0.08).cos() + (x * 0.043).sin() * (y * 0.39).sin();
    [110.0 + 25.0 * waves, 115.0 + 25.0 * waves, 100.0 + 20.0 * waves]
}
