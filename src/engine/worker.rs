//! One timely worker: feeds frames, turns the dataflow, sends off what each closed epoch changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use differential_dataflow::AsCollection;
use kinetograph_dataflows::id::SourceId;
use kinetograph_dataflows::index::node::Row;
use kinetograph_dataflows::index::partition::codebook::Decision;
use kinetograph_dataflows::observe::stream::{Seen, Stage};
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::{Inputs, Plan, Troubles, wire};
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Input;
use timely::dataflow::operators::vec::input::Handle as InputHandle;
use timely::worker::Worker;

use super::lanes::{Lane, LaneOrder, Surroundings, Took};
use super::member::Member;
use super::outputs::{EpochOutputs, Share, Slice};
use super::parts::Parts;
use crate::config::engine::EngineSettings;
use crate::epoch::Gathered;
use crate::state::stored::{Decided, Stored};

/// The time that a worker sleeps when no frame is ready and nobody wakes it.
const REST: Duration = Duration::from_millis(5);
/// The same when nothing is left to read.
const LONG_REST: Duration = Duration::from_millis(250);

/// The parts that all workers of a run share.
pub struct Crew {
    /// The settings of the dataflow.
    pub plan: Plan,
    /// The settings of epochs.
    pub settings: EngineSettings,
    /// The settings of reading videos.
    pub ingest: kinetograph_pipelines::Settings,
    /// Lock-step epochs.
    pub batch: bool,
    /// The place of this process.
    pub member: Member,
    /// The contents of the store as of epoch `start`: once for each worker, which lets go of it when it has taken its part.
    pub stored: Mutex<Vec<Arc<Stored>>>,
    /// The last committed epoch at the start.
    pub start: Epoch,
    /// The parts that the threads of the run share.
    pub parts: Parts,
    /// Of live sources that gave frames before this run, the time of the last one, nanoseconds since 1970.
    pub last_seen: BTreeMap<SourceId, u64>,
    /// True when the run ends when nothing is left to take in.
    pub until_idle: bool,
    /// Of each worker of this process, what its lanes are told: which of them, and what.
    pub lane_orders: Vec<Receiver<(usize, LaneOrder)>>,
    /// Takes complete epochs.
    pub shares: Sender<Share>,
    /// New decisions with the epoch they take effect at; only worker 0 takes them.
    pub decisions: Receiver<(Epoch, Decided)>,
}

type Handled<D> = InputHandle<Epoch, (D, Epoch, Diff)>;

/// The inputs that decisions go to. Only worker 0 keeps them open.
struct Deciding {
    codebook: Handled<(u64, Decision)>,
    rows: Handled<Row>,
}

impl Deciding {
    /// Nothing comes any more for the epochs before `epoch`.
    fn settle(&mut self, epoch: Epoch) {
        if *self.codebook.time() < epoch {
            self.codebook.advance_to(epoch);
        }
        if *self.rows.time() < epoch {
            self.rows.advance_to(epoch);
        }
    }

    /// Gives the dataflow what takes effect at `effective`; in the order of the epochs, so that time only goes on.
    fn give(&mut self, effective: Epoch, decided: Decided) {
        self.settle(effective);
        match decided {
            Decided::Codebook(order, decision) => self.codebook.send(((order, decision), effective, 1)),
            Decided::Retire(nodes) => {
                nodes.into_iter().for_each(|node| self.rows.send((Row::gone(node), effective, -1)));
            }
        }
    }
}

/// Runs one worker until the run is finished or stopped.
pub fn work(worker: &mut Worker, crew: &Crew, mut lanes: Vec<Lane>) {
    let (gathered, probe, troubles) =
        (Gathered::<EpochOutputs>::default(), Handle::new(), Troubles::default());
    let stored = crew.stored.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
    let (mut frames, rows, codebook) = worker.dataflow::<Epoch, _, _>(|scope| {
        let (frames_in, frames) = scope.new_input::<(Seen, Epoch, Diff)>();
        let (rows_in, rows) = scope.new_input::<(Row, Epoch, Diff)>();
        let (codebook_in, codebook) = scope.new_input::<((u64, Decision), Epoch, Diff)>();
        let inputs = Inputs {
            frames: frames.as_collection(),
            rows: rows.as_collection(),
            codebook: codebook.as_collection(),
            classes: stored.classes.clone(),
        };
        let given = inputs.rows.clone();
        let outputs = wire(inputs, &crew.plan, &troubles);
        if crew.member.of > 1 {
            gathered.attach_everywhere(&outputs, given, crew.member, crew.start, &probe);
        }
        gathered.attach_all(outputs, crew.member, &probe);
        (frames_in, rows_in, codebook_in)
    });
    crew.parts.life.wake_me();
    let mut deciding = restore(worker, crew, &stored, Deciding { codebook, rows });
    drop(stored);

    let mut epoch = crew.start + 1;
    frames.advance_to(epoch);
    let mut next_share = crew.start;
    let mut exhausted = BTreeSet::new();
    let orders = &crew.lane_orders[crew.member.local(worker.index())];
    let mut tick = Instant::now();
    while !crew.parts.life.finished() && !crew.parts.life.stopped() {
        let committed = crew.parts.life.committed();
        if let Some(deciding) = &mut deciding {
            decide(crew, committed, deciding);
        }
        let mut busy = false;
        let nothing_to_read = orders.is_empty() && lanes.iter().all(Lane::exhausted);
        let resting = nothing_to_read && crew.parts.life.idle();
        if epoch <= committed + crew.settings.max_lag_epochs && !resting {
            let mut reading = Reading { crew, epoch, gathered: &gathered, frames: &mut frames };
            for (lane, order) in orders.try_iter() {
                reading.obey(&mut lanes[lane], order, &troubles);
            }
            let took = reading.take_slices(&mut lanes, &troubles);
            busy = took == Took::Some;
            let ready = match took {
                Took::Complete => true,
                // Quickly through the epochs after which all is known to be committed; else time is left to itself.
                Took::Nothing => crew.batch || crew.until_idle || crew.member.of > 1,
                Took::Some | Took::None => false,
            };
            let due =
                ready || (!crew.batch && tick.elapsed() >= Duration::from_millis(crew.settings.tick_ms));
            if due {
                gathered.at(epoch, |out| {
                    for lane in &mut lanes {
                        lane.complete(&mut out.slices);
                    }
                });
                if lanes.iter().all(Lane::exhausted) {
                    exhausted.insert(epoch);
                }
                lanes.iter_mut().for_each(Lane::next_epoch);
                epoch += 1;
                frames.advance_to(epoch);
                crew.parts.tallies.begun.fetch_max(epoch, Ordering::Relaxed);
                tick = Instant::now();
            }
        }
        crew.plan.clock.time(Stage::Step, || worker.step());
        if let Some(reason) = troubles.embedder.borrow().as_ref() {
            crew.parts.life.fail(format!("the embedder failed: {reason}"));
        }
        busy |= send_closed(crew, &probe, epoch, &gathered, &mut next_share, &mut exhausted);
        if !busy {
            worker.step_or_park(Some(if resting { LONG_REST } else { REST }));
        }
    }
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

/// Gives the dataflow this worker's part of what the store holds, all of it at the epoch it was committed at, and what
/// was decided before. The inputs stay open on worker 0.
fn restore(worker: &Worker, crew: &Crew, stored: &Stored, mut inputs: Deciding) -> Option<Deciding> {
    let start = crew.start;
    inputs.settle(start);
    for row in stored.rows.iter().skip(crew.member.local(worker.index())).step_by(crew.member.workers) {
        inputs.rows.send((row.clone(), start, 1));
    }
    if worker.index() != 0 {
        return None;
    }
    for (effective, decided) in stored.decided(start) {
        inputs.give(effective, decided);
    }
    Some(inputs)
}

/// Gives the dataflow the decisions taken from committed epochs; none can come any more for the epochs before
/// `committed` plus the delay.
fn decide(crew: &Crew, committed: Epoch, inputs: &mut Deciding) {
    while let Ok((effective, decided)) = crew.decisions.try_recv() {
        inputs.give(effective, decided);
    }
    inputs.settle(committed + crew.settings.decision_delay_epochs + 1);
}

/// The epoch of the dataflow that a worker reads into.
struct Reading<'w> {
    crew: &'w Crew,
    epoch: Epoch,
    gathered: &'w Gathered<EpochOutputs>,
    frames: &'w mut Handled<Seen>,
}

impl Reading<'_> {
    /// Takes frames that are ready. The lanes together took some, or none, or have their slices of the epoch, or nothing to
    /// read.
    fn take_slices(&mut self, lanes: &mut [Lane], troubles: &Troubles) -> Took {
        let around = self.crew.surroundings();
        let mut all = Took::Nothing;
        for lane in lanes {
            let mut slices: Vec<Slice> = Vec::new();
            for source in lane.reading() {
                let failure = troubles.sources.borrow_mut().remove(&source);
                failure.into_iter().for_each(|reason| lane.fail(source, reason, &mut slices));
            }
            let took = lane.take(&around, &mut slices, |seen| self.frames.send((seen, self.epoch, 1)));
            self.gathered.at(self.epoch, |out| out.slices.extend(slices));
            all = match (all, took) {
                (Took::Some, _) | (_, Took::Some) => Took::Some,
                (Took::None, _) | (_, Took::None) => Took::None,
                (Took::Complete, _) | (_, Took::Complete) => Took::Complete,
                (Took::Nothing, Took::Nothing) => Took::Nothing,
            };
        }
        self.frames.flush();
        all
    }

    fn obey(&mut self, lane: &mut Lane, order: LaneOrder, troubles: &Troubles) {
        let around = self.crew.surroundings();
        let mut slices = Vec::new();
        // What the vision code could not go on with ends, whatever is asked of it.
        if let LaneOrder::Leave(source, _) = &order {
            let failure = troubles.sources.borrow_mut().remove(source);
            failure.into_iter().for_each(|reason| lane.fail(*source, reason, &mut slices));
        }
        lane.obey(order, &around, &mut slices, |seen| self.frames.send((seen, self.epoch, 1)));
        self.gathered.at(self.epoch, |out| out.slices.extend(slices));
    }
}

impl Crew {
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            ingest: &self.ingest,
            segment_frames: self.plan.observe.segment_frames,
            slice_frames: self.settings.slice_frames,
            last_seen: &self.last_seen,
            connect: self.parts.life.restored_at().is_some(),
            board: &self.parts.board,
            events: &self.parts.events,
        }
    }
}

/// Sends off the epochs before `feeding` that are complete everywhere; true when there were any.
fn send_closed(
    crew: &Crew,
    probe: &Handle<Epoch>,
    feeding: Epoch,
    gathered: &Gathered<EpochOutputs>,
    next: &mut Epoch,
    exhausted: &mut BTreeSet<Epoch>,
) -> bool {
    let mut any = false;
    while *next < feeding && !probe.less_equal(next) {
        let share = Share { epoch: *next, outputs: gathered.take(*next), exhausted: exhausted.remove(next) };
        if crew.shares.send(share).is_err() {
            // It leaves before us when the run is told to stop.
            if !crew.parts.life.stopped() {
                crew.parts.life.fail("the committer is gone".to_string());
            }
            return false;
        }
        *next += 1;
        any = true;
    }
    any
}
