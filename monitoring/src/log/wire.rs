//! Numbers and names as bytes.
//!
//! Unsigned numbers are LEB128 (seven bits a byte, lowest first), signed ones zigzag over it, as in Protocol Buffers'
//! encoding; fixed-width ones are little-endian.

use std::collections::HashMap;

use takt_artifact::VersionDigest;

use crate::events::Name;

/// A frame whose checksum holds and whose content makes no sense: written by other code, or a defect of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadRecord(pub(crate) &'static str);

/// Appends to a payload.
pub(crate) trait Output {
    fn varint(&mut self, value: u64);
    fn signed(&mut self, value: i64);
    fn text(&mut self, text: &str);
}

impl Output for Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "seven bits are kept")]
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    #[expect(clippy::cast_sign_loss, reason = "zigzag works on the bits")]
    fn signed(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    fn text(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.extend_from_slice(text.as_bytes());
    }
}

/// What is left of a payload.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], BadRecord> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(BadRecord("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRecord> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(BadRecord("it ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, BadRecord> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, BadRecord> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(BadRecord("a number has more than 64 bits"))
    }

    #[expect(clippy::cast_possible_wrap, reason = "zigzag works on the bits")]
    pub(crate) fn signed(&mut self) -> Result<i64, BadRecord> {
        let bits = self.varint()?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    /// A number of things that follow, each of at least `bytes`: never more than there is room for.
    pub(crate) fn count(&mut self, bytes: usize) -> Result<usize, BadRecord> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        match count.checked_mul(bytes) {
            Some(needed) if needed <= self.rest.len() => Ok(count),
            _ => Err(BadRecord("it ends too early")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, BadRecord> {
        let bytes = self.count(1)?;
        std::str::from_utf8(self.take(bytes)?).map_err(|_| BadRecord("a text is not UTF-8"))
    }

    pub(crate) fn name(&mut self) -> Result<Name, BadRecord> {
        name_of(self.text()?)
    }

    pub(crate) const fn end(&self) -> Result<(), BadRecord> {
        if self.rest.is_empty() { Ok(()) } else { Err(BadRecord("it goes on after its end")) }
    }
}

/// Texts of a segment: written in full the first time, as a number after that.
///
/// As a varint: 0 a text that is not remembered, 1 one that becomes the next number, n + 2 the text with number n.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// For writing.
    numbers: HashMap<Box<str>, u64>,
    /// The last digest and its text: most records are of one version.
    digest: Option<(VersionDigest, String)>,
    /// For reading.
    texts: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    text: Box<str>,
    name: Option<Name>,
}

const ONCE: u64 = 0;
const NEXT: u64 = 1;
const FIRST: u64 = 2;

impl Texts {
    /// Texts that a segment remembers. Clients give some of them, so memory is bounded; others are written in full.
    const MOST: usize = 4096;
    /// A text above this many bytes is not remembered.
    const LONGEST: usize = 1024;

    pub(crate) fn write(&mut self, text: &str, out: &mut Vec<u8>) {
        if let Some(number) = self.numbers.get(text) {
            return out.varint(number + FIRST);
        }
        if self.numbers.len() < Self::MOST && text.len() <= Self::LONGEST {
            self.numbers.insert(text.into(), self.numbers.len() as u64);
            out.varint(NEXT);
        } else {
            out.varint(ONCE);
        }
        out.text(text);
    }

    pub(crate) fn write_digest(&mut self, digest: &VersionDigest, out: &mut Vec<u8>) {
        let text = match self.digest.take() {
            Some((last, text)) if last == *digest => text,
            _ => digest.to_string(),
        };
        self.write(&text, out);
        self.digest = Some((*digest, text));
    }

    pub(crate) fn read(&mut self, input: &mut Input<'_>) -> Result<String, BadRecord> {
        match input.varint()? {
            ONCE => input.text().map(str::to_owned),
            other => Ok(self.known(other, input)?.text.to_string()),
        }
    }

    /// A name; equal names of a segment share their memory.
    pub(crate) fn read_name(&mut self, input: &mut Input<'_>) -> Result<Name, BadRecord> {
        let known = match input.varint()? {
            ONCE => return input.name(),
            other => self.known(other, input)?,
        };
        if let Some(name) = &known.name {
            return Ok(name.clone());
        }
        let name = name_of(&known.text)?;
        known.name = Some(name.clone());
        Ok(name)
    }

    fn known(&mut self, number: u64, input: &mut Input<'_>) -> Result<&mut Known, BadRecord> {
        let at = match number.checked_sub(FIRST) {
            Some(at) => usize::try_from(at).unwrap_or(usize::MAX),
            None if self.texts.len() < Self::MOST => {
                self.texts.push(Known { text: input.text()?.into(), name: None });
                self.texts.len() - 1
            }
            None => return Err(BadRecord("it has more texts than a segment remembers")),
        };
        self.texts.get_mut(at).ok_or(BadRecord("it refers to a text that was never written"))
    }
}

fn name_of(text: &str) -> Result<Name, BadRecord> {
    Name::new(text).map_err(|_| BadRecord("a name is empty, too long or has control characters"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_written_once_and_then_by_number() {
        let (mut write, mut read, mut out) = (Texts::default(), Texts::default(), Vec::new());
        for text in ["cam-1", "cam-2", "cam-1", "cam-1"] {
            write.write(text, &mut out);
        }
        assert_eq!(out.len(), 2 * 7 + 2);
        let mut input = Input::new(&out);
        assert_eq!(read.read_name(&mut input).unwrap().as_str(), "cam-1");
        assert_eq!(read.read(&mut input), Ok("cam-2".to_owned()));
        assert_eq!(read.read(&mut input), Ok("cam-1".to_owned()));
        assert_eq!(read.read_name(&mut input).unwrap().as_str(), "cam-1");
        assert_eq!(input.end(), Ok(()));
    }

    #[test]
    fn memory_for_texts_is_bounded_and_none_is_lost() {
        let (mut write, mut read, mut out) = (Texts::default(), Texts::default(), Vec::new());
        let texts: Vec<String> = (0..Texts::MOST + 10).map(|i| format!("part {i}")).collect();
        texts.iter().for_each(|text| write.write(text, &mut out));
        let mut input = Input::new(&out);
        assert!(texts.iter().all(|text| read.read(&mut input) == Ok(text.clone())));
        assert_eq!((write.numbers.len(), read.texts.len()), (Texts::MOST, Texts::MOST));
    }

    #[test]
    fn a_reference_to_nothing_is_refused() {
        assert_eq!(
            Texts::default().read(&mut Input::new(&[5])).unwrap_err().0,
            "it refers to a text that was never written"
        );
    }

    proptest! {
        #[test]
        fn any_number_survives(unsigned in any::<u64>(), signed in any::<i64>()) {
            let mut out = Vec::new();
            out.varint(unsigned);
            out.signed(signed);
            let mut input = Input::new(&out);
            prop_assert_eq!((input.varint(), input.signed(), input.end()), (Ok(unsigned), Ok(signed), Ok(())));
        }

        #[test]
        fn no_bytes_make_the_input_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Input::new(&bytes).varint();
            let _ = Input::new(&bytes).text();
            let _ = Texts::default().read_name(&mut Input::new(&bytes));
        }
    }
}
