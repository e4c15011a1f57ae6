//! Files that are too large, cut off, damaged or not images at all: an error for that image, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{all_images, read, spec};
use proptest::prelude::*;
use takt_image::{ImageError, ImageInfo, Limits, Preprocessor, Scratch};

fn run(bytes: &[u8], limits: Limits) -> Result<ImageInfo, ImageError> {
    let spec = spec(r#"{"input":"x","width":16,"height":16}"#);
    let preprocessor = Preprocessor::new(&spec, limits).unwrap();
    let mut out = vec![0.0_f32; preprocessor.elements()];
    preprocessor.preprocess(bytes, &mut out, &mut Scratch::new())
}

fn kind(bytes: &[u8]) -> &'static str {
    run(bytes, Limits::default()).unwrap_err().kind()
}

/// A PNG's header chunk with a size that its data cannot have; the checksum is right.
fn png_announcing(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = read("rgb.png");
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = bytes[12..29].iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 })
    });
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

fn jpeg_announcing(name: &str, width: u16, height: u16) -> Vec<u8> {
    let mut bytes = read(name);
    let frame = bytes.windows(2).position(|w| w == [0xFF, 0xC0] || w == [0xFF, 0xC2]).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

fn bmp_announcing(width: i32, height: i32) -> Vec<u8> {
    let mut bytes = read("24bit.bmp");
    bytes[18..22].copy_from_slice(&width.to_le_bytes());
    bytes[22..26].copy_from_slice(&height.to_le_bytes());
    bytes
}

#[test]
fn what_is_no_image_says_what_was_found() {
    assert_eq!(kind(b""), "empty");
    assert_eq!(kind(b"GIF89a"), "unknown_format");
    let error = run(b"{\"a\"", Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "unknown image format: the first bytes are [7b 22 61 22]; expected JPEG, PNG or BMP");
}

#[test]
fn a_decompression_bomb_is_refused_by_its_header() {
    for bomb in [
        png_announcing(30_000, 30_000),
        png_announcing(u32::MAX >> 1, u32::MAX >> 1),
        png_announcing(40_000, 1),
        jpeg_announcing("420.jpg", 65_535, 65_535),
        jpeg_announcing("progressive.jpg", 65_500, 65_500),
        bmp_announcing(i32::MAX, i32::MIN),
        bmp_announcing(30_000, 30_000),
    ] {
        assert_eq!(kind(&bomb), "too_large");
    }
}

#[test]
fn each_limit_holds_by_itself() {
    let bytes = read("420.jpg"); // 157 x 121
    let limits = Limits::default();
    assert!(run(&bytes, Limits { max_pixels: 157 * 121, max_side: 157, max_encoded_bytes: bytes.len() }).is_ok());
    let kind = |limits| run(&bytes, limits).unwrap_err().kind();
    assert_eq!(kind(Limits { max_pixels: 157 * 121 - 1, ..limits }), "too_large");
    assert_eq!(kind(Limits { max_side: 156, ..limits }), "too_large");
    assert_eq!(kind(Limits { max_encoded_bytes: bytes.len() - 1, ..limits }), "encoded_too_large");
}

#[test]
fn a_size_of_zero_is_refused() {
    assert_eq!(kind(&png_announcing(0, 5)), "corrupt");
    assert_eq!(kind(&bmp_announcing(0, 5)), "corrupt");
    assert_eq!(kind(&jpeg_announcing("420.jpg", 0, 5)), "corrupt");
    assert_eq!(kind(&jpeg_announcing("420.jpg", 5, 0)), "unsupported");
}

#[test]
fn a_thin_image_cannot_blow_up_when_its_shorter_side_is_scaled() {
    let spec = spec(r#"{"input":"x","width":224,"height":224,"resize":{"mode":"shorter_side_crop","shorter":256}}"#);
    let preprocessor = Preprocessor::new(&spec, Limits { max_pixels: 1_000_000, ..Limits::default() }).unwrap();
    let mut bmp = bmp_announcing(29, 1);
    assert!(preprocessor.decode(&bmp, &mut Scratch::new()).is_err_and(|e| e.kind() == "aspect_ratio"));
    bmp[22] = 23;
    assert!(preprocessor.decode(&bmp, &mut Scratch::new()).is_ok());
}

#[test]
fn every_file_cut_off_anywhere_is_an_error() {
    for (name, bytes) in all_images() {
        // Cutting only what follows the last pixel (PNG's IEND, JPEG's end marker) may pass in PNG and BMP.
        for at in (0..bytes.len() - 16).step_by(7) {
            let result = run(&bytes[..at], Limits::default());
            assert!(result.is_err(), "{name} cut to {at} of {} bytes gave {result:?}", bytes.len());
        }
    }
}

#[test]
fn a_truncated_file_is_called_so() {
    for name in ["420.jpg", "progressive.jpg", "rgb.png", "24bit.bmp"] {
        let bytes = read(name);
        assert_eq!(kind(&bytes[..bytes.len() / 2]), "truncated", "{name}");
    }
}

#[test]
fn bytes_after_the_image_are_ignored() {
    for (name, mut bytes) in all_images() {
        bytes.extend_from_slice(b"maker's notes \xFF\xD8\xFF\xDA");
        assert!(run(&bytes, Limits::default()).is_ok(), "{name}");
    }
}

#[test]
fn the_callers_mistake_is_not_the_images() {
    let spec = spec(r#"{"input":"x","width":16,"height":16}"#);
    let preprocessor = Preprocessor::new(&spec, Limits::default()).unwrap();
    let error = preprocessor.preprocess(&read("rgb.png"), &mut [0.0_f32; 5], &mut Scratch::new()).unwrap_err();
    assert_eq!(error.kind(), "output_length");
    assert!(!error.is_bad_input());
}

#[test]
fn a_failure_leaves_nothing_for_the_next_image() {
    let spec = spec(r#"{"input":"x","width":16,"height":16}"#);
    let preprocessor = Preprocessor::new(&spec, Limits::default()).unwrap();
    let (mut fresh, mut used) = (Scratch::new(), Scratch::new());
    for (name, bytes) in all_images() {
        let _error = preprocessor.decode(&bytes[..bytes.len() / 2], &mut used).unwrap_err();
        assert!(used.pixels().is_empty());
        let again = preprocessor.decode(&bytes, &mut used).unwrap();
        assert_eq!(again, preprocessor.decode(&bytes, &mut fresh).unwrap(), "{name}");
    }
}

proptest! {
    // PROPTEST_CASES asks for more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(4_000)))]

    /// A panic would be contained and come back as `decoder_fault`; that must not happen either.
    #[test]
    fn mutated_files_never_panic(
        pick in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..12),
        head in any::<bool>(),
        side in prop::sample::select(vec![4_u32, 16, 40, 70]),
        gray in any::<bool>(),
    ) {
        let images = all_images();
        let (name, mut bytes) = pick.get(&images).clone();
        for (at, value, how) in edits {
            let range = if head { bytes.len().min(700) } else { bytes.len() };
            if range == 0 {
                break;
            }
            let at = at.index(range);
            match how {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                2 => { bytes.insert(at, value); }
                _ => { bytes.drain(at..(at + usize::from(value % 9)).min(bytes.len())); }
            }
        }
        let color = if gray { "gray" } else { "rgb" };
        let spec = spec(&format!(r#"{{"input":"x","width":{side},"height":{side},"color":"{color}"}}"#));
        let limits = Limits { max_pixels: 2_000_000, ..Limits::default() };
        let preprocessor = Preprocessor::new(&spec, limits).unwrap();
        if let Err(error) = preprocessor.decode(&bytes, &mut Scratch::new()) {
            prop_assert!(error.is_bad_input(), "{name}: {error}");
        }
    }
}
