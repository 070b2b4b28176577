//! A state as plain files that anybody can read: tables, vectors, crops, and what it takes to compute them again.

pub mod files;
pub mod folder;
pub mod table;
pub(crate) mod tensors;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{anyhow, bail};
use kinetograph_dataflows::id::NodeId;

use crate::collections::{Collection, Context, Export, each_collection};
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
    let mut tables = BTreeMap::new();
    each_collection!(C => {
        if let (true, Export::Table { .. }) = (view.keeps::<C>()?, C::export()) {
            let context = Context { k: rules.k, nodes: &ids };
            tables.extend(files::records::<C>(&folder, &view.read::<C>()?, &context)?);
        }
    });
    let exported = Exported {
        nodes: ids.len(),
        vectors,
        crops,
        tables,
        sources: sources(view, &folder)?,
        decisions: files::decisions(&folder, view.epoch()?, &view.decisions()?)?,
    };
    let settings = view.settings()?.unwrap_or_else(|| serde_json::json!({}));
    folder.json("settings.json", &settings)?;
    files::finish(folder, view.epoch()?, rules, &exported)?;
    Ok(exported)
}

fn nodes(view: &View<'_>, folder: &Folder) -> anyhow::Result<Vec<NodeId>> {
    let nodes = view.nodes()?;
    let mut columns = Vec::new();
    each_collection!(C => {
        if let (true, Export::Column { .. }) = (view.keeps::<C>()?, C::export()) {
            columns.extend(files::Column::of::<C>(view.read::<C>()?));
        }
    });
    let rows = nodes.iter().map(|(id, node)| files::Node {
        id: *id,
        seq: node.seq,
        pts_ns: node.pts_ns,
        region: node.region,
    });
    files::nodes(folder, rows, &columns)?;
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
