//! sha256 of files and of versions.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::manifest::FileDigest;
use crate::names::is_sha256;

/// Which version it is: the sha256 of the exact bytes of its manifest, or of a listing of its ONNX files where it has
/// none (see [`crate::version`]). Displays as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionDigest([u8; 32]);

/// Text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found '{found}', expected a sha256 of 64 lower-case hexadecimal digits")]
pub struct BadDigest {
    /// The text that was given.
    pub found: String,
}

impl VersionDigest {
    /// The digest of a version with this manifest.
    #[must_use]
    pub fn of_manifest(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first 12 digits: enough for people and log lines, never for comparing.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for VersionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for VersionDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionDigest({self})")
    }
}

impl FromStr for VersionDigest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest { found: text.to_owned() };
        if !is_sha256(text) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for VersionDigest {
    type Error = BadDigest;

    fn try_from(text: String) -> Result<Self, BadDigest> {
        text.parse()
    }
}

impl From<VersionDigest> for String {
    fn from(digest: VersionDigest) -> Self {
        digest.to_string()
    }
}

impl FileDigest {
    /// Size and digest of these bytes.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self { sha256: hex(&Sha256::digest(bytes)), bytes: bytes.len() as u64 }
    }

    /// Size and digest of what `reader` gives, 64 KiB at a time.
    ///
    /// # Errors
    /// What reading gives.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut bytes = 0;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    hasher.update(&buffer[..n]);
                    bytes += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { sha256: hex(&hasher.finalize()), bytes })
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 example: the sha256 of "abc".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_sha256_and_survive_text() {
        let digest = VersionDigest::of_manifest(b"abc");
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(digest.short(), "ba7816bf8f01");
        assert_eq!(ABC.parse::<VersionDigest>(), Ok(digest));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{ABC}\""));
    }

    #[test]
    fn other_text_is_refused_with_what_was_found() {
        for bad in ["", "abc", &ABC.to_uppercase(), &format!("{}é", &ABC[..62])] {
            let error = bad.parse::<VersionDigest>().unwrap_err();
            assert_eq!(error.found, *bad);
        }
    }

    #[test]
    fn a_stream_has_the_digest_of_its_bytes() {
        let bytes = vec![7; 200_001];
        let streamed = FileDigest::of_reader(&bytes[..]).unwrap();
        assert_eq!(streamed, FileDigest::of_bytes(&bytes));
        assert_eq!(streamed.bytes, 200_001);
        assert_eq!(FileDigest::of_bytes(b"abc").sha256, ABC);
    }
}
