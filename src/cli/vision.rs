//! `kinetograph mine` and `kinetograph track`: the vision code alone, frame by frame.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use kinetograph_dataflows::id::SourceId;
use kinetograph_dataflows::observe::frame::{Frame, PixelBox, Rect};
use kinetograph_dataflows::observe::mine::Miner;
use kinetograph_dataflows::observe::track::Tracker;
use kinetograph_pipelines::{Event, Listing, expand};

use super::{ConfigArguments, OK};
use crate::config::Config;

#[derive(Debug, Args)]
#[command(
    after_help = "One row a frame and region (or reason): frame, region x y w h, crop x y w h, moving points, \
reason. Source pixels, frames from 0."
)]
pub(super) struct MineArguments {
    /// File or URI
    video: String,
    /// Where the rows go; - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    csv: PathBuf,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
#[command(
    after_help = "One row for each frame after the start, also when lost: frame, x, y, w, h, score, lost. \
Source pixels, frames from 0; the score is the peak-to-sidelobe ratio."
)]
pub(super) struct TrackArguments {
    /// File or URI
    video: String,
    /// Where the object is at first: frame number and box, source pixels
    #[arg(long, value_name = "FRAME,X,Y,W,H", value_parser = init)]
    init: Init,
    /// Where the rows go; - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    csv: PathBuf,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn mine(arguments: &MineArguments) -> anyhow::Result<u8> {
    let config = arguments.config.read()?;
    let mut out = create(&arguments.csv)?;
    writeln!(out, "frame,x,y,w,h,crop_x,crop_y,crop_w,crop_h,moving_points,reason")?;
    let mut miner = Miner::new(config.mine.clone());
    frames(&arguments.video, &config, |frame| {
        let mined = miner.mine(frame);
        match &mined.outcome {
            Ok(candidates) => {
                for candidate in candidates {
                    let (region, crop) = (candidate.region.in_source(frame), candidate.crop.in_source(frame));
                    let points = candidate.moving_points;
                    writeln!(out, "{},{},{},{points},", frame.seq, boxed(region), boxed(crop))?;
                }
            }
            Err(rejection) => {
                writeln!(out, "{},,,,,,,,,{},{}", frame.seq, mined.moving_points, rejection.name())?;
            }
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(OK)
}

pub(super) fn track(arguments: &TrackArguments) -> anyhow::Result<u8> {
    let config = arguments.config.read()?;
    let Init { frame: start, object } = arguments.init;
    let mut out = create(&arguments.csv)?;
    writeln!(out, "frame,x,y,w,h,score,lost")?;
    let mut tracker: Option<Tracker> = None;
    frames(&arguments.video, &config, |frame| {
        if frame.seq == start {
            let sx = frame.width as f32 / frame.source_size.0 as f32;
            let sy = frame.height as f32 / frame.source_size.1 as f32;
            let [x, y, w, h] = object;
            let region = Rect { x: x * sx, y: y * sy, w: w * sx, h: h * sy };
            tracker = Tracker::new(frame, region, &config.track);
            ensure!(
                tracker.is_some(),
                "--init {start},{}: the box is too small or outside the picture",
                object.map(|number| number.to_string()).join(",")
            );
        } else if let Some(tracker) = &mut tracker {
            let step = tracker.follow(frame);
            let region = boxed(step.region.in_source(frame));
            writeln!(out, "{},{region},{:.3},{}", frame.seq, step.psr, u8::from(step.lost))?;
        }
        Ok(())
    })?;
    ensure!(tracker.is_some(), "{}: ends before frame {start}", arguments.video);
    out.flush()?;
    Ok(OK)
}

/// Gives every frame of `video` to `each`, in order.
fn frames(
    video: &str,
    config: &Config,
    mut each: impl FnMut(&Frame) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Listing { sources, skipped } = expand(&[video.to_string()])?;
    let [source] = sources.as_slice() else {
        if let (0, Some(skipped)) = (sources.len(), skipped.into_iter().next()) {
            return Err(skipped.into());
        }
        bail!("{video}: names {} videos; give one", sources.len());
    };
    let reader = source.source.open(&config.ingest)?;
    for event in reader.receiver() {
        match event {
            Event::Frame(frame) => each(&Frame {
                source: SourceId(0),
                seq: frame.seq,
                pts_ns: frame.pts_ns,
                width: frame.width,
                height: frame.height,
                source_size: frame.source_size,
                rgb: Arc::new(frame.rgb),
            })?,
            Event::End(end) => return end.error.map_or(Ok(()), |error| Err(error.into())),
        }
    }
    Ok(())
}

fn create(path: &PathBuf) -> anyhow::Result<Box<dyn Write>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufWriter::new(std::io::stdout().lock())));
    }
    let file =
        std::fs::File::create(path).with_context(|| format!("{}: cannot be written", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn boxed(PixelBox { x, y, w, h }: PixelBox) -> String {
    format!("{x},{y},{w},{h}")
}

/// Where an object is: x, y, w, h in source pixels.
#[derive(Clone, Copy, Debug)]
struct Init {
    frame: u64,
    object: [f32; 4],
}

fn init(text: &str) -> Result<Init, String> {
    let read = || {
        let (frame, numbers) = text.split_once(',')?;
        let numbers = numbers.split(',').map(|number| number.trim().parse::<f32>().ok());
        let object: [f32; 4] = numbers.collect::<Option<Vec<_>>>()?.try_into().ok()?;
        Some(Init { frame: frame.trim().parse().ok()?, object })
    };
    let possible = |Init { object: [x, y, w, h], .. }: &Init| {
        [x, y, w, h].iter().all(|number| number.is_finite()) && *w > 0.0 && *h > 0.0
    };
    read().filter(possible).ok_or_else(|| "write it as FRAME,X,Y,W,H, for example 0,100,80,40,90".to_string())
}
