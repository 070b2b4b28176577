//! The settings of training.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::replay::Policy;

/// Which network learns. All take 96 x 96 RGB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// A residual network of 0.3 million weights, made for training beside the engine on a few CPU cores.
    #[default]
    Small,
    /// ResNet-18 with an FC of 1024 in place of its classifier.
    Resnet18,
    /// The paper's: VGG16 with FC 4096 and 1024.
    Vgg16,
}

/// The normalisation of activations inside the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Not at all.
    None,
    /// Per picture, over groups of channels: independent of what else is in the batch, so correlated batches of a
    /// stream do no harm.
    #[default]
    Group,
    /// Per batch, with running means for use afterwards.
    Batch,
}

/// A name that is none of those offered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{given:?} is no {what}; there are {offered}")]
pub struct UnknownName {
    given: String,
    what: &'static str,
    offered: &'static str,
}

impl FromStr for Net {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "small" => Ok(Net::Small),
            "resnet18" => Ok(Net::Resnet18),
            "vgg16" => Ok(Net::Vgg16),
            _ => Err(UnknownName { given: name.into(), what: "network", offered: "small, resnet18, vgg16" }),
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Net::Small => "small",
            Net::Resnet18 => "resnet18",
            Net::Vgg16 => "vgg16",
        })
    }
}

/// Where the network computes. Written `cpu` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The N-th CUDA device.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name.split_once(':') {
            None if name == "cpu" => Ok(Device::Cpu),
            None if name == "cuda" => Ok(Device::Cuda(0)),
            Some(("cuda", number)) if number.parse::<u16>().is_ok() => {
                Ok(Device::Cuda(number.parse().unwrap_or_default()))
            }
            _ => Err(UnknownName {
                given: name.into(),
                what: "device",
                offered: "cpu, cuda:0, cuda:1 and so on",
            }),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        name.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> String {
        device.to_string()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// Everything about training. The defaults suit two CPU cores; [`Settings::paper`] has the paper's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The network.
    pub net: Net,
    /// Its normalisation.
    pub norm: Norm,
    /// Where it computes.
    pub device: Device,
    /// Threads for the network on the CPU; 0 for all cores but one, at least one.
    pub threads: usize,
    /// Seed of the first weights and of every draw.
    pub seed: u64,
    /// Pairs a step; twice as many views.
    pub batch_pairs: usize,
    /// Learning rate, constant.
    pub lr: f64,
    /// Momentum of SGD; 0 for none.
    pub momentum: f64,
    /// Weight decay of SGD.
    pub weight_decay: f64,
    /// Margin of the hinge, in cosine distance.
    pub margin: f64,
    /// Negatives a pair.
    pub negatives: usize,
    /// Negatives that come from the hardest, once `random_only_steps` are over.
    pub hard_negatives: usize,
    /// Nearest candidates that count as the hardest.
    pub hardest: usize,
    /// Steps during which all negatives are random.
    pub random_only_steps: u64,
    /// Which positives are kept to draw from.
    pub replay: Policy,
    /// Positives that are kept at most.
    pub replay_capacity: usize,
    /// At most this many steps for each node that ever came: training cannot run away from the stream, and ends when
    /// an ended stream is used up.
    pub updates_per_node: f64,
    /// Steps after which training ends whatever comes.
    pub max_steps: Option<u64>,
    /// Steps between checkpoints; one more is written at the end.
    pub checkpoint_every: u64,
    /// Checkpoints kept.
    pub checkpoints_kept: usize,
    /// Decoded crops kept in memory, 27 KB each.
    pub crops_cached: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            net: Net::Small,
            norm: Norm::Group,
            device: Device::Cpu,
            threads: 0,
            seed: 1,
            batch_pairs: 32,
            lr: 0.01,
            momentum: 0.9,
            weight_decay: 5e-4,
            margin: 0.5,
            negatives: 4,
            hard_negatives: 2,
            hardest: 4,
            random_only_steps: 500,
            replay: Policy::Reservoir,
            replay_capacity: 1 << 20,
            updates_per_node: 0.5,
            max_steps: None,
            checkpoint_every: 500,
            checkpoints_kept: 3,
            crops_cached: 4096,
        }
    }
}

impl Settings {
    /// The paper's values (Wang, He, Gupta, ICCV 2017): VGG16, batch of 100 pairs, lr 1e-3, momentum 0.9, weight decay
    /// 5e-4, margin 0.5, 200K iterations. That VGG16 learns from scratch with batch normalisation, and that the first
    /// 15K steps use random negatives only, are our reading: the published text leaves both open.
    pub fn paper() -> Self {
        Settings {
            net: Net::Vgg16,
            norm: Norm::Batch,
            batch_pairs: 100,
            lr: 1e-3,
            random_only_steps: 15_000,
            max_steps: Some(200_000),
            checkpoint_every: 2_000,
            ..Settings::default()
        }
    }

    /// Says what is wrong with them, if anything.
    ///
    /// # Errors
    /// The sentence to show.
    pub fn check(&self) -> Result<(), String> {
        let finite = |name: &str, value: f64| {
            (value.is_finite() && value >= 0.0)
                .then_some(())
                .ok_or_else(|| format!("train.{name} = {value} must be a number of at least 0"))
        };
        finite("lr", self.lr)?;
        finite("momentum", self.momentum)?;
        finite("weight_decay", self.weight_decay)?;
        finite("margin", self.margin)?;
        finite("updates_per_node", self.updates_per_node)?;
        for (name, value) in [
            ("batch_pairs", self.batch_pairs),
            ("negatives", self.negatives),
            ("hardest", self.hardest),
            ("replay_capacity", self.replay_capacity),
            ("checkpoints_kept", self.checkpoints_kept),
        ] {
            if value == 0 {
                return Err(format!("train.{name} must be at least 1"));
            }
        }
        if self.checkpoint_every == 0 {
            return Err("train.checkpoint_every must be at least 1".into());
        }
        if self.hard_negatives > self.negatives.min(self.hardest) {
            return Err("train.hard_negatives must not exceed train.negatives or train.hardest".into());
        }
        Ok(())
    }

    /// The threads to compute with on this machine.
    pub fn threads_here(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().saturating_sub(1).max(1)),
            n => n,
        }
    }
}
