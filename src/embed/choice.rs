//! The embedder that a configuration asks for.

use std::sync::Arc;

use kinetograph_dataflows::index::kernels::vector::Precision;
use kinetograph_dataflows::observe::embed::Embedder;
use kinetograph_dataflows::observe::embed::descriptor::Descriptor;
use kinetograph_dataflows::observe::embed::halves::Halves;

use crate::config::Embed;

/// The embedder that `settings` name.
///
/// # Errors
/// When its module cannot be loaded, or this program was built without libtorch.
pub fn embedder(settings: &Embed) -> anyhow::Result<Arc<dyn Embedder>> {
    let embedder: Arc<dyn Embedder> = match settings.torchscript.as_str() {
        "" => Arc::new(Descriptor),
        module => torchscript(module, settings)?,
    };
    Ok(match settings.precision {
        Precision::F32 => embedder,
        Precision::F16 => Arc::new(Halves(embedder)),
    })
}

#[cfg(feature = "train")]
fn torchscript(module: &str, settings: &Embed) -> anyhow::Result<Arc<dyn Embedder>> {
    use super::torchscript::{Input, TorchScript};
    use crate::train::settings::Device;

    let mut input = Input::default();
    if settings.side > 0 {
        input.side = settings.side as usize;
    }
    Ok(Arc::new(TorchScript::load(module.as_ref(), input, Device::Cpu)?))
}

#[cfg(not(feature = "train"))]
fn torchscript(module: &str, _: &Embed) -> anyhow::Result<Arc<dyn Embedder>> {
    anyhow::bail!("embed.torchscript = {module:?}: this kinetograph was built without the feature `train`")
}
