//! Walks the graph node by node with two nets side by side: the one in single precision and the one on grids.
//!
//! One walk gives what needs both: rounding that makes up for the errors before it, biases that keep the means, and how far
//! each value has come from the truth. Only values that somebody still needs are in memory.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use takt_graph::Model;
use takt_graph::execute::{Executor, Mode, Options as ExecutorOptions};
use takt_graph::graph::Index;
use takt_graph::onnx::{GraphProto, NodeProto, TensorProto};
use takt_graph::shape::Facts;

use super::calibrate::numbers;
use super::grid::Grid;
use super::layer::{self, Layer};
use super::plan::Plan;
use super::report::Agreement;
use super::{Options, Progress, QuantiseError, Target, Watch, go_on};

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// By place of the node.
    pub layers: BTreeMap<usize, Layer>,
    /// Of every value with a grid, and of the graph's outputs.
    pub agreement: BTreeMap<String, Agreement>,
}

/// A value in one of the nets, batch by batch.
type Batches = Vec<Tensor>;

/// What the walk is made of.
pub(super) struct Walk<'a> {
    pub model: &'a Model,
    pub facts: &'a Facts,
    pub plan: &'a Plan,
    /// By value.
    pub grids: &'a BTreeMap<String, Grid>,
    pub target: Target,
    pub options: &'a Options,
}

/// Both nets' values that are still needed.
#[derive(Default)]
struct Lanes {
    exact: HashMap<String, Batches>,
    rounded: HashMap<String, Batches>,
    /// Uses to come.
    uses: HashMap<String, usize>,
}

impl Walk<'_> {
    /// `images` are batches of the graph's one input.
    pub fn run(&self, images: &[Tensor], progress: &mut Watch<'_>) -> Result<Walked, QuantiseError> {
        let graph = self.model.graph();
        let index = graph.index();
        let mut lanes = Lanes::default();
        for name in graph.node.iter().flat_map(|node| &node.input) {
            *lanes.uses.entry(name.clone()).or_default() += 1;
        }
        let mut walked = Walked::default();
        let batches = images.len();
        if let Some(input) = graph.input.iter().find(|input| index.initializer(input.name()).is_none()) {
            self.keep(input.name(), images.to_vec(), images, &mut lanes, &mut walked)?;
        }
        for (place, node) in graph.node.iter().enumerate() {
            let constants: Vec<TensorProto> =
                node.input.iter().filter_map(|name| index.initializer(name)).cloned().collect();
            let runner = Runner::new(self, node, &index, constants.clone())?;
            let exact = runner.run(&lanes.exact, batches)?;
            let rounded = if self.plan.weighted.contains(&place) {
                let done = walked.layers.len() + 1;
                go_on(progress(Progress::Layer { node: &node.label(), done, of: self.plan.weighted.len() }))?;
                let (layer, output) = self.layer(node, &index, &lanes, &exact[0], batches)?;
                walked.layers.insert(place, layer);
                vec![output]
            } else {
                runner.run(&lanes.rounded, batches)?
            };
            for ((name, exact), rounded) in node.output.iter().zip(exact).zip(rounded) {
                self.keep(name, exact, &rounded, &mut lanes, &mut walked)?;
            }
            for name in &node.input {
                lanes.used(name);
            }
        }
        Ok(walked)
    }

    /// Takes a value into both lanes, on its grid where it has one.
    fn keep(
        &self,
        name: &str,
        exact: Batches,
        rounded: &[Tensor],
        lanes: &mut Lanes,
        walked: &mut Walked,
    ) -> Result<(), QuantiseError> {
        let grid = self.grids.get(name);
        let snap = |tensor: &Tensor| {
            let Some(grid) = grid else { return Ok(tensor.clone()) };
            let snapped: Vec<f32> = numbers(tensor)?.into_iter().map(|value| grid.snap(value)).collect();
            Tensor::from_vec(snapped, tensor.dims(), &Device::Cpu)
        };
        let rounded = rounded.iter().map(snap).collect::<candle_core::Result<Batches>>()?;
        if grid.is_some() || self.model.graph().output.iter().any(|output| output.name() == name) {
            walked.agreement.insert(name.to_owned(), agreement(&exact, &rounded)?);
        }
        if lanes.uses.get(name).is_some_and(|&uses| uses > 0) {
            lanes.exact.insert(name.to_owned(), exact);
            lanes.rounded.insert(name.to_owned(), rounded);
        }
        Ok(())
    }

    /// Quantises the layer at `node` and runs it.
    fn layer(
        &self,
        node: &NodeProto,
        index: &Index<'_>,
        lanes: &Lanes,
        exact: &[Tensor],
        batches: usize,
    ) -> Result<(Layer, Batches), QuantiseError> {
        let input = node.input_name(0).unwrap_or_default();
        let inputs = lanes.rounded.get(input).map(Vec::as_slice).unwrap_or_default();
        let input_scale = self.grids.get(input).map_or(1.0, |grid| grid.scale);
        let mut layer = Layer::round(node, index, input_scale, inputs, exact, (self.target, self.options))?;
        let mut constants = vec![layer.weight_in_floats()];
        constants.extend(node.input_name(2).and_then(|name| index.initializer(name)).cloned());
        let runner = Runner::new(self, node, index, constants)?;
        let output = runner.run(&lanes.rounded, batches)?.into_iter().next().unwrap_or_default();
        let shift = layer.settle_bias(node, exact, &output, self.options)?;
        let output = output
            .iter()
            .map(|output| layer::add_to_channels(output, &shift))
            .collect::<candle_core::Result<Batches>>()?;
        layer.agreement = agreement(exact, &output)?;
        Ok((layer, output))
    }
}

impl Lanes {
    fn used(&mut self, name: &str) {
        let Some(uses) = self.uses.get_mut(name) else { return };
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            self.exact.remove(name);
            self.rounded.remove(name);
        }
    }
}

/// One node as a model of its own.
struct Runner {
    executor: Executor,
    inputs: Vec<String>,
}

impl Runner {
    fn new(
        walk: &Walk<'_>,
        node: &NodeProto,
        index: &Index<'_>,
        constants: Vec<TensorProto>,
    ) -> Result<Self, QuantiseError> {
        let mut inputs: Vec<String> = Vec::new();
        for name in node.input.iter().filter(|name| !name.is_empty() && index.initializer(name).is_none()) {
            if !inputs.contains(name) {
                inputs.push(name.clone());
            }
        }
        let declare = |name: &String| walk.facts.get(name).declare(name);
        let mut initializer: Vec<TensorProto> = Vec::new();
        for tensor in constants {
            if !initializer.iter().any(|there| there.name() == tensor.name()) {
                initializer.push(tensor);
            }
        }
        let graph = GraphProto {
            name: Some("node".to_owned()),
            node: vec![node.clone()],
            input: inputs.iter().map(declare).collect(),
            output: node.output.iter().map(declare).collect(),
            initializer,
            ..GraphProto::default()
        };
        let model = Model::from_graph(graph, walk.model.opset())?;
        let executor = Executor::new(&model, &ExecutorOptions { frozen: true, taps: Vec::new() })?;
        Ok(Self { executor, inputs })
    }

    /// The node's outputs, each batch by batch.
    fn run(&self, lane: &HashMap<String, Batches>, batches: usize) -> Result<Vec<Batches>, QuantiseError> {
        let mut outputs: Vec<Batches> = Vec::new();
        for at in 0..batches {
            let value = |name: &String| lane.get(name).and_then(|batches| batches.get(at)).cloned();
            let inputs: Vec<Tensor> = self.inputs.iter().filter_map(value).collect();
            let made = self.executor.run(&inputs, Mode::Eval)?.outputs;
            outputs.resize_with(made.len(), Vec::new);
            outputs.iter_mut().zip(made).for_each(|(output, made)| output.push(made));
        }
        Ok(outputs)
    }
}

fn agreement(exact: &[Tensor], rounded: &[Tensor]) -> Result<Agreement, QuantiseError> {
    let mut agreement = Agreement::default();
    for (exact, rounded) in exact.iter().zip(rounded) {
        agreement.add(&numbers(exact)?, &numbers(rounded)?);
    }
    Ok(agreement)
}
