//! Where an ONNX Runtime library may be on this machine. Looks at names only; nothing is loaded or run.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Why a place was looked at, in the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The variable `TAKT_ORT` names it.
    TaktOrt,
    /// The variable `ORT_DYLIB_PATH` names it.
    OrtDylibPath,
    /// It lies beside this program.
    BesideBinary,
    /// The system's loader would find it.
    System,
    /// It came with an installed Python package.
    Python,
}

/// A library that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Why it was looked for there.
    pub source: Source,
    /// The file.
    pub path: PathBuf,
    /// What its file name says of its version; the library itself may be asked with `ort::inspect`.
    pub named_version: Option<String>,
}

/// A variable names a library that is not there. Falling back to another one would run what nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin} is '{}', where there is no ONNX Runtime library ({}); correct it or unset it", path.display(), FILE_NAMES)]
pub struct NamedMissing {
    /// Which variable; `source` would be taken for a cause.
    pub origin: Source,
    /// What it says.
    pub path: PathBuf,
}

/// What a process sees of the machine, taken once so that tests can put something else in its place.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `TAKT_ORT`.
    pub takt_ort: Option<PathBuf>,
    /// `ORT_DYLIB_PATH`.
    pub ort_dylib_path: Option<PathBuf>,
    /// Folder of this program.
    pub binary_dir: Option<PathBuf>,
    /// Folders of the system's loader.
    pub loader_dirs: Vec<PathBuf>,
    /// Prefixes under which Python may have packages, as in `<prefix>/lib/python3.12/site-packages`.
    pub python_prefixes: Vec<PathBuf>,
}

#[cfg(target_os = "windows")]
const FILE_NAMES: &str = "onnxruntime.dll";
#[cfg(target_os = "macos")]
const FILE_NAMES: &str = "libonnxruntime.dylib, libonnxruntime.*.dylib";
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const FILE_NAMES: &str = "libonnxruntime.so, libonnxruntime.so.*";

impl Source {
    /// Whether a person named the library, so that another one will not do.
    #[must_use]
    pub const fn is_explicit(self) -> bool {
        matches!(self, Self::TaktOrt | Self::OrtDylibPath)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TaktOrt => "TAKT_ORT",
            Self::OrtDylibPath => "ORT_DYLIB_PATH",
            Self::BesideBinary => "the folder of this program",
            Self::System => "the system's library folders",
            Self::Python => "an installed Python package",
        })
    }
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            takt_ort: named("TAKT_ORT"),
            ort_dylib_path: named("ORT_DYLIB_PATH"),
            binary_dir: env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned)),
            loader_dirs: loader_dirs(),
            python_prefixes: python_prefixes(),
        }
    }

    /// All libraries found, best first: what a variable names; else beside this program, in the system's folders, in Python
    /// packages. A named one is the only candidate.
    ///
    /// # Errors
    /// A variable names something that is not there.
    pub fn look(&self) -> Result<Vec<Candidate>, NamedMissing> {
        let named = [(Source::TaktOrt, &self.takt_ort), (Source::OrtDylibPath, &self.ort_dylib_path)];
        if let Some((origin, path)) = named.into_iter().find_map(|(origin, path)| Some((origin, path.as_ref()?))) {
            let file = if path.is_dir() {
                libraries_in(path).into_iter().next()
            } else {
                path.is_file().then(|| path.clone())
            };
            let file = file.ok_or_else(|| NamedMissing { origin, path: path.clone() })?;
            return Ok(vec![candidate(origin, file)]);
        }
        let mut found: Vec<Candidate> = Vec::new();
        for (source, dir) in self.places() {
            for path in libraries_in(&dir) {
                if !found.iter().any(|known| same_file(&known.path, &path)) {
                    found.push(candidate(source, path));
                }
            }
        }
        Ok(found)
    }

    /// The folders that [`Surroundings::look`] searches, in order; for telling people where nothing was.
    #[must_use]
    pub fn places(&self) -> Vec<(Source, PathBuf)> {
        let beside = self.binary_dir.iter().flat_map(|dir| [dir.clone(), dir.join("lib"), dir.join("../lib")]);
        let python = self.python_prefixes.iter().flat_map(|prefix| package_dirs(prefix));
        let places = beside.map(|dir| (Source::BesideBinary, dir));
        let places = places.chain(self.loader_dirs.iter().map(|dir| (Source::System, dir.clone())));
        places.chain(python.map(|dir| (Source::Python, dir))).collect()
    }
}

fn candidate(source: Source, path: PathBuf) -> Candidate {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit()).trim_end_matches(|c: char| !c.is_ascii_digit());
    let named_version = digits.contains('.').then(|| digits.to_owned());
    Candidate { source, path, named_version }
}

/// The libraries of a folder, newest version first, each file once though links may give it several names.
fn libraries_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = entries.filter(|path| is_library(path) && path.is_file()).collect::<Vec<_>>();
    found.sort_by_key(|path| std::cmp::Reverse(version_order(path)));
    found.dedup_by(|next, kept| same_file(next, kept));
    found
}

fn is_library(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if cfg!(target_os = "windows") {
        name == "onnxruntime.dll"
    } else if cfg!(target_os = "macos") {
        name == "libonnxruntime.dylib" || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
    } else {
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
    }
}

fn version_order(path: &Path) -> Vec<u64> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('.').filter_map(|part| part.parse().ok()).collect()
}

fn same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn loader_dirs() -> Vec<PathBuf> {
    let variable = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
    let named = env::var_os(variable).map(|dirs| env::split_paths(&dirs).collect::<Vec<_>>()).unwrap_or_default();
    let configured = fs::read_dir("/etc/ld.so.conf.d").into_iter().flatten().flatten();
    let configured = configured.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let configured = configured
        .flat_map(|text| text.lines().filter(|line| line.starts_with('/')).map(PathBuf::from).collect::<Vec<_>>());
    let multiarch = format!("{}-linux-gnu", env::consts::ARCH);
    let usual = ["/usr/local/lib", "/usr/local/lib64", "/lib", "/usr/lib", "/lib64", "/usr/lib64"].map(PathBuf::from);
    let of_arch = ["/usr/local/lib", "/lib", "/usr/lib"].map(|dir| Path::new(dir).join(&multiarch));
    named.into_iter().chain(configured).chain(of_arch).chain(usual).filter(|dir| !dir.as_os_str().is_empty()).collect()
}

/// Prefixes of every Python that could be meant: an active environment's, those of the `python3` on the path, the user's.
fn python_prefixes() -> Vec<PathBuf> {
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(env::var_os).map(PathBuf::from);
    let path = env::var_os("PATH").map(|dirs| env::split_paths(&dirs).collect::<Vec<_>>()).unwrap_or_default();
    let on_path = path.into_iter().filter(|dir| dir.join("python3").exists() || dir.join("python").exists());
    let on_path = on_path.filter_map(|dir| dir.parent().map(Path::to_owned));
    let user = env::var_os("HOME").map(|home| Path::new(&home).join(".local"));
    let usual = ["/usr/local", "/usr"].map(PathBuf::from);
    let mut seen = BTreeSet::new();
    active.chain(on_path).chain(user).chain(usual).filter(|prefix| seen.insert(prefix.clone())).collect()
}

fn package_dirs(prefix: &Path) -> Vec<PathBuf> {
    let is_python = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("python3");
    let mut versions = Vec::new();
    for lib in ["lib", "lib64"] {
        versions.extend(
            fs::read_dir(prefix.join(lib)).into_iter().flatten().flatten().filter(is_python).map(|entry| entry.path()),
        );
    }
    versions.sort_by_key(|path| std::cmp::Reverse(version_order(path)));
    let packages =
        |dir: PathBuf| ["site-packages", "dist-packages"].map(|kind| dir.join(kind).join("onnxruntime/capi"));
    versions.into_iter().flat_map(packages).filter(|dir| dir.is_dir()).collect()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn touch(dir: &Path, file: &str) -> PathBuf {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    }

    #[test]
    fn places_are_searched_in_order_and_newest_first() {
        let root = tempfile::tempdir().unwrap();
        let python = touch(root.path(), "py/lib/python3.12/site-packages/onnxruntime/capi/libonnxruntime.so.1.31.1");
        let old = touch(root.path(), "lib/libonnxruntime.so.1.9.0");
        let new = touch(root.path(), "lib/libonnxruntime.so.1.18.0");
        touch(root.path(), "lib/libonnxruntime_providers_shared.so");
        let beside = touch(root.path(), "bin/libonnxruntime.so");
        let around = Surroundings {
            binary_dir: Some(root.path().join("bin")),
            loader_dirs: vec![root.path().join("lib"), root.path().join("none")],
            python_prefixes: vec![root.path().join("py")],
            ..Surroundings::default()
        };
        let found = around.look().unwrap();
        let expected = [
            (Source::BesideBinary, &beside, None),
            (Source::BesideBinary, &new, Some("1.18.0")),
            (Source::BesideBinary, &old, Some("1.9.0")),
            (Source::Python, &python, Some("1.31.1")),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, (source, path, version)) in found.iter().zip(expected) {
            assert_eq!((found.source, found.named_version.as_deref()), (source, version));
            assert!(same_file(&found.path, path), "{found:?}");
        }
    }

    #[test]
    fn a_link_to_the_same_file_is_one_candidate() {
        let root = tempfile::tempdir().unwrap();
        let real = touch(root.path(), "libonnxruntime.so.1.20.0");
        std::os::unix::fs::symlink(&real, root.path().join("libonnxruntime.so")).unwrap();
        let around = Surroundings { loader_dirs: vec![root.path().to_owned()], ..Surroundings::default() };
        assert_eq!(around.look().unwrap().len(), 1);
    }

    #[test]
    fn a_named_library_is_the_only_candidate_and_must_be_there() {
        let root = tempfile::tempdir().unwrap();
        let named = touch(root.path(), "named/libonnxruntime.so.1.22.0");
        touch(root.path(), "lib/libonnxruntime.so");
        let mut around = Surroundings {
            ort_dylib_path: Some(named.clone()),
            loader_dirs: vec![root.path().join("lib")],
            ..Surroundings::default()
        };
        assert_eq!(around.look().unwrap(), [candidate(Source::OrtDylibPath, named.clone())]);
        around.takt_ort = Some(root.path().join("named"));
        assert_eq!(around.look().unwrap(), [candidate(Source::TaktOrt, named)]);
        around.takt_ort = Some(root.path().join("gone.so"));
        let error = around.look().unwrap_err();
        assert!(error.to_string().starts_with("TAKT_ORT is '"), "{error}");
        assert!(error.to_string().ends_with("correct it or unset it"), "{error}");
    }
}
