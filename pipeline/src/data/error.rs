//! What can be wrong with a folder of images and labels, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::corrupt::CorruptError;
use super::layout::Layout;
use super::split::Split;

/// Most faults that one message lists; the rest is counted.
const LISTED: usize = 12;

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path is no folder.
    #[error("{} is not a folder; give the folder that holds the images and their labels", path.display())]
    NotAFolder {
        /// What was given.
        path: PathBuf,
    },
    /// The folder looks like none of the layouts.
    #[error(
        "{} has no layout that is known ({found}); expected one of:\n{}\nput a labels.csv there, or say which layout it is",
        path.display(),
        Layout::DESCRIPTIONS
    )]
    UnknownLayout {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// A layout was asked for that the folder does not have.
    #[error("{} is not laid out as {layout}: {missing}; see which folder it is, or leave the layout to be detected", path.display())]
    OtherLayout {
        /// The folder.
        path: PathBuf,
        /// The layout.
        layout: Layout,
        /// What it lacks.
        missing: String,
    },
    /// Labels as Parquet, which this build does not read.
    #[error(
        "{} is a Parquet file, which needs a build with `--features tables`; build that, or save the labels as labels.csv",
        path.display()
    )]
    Parquet {
        /// The file.
        path: PathBuf,
    },
    /// Two label files, of which one is out of date sooner or later.
    #[error("{} has labels.csv and labels.parquet; remove the one that is out of date", folder.display())]
    TwoLabelFiles {
        /// The folder.
        folder: PathBuf,
    },
    /// A table that cannot be read.
    #[cfg(feature = "tables")]
    #[error(transparent)]
    Table(#[from] takt_tables::TableError),
    /// A prediction log that gives no table.
    #[cfg(feature = "tables")]
    #[error(transparent)]
    Outcomes(#[from] crate::outcomes::OutcomesError),
    /// A CSV file in another encoding.
    #[error(
        "{}: line {line} is not UTF-8; save the file as UTF-8 (spreadsheet programs call it CSV UTF-8)",
        path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first such line, counted from 1.
        line: usize,
    },
    /// The label file's header lacks what it needs.
    #[error(
        "{}: the header has {found}, expected the columns file and label, and perhaps split and others; add {missing}",
        path.display()
    )]
    Header {
        /// The label file.
        path: PathBuf,
        /// The columns there are.
        found: String,
        /// The columns that are missing.
        missing: String,
    },
    /// Rows or files that cannot be used; all of them.
    #[error("{}: {faults}", path.display())]
    Faults {
        /// The label file or folder.
        path: PathBuf,
        /// What is wrong.
        faults: Faults,
    },
    /// There is nothing to use.
    #[error("{} lists no image; expected JPEG, PNG or BMP files", path.display())]
    NoImages {
        /// The label file or folder.
        path: PathBuf,
    },
    /// A split lacks a class.
    #[error(
        "{split} has no image of {}; label some, leave the class out, or divide the data anew so that every split has one",
        quoted(classes)
    )]
    EmptyClass {
        /// The split.
        split: Split,
        /// The classes it lacks.
        classes: Vec<String>,
    },
    /// A split is empty.
    #[error("no image is marked {split} ({found}); mark some in the split column, or let Takt divide the data")]
    EmptySplit {
        /// The split.
        split: Split,
        /// The splits there are.
        found: String,
    },
    /// The data cannot be divided as asked.
    #[error("cannot divide the data: {reason}")]
    Partition {
        /// What was found, expected, and what to do.
        reason: String,
    },
    /// A file that cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An image that cannot be decoded.
    #[error("{}: {source}; replace the file or remove its row", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        source: takt_image::ImageError,
    },
    /// A preprocessing that cannot be carried out.
    #[error(transparent)]
    Preprocess(#[from] takt_image::SpecError),
    /// An augmentation that cannot be carried out.
    #[error("augmentation: {reason}")]
    Augment {
        /// Setting, what was found, what was expected.
        reason: String,
    },
    /// A corruption that cannot be carried out.
    #[error(transparent)]
    Corrupt(#[from] CorruptError),
    /// A sample that is not there was asked for. A fault of the caller.
    #[error("sample {index} was asked for, expected an index below {samples}")]
    NoSample {
        /// What was asked for.
        index: usize,
        /// Number of samples.
        samples: usize,
    },
    /// A thread that decodes images could not be started, or ended without a word.
    #[error("a thread that decodes images {what}; give fewer threads, or report it with the log")]
    Thread {
        /// What it did.
        what: String,
    },
}

/// Everything that is wrong in one place, a sentence each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<&str> = self.0.iter().take(LISTED).map(String::as_str).collect();
        f.write_str(&shown.join("\n  "))?;
        match self.0.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl DataError {
    /// Stable label of the kind of error.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotAFolder { .. } => "not_a_folder",
            Self::UnknownLayout { .. } => "unknown_layout",
            Self::OtherLayout { .. } => "other_layout",
            Self::Parquet { .. } => "parquet",
            Self::TwoLabelFiles { .. } => "two_label_files",
            #[cfg(feature = "tables")]
            Self::Table(error) => error.kind(),
            #[cfg(feature = "tables")]
            Self::Outcomes(error) => error.kind(),
            Self::NotUtf8 { .. } => "not_utf8",
            Self::Header { .. } => "header",
            Self::Faults { .. } => "faults",
            Self::NoImages { .. } => "no_images",
            Self::EmptyClass { .. } => "empty_class",
            Self::EmptySplit { .. } => "empty_split",
            Self::Partition { .. } => "partition",
            Self::Write { .. } => "write",
            Self::Io { .. } => "io",
            Self::Image { .. } => "image",
            Self::Preprocess(_) => "preprocess",
            Self::Augment { .. } => "augment",
            Self::Corrupt(_) => "corrupt",
            Self::NoSample { .. } => "no_sample",
            Self::Thread { .. } => "thread",
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// `'a', 'b' and 'c'`
pub(crate) fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{}'", name.as_ref())).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_faults_are_counted_not_listed() {
        let faults = Faults((0..20).map(|i| format!("fault {i}")).collect());
        let text = faults.to_string();
        assert!(text.contains("fault 11") && !text.contains("fault 12") && text.ends_with("and 8 more"), "{text}");
    }

    #[test]
    fn names_are_quoted_and_joined() {
        assert_eq!(quoted::<&str>(&[]), "nothing");
        assert_eq!(quoted(&["a"]), "'a'");
        assert_eq!(quoted(&["a", "b", "c"]), "'a', 'b' and 'c'");
    }
}
