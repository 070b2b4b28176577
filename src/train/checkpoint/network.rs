//! The half of a checkpoint that libtorch has to do with: weights and momentum.

use std::fs;
use std::path::{Path, PathBuf};

use kinetograph_dataflows::id::NodeId;
use safetensors::tensor::Dtype;
use tch::{TchError, Tensor};

use super::{Checkpoint, CheckpointError, Named, State, bytes, list, named_nodes, path, put};
use crate::train::net::Network;
use crate::train::replay::Saved;
use crate::train::settings::Settings;
use crate::train::sgd::Sgd;

/// Writes a checkpoint and removes all but the newest `kept`. It is whole on disk before its name appears.
///
/// # Errors
/// [`CheckpointError`]; earlier checkpoints are then still there.
pub fn write(
    dir: &Path,
    state: &State,
    network: &Network,
    sgd: &Sgd,
    replay: &(Saved, Saved),
    order: &[NodeId],
    kept: usize,
) -> Result<PathBuf, CheckpointError> {
    let file = path(dir, state.step);
    let torch = |source| CheckpointError::Torch { file: file.clone(), source };
    let mut all: Vec<Named> = Vec::new();
    for parameter in network.parameters() {
        all.push(floats(format!("net.{}", parameter.name), &parameter.tensor).map_err(torch)?);
    }
    for (parameter, buffer) in network.parameters().iter().filter(|p| p.trainable).zip(sgd.buffers()) {
        if let Some(buffer) = buffer {
            all.push(floats(format!("sgd.{}", parameter.name), buffer).map_err(torch)?);
        }
    }
    all.extend(named_nodes(replay, order));
    put(&file, &bytes(&file, state, &all)?)?;
    let all = list(dir)?;
    for (_, old) in all.iter().take(all.len().saturating_sub(kept)).filter(|(step, _)| *step != state.step) {
        fs::remove_file(old).map_err(|source| CheckpointError::Io { file: old.clone(), source })?;
    }
    Ok(file)
}

impl Checkpoint {
    /// A network with its weights.
    ///
    /// # Errors
    /// [`CheckpointError`] when a weight is missing or libtorch refuses.
    pub fn network(&self, device: tch::Device) -> Result<Network, CheckpointError> {
        let Settings { net, norm, seed, .. } = self.state.settings;
        let network = Network::new(net, norm, seed, device).map_err(|e| self.torch(e))?;
        let _no_grad = tch::no_grad_guard();
        for parameter in network.parameters() {
            let saved = self.tensor(&format!("net.{}", parameter.name))?;
            if saved.size() != parameter.tensor.size() {
                return Err(self.damaged(format!("net.{} has another shape", parameter.name)));
            }
            parameter.tensor.shallow_clone().f_copy_(&saved).map_err(|e| self.torch(e))?;
        }
        Ok(network)
    }

    /// The momentum buffers of `network`'s trainable weights.
    ///
    /// # Errors
    /// [`CheckpointError`] when libtorch refuses.
    pub fn momentum(&self, network: &Network) -> Result<Vec<Option<Tensor>>, CheckpointError> {
        let names = self.tensors()?;
        let trainable = network.parameters().iter().filter(|p| p.trainable);
        trainable
            .map(|parameter| {
                let name = format!("sgd.{}", parameter.name);
                if names.tensor(&name).is_err() {
                    return Ok(None);
                }
                self.tensor(&name)?.f_to_device(network.device()).map(Some).map_err(|e| self.torch(e))
            })
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, CheckpointError> {
        let tensors = self.tensors()?;
        let view = tensors.tensor(name).map_err(|e| self.damaged(e.to_string()))?;
        let shape: Vec<i64> = view.shape().iter().map(|s| *s as i64).collect();
        Tensor::f_from_data_size(view.data(), &shape, tch::Kind::Float).map_err(|e| self.torch(e))
    }

    fn torch(&self, source: TchError) -> CheckpointError {
        CheckpointError::Torch { file: self.file.clone(), source }
    }
}

fn floats(name: String, tensor: &Tensor) -> Result<Named, TchError> {
    let flat = tensor.f_detach()?.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_view([-1i64])?;
    let values: Vec<f32> = Vec::try_from(&flat)?;
    let shape = tensor.size().iter().map(|s| *s as usize).collect();
    Ok((name, Dtype::F32, shape, values.into_iter().flat_map(f32::to_le_bytes).collect()))
}
