//! A repository of small models and a state directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::server::Launch;
use super::{SOON, STEP};

/// A repository and a state directory, gone with the test.
pub struct Workspace {
    root: tempfile::TempDir,
}

impl Workspace {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("takt-e2e-").tempdir().unwrap();
        fs::create_dir(root.path().join("repository")).unwrap();
        Self { root }
    }

    pub fn path(&self, within: &str) -> PathBuf {
        self.root.path().join(within)
    }

    /// Waits until the journal says that a load has begun: the index says so some milliseconds before.
    pub async fn load_is_recorded(&self) {
        let journal = self.path("state/journal.json");
        let begun = Instant::now();
        while !fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"kind\": \"load\"")) {
            assert!(begun.elapsed() < SOON, "waited {SOON:?} in vain for a load in {}", journal.display());
            tokio::time::sleep(STEP).await;
        }
    }

    pub fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    /// Puts one of the backend's test models there as a version, all at once.
    pub fn add(&self, model: &str, version: u64, source: &str) -> &Self {
        self.add_bytes(model, version, &fs::read(test_model(source)).unwrap())
    }

    pub fn add_bytes(&self, model: &str, version: u64, onnx: &[u8]) -> &Self {
        let folder = self.repository().join(model);
        fs::create_dir_all(&folder).unwrap();
        let aside = self.path(&format!("aside-{model}-{version}"));
        fs::create_dir(&aside).unwrap();
        fs::write(aside.join("model.onnx"), onnx).unwrap();
        let place = folder.join(version.to_string());
        if place.exists() {
            fs::remove_dir_all(&place).unwrap();
        }
        fs::rename(aside, place).unwrap();
        self
    }

    /// Writes `model.toml`, all at once.
    pub fn configure(&self, model: &str, toml: &str) -> &Self {
        let folder = self.repository().join(model);
        fs::create_dir_all(&folder).unwrap();
        let aside = self.path(&format!("aside-{model}.toml"));
        fs::write(&aside, toml).unwrap();
        fs::rename(aside, folder.join("model.toml")).unwrap();
        self
    }

    /// A model whose first request is the first run of its session.
    pub fn add_unwarmed(&self, model: &str, version: u64, source: &str) -> &Self {
        self.configure(model, "max_batch_size = 4\nwarmup = false\n").add(model, version, source)
    }

    /// The repository that is shipped with Takt.
    pub fn add_shipped(&self) -> &Self {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/repository/surface-defects");
        copy_folder(&shipped, &self.repository().join("surface-defects"));
        self
    }

    pub fn server(&self) -> Launch<'_> {
        let (fault, settings, shell) = (String::new(), "poll_secs = 1\n".into(), String::new());
        Launch { workspace: self, arguments: Vec::new(), fault, settings, shell }
    }
}

pub fn test_model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("serving/backend/tests/models").join(format!("{name}.onnx"))
}

pub fn shipped_image(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)).unwrap()
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
