//! Bits of entropy-coded data, most significant first, with byte stuffing undone (T.81, F.1.2.3 and F.2.2.5).

use super::JpegError::{self, Corrupt, Truncated};

/// Reads bits; past the end of the segment it yields zeros and counts them, so that the hot loop needs no error path.
#[derive(Debug)]
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    pos: usize,
    /// The next bit is the most significant one.
    buffer: u64,
    /// Valid bits in `buffer`. What lies below them is either zero or the next bytes of `data`, unstuffed.
    available: u32,
    /// How many of the valid bits are not from the file.
    padding: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0, buffer: 0, available: 0, padding: 0 }
    }

    /// Makes at least 32 bits available.
    #[inline(always)]
    pub fn refill(&mut self) {
        if self.available >= 32 {
            return;
        }
        if let Some(chunk) = self.data.get(self.pos..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_be_bytes(*chunk);
            if !has_ff(word) {
                self.buffer |= word >> self.available;
                let bytes = (63 - self.available) / 8;
                self.pos += bytes as usize;
                self.available += 8 * bytes;
                return;
            }
        }
        self.refill_bytewise();
    }

    #[cold]
    #[inline(never)]
    fn refill_bytewise(&mut self) {
        // The bits below the valid ones may be bytes of a word that is now read one by one; drop them.
        self.buffer = self.buffer.checked_shr(64 - self.available).unwrap_or(0);
        self.buffer = self.buffer.checked_shl(64 - self.available).unwrap_or(0);
        while self.available <= 56 {
            let byte = match self.data.get(self.pos..) {
                Some([0xFF, 0x00, ..]) => {
                    self.pos += 2;
                    0xFF
                }
                Some([0xFF, ..]) | Some([]) | None => {
                    self.padding += 8;
                    0
                }
                Some([byte, ..]) => {
                    self.pos += 1;
                    *byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.available);
            self.available += 8;
        }
    }

    /// The next `COUNT` bits without taking them; needs a `refill` before.
    #[inline(always)]
    pub fn peek<const COUNT: u32>(&self) -> usize {
        (self.buffer >> (64 - COUNT)) as usize
    }

    #[inline(always)]
    pub fn take(&mut self, count: u32) {
        self.buffer <<= count & 63;
        self.available = self.available.wrapping_sub(count);
    }

    /// A signed value of `size` bits, 0 to 15 (T.81, F.2.2.1, EXTEND).
    #[inline(always)]
    pub fn signed(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let value = (self.buffer >> (64 - size)) as i32;
        self.take(size);
        // A value whose first bit is 0 is negative.
        let half = 1 << (size - 1);
        if value < half { value - 2 * half + 1 } else { value }
    }

    /// Fails if bits were taken that the file does not have.
    #[inline(always)]
    pub fn check(&self) -> Result<(), JpegError> {
        if self.padding > self.available { Err(self.overrun()) } else { Ok(()) }
    }

    #[cold]
    fn overrun(&self) -> JpegError {
        match self.data.get(self.pos..) {
            Some([0xFF, _, ..]) => Corrupt("a marker stands where picture data should go on"),
            _ => Truncated("the picture data is not complete"),
        }
    }

    /// Skips to after the restart marker number `n` modulo 8.
    pub fn restart(&mut self, n: u32) -> Result<(), JpegError> {
        // Whole bytes that were read ahead cannot include a marker, so only padding bits may follow.
        let expected = 0xD0 | (n % 8) as u8;
        let at = self.data.get(self.pos..).unwrap_or_default();
        match at.iter().position(|&b| b != 0xFF) {
            Some(fill @ 1..) if at[fill] == expected && self.available - self.padding < 8 => {
                *self = Self { data: self.data, pos: self.pos + fill + 1, buffer: 0, available: 0, padding: 0 };
                Ok(())
            }
            None => Err(Truncated("a restart marker is missing")),
            Some(_) => Err(Corrupt("a restart marker is missing or out of order")),
        }
    }

    /// What follows the bytes that were read; read-ahead stops at markers, so the end marker is still in it.
    pub fn remaining(&self) -> &'a [u8] {
        self.data.get(self.pos..).unwrap_or_default()
    }
}

/// Whether any byte is 0xFF: the classic test for a zero byte, on the complement.
#[inline(always)]
fn has_ff(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let inverse = !word;
    inverse.wrapping_sub(ONES) & !inverse & (ONES << 7) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffed_bytes_and_words_give_the_same_bits() {
        let plain: Vec<u8> = (0u8..=255).chain([0xFF; 9]).chain(0..40).collect();
        let stuffed: Vec<u8> = plain.iter().flat_map(|&b| if b == 0xFF { vec![b, 0] } else { vec![b] }).collect();
        for step in [1, 3, 5, 8, 13] {
            let mut bits = Bits::new(&stuffed);
            let mut at = 0;
            while at + step <= plain.len() * 8 {
                bits.refill();
                let got = bits.buffer >> (64 - step as u32);
                let bit = |i: usize| u64::from(plain[i / 8] >> (7 - i % 8) & 1);
                let expected = (at..at + step).fold(0, |acc, i| acc << 1 | bit(i));
                assert_eq!(got, expected, "{step} bits at {at}");
                bits.take(step as u32);
                at += step;
            }
            bits.check().unwrap();
        }
    }

    #[test]
    fn signed_values_extend_as_the_standard_says() {
        // 0, 1, 00, 11, 000 and fill
        let mut bits = Bits::new(&[0b0100_1100, 0b0000_0000]);
        let values: Vec<i32> = [1, 1, 2, 2, 3]
            .into_iter()
            .map(|s| {
                bits.refill();
                bits.signed(s)
            })
            .collect();
        assert_eq!(values, [-1, 1, -3, 3, -7]);
    }

    #[test]
    fn reading_past_the_end_is_noticed() {
        let mut bits = Bits::new(&[0xAB]);
        bits.refill();
        bits.take(8);
        bits.check().unwrap();
        bits.take(1);
        assert!(matches!(bits.check(), Err(Truncated(_))));
        let mut bits = Bits::new(&[0xAB, 0xFF, 0xD9]);
        bits.refill();
        bits.take(9);
        assert!(matches!(bits.check(), Err(Corrupt(_))));
    }
}
