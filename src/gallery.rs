//! A state as pictures: a page and a contact sheet that show what was mined, followed, linked and learnt.

pub mod font;
pub mod loss;
pub mod page;
pub mod pick;
pub mod sheet;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::export::folder::Folder;
use crate::state::State;
use loss::Curve;
use pick::Album;

/// The mark in `index.html` that tells a former gallery from any other folder.
const MARK: &str = r#"<meta name="generator" content="kinetograph gallery">"#;

/// The numbers of what a gallery shows, and its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gallery {
    /// The page.
    pub index: PathBuf,
    /// The contact sheet.
    pub sheet: PathBuf,
    /// Crops in the folder.
    pub crops: usize,
    /// Tracks shown.
    pub tracks: usize,
    /// Child clusters shown.
    pub clusters: usize,
    /// Transitive pairs shown.
    pub pairs: usize,
    /// Classes shown.
    pub classes: usize,
}

/// Makes the gallery of `state` in the folder `out`; a former gallery there is replaced. `loss_tsv` is the trainer's
/// loss curve; when there is no such file the page says that training has not run.
///
/// # Errors
/// When the state cannot be read, when `out` holds something else, or cannot be written.
pub fn gallery(state: &State, loss_tsv: Option<&Path>, out: &Path) -> anyhow::Result<Gallery> {
    let folder = Folder::begin(out, "gallery", &|former| {
        std::fs::read_to_string(former.join("index.html")).is_ok_and(|page| page.contains(MARK))
    })?;
    let view = state.view()?;
    let album = Album::pick(&view)?;
    let curve = loss_tsv.map_or(Ok(None), Curve::read)?;
    folder.subfolder("crops")?;
    let shown = album.shown();
    for node in &shown {
        let crop = view.crop(*node)?.with_context(|| format!("node {node}: its crop went away"))?;
        folder.write(&format!("crops/{node}.jpg"), &crop)?;
    }
    folder.write("index.html", page::page(&album, curve.as_ref()).as_bytes())?;
    let sheet = sheet::sheet(&album, &|node| view.crop(node))?;
    sheet.save(folder.path("sheet.png")).context("sheet.png")?;
    folder.finish()?;
    Ok(Gallery {
        index: out.join("index.html"),
        sheet: out.join("sheet.png"),
        crops: shown.len(),
        tracks: album.tracks.len(),
        clusters: album.clusters.len(),
        pairs: album.pairs.len(),
        classes: album.classes.len(),
    })
}
