//! Convolution, pooling, BatchNormalization: what happens per channel.

use super::super::Role;
use super::super::slices::Slices;
use crate::shape::Op;

pub(super) fn conv<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let node = op.node;
    let (Some(input), Some(weight), Some(output)) = (node.input_name(0), node.input_name(1), node.output_name(0))
    else {
        return;
    };
    slices.tie((input, 0), (output, 0));
    slices.tie_as(Role::Filters, (weight, 0), (output, 1));
    if let Some(bias) = node.input_name(2) {
        slices.tie_as(Role::Bias, (bias, 0), (output, 1));
    }
    match usize::try_from(node.int("group").unwrap_or(1)) {
        Ok(1) => slices.tie_as(Role::Inputs, (weight, 1), (input, 1)),
        Ok(groups) if groups > 1 => whole_groups(groups, (input, 1), (output, 1), slices),
        _ => {}
    }
}

/// Inputs and outputs of a group of a grouped convolution stay or go together; a depthwise one has a group per channel.
fn whole_groups<'a>(groups: usize, input: (&'a str, usize), output: (&'a str, usize), slices: &mut Slices<'a>) {
    let (Some(from), Some(to)) = (slices.row(input), slices.row(output)) else { return };
    let (ins, outs) = (from.len() / groups, to.len() / groups);
    if ins == 0 || outs == 0 {
        return;
    }
    for (at, element) in from.enumerate() {
        slices.unite(to.start + at / ins * outs, element);
    }
    for (at, element) in to.clone().enumerate() {
        slices.unite(to.start + at / outs * outs, element);
    }
    slices.touch(input);
    slices.touch(output);
}

/// Batch and channels go through; spatial axes are left to be locked.
pub(super) fn pool<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let Some(input) = op.node.input_name(0) else { return };
    for slot in 0..op.node.output.len() {
        if let Some(output) = op.node.output_name(slot) {
            slices.tie_all(input, output, |axis| axis > 1);
        }
    }
}

pub(super) fn batch_norm<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    slices.tie_all(input, output, |_| false);
    for (slot, role) in [(1, Role::Scale), (2, Role::Shift), (3, Role::Mean), (4, Role::Variance)] {
        if let Some(weight) = op.node.input_name(slot) {
            slices.tie_as(role, (weight, 0), (output, 1));
        }
    }
    for statistics in (1..op.node.output.len()).filter_map(|slot| op.node.output_name(slot)) {
        slices.tie((statistics, 0), (output, 1));
    }
}
