//! A server for tests: the example model, run by tract, in batches of at most four.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::core::Core;
use crate::request::VersionRef;
use crate::server::start_core;
use crate::settings::{ControlMode, RawSettings, RuntimeChoice, ServerSettings};
use crate::state::{Access, StateDir};

/// Name of the only model.
pub(crate) const MODEL: &str = "surface-defects";

/// A started core; its folders go with it.
pub(crate) struct TestServer {
    pub(crate) core: Arc<Core>,
    _folder: TempDir,
    _state: StateDir,
}

impl TestServer {
    /// Starts in that mode, and waits until the model serves.
    pub(crate) fn start(mode: ControlMode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("models");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/repository").join(MODEL);
        let model = repository.join(MODEL);
        std::fs::create_dir_all(model.join("1")).unwrap();
        std::fs::write(model.join("model.toml"), "max_batch_size = 4\n").unwrap();
        for file in std::fs::read_dir(example.join("1")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), model.join("1").join(file.file_name())).unwrap();
        }
        let settings = ServerSettings::try_from(RawSettings {
            model_repository: Some(repository),
            state_dir: Some(folder.path().join("state")),
            model_control_mode: Some(mode),
            load_model: (mode == ControlMode::Explicit).then(|| vec![MODEL.to_owned()]),
            runtime: Some(RuntimeChoice::Tract),
            ..RawSettings::default()
        })
        .unwrap();
        let state = StateDir::open(&settings.state_dir, Access::Owner).unwrap();
        let core = Arc::new(start_core(&settings, &state).unwrap());
        let begun = Instant::now();
        while !core.is_ready() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the example model did not load");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(core.is_model_ready(MODEL, Some(VersionRef::Number(1))), "{:?}", core.index(false));
        Self { core, _folder: folder, _state: state }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.core.registry().shutdown();
    }
}
