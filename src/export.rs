//! A state as plain files that anybody can read: tables, vectors, crops, and what it takes to compute them again.

pub mod files;
pub mod folder;
pub mod table;
pub(crate) mod tensors;

use std::path::Path;

use anyhow::{anyhow, bail};
use kinetograph_dataflows::id::NodeId;

use crate::recompute::Rules;
use crate::state::State;
use crate::state::view::View;
pub use files::Exported;
use folder::Folder;

/// Writes all of `state`, whose graph was made by `rules`, to the folder `out`. A former export there is replaced,
/// once the new one is whole.
///
/// # Errors
/// When the state cannot be read or lacks a node's crop or vector, when `out` holds something else, or cannot be
/// written.
pub fn export(state: &State, rules: &Rules, out: &Path) -> anyhow::Result<Exported> {
    export_view(&state.view()?, rules, out)
}

/// As [`export`], as of `epoch`. Of nodes that were retired since there are no vectors and crops; the answer says how many have
/// them.
///
/// # Errors
/// As of [`export`], and when that epoch cannot be shown.
pub fn export_as_of(state: &State, epoch: u64, rules: &Rules, out: &Path) -> anyhow::Result<Exported> {
    export_view(&state.view_as_of(epoch)?, rules, out)
}

fn export_view(view: &View<'_>, rules: &Rules, out: &Path) -> anyhow::Result<Exported> {
    let folder = files::begin(out)?;
    let ids = nodes(view, &folder)?;
    let vectors = vectors(view, &ids, &folder)?;
    let crops = crops(view, &ids, &folder)?;
    let lists = view.lists()?;
    let neighbours =
        files::neighbours(&folder, lists.iter().map(|((node, _), list)| (*node, list)), rules.k)?;
    drop(lists);
    let (inter, intra) = files::edges(&folder, &view.inter()?, &ids)?;
    let exported = Exported {
        nodes: ids.len(),
        vectors,
        crops,
        neighbours,
        clusters: files::clusters(&folder, &view.clusters()?)?,
        inter,
        intra,
        pairs: files::pairs(&folder, &view.pairs()?)?,
        sources: sources(view, &folder)?,
        decisions: files::decisions(&folder, view.epoch()?, &view.decisions()?)?,
    };
    let settings = view.settings()?.unwrap_or_else(|| serde_json::json!({}));
    folder.json("settings.json", &settings)?;
    files::finish(folder, view.epoch()?, rules, &exported)?;
    Ok(exported)
}

fn nodes(view: &View<'_>, folder: &Folder) -> anyhow::Result<Vec<NodeId>> {
    let (nodes, cells) = (view.nodes()?, view.cells()?);
    let (groups, classes) = (view.groups()?, view.classes()?);
    let row = |(id, node): (&NodeId, &crate::state::record::NodeRecord)| {
        let missing =
            |what: &str| anyhow!("node {id} has no {what}; `kinetograph verify` says what else is wrong");
        Ok(files::Node {
            id: *id,
            seq: node.seq,
            pts_ns: node.pts_ns,
            region: node.region,
            cell: *cells.get(id).ok_or_else(|| missing("cell"))?,
            group: *groups.get(id).ok_or_else(|| missing("group"))?,
            class: *classes.get(id).ok_or_else(|| missing("class"))?,
        })
    };
    files::nodes(folder, nodes.iter().map(row))?;
    Ok(nodes.into_keys().collect())
}

fn vectors(view: &View<'_>, ids: &[NodeId], folder: &Folder) -> anyhow::Result<usize> {
    let vectors = view.vectors()?;
    let length = ids.iter().find_map(|id| vectors.get(id)).map_or(0, |v| v.len());
    // The vector of a node that was retired since is gone, and no damage.
    let mut kept = ids.to_vec();
    if view.retired_since() > 0 {
        kept.retain(|id| vectors.contains_key(id));
    }
    tensors::vectors(folder, &kept, length, |id, row| {
        let vector = vectors.get(&id).filter(|v| v.len() == length).ok_or_else(|| {
            anyhow!(
                "node {id} has no vector of {length} values; `kinetograph verify` says what else is wrong"
            )
        })?;
        row.extend_from_slice(&vector.values());
        Ok(())
    })?;
    Ok(kept.len())
}

fn crops(view: &View<'_>, ids: &[NodeId], folder: &Folder) -> anyhow::Result<usize> {
    folder.subfolder("crops")?;
    let mut written = 0;
    for id in ids {
        match view.crop(*id)? {
            Some(crop) => folder.write(&format!("crops/{id}.jpg"), &crop)?,
            None if view.retired_since() > 0 => continue,
            None => bail!("node {id} has no crop; `kinetograph verify` says what else is wrong"),
        }
        written += 1;
    }
    Ok(written)
}

fn sources(view: &View<'_>, folder: &Folder) -> anyhow::Result<usize> {
    let sources = view.sources()?.into_iter().map(|(id, source)| files::Source {
        id,
        name: source.name,
        uri: source.uri,
        frames: source.position,
        ended: source.ended,
        failure: source.failure,
    });
    files::sources(folder, sources)
}
