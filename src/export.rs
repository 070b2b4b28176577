//! A state as plain files that anybody can read: tables, vectors, crops, and what it takes to compute them again.

pub mod folder;
pub mod table;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow};
use kinetograph_dataflows::id::NodeId;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::state::State;
use crate::state::view::View;
use crate::verify::Rules;
use crate::verify::compare::kind_name;
use crate::verify::recompute::tracks;
use folder::Folder;
use table::Tsv;

/// What an export was made of and by; also tells a former export from any other folder.
const MARK: &str = "export.json";
/// Version of an export's layout.
const LAYOUT: u32 = 1;

/// Rows written, file by file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Of `nodes.tsv` and `vectors.safetensors`, and crops.
    pub nodes: usize,
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

/// Writes all of `state`, whose graph was made by `rules`, to the folder `out`. A former export there is replaced,
/// once the new one is whole.
///
/// # Errors
/// When the state cannot be read or lacks a node's crop or vector, when `out` holds something else, or cannot be
/// written.
pub fn export(state: &State, rules: &Rules, out: &Path) -> anyhow::Result<Exported> {
    let folder = Folder::begin(out, "export", &|former| {
        let mark = std::fs::read(former.join(MARK)).ok();
        mark.is_some_and(|mark| serde_json::from_slice::<Mark>(&mark).is_ok())
    })?;
    let view = state.view()?;
    let ids = nodes(&view, &folder)?;
    vectors(&view, &ids, &folder)?;
    crops(&view, &ids, &folder)?;
    let (inter, intra) = edges(&view, &ids, &folder)?;
    let exported = Exported {
        nodes: ids.len(),
        neighbours: neighbours(&view, rules.k, &folder)?,
        clusters: clusters(&view, &folder)?,
        inter,
        intra,
        pairs: pairs(&view, &folder)?,
        sources: sources(&view, &folder)?,
        decisions: decisions(&view, &folder)?,
    };
    let settings = view.settings()?.unwrap_or_else(|| serde_json::json!({}));
    folder.json("settings.json", &settings)?;
    let mark = Mark {
        kinetograph_export: LAYOUT,
        epoch: view.epoch()?,
        rules: rules.clone(),
        rows: exported.clone(),
    };
    folder.json(MARK, &mark)?;
    folder.finish()?;
    Ok(exported)
}

fn nodes(view: &View<'_>, folder: &Folder) -> anyhow::Result<Vec<NodeId>> {
    let columns =
        ["node", "source", "frame", "pts_ns", "x", "y", "w", "h", "track", "view", "cell", "group", "class"];
    let mut tsv = Tsv::create(folder, "nodes.tsv", &columns)?;
    let (nodes, cells) = (view.nodes()?, view.cells()?);
    let (groups, classes) = (view.groups()?, view.classes()?);
    for (id, node) in &nodes {
        let missing =
            |what: &str| anyhow!("node {id} has no {what}; `kinetograph verify` says what else is wrong");
        tsv.row(&[
            id,
            &id.source(),
            &node.seq,
            &node.pts_ns,
            &node.region.x,
            &node.region.y,
            &node.region.w,
            &node.region.h,
            &id.track(),
            &id.view(),
            &cells.get(id).ok_or_else(|| missing("cell"))?.0,
            &groups.get(id).ok_or_else(|| missing("group"))?.0,
            &classes.get(id).ok_or_else(|| missing("class"))?.0,
        ])?;
    }
    tsv.finish()?;
    Ok(nodes.into_keys().collect())
}

fn vectors(view: &View<'_>, ids: &[NodeId], folder: &Folder) -> anyhow::Result<()> {
    let vectors = view.vectors()?;
    let length = ids.first().and_then(|id| vectors.get(id)).map_or(0, |v| v.len());
    let (mut values, mut nodes) = (Vec::new(), Vec::new());
    for id in ids {
        let vector = vectors.get(id).filter(|v| v.len() == length).ok_or_else(|| {
            anyhow!(
                "node {id} has no vector of {length} values; `kinetograph verify` says what else is wrong"
            )
        })?;
        values.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        let id =
            i64::try_from(id.0).with_context(|| format!("node {id}: too large for vectors.safetensors"))?;
        nodes.extend(id.to_le_bytes());
    }
    let tensors = [
        ("vectors", TensorView::new(Dtype::F32, vec![ids.len(), length], &values)?),
        ("nodes", TensorView::new(Dtype::I64, vec![ids.len()], &nodes)?),
    ];
    let path = folder.path("vectors.safetensors");
    safetensors::serialize_to_file(tensors, None, &path).with_context(|| path.display().to_string())
}

fn crops(view: &View<'_>, ids: &[NodeId], folder: &Folder) -> anyhow::Result<()> {
    folder.subfolder("crops")?;
    for id in ids {
        let crop = view.crop(*id)?;
        let crop = crop
            .ok_or_else(|| anyhow!("node {id} has no crop; `kinetograph verify` says what else is wrong"))?;
        folder.write(&format!("crops/{id}.jpg"), &crop)?;
    }
    Ok(())
}

fn neighbours(view: &View<'_>, k: usize, folder: &Folder) -> anyhow::Result<usize> {
    let mut tsv = Tsv::create(folder, "neighbours.tsv", &["node", "rank", "neighbour", "score"])?;
    for (node, list) in view.neighbours(k)? {
        for (at, entry) in list.iter().enumerate() {
            tsv.row(&[&node, &(at + 1), &entry.node, &entry.score.0])?;
        }
    }
    tsv.finish()
}

fn clusters(view: &View<'_>, folder: &Folder) -> anyhow::Result<usize> {
    let clusters = view.clusters()?;
    let mut tsv = Tsv::create(folder, "clusters.tsv", &["cluster", "node"])?;
    for (number, cluster) in clusters.iter().enumerate() {
        for node in cluster {
            tsv.row(&[&number, node])?;
        }
    }
    tsv.finish()?;
    Ok(clusters.len())
}

fn edges(view: &View<'_>, ids: &[NodeId], folder: &Folder) -> anyhow::Result<(usize, usize)> {
    let mut tsv = Tsv::create(folder, "edges.tsv", &["a", "b", "kind"])?;
    let inter = view.inter()?;
    for (a, b) in &inter {
        tsv.row(&[a, b, &"inter"])?;
    }
    for views in tracks(ids.iter().copied()).values() {
        for (at, a) in views.iter().enumerate() {
            for b in &views[at + 1..] {
                tsv.row(&[a, b, &"intra"])?;
            }
        }
    }
    Ok((inter.len(), tsv.finish()? - inter.len()))
}

fn pairs(view: &View<'_>, folder: &Folder) -> anyhow::Result<usize> {
    let mut tsv = Tsv::create(folder, "pairs.tsv", &["a", "b", "kind", "via_a", "via_b"])?;
    for pair in view.pairs()? {
        tsv.row(&[&pair.a, &pair.b, &kind_name(pair.kind), &pair.via_a, &pair.via_b])?;
    }
    tsv.finish()
}

fn sources(view: &View<'_>, folder: &Folder) -> anyhow::Result<usize> {
    let columns = ["source", "name", "uri", "frames", "ended", "failure"];
    let mut tsv = Tsv::create(folder, "sources.tsv", &columns)?;
    for (id, source) in view.sources()? {
        let failure = source.failure.unwrap_or_default();
        tsv.row(&[&id, &source.name, &source.uri, &source.position, &source.ended, &failure])?;
    }
    tsv.finish()
}

fn decisions(view: &View<'_>, folder: &Folder) -> anyhow::Result<usize> {
    let decisions = view.decisions()?;
    let record = |(effective, decision)| -> BTreeMap<&str, serde_json::Value> {
        BTreeMap::from([("effective", effective), ("decision", decision)])
    };
    let records = decisions
        .iter()
        .map(|(effective, decision)| Ok(record(((*effective).into(), serde_json::to_value(decision)?))))
        .collect::<anyhow::Result<Vec<_>>>()?;
    folder.json("codebook.json", &serde_json::json!({ "epoch": view.epoch()?, "decisions": records }))?;
    Ok(decisions.len())
}
