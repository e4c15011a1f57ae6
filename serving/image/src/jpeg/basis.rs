//! What one coefficient adds to the scaled samples of its block.
//!
//! With N samples per axis instead of 8, the sample k is the mean of the 8/N full ones, and coefficient u adds
//! `c(u) / 2` times the mean of `cos((2x + 1) u pi / 16)` over those x (T.81, A.3.3). Quantisation is folded in.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Natural place (row * 8 + column) of the n-th coefficient in the file (T.81, figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Fills `basis` with 64 pictures of `rows` by `columns` samples, in zigzag order, for a table also in zigzag order.
/// `rows` and `columns` are 1, 2, 4 or 8.
pub(crate) fn fill(basis: &mut Vec<f32>, quant: &[u16; 64], columns: usize, rows: usize) {
    basis.clear();
    let (across, down) = (axis(columns), axis(rows));
    for (&place, &q) in ZIGZAG.iter().zip(quant) {
        let (v, u) = (usize::from(place / 8), usize::from(place % 8));
        for down in &down[v][..rows] {
            basis.extend(across[u][..columns].iter().map(|across| (f64::from(q) * down * across) as f32));
        }
    }
}

/// `axis(n)[u][k]`: the weight of coefficient `u` in sample `k` of `n`.
fn axis(samples: usize) -> [[f64; 8]; 8] {
    let run = 8 / samples;
    let mut weights = [[0.0; 8]; 8];
    for (u, row) in weights.iter_mut().enumerate() {
        let scale = if u == 0 { FRAC_1_SQRT_2 / 2.0 } else { 0.5 };
        for (k, weight) in row.iter_mut().enumerate().take(samples) {
            let sum: f64 = (k * run..(k + 1) * run).map(|x| ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos()).sum();
            *weight = scale * sum / run as f64;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaled_block_is_the_mean_of_the_full_one() {
        let quant = std::array::from_fn(|i| i as u16 + 1);
        let (mut full, mut half) = (Vec::new(), Vec::new());
        fill(&mut full, &quant, 8, 8);
        fill(&mut half, &quant, 4, 2);
        for (full, half) in full.chunks(64).zip(half.chunks(8)) {
            for (i, &sample) in half.iter().enumerate() {
                let (row, column) = (i / 4, i % 4);
                let block = (0..4).flat_map(|y| (0..2).map(move |x| (row * 4 + y) * 8 + column * 2 + x));
                let mean = block.map(|at| full[at]).sum::<f32>() / 8.0;
                assert!((mean - sample).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn a_dc_coefficient_is_flat_and_an_eighth() {
        let mut basis = Vec::new();
        fill(&mut basis, &[8; 64], 8, 8);
        assert!(basis[..64].iter().all(|w| (w - 1.0).abs() < 1e-6));
    }
}
