//! One interleaved sequential scan, straight to scaled samples.

use super::JpegError::{self, Corrupt, Truncated};
use super::bits::Bits;
use super::header::{Component, Header, has_end};
use super::huffman::Table;
use super::{basis, colour};
use crate::decode::DecodeScale;

/// Buffers of one decoding thread.
#[derive(Debug, Default)]
pub(crate) struct ScanScratch {
    dc: [Table; 4],
    ac: [Table; 4],
    components: [ComponentScratch; 3],
}

#[derive(Debug, Default)]
struct ComponentScratch {
    /// 64 pictures of one block's samples.
    basis: Vec<f32>,
    /// One row of MCUs.
    stripe: Vec<f32>,
}

/// A file that can be decoded at a reduced size, and how.
#[derive(Debug)]
pub(crate) struct Scaled<'h, 'd> {
    header: &'h Header<'d>,
    data: &'d [u8],
    scale: DecodeScale,
    components: usize,
    mcus: (usize, usize),
    /// Samples of one MCU on each axis, the same for every component.
    mcu_size: (usize, usize),
}

/// Samples of one block on each axis.
type BlockSize = (usize, usize);

impl<'h, 'd> Scaled<'h, 'd> {
    /// `None` if this decoder is not the one for the file.
    pub fn plan(header: &'h Header<'d>, data: &'d [u8], scale: DecodeScale) -> Option<Self> {
        let components = header.components();
        let baseline = matches!(header.process, 0xC0 | 0xC1) && header.precision == 8 && header.one_scan;
        let colour = match components {
            [_] => true,
            [a, b, c] => header.adobe.is_none_or(|t| t == 1) && [a.id, b.id, c.id] != *b"RGB",
            _ => false,
        };
        let tables = components.iter().all(|c| {
            header.quant[usize::from(c.quant)].is_some()
                && header.dc[usize::from(c.dc)].is_some()
                && header.ac[usize::from(c.ac)].is_some()
        });
        if !(baseline && colour && tables) || scale == DecodeScale::Full {
            return None;
        }
        let largest = largest_factors(components);
        let samples = 8 / scale.denominator() as usize;
        components.iter().all(|c| block_size(c, largest, samples).is_some()).then_some(())?;
        let mcu = (8 * largest.0, 8 * largest.1);
        Some(Self {
            header,
            data: data.get(header.scan_start..)?,
            scale,
            components: components.len(),
            mcus: ((header.width as usize).div_ceil(mcu.0), (header.height as usize).div_ceil(mcu.1)),
            mcu_size: (samples * largest.0, samples * largest.1),
        })
    }

    /// Decodes into `out`, resized to interleaved RGB, or to grey (which skips the chroma of a colour file). Returns the
    /// size in pixels, the original one divided by the scale and rounded up.
    pub fn decode(&self, grey: bool, scratch: &mut ScanScratch, out: &mut Vec<u8>) -> Result<(u32, u32), JpegError> {
        let (width, height) = self.scale.scaled(self.header.width, self.header.height);
        let channels = if grey { 1 } else { 3 };
        self.prepare(scratch)?;
        out.resize(width as usize * height as usize * channels, 0);
        let stride = self.mcus.0 * self.mcu_size.0;
        let mut decoder = Decoder {
            bits: Bits::new(self.data),
            predictors: [0; 3],
            until_restart: u32::from(self.header.restart_interval),
            restarts: 0,
        };
        for rows in out.chunks_mut(self.mcu_size.1 * width as usize * channels).take(self.mcus.1) {
            self.mcu_row(&mut decoder, scratch, grey, stride)?;
            let [luma, cb, cr] = &scratch.components;
            for (y, row) in rows.chunks_mut(width as usize * channels).enumerate() {
                let at = y * stride..(y + 1) * stride;
                if grey {
                    colour::grey(&luma.stripe[at], row);
                } else {
                    // A grey file leaves both chroma stripes at zero.
                    colour::rgb(&luma.stripe[at.clone()], &cb.stripe[at.clone()], &cr.stripe[at], row);
                }
            }
        }
        if has_end(decoder.bits.remaining()) { Ok((width, height)) } else { Err(Truncated("there is no end marker")) }
    }

    fn prepare(&self, scratch: &mut ScanScratch) -> Result<(), JpegError> {
        let components = self.header.components();
        let largest = largest_factors(components);
        let samples = 8 / self.scale.denominator() as usize;
        for (component, scratch) in components.iter().zip(&mut scratch.components) {
            if let (Some(quant), Some((nx, ny))) =
                (&self.header.quant[usize::from(component.quant)], block_size(component, largest, samples))
            {
                basis::fill(&mut scratch.basis, quant, nx, ny);
            }
        }
        for component in &mut scratch.components {
            component.stripe.clear();
            component.stripe.resize(self.mcus.0 * self.mcu_size.0 * self.mcu_size.1, 0.0);
        }
        for component in components {
            for (spec, table, ac) in [
                (&self.header.dc[usize::from(component.dc)], &mut scratch.dc[usize::from(component.dc)], false),
                (&self.header.ac[usize::from(component.ac)], &mut scratch.ac[usize::from(component.ac)], true),
            ] {
                table.build(spec.as_ref().ok_or(Corrupt("a Huffman table is missing"))?, ac)?;
            }
        }
        Ok(())
    }

    fn mcu_row(
        &self,
        decoder: &mut Decoder<'_>,
        scratch: &mut ScanScratch,
        grey: bool,
        stride: usize,
    ) -> Result<(), JpegError> {
        for mcu in 0..self.mcus.0 {
            decoder.restart_if_due(self.header.restart_interval)?;
            for (i, component) in self.header.components().iter().enumerate() {
                let tables = (&scratch.dc[usize::from(component.dc)], &scratch.ac[usize::from(component.ac)]);
                // A lone component is never interleaved: one block is an MCU, whatever its factors (T.81, A.2.2).
                let (h, v) = if self.components == 1 { (1, 1) } else { (component.h.into(), component.v.into()) };
                let size = (self.mcu_size.0 / h, self.mcu_size.1 / v);
                let target = &mut scratch.components[i];
                for block in 0..h * v {
                    if grey && i > 0 {
                        decoder.coefficients(i, tables, |_, _| {})?;
                        continue;
                    }
                    let at = (block / h) * size.1 * stride + mcu * self.mcu_size.0 + (block % h) * size.0;
                    decoder.block(i, tables, size, &target.basis, &mut target.stripe[at..], stride)?;
                }
            }
            decoder.bits.check()?;
        }
        Ok(())
    }
}

/// Position in the entropy-coded data.
struct Decoder<'d> {
    bits: Bits<'d>,
    /// Last DC coefficient of each component.
    predictors: [i32; 3],
    /// MCUs until the next restart marker.
    until_restart: u32,
    restarts: u32,
}

impl Decoder<'_> {
    fn restart_if_due(&mut self, interval: u16) -> Result<(), JpegError> {
        if interval == 0 {
            return Ok(());
        }
        if self.until_restart == 0 {
            self.bits.refill();
            self.bits.restart(self.restarts)?;
            self.restarts = self.restarts.wrapping_add(1);
            self.predictors = [0; 3];
            self.until_restart = u32::from(interval);
        }
        self.until_restart -= 1;
        Ok(())
    }

    /// Reads one block and hands each coefficient with its place in zigzag order to `add` (T.81, F.2.2).
    #[inline(always)]
    fn coefficients(
        &mut self,
        component: usize,
        (dc, ac): (&Table, &Table),
        mut add: impl FnMut(usize, i32),
    ) -> Result<(), JpegError> {
        let bits = &mut self.bits;
        bits.refill();
        let size = dc.symbol(dc.peek(bits), bits)?;
        if size > 11 {
            return Err(Corrupt("a DC difference of more than 11 bits"));
        }
        let predictor = &mut self.predictors[component];
        *predictor = predictor.wrapping_add(bits.signed(size));
        add(0, *predictor);
        let mut k = 1;
        while k < 64 {
            bits.refill();
            let entry = ac.peek(bits);
            let mut value = entry.value();
            if value != 0 {
                bits.take(entry.length());
                k += entry.high() as usize;
            } else {
                let symbol = ac.symbol(entry, bits)?;
                let (run, size) = (symbol >> 4, symbol & 15);
                if size == 0 {
                    if run != 15 {
                        break; // end of block
                    }
                    k += 16;
                    continue;
                }
                k += run as usize;
                value = bits.signed(size);
            }
            if k > 63 {
                return Err(Corrupt("a run of zeros leaves its block"));
            }
            add(k, value);
            k += 1;
        }
        Ok(())
    }

    /// Reads one block into the top left corner of `out`.
    #[inline]
    fn block(
        &mut self,
        component: usize,
        tables: (&Table, &Table),
        size: BlockSize,
        basis: &[f32],
        out: &mut [f32],
        stride: usize,
    ) -> Result<(), JpegError> {
        // Fixed sizes, so that the sum of a block stays in vector registers.
        match size {
            (1, 1) => self.sized::<1, 1>(component, tables, basis, out, stride),
            (2, 1) => self.sized::<2, 2>(component, tables, basis, out, stride),
            (1, 2) => self.sized::<2, 1>(component, tables, basis, out, stride),
            (2, 2) => self.sized::<4, 2>(component, tables, basis, out, stride),
            (4, 2) => self.sized::<8, 4>(component, tables, basis, out, stride),
            (2, 4) => self.sized::<8, 2>(component, tables, basis, out, stride),
            (4, 4) => self.sized::<16, 4>(component, tables, basis, out, stride),
            (8, 4) => self.sized::<32, 8>(component, tables, basis, out, stride),
            (4, 8) => self.sized::<32, 4>(component, tables, basis, out, stride),
            (8, 8) => self.sized::<64, 8>(component, tables, basis, out, stride),
            _ => Err(Corrupt("an impossible block size")),
        }
    }

    #[inline(never)]
    fn sized<const SAMPLES: usize, const COLUMNS: usize>(
        &mut self,
        component: usize,
        tables: (&Table, &Table),
        basis: &[f32],
        out: &mut [f32],
        stride: usize,
    ) -> Result<(), JpegError> {
        let pictures: &[[f32; SAMPLES]; 64] =
            basis.as_chunks::<SAMPLES>().0.first_chunk::<64>().ok_or(Corrupt("an impossible block size"))?;
        let mut sum = [0.0; SAMPLES];
        self.coefficients(component, tables, |k, value| {
            // At 1/8 the mean of every other coefficient is zero.
            if SAMPLES > 1 || k == 0 {
                let value = value as f32;
                for (sum, weight) in sum.iter_mut().zip(&pictures[k]) {
                    *sum += value * weight;
                }
            }
        })?;
        for (row, samples) in sum.chunks_exact(COLUMNS).enumerate() {
            out[row * stride..row * stride + COLUMNS].copy_from_slice(samples);
        }
        Ok(())
    }
}

/// A lone component is not subsampled with respect to anything.
fn largest_factors(components: &[Component]) -> (usize, usize) {
    if components.len() == 1 {
        return (1, 1);
    }
    components.iter().fold((1, 1), |(h, v), c| (h.max(c.h.into()), v.max(c.v.into())))
}

/// Samples per block such that all components of an MCU come out at the same size; `None` where that is not one of the
/// sizes we have.
fn block_size(component: &Component, largest: (usize, usize), samples: usize) -> Option<BlockSize> {
    let one = |factor: u8, largest: usize| {
        let factor = if largest == 1 { 1 } else { usize::from(factor) };
        let size = samples * largest / factor;
        (largest.is_multiple_of(factor) && size <= 8).then_some(size)
    };
    let (x, y) = (one(component.h, largest.0)?, one(component.v, largest.1)?);
    (x.is_power_of_two() && y.is_power_of_two() && x <= 2 * y && y <= 2 * x).then_some((x, y))
}
