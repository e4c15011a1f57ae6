//! What can be told of image files without a model: whether they can be decoded, how large they are, how they look, and
//! which are the same.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use takt_artifact::Preprocess;
use takt_artifact::preprocess::{Color, Filter, Layout, Resize};
use takt_image::{ImageStatistics, Limits, Preprocessor, Scratch, SpecError};

use crate::cores;
use crate::progress::Progress;

/// Side of the picture that figures are taken from: sharpness and noise depend on it.
const SIDE: u32 = 256;

/// What was found out about a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageFacts {
    /// Bytes of the file.
    pub bytes: Option<u64>,
    /// sha256 of its bytes, in hex.
    pub sha256: Option<String>,
    /// Width in pixels, where it can be decoded.
    pub width: Option<u32>,
    /// Height in pixels, where it can be decoded.
    pub height: Option<u32>,
    /// How it looks at 256 by 256 pixels, where it can be decoded.
    pub statistics: Option<ImageStatistics>,
    /// Why it cannot be read or decoded.
    pub error: Option<String>,
}

/// Reads and decodes the files, in their order; nothing where `stop` was set meanwhile. What is wrong with a file is among
/// its facts.
///
/// # Errors
/// None in practice: a fault of the preprocessing that is fixed here.
pub fn inspect(
    files: &[PathBuf],
    threads: NonZeroUsize,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<Vec<ImageFacts>>, SpecError> {
    let preprocessor = Preprocessor::new(&spec(), Limits::default())?;
    progress.begin(files.len() as u64);
    let state = || (Scratch::new(), Vec::new());
    let stopped = || stop.load(Ordering::Relaxed);
    let facts = cores::each(files.len(), threads, state, stopped, |(scratch, luma), index| {
        let facts = files.get(index).map(|file| of_file(file, &preprocessor, scratch, luma));
        progress.advance();
        facts.unwrap_or_default()
    });
    Ok((facts.len() == files.len()).then_some(facts))
}

fn of_file(file: &Path, preprocessor: &Preprocessor, scratch: &mut Scratch, luma: &mut Vec<u8>) -> ImageFacts {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return ImageFacts { error: Some(format!("cannot be read: {error}")), ..ImageFacts::default() },
    };
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let facts = ImageFacts { bytes: Some(bytes.len() as u64), sha256: Some(sha256), ..ImageFacts::default() };
    match preprocessor.decode(&bytes, scratch) {
        Ok((info, pixels)) => {
            let statistics = ImageStatistics::of(&pixels, luma);
            ImageFacts { width: Some(info.width), height: Some(info.height), statistics, ..facts }
        }
        Err(error) => ImageFacts { error: Some(error.to_string()), ..facts },
    }
}

/// Every pixel is decoded: a file that is damaged near its end is found out too.
fn spec() -> Preprocess {
    Preprocess {
        input: String::new(),
        width: SIDE,
        height: SIDE,
        layout: Layout::Nhwc,
        color: Color::Rgb,
        resize: Resize::Stretch,
        filter: Filter::Bilinear,
        scale: 1.0,
        mean: Vec::new(),
        std: Vec::new(),
        scaled_decode: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::testing::{SIDE, TWO, stripes};

    #[test]
    fn every_file_has_its_facts_and_bad_ones_say_why() {
        let folder = tempfile::tempdir().unwrap();
        stripes(folder.path(), 2);
        let good = folder.path().join("plain/0.bmp");
        let copy = folder.path().join("copy.bmp");
        fs::copy(&good, &copy).unwrap();
        let torn = folder.path().join("torn.bmp");
        let bytes = fs::read(&good).unwrap();
        fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
        let files = [good, folder.path().join("gone.bmp"), torn, copy];
        let facts = inspect(&files, TWO, &Silent, &AtomicBool::new(false)).unwrap().unwrap();
        assert_eq!((facts[0].width, facts[0].height), (Some(SIDE as u32), Some(SIDE as u32)));
        assert!((0.4..0.48).contains(&facts[0].statistics.unwrap().brightness), "{facts:?}");
        assert_eq!(facts[0], facts[3]);
        assert!(facts[1].error.as_ref().unwrap().starts_with("cannot be read"), "{facts:?}");
        assert!(facts[1].sha256.is_none() && facts[2].sha256.is_some() && facts[2].sha256 != facts[0].sha256);
        assert!(facts[2].error.is_some() && facts[2].width.is_none(), "{facts:?}");
    }

    #[test]
    fn stopped_it_gives_nothing() {
        let stop = AtomicBool::new(true);
        assert_eq!(inspect(&[PathBuf::from("a.bmp")], TWO, &Silent, &stop).unwrap(), None);
    }
}
