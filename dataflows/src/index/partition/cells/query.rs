//! A query: what a node asks of a cell.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::index::node::{List, Row};

/// A row that probes a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The row; its own `known` is empty.
    pub row: Arc<Row>,
    /// Its list in that cell, when the store knew it: only on the row's first arrival.
    pub known: Option<List>,
}
