//! Writes grids into the graph as QuantizeLinear and DequantizeLinear (onnx, docs/Operators.md), the form that every runtime
//! reads: ONNX Runtime and TensorRT replace what stands between them by integer kernels.

use std::collections::{BTreeMap, HashSet};

use takt_graph::Model;
use takt_graph::graph::Fresh;
use takt_graph::onnx::{GraphProto, NodeProto, TensorProto};

use super::grid::Grid;
use super::layer::Layer;
use super::plan::{Plan, channel_axis};
use super::{QuantiseError, Target};

/// Puts `grids` (by group) and `layers` (by place) into the model.
pub(super) fn insert(
    model: &mut Model,
    plan: &Plan,
    grids: &BTreeMap<String, Grid>,
    layers: &BTreeMap<usize, Layer>,
    target: Target,
) -> Result<(), QuantiseError> {
    let mut writer = Writer { fresh: Fresh::of(model.graph()), target, nodes: Vec::new(), tensors: Vec::new() };
    let graph = model.graph_mut();
    for (&place, layer) in layers {
        if let Some(node) = graph.node.get_mut(place) {
            writer.layer(node, layer);
        }
    }
    let mut groups = BTreeMap::new();
    let mut ends = BTreeMap::new();
    for (value, group) in &plan.grids {
        let Some(grid) = grids.get(group) else { continue };
        let parameters = groups.entry(group).or_insert_with(|| writer.parameters(group, grid));
        ends.insert(value.clone(), writer.pair(value, parameters));
    }
    let names = graph.node.iter_mut().flat_map(|node| &mut node.input);
    for name in names {
        if let Some(end) = ends.get(name) {
            name.clone_from(end);
        }
    }
    graph.node.append(&mut writer.nodes);
    graph.initializer.append(&mut writer.tensors);
    drop_unused(graph);
    model.check()?;
    Ok(())
}

struct Writer {
    fresh: Fresh,
    target: Target,
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
}

/// Names of a grid's scale and zero point.
struct Parameters {
    scale: String,
    zero_point: String,
}

impl Writer {
    /// Adds a tensor under a free name like `name`, which is returned.
    fn tensor(&mut self, name: &str, make: impl FnOnce(&str) -> TensorProto) -> String {
        let name = self.fresh.name(name);
        self.tensors.push(make(&name));
        name
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "zero points are within the grid's bytes"
    )]
    fn parameters(&mut self, group: &str, grid: &Grid) -> Parameters {
        let zero = grid.zero_point;
        Parameters {
            scale: self.tensor(&format!("{group}.scale"), |name| TensorProto::from_f32(name, &[], &[grid.scale])),
            zero_point: self.tensor(&format!("{group}.zero_point"), |name| match grid.low < 0 {
                true => TensorProto::from_i8(name, &[], &[zero as i8]),
                false => TensorProto::from_u8(name, &[], &[zero as u8]),
            }),
        }
    }

    /// Quantises `value` and back; returns the name of what comes out.
    fn pair(&mut self, value: &str, Parameters { scale, zero_point }: &Parameters) -> String {
        let quantised = self.fresh.name(&format!("{value}.quantised"));
        let real = self.fresh.name(&format!("{value}.dequantised"));
        let names = [self.fresh.name(&format!("{value}.quantise")), self.fresh.name(&format!("{value}.dequantise"))];
        self.nodes.push(NodeProto::new("QuantizeLinear", &names[0], &[value, scale, zero_point], &[&quantised]));
        self.nodes.push(NodeProto::new("DequantizeLinear", &names[1], &[&quantised, scale, zero_point], &[&real]));
        real
    }

    /// Gives a node quantised weights and its new bias.
    fn layer(&mut self, node: &mut NodeProto, layer: &Layer) {
        let axis = channel_axis(node);
        let channels = layer.rows.channels();
        let weight = self.tensor(&format!("{}.quantised", layer.weight), |name| {
            layer.rows.integers(name, &layer.quantised.integers)
        });
        let scale = self.tensor(&format!("{}.scale", layer.weight), |name| {
            TensorProto::from_f32(name, &[channels], &layer.quantised.scales)
        });
        let zero = self.tensor(&format!("{}.zero_point", layer.weight), |name| {
            TensorProto::from_i8(name, &[channels], &vec![0; channels])
        });
        let weight = self.dequantise(&layer.weight, [&weight, &scale, &zero], axis);
        if let Some(input) = node.input.get_mut(1) {
            *input = weight;
        }
        let Some(bias) = &layer.bias else { return };
        let base = node.input_name(2).map_or_else(|| format!("{}.bias", layer.weight), str::to_owned);
        let bias = match layer.integer_bias().filter(|_| self.target.integer_bias()) {
            Some(integers) => {
                let values = self
                    .tensor(&format!("{base}.quantised"), |name| TensorProto::from_i32(name, &[channels], &integers));
                let scales = layer.bias_scales();
                let scale =
                    self.tensor(&format!("{base}.scale"), |name| TensorProto::from_f32(name, &[channels], &scales));
                let zero = self.tensor(&format!("{base}.zero_point"), |name| {
                    TensorProto::from_i32(name, &[channels], &vec![0; channels])
                });
                self.dequantise(&base, [&values, &scale, &zero], 0)
            }
            None => self.tensor(&base, |name| TensorProto::from_f32(name, &[channels], bias)),
        };
        node.input.resize(3, String::new());
        if let Some(input) = node.input.get_mut(2) {
            *input = bias;
        }
    }

    fn dequantise(&mut self, base: &str, inputs: [&str; 3], axis: usize) -> String {
        let real = self.fresh.name(&format!("{base}.dequantised"));
        let name = self.fresh.name(&format!("{base}.dequantise"));
        let axis = i64::try_from(axis).unwrap_or(0);
        self.nodes.push(NodeProto::new("DequantizeLinear", &name, &inputs, &[&real]).with_int("axis", axis));
        real
    }
}

/// Removes initialisers that no node reads, bodies included.
fn drop_unused(graph: &mut GraphProto) {
    let index = graph.index();
    let named = graph.initializer.iter().map(TensorProto::name);
    let used: HashSet<String> =
        named.filter(|name| !index.consumers(name).is_empty() || index.is_output(name)).map(str::to_owned).collect();
    graph.initializer.retain(|tensor| used.contains(tensor.name()));
    graph.input.retain(|input| {
        used.contains(input.name()) || !graph.initializer.iter().any(|tensor| tensor.name() == input.name())
    });
}
