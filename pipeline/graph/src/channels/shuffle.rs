//! The channel shuffle of ShuffleNet (Zhang et al. 2018): `Reshape` to groups, `Transpose` groups and channels, `Reshape`
//! back. It only permutes channels, but its constants allow no other number of them, so it is treated as one operator.

use crate::Index;
use crate::onnx::GraphProto;
use crate::shape::{Dim, Facts};

/// A shuffle: the places of its nodes, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shuffle<'a> {
    pub nodes: [usize; 3],
    pub input: &'a str,
    pub output: &'a str,
    pub groups: usize,
    /// Channels per group.
    pub each: usize,
}

impl Shuffle<'_> {
    /// Which input channel becomes output channel `at`.
    pub const fn source(&self, at: usize) -> usize {
        (at % self.groups) * self.each + at / self.groups
    }

    pub const fn channels(&self) -> usize {
        self.groups * self.each
    }
}

/// The shuffle that begins with the node at `place`, if one does.
pub(super) fn at<'a>(graph: &'a GraphProto, index: &Index<'_>, facts: &Facts, place: usize) -> Option<Shuffle<'a>> {
    let first = graph.node.get(place).filter(|node| node.is("Reshape"))?;
    let transpose_place = index.only_consumer(first.output_name(0)?)?;
    let transpose = graph.node.get(transpose_place).filter(|node| node.is("Transpose"))?;
    let second_place = index.only_consumer(transpose.output_name(0)?)?;
    let second = graph.node.get(second_place).filter(|node| node.is("Reshape"))?;
    let (input, output) = (first.input_name(0)?, second.output_name(0)?);
    let from = facts.get(input).shape.as_deref()?;
    let through = facts.get(first.output_name(0)?).shape.as_deref()?;
    let to = facts.get(output).shape.as_deref()?;
    let swapped = transpose.ints("perm")?;
    let expected = (0_i64..).take(through.len()).map(|axis| match axis {
        1 => 2,
        2 => 1,
        other => other,
    });
    let (groups, each) = (through.get(1)?.size()?, through.get(2)?.size()?);
    let same = from == to
        && swapped.iter().copied().eq(expected)
        && from.get(1).and_then(Dim::size) == groups.checked_mul(each)
        && from.len() + 1 == through.len();
    (same && outside_equal(from, through)).then_some(Shuffle {
        nodes: [place, transpose_place, second_place],
        input,
        output,
        groups,
        each,
    })
}

/// Whether batch and spatial axes are what they were.
fn outside_equal(from: &[Dim], through: &[Dim]) -> bool {
    from[0] == through[0] && from[2..] == through[3..]
}
