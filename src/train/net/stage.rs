//! The pieces that networks are put together from.

use tch::{TchError, Tensor};

use super::Weights;
use crate::train::settings::Norm;

/// Channels a group of group normalisation.
const CHANNELS_A_GROUP: i64 = 8;
/// The normalisations' epsilon, torch's default.
const EPSILON: f64 = 1e-5;
/// Weight of a new batch in the running means, torch's default.
const BATCH_MOMENTUM: f64 = 0.1;

/// One piece.
pub(super) enum Stage {
    Conv {
        weight: Tensor,
        bias: Option<Tensor>,
        stride: i64,
        padding: i64,
    },
    Group {
        groups: i64,
        weight: Tensor,
        bias: Tensor,
    },
    Batch {
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
    },
    Relu,
    MaxPool {
        side: i64,
        stride: i64,
        padding: i64,
    },
    /// Mean over the picture: n x c.
    Mean,
    Linear {
        weight: Tensor,
        bias: Tensor,
    },
    Flatten,
    Chain(Vec<Stage>),
    /// relu(body(x) + shortcut(x)); an empty shortcut is x itself.
    Residual {
        body: Vec<Stage>,
        shortcut: Vec<Stage>,
    },
}

impl Stage {
    pub(super) fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor, TchError> {
        match self {
            Stage::Conv { weight, bias, stride, padding } => {
                x.f_conv2d(weight, bias.as_ref(), [*stride; 2], [*padding; 2], [1; 2], 1)
            }
            Stage::Group { groups, weight, bias } => {
                x.f_group_norm(*groups, Some(weight), Some(bias), EPSILON, true)
            }
            Stage::Batch { weight, bias, mean, variance } => x.f_batch_norm(
                Some(weight),
                Some(bias),
                Some(mean),
                Some(variance),
                training,
                BATCH_MOMENTUM,
                EPSILON,
                true,
            ),
            Stage::Relu => x.f_relu(),
            Stage::MaxPool { side, stride, padding } => {
                x.f_max_pool2d([*side; 2], [*stride; 2], [*padding; 2], [1; 2], false)
            }
            Stage::Mean => x.f_mean_dim([2i64, 3].as_slice(), false, None::<tch::Kind>),
            Stage::Linear { weight, bias } => x.f_linear(weight, Some(bias)),
            Stage::Flatten => x.f_flatten(1, -1),
            Stage::Chain(stages) => chain(stages, x, training),
            Stage::Residual { body, shortcut } => {
                chain(body, x, training)?.f_add(&chain(shortcut, x, training)?)?.f_relu()
            }
        }
    }
}

fn chain(stages: &[Stage], x: &Tensor, training: bool) -> Result<Tensor, TchError> {
    stages.iter().try_fold(x.shallow_clone(), |x, stage| stage.forward(&x, training))
}

/// The channels that a layer takes and gives.
#[derive(Clone, Copy)]
pub(super) struct Channels {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// A convolution of `side` x `side` with its normalisation after it; the bias is left to that where there is one.
pub(super) fn conv(
    weights: &mut Weights,
    name: &str,
    channels: Channels,
    side: i64,
    stride: i64,
) -> Result<Vec<Stage>, TchError> {
    let Channels { from, to } = channels;
    let weight = weights.drawn(format!("{name}.weight"), &[to, from, side, side], from * side * side)?;
    let bias = match weights.norm {
        Norm::None => Some(weights.constant(format!("{name}.bias"), to, 0.0, true)?),
        _ => None,
    };
    let mut stages = vec![Stage::Conv { weight, bias, stride, padding: side / 2 }];
    if weights.norm != Norm::None {
        let weight = weights.constant(format!("{name}.norm.weight"), to, 1.0, true)?;
        let bias = weights.constant(format!("{name}.norm.bias"), to, 0.0, true)?;
        stages.push(if weights.norm == Norm::Group {
            Stage::Group { groups: (to / CHANNELS_A_GROUP).max(1), weight, bias }
        } else {
            let mean = weights.constant(format!("{name}.norm.mean"), to, 0.0, false)?;
            let variance = weights.constant(format!("{name}.norm.variance"), to, 1.0, false)?;
            Stage::Batch { weight, bias, mean, variance }
        });
    }
    Ok(stages)
}

/// Two 3 x 3 convolutions around which the input goes by (He et al., "Deep residual learning", 2016, basic block).
pub(super) fn residual(
    weights: &mut Weights,
    name: &str,
    channels: Channels,
    stride: i64,
) -> Result<Stage, TchError> {
    let Channels { from, to } = channels;
    let mut body = conv(weights, &format!("{name}.conv1"), channels, 3, stride)?;
    body.push(Stage::Relu);
    body.extend(conv(weights, &format!("{name}.conv2"), Channels { from: to, to }, 3, 1)?);
    let shortcut = match (from == to, stride) {
        (true, 1) => Vec::new(),
        _ => conv(weights, &format!("{name}.shortcut"), channels, 1, stride)?,
    };
    Ok(Stage::Residual { body, shortcut })
}

/// A fully connected layer with ReLU.
pub(super) fn fc(weights: &mut Weights, name: &str, from: i64, to: i64) -> Result<Stage, TchError> {
    let weight = weights.drawn(format!("{name}.weight"), &[to, from], from)?;
    let bias = weights.constant(format!("{name}.bias"), to, 0.0, true)?;
    Ok(Stage::Chain(vec![Stage::Linear { weight, bias }, Stage::Relu]))
}
