//! `kinetograph embed`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use kinetograph_dataflows::observe::embed::descriptor::Descriptor;

use super::{NO, OK};
#[cfg(feature = "train")]
use crate::embed::network::Init;
use crate::embed::{Describe, Embedded, FolderError, folder};

/// Nothing is made of it.
#[cfg(not(feature = "train"))]
type Init = String;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("by").required(true).args(["checkpoint", "init", "descriptor"])))]
pub(super) struct Arguments {
    /// By the trained network of this checkpoint
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// By a network as it is before its first step, such as small:1
    #[arg(long, value_name = "NET:SEED")]
    init: Option<Init>,
    /// By a descriptor: hog, the engine's own
    #[arg(long, value_name = "NAME", value_parser = ["hog"], conflicts_with = "layer")]
    descriptor: Option<String>,
    /// Layer of the network [default: the feature that training compares]
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Folder of jpeg and png images; those that cannot be read are named and left out, and the exit code is 1
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// float32, one row an image; the names go to FILE.names.txt
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
}

pub(super) fn embed(arguments: &Arguments) -> anyhow::Result<u8> {
    let done = if arguments.descriptor.is_some() {
        let mut describe = |crops: &[&[u8]]| {
            Ok(crops.iter().flat_map(|crop| Descriptor::describe(crop)).collect::<Vec<f32>>())
        };
        described(arguments, &mut describe)?
    } else {
        by_network(arguments)?
    };
    eprintln!("{} images, {} values each; names in {}", done.count, done.dim, done.names.display());
    if done.left_out > 0 {
        eprintln!("{} images left out", done.left_out);
        return Ok(NO);
    }
    Ok(OK)
}

fn described(arguments: &Arguments, describe: &mut Describe<'_>) -> anyhow::Result<Embedded> {
    let mut tell = |error: &FolderError| eprintln!("{error}");
    Ok(folder(&arguments.images, &arguments.out, describe, &mut tell)?)
}

#[cfg(feature = "train")]
fn by_network(arguments: &Arguments) -> anyhow::Result<Embedded> {
    use crate::embed::network::NetworkLayer;
    use crate::train::settings::{Device, Norm};

    let layer = arguments.layer.as_deref();
    let network = match (&arguments.checkpoint, arguments.init) {
        (Some(file), _) => NetworkLayer::trained(file, layer, Device::Cpu)?,
        (None, Some(init)) => NetworkLayer::untrained(init, Norm::default(), layer, Device::Cpu)?,
        (None, None) => bail!("give one of --checkpoint, --init, --descriptor"),
    };
    let mut describe = |crops: &[&[u8]]| network.describe(crops).map_err(|e| e.to_string());
    described(arguments, &mut describe)
}

#[cfg(not(feature = "train"))]
fn by_network(_: &Arguments) -> anyhow::Result<Embedded> {
    bail!("this kinetograph was built without the feature `train`; only --descriptor hog works")
}
