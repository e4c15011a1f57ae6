//! Families of what the board says of itself.

use super::families::Families;
use crate::telemetry::device::Device;
use crate::telemetry::gpu::GpuFigures;

/// Everything that the board has.
pub(super) fn device(families: &mut Families, device: &Device) {
    let mut family = families.gauge("takt_device_temperature_celsius", "Temperature, by thermal zone");
    device.temperatures().iter().for_each(|(zone, value)| family.sample(&[("zone", zone)], *value));
    let mut family = families
        .gauge("takt_device_cooling_ratio", "How far a cooling device is turned up; one that is no fan throttles");
    device.cooling().iter().for_each(|(kind, value)| family.sample(&[("type", kind)], *value));
    let mut family = families.gauge("takt_device_power_watts", "Power, by rail");
    device.power().iter().for_each(|(rail, value)| family.sample(&[("rail", rail)], *value));
    let mut family = families.gauge("takt_device_gpu_load_ratio", "Load of the integrated GPU");
    if let Some(load) = device.gpu_load() {
        family.sample(&[], load);
    }
    let memory = device.memory();
    let mut family = families.gauge("takt_device_memory_bytes", "Memory of the device");
    if let Some((total, _)) = memory {
        family.sample(&[], total as f64);
    }
    let mut family =
        families.gauge("takt_device_memory_available_bytes", "Memory that a program can have without swapping");
    if let Some((_, available)) = memory {
        family.sample(&[], available as f64);
    }
}

/// Every discrete GPU.
pub(super) fn gpus(families: &mut Families, gpus: &[GpuFigures]) {
    let mut of = |name, help, figure: fn(&GpuFigures) -> Option<f64>| {
        let mut family = families.gauge(name, help);
        for gpu in gpus {
            if let Some(value) = figure(gpu) {
                family.sample(&[("gpu", &gpu.index.to_string()), ("name", &gpu.name)], value);
            }
        }
    };
    of("takt_gpu_load_ratio", "Share of time in which the GPU ran a kernel", |gpu| gpu.load);
    of("takt_gpu_memory_used_bytes", "Memory of the GPU in use", |gpu| gpu.memory.map(|(used, _)| used as f64));
    of("takt_gpu_memory_bytes", "Memory of the GPU", |gpu| gpu.memory.map(|(_, total)| total as f64));
    of("takt_gpu_temperature_celsius", "Temperature of the GPU", |gpu| gpu.celsius);
    of("takt_gpu_power_watts", "Power of the GPU", |gpu| gpu.watts);
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn a_gpu_says_what_it_knows_and_no_zero_for_what_it_does_not() {
        let mut families = Families::default();
        let gpu = GpuFigures {
            index: 1,
            name: "RTX".into(),
            load: Some(0.5),
            memory: Some((1 << 30, 8 << 30)),
            celsius: Some(61.0),
            watts: None,
        };
        gpus(&mut families, &[gpu]);
        let text = TextEncoder::new().encode_to_string(&families.finish()).unwrap();
        assert!(text.contains("takt_gpu_load_ratio{gpu=\"1\",name=\"RTX\"} 0.5"), "{text}");
        assert!(text.contains("takt_gpu_memory_used_bytes{gpu=\"1\",name=\"RTX\"} 1073741824"), "{text}");
        assert!(!text.contains("takt_gpu_power_watts{"), "{text}");
    }
}
