//! Sparse optical flow: pyramidal Lucas-Kanade with a forward-backward check.

use crate::observe::image::gray::{Gray, Pyramid};

/// Where a point was and where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    /// In the earlier picture: column, row, pixels.
    pub from: (f32, f32),
    /// In the later picture: column, row, pixels.
    pub to: (f32, f32),
}

/// The window's side in samples. A multiple of four fills vector registers; samples lie evenly around the point.
const SIDE: usize = 12;
/// The window with the ring of samples its gradients need.
const RINGED: usize = SIDE + 2;
/// From the point to the first sample, pixels.
const HALF_PX: f32 = (SIDE - 1) as f32 / 2.0;
/// Gauss-Newton steps a level at most.
const STEPS: usize = 12;
/// A level is done when a step is shorter than this, pixels of the level: the full size, then the others.
const DONE_PX: [f32; 2] = [0.02, 0.08];
/// The window's smaller mean squared gradient must be over this at full size, or the point cannot be placed.
const MIN_EIGENVALUE: f32 = 0.25;

type Patch<const N: usize> = [[f32; N]; N];

/// Follows `point` of `earlier` into `later` and back. `None` when it is lost, leaves the picture, looks different
/// there (mean absolute difference over `max_difference` grey levels, brightness offset removed), or comes back more
/// than `max_return_px` from where it began (Kalal et al., "Forward-backward error", ICPR 2010).
pub fn follow(
    earlier: &Pyramid,
    later: &Pyramid,
    point: (f32, f32),
    max_return_px: f32,
    max_difference: f32,
) -> Option<Flow> {
    let (to, difference) = track(earlier, later, point)?;
    if difference > max_difference {
        return None;
    }
    let (back, _) = track(later, earlier, to)?;
    let (x, y) = (back.0 - point.0, back.1 - point.1);
    (x * x + y * y <= max_return_px * max_return_px).then_some(Flow { from: point, to })
}

/// One way: the point's place in `later` and the mean absolute difference there. Bouguet's pyramidal scheme (2000): a
/// level starts from twice the displacement of the coarser one. Gradients are of the earlier picture and have their
/// mean taken out, so a change of brightness over the whole window does not pull.
fn track(earlier: &Pyramid, later: &Pyramid, point: (f32, f32)) -> Option<((f32, f32), f32)> {
    let (mut dx, mut dy) = (0.0f32, 0.0f32);
    let mut difference = f32::INFINITY;
    let levels = earlier.levels().iter().zip(later.levels()).enumerate();
    for (level, (a, b)) in levels.collect::<Vec<_>>().into_iter().rev() {
        let scale = 1.0 / (1u32 << level) as f32;
        let at = (point.0 * scale, point.1 * scale);
        (dx, dy) = (2.0 * dx, 2.0 * dy);
        match align(a, b, at, (dx, dy), DONE_PX[level.min(1)]) {
            Some(found) => ((dx, dy), difference) = found,
            // A coarse level too flat to say anything leaves the guess as it was.
            None if level > 0 => {}
            None => return None,
        }
    }
    let to = (point.0 + dx, point.1 + dy);
    let full = later.levels().first()?;
    let inside = |v: f32, size: usize| v >= 0.0 && v <= size as f32 - 1.0;
    (inside(to.0, full.width) && inside(to.1, full.height)).then_some((to, difference))
}

/// The displacement that lays the window of `a` around `at` onto `b`, from the guess `start`, and the mean absolute
/// difference left. `None` when the window is flat or the search runs away.
fn align(a: &Gray, b: &Gray, at: (f32, f32), start: (f32, f32), done_px: f32) -> Option<((f32, f32), f32)> {
    const COUNT: f32 = (SIDE * SIDE) as f32;
    let mut ringed: Patch<RINGED> = [[0.0; RINGED]; RINGED];
    sample(a, at.0 - HALF_PX - 1.0, at.1 - HALF_PX - 1.0, &mut ringed);

    let mut template: Patch<SIDE> = [[0.0; SIDE]; SIDE];
    let mut gx = template;
    let mut gy = template;
    let (mut sum_x, mut sum_y) = ([0.0f32; SIDE], [0.0f32; SIDE]);
    for r in 0..SIDE {
        let (above, here, below) = (&ringed[r], &ringed[r + 1], &ringed[r + 2]);
        for c in 0..SIDE {
            template[r][c] = here[c + 1];
            gx[r][c] = 0.5 * (here[c + 2] - here[c]);
            gy[r][c] = 0.5 * (below[c + 1] - above[c + 1]);
            sum_x[c] += gx[r][c];
            sum_y[c] += gy[r][c];
        }
    }
    let (mean_x, mean_y) = (total(&sum_x) / COUNT, total(&sum_y) / COUNT);
    let (mut xx, mut xy, mut yy) = ([0.0f32; SIDE], [0.0f32; SIDE], [0.0f32; SIDE]);
    for r in 0..SIDE {
        for c in 0..SIDE {
            gx[r][c] -= mean_x;
            gy[r][c] -= mean_y;
            xx[c] += gx[r][c] * gx[r][c];
            xy[c] += gx[r][c] * gy[r][c];
            yy[c] += gy[r][c] * gy[r][c];
        }
    }
    let (xx, xy, yy) = (total(&xx), total(&xy), total(&yy));
    let smaller = 0.5 * (xx + yy) - (0.25 * (xx - yy) * (xx - yy) + xy * xy).sqrt();
    let determinant = xx * yy - xy * xy;
    if smaller < MIN_EIGENVALUE * COUNT || determinant <= 0.0 {
        return None;
    }

    let (mut dx, mut dy) = start;
    let mut there: Patch<SIDE> = [[0.0; SIDE]; SIDE];
    for _ in 0..STEPS {
        sample(b, at.0 + dx - HALF_PX, at.1 + dy - HALF_PX, &mut there);
        let (mut pull_x, mut pull_y) = ([0.0f32; SIDE], [0.0f32; SIDE]);
        for r in 0..SIDE {
            for c in 0..SIDE {
                let gap = template[r][c] - there[r][c];
                pull_x[c] += gx[r][c] * gap;
                pull_y[c] += gy[r][c] * gap;
            }
        }
        let (pull_x, pull_y) = (total(&pull_x), total(&pull_y));
        let step_x = (yy * pull_x - xy * pull_y) / determinant;
        let step_y = (xx * pull_y - xy * pull_x) / determinant;
        dx += step_x;
        dy += step_y;
        let strayed = (dx - start.0).abs().max((dy - start.1).abs());
        if strayed.is_nan() || strayed > SIDE as f32 {
            return None;
        }
        if step_x * step_x + step_y * step_y < done_px * done_px {
            break;
        }
    }
    Some(((dx, dy), mean_difference(&template, &there)))
}

fn mean_difference(a: &Patch<SIDE>, b: &Patch<SIDE>) -> f32 {
    let pairs = || a.as_flattened().iter().zip(b.as_flattened());
    let count = (SIDE * SIDE) as f32;
    let offset = pairs().map(|(a, b)| a - b).sum::<f32>() / count;
    pairs().map(|(a, b)| (a - b - offset).abs()).sum::<f32>() / count
}

fn total(lanes: &[f32; SIDE]) -> f32 {
    lanes.iter().sum()
}

/// Fills `out` with bilinear samples one pixel apart, the first at (`x`, `y`). Outside the picture its edge repeats.
fn sample<const N: usize>(gray: &Gray, x: f32, y: f32, out: &mut Patch<N>) {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let (w00, w01) = ((1.0 - fx) * (1.0 - fy), fx * (1.0 - fy));
    let (w10, w11) = ((1.0 - fx) * fy, fx * fy);
    let (width, height) = (gray.width as isize, gray.height as isize);
    let (left, top) = (left as isize, top as isize);
    let reach = N as isize;
    let inside = left >= 0 && top >= 0 && left < width - reach && top < height - reach;
    if inside {
        let mut at = top as usize * gray.width + left as usize;
        for row in out.iter_mut() {
            let upper = &gray.data[at..at + N + 1];
            let lower = &gray.data[at + gray.width..at + gray.width + N + 1];
            for c in 0..N {
                row[c] = w00 * upper[c] + w01 * upper[c + 1] + w10 * lower[c] + w11 * lower[c + 1];
            }
            at += gray.width;
        }
    } else {
        let value =
            |x: isize, y: isize| gray.at(x.clamp(0, width - 1) as usize, y.clamp(0, height - 1) as usize);
        for (r, row) in out.iter_mut().enumerate() {
            let y = top.saturating_add(r as isize);
            for (c, out) in row.iter_mut().enumerate() {
                let x = left.saturating_add(c as isize);
                let (x1, y1) = (x.saturating_add(1), y.saturating_add(1));
                *out = w00 * value(x, y) + w01 * value(x1, y) + w10 * value(x, y1) + w11 * value(x1, y1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::mine::corners::corners;
    use crate::observe::mine::scene::{frame, texture};

    fn pair(warp: impl Fn(f32, f32) -> (f32, f32)) -> (Pyramid, Pyramid) {
        let earlier = frame(0, 200, 160, texture);
        // The later picture shows at (x, y) what the earlier one had at the place `warp` names.
        let later = frame(1, 200, 160, |x, y| {
            let (x, y) = warp(x, y);
            texture(x, y)
        });
        (Pyramid::of(&earlier, 4), Pyramid::of(&later, 4))
    }

    fn worst(earlier: &Pyramid, later: &Pyramid, truth: impl Fn(f32, f32) -> (f32, f32)) -> (usize, f32) {
        let (mut count, mut worst) = (0, 0.0f32);
        for corner in corners(&earlier.levels()[0], 10, 4.0) {
            let from = (corner.x, corner.y);
            // What lies near the edge may leave the picture.
            if !(30.0..170.0).contains(&from.0) || !(30.0..130.0).contains(&from.1) {
                continue;
            }
            if let Some(flow) = follow(earlier, later, from, 0.5, 15.0) {
                let (tx, ty) = truth(from.0, from.1);
                count += 1;
                worst = worst.max((flow.to.0 - tx).hypot(flow.to.1 - ty));
            }
        }
        (count, worst)
    }

    #[test]
    fn a_shift_is_measured_to_a_tenth_of_a_pixel() {
        for (dx, dy) in [(0.0, 0.0), (0.37, -0.61), (3.25, 1.5), (-9.4, 6.8), (18.0, -11.3)] {
            let (a, b) = pair(|x, y| (x - dx, y - dy));
            let (count, worst) = worst(&a, &b, |x, y| (x + dx, y + dy));
            assert!(count > 60 && worst < 0.1, "({dx}, {dy}): {count} followed, worst {worst} px");
        }
    }

    #[test]
    fn a_small_turn_and_zoom_is_measured_to_a_tenth_of_a_pixel() {
        let (sin, cos) = (0.006f32.sin() * 1.004, 0.006f32.cos() * 1.004);
        let (cx, cy) = (100.0, 80.0);
        let scale = sin * sin + cos * cos;
        let forward =
            |x: f32, y: f32| (cx + cos * (x - cx) - sin * (y - cy), cy + sin * (x - cx) + cos * (y - cy));
        let inverse = |x: f32, y: f32| {
            let (x, y) = (x - cx, y - cy);
            (cx + (cos * x + sin * y) / scale, cy + (cos * y - sin * x) / scale)
        };
        let (a, b) = pair(inverse);
        let (count, worst) = worst(&a, &b, forward);
        assert!(count > 60 && worst < 0.1, "{count} followed, worst {worst} px");
    }

    #[test]
    fn brighter_light_does_not_move_anything() {
        let a = Pyramid::of(&frame(0, 200, 160, |x, y| texture(x, y) * 0.8), 4);
        let b = Pyramid::of(&frame(1, 200, 160, |x, y| texture(x, y) * 0.8 + 20.0), 4);
        let (count, worst) = worst(&a, &b, |x, y| (x, y));
        assert!(count > 60 && worst < 0.1, "{count} followed, worst {worst} px");
    }

    #[test]
    fn another_picture_is_not_followed() {
        let (a, b) = pair(|x, y| (x * 0.7 + 1000.0, y * 0.6 + 731.0));
        let (count, _) = worst(&a, &b, |x, y| (x, y));
        assert!(count < 20, "{count} followed into another picture");
    }

    #[test]
    fn a_flat_or_tiny_picture_has_no_flow() {
        for (w, h) in [(1, 1), (1, 40), (16, 16), (33, 7)] {
            let flat = Pyramid::of(&frame(0, w, h, |_, _| 90.0), 4);
            assert_eq!(follow(&flat, &flat, (w as f32 / 2.0, 0.0), 0.5, 15.0), None);
        }
    }
}
