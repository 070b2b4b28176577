//! The first step of a run: from a state, settings and a list of sources to processes that are ready to run together.

use std::sync::Arc;

use kinetograph_dataflows::observe::embed::Embedder;
use kinetograph_dataflows::settings::GraphSettings;

use super::{settings, storage};
use crate::config::Config;
use crate::engine::board::{SourceState, SourceStatus};
use crate::engine::cluster::{Asked, ClusterError, Company, keep_shard};
use crate::engine::events::Event;
use crate::engine::member::Member;
use crate::engine::options::Options;
use crate::engine::parts::Parts;
use crate::engine::report::FailedSource;
use crate::engine::sources::Enlisted;
use crate::state::State;

/// A state and settings that fit each other.
pub(super) struct Prepared {
    pub(super) state: State,
    pub(super) config: Config,
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) graph: GraphSettings,
    pub(super) member: Member,
    /// True when the state never ran.
    pub(super) new: bool,
}

/// All processes stand at one epoch and know the same sources.
pub(super) struct Opened {
    pub(super) prepared: Prepared,
    pub(super) company: Company,
}

impl Prepared {
    /// Checks that `state` is what `config` and `options` ask for.
    pub(super) fn check(state: State, config: &Config, options: &Options) -> anyhow::Result<Self> {
        let embedder = crate::embed::choice::embedder(&config.embed)?;
        let workers = options.workers.max(1);
        let member = member(config, options, workers)?;
        // Sources are kept once all processes have met.
        let new = state.view()?.sources()?.is_empty();
        keep_shard(&state, member)?;
        settings::keep(&state, config, &*embedder)?;
        let mut graph = config.graph.clone();
        graph.neighbours.storage = storage::choose(&state, graph.neighbours.storage, embedder.dim())?;
        Ok(Prepared { state, config: config.clone(), embedder, graph, member, new })
    }

    /// Finds the sources, and waits for the other processes where there are any.
    pub(super) fn open(self, options: &Options, parts: &Parts) -> anyhow::Result<Opened> {
        let space = self.embedder.space();
        let asked = Asked {
            state: &self.state,
            config: &self.config,
            options,
            member: self.member,
            new: self.new,
            space: &space,
        };
        let tell = |text: &str| parts.events.tell(Event::Notice { text: text.to_owned() });
        let company = Company::gather(&asked, &tell, &|| parts.life.stopped())?;
        pin_up(&company.enlisted, self.member, parts);
        let Enlisted { waiting, paused, failed, ended_before, .. } = &company.enlisted;
        let (waiting, paused, failed) = (waiting.len(), paused.len(), failed.len());
        tracing::info!(waiting, paused, failed, ended_before, "sources found");
        Ok(Opened { prepared: self, company })
    }
}

/// Shows the sources on the board, and tells of those that cannot be read.
fn pin_up(enlisted: &Enlisted, member: Member, parts: &Parts) {
    for (sources, state) in
        [(&enlisted.waiting, SourceState::Waiting), (&enlisted.paused, SourceState::Paused)]
    {
        for waiting in sources.iter().filter(|waiting| member.shard().has(waiting.id)) {
            let named = &waiting.source;
            let status = SourceStatus::waiting(waiting.id, &named.name, &*named.source, waiting.position);
            parts.board.add(SourceStatus { state, ..status });
        }
    }
    for FailedSource { source, reason } in &enlisted.failed {
        parts.events.tell(Event::SourceFailed { uri: source.clone(), reason: reason.clone() });
    }
    for uri in &enlisted.removed {
        let text = format!("{uri}: was removed from a running engine, so it is not read");
        parts.events.tell(Event::Notice { text });
    }
    for waiting in &enlisted.paused {
        let text = format!("{}: is paused, so it is not read", waiting.source.uri());
        parts.events.tell(Event::Notice { text });
    }
}

/// The place of this process.
fn member(config: &Config, options: &Options, workers: usize) -> Result<Member, ClusterError> {
    let Some(cluster) = &options.cluster else { return Ok(Member::alone(workers)) };
    let (process, of, lanes) = (cluster.process, cluster.hosts.len(), config.engine.lanes.max(1));
    if process >= of {
        return Err(ClusterError::Process { process, of });
    }
    if !lanes.is_multiple_of(of as u64) {
        return Err(ClusterError::Lanes { lanes, of });
    }
    Ok(Member { process, of, workers })
}
