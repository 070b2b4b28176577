//! A network of ours as a descriptor: trained, or as it was before its first step.

use std::path::Path;
use std::str::FromStr;

use tch::Tensor;

use crate::train::TrainError;
use crate::train::checkpoint::Checkpoint;
use crate::train::device;
use crate::train::net::Network;
use crate::train::settings::{Device, Net, Norm, UnknownName};

/// A network and the layer whose output describes a picture.
pub struct NetworkLayer {
    network: Network,
    layer: Option<String>,
}

/// First weights, written `NET:SEED` (`small:1`); without a seed it is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init {
    /// Which network.
    pub net: Net,
    /// The seed that its weights are drawn by.
    pub seed: u64,
}

impl FromStr for Init {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (net, seed) = text.split_once(':').unwrap_or((text, "1"));
        let net = net.parse().map_err(|error: UnknownName| error.to_string())?;
        let seed = seed.parse().map_err(|_| format!("{seed:?} is no seed; write it like small:1"))?;
        Ok(Init { net, seed })
    }
}

impl NetworkLayer {
    /// The trained network of a checkpoint. `layer` is one of [`Network::layers`]; `None` for the feature that training
    /// compares, scaled to unit length.
    ///
    /// # Errors
    /// [`TrainError`] when the checkpoint, the device or the layer is not to be had.
    pub fn trained(checkpoint: &Path, layer: Option<&str>, device: Device) -> Result<Self, TrainError> {
        let device = device::open(device)?;
        Self::of(Checkpoint::read(checkpoint)?.network(device)?, layer)
    }

    /// A network with its first weights: what training is measured against.
    ///
    /// # Errors
    /// [`TrainError`] when the device or the layer is not to be had.
    pub fn untrained(
        Init { net, seed }: Init,
        norm: Norm,
        layer: Option<&str>,
        device: Device,
    ) -> Result<Self, TrainError> {
        let device = device::open(device)?;
        Self::of(Network::new(net, norm, seed, device)?, layer)
    }

    fn of(network: Network, layer: Option<&str>) -> Result<Self, TrainError> {
        if let Some(layer) = layer {
            network.check_layer(layer).map_err(|e| TrainError::Settings(e.to_string()))?;
        }
        Ok(NetworkLayer { network, layer: layer.map(str::to_owned) })
    }

    /// Describes crops (96 x 96 RGB, rows of bytes): n x d, row after row.
    ///
    /// # Errors
    /// [`TrainError::Torch`].
    pub fn describe(&self, crops: &[&[u8]]) -> Result<Vec<f32>, TrainError> {
        let _no_grad = tch::no_grad_guard();
        let views = self.network.input(&crops.concat())?;
        let rows = match &self.layer {
            Some(layer) => self.network.forward_to(&views, layer)?,
            None => unit_rows(&self.network.forward(&views, false)?)?,
        };
        Ok(flat(&rows)?)
    }
}

/// Every row scaled to unit length; an all-zero row stays so.
pub(super) fn unit_rows(rows: &Tensor) -> Result<Tensor, tch::TchError> {
    let length = rows.f_square()?.f_sum_dim_intlist([1i64].as_slice(), true, None::<tch::Kind>)?.f_sqrt()?;
    rows.f_div(&length.f_clamp_min(1e-12)?)
}

/// A tensor's values on this side, row after row.
pub(super) fn flat(rows: &Tensor) -> Result<Vec<f32>, tch::TchError> {
    Vec::try_from(&rows.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_view([-1i64])?)
}
