//! The inputs that the graph is derived from: nodes, crops, vectors and the codebook, each checked against the others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use image::{ImageFormat, ImageReader};
use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::index::kernels::vector::Vector;
use kinetograph_dataflows::index::partition::codebook::{Codebook, Decision};

use super::{Check, Embed, Progress, orphans, read};
use crate::recompute::cores::{on_all_cores, threads};
use crate::state::StateError;
use crate::state::record::{NodeRecord, SourceRecord};
use crate::state::view::View;

/// Columns and rows of a crop.
const CROP_PX: u32 = 96;
/// Crops embedded at a time.
const EMBED_BATCH: usize = 64;

/// Crops looked at at a time: some tens of megabytes.
const CROPS_AT_A_TIME: usize = 8192;

/// Nodes by id.
pub type Nodes = BTreeMap<NodeId, NodeRecord>;
/// Vectors by node, all of one length.
pub type Vectors = BTreeMap<NodeId, Vector>;

/// Sources by id; `None` when a record of one is damaged.
pub type Sources = Option<BTreeMap<SourceId, SourceRecord>>;

/// The sources, and whether they can be read.
pub(crate) fn sources(view: &View<'_>) -> Result<(Sources, Check), StateError> {
    let mut check = Check::new("sources");
    let sources: Sources = read(&mut check, view.sources())?;
    check.checked = sources.as_ref().map_or(0, BTreeMap::len);
    Ok((sources, check))
}

/// The nodes, and whether they fit their sources and the last epoch.
pub(crate) fn nodes(view: &View<'_>, sources: &Sources, epoch: u64) -> Result<(Nodes, Check), StateError> {
    let mut check = Check::new("nodes");
    let nodes = read(&mut check, view.nodes())?.unwrap_or_default();
    for (node, record) in &nodes {
        check.checked += 1;
        let source = node.source();
        match sources.as_ref().map(|s| s.get(&source)) {
            Some(None) => check.differs(|| format!("node {node}: there is no source {source}")),
            Some(Some(of)) if record.seq >= of.position => check.differs(|| {
                format!("node {node}: of frame {}, but source {source} has {}", record.seq, of.position)
            }),
            _ => {}
        }
        if record.epoch > epoch {
            check.differs(|| format!("node {node}: came in epoch {}, after the last", record.epoch));
        }
    }
    Ok((nodes, check))
}

/// Counts nodes without crop or vector as differences of `check`.
pub(crate) fn complete(check: &mut Check, nodes: &Nodes, crops: &BTreeSet<NodeId>, vectors: &Vectors) {
    for node in nodes.keys() {
        if !crops.contains(node) {
            check.differs(|| format!("node {node}: has no crop"));
        }
        if !vectors.contains_key(node) {
            check.differs(|| format!("node {node}: has no vector of the right length"));
        }
    }
}

/// The nodes whose crop can be read, and whether each crop is a JPEG of the right size.
pub(crate) fn crops(
    view: &View<'_>,
    nodes: &Nodes,
    progress: &Progress<'_>,
) -> Result<(BTreeSet<NodeId>, Check), StateError> {
    let mut check = Check::new("crops");
    let (mut good, mut batch) = (BTreeSet::new(), Vec::with_capacity(CROPS_AT_A_TIME));
    // The store is read by this thread alone.
    let mut look = |batch: &mut Vec<(NodeId, Vec<u8>)>, check: &mut Check| {
        for (node, wrong) in on_all_cores(batch, |(node, jpeg)| (*node, unlike_a_crop(jpeg)), &|_| {}) {
            check.checked += 1;
            match wrong {
                None | Some((true, _)) => drop(good.insert(node)),
                Some((false, _)) => {}
            }
            wrong.into_iter().for_each(|(_, words)| check.differs(|| format!("node {node}: {words}")));
            if !nodes.contains_key(&node) {
                check.differs(|| format!("node {node}: has a crop and is not in the table of nodes"));
            }
        }
        batch.clear();
        progress("crops", check.checked, nodes.len());
    };
    let read_all = view.each_crop(|node, jpeg| {
        batch.push((node, jpeg.to_vec()));
        if batch.len() == CROPS_AT_A_TIME {
            look(&mut batch, &mut check);
        }
    });
    look(&mut batch, &mut check);
    read(&mut check, read_all)?;
    Ok((good, check))
}

/// Returns what is wrong with a crop, in words, and whether it can be read all the same.
fn unlike_a_crop(jpeg: &[u8]) -> Option<(bool, String)> {
    match ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg).into_dimensions() {
        Ok((CROP_PX, CROP_PX)) => None,
        Ok((w, h)) => Some((true, format!("crop of {w} x {h} pixels, expected 96 x 96"))),
        Err(error) => Some((false, format!("crop is no JPEG: {error}"))),
    }
}

/// The vectors that have the length most of them have, and whether all do.
pub(crate) fn vectors(view: &View<'_>, nodes: &Nodes) -> Result<(Vectors, Check), StateError> {
    let mut check = Check::new("vectors");
    let mut vectors = read(&mut check, view.vectors())?.unwrap_or_default();
    let known = nodes.keys().copied().collect();
    orphans(&mut check, "vector", vectors.keys(), &known);
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    vectors.values().for_each(|v| *lengths.entry(v.len()).or_default() += 1);
    let usual = lengths.iter().max_by_key(|(_, count)| **count).map_or(0, |(length, _)| *length);
    vectors.retain(|node, vector| {
        check.expect(vector.len() == usual, || {
            format!("node {node}: vector of {} values, the others have {usual}", vector.len())
        });
        vector.len() == usual
    });
    Ok((vectors, check))
}

/// Embeds the crops again, on all cores, and compares, bit by bit.
pub(crate) fn embedded(
    view: &View<'_>,
    crops: &BTreeSet<NodeId>,
    vectors: &Vectors,
    embed: &Embed<'_>,
    check: &mut Check,
    progress: &Progress<'_>,
) -> anyhow::Result<()> {
    let both: Vec<NodeId> = crops.iter().filter(|n| vectors.contains_key(n)).copied().collect();
    // The store is read by this thread alone, as many crops at a time as keep the others busy for a while.
    let read_at_a_time = 8 * threads() * EMBED_BATCH;
    for (round, nodes) in both.chunks(read_at_a_time).enumerate() {
        let jpegs = nodes.iter().map(|n| Ok((*n, view.crop(*n)?.unwrap_or_default())));
        let jpegs = jpegs.collect::<Result<Vec<(NodeId, Vec<u8>)>, StateError>>()?;
        let batches: Vec<&[(NodeId, Vec<u8>)]> = jpegs.chunks(EMBED_BATCH).collect();
        let before = round * read_at_a_time;
        let done = |batches: usize| {
            progress("vectors", (before + batches * EMBED_BATCH).min(both.len()), both.len());
        };
        for unlike in on_all_cores(&batches, |batch| unlike(batch, vectors, embed), &done) {
            unlike?.into_iter().for_each(|words| check.differs(|| words));
        }
    }
    Ok(())
}

/// Returns what is wrong with vectors, given the crops of their nodes.
fn unlike(crops: &[(NodeId, Vec<u8>)], vectors: &Vectors, embed: &Embed<'_>) -> anyhow::Result<Vec<String>> {
    let found = embed(&crops.iter().map(|(_, jpeg)| jpeg.as_slice()).collect::<Vec<_>>())?;
    let length = found.len() / crops.len();
    let mut unlike = Vec::new();
    for (at, (node, _)) in crops.iter().enumerate() {
        let (stored, found) = (vectors[node].values(), &found[at * length..(at + 1) * length]);
        if stored.len() != length {
            unlike.push(format!("node {node}: {} values, its crop gives {length}", stored.len()));
        } else if let Some(i) = (0..length).find(|i| stored[*i].to_bits() != found[*i].to_bits()) {
            unlike.push(format!("node {node}: value {i} is {}, its crop gives {}", stored[i], found[i]));
        }
    }
    Ok(unlike)
}

/// The codebook as of `epoch`, by every decision that has taken effect; vectors have `length` values.
pub(crate) fn codebook(view: &View<'_>, epoch: u64, length: usize) -> Result<(Codebook, Check), StateError> {
    let mut check = Check::new("decisions");
    let mut codebook = Codebook::default();
    let decisions = read(&mut check, view.decisions())?.unwrap_or_default();
    for (effective, decision) in decisions.iter().filter(|(effective, _)| *effective <= epoch) {
        check.checked += 1;
        let fits = match decision {
            Decision::Divide { children, .. } => children.iter().all(|(_, c)| c.len() == length),
            Decision::Group { centroids } => centroids.iter().all(|c| c.len() == length),
            Decision::Merge { .. } => true,
        };
        // Without vectors there is nothing to score the centroids against.
        if !fits && length > 0 {
            check.differs(|| format!("decision of epoch {effective}: centroids not of {length} values"));
        } else if let Err(error) = codebook.apply(decision) {
            check.differs(|| format!("decision of epoch {effective}: {error}"));
        }
    }
    Ok((codebook, check))
}
