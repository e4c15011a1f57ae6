//! The innermost loop of convolutions: products of panels, six rows by sixteen columns at a time in registers.
//!
//! Twelve vectors of eight hold the sums of a tile; each step reads two vectors and six scalars for twelve fused
//! multiply-adds, so that arithmetic and not memory decides on every processor with 16 vector registers (the scheme of
//! Goto and van de Geijn 2008 and of BLIS).

use pulp::{Arch, Simd, WithSimd};

/// Rows of a tile.
pub(crate) const ROWS: usize = 6;
/// Columns of a tile.
pub(crate) const COLUMNS: usize = 16;

/// One step of the six rows.
pub(crate) type Left = [f32; ROWS];
/// One step of the sixteen columns.
pub(crate) type Right = [f32; COLUMNS];
/// Sums of a tile.
pub(crate) type Tile = [[f32; COLUMNS]; ROWS];

/// Steps that follow each other in both panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub left: usize,
    pub right: usize,
    pub len: usize,
}

/// For each tile `i`: adds the products of the steps of left panel `i` and of the one right panel, over all runs.
pub(crate) fn multiply(left: &[Left], panel: usize, right: &[Right], runs: &[Run], tiles: &mut [Tile]) {
    Arch::new().dispatch(Multiply { left, panel, right, runs, tiles });
}

struct Multiply<'a> {
    left: &'a [Left],
    /// Steps of a left panel.
    panel: usize,
    right: &'a [Right],
    runs: &'a [Run],
    tiles: &'a mut [Tile],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.run::<S, 1>(simd),
            8 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run_scalar(),
        }
    }
}

impl Multiply<'_> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(self, simd: S) {
        for (tile, left) in self.tiles.iter_mut().zip(self.left.chunks_exact(self.panel)) {
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            for run in self.runs {
                let left = &left[run.left..run.left + run.len];
                let right = &self.right[run.right..run.right + run.len];
                for (left, right) in left.iter().zip(right) {
                    let right = S::as_simd_f32s(right).0;
                    for (sums, left) in sums.iter_mut().zip(left) {
                        let left = simd.splat_f32s(*left);
                        for (sum, right) in sums.iter_mut().zip(right) {
                            *sum = simd.mul_add_f32s(left, *right, *sum);
                        }
                    }
                }
            }
            for (row, sums) in tile.iter_mut().zip(&sums) {
                for (row, sum) in S::as_mut_simd_f32s(row).0.iter_mut().zip(sums) {
                    *row = simd.add_f32s(*row, *sum);
                }
            }
        }
    }

    /// Without vectors the compiler makes the best of it.
    #[inline(always)]
    fn run_scalar(self) {
        for (tile, left) in self.tiles.iter_mut().zip(self.left.chunks_exact(self.panel)) {
            for run in self.runs {
                let left = &left[run.left..run.left + run.len];
                let right = &self.right[run.right..run.right + run.len];
                for (left, right) in left.iter().zip(right) {
                    for (row, left) in tile.iter_mut().zip(left) {
                        for (sum, right) in row.iter_mut().zip(right) {
                            *sum += left * right;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_the_products_of_the_runs() {
        let left: Vec<Left> = (0..20).map(|k| std::array::from_fn(|i| (k * ROWS + i) as f32 * 0.1)).collect();
        let right: Vec<Right> = (0..12).map(|k| std::array::from_fn(|j| (k + j) as f32 * 0.5)).collect();
        let runs = [Run { left: 1, right: 0, len: 4 }, Run { left: 7, right: 5, len: 3 }];
        let mut tiles = [[[1.0; COLUMNS]; ROWS]; 2];
        let mut expected = tiles;
        for (panel, tile) in expected.iter_mut().enumerate() {
            for run in runs {
                for k in 0..run.len {
                    for i in 0..ROWS {
                        for j in 0..COLUMNS {
                            tile[i][j] += left[panel * 10 + run.left + k][i] * right[run.right + k][j];
                        }
                    }
                }
            }
        }
        multiply(&left, 10, &right, &runs, &mut tiles);
        for (found, expected) in tiles.as_flattened().as_flattened().iter().zip(expected.as_flattened().as_flattened())
        {
            assert!((found - expected).abs() <= expected.abs() * 1e-5, "{found} instead of {expected}");
        }
    }
}
