//! What is known of a captured image.

use serde::{Deserialize, Serialize};
use takt_artifact::fault::{Document, Fault};
use takt_artifact::manifest::FileDigest;

use super::Reason;
use crate::events::{Outcome, UnixMillis};

/// The file beside an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Captured {
    /// Always 1.
    pub(super) schema: u32,
    /// Why it was kept.
    pub reason: Reason,
    /// When.
    pub at: UnixMillis,
    /// The image.
    pub image: ImageFile,
    /// What the model said of it.
    pub outcome: Outcome,
}

/// An image of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageFile {
    /// Its name in the store's folder.
    pub file: String,
    /// sha256 of its bytes, which also names it.
    pub sha256: String,
    /// How many there are.
    pub bytes: u64,
}

impl Captured {
    pub(super) fn new(image: &[u8], outcome: Outcome, reason: Reason, at: UnixMillis) -> Self {
        let FileDigest { sha256, bytes } = FileDigest::of_bytes(image);
        let file = format!("{sha256}.{}", ending(image));
        Self { schema: Self::SCHEMA, reason, at, image: ImageFile { file, sha256, bytes }, outcome }
    }
}

/// The file name of what is known of an image.
pub(super) fn sidecar(sha256: &str) -> String {
    format!("{sha256}.json")
}

/// By the first bytes, as the client may not have said what it sent.
fn ending(image: &[u8]) -> &'static str {
    let kinds: [(&[u8], &str); 3] = [(b"\xff\xd8\xff", "jpg"), (b"\x89PNG", "png"), (b"BM", "bmp")];
    kinds.into_iter().find(|(magic, _)| image.starts_with(magic)).map_or("bin", |(_, ending)| ending)
}

impl Document for Captured {
    const NAME: &'static str = "captured image";
    const SCHEMA: u32 = 1;

    fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<_> = self.outcome.faults().into_iter().map(|fault| fault.under("outcome")).collect();
        let ImageFile { file, sha256, .. } = &self.image;
        let hex = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let named = ["jpg", "png", "bmp", "bin"].iter().any(|ending| *file == format!("{sha256}.{ending}"));
        // The name becomes a path.
        if !hex || !named {
            let expected = "the sha256 of 64 hexadecimal digits with jpg, png, bmp or bin";
            faults.push(Fault::new("image.file", format!("'{file}'"), expected, "remove the image and this file"));
        }
        faults
    }
}
