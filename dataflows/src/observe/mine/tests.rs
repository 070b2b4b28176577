//! Claims about whole frame pairs.

use super::scene::{frame, texture};
use super::*;

/// A textured square of `side` at (`x`, `y`) over a background shifted by `shift`, both moving by their own texture.
fn with_square(seq: u64, shift: (f32, f32), square: (f32, f32), side: f32) -> Frame {
    frame(seq, 320, 240, |x, y| {
        let (u, v) = (x - square.0, y - square.1);
        if (0.0..side).contains(&u) && (0.0..side).contains(&v) {
            texture(u + 5000.0, v + 3000.0)
        } else {
            texture(x - shift.0, y - shift.1)
        }
    })
}

fn mine_two(settings: Settings, a: &Frame, b: &Frame) -> Mined {
    let mut miner = Miner::new(settings);
    assert_eq!(miner.mine(a).outcome, Err(Rejection::FirstFrame));
    miner.mine(b)
}

#[test]
fn a_square_that_moves_on_a_moving_background_is_found() {
    let a = with_square(0, (0.0, 0.0), (120.0, 90.0), 70.0);
    let b = with_square(1, (2.3, -1.4), (124.0, 93.0), 70.0);
    let mined = mine_two(Settings::default(), &a, &b);
    let found = mined.outcome.unwrap();
    let truth = Rect { x: 124.0, y: 93.0, w: 70.0, h: 70.0 };
    assert!(found[0].region.iou(&truth) > 0.6, "{:?}", found[0].region);
    assert_eq!(found[0].crop.w, found[0].crop.h);
    assert!(mined.inlier_share > 0.7 && mined.moving_points >= 10);
}

#[test]
fn two_squares_are_two_candidates() {
    let two = |seq, a: f32, b: f32| {
        frame(seq, 320, 240, |x, y| {
            let inside =
                |left: f32, top: f32| (left..left + 60.0).contains(&x) && (top..top + 60.0).contains(&y);
            if inside(a, 40.0) {
                texture(x - a + 5000.0, y + 3000.0)
            } else if inside(b, 140.0) {
                texture(x - b + 9000.0, y)
            } else {
                texture(x, y)
            }
        })
    };
    let mined = mine_two(Settings::default(), &two(0, 40.0, 200.0), &two(1, 43.0, 196.0));
    let found = mined.outcome.unwrap();
    for truth in [(43.0, 40.0), (196.0, 140.0)] {
        let truth = Rect { x: truth.0, y: truth.1, w: 60.0, h: 60.0 };
        assert!(found.iter().any(|c| c.region.iou(&truth) > 0.6), "{found:?}");
    }
}

#[test]
fn a_still_scene_has_too_few_moving_points() {
    let still = |seq| frame(seq, 320, 240, texture);
    let mined = mine_two(Settings::default(), &still(0), &still(1));
    assert_eq!(mined.outcome, Err(Rejection::TooFewMoving));
    assert!(mined.tracked_points > 200 && mined.inlier_share == 1.0);
}

#[test]
fn a_moving_camera_alone_gives_no_candidate() {
    for (dx, dy, zoom) in [(5.3, -2.6, 1.0), (-11.0, 7.5, 1.0), (1.0, 0.5, 1.01)] {
        let b = frame(1, 320, 240, |x, y| texture((x - dx) * zoom, (y - dy) * zoom));
        let mined = mine_two(Settings::default(), &frame(0, 320, 240, texture), &b);
        assert_eq!(mined.outcome, Err(Rejection::TooFewMoving), "{dx} {dy} {zoom}");
    }
}

#[test]
fn a_cut_is_rejected_by_its_light_or_by_its_corners() {
    let other = |light: f32| move |x: f32, y: f32| texture(x * 1.3 + 4000.0, y * 1.2 + 900.0) + light;
    for (light, why) in [(0.0, Rejection::CornersLost), (90.0, Rejection::Cut)] {
        let b = frame(1, 320, 240, other(light));
        let mined = mine_two(Settings::default(), &frame(0, 320, 240, texture), &b);
        assert_eq!(mined.outcome, Err(why), "light {light}");
    }
}

#[test]
fn the_paper_wants_a_quarter_of_the_points_to_move() {
    let small = [(120.0, 90.0), (124.0, 93.0)].map(|at| with_square(0, (0.0, 0.0), at, 50.0));
    assert_eq!(mine_two(Settings::paper(), &small[0], &small[1]).outcome, Err(Rejection::TooFewMoving));
    let large = [(60.0, 30.0), (64.0, 33.0)].map(|at| with_square(0, (0.0, 0.0), at, 180.0));
    let found = mine_two(Settings::paper(), &large[0], &large[1]).outcome.unwrap();
    assert_eq!(found.len(), 1);
    assert!((found[0].region.w - 320.0 * 227.0 / 600.0).abs() < 0.01);
    assert_eq!(found[0].region, found[0].crop);
}

#[test]
fn odd_and_tiny_frames_never_panic() {
    for (w, h) in [(1, 1), (1, 200), (200, 1), (2, 3), (7, 7), (8, 64), (16, 16), (17, 33), (101, 67)] {
        for settings in [Settings::default(), Settings::paper()] {
            let lenient =
                Settings { min_tracked: 0, min_moving: 0, min_inlier_share: 0.0, ..settings.clone() };
            for settings in [settings, lenient] {
                let mut miner = Miner::new(settings);
                for seq in 0..3 {
                    let shift = seq as f32 * 1.7;
                    miner.mine(&frame(seq, w, h, |x, y| texture(x * 3.0 - shift, y * 3.0)));
                }
            }
        }
    }
}

#[test]
fn zeroed_settings_never_panic() {
    let zero = Settings {
        max_corners: 0,
        detail: 0,
        max_detail: 0,
        pyramid_levels: 0,
        window_share: 0.0,
        link_cells: 0.0,
        max_candidates: 0,
        ..Settings::default()
    };
    let a = with_square(0, (0.0, 0.0), (120.0, 90.0), 70.0);
    let b = with_square(1, (0.0, 0.0), (124.0, 93.0), 70.0);
    mine_two(zero, &a, &b);
}

#[test]
fn a_malformed_frame_is_refused_and_forgotten() {
    let mut miner = Miner::new(Settings::default());
    let good = frame(0, 64, 48, texture);
    miner.mine(&good);
    let short = Frame { height: 49, ..good.clone() };
    let huge = Frame { width: usize::MAX, height: 3, ..good.clone() };
    for bad in [short, huge] {
        assert_eq!(miner.mine(&bad).outcome, Err(Rejection::Malformed));
        assert_eq!(miner.mine(&good).outcome, Err(Rejection::FirstFrame));
    }
}

#[test]
fn the_same_frames_give_the_same_result() {
    let frames: Vec<Frame> =
        (0..5).map(|i| with_square(i, (i as f32 * 1.3, 0.0), (100.0 + i as f32 * 4.0, 90.0), 60.0)).collect();
    let mine_all = |miner: &mut Miner| frames.iter().map(|f| miner.mine(f)).collect::<Vec<_>>();
    let mut miner = Miner::new(Settings::default());
    let first = mine_all(&mut miner);
    miner.reset();
    assert_eq!(first, mine_all(&mut miner));
    assert_eq!(first, mine_all(&mut Miner::new(Settings::default())));
    assert!(first[1].outcome.is_ok());
}

#[test]
fn reset_another_source_and_another_size_begin_anew() {
    let mut miner = Miner::new(Settings::default());
    let first = frame(0, 64, 48, texture);
    miner.mine(&first);
    assert!(miner.last_gray().is_some());
    miner.reset();
    assert!(miner.last_gray().is_none());
    assert_eq!(miner.mine(&first).outcome, Err(Rejection::FirstFrame));
    let other = Frame { source: SourceId(9), ..first.clone() };
    assert_eq!(miner.mine(&other).outcome, Err(Rejection::FirstFrame));
    let smaller = Frame { source: SourceId(9), ..frame(1, 48, 64, texture) };
    assert_eq!(miner.mine(&smaller).outcome, Err(Rejection::FirstFrame));
}

#[test]
fn rejections_are_stored_under_their_names() {
    for why in [Rejection::FirstFrame, Rejection::Cut, Rejection::TooManyMoving, Rejection::NoWindow] {
        let name = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(why.name());
        assert_eq!(Rejection::deserialize(name), Ok(why));
    }
}
