//! Which files a path stands for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::TableError;

/// Files of one kind, sorted by their names; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Csv(Vec<PathBuf>),
    Parquet(Vec<PathBuf>),
}

/// Kinds by their endings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Parquet,
}

impl Source {
    pub(super) fn find(path: &Path) -> Result<Self, TableError> {
        if path.is_dir() {
            return Self::of_folder(path);
        }
        if !path.exists() {
            return Err(TableError::NotThere { path: path.to_owned() });
        }
        match Format::of(path) {
            Some(Format::Csv) => Ok(Self::Csv(vec![path.to_owned()])),
            Some(Format::Parquet) => Ok(Self::Parquet(vec![path.to_owned()])),
            None => {
                let ending = path.extension().map(|ending| format!("'.{}'", ending.to_string_lossy()));
                let found = ending.unwrap_or_else(|| "nothing".to_owned());
                Err(TableError::Ending { path: path.to_owned(), found })
            }
        }
    }

    fn of_folder(folder: &Path) -> Result<Self, TableError> {
        let (mut csv, mut parquet) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(TableError::io("read", folder))? {
            let file = entry.map_err(TableError::io("read", folder))?;
            let hidden = file.file_name().as_encoded_bytes().starts_with(b".");
            let file = file.path();
            match Format::of(&file).filter(|_| !hidden && file.is_file()) {
                Some(Format::Csv) => csv.push(file),
                Some(Format::Parquet) => parquet.push(file),
                None => {}
            }
        }
        csv.sort_unstable();
        parquet.sort_unstable();
        match (csv.is_empty(), parquet.is_empty()) {
            (true, true) => Err(TableError::NoFile { path: folder.to_owned() }),
            (false, true) => Ok(Self::Csv(csv)),
            (true, false) => Ok(Self::Parquet(parquet)),
            (false, false) => {
                Err(TableError::Mixed { path: folder.to_owned(), csv: csv.len(), parquet: parquet.len() })
            }
        }
    }
}

impl Format {
    fn of(file: &Path) -> Option<Self> {
        let ending = file.extension()?;
        let is = |wanted: &str| ending.eq_ignore_ascii_case(wanted);
        match (is("csv"), is("parquet")) {
            (true, _) => Some(Self::Csv),
            (_, true) => Some(Self::Parquet),
            _ => None,
        }
    }
}
