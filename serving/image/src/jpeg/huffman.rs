//! Huffman tables as lookup tables (T.81, annex C and F.2.2.3).

use super::JpegError::{self, Corrupt};
use super::bits::Bits;
use super::header::HuffmanSpec;

/// Bits that one lookup resolves. Ten cover nearly every code together with its value and keep two AC tables in half
/// of a small level-1 cache.
const LOOKUP: u32 = 10;

/// What the next bits mean, packed into 32 bits: `value << 16 | high << 8 | length`.
///
/// - `value != 0`: a whole AC coefficient; `high` zeros precede it, `length` covers code and value.
/// - `value == 0`, `length != 0`: only a code; `high` is its symbol.
/// - `length == 0`: the code is longer than [`LOOKUP`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry(u32);

impl Entry {
    fn new(value: i16, high: u8, length: u32) -> Self {
        Self(u32::from(value as u16) << 16 | u32::from(high) << 8 | length)
    }

    #[inline(always)]
    pub fn value(self) -> i32 {
        self.0 as i32 >> 16
    }

    #[inline(always)]
    pub fn high(self) -> u32 {
        self.0 >> 8 & 0xFF
    }

    #[inline(always)]
    pub fn length(self) -> u32 {
        self.0 & 0xFF
    }
}

/// One decoding table, reused from image to image.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    lookup: [Entry; 1 << LOOKUP],
    /// Per code length: one past the last code, left-aligned in 16 bits.
    limit: [u32; 17],
    /// Per code length: what to add to a code for its place in `symbols`.
    offset: [i32; 17],
    symbols: [u8; 256],
}

impl Default for Table {
    fn default() -> Self {
        Self { lookup: [Entry::default(); 1 << LOOKUP], limit: [0; 17], offset: [0; 17], symbols: [0; 256] }
    }
}

impl Table {
    /// Builds the table; `ac` also resolves whole coefficients where they fit.
    pub fn build(&mut self, spec: &HuffmanSpec<'_>, ac: bool) -> Result<(), JpegError> {
        self.lookup.fill(Entry::default());
        self.limit = [0; 17];
        let symbols = spec.symbols;
        self.symbols
            .get_mut(..symbols.len())
            .ok_or(Corrupt("a Huffman table has too many codes"))?
            .copy_from_slice(symbols);
        let (mut code, mut index) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(spec.counts) {
            self.offset[length as usize] = index as i32 - code as i32;
            if code + u32::from(count) > 1 << length {
                return Err(Corrupt("a Huffman table has more codes than its lengths allow"));
            }
            for &symbol in &symbols[index..index + usize::from(count)] {
                if length <= LOOKUP {
                    let spare = LOOKUP - length;
                    let first = (code << spare) as usize;
                    for (rest, entry) in (0u32..).zip(&mut self.lookup[first..first + (1 << spare)]) {
                        *entry = if ac { whole(symbol, length, rest, spare) } else { None }
                            .unwrap_or_else(|| Entry::new(0, symbol, length));
                    }
                }
                code += 1;
            }
            index += usize::from(count);
            self.limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(())
    }

    /// What the next bits mean; needs a `refill` before.
    #[inline(always)]
    pub fn peek(&self, bits: &Bits<'_>) -> Entry {
        self.lookup[bits.peek::<LOOKUP>()]
    }

    /// The symbol of the next code, which is taken. `entry` is what `peek` gave, without a value.
    #[inline(always)]
    pub fn symbol(&self, entry: Entry, bits: &mut Bits<'_>) -> Result<u32, JpegError> {
        if entry.length() != 0 {
            bits.take(entry.length());
            Ok(entry.high())
        } else {
            self.long_symbol(bits)
        }
    }

    #[cold]
    #[inline(never)]
    fn long_symbol(&self, bits: &mut Bits<'_>) -> Result<u32, JpegError> {
        let next = bits.peek::<16>() as u32;
        for length in LOOKUP + 1..=16 {
            if next < self.limit[length as usize] {
                let index = (next >> (16 - length)) as i32 + self.offset[length as usize];
                bits.take(length);
                let symbol = usize::try_from(index).ok().and_then(|i| self.symbols.get(i));
                return symbol.map(|&s| u32::from(s)).ok_or(Corrupt("an unknown Huffman code"));
            }
        }
        bits.check()?;
        Err(Corrupt("an unknown Huffman code"))
    }
}

/// The coefficient that the `spare` bits `rest` after the code of `symbol` complete, if they do.
fn whole(symbol: u8, length: u32, rest: u32, spare: u32) -> Option<Entry> {
    let (run, size) = (symbol >> 4, u32::from(symbol & 15));
    if size == 0 || size > spare {
        return None;
    }
    let bits = (rest >> (spare - size)) as i32;
    let half = 1 << (size - 1);
    let value = if bits < half { bits - 2 * half + 1 } else { bits };
    i16::try_from(value).ok().map(|value| Entry::new(value, run, length + size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_codes_are_both_found() {
        // Codes 0, 10, 110, ... one of each length up to 16.
        let counts = [1; 16];
        let symbols: Vec<u8> = (0..16).map(|i| i << 4).collect();
        let mut table = Table::default();
        table.build(&HuffmanSpec { counts: &counts, symbols: &symbols }, true).unwrap();
        // Length 12: eleven ones and a zero; then length 3: 110; padded with zeros (length 1).
        let data = [0b1111_1111, 0x00, 0b1110_1100];
        let mut bits = Bits::new(&data);
        for expected in [11 << 4, 2 << 4, 0] {
            bits.refill();
            let entry = table.peek(&bits);
            assert_eq!(table.symbol(entry, &mut bits), Ok(expected));
        }
    }

    #[test]
    fn an_overfull_table_is_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        let spec = HuffmanSpec { counts: &counts, symbols: &[1, 2, 3] };
        assert!(matches!(Table::default().build(&spec, false), Err(Corrupt(_))));
    }
}
