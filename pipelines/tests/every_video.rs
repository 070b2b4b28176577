//! Each video of the shared data, against what its manifest says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kinetograph_pipelines::{Event, NamedSource, Settings};

struct Row {
    path: String,
    size: (usize, usize),
    frames: u64,
    fps: f64,
}

fn rows(manifest: &str) -> Vec<Row> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let video = ["tracking/", "video/"].iter().any(|folder| cells[0].starts_with(folder));
        let (width, height) = cells[5].split_once('x').filter(|_| video)?;
        Some(Row {
            path: cells[0].to_owned(),
            size: (width.parse().ok()?, height.parse().ok()?),
            frames: cells[6].parse().ok()?,
            fps: cells[7].parse().ok()?,
        })
    };
    manifest.lines().filter_map(row).collect()
}

fn check(row: &Row, source: &NamedSource) {
    let reader = source.source.open(&Settings::default()).unwrap();
    let started = Instant::now();
    let mut last_ns = None;
    let mut frames = 0;
    for event in reader.receiver() {
        match event {
            Event::Frame(frame) => {
                assert_eq!(frame.seq, frames, "{}", row.path);
                assert_eq!(frame.source_size, row.size, "{}", row.path);
                assert!(frame.width.max(frame.height) <= 640, "{}", row.path);
                let skew = frame.width as f64 / frame.height as f64 * row.size.1 as f64 / row.size.0 as f64;
                assert!((skew - 1.0).abs() < 0.01, "{} keeps its shape: {skew}", row.path);
                assert_eq!(frame.rgb.len(), frame.width * frame.height * 3);
                assert!(last_ns.map_or(frame.pts_ns == 0, |last| frame.pts_ns > last), "{}", row.path);
                last_ns = Some(frame.pts_ns);
                frames += 1;
            }
            Event::End(end) => {
                assert_eq!((end.frames, &end.error), (row.frames, &None), "{}", row.path);
                let seconds = last_ns.unwrap_or(0) as f64 / 1e9;
                let stated = (row.frames - 1) as f64 / row.fps;
                assert!((seconds - stated).abs() < 0.5, "{}: {seconds} s, stated {stated} s", row.path);
                let rate = frames as f64 / started.elapsed().as_secs_f64();
                println!("{}: {frames} frames, {rate:.0} frames/s", row.path);
            }
        }
    }
    assert_eq!(frames, row.frames, "{}", row.path);
}

#[test]
fn every_video_gives_the_frames_its_manifest_states() {
    let Some(data) = crate::clips::data() else { return };
    let rows = rows(&std::fs::read_to_string(data.join("MANIFEST.tsv")).unwrap());
    assert!(rows.len() >= 29, "{} videos", rows.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(row, &NamedSource::from_path(&data.join(&row.path)).unwrap());
                }
            });
        }
    });
}

#[test]
fn a_variable_frame_rate_is_kept() {
    let Some(data) = crate::clips::data() else { return };
    let (frames, _) = crate::clips::read_path(&data.join("video/traffic_camera_vfr.mp4"));
    let gaps: Vec<u64> = frames.windows(2).map(|pair| pair[1].pts_ns - pair[0].pts_ns).collect();
    let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(*most >= 2 * least, "gaps from {least} to {most} ns");
}
