//! The committed reference images.

#![allow(dead_code, reason = "each test target uses some of these")]

use std::path::PathBuf;

use takt_artifact::Preprocess;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/image"))
}

/// A file beside `make.py`.
pub fn data(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// One reference image.
pub fn read(name: &str) -> Vec<u8> {
    data(&format!("images/{name}"))
}

/// All of them, with their names, in order.
pub fn all_images() -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<String> = std::fs::read_dir(folder().join("images"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

pub fn spec(json: &str) -> Preprocess {
    serde_json::from_str(json).unwrap()
}
