//! The files of an export, one function each, from whatever holds the graph.

use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::index::node::{CellId, ClassId, Cluster, GroupId, List, Pair};
use kinetograph_dataflows::index::partition::codebook::Decision;
use kinetograph_dataflows::observe::frame::PixelBox;
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::table::Tsv;
use crate::recompute::Rules;
use crate::verify::compare::kind_name;

/// What an export was made of and by; also tells a former export from any other folder.
pub(crate) const MARK: &str = "export.json";
/// Version of an export's layout.
const LAYOUT: u32 = 1;

/// Rows written, file by file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exported {
    /// Of `nodes.tsv`.
    pub nodes: usize,
    /// Of `vectors.safetensors`: fewer than nodes when some were retired since the epoch that is shown.
    pub vectors: usize,
    /// In `crops/`: as of the vectors, and none of a graph that is not of pictures.
    pub crops: usize,
    /// Of `neighbours.tsv`.
    pub neighbours: usize,
    /// Child clusters, of which `clusters.tsv` has a row a member.
    pub clusters: usize,
    /// Inter-instance edges of `edges.tsv`.
    pub inter: usize,
    /// Intra-instance edges of `edges.tsv`.
    pub intra: usize,
    /// Of `pairs.tsv`.
    pub pairs: usize,
    /// Of `sources.tsv`.
    pub sources: usize,
    /// Of `codebook.json`.
    pub decisions: usize,
}

/// What `export.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    kinetograph_export: u32,
    epoch: u64,
    rules: Rules,
    rows: Exported,
}

/// Begins an export in `out`: see [`Folder::begin`].
///
/// # Errors
/// When `out` holds something else than a former export, or nothing can be written beside it.
pub(crate) fn begin(out: &std::path::Path) -> anyhow::Result<Folder> {
    Folder::begin(out, "export", &|former| {
        let mark = std::fs::read(former.join(MARK)).ok();
        mark.is_some_and(|mark| serde_json::from_slice::<Mark>(&mark).is_ok())
    })
}

/// Says in `export.json` what was written, and puts the folder in its place.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn finish(folder: Folder, epoch: u64, rules: &Rules, rows: &Exported) -> anyhow::Result<()> {
    let mark = Mark { kinetograph_export: LAYOUT, epoch, rules: rules.clone(), rows: rows.clone() };
    folder.json(MARK, &mark)?;
    folder.finish()
}

/// A row of `nodes.tsv`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// Number of its frame in the source.
    pub(crate) seq: u64,
    pub(crate) pts_ns: u64,
    /// In source pixels.
    pub(crate) region: PixelBox,
    pub(crate) cell: CellId,
    pub(crate) group: GroupId,
    pub(crate) class: ClassId,
}

/// `nodes.tsv`; nodes ascend. The number of rows, as of all these functions.
///
/// # Errors
/// When a row is an error or the file cannot be written; of the others, the latter.
pub(crate) fn nodes(
    folder: &Folder,
    rows: impl IntoIterator<Item = anyhow::Result<Node>>,
) -> anyhow::Result<usize> {
    let columns =
        ["node", "source", "frame", "pts_ns", "x", "y", "w", "h", "track", "view", "cell", "group", "class"];
    let mut tsv = Tsv::create(folder, "nodes.tsv", &columns)?;
    for row in rows {
        let Node { id, seq, pts_ns, region, cell, group, class } = row?;
        tsv.row(&[
            &id,
            &id.source(),
            &seq,
            &pts_ns,
            &region.x,
            &region.y,
            &region.w,
            &region.h,
            &id.track(),
            &id.view(),
            &cell.0,
            &group.0,
            &class.0,
        ])?;
    }
    tsv.finish()
}

/// `neighbours.tsv`: each node's lists (which follow each other) merged to its `k` nearest.
pub(crate) fn neighbours<'l>(
    folder: &Folder,
    lists: impl IntoIterator<Item = (NodeId, &'l List)>,
    k: usize,
) -> anyhow::Result<usize> {
    let mut tsv = Tsv::create(folder, "neighbours.tsv", &["node", "rank", "neighbour", "score"])?;
    let mut lists = lists.into_iter().peekable();
    while let Some((node, list)) = lists.next() {
        let mut merged = list.clone();
        while let Some((_, list)) = lists.next_if(|(next, _)| *next == node) {
            merged.extend(list);
        }
        merged.sort_unstable();
        for (at, entry) in merged.iter().take(k).enumerate() {
            tsv.row(&[&node, &(at + 1), &entry.node, &entry.score.0])?;
        }
    }
    tsv.finish()
}

/// `clusters.tsv`; the number of clusters.
pub(crate) fn clusters<'c>(
    folder: &Folder,
    clusters: impl IntoIterator<Item = &'c Cluster>,
) -> anyhow::Result<usize> {
    let mut tsv = Tsv::create(folder, "clusters.tsv", &["cluster", "node"])?;
    let mut count = 0;
    for cluster in clusters {
        for node in cluster {
            tsv.row(&[&count, node])?;
        }
        count += 1;
    }
    tsv.finish()?;
    Ok(count)
}

/// `edges.tsv`: the edges of `inter`, then those between views of one track; `ids` ascend. The number of either kind.
pub(crate) fn edges<'e>(
    folder: &Folder,
    inter: impl IntoIterator<Item = &'e (NodeId, NodeId)>,
    ids: &[NodeId],
) -> anyhow::Result<(usize, usize)> {
    let mut tsv = Tsv::create(folder, "edges.tsv", &["a", "b", "kind"])?;
    let mut between = 0;
    for (a, b) in inter {
        tsv.row(&[a, b, &"inter"])?;
        between += 1;
    }
    for views in ids.chunk_by(|a, b| a.track() == b.track()) {
        for (at, a) in views.iter().enumerate() {
            for b in &views[at + 1..] {
                tsv.row(&[a, b, &"intra"])?;
            }
        }
    }
    Ok((between, tsv.finish()? - between))
}

/// `pairs.tsv`.
pub(crate) fn pairs<'p>(folder: &Folder, pairs: impl IntoIterator<Item = &'p Pair>) -> anyhow::Result<usize> {
    let mut tsv = Tsv::create(folder, "pairs.tsv", &["a", "b", "kind", "via_a", "via_b"])?;
    for pair in pairs {
        tsv.row(&[&pair.a, &pair.b, &kind_name(pair.kind), &pair.via_a, &pair.via_b])?;
    }
    tsv.finish()
}

/// A row of `sources.tsv`.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) name: String,
    pub(crate) uri: String,
    pub(crate) frames: u64,
    pub(crate) ended: bool,
    pub(crate) failure: Option<String>,
}

/// `sources.tsv`.
pub(crate) fn sources(folder: &Folder, rows: impl IntoIterator<Item = Source>) -> anyhow::Result<usize> {
    let columns = ["source", "name", "uri", "frames", "ended", "failure"];
    let mut tsv = Tsv::create(folder, "sources.tsv", &columns)?;
    for Source { id, name, uri, frames, ended, failure } in rows {
        tsv.row(&[&id, &name, &uri, &frames, &ended, &failure.unwrap_or_default()])?;
    }
    tsv.finish()
}

/// A decision as `codebook.json` has it.
#[derive(Serialize)]
struct Decided<'d> {
    decision: &'d Decision,
    effective: u64,
}

/// `codebook.json`: the decisions in order, each with the epoch it takes effect at.
pub(crate) fn decisions(folder: &Folder, epoch: u64, decisions: &[(u64, Decision)]) -> anyhow::Result<usize> {
    #[derive(Serialize)]
    struct Log<'d> {
        decisions: Vec<Decided<'d>>,
        epoch: u64,
    }
    let log = Log {
        decisions: decisions.iter().map(|(at, decision)| Decided { decision, effective: *at }).collect(),
        epoch,
    };
    folder.json("codebook.json", &log)?;
    Ok(decisions.len())
}
