//! The state as the trainer sees it: committed epochs only, as changes that coalesce while it is busy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinetograph_dataflows::id::NodeId;

use crate::collections::{Collection, History, each_collection};
use crate::engine::lifecycle::Lifecycle;
use crate::state::record::EpochDelta;
use crate::state::view::View;
use crate::state::{State, StateError};
use crate::train::feed::{Delta, Feed, FeedError};

/// The interval at which a state that another process writes is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Reads a state for the trainer.
pub struct StateFeed {
    state: State,
    /// The run that writes the state, when it is this process; else the state is looked at again and again.
    run: Option<Arc<Lifecycle>>,
    /// True when the feed waits for what another process adds.
    follow: bool,
}

impl StateFeed {
    /// Follows the run of this process.
    pub fn of_run(state: State, run: Arc<Lifecycle>) -> Self {
        StateFeed { state, run: Some(run), follow: true }
    }

    /// Reads a state; with `follow`, also what another process adds to it.
    pub fn of_state(state: State, follow: bool) -> Self {
        StateFeed { state, run: None, follow }
    }

    /// Waits until something newer than `epoch` is committed, or `timeout` has passed.
    fn wait_beyond(&self, epoch: u64, timeout: Duration) -> Result<(), StateError> {
        if let Some(run) = &self.run {
            run.wait_beyond(epoch, timeout);
            return Ok(());
        }
        let deadline = Instant::now() + timeout;
        while self.follow && self.state.view()?.epoch()? <= epoch {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            std::thread::sleep(POLL.min(left));
        }
        Ok(())
    }

    fn changes_after(&self, epoch: u64, timeout: Duration) -> Result<Option<Delta>, FeedError> {
        self.wait_beyond(epoch, timeout).map_err(read)?;
        let view = self.state.view().map_err(read)?;
        let now = view.epoch().map_err(read)?;
        if now <= epoch {
            return Ok(None);
        }
        if view.since().map_err(read)? > epoch + 1 {
            return Err(FeedError::Gone { epoch });
        }
        let mut sum = Sum::default();
        view.deltas(epoch + 1).map_err(read)?.values().for_each(|delta| sum.add(delta, 1));
        Ok(Some(sum.delta(now)))
    }
}

impl Feed for StateFeed {
    fn after(&mut self, epoch: Option<u64>, timeout: Duration) -> Result<Option<Delta>, FeedError> {
        match epoch {
            Some(epoch) => self.changes_after(epoch, timeout),
            None => {
                let view = self.state.view().map_err(read)?;
                let now = view.epoch().map_err(read)?;
                Ok(Some(whole(&view).map_err(read)?.delta(now)))
            }
        }
    }

    fn ended(&self) -> bool {
        match &self.run {
            Some(run) => run.finished() || run.stopped(),
            None => !self.follow,
        }
    }

    fn crop(&mut self, node: NodeId) -> Result<Option<Vec<u8>>, FeedError> {
        self.state.view().and_then(|view| view.crop(node)).map_err(read)
    }

    fn as_of(&mut self, epoch: u64) -> Result<Delta, FeedError> {
        let view = self.state.view().map_err(read)?;
        let now = view.epoch().map_err(read)?;
        if epoch > now || view.since().map_err(read)? > epoch + 1 {
            return Err(FeedError::Gone { epoch });
        }
        // What is there now, less what came since.
        let mut sum = whole(&view).map_err(read)?;
        view.deltas(epoch + 1).map_err(read)?.values().for_each(|delta| sum.add(delta, -1));
        Ok(sum.delta(epoch))
    }
}

fn read(error: StateError) -> FeedError {
    FeedError::Read(error.to_string())
}

/// The whole graph as one sum of changes.
fn whole(view: &View<'_>) -> Result<Sum, StateError> {
    let nodes = view.nodes()?.into_keys().map(|node| (node, 1)).collect();
    let mut delta = EpochDelta { nodes, ..EpochDelta::default() };
    each_collection!(C => {
        if let History::Delta { of_mut, .. } = C::history() {
            let records = of_mut(&mut delta);
            view.each::<C>(|key, value| records.push((C::join(key, value), 1)))?;
        }
    });
    let mut sum = Sum::default();
    sum.add(&delta, 1);
    Ok(sum)
}

/// Changes netted out.
#[derive(Default)]
struct Sum {
    nodes: BTreeMap<NodeId, i8>,
    pairs: BTreeMap<kinetograph_dataflows::index::node::Pair, i8>,
    groups: BTreeMap<(NodeId, kinetograph_dataflows::index::node::GroupId), i8>,
    classes: BTreeMap<(NodeId, kinetograph_dataflows::index::node::ClassId), i8>,
}

impl Sum {
    fn add(&mut self, delta: &EpochDelta, sign: i8) {
        delta.nodes.iter().for_each(|(n, d)| *self.nodes.entry(*n).or_default() += d * sign);
        delta.pairs.iter().for_each(|(p, d)| *self.pairs.entry(*p).or_default() += d * sign);
        delta.groups.iter().for_each(|((n, g), d)| *self.groups.entry((*n, *g)).or_default() += d * sign);
        delta.classes.iter().for_each(|((n, c), d)| *self.classes.entry((*n, *c)).or_default() += d * sign);
    }

    /// Net changes, in the order of their keys, what went before what came.
    fn delta(self, epoch: u64) -> Delta {
        let mut delta = Delta {
            epoch,
            nodes: self.nodes.into_iter().filter(|(_, d)| *d != 0).collect(),
            pairs: self.pairs.into_iter().filter(|(_, d)| *d != 0).collect(),
            groups: self.groups.into_iter().filter(|(_, d)| *d != 0).map(|((n, g), d)| (n, g, d)).collect(),
            classes: self.classes.into_iter().filter(|(_, d)| *d != 0).map(|((n, c), d)| (n, c, d)).collect(),
        };
        delta.groups.sort_by_key(|(n, _, d)| (*n, *d));
        delta.classes.sort_by_key(|(n, _, d)| (*n, *d));
        delta
    }
}
