//! Families of what the board says of itself.

use super::families::Families;
use crate::telemetry::device::Device;

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
