//! track as an operator: the views of finished tracks, and what was counted on the way.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::mine::Proposed;
use crate::id::SourceId;
use crate::observe::frame::Frame;
use crate::observe::image::crop::encode_still;
use crate::observe::mine::Rejection;
use crate::observe::stream::{Clock, Failures, Observed, Settings, Stage, Tally, panic_message};
use crate::observe::track::{Counts, Lost, Tracks};
use crate::time::{Diff, Epoch};

/// Quality of the JPEG stills.
const STILL_QUALITY: u8 = 85;

/// Follows proposed regions; a finished track's views, each frame's counts and the stills come out.
pub fn track<'s>(
    proposed: VecCollection<'s, Epoch, Proposed, Diff>,
    settings: &crate::observe::track::Settings,
    observe: Settings,
    failures: Failures,
    clock: Arc<Clock>,
) -> VecCollection<'s, Epoch, Observed, Diff> {
    let settings = settings.clone();
    proposed
        .inner
        .unary(Pipeline, "Track", move |_, _| {
            // The tracks of each source that is being read.
            let mut sources: HashMap<SourceId, Tracks> = HashMap::new();
            let mut follow = move |proposed: Proposed| -> Vec<Observed> {
                let (frame, replayed, regions) = match proposed {
                    Proposed::Frame { frame, replayed, regions } => (frame, replayed, regions),
                    Proposed::End(source) => {
                        sources.remove(&source);
                        return Vec::new();
                    }
                };
                let source = frame.source;
                let tracks = sources
                    .entry(source)
                    .or_insert_with(|| Tracks::new(source, settings.clone(), observe.segment_frames));
                let before = tracks.counts();
                let candidates = regions.as_deref().unwrap_or(&[]);
                let seen = catch_unwind(AssertUnwindSafe(|| {
                    let finished = tracks.step(&frame, candidates);
                    if replayed {
                        return Vec::new();
                    }
                    let views = finished.into_iter().flat_map(|f| f.views).map(Observed::View);
                    let tally = tally(&regions, &before, &tracks.counts());
                    views.chain([Observed::Tally(source, tally)]).chain(still(&frame, observe)).collect()
                }));
                seen.unwrap_or_else(|panic| {
                    let reason = format!("tracking frame {}: {}", frame.seq, panic_message(panic));
                    failures.borrow_mut().insert(source, reason);
                    sources.remove(&source);
                    Vec::new()
                })
            };
            move |input, output| {
                // In the order of arrival: a source's frames must not overtake each other.
                input.for_each(|cap, data| {
                    let mut session = output.session(&cap);
                    for (proposed, epoch, diff) in data.drain(..) {
                        for observed in clock.time(Stage::Track, || follow(proposed)) {
                            session.give((observed, epoch, diff));
                        }
                    }
                });
            }
        })
        .as_collection()
}

fn tally<T>(regions: &Result<T, Rejection>, before: &Counts, after: &Counts) -> Tally {
    let mut tally = Tally {
        frames: 1,
        tracks_started: after.started - before.started,
        tracks_finished: after.finished - before.finished,
        ..Tally::default()
    };
    match regions {
        Ok(_) => tally.mined = 1,
        Err(rejection) => drop(tally.rejected.insert(rejection.name(), 1)),
    }
    for reason in Lost::ALL {
        let new = after.lost(reason) - before.lost(reason);
        if new > 0 {
            tally.tracks_lost.insert(reason.name(), new);
        }
    }
    tally
}

fn still(frame: &Frame, settings: Settings) -> Option<Observed> {
    let due = settings.still_every > 0 && frame.seq.is_multiple_of(settings.still_every);
    let jpeg = due.then(|| encode_still(frame, STILL_QUALITY).ok()).flatten()?;
    Some(Observed::Still { source: frame.source, seq: frame.seq, jpeg: jpeg.into() })
}
