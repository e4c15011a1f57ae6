//! What discrete GPUs say of themselves, through NVIDIA's management library (NVML) where a driver has brought it.
//!
//! Boards of the Jetson class have no NVML; their GPU is in [`super::device`]. Never run with a GPU yet: what is tested is that
//! figures become metrics, and that a machine without the library has none.

use std::ffi::OsStr;
use std::sync::OnceLock;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;

/// The name under which drivers install the library; the one without the number belongs to the development files.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The machine's GPUs; looked for once, when they are first asked for.
#[derive(Debug, Default)]
pub struct Gpus {
    library: Option<String>,
    found: OnceLock<Option<Nvml>>,
}

/// Figures of one GPU. What it does not say is left out, never zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GpuFigures {
    /// Its number, as `nvidia-smi` counts.
    pub index: u32,
    /// Name of its kind.
    pub name: String,
    /// Share of the last moment in which a kernel ran, 0 to 1.
    pub load: Option<f64>,
    /// Bytes of memory in use, and in all.
    pub memory: Option<(u64, u64)>,
    /// Degrees Celsius of the die.
    pub celsius: Option<f64>,
    /// Watts.
    pub watts: Option<f64>,
}

impl Gpus {
    /// Those of another library, for tests.
    #[must_use]
    pub fn through(library: &str) -> Self {
        Self { library: Some(library.to_owned()), found: OnceLock::new() }
    }

    /// Every GPU as it is now; none where there is no driver.
    #[must_use]
    pub fn read(&self) -> Vec<GpuFigures> {
        let Some(nvml) = self.found.get_or_init(|| self.open()) else { return Vec::new() };
        let count = nvml.device_count().unwrap_or(0);
        (0..count).filter_map(|index| figures(nvml, index)).collect()
    }

    fn open(&self) -> Option<Nvml> {
        let library = self.library.as_deref().unwrap_or(LIBRARY);
        match Nvml::builder().lib_path(OsStr::new(library)).init() {
            Ok(nvml) => Some(nvml),
            Err(reason) => {
                tracing::debug!(library, %reason, "no GPU telemetry through NVML");
                None
            }
        }
    }
}

fn figures(nvml: &Nvml, index: u32) -> Option<GpuFigures> {
    let device = nvml.device_by_index(index).ok()?;
    Some(GpuFigures {
        index,
        name: device.name().unwrap_or_default(),
        load: device.utilization_rates().ok().map(|rates| f64::from(rates.gpu) / 100.0),
        memory: device.memory_info().ok().map(|memory| (memory.used, memory.total)),
        celsius: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
        watts: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_the_library_has_no_gpu_and_says_so_every_time() {
        let gpus = Gpus::through("libnothing-of-the-sort.so.0");
        assert_eq!(gpus.read(), []);
        assert_eq!(gpus.read(), []);
    }
}
