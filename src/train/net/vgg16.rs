//! VGG16 (Simonyan, Zisserman, "Very deep convolutional networks", 2015, configuration D) with the paper's head:
//! pool5 is 512 x 3 x 3 = 4608 values for a 96 x 96 view, then FC 4096 and FC 1024, each with ReLU.

use tch::TchError;

use super::Weights;
use super::stage::{Channels, Stage, conv, fc};

pub(super) fn layers(weights: &mut Weights) -> Result<Vec<(String, Stage)>, TchError> {
    let mut layers = Vec::new();
    let mut from = 3;
    for (i, (to, convs)) in [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)].into_iter().enumerate() {
        let mut stages = Vec::new();
        for j in 1..=convs {
            stages.extend(conv(weights, &format!("conv{}_{j}", i + 1), Channels { from, to }, 3, 1)?);
            stages.push(Stage::Relu);
            from = to;
        }
        stages.push(Stage::MaxPool { side: 2, stride: 2, padding: 0 });
        layers.push((format!("pool{}", i + 1), Stage::Chain(stages)));
    }
    layers.push(("flat".into(), Stage::Flatten));
    layers.push(("fc6".into(), fc(weights, "fc6", 512 * 3 * 3, 4096)?));
    layers.push(("fc7".into(), fc(weights, "fc7", 4096, 1024)?));
    Ok(layers)
}
