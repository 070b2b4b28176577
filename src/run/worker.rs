//! One timely worker: feeds frames, turns the dataflow, sends off what each closed epoch changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender};
use differential_dataflow::AsCollection;
use kinetograph_dataflows::graph::codebook::Decision;
use kinetograph_dataflows::graph::node::Row;
use kinetograph_dataflows::graph::{Diff, Epoch};
use kinetograph_dataflows::observe::{Seen, Stage};
use kinetograph_dataflows::wire::{Inputs, Plan, Troubles, wire};
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::operators::vec::Input;
use timely::dataflow::operators::vec::input::Handle as InputHandle;
use timely::worker::Worker;

use super::hydrate::{Decided, Stored};
use super::lanes::{Lane, Took};
use super::member::Member;
use super::outputs::{EpochOutputs, Slice};
use super::{Settings, Shared};
use crate::epoch::Gathered;

/// How long a worker sleeps when there is nothing to do and nobody wakes it.
const REST: Duration = Duration::from_millis(5);

/// One worker's part of an epoch that is complete on all workers.
#[derive(Debug)]
pub struct Share {
    /// The epoch.
    pub epoch: Epoch,
    /// What this worker's part of the dataflow changed in it.
    pub outputs: EpochOutputs,
    /// Whether this worker had nothing left to read in it.
    pub exhausted: bool,
}

/// What all workers of a run share.
pub struct Crew {
    /// What the dataflow runs by.
    pub plan: Plan,
    /// How epochs are cut.
    pub settings: Settings,
    /// How videos are read.
    pub ingest: kinetograph_pipelines::Settings,
    /// Lock-step epochs.
    pub batch: bool,
    /// Which process this is.
    pub member: Member,
    /// What the store holds, as of epoch `start`: once for each worker, which lets go of it when it has taken its part.
    pub stored: Mutex<Vec<Arc<Stored>>>,
    /// The last committed epoch at the start.
    pub start: Epoch,
    /// What the threads of the run know of each other.
    pub shared: Arc<Shared>,
    /// Where complete epochs go.
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
            gathered.attach_everywhere(&outputs, given, (crew.member, crew.start), &probe);
        }
        gathered.attach_all(outputs, crew.member, &probe);
        (frames_in, rows_in, codebook_in)
    });
    crew.shared.wake_me();
    let mut deciding = restore(worker, crew, &stored, Deciding { codebook, rows });
    drop(stored);

    let mut epoch = crew.start + 1;
    frames.advance_to(epoch);
    let mut next_share = crew.start;
    let mut exhausted_from = None;
    let mut tick = Instant::now();
    while !crew.shared.finished() && !crew.shared.stopped() {
        let committed = crew.shared.committed();
        if let Some(deciding) = &mut deciding {
            decide(crew, committed, deciding);
        }
        let mut busy = false;
        if epoch <= committed + crew.settings.max_lag_epochs {
            let ready = take_slices(crew, epoch, &mut lanes, &troubles, &gathered, &mut frames, &mut busy);
            let due =
                ready || (!crew.batch && tick.elapsed() >= Duration::from_millis(crew.settings.tick_ms));
            if due {
                gathered.at(epoch, |out| {
                    for lane in &mut lanes {
                        lane.complete(&mut out.slices);
                    }
                });
                if exhausted_from.is_none() && lanes.iter().all(Lane::exhausted) {
                    exhausted_from = Some(epoch);
                }
                lanes.iter_mut().for_each(Lane::next_epoch);
                epoch += 1;
                frames.advance_to(epoch);
                tick = Instant::now();
            }
        }
        crew.plan.clock.time(Stage::Step, || worker.step());
        if let Some(reason) = troubles.embedder.borrow().as_ref() {
            crew.shared.fail(format!("the embedder failed: {reason}"));
        }
        busy |= send_closed(crew, &probe, epoch, &gathered, &mut next_share, exhausted_from);
        if !busy {
            worker.step_or_park(Some(REST));
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

/// Takes frames that are ready; true when every lane has its slice of `epoch`.
fn take_slices(
    crew: &Crew,
    epoch: Epoch,
    lanes: &mut [Lane],
    troubles: &Troubles,
    gathered: &Gathered<EpochOutputs>,
    frames: &mut Handled<Seen>,
    busy: &mut bool,
) -> bool {
    let mut ready = true;
    for lane in lanes {
        let failure = lane.reading().and_then(|id| troubles.sources.borrow_mut().remove(&id));
        let mut slices: Vec<Slice> = Vec::new();
        let took = match failure {
            Some(reason) => lane.close(Err(reason), &mut slices),
            None => lane.take(
                &crew.ingest,
                crew.plan.observe.segment_frames,
                crew.settings.slice_frames,
                &mut slices,
                |seen| frames.send((seen, epoch, 1)),
            ),
        };
        gathered.at(epoch, |out| out.slices.extend(slices));
        *busy |= took == Took::Some;
        ready &= took == Took::Complete;
    }
    frames.flush();
    ready
}

/// Sends off the epochs before `feeding` that are complete everywhere; true when there were any.
fn send_closed(
    crew: &Crew,
    probe: &Handle<Epoch>,
    feeding: Epoch,
    gathered: &Gathered<EpochOutputs>,
    next: &mut Epoch,
    exhausted_from: Option<Epoch>,
) -> bool {
    let mut any = false;
    while *next < feeding && !probe.less_equal(next) {
        let exhausted = exhausted_from.is_some_and(|from| *next >= from);
        let share = Share { epoch: *next, outputs: gathered.take(*next), exhausted };
        if crew.shares.send(share).is_err() {
            // It leaves before us when the run is told to stop.
            if !crew.shared.stopped() {
                crew.shared.fail("the committer is gone".to_string());
            }
            return false;
        }
        *next += 1;
        any = true;
    }
    any
}
