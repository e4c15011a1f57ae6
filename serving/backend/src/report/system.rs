//! The machine: processor, memory, board, GPU; read from files that the kernel and the vendor's software keep.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::memory;

/// Oldest JetPack whose ONNX Runtime this program speaks to.
pub const JETPACK_FLOOR: u32 = 5;

/// The processor and its memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct System {
    /// As `std::env::consts::ARCH`.
    pub arch: &'static str,
    /// The processor's name for itself.
    pub processor: Option<String>,
    /// Features that matter to models, by the names Rust's detection uses.
    pub cpu_features: Vec<&'static str>,
    /// Processors this process may use.
    pub processors: usize,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// Memory that the container may use, where one sets a limit.
    pub memory_limit_bytes: Option<u64>,
}

/// An NVIDIA Jetson or another board that says what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Board {
    /// Such as `NVIDIA Jetson Orin Nano Developer Kit`.
    pub model: String,
    /// Release of the board's Linux (L4T), such as `35.4.1`.
    pub l4t: Option<String>,
    /// JetPack that the release belongs to.
    pub jetpack: Option<u32>,
}

/// An NVIDIA GPU with a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Version of the kernel driver.
    pub driver: String,
    /// Names of the GPUs.
    pub names: Vec<String>,
}

impl System {
    /// This machine.
    #[must_use]
    pub fn read() -> Self {
        let field = |path: &str, name: &str| {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        let limit = limit.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
        let memory_bytes = memory::total();
        Self {
            arch: std::env::consts::ARCH,
            processor: field("/proc/cpuinfo", "model name"),
            cpu_features: cpu_features(),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
            memory_bytes,
            // Without a limit, version 1 of cgroups gives a number no machine has.
            memory_limit_bytes: limit.filter(|limit| memory_bytes.is_none_or(|memory| *limit < memory)),
        }
    }
}

impl Board {
    /// The board below `root` (`/` but in tests), if it says what it is.
    #[must_use]
    pub fn read(root: &Path) -> Option<Self> {
        let model = fs::read_to_string(root.join("proc/device-tree/model")).ok()?;
        let l4t = fs::read_to_string(root.join("etc/nv_tegra_release")).ok().and_then(|text| l4t(&text));
        let jetpack = l4t.as_deref().and_then(jetpack);
        Some(Self { model: model.trim_matches(['\0', ' ', '\n']).to_owned(), l4t, jetpack })
    }

    /// What to tell the owner of a board that is too old.
    #[must_use]
    pub fn too_old(&self) -> Option<String> {
        let jetpack = self.jetpack.filter(|jetpack| *jetpack < JETPACK_FLOOR)?;
        Some(format!(
            "JetPack {jetpack} (L4T {}) is older than JetPack {JETPACK_FLOOR}: its ONNX Runtime cannot be used and models run in tract, on the processor",
            self.l4t.as_deref().unwrap_or("unknown")
        ))
    }
}

impl Gpu {
    /// The GPU below `root` (`/` but in tests), if there is a driver.
    #[must_use]
    pub fn read(root: &Path) -> Option<Self> {
        let text = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok()?;
        let driver = text.lines().find(|line| line.starts_with("NVRM"))?;
        let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
        let driver = driver.split_whitespace().find(is_version)?.to_owned();
        let gpus = fs::read_dir(root.join("proc/driver/nvidia/gpus")).into_iter().flatten().flatten();
        let names = gpus.filter_map(|gpu| {
            let text = fs::read_to_string(gpu.path().join("information")).ok()?;
            let line = text.lines().find(|line| line.starts_with("Model:"))?;
            Some(line.trim_start_matches("Model:").trim().to_owned())
        });
        Some(Self { driver, names: names.collect() })
    }
}

/// `# R35 (release), REVISION: 4.1, GCID: ...` is L4T 35.4.1.
fn l4t(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("# R"))?;
    let major = line.trim_start_matches("# R").split(' ').next()?;
    let revision = line.split_once("REVISION:")?.1.split(',').next()?.trim();
    Some(format!("{major}.{revision}"))
}

/// JetPack by the release of its Linux (NVIDIA's archive of JetPack releases).
fn jetpack(l4t: &str) -> Option<u32> {
    match l4t.split('.').next()?.parse::<u32>().ok()? {
        ..28 => None,
        28..=31 => Some(3),
        32..=33 => Some(4),
        34..=35 => Some(5),
        36..=37 => Some(6),
        _ => Some(7),
    }
}

/// Features of this processor that matter to models, by the names Rust's detection uses; what a packaged variant may require.
#[must_use]
pub fn cpu_features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let features = [
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        ("avx", is_x86_feature_detected!("avx")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avxvnni", is_x86_feature_detected!("avxvnni")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    #[cfg(target_arch = "aarch64")]
    let features = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let features: [(&str, bool); 0] = [];
    features.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_jetson_says_what_it_is_and_an_old_one_is_told() {
        let nano = root(&[
            ("proc/device-tree/model", "NVIDIA Jetson Nano Developer Kit\0"),
            ("etc/nv_tegra_release", "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64\n"),
        ]);
        let board = Board::read(nano.path()).unwrap();
        assert_eq!(
            board,
            Board {
                model: "NVIDIA Jetson Nano Developer Kit".to_owned(),
                l4t: Some("32.7.1".to_owned()),
                jetpack: Some(4)
            }
        );
        assert!(board.too_old().unwrap().starts_with("JetPack 4 (L4T 32.7.1) is older than JetPack 5"));
        let orin = root(&[
            ("proc/device-tree/model", "NVIDIA Jetson AGX Orin\0"),
            ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081\n"),
        ]);
        assert_eq!(Board::read(orin.path()).unwrap().too_old(), None);
        assert_eq!(Board::read(root(&[]).path()), None);
    }

    #[test]
    fn a_driver_gives_its_version_and_its_gpus() {
        let machine = root(&[
            (
                "proc/driver/nvidia/version",
                "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\nGCC version: 12.3\n",
            ),
            ("proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA RTX A2000\nIRQ: 61\n"),
        ]);
        let expected = Gpu { driver: "535.183.01".to_owned(), names: vec!["NVIDIA RTX A2000".to_owned()] };
        assert_eq!(Gpu::read(machine.path()), Some(expected));
    }

    #[test]
    fn this_machine_has_processors_and_memory() {
        let system = System::read();
        assert!(system.processors > 0);
        assert!(system.memory_bytes.is_none_or(|bytes| bytes > 1 << 20));
    }
}
