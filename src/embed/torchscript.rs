//! A TorchScript module of the user's as the embedder of the graph.

use std::fs;
use std::path::{Path, PathBuf};

use kinetograph_dataflows::observe::embed::{EmbedError, Embedder};
use kinetograph_dataflows::observe::image::crop::Crop;
use serde::{Deserialize, Serialize};
use tch::{CModule, TchError, Tensor};
use xxhash_rust::xxh3::Xxh3;

use super::network::{flat, unit_rows};
use crate::train::crops::{BYTES, SIDE};
use crate::train::device::{self, DeviceError};
use crate::train::net::{MEAN, STD, picture_batch};
use crate::train::settings::Device;

/// The picture that the module expects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// Mean of each channel, 0 to 1, taken off the pixels.
    pub mean: [f32; 3],
    /// Divisor of each channel, after that.
    pub std: [f32; 3],
    /// Side of the picture it takes, pixels.
    pub side: usize,
}

impl Default for Input {
    /// ImageNet's normalisation at the crop's own size.
    fn default() -> Self {
        Input { mean: MEAN, std: STD, side: SIDE }
    }
}

/// A module's failure. Each names its file.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// The module.
        file: PathBuf,
        /// The file system's reason.
        source: std::io::Error,
    },
    /// libtorch cannot load or run it.
    #[error(
        "{file}: libtorch cannot use this module ({source}); it must be TorchScript, saved by torch.jit.save"
    )]
    Torch {
        /// The module.
        file: PathBuf,
        /// libtorch's reason.
        source: TchError,
    },
    /// It gives something other than a row a picture.
    #[error("{file}: the module must give n x d for n pictures, but gave {shape:?} for {n}")]
    Shape {
        /// The module.
        file: PathBuf,
        /// Shape of the output.
        shape: Vec<i64>,
        /// Pictures that went in.
        n: usize,
    },
    /// A crop of another size.
    #[error("a crop of {bytes} bytes is not 96 x 96 RGB ({BYTES} bytes)")]
    Crop {
        /// Its length.
        bytes: usize,
    },
    /// The device is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A loaded module: pictures n x 3 x side x side to n x d.
pub struct TorchScript {
    file: PathBuf,
    module: CModule,
    input: Input,
    device: tch::Device,
    space: String,
    dim: usize,
}

impl TorchScript {
    /// Loads the module in `file` and tries it on a black picture.
    ///
    /// # Errors
    /// [`TorchError`] when it cannot be used.
    pub fn load(file: &Path, input: Input, device: Device) -> Result<Self, TorchError> {
        let device = device::open(device)?;
        let bytes = fs::read(file).map_err(|source| TorchError::Io { file: file.into(), source })?;
        let torch = |source| TorchError::Torch { file: file.into(), source };
        let mut module = CModule::load_data_on_device(&mut bytes.as_slice(), device).map_err(torch)?;
        module.f_set_eval().map_err(torch)?;
        let mut hash = Xxh3::new();
        hash.update(&bytes);
        input.mean.iter().chain(&input.std).for_each(|v| hash.update(&v.to_le_bytes()));
        hash.update(&(input.side as u64).to_le_bytes());
        let space = format!("torchscript-{:032x}", hash.digest128());
        let mut loaded = TorchScript { file: file.into(), module, input, device, space, dim: 0 };
        loaded.dim = loaded.one(&[0; BYTES])?.len();
        Ok(loaded)
    }

    /// The id of its space: a hash of the module's file and of what it is fed with.
    pub fn space(&self) -> String {
        self.space.clone()
    }

    /// Values a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Embeds crops (96 x 96 RGB, rows of bytes): n x d, each row of unit length (or all zero).
    ///
    /// Crops go through one by one. libtorch picks its kernels by the batch's shape, and a vector must depend on its
    /// crop alone, or the same video would give another graph when its tracks end at other epochs.
    ///
    /// # Errors
    /// [`TorchError`] when a crop has another size or the module fails.
    pub fn embed_crops(&self, crops: &[&[u8]]) -> Result<Vec<f32>, TorchError> {
        let mut rows = Vec::with_capacity(crops.len() * self.dim);
        for crop in crops {
            let row = self.one(crop)?;
            if row.len() != self.dim {
                let shape = vec![1, row.len() as i64];
                return Err(TorchError::Shape { file: self.file.clone(), shape, n: 1 });
            }
            rows.extend(row);
        }
        Ok(rows)
    }

    fn one(&self, crop: &[u8]) -> Result<Vec<f32>, TorchError> {
        if crop.len() != BYTES {
            return Err(TorchError::Crop { bytes: crop.len() });
        }
        let torch = |source| TorchError::Torch { file: self.file.clone(), source };
        let _no_grad = tch::no_grad_guard();
        let out = self.module.forward_ts(&[self.picture(crop).map_err(torch)?]).map_err(torch)?;
        let shape = out.size();
        if shape.len() < 2 || shape[0] != 1 || shape.iter().product::<i64>() == 0 {
            return Err(TorchError::Shape { file: self.file.clone(), shape, n: 1 });
        }
        let row = out.f_flatten(1, -1).and_then(|rows| unit_rows(&rows.f_to_kind(tch::Kind::Float)?));
        row.and_then(|row| flat(&row)).map_err(torch)
    }

    fn picture(&self, crop: &[u8]) -> Result<Tensor, TchError> {
        let picture =
            picture_batch(crop, SIDE, self.input.mean, self.input.std, self.device)?.f_contiguous()?;
        if self.input.side == SIDE {
            return Ok(picture);
        }
        let side = [self.input.side as i64; 2];
        picture.f_internal_upsample_bilinear2d_aa(side, false, None::<f64>, None::<f64>)
    }
}

impl Embedder for TorchScript {
    fn space(&self) -> String {
        TorchScript::space(self)
    }

    fn dim(&self) -> usize {
        TorchScript::dim(self)
    }

    fn embed(&self, crops: &[&[u8]]) -> Result<Vec<f32>, EmbedError> {
        let mut rows = Vec::with_capacity(crops.len() * self.dim);
        for (index, jpeg) in crops.iter().enumerate() {
            let crop = Crop::decode(jpeg).map_err(|source| EmbedError::Crop { index, source })?;
            let failed =
                |e: TorchError| EmbedError::Embedder { space: self.space.clone(), reason: e.to_string() };
            rows.extend(self.embed_crops(&[crop.rgb()]).map_err(failed)?);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that means each channel over the picture and doubles it: traced on a picture of `side`.
    fn module(dir: &Path, side: i64) -> PathBuf {
        let file = dir.join(format!("module{side}.pt"));
        let example = Tensor::zeros([1, 3, side, side], (tch::Kind::Float, tch::Device::Cpu));
        let mut body =
            |x: &[Tensor]| vec![x[0].mean_dim([2i64, 3].as_slice(), false, None::<tch::Kind>) * 2.0];
        CModule::create_by_tracing("Means", "forward", &[example], &mut body).unwrap().save(&file).unwrap();
        file
    }

    #[test]
    fn a_traced_module_embeds_crops_one_row_each() {
        let dir = tempfile::tempdir().unwrap();
        let plain = Input { mean: [0.0; 3], std: [1.0; 3], side: SIDE };
        let loaded = TorchScript::load(&module(dir.path(), 96), plain.clone(), Device::Cpu).unwrap();
        let blue: Vec<u8> = [0, 0, 255].repeat(SIDE * SIDE);
        let mixed: Vec<u8> = [60, 0, 80].repeat(SIDE * SIDE);
        let rows = loaded.embed_crops(&[&blue, &mixed]).unwrap();
        assert_eq!((loaded.dim(), rows.len()), (3, 6));
        for (value, expected) in rows.iter().zip([0.0, 0.0, 1.0, 0.6, 0.0, 0.8]) {
            assert!((value - expected).abs() < 1e-5, "{rows:?}");
        }
        assert!(
            matches!(loaded.embed_crops(&[&blue[1..]]), Err(TorchError::Crop { bytes }) if bytes == BYTES - 1)
        );
    }

    #[test]
    fn the_space_follows_the_module_and_its_input() {
        let dir = tempfile::tempdir().unwrap();
        let file = module(dir.path(), 32);
        let at = |side| TorchScript::load(&file, Input { side, ..Input::default() }, Device::Cpu).unwrap();
        assert_eq!(at(32).space(), at(32).space());
        assert_ne!(at(32).space(), at(64).space());
        assert_eq!(at(32).dim(), 3);
        let missing = TorchScript::load(&dir.path().join("none.pt"), Input::default(), Device::Cpu);
        assert!(matches!(missing, Err(TorchError::Io { file, .. }) if file.ends_with("none.pt")));
        fs::write(dir.path().join("junk.pt"), "junk").unwrap();
        let junk = TorchScript::load(&dir.path().join("junk.pt"), Input::default(), Device::Cpu);
        assert!(matches!(junk, Err(TorchError::Torch { file, .. }) if file.ends_with("junk.pt")));
    }
}
