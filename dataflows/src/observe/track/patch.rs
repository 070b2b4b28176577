//! A window of a frame, scaled to the size a filter wants.

use crate::observe::frame::{Frame, Rect};

/// Frame rows (and columns) that are averaged into one patch row at most. A window shrunk by more skips pixels evenly,
/// which costs little: HOG cells average over 4 x 4 patch pixels anyway.
const MOST_TAPS: usize = 4;

/// One patch pixel's place on one axis: frame pixels and their weights, which sum to 1.
struct Taps {
    at: [usize; MOST_TAPS],
    weight: [f32; MOST_TAPS],
    used: usize,
}

/// Reads `window` of `frame` as three planes (R, G, B) of `height` x `width` values, 0 to 255. Edge pixels are repeated
/// where the window reaches over. Enlarging is linear, shrinking averages.
///
/// The frame must have pixels and bytes to match, the window finite coordinates.
pub(crate) fn sample(frame: &Frame, window: Rect, width: usize, height: usize, planes: &mut Vec<f32>) {
    let columns = taps(window.x, window.w, width, frame.width);
    let rows = taps(window.y, window.h, height, frame.height);
    let first = columns.iter().flat_map(|t| &t.at[..t.used]).copied().min().unwrap_or(0);
    let last = columns.iter().flat_map(|t| &t.at[..t.used]).copied().max().unwrap_or(0);
    planes.resize(3 * width * height, 0.0);
    let (red, rest) = planes.split_at_mut(width * height);
    let (green, blue) = rest.split_at_mut(width * height);
    let mut line = vec![0.0f32; (last + 1 - first) * 3];
    for (y, row) in rows.iter().enumerate() {
        line.fill(0.0);
        for (&at, &weight) in row.at.iter().zip(&row.weight).take(row.used) {
            let from = (at * frame.width + first) * 3;
            for (sum, &value) in line.iter_mut().zip(&frame.rgb[from..]) {
                *sum += weight * f32::from(value);
            }
        }
        for (x, column) in columns.iter().enumerate() {
            let mut sum = [0.0f32; 3];
            for (&at, &weight) in column.at.iter().zip(&column.weight).take(column.used) {
                let pixel = &line[(at - first) * 3..(at - first) * 3 + 3];
                sum[0] += weight * pixel[0];
                sum[1] += weight * pixel[1];
                sum[2] += weight * pixel[2];
            }
            let to = y * width + x;
            (red[to], green[to], blue[to]) = (sum[0], sum[1], sum[2]);
        }
    }
}

/// Places on one axis: `n` patch pixels over `length` frame pixels from `start`, in a frame of `limit` pixels.
fn taps(start: f32, length: f32, n: usize, limit: usize) -> Vec<Taps> {
    let step = length / n as f32;
    let inside = |at: f32| at.clamp(0.0, limit as f32 - 1.0) as usize;
    (0..n)
        .map(|i| {
            let mut taps = Taps { at: [0; MOST_TAPS], weight: [0.0; MOST_TAPS], used: 2 };
            if step < 1.5 {
                let middle = start + (i as f32 + 0.5) * step - 0.5;
                let low = middle.floor();
                (taps.at[0], taps.at[1]) = (inside(low), inside(low + 1.0));
                (taps.weight[0], taps.weight[1]) = (1.0 - (middle - low), middle - low);
            } else {
                taps.used = (step.round() as usize).clamp(2, MOST_TAPS);
                for k in 0..taps.used {
                    let within = (k as f32 + 0.5) / taps.used as f32;
                    taps.at[k] = inside((start + (i as f32 + within) * step).floor());
                    taps.weight[k] = 1.0 / taps.used as f32;
                }
            }
            taps
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::SourceId;

    fn ramp(width: usize, height: usize) -> Frame {
        let rgb = (0..width * height).flat_map(|i| [(i % width) as u8, (i / width) as u8, 50]).collect();
        let source_size = (width, height);
        Frame { source: SourceId(1), seq: 0, pts_ns: 0, width, height, source_size, rgb: Arc::new(rgb) }
    }

    #[test]
    fn a_window_keeps_its_place_at_every_scale() {
        let frame = ramp(200, 160);
        for (w, h) in [(20, 16), (40, 32), (80, 64), (160, 128)] {
            let mut planes = Vec::new();
            sample(&frame, Rect { x: 20.0, y: 10.0, w: 80.0, h: 64.0 }, w, h, &mut planes);
            for y in 0..h {
                for x in 0..w {
                    let expected = (
                        20.0 + (x as f32 + 0.5) * 80.0 / w as f32 - 0.5,
                        10.0 + (y as f32 + 0.5) * 64.0 / h as f32 - 0.5,
                    );
                    let got = (planes[y * w + x], planes[(h + y) * w + x]);
                    assert!((got.0 - expected.0).abs() < 0.51 && (got.1 - expected.1).abs() < 0.51);
                    assert!((planes[(2 * h + y) * w + x] - 50.0).abs() < 1e-3);
                }
            }
        }
    }

    #[test]
    fn a_window_outside_the_frame_repeats_its_edge() {
        let mut planes = Vec::new();
        sample(&ramp(50, 40), Rect { x: -500.0, y: 300.0, w: 64.0, h: 64.0 }, 16, 16, &mut planes);
        assert!(planes[..256].iter().all(|v| *v == 0.0));
        assert!(planes[256..512].iter().all(|v| (*v - 39.0).abs() < 1e-4));
    }
}
