//! The ways in which folders of labelled images are laid out.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::load::entries::{Entries, entries};
use super::split::Split;

/// Files that hold a row per image, in the order in which they are looked for.
pub(crate) const LABEL_FILES: [&str; 2] = ["labels.csv", "labels.parquet"];

/// How a folder of labelled images is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `labels.csv` or `labels.parquet` with the columns file and label, perhaps split, and any metadata.
    Labels,
    /// A folder per class, perhaps below folders named train, validation and test.
    ImageFolder,
    /// MVTec AD (Bergmann et al., CVPR 2019): `train/good`, `test/<defect>`, `ground_truth/<defect>`, perhaps below a
    /// folder per category.
    MvtecAd,
    /// DAGM 2007: `Class<n>/Train` and `Class<n>/Test`, each with `Label/Labels.txt`.
    Dagm2007,
}

impl Layout {
    /// Every layout, in the order in which a folder is tried.
    pub const ALL: [Self; 4] = [Self::Labels, Self::Dagm2007, Self::MvtecAd, Self::ImageFolder];

    pub(super) const DESCRIPTIONS: &'static str = concat!(
        "  labels        labels.csv or .parquet with the columns file,label and perhaps split, station, ...\n",
        "  image-folder  a folder of images per class, perhaps below train, validation and test\n",
        "  mvtec-ad      train/good, test/<defect>, ground_truth/<defect>\n",
        "  dagm2007      Class1/Train/Label/Labels.txt and so on",
    );

    /// Name as in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::ImageFolder => "image-folder",
            Self::MvtecAd => "mvtec-ad",
            Self::Dagm2007 => "dagm2007",
        }
    }

    /// The layout of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| layout.name() == name)
    }

    /// Looks which layout a folder has.
    ///
    /// # Errors
    /// None that is known, or labels in a format that this build does not read.
    pub fn detect(root: &Path) -> Result<Self, DataError> {
        let Entries { folders, files } = entries(root)?;
        let has = |name: &str| files.iter().any(|file| file == name);
        let readable = if cfg!(feature = "tables") { &LABEL_FILES[..] } else { &LABEL_FILES[..1] };
        if readable.iter().any(|name| has(name)) {
            return Ok(Self::Labels);
        }
        let parquet = files.iter().find(|file| file.ends_with(".parquet"));
        if let Some(file) = parquet.filter(|_| cfg!(not(feature = "tables"))) {
            return Err(DataError::Parquet { path: root.join(file) });
        }
        if is_dagm(root) || folders.iter().any(|folder| is_dagm(&root.join(folder))) {
            return Ok(Self::Dagm2007);
        }
        if is_mvtec(root) || folders.iter().any(|folder| is_mvtec(&root.join(folder))) {
            return Ok(Self::MvtecAd);
        }
        // Class folders hold images, or the folders of splits hold class folders.
        let has_images = |folder: &Path| entries(folder).is_ok_and(|inside| inside.images().next().is_some());
        let classes_in = |folder: &Path| {
            entries(folder).is_ok_and(|inside| inside.folders.iter().any(|name| has_images(&folder.join(name))))
        };
        let split_folders = folders.iter().any(|name| Split::parse(name).is_some() && classes_in(&root.join(name)));
        if split_folders || classes_in(root) {
            return Ok(Self::ImageFolder);
        }
        let found = match (folders.len(), files.len()) {
            (0, 0) => "it is empty".to_owned(),
            (0, n) => format!("{n} files, such as {}, and no folder", files[0]),
            (n, 0) => format!("{n} folders, such as {}, without images of a class", folders[0]),
            (n, m) => format!("{n} folders, such as {}, and {m} files, such as {}", folders[0], files[0]),
        };
        Err(DataError::UnknownLayout { path: root.to_owned(), found })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether this is one class of DAGM 2007.
pub(super) fn is_dagm(folder: &Path) -> bool {
    ["Train", "Test"].iter().any(|part| folder.join(part).join("Label/Labels.txt").is_file())
}

/// Whether this is one category of MVTec AD.
pub(super) fn is_mvtec(folder: &Path) -> bool {
    folder.join("train/good").is_dir() && folder.join("test").is_dir()
}
