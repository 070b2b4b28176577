//! ResNet-18 (He et al., "Deep residual learning for image recognition", 2016, table 1) with FC 1024 and ReLU for a
//! head.

use tch::TchError;

use super::Weights;
use super::stage::{Channels, Stage, conv, fc, residual};

pub(super) fn layers(weights: &mut Weights) -> Result<Vec<(String, Stage)>, TchError> {
    let mut stem = conv(weights, "stem", Channels { from: 3, to: 64 }, 7, 2)?;
    stem.push(Stage::Relu);
    stem.push(Stage::MaxPool { side: 3, stride: 2, padding: 1 });
    let mut layers = vec![("stem".into(), Stage::Chain(stem))];
    for (i, (from, to, stride)) in
        [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)].into_iter().enumerate()
    {
        let name = format!("layer{}", i + 1);
        let first = residual(weights, &format!("{name}.0"), Channels { from, to }, stride)?;
        let second = residual(weights, &format!("{name}.1"), Channels { from: to, to }, 1)?;
        layers.push((name, Stage::Chain(vec![first, second])));
    }
    layers.push(("pool".into(), Stage::Mean));
    layers.push(("fc".into(), fc(weights, "fc", 512, 1024)?));
    Ok(layers)
}
