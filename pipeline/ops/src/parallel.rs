//! Work for all threads without shared writes.

use rayon::prelude::*;

/// Runs a training step on the threads of the pool.
///
/// Operations work anywhere; but each that is called from outside of the pool wakes it several times, which for a network
/// of many small layers adds up to a fifth of a step. [`crate::backward`] does this by itself.
pub fn in_pool<T: Send>(step: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| step())
}

/// Zeros, written on all threads: fresh memory is mapped page by page when it is first touched.
pub(crate) fn zeros(len: usize) -> Vec<f32> {
    const PAGE: usize = 1024;
    if len < PIECE {
        return vec![0.0; len];
    }
    let pages: Vec<[f32; PAGE]> = (0..len.div_ceil(PAGE)).into_par_iter().map(|_| [0.0; PAGE]).collect();
    let mut zeros = pages.into_flattened();
    zeros.truncate(len);
    zeros
}

/// Elements of a piece of elementwise work: small enough to balance, large enough not to notice.
pub(crate) const PIECE: usize = 1 << 15;

/// How many pieces to cut work into that is cut by hand: a few per thread, so that one that is interrupted delays little.
/// The pieces' results do not depend on their number.
pub(crate) fn pieces(at_most: usize) -> usize {
    let threads = rayon::current_num_threads();
    if threads == 1 { 1 } else { (4 * threads).min(at_most).max(1) }
}

/// Cuts the columns of a matrix of `row_len` columns into ranges and gives for each range the parts of all rows.
/// `bounds` begins with 0 and ends with `row_len`.
pub(crate) fn split_columns<'a>(matrix: &'a mut [f32], row_len: usize, bounds: &[usize]) -> Vec<Vec<&'a mut [f32]>> {
    let rows = matrix.len() / row_len;
    let mut parts: Vec<Vec<&mut [f32]>> = bounds.windows(2).map(|_| Vec::with_capacity(rows)).collect();
    for mut row in matrix.chunks_exact_mut(row_len) {
        for (part, bound) in parts.iter_mut().zip(bounds.windows(2)) {
            let (piece, rest) = row.split_at_mut(bound[1] - bound[0]);
            part.push(piece);
            row = rest;
        }
    }
    parts
}

/// What `f` makes of the pieces of `a`, on all threads.
pub(crate) fn map_pieces(a: &[f32], f: impl Fn(&mut [f32], &[f32]) + Sync) -> Vec<f32> {
    let mut out = zeros(a.len());
    out.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE)).for_each(|(out, a)| f(out, a));
    out
}

/// What `f` makes of the pieces of `a` and `b`, on all threads.
pub(crate) fn map2_pieces(a: &[f32], b: &[f32], f: impl Fn(&mut [f32], &[f32], &[f32]) + Sync) -> Vec<f32> {
    let mut out = zeros(a.len());
    out.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE))).for_each(|(out, (a, b))| f(out, a, b));
    out
}

/// `out[i] = f(a[i])` on all threads.
pub(crate) fn map(a: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    map_pieces(a, |out, a| crate::simd::map(out, a, &f))
}

/// `out[i] = f(a[i], b[i])` on all threads.
pub(crate) fn map2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    map2_pieces(a, b, |out, a, b| crate::simd::map2(out, a, b, &f))
}
