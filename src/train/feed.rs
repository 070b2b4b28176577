//! The feed tells training of the graph's committed changes, epoch by epoch, and gives it the crops.

use std::collections::BTreeMap;
use std::time::Duration;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{ClassId, GroupId, Pair};
use serde::{Deserialize, Serialize};

/// Consolidated changes of the graph up to and with `epoch`: +1 came, -1 went. Several epochs may be coalesced into
/// one delta. Intra-instance pairs are not listed: they follow from the nodes of one track.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// The last epoch it covers.
    pub epoch: u64,
    /// Nodes.
    pub nodes: Vec<(NodeId, i8)>,
    /// Transitive pairs, one record a reason.
    pub pairs: Vec<(Pair, i8)>,
    /// Each node's group.
    pub groups: Vec<(NodeId, GroupId, i8)>,
    /// Each node's class.
    pub classes: Vec<(NodeId, ClassId, i8)>,
}

/// A feed's failure.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The state as of that epoch is not kept any more.
    #[error("the graph as of epoch {epoch} is not kept any more; start training afresh in another folder")]
    Gone {
        /// The epoch asked for.
        epoch: u64,
    },
    /// The state could not be read.
    #[error("the graph's changes could not be read: {0}")]
    Read(String),
}

/// Where training learns of the graph. Only committed epochs are seen.
pub trait Feed: Send {
    /// Everything committed after `epoch`, coalesced into one delta; `None` for the whole state as one delta. `None`
    /// comes back when nothing new was committed within `timeout`.
    ///
    /// # Errors
    /// [`FeedError`] when the changes cannot be read.
    fn after(&mut self, epoch: Option<u64>, timeout: Duration) -> Result<Option<Delta>, FeedError>;

    /// Returns true when no epoch will be committed any more. Epochs that [`Feed::after`] has not given yet may still wait there.
    fn ended(&self) -> bool;

    /// The node's crop, JPEG of 96 x 96; `None` when the node was retired meanwhile.
    ///
    /// # Errors
    /// [`FeedError`] when the state cannot be read.
    fn crop(&mut self, node: NodeId) -> Result<Option<Vec<u8>>, FeedError>;

    /// The whole graph as it was at `epoch`, as one delta: where a resumed training goes on.
    ///
    /// # Errors
    /// [`FeedError::Gone`] when it is not kept any more.
    fn as_of(&mut self, epoch: u64) -> Result<Delta, FeedError>;
}

impl<F: Feed + ?Sized> Feed for Box<F> {
    fn after(&mut self, epoch: Option<u64>, timeout: Duration) -> Result<Option<Delta>, FeedError> {
        (**self).after(epoch, timeout)
    }

    fn ended(&self) -> bool {
        (**self).ended()
    }

    fn crop(&mut self, node: NodeId) -> Result<Option<Vec<u8>>, FeedError> {
        (**self).crop(node)
    }

    fn as_of(&mut self, epoch: u64) -> Result<Delta, FeedError> {
        (**self).as_of(epoch)
    }
}

/// Adds up deltas into one, as of the last of them; what came and went again is in none of its lists. Every list is
/// in the order of its records.
pub fn coalesce<'d>(deltas: impl IntoIterator<Item = &'d Delta>) -> Delta {
    let (mut nodes, mut pairs) = (BTreeMap::new(), BTreeMap::new());
    let (mut groups, mut classes) = (BTreeMap::new(), BTreeMap::new());
    let mut epoch = 0;
    for delta in deltas {
        epoch = delta.epoch.max(epoch);
        delta.nodes.iter().for_each(|(n, d)| *nodes.entry(*n).or_insert(0i64) += i64::from(*d));
        delta.pairs.iter().for_each(|(p, d)| *pairs.entry(*p).or_insert(0i64) += i64::from(*d));
        delta.groups.iter().for_each(|(n, g, d)| *groups.entry((*n, *g)).or_insert(0i64) += i64::from(*d));
        delta.classes.iter().for_each(|(n, c, d)| *classes.entry((*n, *c)).or_insert(0i64) += i64::from(*d));
    }
    fn kept<K>(counts: BTreeMap<K, i64>) -> impl Iterator<Item = (K, i8)> {
        counts.into_iter().filter(|(_, d)| *d != 0).map(|(k, d)| (k, d.signum() as i8))
    }
    Delta {
        epoch,
        nodes: kept(nodes).collect(),
        pairs: kept(pairs).collect(),
        groups: kept(groups).map(|((n, g), d)| (n, g, d)).collect(),
        classes: kept(classes).map(|((n, c), d)| (n, c, d)).collect(),
    }
}

/// A feed over deltas and crops held in memory, for tests and for measuring training without a store.
#[derive(Clone, Debug, Default)]
pub struct MemoryFeed {
    /// The deltas, ascending by epoch.
    pub deltas: Vec<Delta>,
    /// Crops by node, JPEG.
    pub crops: BTreeMap<NodeId, Vec<u8>>,
    /// True while the stream goes on: deltas may be pushed between two calls.
    pub open: bool,
}

impl Feed for MemoryFeed {
    fn after(&mut self, epoch: Option<u64>, timeout: Duration) -> Result<Option<Delta>, FeedError> {
        let new = self.deltas.iter().filter(|d| epoch.is_none_or(|e| d.epoch > e));
        let news = (new.clone().count() > 0).then(|| coalesce(new));
        if news.is_none() && self.open {
            std::thread::sleep(timeout);
        }
        Ok(news)
    }

    fn ended(&self) -> bool {
        !self.open
    }

    fn crop(&mut self, node: NodeId) -> Result<Option<Vec<u8>>, FeedError> {
        Ok(self.crops.get(&node).cloned())
    }

    fn as_of(&mut self, epoch: u64) -> Result<Delta, FeedError> {
        if self.deltas.first().is_none_or(|d| d.epoch > epoch) {
            return Err(FeedError::Gone { epoch });
        }
        Ok(Delta { epoch, ..coalesce(self.deltas.iter().filter(|d| d.epoch <= epoch)) })
    }
}
