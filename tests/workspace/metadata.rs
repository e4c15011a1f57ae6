//! `cargo metadata`, as far as the tests need it.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

/// The dependency tree: every package for every platform and feature.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    /// Where it comes from; nowhere if it is ours.
    pub source: Option<String>,
    pub manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
}

/// A dependency of any kind, as a manifest declares it.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub name: String,
    pub req: String,
    pub source: Option<String>,
}

impl Metadata {
    /// Asks cargo, with the lock file as it is.
    pub fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--all-features", "--locked"])
            .current_dir(root())
            .output()
            .expect("cargo can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata failed: {said}");
        serde_json::from_slice(&output.stdout).expect("cargo metadata gives JSON of format version 1")
    }

    /// The packages of this repository.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

impl Package {
    /// Its folder, from the repository's root; empty for the root package.
    pub fn folder(&self) -> String {
        let folder = self.manifest_path.parent().expect("a manifest lies in a folder");
        folder.strip_prefix(root()).expect("members lie below the root").display().to_string()
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
