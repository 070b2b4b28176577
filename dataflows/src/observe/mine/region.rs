//! From moving points to objects: points that lie and move together, the box they cover, the square around it.

use crate::observe::frame::Rect;

/// A point that moves on its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mover {
    /// Place in the later picture, pixels.
    pub at: (f32, f32),
    /// Motion left after the camera's is taken out, pixels a frame.
    pub residual: (f32, f32),
}

/// Puts movers into one cluster when a chain of them links them: each closer than `link_px` to the next and moving
/// alike (the residuals differ by less than `alike` of the larger one, or half a pixel). Gives each mover its cluster's
/// number; numbers count up from 0 in the order of the clusters' first movers.
pub fn clusters(movers: &[Mover], link_px: f32, alike: f32) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..movers.len()).collect();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while parent[i] != i {
            parent[i] = parent[parent[i]];
            i = parent[i];
        }
        i
    }
    for i in 0..movers.len() {
        for j in 0..i {
            if linked(&movers[i], &movers[j], link_px, alike) {
                let (a, b) = (root(&mut parent, i), root(&mut parent, j));
                // The smaller index stays the root, so that a root is its cluster's first mover.
                parent[a.max(b)] = a.min(b);
            }
        }
    }
    let mut number = vec![0; movers.len()];
    let mut clusters = 0;
    for i in 0..movers.len() {
        let first = root(&mut parent, i);
        if first == i {
            number[i] = clusters;
            clusters += 1;
        } else {
            number[i] = number[first];
        }
    }
    number
}

fn linked(a: &Mover, b: &Mover, link_px: f32, alike: f32) -> bool {
    let squared = |x: f32, y: f32| x * x + y * y;
    if squared(a.at.0 - b.at.0, a.at.1 - b.at.1) > link_px * link_px {
        return false;
    }
    let gap = squared(a.residual.0 - b.residual.0, a.residual.1 - b.residual.1);
    let larger = squared(a.residual.0, a.residual.1).max(squared(b.residual.0, b.residual.1));
    gap < (alike * alike * larger).max(0.25)
}

/// The box that `points` cover, `margin_px` wider on each side, cut to the `width` x `height` picture. The outermost
/// `trim` share of the points on each side does not count. `None` without points.
pub fn cover(points: &[(f32, f32)], trim: f32, margin_px: f32, width: usize, height: usize) -> Option<Rect> {
    let last = points.len().checked_sub(1)?;
    let drop = ((points.len() as f32 * trim) as usize).min(last / 2);
    let span = |mut values: Vec<f32>, size: usize| {
        values.sort_by(f32::total_cmp);
        let low = (values[drop] - margin_px).clamp(0.0, size as f32);
        let high = (values[last - drop] + 1.0 + margin_px).clamp(low, size as f32);
        (low, high - low)
    };
    let (x, w) = span(points.iter().map(|p| p.0).collect(), width);
    let (y, h) = span(points.iter().map(|p| p.1).collect(), height);
    Some(Rect { x, y, w, h })
}

/// The square to cut around `region`: its longer side and `margin` of it more on each side, at least an eighth of the
/// picture's shorter side. It is shifted to lie inside the picture, and where it is larger than the picture it reaches over
/// both edges alike.
pub fn crop(region: &Rect, margin: f32, width: usize, height: usize) -> Rect {
    let least = width.min(height) as f32 / 8.0;
    let side = (region.w.max(region.h) * (1.0 + 2.0 * margin)).max(least).max(1.0);
    let (cx, cy) = region.centre();
    let place = |centre: f32, size: usize| {
        let room = size as f32 - side;
        if room >= 0.0 { (centre - side / 2.0).clamp(0.0, room) } else { room / 2.0 }
    };
    Rect { x: place(cx, width), y: place(cy, height), w: side, h: side }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(x: f32, y: f32, count: usize, residual: (f32, f32)) -> Vec<Mover> {
        (0..count).map(|i| Mover { at: (x + 10.0 * i as f32, y), residual }).collect()
    }

    #[test]
    fn neighbours_that_pass_each_other_are_two_clusters() {
        let mut movers = row(0.0, 50.0, 6, (3.0, 0.0));
        movers.extend(row(5.0, 55.0, 6, (-3.0, 0.0)));
        movers.extend(row(200.0, 50.0, 3, (3.0, 0.0)));
        let expected: Vec<usize> = [[0; 6].as_slice(), &[1; 6], &[2; 3]].concat();
        assert_eq!(clusters(&movers, 15.0, 0.5), expected);
    }

    #[test]
    fn a_chain_links_its_ends_whatever_the_order() {
        let mut movers = row(0.0, 0.0, 9, (1.0, 1.0));
        movers.swap(0, 8);
        movers.swap(3, 5);
        assert_eq!(clusters(&movers, 11.0, 0.3), vec![0; 9]);
        assert!(clusters(&[], 11.0, 0.3).is_empty());
    }

    #[test]
    fn the_box_covers_its_points_within_the_picture() {
        let points = [(10.0, 20.0), (40.0, 90.0), (30.0, 50.0)];
        assert_eq!(cover(&points, 0.0, 5.0, 100, 100), Some(Rect { x: 5.0, y: 15.0, w: 41.0, h: 81.0 }));
        assert_eq!(cover(&points, 0.0, 50.0, 60, 100), Some(Rect { x: 0.0, y: 0.0, w: 60.0, h: 100.0 }));
        assert_eq!(cover(&[], 0.0, 5.0, 100, 100), None);
    }

    #[test]
    fn a_stray_point_is_trimmed() {
        let mut points: Vec<(f32, f32)> = (0..40).map(|i| (100.0 + i as f32, 50.0)).collect();
        points.push((400.0, 50.0));
        let region = cover(&points, 0.05, 0.0, 500, 100).unwrap();
        assert!(region.x + region.w < 145.0, "{region:?}");
    }

    #[test]
    fn the_crop_is_square_holds_the_region_and_stays_inside() {
        for (x, y) in [(0.0, 0.0), (300.0, 150.0), (590.0, 290.0)] {
            let region = Rect { x, y, w: 50.0, h: 70.0 };
            let crop = crop(&region, 0.1, 640, 360);
            assert_eq!((crop.w, crop.h), (84.0, 84.0));
            assert!((crop.overlap(&region) - region.area()).abs() < 0.01);
            assert!(crop.x >= 0.0 && crop.y >= 0.0 && crop.x + crop.w <= 640.0 && crop.y + crop.h <= 360.0);
        }
        let small = crop(&Rect { x: 30.0, y: 30.0, w: 3.0, h: 2.0 }, 0.1, 640, 360);
        assert_eq!(small.w, 45.0);
        let wide = crop(&Rect { x: 0.0, y: 0.0, w: 640.0, h: 100.0 }, 0.0, 640, 360);
        assert_eq!((wide.x, wide.y, wide.w), (0.0, -140.0, 640.0));
    }
}
