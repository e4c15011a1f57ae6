//! The marker segments in front of the first scan (T.81, annex B).

use super::JpegError::{self, Corrupt, Truncated, Unsupported};

/// One component of the frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Component {
    pub id: u8,
    /// Sampling factors, 1 to 4.
    pub h: u8,
    pub v: u8,
    /// Quantisation table, 0 to 3.
    pub quant: u8,
    /// Huffman tables named by the scan, 0 to 3.
    pub dc: u8,
    pub ac: u8,
}

/// A Huffman table as it stands in the file: how many codes of each length, and their symbols.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HuffmanSpec<'a> {
    pub counts: &'a [u8; 16],
    pub symbols: &'a [u8],
}

/// Everything up to the first entropy-coded byte.
#[derive(Debug, Default)]
pub(crate) struct Header<'a> {
    pub width: u32,
    pub height: u32,
    /// Start-of-frame marker, 0xC0 for baseline.
    pub process: u8,
    pub precision: u8,
    frame: [Component; 4],
    frame_len: usize,
    /// Whether the first scan holds all components in the frame's order, with all coefficients.
    pub one_scan: bool,
    /// MCUs between restart markers, 0 for none.
    pub restart_interval: u16,
    /// Colour transform of the Adobe APP14 segment.
    pub adobe: Option<u8>,
    /// In zigzag order.
    pub quant: [Option<[u16; 64]>; 4],
    pub dc: [Option<HuffmanSpec<'a>>; 4],
    pub ac: [Option<HuffmanSpec<'a>>; 4],
    /// Where the entropy-coded data begins.
    pub scan_start: usize,
}

impl<'a> Header<'a> {
    /// Reads up to the first scan.
    pub fn parse(data: &'a [u8]) -> Result<Self, JpegError> {
        let mut header = Self::default();
        let mut rest = data.get(2..).ok_or(Truncated("no marker after the start of the image"))?;
        loop {
            let (marker, after) = next_marker(rest)?;
            rest = after;
            if matches!(marker, 0x01 | 0xD0..=0xD8) {
                continue; // stands alone, without a segment
            }
            if marker == 0xD9 {
                return Err(Corrupt("the image ends before its first scan"));
            }
            let (segment, after) = split_segment(rest)?;
            rest = after;
            match marker {
                0xC4 => header.huffman(segment)?,
                0xDB => header.quantisation(segment)?,
                0xDD => {
                    let interval = segment.first_chunk::<2>().ok_or(Corrupt("the DRI segment is too short"))?;
                    header.restart_interval = u16::from_be_bytes(*interval);
                }
                0xEE => {
                    if let [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..] = segment {
                        header.adobe = Some(*transform);
                    }
                }
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    header.start_of_frame(marker, segment)?;
                }
                0xDA => {
                    header.start_of_scan(segment)?;
                    header.scan_start = data.len() - rest.len();
                    return Ok(header);
                }
                _ => {}
            }
        }
    }

    pub fn components(&self) -> &[Component] {
        &self.frame[..self.frame_len]
    }

    fn start_of_frame(&mut self, marker: u8, segment: &[u8]) -> Result<(), JpegError> {
        if self.process != 0 {
            return Err(Corrupt("two frame headers"));
        }
        let [precision, h1, h0, w1, w0, count, rest @ ..] = segment else {
            return Err(Corrupt("the frame header is too short"));
        };
        self.process = marker;
        self.precision = *precision;
        self.height = u32::from(u16::from_be_bytes([*h1, *h0]));
        self.width = u32::from(u16::from_be_bytes([*w1, *w0]));
        if self.height == 0 {
            return Err(Unsupported("its height is given only after the first scan (DNL)"));
        }
        if self.width == 0 {
            return Err(Corrupt("its width is 0"));
        }
        self.frame_len = usize::from(*count);
        if !(1..=4).contains(count) || rest.len() < 3 * self.frame_len {
            return Err(Corrupt("the frame header does not describe 1 to 4 components"));
        }
        for (component, spec) in self.frame.iter_mut().zip(rest.as_chunks::<3>().0.iter().take(self.frame_len)) {
            let [id, sampling, quant] = *spec;
            let (h, v) = (sampling >> 4, sampling & 15);
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || quant > 3 {
                return Err(Corrupt("a sampling factor or quantisation table number is out of range"));
            }
            *component = Component { id, h, v, quant, dc: 0, ac: 0 };
        }
        Ok(())
    }

    fn start_of_scan(&mut self, segment: &[u8]) -> Result<(), JpegError> {
        if self.process == 0 {
            return Err(Corrupt("a scan before any frame header"));
        }
        let (&count, rest) = segment.split_first().ok_or(Corrupt("the scan header is too short"))?;
        let count = usize::from(count);
        let (components, spectral) = rest.split_at_checked(2 * count).ok_or(Corrupt("the scan header is too short"))?;
        let mut in_order = count == self.frame_len;
        for (component, spec) in self.frame.iter_mut().zip(components.as_chunks::<2>().0) {
            in_order &= component.id == spec[0];
            (component.dc, component.ac) = (spec[1] >> 4, spec[1] & 15);
            if component.dc > 3 || component.ac > 3 {
                return Err(Corrupt("a Huffman table number is out of range"));
            }
        }
        self.one_scan = in_order && matches!(spectral, [0, 63, 0, ..]);
        Ok(())
    }

    fn quantisation(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        const SHORT: JpegError = Corrupt("a quantisation table is too short");
        while let Some((&head, rest)) = segment.split_first() {
            let slot = self
                .quant
                .get_mut(usize::from(head & 15))
                .ok_or(Corrupt("a quantisation table number is out of range"))?;
            let mut table = [0; 64];
            if head >> 4 == 0 {
                let (values, rest) = rest.split_first_chunk::<64>().ok_or(SHORT)?;
                table = values.map(u16::from);
                segment = rest;
            } else {
                let (values, rest) = rest.split_first_chunk::<128>().ok_or(SHORT)?;
                for (to, from) in table.iter_mut().zip(values.as_chunks::<2>().0) {
                    *to = u16::from_be_bytes(*from);
                }
                segment = rest;
            }
            *slot = Some(table);
        }
        Ok(())
    }

    fn huffman(&mut self, mut segment: &'a [u8]) -> Result<(), JpegError> {
        const SHORT: JpegError = Corrupt("a Huffman table is too short");
        while let Some((&head, rest)) = segment.split_first() {
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let slot =
                tables.get_mut(usize::from(head & 15)).ok_or(Corrupt("a Huffman table number is out of range"))?;
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let total = counts.iter().map(|&n| usize::from(n)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(SHORT)?;
            *slot = Some(HuffmanSpec { counts, symbols });
            segment = rest;
        }
        Ok(())
    }
}

/// The next marker code and what follows it; fill bytes and stray bytes before it are skipped.
fn next_marker(data: &[u8]) -> Result<(u8, &[u8]), JpegError> {
    let found = data.windows(2).position(|w| w[0] == 0xFF && !matches!(w[1], 0x00 | 0xFF));
    let at = found.ok_or(Truncated("no scan follows the header"))?;
    Ok((data[at + 1], &data[at + 2..]))
}

/// A segment without its length, and what follows it.
fn split_segment(data: &[u8]) -> Result<(&[u8], &[u8]), JpegError> {
    const SHORT: JpegError = Truncated("a header segment is longer than the file");
    let (length, rest) = data.split_first_chunk::<2>().ok_or(SHORT)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let length = length.checked_sub(2).ok_or(Corrupt("a header segment has a length below 2"))?;
    rest.split_at_checked(length).ok_or(SHORT)
}

/// Whether an end-of-image marker follows. Inside entropy-coded data FF D9 can be nothing else.
pub(crate) fn has_end(data: &[u8]) -> bool {
    data.windows(2).any(|w| w == [0xFF, 0xD9])
}
