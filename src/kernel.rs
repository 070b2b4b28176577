//! The kernel that proposes neighbours, ready where the run computes.

use kinetograph_dataflows::graph::Settings;

use crate::config::Config;

/// The graph's settings, the kernel among them on the device that `train.device` names. `workers` share the processor.
///
/// # Errors
/// When the kernel, or its device, is not to be had.
#[cfg(feature = "train")]
pub fn ready(config: &Config, workers: usize) -> Result<Settings, crate::train::device::DeviceError> {
    use kinetograph_dataflows::graph::product::{Device, KernelKind};

    let mut graph = config.graph.clone();
    if let KernelKind::Torch(device) = &mut graph.neighbours.kernel {
        *device = match crate::train::device::open(config.train.device)? {
            tch::Device::Cuda(number) => Device::Cuda(number),
            _ => Device::Cpu,
        };
        // Workers multiply side by side. A trainer sets the number anew, on its own thread.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        tch::set_num_threads(i32::try_from(cores / workers.max(1)).unwrap_or(1).max(1));
    }
    Ok(graph)
}

/// The graph's settings, as they are.
///
/// # Errors
/// When they ask for a kernel that this program was built without.
#[cfg(not(feature = "train"))]
pub fn ready(config: &Config, _: usize) -> Result<Settings, kinetograph_dataflows::graph::product::NotBuilt> {
    config.graph.neighbours.kernel.check()?;
    Ok(config.graph.clone())
}
