//! mine as an operator: each frame with the regions that move in it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::id::SourceId;
use crate::observe::frame::{Frame, Rect};
use crate::observe::mine::{Miner, Rejection};
use crate::observe::stream::{Clock, Failures, Seen, Stage, panic_message};
use crate::time::{Diff, Epoch};

/// A frame and what was proposed on it.
#[derive(Clone, Debug)]
pub enum Proposed {
    /// The next frame of a source.
    Frame {
        /// The frame.
        frame: Frame,
        /// See [`Seen::Frame`].
        replayed: bool,
        /// Moving regions, best first, or why there are none.
        regions: Result<Vec<Rect>, Rejection>,
    },
    /// No more frames of this source.
    End(SourceId),
}

/// Proposes moving regions on every frame. The state of a source starts anew at each of its segments.
pub fn mine<'s>(
    frames: VecCollection<'s, Epoch, Seen, Diff>,
    settings: &crate::observe::mine::Settings,
    segment_frames: u64,
    failures: Failures,
    clock: Arc<Clock>,
) -> VecCollection<'s, Epoch, Proposed, Diff> {
    let settings = settings.clone();
    frames
        .inner
        .unary(Pipeline, "Mine", move |_, _| {
            // One miner for each source that is being read.
            let mut miners: HashMap<SourceId, Miner> = HashMap::new();
            let mut propose = move |seen: Seen| match seen {
                Seen::End(source) => {
                    miners.remove(&source);
                    Some(Proposed::End(source))
                }
                Seen::Frame { frame, replayed } => {
                    let source = frame.source;
                    if failures.borrow().contains_key(&source) {
                        return None;
                    }
                    let miner = miners.entry(source).or_insert_with(|| Miner::new(settings.clone()));
                    let regions = catch_unwind(AssertUnwindSafe(|| {
                        if frame.seq % segment_frames == 0 {
                            miner.reset();
                        }
                        miner.mine(&frame).outcome.map(|c| c.iter().map(|c| c.region).collect())
                    }));
                    match regions {
                        Ok(regions) => Some(Proposed::Frame { frame, replayed, regions }),
                        Err(panic) => {
                            let reason = format!("mining frame {}: {}", frame.seq, panic_message(panic));
                            failures.borrow_mut().insert(source, reason);
                            miners.remove(&source);
                            None
                        }
                    }
                }
            };
            move |input, output| {
                // In the order of arrival: a source's frames must not overtake each other.
                input.for_each(|cap, data| {
                    let mut session = output.session(&cap);
                    for (seen, epoch, diff) in data.drain(..) {
                        if let Some(proposed) = clock.time(Stage::Mine, || propose(seen)) {
                            session.give((proposed, epoch, diff));
                        }
                    }
                });
            }
        })
        .as_collection()
}
