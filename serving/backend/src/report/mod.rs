//! What `takt doctor` shows: the machine, the runtimes found on it, and which execution providers really come up.

mod system;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::discover::{Source, Surroundings};

pub use system::{Board, Gpu, JETPACK_FLOOR, System, cpu_features};

/// A whole report; serialises for `--json`, displays for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Processor and memory.
    pub system: System,
    /// The board, where it says what it is.
    pub board: Option<Board>,
    /// The NVIDIA GPU, where there is a driver.
    pub gpu: Option<Gpu>,
    /// Runtimes, the one that serves first.
    pub runtimes: Vec<Runtime>,
    /// Where an ONNX Runtime was looked for, in this order.
    pub searched: Vec<(Source, PathBuf)>,
    /// What its owner should know or do.
    pub advice: Vec<String>,
}

/// A runtime that is linked in or was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Runtime {
    /// `tract` or `onnxruntime`.
    pub name: &'static str,
    /// Its version, if it could be asked.
    pub version: Option<String>,
    /// The library, and why it was found.
    pub library: Option<(Source, PathBuf)>,
    /// Why it cannot be used.
    pub problem: Option<String>,
    /// Its execution providers.
    pub providers: Vec<ProviderState>,
}

/// An execution provider that a runtime was built with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderState {
    /// By our name where we have one, else by ONNX Runtime's.
    pub name: String,
    /// Whether it comes up.
    pub state: State,
}

/// Whether a provider comes up here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It ran a small model.
    Works,
    /// It did not, for this reason.
    Fails(String),
    /// The library was built with it; it was not tried.
    Untried,
}

impl Report {
    /// Looks at this machine. Loads the ONNX Runtime that would serve, and tries its providers on a small model.
    #[must_use]
    pub fn of_machine() -> Self {
        let surroundings = Surroundings::of_process();
        let root = Path::new("/");
        let board = Board::read(root);
        let mut advice = board.iter().filter_map(Board::too_old).collect::<Vec<_>>();
        let mut runtimes = onnxruntimes(&surroundings, &mut advice);
        #[cfg(feature = "tract")]
        runtimes.push(tract());
        Self { system: System::read(), board, gpu: Gpu::read(root), runtimes, searched: surroundings.places(), advice }
    }
}

#[cfg(feature = "tract")]
fn tract() -> Runtime {
    use crate::{Backend, tract::TractBackend};
    let backend = TractBackend::new();
    let state = ProviderState { name: "cpu".to_owned(), state: trial(&backend, crate::Provider::cpu()) };
    Runtime {
        name: backend.name(),
        version: Some(backend.version()),
        library: None,
        problem: None,
        providers: vec![state],
    }
}

#[cfg(not(feature = "ort"))]
fn onnxruntimes(_: &Surroundings, advice: &mut Vec<String>) -> Vec<Runtime> {
    advice.push("this program was built without ONNX Runtime (feature `ort`)".to_owned());
    Vec::new()
}

#[cfg(feature = "ort")]
fn onnxruntimes(surroundings: &Surroundings, advice: &mut Vec<String>) -> Vec<Runtime> {
    use crate::ort;
    let found = match surroundings.look() {
        Ok(found) => found,
        Err(missing) => {
            advice.push(missing.to_string());
            return Vec::new();
        }
    };
    if found.is_empty() {
        advice.push(
            "no ONNX Runtime found, models run in tract: `pip install onnxruntime`, or name a library in TAKT_ORT"
                .to_owned(),
        );
    }
    let mut serving = None;
    let mut runtimes = Vec::new();
    for candidate in found {
        let inspected = ort::inspect(&candidate.path);
        let mut runtime = Runtime {
            name: ort::NAME,
            version: inspected.as_ref().ok().map(|library| library.version.clone()).or(candidate.named_version),
            library: Some((candidate.source, candidate.path.clone())),
            problem: inspected.as_ref().err().map(ToString::to_string),
            providers: Vec::new(),
        };
        if let Ok(library) = inspected {
            if serving.is_none() {
                match ort::OrtBackend::open(&candidate.path, ort::RuntimeOptions::default()) {
                    Ok(backend) => serving = Some(backend),
                    Err(error) => runtime.problem = Some(error.to_string()),
                }
                runtime.providers = library.providers.iter().map(|name| provider(name, serving.as_ref())).collect();
            } else {
                runtime.providers = library.providers.iter().map(|name| provider(name, None)).collect();
            }
        }
        runtimes.push(runtime);
    }
    runtimes
}

/// One of ONNX Runtime's names, tried if there is a backend to try it on and we have options for it.
#[cfg(feature = "ort")]
fn provider(onnxruntime_name: &str, backend: Option<&crate::ort::OrtBackend>) -> ProviderState {
    use crate::provider::{NAMES, RawProvider};
    let mut known = NAMES.into_iter().filter_map(|name| {
        crate::Provider::try_from(&RawProvider { name: name.to_owned(), ..RawProvider::default() }).ok()
    });
    let known = known.find(|provider| provider.onnxruntime_name() == onnxruntime_name);
    let name = match &known {
        Some(provider) => provider.name().to_owned(),
        None => onnxruntime_name.to_owned(),
    };
    let state = known.zip(backend).map_or(State::Untried, |(provider, backend)| trial(backend, provider));
    ProviderState { name, state }
}

/// Runs a small model with nothing but this provider to fall back on.
fn trial(backend: &dyn crate::Backend, provider: crate::Provider) -> State {
    /// A ReLU of four numbers; made by `tests/models/make.py`.
    const TINY: &[u8] = include_bytes!("tiny.onnx");
    let attempt = || -> Result<(), String> {
        let file = std::env::temp_dir().join(format!("takt-doctor-{}.onnx", std::process::id()));
        std::fs::write(&file, TINY).map_err(|error| format!("cannot write '{}': {error}", file.display()))?;
        let request =
            crate::LoadRequest { model: file.clone(), providers: vec![provider], strict: true, ..Default::default() };
        let loaded = backend.load(&request);
        // Nothing depends on it any more, and nothing can be done about a file that stays.
        let _ = std::fs::remove_file(&file);
        let mut session = loaded.map_err(|error| match error {
            crate::LoadError::Provider { reason, .. } => reason,
            other => other.to_string(),
        })?;
        let data = [-1.0_f32, 0.0, 1.0, 2.0];
        let input = crate::InputView {
            datatype: takt_artifact::DataType::Fp32,
            shape: &[1, 4],
            data: bytemuck::cast_slice(&data),
        };
        let outputs = session.run(&[input]).map_err(|error| error.to_string())?;
        let right = outputs
            .first()
            .is_some_and(|output| *output.data == *bytemuck::cast_slice::<f32, u8>(&[0.0, 0.0, 1.0, 2.0]));
        if right { Ok(()) } else { Err("it computed a ReLU wrongly".to_owned()) }
    };
    attempt().map_or_else(State::Fails, |()| State::Works)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let System { arch, processor, cpu_features, processors, memory_bytes, memory_limit_bytes } = &self.system;
        writeln!(
            f,
            "machine    {arch}, {processors} processors, {}",
            processor.as_deref().unwrap_or("of unknown name")
        )?;
        writeln!(f, "features   {}", cpu_features.join(" "))?;
        let limit = memory_limit_bytes.map(|bytes| format!(", limited to {}", gigabytes(bytes))).unwrap_or_default();
        writeln!(f, "memory     {}{limit}", memory_bytes.map_or("unknown".to_owned(), gigabytes))?;
        if let Some(Board { model, l4t, jetpack }) = &self.board {
            let l4t = l4t.as_ref().map(|l4t| format!(", L4T {l4t}")).unwrap_or_default();
            let jetpack = jetpack.map(|jetpack| format!(", JetPack {jetpack}")).unwrap_or_default();
            writeln!(f, "board      {model}{l4t}{jetpack}")?;
        }
        match &self.gpu {
            Some(Gpu { driver, names }) => writeln!(f, "GPU        {}, driver {driver}", names.join(", "))?,
            None => writeln!(f, "GPU        no NVIDIA driver")?,
        }
        for (at, runtime) in self.runtimes.iter().enumerate() {
            writeln!(f, "{}{runtime}", if at == 0 { "runtimes   " } else { "           " })?;
        }
        if !self.runtimes.iter().any(|runtime| runtime.library.is_some()) {
            let places =
                self.searched.iter().map(|(source, place)| format!("\n             {} ({source})", place.display()));
            writeln!(f, "searched   {}", places.collect::<String>().trim_start())?;
        }
        for advice in &self.advice {
            writeln!(f, "advice     {advice}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version.as_deref().unwrap_or("of unknown version"))?;
        if let Some((source, path)) = &self.library {
            write!(f, ", '{}' ({source})", path.display())?;
        }
        if let Some(problem) = &self.problem {
            write!(f, "\n             cannot be used: {problem}")?;
        }
        for ProviderState { name, state } in &self.providers {
            match state {
                State::Works => write!(f, "\n             {name}: works")?,
                State::Fails(reason) => write!(f, "\n             {name}: does not come up: {reason}")?,
                State::Untried => write!(f, "\n             {name}: not tried")?,
            }
        }
        Ok(())
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_reported_on() {
        let report = Report::of_machine();
        let text = report.to_string();
        assert!(text.starts_with("machine    "), "{text}");
        assert!(serde_json::to_string(&report).is_ok());
        #[cfg(feature = "tract")]
        assert!(text.contains(&format!("tract {}\n             cpu: works", crate::tract::VERSION)), "{text}");
    }

    #[test]
    fn a_failing_provider_is_shown_with_its_reason() {
        let runtime = Runtime {
            name: "onnxruntime",
            version: Some("1.18.0".to_owned()),
            library: Some((Source::System, "/usr/lib/libonnxruntime.so".into())),
            problem: None,
            providers: vec![
                ProviderState { name: "tensorrt".to_owned(), state: State::Fails("no driver".to_owned()) },
                ProviderState { name: "cpu".to_owned(), state: State::Works },
            ],
        };
        let expected = "onnxruntime 1.18.0, '/usr/lib/libonnxruntime.so' (the system's library folders)\
            \n             tensorrt: does not come up: no driver\
            \n             cpu: works";
        assert_eq!(runtime.to_string(), expected);
    }
}
