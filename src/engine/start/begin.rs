//! The third step of a run: its threads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam::channel::{Receiver, bounded};
use kinetograph_dataflows::id::SourceId;
use kinetograph_dataflows::wire::Plan;

use super::open::{Opened, Prepared};
use super::restore::Restored;
use crate::budget::Evicting;
use crate::engine::cluster::{Agreed, Company, Cuttable, Link, Met, is_broken_line, start_workers};
use crate::engine::committer::{self, Committer, QUIET_EPOCHS};
use crate::engine::control::Request;
use crate::engine::lanes::Lane;
use crate::engine::lifecycle::Lifecycle;
use crate::engine::member::Member;
use crate::engine::options::Options;
use crate::engine::parts::Parts;
use crate::engine::report::FailedSource;
use crate::engine::sources::Lanes;
use crate::engine::training::{self, Training};
use crate::engine::worker::{Crew, work};
use crate::state::State;
use crate::store::remote::Server;

/// The longest that a broken line to another process may take to be known as the other's end.
const BROKEN_LINE: Duration = Duration::from_secs(25);
/// Decisions that wait for worker 0. A closed epoch gives few, and it looks for them after each: this never fills up.
const DECISIONS: usize = 4096;
/// Orders that wait for a worker's lanes. It looks for them each epoch, and an epoch brings 64 at most.
const LANE_ORDERS: usize = 1024;

/// A run whose threads are at work.
pub(super) struct Running {
    pub(super) state: State,
    pub(super) all: State,
    pub(super) member: Member,
    /// A node has at most so many neighbours.
    pub(super) k: usize,
    /// Nodes that the graph holds at most.
    pub(super) budget: usize,
    /// Sources that were named and could be looked at.
    pub(super) named: BTreeSet<SourceId>,
    pub(super) failed: Vec<FailedSource>,
    pub(super) forgotten: Vec<String>,
    pub(super) working: JoinHandle<()>,
    pub(super) committing: JoinHandle<()>,
    pub(super) training: Option<Training>,
    pub(super) link: Option<Link>,
    pub(super) mesh_lines: Arc<Cuttable>,
    /// Of another than process 0: lets that read this one's state.
    pub(super) server: Option<Server>,
}

impl Restored {
    /// Starts the workers, the committer and the trainer.
    pub(super) fn begin(
        self,
        options: &Options,
        parts: &Parts,
        requests: Receiver<Request>,
    ) -> anyhow::Result<Running> {
        let Restored { opened: Opened { prepared, company }, committed, everything, own } = self;
        let Prepared { state, config, embedder, graph, member, .. } = prepared;
        let Company { enlisted, all, met: Met { lines, mesh, .. }, server } = company;
        let workers = member.workers;
        let (shares_in, shares) = bounded(workers * 2);
        let (decisions_in, decisions) = bounded(DECISIONS);
        let (orders_in, orders): (Vec<_>, Vec<_>) = (0..workers).map(|_| bounded(LANE_ORDERS)).unzip();
        let nothing_to_read = enlisted.named.is_empty() && !enlisted.failed.is_empty();
        let until_idle = options.until_idle || options.batch || nothing_to_read;
        let budget = config.budget.nodes(embedder.dim(), embedder.precision(), config.graph.neighbours.k);
        let mesh_lines = Arc::new(Cuttable::new(&mesh)?);
        let (link, agreed) = match &options.cluster {
            Some(cluster) if member.of > 1 => {
                let finish_after = until_idle.then_some(QUIET_EPOCHS);
                let (link, agreed) = Link::start(cluster, member, lines, committed, parts, finish_after)?;
                (Some(link), agreed)
            }
            _ => (None, Agreed::Alone),
        };
        let lanes = Lanes { count: config.engine.lanes, member };
        let committer = Committer::new(committer::Setup {
            state: state.clone(),
            all: &all.view()?,
            settings: &config.engine,
            neighbours: &config.graph.neighbours,
            evicting: Evicting::new(config.budget.policy, budget),
            stored: &everything,
            parts: parts.clone(),
            decisions: decisions_in,
            requests,
            lanes,
            lane_orders: orders_in,
            until_idle,
            member,
            agreed,
        })?;
        drop(everything);
        let crew = Arc::new(Crew {
            plan: Plan {
                observe: config.observe,
                mine: config.mine.clone(),
                track: config.track.clone(),
                graph,
                embedder,
                clock: parts.clock.clone(),
                scored: Arc::default(),
            },
            settings: config.engine.clone(),
            ingest: config.ingest.clone(),
            batch: options.batch,
            last_seen: state.view()?.last_seen()?,
            until_idle,
            member,
            stored: Mutex::new(vec![own; workers]),
            start: committed,
            parts: parts.clone(),
            shares: shares_in,
            decisions,
            lane_orders: orders,
        });
        // One trainer: on process 0, of what all have.
        let training = (options.train && member.process == 0)
            .then(|| training::start(&config, &all, &parts.life))
            .transpose()
            .context("training could not start")?;
        let committing =
            thread::Builder::new().name("committer".into()).spawn(move || committer.run(&shares))?;
        let working = start_crew(crew, lanes.share_out(enlisted.waiting), mesh, &parts.life)?;
        Ok(Running {
            state,
            all,
            member,
            k: config.graph.neighbours.k,
            budget,
            named: enlisted.named,
            failed: enlisted.failed,
            forgotten: enlisted.forgotten,
            working,
            committing,
            training,
            link,
            mesh_lines,
            server,
        })
    }
}

/// Starts the timely workers behind one thread that ends when they have.
fn start_crew(
    crew: Arc<Crew>,
    lanes: Vec<Vec<Lane>>,
    mesh: BTreeMap<usize, TcpStream>,
    life: &Arc<Lifecycle>,
) -> anyhow::Result<JoinHandle<()>> {
    let lanes: Vec<_> = lanes.into_iter().map(|lanes| Mutex::new(Some(lanes))).collect();
    let (life, member) = (life.clone(), crew.member);
    let thread = thread::Builder::new().name("workers".into()).spawn(move || {
        let on_panic = life.clone();
        let started = start_workers(member, mesh, move |worker| {
            let lanes = &lanes[member.local(worker.index())];
            let lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner).take();
            let work = std::panic::AssertUnwindSafe(|| work(worker, &crew, lanes.unwrap_or_default()));
            if let Err(panic) = std::panic::catch_unwind(work) {
                // When a line to another process broke, that one's end is the reason, and about to be known.
                let soon = Instant::now() + BROKEN_LINE;
                while member.of > 1 && !on_panic.stopped() && Instant::now() < soon {
                    thread::sleep(Duration::from_millis(10));
                }
                // After the end, which side cut first does not matter.
                match is_broken_line(&*panic) {
                    true if on_panic.stopped() => {}
                    true => on_panic.fail("a line to another process broke".to_string()),
                    false => on_panic.fail("a worker panicked; its message is above".to_string()),
                }
            }
        });
        if let Err(error) = started {
            life.fail(format!("the workers could not start: {error}"));
        }
    })?;
    Ok(thread)
}
