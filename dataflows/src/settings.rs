//! Settings of the graph, in one tree.

use serde::{Deserialize, Serialize};

use crate::index::partition::policy;
use crate::relations::clusters;

/// Settings of the graph: the same settings and the same log give the same graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GraphSettings {
    /// Cells, lists, groups.
    pub neighbours: policy::Settings,
    /// Says what follows from the lists.
    pub closure: clusters::Settings,
}

impl GraphSettings {
    /// The paper's.
    pub fn paper() -> Self {
        GraphSettings { neighbours: policy::Settings::paper(), ..GraphSettings::default() }
    }
}
