//! From a device's name to the device.

use std::sync::OnceLock;

use super::settings::Device;

/// A device that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is no CUDA in this libtorch, or no driver.
    #[error(
        "{device}: CUDA is not available here ({reason}); use --device cpu, or put the lib folder of a PyTorch 2.11 with \
         CUDA first in LD_LIBRARY_PATH"
    )]
    NoCuda {
        /// The device that was asked for.
        device: Device,
        /// The error of the loader or of libtorch.
        reason: String,
    },
    /// There are fewer devices.
    #[error("{device}: there are only {count} CUDA devices, numbered from 0")]
    NoSuch {
        /// The device that was asked for.
        device: Device,
        /// Devices that there are.
        count: i64,
    },
}

/// The device, ready for use.
///
/// # Errors
/// [`DeviceError`] when it is not there.
pub fn open(device: Device) -> Result<tch::Device, DeviceError> {
    let Device::Cuda(number) = device else { return Ok(tch::Device::Cpu) };
    cuda_back_end().map_err(|reason| DeviceError::NoCuda { device, reason: reason.clone() })?;
    let count = tch::Cuda::device_count();
    if !tch::Cuda::is_available() || count == 0 {
        return Err(DeviceError::NoCuda { device, reason: "libtorch finds no device or no driver".into() });
    }
    if i64::try_from(number).map_or(true, |n| n >= count) {
        return Err(DeviceError::NoSuch { device, count });
    }
    Ok(tch::Device::Cuda(number))
}

/// Loads the CUDA back end, once. The linker drops a library that no symbol is taken from, and libtorch takes note of
/// its back ends when it is first asked about CUDA: so this comes before any such question.
fn cuda_back_end() -> Result<(), &'static String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    let load = || {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        // SAFETY: loading runs the library's initialisers, which register libtorch's own CUDA back end with the
        // libtorch that is linked in; they ask nothing of us. It is never unloaded.
        let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
        library.map(std::mem::forget).map_err(|reason| reason.to_string())
    };
    LOADED.get_or_init(load).as_ref().copied()
}
