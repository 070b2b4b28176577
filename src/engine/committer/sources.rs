//! The part of an epoch's transaction that is about sources: positions, counts, ends and connections.

use std::collections::{BTreeMap, BTreeSet};

use kinetograph_dataflows::id::SourceId;
use kinetograph_dataflows::observe::stream::Tally;
use kinetograph_dataflows::time::Epoch;

use super::Committer;
use crate::engine::board::SourceState;
use crate::engine::events::Event;
use crate::engine::outputs::{EpochOutputs, Slice};
use crate::state::encode;
use crate::state::record::{Connection, Counts, SourceRecord};
use crate::store::{Batch, Table, key};

impl Committer {
    /// Moves positions on and adds counts, each source once; returns the sources that were touched.
    pub(super) fn put_sources(&mut self, outputs: &EpochOutputs, batch: &mut Batch) -> BTreeSet<SourceId> {
        let mut touched = BTreeSet::new();
        for (source, tally) in &outputs.tallies {
            if let Some(record) = self.sources.get_mut(source) {
                record.counts.add(&counts(tally));
                touched.insert(*source);
            }
        }
        for Slice { source, to, end, connected, .. } in &outputs.slices {
            let Some(record) = self.sources.get_mut(source) else { continue };
            record.position = record.position.max(*to);
            record.ended = end.is_some();
            record.failure = end.as_ref().and_then(|end| end.as_ref().err().cloned());
            touched.insert(*source);
            if let Some(connected) = connected {
                let connection = Connection {
                    first_ns: connected.first_ns,
                    last_ns: connected.last_ns,
                    frames: to - connected.first_seq,
                    dropped: connected.dropped,
                    ended: connected.ended.clone(),
                };
                batch.put(
                    Table::Connections,
                    key::connection(*source, connected.first_seq),
                    encode(&connection),
                );
            }
        }
        for source in &touched {
            batch.put(Table::Sources, key::source(*source), encode(&self.sources[source]));
        }
        touched
    }

    /// Tells what `epoch` did to the sources it `touched`, now that it is durable.
    pub(super) fn tell(&self, epoch: Epoch, outputs: &EpochOutputs, touched: &BTreeSet<SourceId>) {
        let (mut frames, mut nodes) = (BTreeMap::new(), BTreeMap::new());
        for (source, tally) in &outputs.tallies {
            *frames.entry(*source).or_insert(0) += tally.frames;
        }
        for node in &outputs.nodes {
            *nodes.entry(node.view.id.source()).or_insert(0) += 1;
        }
        let events = &self.parts.events;
        let ends = outputs.slices.iter().filter(|slice| slice.end.is_some());
        let ended: BTreeSet<SourceId> = ends.map(|slice| slice.source).collect();
        for source in touched {
            let record = &self.sources[source];
            self.parts.board.change(*source, |status| {
                status.position = record.position;
                status.frames += frames.get(source).copied().unwrap_or(0);
                status.nodes += nodes.get(source).copied().unwrap_or(0);
                if record.ended {
                    status.state =
                        if record.failure.is_some() { SourceState::Failed } else { SourceState::Ended };
                    status.reason = record.failure.clone();
                    status.queued = 0;
                }
            });
        }
        for record in ended.iter().map(|source| (source, &self.sources[source])) {
            let (source, SourceRecord { uri, failure, counts, .. }) = record;
            let uri = uri.clone();
            events.tell(match failure {
                Some(reason) => Event::SourceFailed { uri, reason: reason.clone() },
                None => Event::SourceEnded { id: source.0, uri, frames: counts.frames },
            });
        }
        let (frames, nodes) = (frames.values().sum(), outputs.nodes.len() as u64);
        events.tell(Event::Committed { epoch, frames, nodes });
    }
}

fn counts(tally: &Tally) -> Counts {
    let named = |counts: &BTreeMap<&'static str, u64>| {
        counts.iter().map(|(name, count)| (name.to_string(), *count)).collect()
    };
    Counts {
        frames: tally.frames,
        mined: tally.mined,
        rejected: named(&tally.rejected),
        tracks_started: tally.tracks_started,
        tracks_finished: tally.tracks_finished,
        tracks_lost: named(&tally.tracks_lost),
    }
}
