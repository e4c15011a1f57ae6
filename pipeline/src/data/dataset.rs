//! Labelled images, wherever they come from.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::DataError;
use super::layout::Layout;
use super::split::Split;

/// Labelled images below one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The folder that the samples' paths begin from.
    pub root: PathBuf,
    /// How the folder is laid out.
    pub layout: Layout,
    /// Names of the classes, by label index.
    pub classes: Vec<String>,
    /// Names of the metadata columns, such as `station`.
    pub columns: Vec<String>,
    /// The images, in the order of the label file or of their paths.
    pub samples: Vec<Sample>,
}

/// One labelled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Path from the data set's folder; absolute where the label file has it so.
    pub path: PathBuf,
    /// Index into [`Dataset::classes`].
    pub label: usize,
    /// The part of the data it belongs to, where that is known.
    pub split: Option<Split>,
    /// One value per column of [`Dataset::columns`]; empty where there is none.
    pub metadata: Vec<String>,
}

/// What to make of a folder where it does not say so itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The layout; detected where not given.
    pub layout: Option<Layout>,
    /// The classes in the order of their indices, such as a model's labels; all that occur, sorted, where not given.
    pub classes: Option<Vec<String>>,
}

impl Dataset {
    /// Finds the images below `root` with their labels. Reads no image.
    ///
    /// # Errors
    /// A folder without a known layout, a label file with faults (all of them at once), or a path that cannot be read.
    pub fn open(root: &Path, options: &LoadOptions) -> Result<Self, DataError> {
        super::load::open(root, options)
    }

    /// Where the sample's file is.
    #[must_use]
    pub fn path(&self, sample: &Sample) -> PathBuf {
        self.root.join(&sample.path)
    }

    /// Indices of the samples of one split.
    ///
    /// # Errors
    /// The split has none.
    pub fn indices(&self, split: Split) -> Result<Vec<usize>, DataError> {
        let samples = self.samples.iter().enumerate();
        let indices: Vec<usize> = samples.filter(|(_, s)| s.split == Some(split)).map(|(index, _)| index).collect();
        if indices.is_empty() {
            let splits: BTreeSet<&str> =
                self.samples.iter().map(|s| s.split.map_or("no split at all", Split::name)).collect();
            let found = splits.into_iter().collect::<Vec<_>>().join(", ");
            return Err(DataError::EmptySplit { split, found: format!("there is {found}") });
        }
        Ok(indices)
    }

    /// Number of images per class among those of a split, or all of them.
    #[must_use]
    pub fn counts(&self, split: Option<Split>) -> Vec<u64> {
        let mut counts = vec![0; self.classes.len()];
        for sample in self.samples.iter().filter(|sample| split.is_none() || sample.split == split) {
            if let Some(count) = counts.get_mut(sample.label) {
                *count += 1;
            }
        }
        counts
    }

    /// Checks that a split has every class: without one, it can neither be learnt nor measured.
    ///
    /// # Errors
    /// The classes that are missing.
    pub fn require_every_class(&self, split: Split) -> Result<(), DataError> {
        let counts = self.counts(Some(split));
        let missing = self.classes.iter().zip(counts).filter(|(_, count)| *count == 0);
        let classes: Vec<String> = missing.map(|(class, _)| class.clone()).collect();
        if classes.is_empty() { Ok(()) } else { Err(DataError::EmptyClass { split, classes }) }
    }

    /// Index of a metadata column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// sha256 (lower-case hex) of classes, labels, splits and the bytes of every image: what a model's lineage names as
    /// its data. Metadata is left out, it reaches no weight.
    ///
    /// # Errors
    /// An image that cannot be read.
    pub fn digest(&self) -> Result<String, DataError> {
        let mut all = Sha256::new();
        for class in &self.classes {
            all.update(class);
            all.update([0]);
        }
        for sample in &self.samples {
            let path = self.path(sample);
            let mut bytes = Sha256::new();
            File::open(&path).and_then(|mut file| io::copy(&mut file, &mut bytes)).map_err(DataError::io(&path))?;
            all.update(bytes.finalize());
            all.update((sample.label as u64).to_le_bytes());
            all.update([sample.split.map_or(255, |split| split.stream() as u8)]);
        }
        Ok(all.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
