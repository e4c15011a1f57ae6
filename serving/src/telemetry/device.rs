//! What the board says of itself through sysfs: temperatures, power, cooling, the load of an integrated GPU, memory.
//!
//! Kernel documentation: thermal/sysfs-api, hwmon/sysfs-interface, hwmon/ina3221 (Jetson boards measure their rails with it),
//! and `load` of NVIDIA's gk20a/gv11b/ga10b drivers. What a board does not have is left out, never zero.

use std::fs;
use std::path::{Path, PathBuf};

use takt_backend::memory;

/// Where to look; another root in tests.
#[derive(Debug, Clone)]
pub struct Device {
    root: PathBuf,
}

impl Default for Device {
    fn default() -> Self {
        Self { root: PathBuf::from("/") }
    }
}

/// A figure with the name that the board gives it.
pub type Named = (String, f64);

impl Device {
    /// The board whose file system hangs at `root`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Degrees Celsius by thermal zone. Zones that are asleep cannot be read and are left out.
    #[must_use]
    pub fn temperatures(&self) -> Vec<Named> {
        let zones = self.list("sys/class/thermal", "thermal_zone");
        let temperature = |zone: &PathBuf| Some((text(&zone.join("type"))?, number(&zone.join("temp"))? / 1e3));
        unique(zones.iter().filter_map(temperature))
    }

    /// How far each cooling device is turned up, 0 to 1. Those that are no fans slow a processor down: above 0 they throttle.
    #[must_use]
    pub fn cooling(&self) -> Vec<Named> {
        let devices = self.list("sys/class/thermal", "cooling_device");
        let state = |device: &PathBuf| {
            let most = number(&device.join("max_state")).filter(|most| *most > 0.0)?;
            Some((text(&device.join("type"))?, number(&device.join("cur_state"))? / most))
        };
        unique(devices.iter().filter_map(state))
    }

    /// Watts by power rail, where a sensor names its rails and measures voltage and current.
    #[must_use]
    pub fn power(&self) -> Vec<Named> {
        let sensors = self.list("sys/class/hwmon", "hwmon");
        let rails = sensors.iter().flat_map(|sensor| (1..=8).filter_map(move |rail| rail_power(sensor, rail)));
        unique(rails)
    }

    /// Load of an integrated GPU, 0 to 1.
    #[must_use]
    pub fn gpu_load(&self) -> Option<f64> {
        let places = ["sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load"];
        places.iter().find_map(|place| number(&self.root.join(place))).map(|per_mille| per_mille / 1e3)
    }

    /// Bytes of memory: in all, and available without swapping.
    #[must_use]
    pub fn memory(&self) -> Option<(u64, u64)> {
        let text = fs::read_to_string(self.root.join("proc/meminfo")).ok()?;
        Some((memory::bytes(&text, "MemTotal")?, memory::bytes(&text, "MemAvailable")?))
    }

    /// Entries of a folder whose names begin so, in order.
    fn list(&self, folder: &str, start: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
            .collect();
        found.sort();
        found
    }
}

/// Millivolts times milliamperes of one rail; the rail's name is its voltage's label.
fn rail_power(sensor: &Path, rail: u32) -> Option<Named> {
    let label = text(&sensor.join(format!("in{rail}_label")))?;
    let (millivolts, milliamperes) =
        (number(&sensor.join(format!("in{rail}_input")))?, number(&sensor.join(format!("curr{rail}_input")))?);
    Some((label, millivolts * milliamperes / 1e6))
}

/// Boards have several zones and processors of one type: the second is called `type-2`.
fn unique(named: impl Iterator<Item = Named>) -> Vec<Named> {
    let mut found: Vec<Named> = Vec::new();
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for (name, value) in named {
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        found.push((if *count == 1 { name } else { format!("{name}-{count}") }, value));
    }
    found
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(path: &Path) -> Option<f64> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system as an Orin Nano shows it, in part.
    fn board() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "47593\n"),
            ("sys/class/thermal/thermal_zone1/type", "gpu-thermal\n"),
            ("sys/class/thermal/thermal_zone1/temp", "\n"),
            ("sys/class/thermal/cooling_device0/type", "pwm-fan\n"),
            ("sys/class/thermal/cooling_device0/cur_state", "1\n"),
            ("sys/class/thermal/cooling_device0/max_state", "4\n"),
            ("sys/class/thermal/cooling_device1/type", "cpufreq-cpu\n"),
            ("sys/class/thermal/cooling_device1/cur_state", "0\n"),
            ("sys/class/thermal/cooling_device1/max_state", "20\n"),
            ("sys/class/thermal/cooling_device2/type", "cpufreq-cpu\n"),
            ("sys/class/thermal/cooling_device2/cur_state", "5\n"),
            ("sys/class/thermal/cooling_device2/max_state", "20\n"),
            ("sys/class/hwmon/hwmon1/in1_label", "VDD_IN\n"),
            ("sys/class/hwmon/hwmon1/in1_input", "5000\n"),
            ("sys/class/hwmon/hwmon1/curr1_input", "1200\n"),
            ("sys/class/hwmon/hwmon1/in2_label", "NC\n"),
            ("sys/devices/gpu.0/load", "415\n"),
            ("proc/meminfo", "MemTotal: 8000 kB\nMemAvailable: 6000 kB\n"),
        ];
        for (file, content) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn a_jetson_tells_temperatures_power_cooling_and_load() {
        let board = board();
        let device = Device::at(board.path());
        let named = |name: &str, value: f64| (name.to_owned(), value);
        assert_eq!(device.temperatures(), [named("cpu-thermal", 47.593)], "a sleeping zone is left out");
        assert_eq!(device.power(), [named("VDD_IN", 6.0)], "a rail without sensor is left out");
        assert_eq!(device.cooling(), [named("pwm-fan", 0.25), named("cpufreq-cpu", 0.0), named("cpufreq-cpu-2", 0.25)]);
        assert_eq!(device.gpu_load(), Some(0.415));
        assert_eq!(device.memory(), Some((8_192_000, 6_144_000)));
    }

    #[test]
    fn a_board_that_tells_nothing_has_no_figures() {
        let root = tempfile::tempdir().unwrap();
        let device = Device::at(root.path());
        assert!(device.temperatures().is_empty() && device.power().is_empty() && device.cooling().is_empty());
        assert_eq!((device.gpu_load(), device.memory()), (None, None));
    }
}
