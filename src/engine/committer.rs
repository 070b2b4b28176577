//! The committer: makes each epoch durable once every worker is through with it, and takes the decisions that the closed
//! epoch calls for.

mod sources;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use crossbeam::select;
use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::index::kernels::vector::Vector;
use kinetograph_dataflows::index::node::{CellId, List};
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};
use kinetograph_dataflows::index::partition::policy::Deciding;
use kinetograph_dataflows::time::Epoch;
use xxhash_rust::xxh3::xxh3_64;

use super::cluster::{Agreed, Message};
use super::control::{Decisions, Request};
use super::events::Event;
use super::lanes::LaneOrder;
use super::member::Member;
use super::outputs::{EpochOutputs, Everywhere, NewNode, Share};
use super::parts::Parts;
use super::sources::Lanes;
use crate::budget::Evicting;
use crate::config::engine::EngineSettings;
use crate::epoch::Net;
use crate::epoch::changes;
use crate::state::history;
use crate::state::key::{self, FIRST_SPACE};
use crate::state::record::{EpochLog, NodeRecord, SourceRecord, Totals};
use crate::state::stored::{Decided, Stored};
use crate::state::view::View;
use crate::state::{State, StateError, encode, now_s};
use crate::store::{Batch, Table};

/// A cell that is too large is looked at every few epochs (`try_every_epochs`); after so many quiet ones nothing is left
/// to decide.
pub(super) const QUIET_EPOCHS: u64 = 16;

/// Why the committer stopped.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The state could not be written or read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The stored lists lead to something else than the state holds.
    #[error(
        "{place}: the stored {collection} are not what the stored lists lead to; \
         `kinetograph verify --state {place}` says where, and a new --state starts over"
    )]
    Inconsistent {
        /// The state's folder.
        place: String,
        /// The collection that differs.
        collection: &'static str,
    },
    /// A decision of our own did not fit the codebook.
    #[error("{place}: {reason}")]
    Codebook {
        /// The state's folder.
        place: String,
        /// The part that does not fit.
        reason: String,
    },
}

/// Turns complete epochs into transactions.
pub struct Committer {
    state: State,
    settings: EngineSettings,
    parts: Parts,
    decisions: Sender<(Epoch, Decided)>,
    requests: Receiver<Request>,
    lanes: Lanes,
    lane_orders: Vec<Sender<(usize, LaneOrder)>>,
    until_idle: bool,
    member: Member,
    agreed: Agreed,
    /// Epochs whose history still has crops and vectors, to be undone if another process does not commit them.
    unsettled: BTreeSet<Epoch>,
    /// The next epoch to complete.
    next: Epoch,
    /// Shares of epochs that are not complete yet.
    partial: BTreeMap<Epoch, Vec<Share>>,
    sources: BTreeMap<SourceId, SourceRecord>,
    /// The codebook after every decision taken, pending ones too.
    codebook: Codebook,
    deciding: Deciding,
    /// Epochs at which taken decisions will take effect.
    pending: BTreeSet<Epoch>,
    evicting: Evicting,
    /// Nodes told to go that are still there, by the epoch they go at.
    retiring: BTreeMap<Epoch, Vec<NodeId>>,
    totals: Totals,
    vectors: HashMap<NodeId, Vector>,
    /// Keys of the kept stills.
    stills: BTreeSet<Vec<u8>>,
    since: Epoch,
    /// Epochs in a row in which nothing was read, decided or waited for.
    quiet: u64,
}

/// The parts that a committer is made of.
pub(super) struct Setup<'a> {
    /// The state of this process, which it writes.
    pub(super) state: State,
    /// The states of all processes as they are.
    pub(super) all: &'a View<'a>,
    /// The settings of epochs.
    pub(super) settings: &'a EngineSettings,
    /// The settings that decisions about the codebook follow.
    pub(super) neighbours: &'a kinetograph_dataflows::index::partition::policy::Settings,
    /// The policy that decides which nodes go.
    pub(super) evicting: Evicting,
    /// The contents of the states of all processes.
    pub(super) stored: &'a Stored,
    /// The parts that the threads of the run share.
    pub(super) parts: Parts,
    /// Takes decisions, with the epoch at which they take effect.
    pub(super) decisions: Sender<(Epoch, Decided)>,
    /// The requests to the run.
    pub(super) requests: Receiver<Request>,
    /// The places of sources: each is read by one worker.
    pub(super) lanes: Lanes,
    /// Of each worker of this process, what takes orders for its lanes.
    pub(super) lane_orders: Vec<Sender<(usize, LaneOrder)>>,
    /// True when the run ends when nothing is left to take in.
    pub(super) until_idle: bool,
    /// The place of this process.
    pub(super) member: Member,
    /// The way that commits are agreed on.
    pub(super) agreed: Agreed,
}

impl Committer {
    /// A committer that goes on where the state stands. Decisions are taken from what all processes hold.
    ///
    /// # Errors
    /// [`CommitError`] when the state cannot be read.
    pub(super) fn new(setup: Setup<'_>) -> Result<Self, CommitError> {
        let Setup { state, all, stored, mut evicting, member, .. } = setup;
        let view = state.view()?;
        let start = view.epoch()?;
        let (mut codebook, mut deciding) = (Codebook::default(), Deciding::new(setup.neighbours.clone()));
        let mut pending = BTreeSet::new();
        for (effective, decision) in &stored.decisions {
            codebook
                .apply(decision)
                .map_err(|e| CommitError::Codebook { place: state.place(), reason: e.to_string() })?;
            if *effective > start {
                pending.insert(*effective);
            }
        }
        for (node, cell) in all.cells()? {
            deciding.change(node, cell, 1);
        }
        all.nodes()?.iter().for_each(|(node, record)| evicting.came(*node, record.epoch));
        for row in &stored.rows {
            let lists = row.known.iter().flat_map(|known| known.iter());
            evicting.lists(lists.map(|(cell, list)| (row.id, *cell, list, 1)));
        }
        stored.retiring.values().for_each(|nodes| evicting.going(nodes));
        pending.extend(stored.retiring.keys());
        let stills = view.stills()?.into_iter().map(|(rank, source, seq)| key::still(rank, source, seq));
        Ok(Committer {
            settings: setup.settings.clone(),
            parts: setup.parts,
            decisions: setup.decisions,
            requests: setup.requests,
            lanes: setup.lanes,
            lane_orders: setup.lane_orders,
            until_idle: setup.until_idle,
            member,
            agreed: setup.agreed,
            unsettled: match member.of {
                1 => BTreeSet::new(),
                _ => history::unsettled(&view, start.saturating_sub(setup.settings.max_lag_epochs * 4))?,
            },
            next: start,
            partial: BTreeMap::new(),
            sources: view.sources()?,
            codebook,
            deciding,
            pending,
            evicting,
            retiring: stored.retiring.clone(),
            totals: view.totals()?,
            vectors: stored.rows.iter().map(|row| (row.id, row.vector.clone())).collect(),
            stills: stills.collect(),
            since: view.since()?,
            quiet: 0,
            state: state.clone(),
        })
    }

    /// Commits epochs as their shares arrive, until the workers are gone or everything is taken in. A failure ends
    /// the run.
    pub fn run(mut self, shares: &Receiver<Share>) {
        let marks = match &self.agreed {
            Agreed::Together { marks, .. } => marks.clone(),
            Agreed::Alone => crossbeam::channel::never(),
        };
        loop {
            let done = select! {
                recv(shares) -> share => match share {
                    Ok(share) => self.take(share),
                    Err(_) => return,
                },
                recv(marks) -> mark => mark.map_or(Ok(()), |epoch| self.mark(epoch)),
            };
            if let Err(error) = done {
                self.parts.life.fail(error.to_string());
            }
            if self.parts.life.stopped() {
                return;
            }
        }
    }

    fn take(&mut self, share: Share) -> Result<(), CommitError> {
        self.partial.entry(share.epoch).or_default().push(share);
        while self.partial.get(&self.next).is_some_and(|shares| shares.len() == self.member.workers) {
            let shares = self.partial.remove(&self.next).unwrap_or_default();
            if self.parts.life.stopped() {
                break;
            }
            self.close(shares)?;
        }
        Ok(())
    }

    /// Notes that this process is through with `epoch`, in which another wrote something.
    fn mark(&mut self, epoch: Epoch) -> Result<(), CommitError> {
        if self.state.view()?.epoch()? < epoch {
            let mut batch = Batch::default();
            batch.put(Table::Meta, key::EPOCH, encode(&epoch));
            self.state.commit(&batch)?;
        }
        if let Agreed::Together { to, .. } = &self.agreed {
            let _ = to.send(Message::Mark(epoch));
        }
        Ok(())
    }

    fn close(&mut self, shares: Vec<Share>) -> Result<(), CommitError> {
        let epoch = self.next;
        let exhausted = shares.iter().all(|share| share.exhausted);
        let mut outputs = EpochOutputs::default();
        shares.into_iter().for_each(|share| outputs.merge(share.outputs));
        outputs.settle();
        self.next += 1;
        if let Some(reason) = outputs.changes.errors.first().cloned() {
            return Err(CommitError::Codebook { place: self.state.place(), reason });
        }
        if epoch == self.parts.life.committed() {
            // The epoch the state was read at: what follows from the stored lists must be what is stored.
            if let Some(collection) = changes::inconsistent(&outputs.changes, &self.state.view()?)? {
                return Err(CommitError::Inconsistent { place: self.state.place(), collection });
            }
            self.fill(epoch, &outputs)?;
            self.parts.life.restore();
            self.parts.events.tell(Event::Restored { epoch });
            return Ok(());
        }
        let mut retired = self.retiring.remove(&epoch).unwrap_or_default();
        let (decided, told) = match (self.member.process, self.member.of) {
            (0, 1) => {
                let nodes: Vec<_> = outputs.nodes.iter().map(|n| (n.view.id, n.vector.clone())).collect();
                self.decide(
                    epoch,
                    Told {
                        nodes: &nodes,
                        cells: &outputs.changes.of.cells,
                        lists: &outputs.changes.of.lists,
                    },
                    &retired,
                )
            }
            (0, _) => {
                let Everywhere { nodes, cells, lists } = &outputs.everywhere;
                self.decide(epoch, Told { nodes, cells, lists }, &retired)
            }
            _ => (Vec::new(), Vec::new()),
        };
        if self.member.of > 1 {
            retired = std::mem::take(&mut outputs.retired);
        }
        self.pending = self.pending.split_off(&(epoch + 1));
        let asked = Decisions::of(self.requests.try_iter().collect(), &mut self.sources, &self.parts.board);
        let nothing_decided = decided.is_empty() && told.is_empty() && asked.is_empty();
        let quiet = exhausted && self.pending.is_empty() && nothing_decided;
        let wrote = !outputs.is_empty() || !retired.is_empty() || !nothing_decided;
        if wrote {
            let going = Going { told: &told, retired: &retired };
            self.commit(epoch, outputs, &decided, going, &asked)?;
        }
        let (lanes, lane_orders) = (self.lanes, &self.lane_orders);
        asked.carry_out(&self.parts.board, &self.parts.events, |source, order| {
            let (worker, lane) = lanes.place(source);
            // There is room: workers look after each epoch, and few requests are taken in one.
            drop(lane_orders[worker].send((lane, order)));
        });
        self.quiet = if quiet { self.quiet + 1 } else { 0 };
        let effective = epoch + self.settings.decision_delay_epochs;
        if !decided.is_empty() || !told.is_empty() {
            let (codebook, retiring) = (decided.len(), told.len());
            tracing::info!(epoch, effective, codebook, retiring, "decided from a closed epoch");
            self.pending.insert(effective);
        }
        // The channel holds more than can be decided before the worker looks again.
        for (order, decision) in decided.into_iter().enumerate() {
            drop(self.decisions.send((effective, Decided::Codebook(order as u64, decision))));
        }
        if !told.is_empty() {
            drop(self.decisions.send((effective, Decided::Retire(told.clone()))));
            self.retiring.insert(effective, told);
        }
        match &self.agreed {
            Agreed::Alone => {
                self.parts.life.commit(epoch);
                match (self.quiet > QUIET_EPOCHS, self.until_idle) {
                    (true, true) => self.parts.life.finish(),
                    (true, false) => {
                        self.parts.life.rest();
                        // Asked for meanwhile, by somebody who nudged before.
                        if !self.requests.is_empty() {
                            self.parts.life.nudge();
                        }
                    }
                    (false, _) => {}
                }
            }
            Agreed::Together { to, .. } => {
                // When it is gone, it has said why.
                let _ = to.send(Message::Closed(epoch, wrote, self.quiet));
            }
        }
        Ok(())
    }

    /// Fills the collections that a state of an earlier version lacks.
    fn fill(&mut self, epoch: Epoch, outputs: &EpochOutputs) -> Result<(), CommitError> {
        let mut batch = Batch::default();
        let filled = changes::fill(&outputs.changes, &self.state.view()?, epoch, &mut batch)?;
        if !filled.is_empty() {
            tracing::info!(collections = ?filled, "filled what an earlier version did not keep");
            self.state.commit(&batch)?;
        }
        Ok(())
    }

    /// Decisions about the codebook, and nodes that are to go, after the changes of `epoch` and those that are `retired` in it.
    fn decide(
        &mut self,
        epoch: Epoch,
        Told { nodes, cells, lists }: Told<'_>,
        retired: &[NodeId],
    ) -> (Vec<Decision>, Vec<NodeId>) {
        for (node, vector) in nodes {
            self.vectors.insert(*node, vector.clone());
            self.evicting.came(*node, epoch);
        }
        cells.iter().for_each(|((node, cell), diff)| self.deciding.change(*node, *cell, *diff));
        let lists = lists.iter().map(|(((node, cell), list), diff)| (*node, *cell, list, *diff));
        self.evicting.lists(lists);
        for node in retired {
            self.vectors.remove(node);
            self.evicting.went(*node);
        }
        let vectors = &self.vectors;
        let mut decided = self.deciding.decide(epoch, &self.codebook, |node| vectors.get(&node).cloned());
        decided.retain(|decision| self.codebook.apply(decision).is_ok());
        (decided, self.evicting.decide())
    }

    fn commit(
        &mut self,
        epoch: Epoch,
        outputs: EpochOutputs,
        decided: &[Decision],
        Going { told, retired }: Going<'_>,
        asked: &Decisions,
    ) -> Result<(), CommitError> {
        let start = Instant::now();
        let mut batch = Batch::default();
        let touched = self.put_sources(&outputs, &mut batch);
        asked.put(epoch, &self.sources, &mut batch);
        for embedded in &outputs.nodes {
            let view = &embedded.view;
            let record = NodeRecord {
                seq: view.seq,
                pts_ns: view.pts_ns,
                region: view.region,
                crop_box: view.crop_box,
                epoch,
            };
            batch.put(Table::Nodes, key::node(view.id), encode(&record));
            batch.put(Table::Crops, key::node(view.id), &*view.crop);
            batch.put(Table::Vectors, key::vector(FIRST_SPACE, view.id), embedded.vector.to_bytes());
        }
        changes::put(&outputs.changes, retired, &mut batch);
        self.put_stills(&outputs, &mut batch);
        let effective = epoch + self.settings.decision_delay_epochs;
        for (order, decision) in decided.iter().enumerate() {
            batch.put(
                Table::Decisions,
                key::decision(FIRST_SPACE, effective, order as u64),
                encode(decision),
            );
        }
        if !retired.is_empty() {
            self.totals.retired += retired.len() as u64;
            batch.put(Table::Meta, key::TOTALS, encode(&self.totals));
        }
        let log = EpochLog {
            slices: outputs.slices.iter().map(|s| (s.source, s.from, s.to)).collect(),
            decisions: decided.iter().map(|decision| (effective, decision.clone())).collect(),
            retired: (!told.is_empty()).then(|| (effective, told.to_vec())),
            forgotten: 0,
            committed_s: now_s(),
        };
        batch.put(Table::Log, key::epoch(epoch), encode(&log));
        let came = outputs.nodes.iter().map(|node| node.view.id);
        batch.put(Table::Deltas, key::epoch(epoch), encode(&changes::delta(came, &outputs.changes, retired)));
        self.forget_deltas(epoch, &mut batch);
        batch.put(Table::Meta, key::EPOCH, encode(&epoch));
        let view = self.state.view()?;
        let several = self.member.of > 1;
        history::keep(&view, epoch, several, &mut batch)?;
        // What all have committed is not undone any more.
        let mut settled = std::mem::take(&mut self.unsettled);
        self.unsettled = settled.split_off(&(self.parts.life.committed() + 1));
        history::settle(&view, &settled, &mut batch)?;
        if several && !retired.is_empty() {
            self.unsettled.insert(epoch);
        }
        drop(view);
        self.state.commit(&batch)?;
        let took = start.elapsed();
        tracing::debug!(
            epoch,
            changes = outputs.changes.count(),
            retired = retired.len(),
            ?took,
            "transaction written"
        );
        self.count(&outputs, retired.len() as u64, took);
        self.tell(epoch, &outputs, &touched);
        Ok(())
    }

    /// Keeps the stills of least rank. The rank is a hash of source and frame, so what is kept is a fair sample and
    /// does not depend on the order of arrival.
    fn put_stills(&mut self, outputs: &EpochOutputs, batch: &mut Batch) {
        for (source, seq, jpeg) in &outputs.stills {
            let id = [&source.0.to_be_bytes()[..], &seq.to_be_bytes()].concat();
            let key = key::still(xxh3_64(&id), *source, *seq);
            batch.put(Table::Stills, key.clone(), &**jpeg);
            self.stills.insert(key);
        }
        while self.stills.len() > self.settings.stills {
            if let Some(last) = self.stills.pop_last() {
                batch.delete(Table::Stills, last);
            }
        }
    }

    fn forget_deltas(&mut self, epoch: Epoch, batch: &mut Batch) {
        while self.since + self.settings.deltas_kept_epochs < epoch {
            batch.delete(Table::Deltas, key::epoch(self.since));
            self.since += 1;
            batch.put(Table::Meta, key::SINCE, encode(&self.since));
        }
    }

    fn count(&self, outputs: &EpochOutputs, retired: u64, took: Duration) {
        let tallies = &self.parts.tallies;
        let add = |to: &AtomicU64, more: u64| to.fetch_add(more, Ordering::Relaxed);
        add(&tallies.frames, outputs.tallies.iter().map(|(_, t)| t.frames).sum());
        add(&tallies.nodes, outputs.nodes.len() as u64);
        add(&tallies.retired, retired);
        add(&tallies.pairs, outputs.changes.of.pairs.iter().map(|(_, d)| *d as i64).sum::<i64>() as u64);
        add(&tallies.sources_ended, outputs.slices.iter().filter(|s| s.end.is_some()).count() as u64);
        add(&tallies.epochs, 1);
        add(&tallies.commit_ns, took.as_nanos() as u64);
        tallies.commit_max_ns.fetch_max(took.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// Nodes that go.
#[derive(Clone, Copy)]
struct Going<'e> {
    /// Those told to go some epochs later.
    told: &'e [NodeId],
    /// Those that go now.
    retired: &'e [NodeId],
}

/// The changes of one epoch, of all processes, that decisions are taken from.
struct Told<'e> {
    nodes: &'e [NewNode],
    cells: &'e Net<(NodeId, CellId)>,
    lists: &'e Net<((NodeId, CellId), List)>,
}
