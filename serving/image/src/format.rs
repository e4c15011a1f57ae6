//! Which format an image is in, by its first bytes.

use std::fmt;

/// Image formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// ITU-T T.81, JFIF or EXIF.
    Jpeg,
    /// ISO/IEC 15948.
    Png,
    /// Windows or OS/2 bitmap.
    Bmp,
}

impl Format {
    /// Every format, for messages.
    pub const ALL: [Self; 3] = [Self::Jpeg, Self::Png, Self::Bmp];

    /// Short upper-case name, such as `"JPEG"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Bmp => "BMP",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The format that the first bytes announce, or `None`. Looks at no more than eight bytes and says nothing about
/// whether the rest is valid.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Some(Format::Png),
        [b'B', b'M', ..] => Some(Format::Bmp),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        assert_eq!(sniff(b"\xFF\xD8\xFF\xE0"), Some(Format::Jpeg));
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\n"), Some(Format::Png));
        assert_eq!(sniff(b"BM"), Some(Format::Bmp));
    }

    #[test]
    fn anything_else_is_no_format() {
        for bytes in [&b""[..], b"\xFF\xD8", b"GIF89a", b"RIFF....WEBP", b"\x89PNG", b"II*\0"] {
            assert_eq!(sniff(bytes), None, "{bytes:?}");
        }
    }
}
