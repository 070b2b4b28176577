//! Striking nodes from checkpoints: out of the replay buffer and the view's order. Weights and momentum stay as they are, to
//! the bit.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kinetograph_dataflows::id::NodeId;

use super::{Checkpoint, CheckpointError, Named, bytes, list, named_nodes, put};
use crate::train::replay::Buffer;
use crate::train::view::{Changes, Kind};

/// The numbers of what was struck in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Struck {
    /// Checkpoints that named one of the nodes, written anew.
    pub checkpoints: usize,
    /// Pairs that left replay buffers.
    pub pairs: usize,
    /// Damaged and half-written checkpoints that were removed: nobody can tell what they name.
    pub removed: usize,
}

/// Strikes `nodes` from every checkpoint in `dir`; there need not be any. Each file is replaced as a whole, and doing it
/// again changes nothing.
///
/// # Errors
/// [`CheckpointError`]; what was struck before stays so.
pub fn strike(dir: &Path, nodes: &BTreeSet<NodeId>) -> Result<Struck, CheckpointError> {
    let mut struck = Struck::default();
    if !dir.exists() {
        return Ok(struck);
    }
    for (_, file) in list(dir)? {
        match Checkpoint::read(&file) {
            Ok(checkpoint) => {
                if let Some(pairs) = strike_one(&checkpoint, nodes)? {
                    struck.checkpoints += 1;
                    struck.pairs += pairs;
                }
            }
            Err(CheckpointError::Damaged { .. }) => remove(&file, &mut struck)?,
            Err(error) => return Err(error),
        }
    }
    let io = |source| CheckpointError::Io { file: dir.into(), source };
    for entry in fs::read_dir(dir).map_err(io)? {
        let file = entry.map_err(io)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = name.starts_with("checkpoint-") || name.starts_with(".checkpoint-");
        if ours && (name.ends_with(".damaged") || name.ends_with(".partial")) {
            remove(&file, &mut struck)?;
        }
    }
    Ok(struck)
}

fn remove(file: &Path, struck: &mut Struck) -> Result<(), CheckpointError> {
    fs::remove_file(file).map_err(|source| CheckpointError::Io { file: file.into(), source })?;
    struck.removed += 1;
    Ok(())
}

/// Strikes `nodes` from one checkpoint. Returns the number of pairs that left the buffer; `None` when it names none of the nodes and stays as it is.
fn strike_one(checkpoint: &Checkpoint, nodes: &BTreeSet<NodeId>) -> Result<Option<usize>, CheckpointError> {
    let saved = checkpoint.replay()?;
    let mut went = Vec::new();
    for (kind, kept) in [(Kind::Transitive, &saved.0.kept), (Kind::Intra, &saved.1.kept)] {
        let named = kept.iter().filter(|(a, b)| nodes.contains(a) || nodes.contains(b));
        went.extend(named.map(|pair| (kind, *pair)));
    }
    let mut order = checkpoint.order()?;
    let before = order.len();
    order.retain(|node| !nodes.contains(node));
    if went.is_empty() && order.len() == before {
        return Ok(None);
    }
    let pairs = went.len();
    let settings = &checkpoint.state().settings;
    let mut buffer = Buffer::load(settings.replay, settings.replay_capacity, saved);
    buffer.follow(&Changes { went, ..Changes::default() });
    let (transitive, intra, _) = buffer.save();
    let mut all = checkpoint.weights()?;
    all.extend(named_nodes(&(transitive, intra), &order));
    put(checkpoint.file(), &bytes(checkpoint.file(), checkpoint.state(), &all)?)?;
    Ok(Some(pairs))
}

impl Checkpoint {
    /// Weights and momentum, as they are.
    fn weights(&self) -> Result<Vec<Named>, CheckpointError> {
        let tensors = self.tensors()?;
        let weights = tensors
            .tensors()
            .into_iter()
            .filter(|(name, _)| name.starts_with("net.") || name.starts_with("sgd."));
        Ok(weights
            .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            .collect())
    }
}
