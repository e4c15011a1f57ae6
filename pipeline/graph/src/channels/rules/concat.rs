//! Joining, cutting, picking and padding: elements keep their identity at another place.

use super::super::slices::{Axis, Slices};
use crate::shape::{Op, axis, cuts, pads};

pub(super) fn concat<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let Some(output) = op.node.output_name(0) else { return };
    let Ok(along) = axis(op.node.int("axis").unwrap_or(0), slices.rank(output)) else { return };
    let inputs: Vec<_> = (0..op.node.input.len()).filter_map(|slot| op.node.input_name(slot)).collect();
    join((output, along), &inputs, slices);
}

pub(super) fn split<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let Some(input) = op.node.input_name(0) else { return };
    let Ok(along) = axis(op.node.int("axis").unwrap_or(0), slices.rank(input)) else { return };
    let outputs: Vec<_> = op.node.output.iter().map(String::as_str).collect();
    join((input, along), &outputs, slices);
}

/// `parts`, one behind the other, are the elements of `whole`.
fn join<'a>(whole: Axis<'a>, parts: &[&'a str], slices: &mut Slices<'a>) {
    for part in parts.iter().filter(|part| !part.is_empty()) {
        slices.tie_all(whole.0, part, |axis| axis == whole.1);
    }
    let Some(row) = slices.row(whole) else { return };
    let sizes = parts.iter().map(|part| slices.size((part, whole.1))).collect::<Option<Vec<_>>>();
    let Some(sizes) = sizes.filter(|sizes| sizes.iter().sum::<usize>() == row.len()) else { return };
    let mut at = row.start;
    for (part, size) in parts.iter().zip(sizes) {
        match slices.row((part, whole.1)) {
            Some(elements) => elements.enumerate().for_each(|(offset, element)| slices.unite(at + offset, element)),
            // A part of one channel, which is not followed.
            None => slices.lock(at..at + size, "it is joined with, or cut into, parts of single channels"),
        }
        slices.touch((part, whole.1));
        at += size;
    }
    slices.touch(whole);
}

/// Steps other than 1 are left to be locked.
pub(super) fn slice<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    let Ok(Some(cuts)) = cuts(op) else { return };
    slices.tie_all(input, output, |axis| cuts.iter().any(|cut| cut.axis == axis));
    for cut in cuts.iter().filter(|cut| cut.step == 1) {
        if slices.row((input, cut.axis)).is_none() {
            continue;
        }
        let indices: Vec<_> = cut.indices().filter_map(|index| usize::try_from(index).ok()).collect();
        pick((input, cut.axis), (output, cut.axis), &indices, slices);
    }
}

/// Only lists of constant indices are followed.
pub(super) fn gather<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    let Ok(along) = axis(op.node.int("axis").unwrap_or(0), slices.rank(input)) else { return };
    let (Some(indices), Some(size)) = (op.indices(1), slices.size((input, along))) else { return };
    slices.tie_all(input, output, |axis| axis == along);
    let from_start =
        |index: i64| usize::try_from(if index < 0 { index.checked_add_unsigned(size as u64)? } else { index }).ok();
    if let Some(indices) = indices.into_iter().map(from_start).collect::<Option<Vec<_>>>() {
        pick((input, along), (output, along), &indices, slices);
        // The list itself is written anew when it has to.
        if let Some(list) = op.node.input_name(1) {
            slices.touch((list, 0));
        }
    }
}

/// Element `at` of `to` is element `indices[at]` of `from`.
fn pick<'a>(from: Axis<'a>, to: Axis<'a>, indices: &[usize], slices: &mut Slices<'a>) {
    let (Some(all), Some(picked)) = (slices.row(from), slices.row(to)) else { return };
    if picked.len() != indices.len() || indices.iter().any(|&index| index >= all.len()) {
        return;
    }
    for (element, index) in picked.zip(indices) {
        slices.unite(element, all.start + index);
    }
    slices.touch(from);
    slices.touch(to);
}

/// Padding adds elements that nobody can take away.
pub(super) fn pad<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    let rank = slices.rank(input);
    let Ok(Some(pads)) = pads(op, rank) else { return };
    let constant = matches!(op.node.string("mode"), None | Some("constant"));
    for (at, &(before, after)) in pads.iter().enumerate() {
        if (before, after) == (0, 0) {
            slices.tie((input, at), (output, at));
        }
        let (Ok(before), Ok(after)) = (usize::try_from(before), usize::try_from(after)) else { continue };
        let (Some(from), Some(to)) = (slices.row((input, at)), slices.row((output, at))) else { continue };
        if constant && before + from.len() + after == to.len() && before + after > 0 {
            for (offset, element) in from.enumerate() {
                slices.unite(element, to.start + before + offset);
            }
            slices.lock(to.start..to.start + before, "it is added by padding");
            slices.lock(to.end - after..to.end, "it is added by padding");
            slices.touch((input, at));
            slices.touch((output, at));
        }
    }
}
