//! The networks: 96 x 96 RGB in, a feature of ReLU outputs out, in named layers.

mod resnet18;
mod small;
mod stage;
mod vgg16;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use tch::{Device, Kind, TchError, Tensor};

use super::crops::SIDE;
use super::settings::{Net, Norm};
use stage::Stage;

/// Mean of ImageNet's pixels by channel (0 to 1), the usual normalisation.
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Their standard deviation.
pub const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A weight, or a running mean that no gradient moves.
pub struct Parameter {
    /// Its name, like `block1.conv1.weight`.
    pub name: String,
    /// Its values.
    pub tensor: Tensor,
    /// True when training moves it along a gradient.
    pub trainable: bool,
}

/// A network with its weights. Both branches of a pair go through the same one.
pub struct Network {
    net: Net,
    norm: Norm,
    device: Device,
    layers: Vec<(String, Stage)>,
    parameters: Vec<Parameter>,
}

/// A layer that the network does not have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the network {net} has no layer {name:?}; it has {known}")]
pub struct NoSuchLayer {
    net: Net,
    name: String,
    known: String,
}

impl Network {
    /// A new network. Its first weights (He's uniform initialisation) come from a generator of our own, so that they
    /// depend on `seed` alone and not on the device or on what other threads draw from libtorch.
    ///
    /// # Errors
    /// libtorch's error, such as too little memory.
    pub fn new(net: Net, norm: Norm, seed: u64, device: Device) -> Result<Self, TchError> {
        let mut weights = Weights { rng: Pcg32::seed_from_u64(seed), norm, device, parameters: Vec::new() };
        let layers = match net {
            Net::Small => small::layers(&mut weights)?,
            Net::Resnet18 => resnet18::layers(&mut weights)?,
            Net::Vgg16 => vgg16::layers(&mut weights)?,
        };
        Ok(Network { net, norm, device, layers, parameters: weights.parameters })
    }

    /// The features (n x d, not yet of unit length) of `views` from [`Network::input`]. `training` matters to batch
    /// normalisation alone.
    ///
    /// # Errors
    /// libtorch's error.
    pub fn forward(&self, views: &Tensor, training: bool) -> Result<Tensor, TchError> {
        self.layers.iter().try_fold(views.shallow_clone(), |x, (_, stage)| stage.forward(&x, training))
    }

    /// Returns the output of layer `name` for `views`, flattened to n x d.
    ///
    /// # Errors
    /// libtorch's error. An unknown name is for [`Network::check_layer`] to find; here it means the last layer.
    pub fn forward_to(&self, views: &Tensor, name: &str) -> Result<Tensor, TchError> {
        let mut x = views.shallow_clone();
        for (layer, stage) in &self.layers {
            x = stage.forward(&x, false)?;
            if layer == name {
                break;
            }
        }
        x.f_flatten(1, -1)
    }

    /// Checks that the network has a layer of that name.
    ///
    /// # Errors
    /// [`NoSuchLayer`], which lists those it has.
    pub fn check_layer(&self, name: &str) -> Result<(), NoSuchLayer> {
        let names: Vec<&str> = self.layers.iter().map(|(layer, _)| layer.as_str()).collect();
        names.contains(&name).then_some(()).ok_or_else(|| NoSuchLayer {
            net: self.net,
            name: name.into(),
            known: names.join(", "),
        })
    }

    /// The layers' names, first to last. The last one's output is the feature that training compares.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|(name, _)| name.as_str())
    }

    /// `pixels` (n pictures of 96 x 96 RGB, rows of bytes) as the network takes them: n x 3 x 96 x 96, normalised, on
    /// its device. In memory the channels stay innermost, which is also what convolutions are fastest with.
    ///
    /// # Errors
    /// libtorch's error.
    pub fn input(&self, pixels: &[u8]) -> Result<Tensor, TchError> {
        picture_batch(pixels, SIDE, MEAN, STD, self.device)
    }

    /// Which network it is.
    pub fn net(&self) -> Net {
        self.net
    }

    /// Its normalisation.
    pub fn norm(&self) -> Norm {
        self.norm
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// All parameters, in a fixed order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Those that training moves, in the same order.
    pub fn trainable(&self) -> Vec<&Tensor> {
        self.parameters.iter().filter(|p| p.trainable).map(|p| &p.tensor).collect()
    }
}

/// Pictures of `side` x `side` RGB bytes as floats, n x 3 x side x side with channels innermost in memory:
/// (value / 255 - mean) / std.
///
/// # Errors
/// libtorch's error.
pub fn picture_batch(
    pixels: &[u8],
    side: usize,
    mean: [f32; 3],
    std: [f32; 3],
    device: Device,
) -> Result<Tensor, TchError> {
    let n = (pixels.len() / (side * side * 3)) as i64;
    let side = side as i64;
    let bytes = Tensor::f_from_slice(pixels)?.f_to_device(device)?.f_view([n, side, side, 3])?;
    let scale = |values: [f32; 3]| Tensor::f_from_slice(&values.map(|v| v * 255.0))?.f_to_device(device);
    bytes.f_to_kind(Kind::Float)?.f_sub(&scale(mean)?)?.f_div(&scale(std)?)?.f_permute([0i64, 3, 1, 2])
}

/// Makes parameters, one after the other.
struct Weights {
    rng: Pcg32,
    norm: Norm,
    device: Device,
    parameters: Vec<Parameter>,
}

impl Weights {
    /// A weight of that shape, uniform with He's variance 2 / `inputs`.
    fn drawn(&mut self, name: String, shape: &[i64], inputs: i64) -> Result<Tensor, TchError> {
        let bound = (6.0 / inputs as f32).sqrt();
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|_| (self.rng.random::<f32>() * 2.0 - 1.0) * bound).collect();
        self.keep(name, Tensor::f_from_slice(&values)?.f_view(shape)?, true)
    }

    /// A parameter of one value.
    fn constant(&mut self, name: String, size: i64, value: f32, trainable: bool) -> Result<Tensor, TchError> {
        self.keep(name, Tensor::f_from_slice(&vec![value; size as usize])?, trainable)
    }

    fn keep(&mut self, name: String, values: Tensor, trainable: bool) -> Result<Tensor, TchError> {
        let tensor = values.f_to_device(self.device)?.f_set_requires_grad(trainable)?;
        self.parameters.push(Parameter { name, tensor: tensor.shallow_clone(), trainable });
        Ok(tensor)
    }
}
