//! The same elements under other dimensions.

use super::super::segments::segments;
use super::super::shuffle::Shuffle;
use super::super::slices::Slices;
use crate::shape::{Op, permutation};

/// A shuffle is a permutation.
pub(super) fn shuffle<'a>(shuffle: &Shuffle<'a>, slices: &mut Slices<'a>) {
    slices.tie_all(shuffle.input, shuffle.output, |axis| axis == 1);
    let (Some(from), Some(to)) = (slices.row((shuffle.input, 1)), slices.row((shuffle.output, 1))) else { return };
    for (at, element) in to.enumerate() {
        slices.unite(element, from.start + shuffle.source(at));
    }
}

pub(super) fn transpose<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    let Ok(permutation) = permutation(op, slices.rank(input)) else { return };
    for (to, from) in permutation.into_iter().enumerate() {
        slices.tie((input, from), (output, to));
    }
}

/// `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`: axes that stay are tied; of axes that are joined one may vary; what is
/// split is left to be locked.
pub(super) fn reshape<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    let (Some(from), Some(to)) = (slices.dims(input), slices.dims(output)) else { return };
    for (ins, outs) in segments(from, to).unwrap_or_default() {
        let ins: Vec<_> = ins.filter(|&axis| from[axis].known() != Some(1)).collect();
        let outs: Vec<_> = outs.filter(|&axis| to[axis].known() != Some(1)).collect();
        match (ins.as_slice(), outs.as_slice()) {
            (&[from], &[to]) => slices.tie((input, from), (output, to)),
            (many, &[to]) => join(input, many, (output, to), slices),
            _ => {}
        }
    }
}

/// Axes `many` of `input` become one. If all but one are locked (as spatial axes are), that one's elements are blocks or
/// combs of the result.
fn join<'a>(input: &'a str, many: &[usize], to: (&'a str, usize), slices: &mut Slices<'a>) {
    let rows: Option<Vec<_>> = many.iter().map(|&axis| slices.row((input, axis))).collect();
    let (Some(rows), Some(joined)) = (rows, slices.row(to)) else { return };
    let free: Vec<usize> = (0..many.len()).filter(|&at| !slices.is_locked((input, many[at]))).collect();
    let &[free] = free.as_slice() else { return };
    let inner: usize = rows[free + 1..].iter().map(ExactSizeIterator::len).product();
    let row = rows[free].clone();
    for (at, element) in joined.enumerate() {
        slices.unite(element, row.start + at / inner % row.len());
    }
    slices.touch((input, many[free]));
    slices.touch(to);
}
