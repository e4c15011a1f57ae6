//! What of a layer its time depends on.

use std::collections::BTreeSet;
use std::fmt;

use takt_graph::Model;
use takt_graph::channels::{Groups, Role};
use takt_graph::graph::Index;
use takt_graph::onnx::NodeProto;
use takt_graph::shape::{Facts, infer};

use super::error::LatencyError;
use super::ladder::rungs;

/// A convolution or matrix product of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Place of its node in the graph.
    pub node: usize,
    /// Its weight's name.
    pub weight: String,
    /// Channels it reads.
    pub inputs: usize,
    /// Channels it makes.
    pub outputs: usize,
    /// Everything else.
    pub kind: Kind,
}

/// A layer but for its counts of channels; layers of one kind share their times.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A convolution in which every output reads every input.
    Conv(Window),
    /// A convolution in groups, which are dropped as a whole; depthwise is one in, one out.
    Grouped {
        /// How it looks at its input.
        window: Window,
        /// Inputs of a group.
        inputs: usize,
        /// Outputs of a group.
        outputs: usize,
    },
    /// A product with a matrix.
    Product {
        /// Rows of the other operand.
        rows: usize,
    },
}

/// How a convolution looks at its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps down and across.
    pub strides: [i64; 2],
    /// Rows and columns added: above, left, below, right.
    pub pads: [i64; 4],
    /// Distance of the kernel's elements.
    pub dilations: [i64; 2],
    /// Height and width of the image it reads.
    pub image: [usize; 2],
}

impl Kind {
    /// The two counts by which times are kept: inputs and outputs; of a grouped convolution its groups.
    #[must_use]
    pub fn point(&self, inputs: f64, outputs: f64) -> [f64; 2] {
        match self {
            Self::Grouped { outputs: per_group, .. } => [outputs / (*per_group).max(1) as f64, 1.0],
            _ => [inputs, outputs],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv(window) => write!(f, "conv {window}"),
            Self::Grouped { window, inputs, outputs } => write!(f, "conv groups {inputs} to {outputs} {window}"),
            Self::Product { rows } => write!(f, "product rows {rows}"),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel: [kh, kw], strides: [down, across], pads, dilations: [dh, dw], image: [h, w] } = self;
        let [above, left, below, right] = pads;
        let pads = format!("pads {above},{left},{below},{right}");
        write!(f, "{kh}x{kw} strides {down}x{across} {pads} dilations {dh}x{dw} image {h}x{w}")
    }
}

impl Layer {
    /// The counts at which it is to be measured, if `groups` are pruned by `block`: both counts of [`Kind::point`].
    pub(super) fn grid(&self, groups: &Groups, block: usize) -> [Vec<usize>; 2] {
        let members = groups.groups.iter().flat_map(|group| &group.members);
        let pruned: BTreeSet<Role> =
            members.filter(|member| member.initializer == self.weight).map(|member| member.role).collect();
        let counts = |role, whole| if pruned.contains(&role) { rungs(whole, block) } else { vec![whole] };
        match &self.kind {
            Kind::Grouped { outputs, .. } => [counts(Role::Filters, self.outputs / (*outputs).max(1)), vec![1]],
            _ => [counts(Role::Inputs, self.inputs), counts(Role::Filters, self.outputs)],
        }
    }
}

/// The layers of a model that would be quantised; what else it does is not measured.
pub(super) fn layers(model: &Model) -> Result<Vec<Layer>, LatencyError> {
    let facts = infer(model)?;
    let index = model.graph().index();
    let mut layers = Vec::new();
    for (node, proto) in model.graph().node.iter().enumerate() {
        layers.extend(layer(node, proto, &facts, &index)?);
    }
    Ok(layers)
}

fn layer(place: usize, node: &NodeProto, facts: &Facts, index: &Index<'_>) -> Result<Option<Layer>, LatencyError> {
    let (Some(input), Some(weight)) = (node.input_name(0), node.input_name(1)) else { return Ok(None) };
    let Some(tensor) = index.constant(weight) else { return Ok(None) };
    let Ok(shape) = tensor.shape() else { return Ok(None) };
    let of = |inputs, outputs, kind| {
        let layer = Layer { node: place, weight: weight.to_owned(), inputs, outputs, kind };
        Ok(Some(layer))
    };
    let set = |name: &str| node.int(name).unwrap_or(0) != 0;
    match (node.op_type(), shape.as_slice()) {
        _ if !node.standard() => Ok(None),
        ("Conv", &[filters, per_group, kernel_height, kernel_width]) => {
            let size = |axis| facts.get(input).dim(axis).and_then(takt_graph::shape::Dim::size);
            let (Some(height), Some(width)) = (size(2), size(3)) else {
                return Err(LatencyError::Size { node: node.label(), found: facts.get(input).to_string() });
            };
            let window = window(node, [kernel_height, kernel_width], [height, width]);
            match node.int("group").and_then(|groups| usize::try_from(groups).ok()).unwrap_or(1) {
                0 | 1 => of(per_group, filters, Kind::Conv(window)),
                groups => {
                    let kind = Kind::Grouped { window, inputs: per_group, outputs: filters / groups };
                    of(per_group * groups, filters, kind)
                }
            }
        }
        ("Gemm" | "MatMul", &[rows, columns]) if !set("transA") => {
            let [inputs, outputs] = if set("transB") { [columns, rows] } else { [rows, columns] };
            // One image: what is not known is the batch.
            let dims = facts.get(input).shape.as_deref().unwrap_or_default();
            let dims = dims.iter().take(dims.len().saturating_sub(1));
            let rows = dims.filter_map(|dim| usize::try_from(dim.eval(&|_| Some(1))?).ok()).product();
            of(inputs, outputs, Kind::Product { rows })
        }
        _ => Ok(None),
    }
}

fn window(node: &NodeProto, kernel: [usize; 2], image: [usize; 2]) -> Window {
    fn ints<const N: usize>(node: &NodeProto, name: &str, otherwise: i64) -> [i64; N] {
        node.ints(name).and_then(|ints| ints.try_into().ok()).unwrap_or([otherwise; N])
    }
    let (strides, dilations) = (ints(node, "strides", 1), ints(node, "dilations", 1));
    let pads = match node.string("auto_pad") {
        Some("SAME_UPPER" | "SAME_LOWER") => same(kernel, image, strides, dilations),
        Some("VALID") => [0; 4],
        _ => ints(node, "pads", 0),
    };
    Window { kernel, strides, pads, dilations, image }
}

/// The padding that gives an output per stride, larger below and right: on which side it lies is no matter of time.
fn same(kernel: [usize; 2], image: [usize; 2], strides: [i64; 2], dilations: [i64; 2]) -> [i64; 4] {
    let both = |axis: usize| {
        let int = |size: usize| i64::try_from(size).unwrap_or(i64::MAX / 2);
        let (size, stride) = (int(image[axis]), strides[axis].max(1));
        let reach = (int(kernel[axis]) - 1) * dilations[axis] + 1;
        (((size + stride - 1) / stride - 1) * stride + reach - size).max(0)
    };
    let (down, across) = (both(0), both(1));
    [down / 2, across / 2, down - down / 2, across - across / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_that_keeps_the_size_is_worked_out() {
        let conv = NodeProto::new("Conv", "c", &["x", "w"], &["y"]);
        assert_eq!(same([3, 3], [16, 16], [1, 1], [1, 1]), [1, 1, 1, 1]);
        assert_eq!(same([3, 5], [16, 16], [2, 1], [1, 2]), [0, 4, 1, 4]);
        let plain = window(&conv.with_ints("pads", &[1, 2, 3, 4]), [3, 3], [8, 8]);
        assert_eq!(plain.pads, [1, 2, 3, 4]);
        assert_eq!(plain.to_string(), "3x3 strides 1x1 pads 1,2,3,4 dilations 1x1 image 8x8");
    }
}
