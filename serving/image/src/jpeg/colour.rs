//! From rows of Y, Cb and Cr to interleaved 8-bit samples (JFIF 1.02; ITU-R BT.601, full range).

/// Level shift (T.81, A.3.1).
const SHIFT: f32 = 128.0;

/// Nearest integer of a value in 0-255, as the low bits of a float of magnitude 2^23: a conversion that every vector
/// unit has.
#[inline(always)]
fn round(value: f32) -> u8 {
    (value.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

/// One row of luma.
pub(crate) fn grey(luma: &[f32], out: &mut [u8]) {
    for (to, &y) in out.iter_mut().zip(luma) {
        *to = round(y + SHIFT);
    }
}

/// One row of red, green, blue.
pub(crate) fn rgb(luma: &[f32], cb: &[f32], cr: &[f32], out: &mut [u8]) {
    for (((to, &y), &cb), &cr) in out.as_chunks_mut::<3>().0.iter_mut().zip(luma).zip(cb).zip(cr) {
        // Samples are limited to eight bits before the matrix, as every decoder does.
        let y = (y + SHIFT).clamp(0.0, 255.0);
        let cb = cb.clamp(-128.0, 127.0);
        let cr = cr.clamp(-128.0, 127.0);
        *to = [round(y + 1.402 * cr), round(y - 0.344_136 * cb - 0.714_136 * cr), round(y + 1.772 * cb)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries_come_out_saturated() {
        let mut out = [0; 6];
        rgb(&[76.0 - 128.0, 300.0], &[-43.0, 0.0], &[127.0, 0.0], &mut out);
        assert_eq!(out, [254, 0, 0, 255, 255, 255]);
        let mut out = [9; 3];
        grey(&[-200.0, 0.4, 200.0], &mut out);
        assert_eq!(out, [0, 128, 255]);
    }
}
