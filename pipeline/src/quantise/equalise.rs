//! Cross-layer equalisation (Nagel et al. 2019, section 4.1).
//!
//! `f(s * x) = s * f(x)` holds for ReLU and LeakyReLU and s > 0, so a channel may be divided by `s` in one convolution and
//! multiplied by `s` in the next. It does not hold for Clip, HardSwish or SiLU.

use takt_graph::Model;
use takt_graph::graph::Index;
use takt_graph::onnx::{NodeProto, TensorProto};

use super::QuantiseError;

/// Two convolutions with nothing but a homogeneous activation between; places in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    first: usize,
    second: usize,
}

/// Rounds over all pairs. Chains settle geometrically; the paper iterates to convergence, which this is for depths in use.
const ROUNDS: usize = 20;

/// Factors this near to 1 change nothing.
const SETTLED: f32 = 1e-3;

/// No channel is moved further than this: weights of nearly nothing would become noise.
const MOST: f32 = 1e4;

/// Evens out the largest weights of every channel between the convolution that makes it and the one that reads it. Changes
/// no output but by rounding. Returns how many pairs there are.
pub(super) fn equalise(model: &mut Model) -> Result<usize, QuantiseError> {
    let pairs = pairs(model);
    for _ in 0..ROUNDS {
        let mut furthest = 0.0_f32;
        for pair in &pairs {
            furthest = furthest.max(balance(model, *pair)?);
        }
        if furthest < SETTLED {
            break;
        }
    }
    Ok(pairs.len())
}

fn pairs(model: &Model) -> Vec<Pair> {
    let nodes = &model.graph().node;
    let index = model.graph().index();
    let next = |node: &NodeProto| node.output_name(0).and_then(|output| index.only_consumer(output));
    let homogeneous = |node: &NodeProto| node.is("Relu") || node.is("LeakyRelu");
    let pair = |first: usize| {
        let conv = nodes.get(first).filter(|node| movable(node, &index))?;
        let behind = next(conv)?;
        let behind = if homogeneous(nodes.get(behind)?) { next(nodes.get(behind)?)? } else { behind };
        let second = nodes.get(behind).filter(|node| movable(node, &index))?;
        Some(Pair { first, second: behind })
            .filter(|_| second.input_name(0).is_some_and(|input| index.initializer(input).is_none()))
    };
    (0..nodes.len()).filter_map(pair).collect()
}

/// Convolutions whose weights and bias are constants nobody else reads.
fn movable(node: &NodeProto, index: &Index<'_>) -> bool {
    let own = |slot| {
        let name = node.input_name(slot);
        name.is_none_or(|name| index.constant(name).is_some() && index.consumers(name).len() == 1)
    };
    node.is("Conv") && node.input_name(1).is_some() && own(1) && own(2)
}

/// Returns how far the largest factor is from 1.
fn balance(model: &mut Model, Pair { first, second }: Pair) -> Result<f32, QuantiseError> {
    let name = |node: usize, slot: usize| {
        model.graph().node.get(node).and_then(|node| node.input_name(slot)).map(str::to_owned)
    };
    let groups = model.graph().node.get(second).and_then(|node| node.int("group")).unwrap_or(1);
    let (Some(from), Some(to)) = (name(first, 1), name(second, 1)) else { return Ok(0.0) };
    let bias = name(first, 2);
    let mut makes = Weights::read(model, &from)?;
    let mut reads = Weights::read(model, &to)?;
    let groups = usize::try_from(groups).unwrap_or(1).max(1);
    let made = makes.outputs();
    let most_made: Vec<f32> = makes.values.chunks(makes.each()).map(largest).collect();
    let mut most_read = vec![0.0_f32; made];
    reads.by_input(groups, |channel, weights| most_read[channel] = most_read[channel].max(largest(weights)));
    let factor = |(&made, &read): (&f32, &f32)| {
        if made > 0.0 && read > 0.0 { (made / read).sqrt().clamp(1.0 / MOST, MOST) } else { 1.0 }
    };
    let factors: Vec<f32> = most_made.iter().zip(&most_read).map(factor).collect();
    let each = makes.each();
    for (row, factor) in makes.values.chunks_mut(each).zip(&factors) {
        row.iter_mut().for_each(|value| *value /= factor);
    }
    reads.by_input(groups, |channel, weights| weights.iter_mut().for_each(|value| *value *= factors[channel]));
    makes.write(model, &from);
    reads.write(model, &to);
    if let Some(bias) = bias {
        let mut values = Weights::read(model, &bias)?;
        values.values.iter_mut().zip(&factors).for_each(|(value, factor)| *value /= factor);
        values.write(model, &bias);
    }
    Ok(factors.iter().fold(0.0, |most, factor| most.max((factor - 1.0).abs())))
}

struct Weights {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Weights {
    fn read(model: &Model, name: &str) -> Result<Self, QuantiseError> {
        let fault = |fault| QuantiseError::Tensor { name: name.to_owned(), fault };
        let Some(tensor) = model.graph().initializer_named(name) else {
            return Ok(Self { shape: Vec::new(), values: Vec::new() });
        };
        Ok(Self { shape: tensor.shape().map_err(fault)?, values: tensor.f32s().map_err(fault)? })
    }

    fn write(&self, model: &mut Model, name: &str) {
        model.graph_mut().set_initializer(TensorProto::from_f32(name, &self.shape, &self.values));
    }

    fn outputs(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Weights of one output channel.
    fn each(&self) -> usize {
        self.values.len().checked_div(self.outputs()).unwrap_or(0).max(1)
    }

    /// Shows every kernel with the channel it reads: output `o` of group `g` reads inputs from `g * inputs per group` on.
    fn by_input(&mut self, groups: usize, mut see: impl FnMut(usize, &mut [f32])) {
        let inputs = self.shape.get(1).copied().unwrap_or(1);
        let per_group = (self.outputs() / groups).max(1);
        let kernel = (self.each() / inputs.max(1)).max(1);
        let each = self.each();
        for (output, row) in self.values.chunks_mut(each).enumerate() {
            for (input, weights) in row.chunks_mut(kernel).enumerate() {
                see(output / per_group * inputs + input, weights);
            }
        }
    }
}

fn largest(values: impl AsRef<[f32]>) -> f32 {
    values.as_ref().iter().fold(0.0, |most, value| most.max(value.abs()))
}
