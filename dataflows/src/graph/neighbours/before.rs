//! The lists before an epoch, of the queries it touches.

use hashbrown::HashMap;

use super::super::node::List;
use crate::id::NodeId;

/// A list is remembered before the first thing that may change it.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Of members that may come, go or move meanwhile; `None` where there was no such query.
    pub(super) by_id: HashMap<NodeId, Option<List>>,
    /// Of old queries that only had rows offered, in their places.
    pub(super) offered: Vec<Offered>,
}

/// The list of an old query before the first row was offered to it.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) id: NodeId,
    /// Its place.
    pub(super) at: usize,
    pub(super) list: List,
}
