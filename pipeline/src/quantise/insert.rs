//! Writes grids into the graph as QuantizeLinear and DequantizeLinear (onnx, docs/Operators.md), the form that every runtime
//! reads: ONNX Runtime and TensorRT replace what stands between them by integer kernels.

use std::collections::{BTreeMap, HashSet};

use takt_graph::Model;
use takt_graph::graph::Fresh;
use takt_graph::onnx::{GraphProto, NodeProto, TensorProto};

use super::QuantiseError;
use super::grid::Grid;
use super::layer::Layer;
use super::plan::{Plan, channel_axis};

/// What stands in the graph for weights and biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Integers and DequantizeLinear, for a runtime.
    Integers,
    /// Single precision that goes onto the grid as the net runs, so that a gradient can move it.
    Trainable,
}

/// Names of initialisers that came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Scales of activations, by group.
    pub steps: BTreeMap<String, String>,
    /// By place of the node.
    pub layers: BTreeMap<usize, LayerNames>,
}

/// Names of a layer's initialisers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LayerNames {
    pub weight: String,
    pub scale: String,
    pub bias: Option<String>,
}

/// Puts `grids` (by group) and `layers` (by place) into the model.
pub(super) fn insert(
    model: &mut Model,
    plan: &Plan,
    grids: &BTreeMap<String, Grid>,
    layers: &BTreeMap<usize, Layer>,
    form: Form,
) -> Result<Names, QuantiseError> {
    let mut writer = Writer { fresh: Fresh::of(model.graph()), form, nodes: Vec::new(), tensors: Vec::new() };
    let mut names = Names::default();
    let graph = model.graph_mut();
    for (&place, layer) in layers {
        if let Some(node) = graph.node.get_mut(place) {
            names.layers.insert(place, writer.layer(node, layer));
        }
    }
    let mut groups = BTreeMap::new();
    let mut ends = BTreeMap::new();
    for (value, group) in &plan.grids {
        let Some(grid) = grids.get(group) else { continue };
        let parameters = groups.entry(group).or_insert_with(|| writer.parameters(group, grid));
        ends.insert(value.clone(), writer.pair(value, parameters));
    }
    names.steps = groups.into_iter().map(|(group, parameters)| (group.clone(), parameters.scale)).collect();
    for name in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(end) = ends.get(name) {
            name.clone_from(end);
        }
    }
    graph.node.append(&mut writer.nodes);
    graph.initializer.append(&mut writer.tensors);
    drop_unused(graph);
    model.check()?;
    Ok(names)
}

struct Writer {
    fresh: Fresh,
    form: Form,
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

    /// Gives a node weights on their grid and its new bias.
    fn layer(&mut self, node: &mut NodeProto, layer: &Layer) -> LayerNames {
        let channels = layer.rows.channels();
        let axis = channel_axis(node);
        let scale = self.tensor(&format!("{}.scale", layer.weight), |name| {
            TensorProto::from_f32(name, &[channels], &layer.quantised.scales)
        });
        let zero = self.tensor(&format!("{}.zero_point", layer.weight), |name| {
            TensorProto::from_i8(name, &[channels], &vec![0; channels])
        });
        let (weight, integers) = match self.form {
            Form::Integers => {
                let weight = self.tensor(&format!("{}.quantised", layer.weight), |name| {
                    layer.rows.integers(name, &layer.quantised.integers)
                });
                (weight.clone(), weight)
            }
            Form::Trainable => self.rounded(layer, [&scale, &zero], axis),
        };
        let real = self.dequantise(&layer.weight, [&integers, &scale, &zero], axis);
        if let Some(input) = node.input.get_mut(1) {
            *input = real;
        }
        let bias = layer.bias.as_ref().map(|bias| self.bias(node, layer, bias));
        LayerNames { weight, scale, bias }
    }

    /// Weights in single precision and the integers that they become: names of both.
    fn rounded(&mut self, layer: &Layer, [scale, zero]: [&str; 2], axis: usize) -> (String, String) {
        let base = &layer.weight;
        let weight = self.tensor(&format!("{base}.trainable"), |name| layer.rows.tensor(name, &layer.trainable()));
        let whole = self.fresh.name(&format!("{base}.quantised"));
        let name = self.fresh.name(&format!("{base}.quantise"));
        let axis = i64::try_from(axis).unwrap_or(0);
        let quantise = NodeProto::new("QuantizeLinear", &name, &[&weight, scale, zero], &[&whole]);
        self.nodes.push(quantise.with_int("axis", axis));
        let bound = i8::try_from(layer.target.weight_bound()).unwrap_or(i8::MAX);
        let ends = [("low", -bound), ("high", bound)].map(|(end, bound)| {
            self.tensor(&format!("{base}.{end}"), |name| TensorProto::from_i8(name, &[], &[bound]))
        });
        let clipped = self.fresh.name(&format!("{base}.clipped"));
        let name = self.fresh.name(&format!("{base}.clip"));
        self.nodes.push(NodeProto::new("Clip", &name, &[&whole, &ends[0], &ends[1]], &[&clipped]));
        (weight, clipped)
    }

    /// Returns the name of the bias's initialiser.
    fn bias(&mut self, node: &mut NodeProto, layer: &Layer, bias: &[f32]) -> String {
        let channels = bias.len();
        let base = node.input_name(2).map_or_else(|| format!("{}.bias", layer.weight), str::to_owned);
        let as_integers = self.form == Form::Integers && layer.target.integer_bias();
        let (stored, input) = match layer.integer_bias().filter(|_| as_integers) {
            Some(integers) => {
                let values = self
                    .tensor(&format!("{base}.quantised"), |name| TensorProto::from_i32(name, &[channels], &integers));
                let scales = layer.bias_scales();
                let scale =
                    self.tensor(&format!("{base}.scale"), |name| TensorProto::from_f32(name, &[channels], &scales));
                let zero = self.tensor(&format!("{base}.zero_point"), |name| {
                    TensorProto::from_i32(name, &[channels], &vec![0; channels])
                });
                let real = self.dequantise(&base, [&values, &scale, &zero], 0);
                (values, real)
            }
            None => {
                let real = self.tensor(&base, |name| TensorProto::from_f32(name, &[channels], bias));
                (real.clone(), real)
            }
        };
        node.input.resize(3, String::new());
        if let Some(slot) = node.input.get_mut(2) {
            *slot = input;
        }
        stored
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
