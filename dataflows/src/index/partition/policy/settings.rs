//! Settings of cells, neighbours and groups.

use serde::{Deserialize, Serialize};

use crate::index::kernels::Kernel;
use crate::index::partition::probes::Probes;
use crate::index::quantize::Projecting;
use crate::index::quantize::Storage;

/// Settings of cells, neighbours and groups. The same settings and the same log give the same graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Entries of a node's list (k). The paper's 10.
    pub k: usize,
    /// Two nodes of one source are neighbours only when further apart than this, in seconds (T).
    pub separation_s: f64,
    /// Cells a node probes at most (p): its own and the `nprobe` - 1 nearest others. At least 1.
    pub nprobe: usize,
    /// Others are looked into only where their centroids are at most so many times as far away as the own cell's, 1.05 for one:
    /// nodes in the middle of their cells then probe these alone, and those at a border across it. 0: however far. See [`Probes`].
    pub probe_within: f64,
    /// Says how the cells come about.
    pub codebook: CodebookKind,
    /// Says how a cell keeps its rows for the product that proposes neighbours. The lists are the same with either.
    pub storage: Storage,
    /// Says whether that product multiplies projections on a few directions, which cost less where vectors are alike. The lists are the
    /// same with any.
    pub projection: Projecting,
    /// Threads that a worker may take for a cell with much to meet: large cells are searched by all cores whose workers have nothing to
    /// do meanwhile. 0: the machine's cores divided among the workers. The lists are the same with any number.
    pub threads: usize,
    /// Says how the groups come about.
    pub groups: Groups,
    /// The instructions of that product: no setting, but to measure and to test by. The lists are the same with any.
    #[serde(skip)]
    pub kernel: Kernel,
}

/// Says how the cells come about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CodebookKind {
    /// One cell that divides in two whenever a leaf outgrows `cap`; siblings merge again under a quarter of it.
    Growing {
        /// Rows a leaf may hold.
        cap: usize,
        /// A leaf over `cap` is looked at in every so many epochs (the id says in which of them), so that one that
        /// cannot be divided does not cost a try each epoch. 0 counts as 1.
        try_every_epochs: u64,
    },
    /// K-means over the first nodes, fixed from then on.
    KMeans {
        /// Centroids (K). The paper's 5000.
        cells: usize,
        /// Nodes to wait for, and to take the sample from.
        first_nodes: usize,
        /// A cell with fewer rows gives no lists (the paper drops clusters under 100).
        min_cell: usize,
    },
}

/// Says how the groups come about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Groups {
    /// K-means over all nodes when they reach each of these numbers: (nodes, groups), both ascending.
    Schedule(Vec<(usize, usize)>),
    /// The cells of a K-means codebook are the groups.
    Cells,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            k: 10,
            separation_s: 5.0,
            nprobe: 1,
            probe_within: 0.0,
            codebook: CodebookKind::Growing { cap: 4096, try_every_epochs: 4 },
            storage: Storage::default(),
            projection: Projecting::Measured,
            kernel: Kernel::best(),
            threads: 0,
            groups: Groups::Schedule(vec![(64, 8), (500, 32)]),
        }
    }
}

impl Settings {
    /// The paper's: K-means with 5000 cells, those under 100 rows give no lists, and cell and group are one thing
    /// (Wang, He, Gupta 2017, section 4). K-means runs once, over the first 50 000 nodes, where the paper ran it
    /// over a finished set.
    pub fn paper() -> Self {
        Settings {
            codebook: CodebookKind::KMeans { cells: 5000, first_nodes: 50_000, min_cell: 100 },
            groups: Groups::Cells,
            ..Settings::default()
        }
    }

    /// These settings for vectors of `d` values, with rows kept as a short measurement finds best here, if they are to be.
    pub fn measured(mut self, d: usize) -> Self {
        if self.storage == Storage::Measured {
            self.storage = Storage::measure(d, self.kernel);
        }
        self
    }

    /// Which cells a node probes.
    pub fn probes(&self) -> Probes {
        Probes { count: self.nprobe, within: self.probe_within }
    }

    /// T in nanoseconds. Negative and undefined values count as 0.
    pub fn separation_ns(&self) -> u64 {
        (self.separation_s * 1e9).round() as u64
    }

    /// Threads that each of `workers` workers may take.
    pub fn threads_of(&self, workers: usize) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        if self.threads > 0 { self.threads } else { (cores() / workers.max(1)).max(1) }
    }

    /// Rows a cell must hold to give lists.
    pub fn min_cell(&self) -> usize {
        match self.codebook {
            CodebookKind::Growing { .. } => 0,
            CodebookKind::KMeans { min_cell, .. } => min_cell,
        }
    }
}
