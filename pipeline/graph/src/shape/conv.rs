//! Convolution, and the arithmetic of windows it shares with pooling.

use super::{Dim, Fact, Op, Ruled};

/// How a window moves over the spatial axes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    pub kernel: Vec<i64>,
    pub strides: Vec<i64>,
    pub dilations: Vec<i64>,
    /// Begins of all axes, then ends of all axes.
    pub pads: Vec<i64>,
    pub ceil: bool,
    auto: Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auto {
    Explicit,
    SameUpper,
    SameLower,
    Valid,
}

impl Window {
    /// Reads the attributes; `kernel` is that of the weight where the node has none of its own.
    pub fn of(node: &crate::onnx::NodeProto, spatial: usize, kernel: Option<Vec<i64>>) -> Result<Self, String> {
        let auto = match node.string("auto_pad") {
            None | Some("" | "NOTSET") => Auto::Explicit,
            Some("SAME_UPPER") => Auto::SameUpper,
            Some("SAME_LOWER") => Auto::SameLower,
            Some("VALID") => Auto::Valid,
            Some(other) => {
                return Err(format!("found auto_pad '{other}', expected NOTSET, SAME_UPPER, SAME_LOWER or VALID"));
            }
        };
        let list = |name: &str, default: i64, length: usize, least: i64| {
            let list = node.ints(name).map_or_else(|| vec![default; length], <[i64]>::to_vec);
            // No image is that large, and sums of such numbers stay numbers.
            let sound = list.len() == length && list.iter().all(|value| (least..=1 << 30).contains(value));
            let expected = || format!("found {name} {list:?}, expected {length} numbers from {least} on");
            if sound { Ok(list.clone()) } else { Err(expected()) }
        };
        let kernel = match (node.ints("kernel_shape"), kernel) {
            (Some(told), Some(real)) if told != real => {
                return Err(format!("found kernel_shape {told:?}, but the weight's is {real:?}"));
            }
            (Some(_), _) => list("kernel_shape", 1, spatial, 1)?,
            (None, Some(real)) => real,
            (None, None) => return Err("found no kernel_shape".to_owned()),
        };
        Ok(Self {
            kernel,
            strides: list("strides", 1, spatial, 1)?,
            dilations: list("dilations", 1, spatial, 1)?,
            pads: list("pads", 0, 2 * spatial, 0)?,
            ceil: node.int("ceil_mode").unwrap_or(0) != 0,
            auto,
        })
    }

    /// How far the kernel reaches on `axis`, with dilation.
    fn reach(&self, axis: usize) -> Option<i64> {
        (self.kernel[axis] - 1).checked_mul(self.dilations[axis])?.checked_add(1)
    }

    /// Padding before and after on `axis`, whose input has `size` elements.
    pub fn padding(&self, axis: usize, size: i64) -> Option<(i64, i64)> {
        let stride = self.strides[axis];
        let out = size.checked_add(stride - 1)? / stride;
        let all = (out - 1).checked_mul(stride)?.checked_add(self.reach(axis)?)?.checked_sub(size)?.max(0);
        match self.auto {
            Auto::Explicit => Some((self.pads[axis], self.pads[axis + self.strides.len()])),
            Auto::Valid => Some((0, 0)),
            Auto::SameUpper => Some((all / 2, all - all / 2)),
            Auto::SameLower => Some((all - all / 2, all / 2)),
        }
    }

    /// Size of the output on `axis`.
    fn out(&self, axis: usize, size: i64) -> Result<i64, String> {
        let (kernel, stride) = (self.kernel[axis], self.strides[axis]);
        let too_large = || format!("found sizes that no tensor has: {size} with kernel {kernel}");
        let (before, after) = self.padding(axis, size).ok_or_else(too_large)?;
        let padded = size.checked_add(before + after).ok_or_else(too_large)?;
        let room = padded - self.reach(axis).ok_or_else(too_large)?;
        if room < 0 {
            return Err(format!(
                "found {padded} elements with padding, fewer than the kernel of {kernel} reaches over"
            ));
        }
        let whole = if self.ceil { room.saturating_add(stride - 1) / stride } else { room / stride };
        // A last window that begins in the padding at the end does not count (onnx, MaxPool, ceil_mode).
        let beyond = self.ceil && whole.saturating_mul(stride) >= size.saturating_add(before);
        let out = if beyond { whole } else { whole.saturating_add(1) };
        Ok(out)
    }

    /// Sizes of the output on all spatial axes.
    pub fn outs(&self, op: &Op<'_>, sizes: &[Dim]) -> Result<Vec<Dim>, String> {
        let out = |(axis, size): (usize, &Dim)| match size.known() {
            Some(size) => self.out(axis, size).map(Dim::from),
            None => Ok(op.unknown()),
        };
        sizes.iter().enumerate().map(out).collect()
    }
}

pub(super) fn conv(op: &Op<'_>) -> Ruled {
    let kind = op.input(0).kind;
    let (Some(input), Some(weight)) = (op.shape(0), op.shape(1)) else {
        return Ok(vec![Fact { kind, ..Fact::default() }]);
    };
    if input.len() < 3 || weight.len() != input.len() {
        let (input, weight) = (op.input(0), op.input(1));
        return Err(format!(
            "found input {input} with weight {weight}, expected [N, C, spatial..] with [M, C/group, kernel..]"
        ));
    }
    let group = op.node.int("group").unwrap_or(1);
    if let (Some(channels), Some(per_group), Some(filters)) = (input[1].known(), weight[1].known(), weight[0].known())
        && (group < 1 || per_group.checked_mul(group) != Some(channels) || filters % group != 0)
    {
        return Err(format!(
            "found {channels} input channels with weight {} in {group} groups, expected weight[1] * group input channels and weight[0] a multiple of group",
            op.input(1)
        ));
    }
    if let Some([length]) = op.shape(2)
        && length.known().zip(weight[0].known()).is_some_and(|(length, filters)| length != filters)
    {
        return Err(format!("found a bias of {length} for {} filters", weight[0]));
    }
    let kernel = weight[2..].iter().map(Dim::known).collect();
    let window = Window::of(op.node, input.len() - 2, kernel)?;
    let mut shape = vec![input[0].clone(), weight[0].clone()];
    shape.extend(window.outs(op, &input[2..])?);
    Ok(vec![Fact::new(kind, shape)])
}
