//! From a state and a list of sources to processes that are ready to run together; or to one that runs alone.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;

use super::meeting::{Meeting, Met, Terms};
use super::{ClusterError, go_back};
use crate::config::{Config, graph_settings};
use crate::engine::member::Member;
use crate::engine::options::Options;
use crate::engine::sources::{Enlisted, enlist};
use crate::state::State;
use crate::store::remote::{RemoteStore, Server};

/// The processes and sources that a run starts with.
pub(in crate::engine) struct Company {
    /// The sources, of all processes.
    pub(in crate::engine) enlisted: Enlisted,
    /// Of process 0, the states of all processes; of another, its own.
    pub(in crate::engine) all: State,
    /// The connections with the others.
    pub(in crate::engine) met: Met,
    /// Of another than process 0: lets that read this one's state.
    pub(in crate::engine) server: Option<Server>,
}

/// The wishes of a process that wants to be part of a run.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Asked<'a> {
    /// Its state.
    pub(in crate::engine) state: &'a State,
    /// Its settings.
    pub(in crate::engine) config: &'a Config,
    /// The options of the run.
    pub(in crate::engine) options: &'a Options,
    /// Its place among the processes.
    pub(in crate::engine) member: Member,
    /// True when its state never ran.
    pub(in crate::engine) new: bool,
    /// The embedding space.
    pub(in crate::engine) space: &'a str,
}

impl Company {
    /// Waits until all processes are there, and takes the state to where all stand.
    ///
    /// # Errors
    /// When a process does not come, is different or gone, or the state cannot be read or written.
    pub(in crate::engine) fn gather(
        asked: &Asked<'_>,
        tell: &dyn Fn(&str),
        interrupted: &dyn Fn() -> bool,
    ) -> anyhow::Result<Self> {
        let Asked { state, config, options, member, new, space } = *asked;
        let Some(cluster) = options.cluster.as_ref().filter(|_| member.of > 1) else {
            let enlisted = enlist(state, &options.sources, options.batch)?;
            enlisted.keep(state)?;
            return Ok(Company { enlisted, all: state.clone(), met: Met::default(), server: None });
        };
        let terms =
            Terms { alike: alike(config, options, member, space), epoch: state.view()?.epoch()?, new };
        let mut meeting = Meeting::begin(cluster, member, &terms, tell, interrupted)?;
        let prepared = go_back(state, meeting.start, config.engine.max_lag_epochs)
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(enlist(state, &options.sources, options.batch)?))
            .and_then(|enlisted| {
                let sources = enlisted.known(state)?;
                Ok((enlisted, sources))
            })
            .and_then(|(enlisted, sources)| {
                let server = (member.process > 0)
                    .then(|| serve(state, member.process, &cluster.hosts[member.process]));
                Ok((enlisted, sources, server.transpose()?))
            });
        let (enlisted, sources, server) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                meeting.give_up(&error.to_string());
                return Err(error);
            }
        };
        let store = server.as_ref().map(Server::address);
        let met = meeting.ready(&sources, store, &|| enlisted.keep(state), tell, interrupted).inspect_err(
            |_| {
                // What cannot be read here may be what differs.
                enlisted
                    .failed
                    .iter()
                    .for_each(|failed| tell(&format!("{}: {}", failed.source, failed.reason)));
            },
        )?;
        let mut shards = vec![state.clone()];
        for (process, address) in &met.stores {
            let place = format!("the state of process {process} ({})", cluster.hosts[*process]);
            let store = RemoteStore::new(&address.to_string(), &place);
            shards.push(State::over_existing(Arc::new(store), place.as_ref())?);
        }
        let all = if member.process == 0 { State::of_shards(shards)? } else { state.clone() };
        Ok(Company { enlisted, all, met, server })
    }
}

/// Lets process 0 read `state`, at the host that `address` names and a port of the system's choice.
fn serve(state: &State, process: usize, address: &str) -> Result<Server, ClusterError> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let listen = |error| ClusterError::Listen { process, address: format!("{host}:0"), error };
    let listener = TcpListener::bind(format!("{host}:0")).map_err(listen)?;
    Server::start(listener, state.store()).map_err(listen)
}

/// Returns what must be the same everywhere, for the same log to give the same graph.
fn alike(config: &Config, options: &Options, member: Member, space: &str) -> BTreeMap<String, String> {
    let mut alike = graph_settings(config, space);
    let engine = &config.engine;
    for (name, value) in [
        ("the version", env!("CARGO_PKG_VERSION").to_string()),
        ("the number of processes", member.of.to_string()),
        ("--workers", member.workers.to_string()),
        ("--batch", options.batch.to_string()),
        ("--until-idle", (options.until_idle || options.batch).to_string()),
        ("engine.slice_frames", engine.slice_frames.to_string()),
        ("engine.lanes", engine.lanes.to_string()),
        ("engine.max_lag_epochs", engine.max_lag_epochs.to_string()),
        ("engine.deltas_kept_epochs", engine.deltas_kept_epochs.to_string()),
    ] {
        alike.insert(name.to_string(), value);
    }
    alike
}
