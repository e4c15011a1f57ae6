//! A data set's images as the model sees them: decoded once where memory allows it, normalised each time.
//!
//! Decoding, resizing and normalising are `takt-image`'s, the code that serves: the same image gives the same tensor bit
//! by bit, in training, calibration, evaluation and on the line.

use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use takt_artifact::Preprocess;
use takt_image::{ImageStatistics, Limits, Preprocessor, Scratch};

use super::augment::{Shape, View};
use super::corrupt::Corruption;
use super::dataset::Dataset;
use super::error::{DataError, Faults};
use crate::cores;
use crate::progress::Progress;

/// The images of a data set with the preprocessing of one model. Shared by all threads.
#[derive(Debug)]
pub struct Images {
    preprocessor: Preprocessor,
    root: PathBuf,
    paths: Vec<PathBuf>,
    labels: Vec<u32>,
    /// Samples at the model's resolution, of as many images as fit.
    kept: Vec<OnceLock<Box<[u8]>>>,
    /// Bytes that may still be kept.
    room: AtomicUsize,
}

/// What is done to the pixels of one image before they are normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Variation {
    /// Nothing: as serving would see it.
    Plain,
    /// A view for training.
    View(View),
    /// Made worse, to see how a model bears it.
    Corrupted {
        /// How.
        corruption: Corruption,
        /// Start of all randomness.
        seed: u64,
    },
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub struct Buffers {
    scratch: Scratch,
    decoded: Vec<u8>,
    view: Vec<u8>,
}

impl Images {
    /// Prepares the images of `data`. At most `cache_bytes` bytes of decoded samples are kept, one per channel and pixel of
    /// the model's input; images beyond that are decoded each time.
    ///
    /// # Errors
    /// A `preprocess` that cannot be carried out; all its faults.
    pub fn new(data: &Dataset, preprocess: &Preprocess, cache_bytes: usize) -> Result<Self, DataError> {
        Ok(Self {
            preprocessor: Preprocessor::new(preprocess, Limits::default())?,
            root: data.root.clone(),
            paths: data.samples.iter().map(|sample| data.path(sample)).collect(),
            labels: data.samples.iter().map(|sample| u32::try_from(sample.label).unwrap_or(u32::MAX)).collect(),
            kept: data.samples.iter().map(|_| OnceLock::new()).collect(),
            room: AtomicUsize::new(cache_bytes),
        })
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Shape of one image's tensor: channels, height, width, or height, width, channels, as `preprocess` says.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        self.preprocessor.spec().shape()
    }

    /// Elements of one image's tensor.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.preprocessor.elements()
    }

    /// Label index of a sample.
    ///
    /// # Errors
    /// There is no such sample.
    pub fn label(&self, sample: usize) -> Result<u32, DataError> {
        self.labels.get(sample).copied().ok_or(DataError::NoSample { index: sample, samples: self.len() })
    }

    /// Writes the tensor of a sample, varied as asked, into `out`, which has [`Images::elements`] elements.
    ///
    /// # Errors
    /// A file that cannot be read or decoded.
    pub fn tensor(
        &self,
        sample: usize,
        variation: Variation,
        buffers: &mut Buffers,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let Buffers { scratch, decoded, view: varied } = buffers;
        let mut pixels = self.pixels(sample, scratch, decoded)?;
        match variation {
            Variation::Plain => {}
            Variation::View(view) => {
                view.apply(pixels, self.pixel_shape(), varied);
                pixels = varied;
            }
            Variation::Corrupted { corruption, seed } => {
                corruption.apply(pixels, self.pixel_shape(), seed, sample, varied)?;
                pixels = varied;
            }
        }
        self.preprocessor.normalise(pixels, out).map_err(|source| self.unreadable(sample, source))
    }

    /// Figures of a sample's image, as serving takes them.
    ///
    /// # Errors
    /// A file that cannot be read or decoded.
    pub fn statistics(&self, sample: usize, buffers: &mut Buffers) -> Result<Option<ImageStatistics>, DataError> {
        let pixels = self.pixels(sample, &mut buffers.scratch, &mut buffers.decoded)?;
        Ok(self.preprocessor.statistics(pixels, &mut buffers.view))
    }

    /// Reads and decodes every image once, keeping what fits, so that a bad file is found before an hour of training.
    ///
    /// # Errors
    /// All images that cannot be read or decoded.
    pub fn read_all(&self, threads: NonZeroUsize, progress: &dyn Progress) -> Result<(), DataError> {
        progress.begin(self.len() as u64);
        let faults = cores::each(
            self.len(),
            threads,
            Buffers::default,
            || false,
            |buffers, sample| {
                let read = self.pixels(sample, &mut buffers.scratch, &mut buffers.decoded);
                progress.advance();
                read.err().map(|error| self.told(&error))
            },
        );
        let faults: Vec<String> = faults.into_iter().flatten().collect();
        if faults.is_empty() {
            return Ok(());
        }
        Err(DataError::Faults { path: self.root.clone(), faults: Faults(faults) })
    }

    /// Interleaved samples at the model's resolution.
    fn pixels<'a>(
        &'a self,
        sample: usize,
        scratch: &'a mut Scratch,
        decoded: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], DataError> {
        let none = DataError::NoSample { index: sample, samples: self.len() };
        let (Some(slot), Some(path)) = (self.kept.get(sample), self.paths.get(sample)) else { return Err(none) };
        if let Some(kept) = slot.get() {
            return Ok(kept);
        }
        let bytes = fs::read(path).map_err(DataError::io(path))?;
        let (_, pixels) =
            self.preprocessor.decode(&bytes, scratch).map_err(|source| self.unreadable(sample, source))?;
        let wanted = pixels.data.len();
        let reserved = self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(wanted));
        if reserved.is_ok() {
            if slot.set(pixels.data.into()).is_err() {
                // Another thread was first; its pixels are the same.
                self.room.fetch_add(wanted, Ordering::Relaxed);
            }
            if let Some(kept) = slot.get() {
                return Ok(kept);
            }
        }
        decoded.clear();
        decoded.extend_from_slice(scratch.pixels());
        Ok(decoded)
    }

    fn pixel_shape(&self) -> Shape {
        let spec = self.preprocessor.spec();
        Shape { width: spec.width as usize, height: spec.height as usize, channels: spec.color.channels() }
    }

    fn unreadable(&self, sample: usize, source: takt_image::ImageError) -> DataError {
        DataError::Image { path: self.paths.get(sample).cloned().unwrap_or_default(), source }
    }

    /// The error with its cause, in one line.
    fn told(&self, error: &DataError) -> String {
        match error {
            DataError::Io { path, source } => format!("{}: cannot be read ({source})", path.display()),
            other => other.to_string(),
        }
    }
}
