//! The files of an export, one function each, from whatever holds the graph.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use anyhow::anyhow;
use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::index::partition::codebook::Decision;
use kinetograph_dataflows::observe::frame::PixelBox;
use serde::{Deserialize, Serialize};

use super::folder::Folder;
use super::table::Tsv;
use crate::collections::{Collection, Context, Export};
use crate::recompute::Rules;

/// The mark of what an export was made of and by; also tells a former export from any other folder.
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
    /// What was counted in the tables of derived collections: rows, but of `clusters.tsv`, which has a row a member, clusters.
    #[serde(flatten)]
    pub tables: BTreeMap<String, usize>,
    /// Of `sources.tsv`.
    pub sources: usize,
    /// Of `codebook.json`.
    pub decisions: usize,
}

impl Exported {
    /// Returns what was counted under `name` in the tables of derived collections.
    pub fn count(&self, name: &str) -> usize {
        self.tables.get(name).copied().unwrap_or_default()
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edges = self.count("inter") + self.count("intra");
        let [neighbours, clusters, pairs] = ["neighbours", "clusters", "pairs"].map(|name| self.count(name));
        write!(
            f,
            "{} nodes, {neighbours} neighbours, {clusters} clusters, {edges} edges, {pairs} pairs",
            self.nodes
        )
    }
}

/// The contents of `export.json`.
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
}

/// The columns that a derived collection adds to `nodes.tsv`.
pub(crate) struct Column {
    name: &'static str,
    /// What stands in the row of a node; `None` when the collection lacks it.
    text: Box<dyn Fn(NodeId) -> Option<String>>,
}

impl Column {
    /// That of a collection with these records; `None` when it is shown otherwise.
    pub(crate) fn of<C: Collection>(records: BTreeMap<C::Key, C::Value>) -> Option<Self> {
        let Export::Column { name, key, text } = C::export() else { return None };
        let text = move |node| records.get(&key(node)).map(text);
        Some(Column { name, text: Box::new(text) })
    }
}

/// `nodes.tsv`; nodes ascend. The number of rows, as of all these functions.
///
/// # Errors
/// When a collection lacks a node or the file cannot be written; of the others, the latter.
pub(crate) fn nodes(
    folder: &Folder,
    rows: impl IntoIterator<Item = Node>,
    columns: &[Column],
) -> anyhow::Result<usize> {
    let mut names = vec!["node", "source", "frame", "pts_ns", "x", "y", "w", "h", "track", "view"];
    names.extend(columns.iter().map(|column| column.name));
    let mut tsv = Tsv::create(folder, "nodes.tsv", &names)?;
    for Node { id, seq, pts_ns, region } in rows {
        let text = |column: &Column| {
            (column.text)(id).ok_or_else(|| {
                anyhow!("node {id} has no {}; `kinetograph verify` says what else is wrong", column.name)
            })
        };
        let derived = columns.iter().map(text).collect::<anyhow::Result<Vec<String>>>()?;
        let (source, track, view) = (id.source(), id.track(), id.view());
        let mut fields: Vec<&dyn Display> =
            vec![&id, &source, &seq, &pts_ns, &region.x, &region.y, &region.w, &region.h, &track, &view];
        fields.extend(derived.iter().map(|text| text as &dyn Display));
        tsv.row(&fields)?;
    }
    tsv.finish()
}

/// The table of a derived collection that has one: what was counted in it, by name.
pub(crate) fn records<C: Collection>(
    folder: &Folder,
    records: &BTreeMap<C::Key, C::Value>,
    context: &Context<'_>,
) -> anyhow::Result<Vec<(String, usize)>> {
    let Export::Table { file, columns, rows } = C::export() else { return Ok(Vec::new()) };
    let mut tsv = Tsv::create(folder, file, columns)?;
    let counts = rows(&mut records.iter(), context, &mut |fields| tsv.row(fields))?;
    tsv.finish()?;
    Ok(counts.into_iter().map(|(name, count)| (name.to_string(), count)).collect())
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
