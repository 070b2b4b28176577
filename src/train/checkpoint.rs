//! Checkpoints: one safetensors file each, weights and everything else that training needs to go on exactly.
//!
//! `checkpoint-STEP.safetensors` holds the weights (`net.*`), the momentum (`sgd.*`), the replay buffer (`replay.*`) and
//! the view's order (`view.order`); its metadata holds a [`State`] as JSON under `kinetograph` and a checksum over both.
//! One file, so that one rename makes all of it valid together.

#[cfg(feature = "train")]
mod network;
pub mod strike;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use kinetograph_dataflows::id::NodeId;
use rand_pcg::Pcg32;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

#[cfg(feature = "train")]
pub use network::write;

use super::replay::{Saved, SavedBuffer};
use super::settings::Settings;

const FORMAT: u32 = 1;
const STATE: &str = "kinetograph";
const CHECKSUM: &str = "checksum";

/// The part of a checkpoint that is not tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of this layout.
    pub format: u32,
    /// The settings of the run that wrote it.
    pub settings: Settings,
    /// Threads it computed with: another number rounds differently.
    pub threads: usize,
    /// Steps made.
    pub step: u64,
    /// The last epoch taken in; `None` before the first.
    pub epoch: Option<u64>,
    /// Nodes that ever came.
    pub nodes_ever: u64,
    /// The generator of negatives and mirrors.
    pub rng: Pcg32,
    /// The replay buffer's generator.
    pub replay_rng: Pcg32,
    /// Losses of the first ten steps.
    pub first_losses: Vec<f32>,
    /// Losses of the last ten steps.
    pub last_losses: Vec<f32>,
    /// Drawn pairs that had no valid negative.
    pub no_negative: u64,
    /// Seconds of training, waiting left out.
    pub seconds: f64,
}

/// A checkpoint's failure. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It is cut off or altered.
    #[error("{file}: the checkpoint is damaged ({reason})")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The part that does not fit.
        reason: String,
    },
    /// It belongs to another network or a newer program.
    #[error("{file}: {reason}")]
    Foreign {
        /// The file.
        file: PathBuf,
        /// The difference, and what to do.
        reason: String,
    },
    /// The file system refused.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// libtorch refused.
    #[cfg(feature = "train")]
    #[error("{file}: {source}")]
    Torch {
        /// The file.
        file: PathBuf,
        /// Its reason.
        source: tch::TchError,
    },
}

/// A checkpoint in memory, whole and checked.
pub struct Checkpoint {
    file: PathBuf,
    state: State,
    bytes: Vec<u8>,
}

/// The file of `step`'s checkpoint in `dir`.
pub fn path(dir: &Path, step: u64) -> PathBuf {
    dir.join(format!("checkpoint-{step:09}.safetensors"))
}

/// The checkpoints in `dir`, oldest first: step and file.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(dir: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let io = |source| CheckpointError::Io { file: dir.into(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let step = name.to_str().and_then(|n| n.strip_prefix("checkpoint-")?.strip_suffix(".safetensors"));
        if let Some(step) = step.and_then(|s| s.parse().ok()) {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The earliest epoch that a kept checkpoint needs: changes after it must not be thrown away. `None` when no checkpoint
/// names one.
///
/// # Errors
/// When the folder or a checkpoint in it cannot be read.
pub fn oldest_epoch(dir: &Path) -> Result<Option<u64>, CheckpointError> {
    let mut oldest = None;
    for (_, file) in list(dir)? {
        let epoch = header(&file)?.epoch;
        oldest = oldest.into_iter().chain(epoch).min();
    }
    Ok(oldest)
}

/// Reads only the state of the checkpoint in `file`, without its tensors and unchecked against them.
///
/// # Errors
/// [`CheckpointError`] when it has none.
pub fn header(file: &Path) -> Result<State, CheckpointError> {
    const LIMIT: u64 = 64 << 20;
    let io = |source| CheckpointError::Io { file: file.into(), source };
    let damaged = |reason: String| CheckpointError::Damaged { file: file.into(), reason };
    let mut open = File::open(file).map_err(io)?;
    let mut length = [0; 8];
    open.read_exact(&mut length).map_err(|e| damaged(e.to_string()))?;
    let length = u64::from_le_bytes(length);
    if length > LIMIT {
        return Err(damaged("its header has an impossible length".into()));
    }
    let mut text = Vec::new();
    open.take(length).read_to_end(&mut text).map_err(io)?;
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: HashMap<String, String>,
    }
    let header: Header = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    let state =
        header.metadata.get(STATE).ok_or_else(|| damaged("it says nothing of its training".into()))?;
    serde_json::from_str(state).map_err(|e| damaged(e.to_string()))
}

/// Puts `bytes` into `file` so that it is whole on disk before its name appears.
fn put(file: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let partial = file.with_file_name(format!(".{name}.partial"));
    let put = || -> io::Result<()> {
        let mut out = File::create(&partial)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&partial, file)?;
        File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    put().map_err(|source| CheckpointError::Io { file: file.into(), source })
}

/// The newest checkpoint in `dir` that is whole; `None` when there are none at all. Damaged ones on the way are logged
/// and renamed to `*.damaged`, so that they are not counted among those kept.
///
/// # Errors
/// The newest one's error when every checkpoint is damaged; what the file system says.
pub fn newest(dir: &Path) -> Result<Option<Checkpoint>, CheckpointError> {
    let mut first_error = None;
    for (_, file) in list(dir)?.into_iter().rev() {
        match Checkpoint::read(&file) {
            Ok(checkpoint) => {
                if let Some(CheckpointError::Damaged { file: damaged, .. }) = &first_error {
                    tracing::warn!(from = %checkpoint.file.display(), instead_of = %damaged.display(), "training goes on from an earlier checkpoint");
                }
                return Ok(Some(checkpoint));
            }
            Err(error @ CheckpointError::Damaged { .. }) => {
                tracing::warn!(%error, "a checkpoint is set aside");
                let aside = file.with_extension("safetensors.damaged");
                fs::rename(&file, &aside).map_err(|source| CheckpointError::Io { file, source })?;
                first_error = first_error.or(Some(error));
            }
            Err(error) => return Err(error),
        }
    }
    first_error.map_or(Ok(None), Err)
}

impl Checkpoint {
    /// Reads and checks the checkpoint in `file`.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] when it is not as it was written.
    pub fn read(file: &Path) -> Result<Self, CheckpointError> {
        let damaged = |reason: String| CheckpointError::Damaged { file: file.into(), reason };
        let state = header(file)?;
        if state.format != FORMAT {
            let reason =
                format!("format {} is not known to this version; it reads format {FORMAT}", state.format);
            return Err(CheckpointError::Foreign { file: file.into(), reason });
        }
        let bytes = fs::read(file).map_err(|source| CheckpointError::Io { file: file.into(), source })?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let (Some(json), Some(sum)) = (metadata.get(STATE), metadata.get(CHECKSUM)) else {
            return Err(damaged("it has no checksum".into()));
        };
        if *sum != checksum(json, tensors.tensors()) {
            return Err(damaged("its checksum does not fit".into()));
        }
        Ok(Checkpoint { file: file.into(), state, bytes })
    }

    /// Its file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the part that is not tensors.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The replay buffer.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] when part of it is missing.
    pub fn replay(&self) -> Result<SavedBuffer, CheckpointError> {
        let saved = |kind: &str| -> Result<Saved, CheckpointError> {
            let ids = self.numbers(&format!("replay.{kind}"))?;
            Ok(Saved {
                kept: ids.chunks_exact(2).map(|p| (NodeId(p[0]), NodeId(p[1]))).collect(),
                numbers: self.numbers(&format!("replay.{kind}.numbers"))?,
            })
        };
        Ok((saved("transitive")?, saved("intra")?, self.state.replay_rng.clone()))
    }

    /// The view's order of nodes.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] when it is missing.
    pub fn order(&self) -> Result<Vec<NodeId>, CheckpointError> {
        Ok(self.numbers("view.order")?.into_iter().map(NodeId).collect())
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, CheckpointError> {
        SafeTensors::deserialize(&self.bytes).map_err(|e| self.damaged(e.to_string()))
    }

    fn numbers(&self, name: &str) -> Result<Vec<u64>, CheckpointError> {
        let tensors = self.tensors()?;
        let view = tensors.tensor(name).map_err(|e| self.damaged(e.to_string()))?;
        Ok(view.data().as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect())
    }

    fn damaged(&self, reason: String) -> CheckpointError {
        CheckpointError::Damaged { file: self.file.clone(), reason }
    }
}

/// A tensor's name, type, shape and little-endian bytes.
type Named = (String, Dtype, Vec<usize>, Vec<u8>);

fn numbers(name: impl Into<String>, shape: Vec<usize>, values: impl Iterator<Item = u64>) -> Named {
    (name.into(), Dtype::U64, shape, values.flat_map(u64::to_le_bytes).collect())
}

/// The tensors that hold nodes: the replay buffer and the view's order.
fn named_nodes((transitive, intra): &(Saved, Saved), order: &[NodeId]) -> Vec<Named> {
    let mut all = Vec::new();
    for (kind, saved) in [("transitive", transitive), ("intra", intra)] {
        let ids = saved.kept.iter().flat_map(|(a, b)| [a.0, b.0]);
        all.push(numbers(format!("replay.{kind}"), vec![saved.kept.len(), 2], ids));
        let own = saved.numbers.iter().copied();
        all.push(numbers(format!("replay.{kind}.numbers"), vec![saved.numbers.len()], own));
    }
    all.push(numbers("view.order", vec![order.len()], order.iter().map(|n| n.0)));
    all
}

/// The bytes of a checkpoint of these tensors; `file` names it in messages.
fn bytes(file: &Path, state: &State, all: &[Named]) -> Result<Vec<u8>, CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged { file: file.into(), reason };
    let views: Vec<(String, TensorView<'_>)> = all
        .iter()
        .map(|(name, kind, shape, bytes)| Ok((name.clone(), TensorView::new(*kind, shape.clone(), bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>()
        .map_err(|e| damaged(e.to_string()))?;
    let json = serde_json::to_string(state).map_err(|e| damaged(e.to_string()))?;
    let sum = checksum(&json, views.iter().cloned());
    let metadata = HashMap::from([(STATE.to_owned(), json), (CHECKSUM.to_owned(), sum)]);
    serialize(views, Some(metadata)).map_err(|e| damaged(e.to_string()))
}

/// Over the state's text and every tensor's name and bytes, by name.
fn checksum<'d>(json: &str, tensors: impl IntoIterator<Item = (String, TensorView<'d>)>) -> String {
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut hash = Xxh3::new();
    hash.update(json.as_bytes());
    for (name, view) in tensors {
        hash.update(name.as_bytes());
        hash.update(view.data());
    }
    format!("{:032x}", hash.digest128())
}

/// The state a checkpoint of this version starts from.
impl State {
    /// A training that has not begun.
    pub fn fresh(settings: Settings, threads: usize, rng: Pcg32, replay_rng: Pcg32) -> Self {
        State {
            format: FORMAT,
            settings,
            threads,
            step: 0,
            epoch: None,
            nodes_ever: 0,
            rng,
            replay_rng,
            first_losses: Vec::new(),
            last_losses: Vec::new(),
            no_negative: 0,
            seconds: 0.0,
        }
    }
}
