//! Matrix products: what is summed over is tied, rows and columns go through.

use super::super::Role;
use super::super::slices::Slices;
use crate::shape::Op;

pub(super) fn gemm<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let node = op.node;
    let (Some(a), Some(b), Some(output)) = (node.input_name(0), node.input_name(1), node.output_name(0)) else {
        return;
    };
    let turned = |name| usize::from(node.int(name).unwrap_or(0) != 0);
    let (a_rows, b_rows) = (turned("transA"), turned("transB"));
    slices.tie((a, a_rows), (output, 0));
    slices.tie_as(Role::Inputs, (b, b_rows), (a, 1 - a_rows));
    slices.tie_as(Role::Filters, (b, 1 - b_rows), (output, 1));
    if let Some(c) = node.input_name(2) {
        slices.tie_broadcast(c, output);
        let last = slices.rank(c).saturating_sub(1);
        slices.roles.entry((c, last)).or_insert(Role::Bias);
    }
}

/// Of vectors nothing is tied, so they are locked.
pub(super) fn matmul<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let node = op.node;
    let (Some(a), Some(b), Some(output)) = (node.input_name(0), node.input_name(1), node.output_name(0)) else {
        return;
    };
    let (a_rank, b_rank, rank) = (slices.rank(a), slices.rank(b), slices.rank(output));
    if a_rank < 2 || b_rank < 2 {
        return;
    }
    slices.tie((a, a_rank - 2), (output, rank - 2));
    slices.tie_as(Role::Inputs, (b, b_rank - 2), (a, a_rank - 1));
    slices.tie_as(Role::Filters, (b, b_rank - 1), (output, rank - 1));
    for (operand, its_rank) in [(a, a_rank), (b, b_rank)] {
        for axis in 0..its_rank - 2 {
            slices.tie((operand, axis), (output, axis + rank - its_rank));
        }
    }
}
