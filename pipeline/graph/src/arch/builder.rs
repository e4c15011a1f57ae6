//! Puts layers together.

use super::{ArchError, OPSET};
use crate::Model;
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{GraphProto, NodeProto, TensorProto};
use crate::random::Random;
use crate::shape::{Dim, Fact};

/// A value in the making, with its number of channels.
#[derive(Debug, Clone)]
pub(super) struct Value {
    name: String,
    pub channels: usize,
}

/// What follows a BatchNormalization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    None,
    Relu,
    Relu6,
}

/// How a convolution looks at its input; padding keeps the size at stride 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    pub size: usize,
    pub stride: usize,
    pub depthwise: bool,
}

impl Kernel {
    pub const fn new(size: usize, stride: usize) -> Self {
        Self { size, stride, depthwise: false }
    }
}

pub(super) struct Builder {
    graph: GraphProto,
    random: Random,
}

impl Builder {
    /// A graph that takes images `[batch, channels, height, width]` as `input`.
    pub fn new(name: &str, input: [usize; 3], seed: u64) -> (Self, Value) {
        let mut shape = vec![Dim::symbol("batch")];
        shape.extend(input.map(Dim::from));
        let graph = GraphProto {
            name: Some(name.to_owned()),
            input: vec![Fact::new(Some(DataType::Float), shape).declare("image")],
            ..GraphProto::default()
        };
        (Self { graph, random: Random::new(seed) }, Value { name: "image".to_owned(), channels: input[0] })
    }

    fn node(&mut self, node: NodeProto, channels: usize) -> Value {
        let name = node.output_name(0).unwrap_or_default().to_owned();
        self.graph.node.push(node);
        Value { name, channels }
    }

    fn weight(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.graph.initializer.push(TensorProto::from_f32(name, shape, values));
    }

    /// Convolution without bias, BatchNormalization, activation. `name` is that of the convolution.
    pub fn conv_bn(&mut self, name: &str, input: &Value, filters: usize, kernel: Kernel, act: Act) -> Value {
        self.conv_bn_scaled(name, input, filters, kernel, act, 1.0)
    }

    /// The last convolution of a branch beside a shortcut, silent at first: its BatchNormalization begins with gamma 0, so that
    /// a deep net begins as a shallow one (Goyal et al. 2017, section 5.1).
    pub fn silent_conv_bn(&mut self, name: &str, input: &Value, filters: usize, kernel: Kernel) -> Value {
        self.conv_bn_scaled(name, input, filters, kernel, Act::None, 0.0)
    }

    fn conv_bn_scaled(
        &mut self,
        name: &str,
        input: &Value,
        filters: usize,
        kernel: Kernel,
        act: Act,
        gamma: f32,
    ) -> Value {
        let Kernel { size, stride, depthwise } = kernel;
        let per_group = if depthwise { 1 } else { input.channels };
        let shape = [filters, per_group, size, size];
        // He et al. 2015 by fan-out, as ResNets are initialised; a depthwise filter has one output.
        let fan_out = size * size * if depthwise { 1 } else { filters };
        let values = self.random.normal((2.0 / fan_out as f64).sqrt(), shape.iter().product());
        let weight = format!("{name}.weight");
        self.weight(&weight, &shape, &values);
        let int = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let conv = NodeProto::new("Conv", name, &[&input.name, &weight], &[&format!("{name}.out")])
            .with_ints("kernel_shape", &[int(size); 2])
            .with_ints("strides", &[int(stride); 2])
            .with_ints("pads", &[int(size / 2); 4])
            .with_ints("dilations", &[1, 1])
            .with_int("group", if depthwise { int(input.channels) } else { 1 });
        let out = self.node(conv, filters);
        let out = self.batch_norm(&format!("{name}.bn"), &out, gamma);
        self.act(&format!("{name}.act"), &out, act)
    }

    fn batch_norm(&mut self, name: &str, input: &Value, gamma: f32) -> Value {
        let count = input.channels;
        let parts = [("weight", gamma), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)];
        let names = parts.map(|(part, value)| {
            let part = format!("{name}.{part}");
            self.weight(&part, &[count], &vec![value; count]);
            part
        });
        let inputs = [&input.name, &names[0], &names[1], &names[2], &names[3]].map(String::as_str);
        let node = NodeProto::new("BatchNormalization", name, &inputs, &[&format!("{name}.out")]);
        self.node(node.with_float("epsilon", 1e-5).with_float("momentum", 0.9), count)
    }

    pub fn act(&mut self, name: &str, input: &Value, act: Act) -> Value {
        let output = format!("{name}.out");
        let node = match act {
            Act::None => return input.clone(),
            Act::Relu => NodeProto::new("Relu", name, &[&input.name], &[&output]),
            Act::Relu6 => {
                let (least, most) = ("relu6.min", "relu6.max");
                if self.graph.initializer_named(least).is_none() {
                    self.weight(least, &[], &[0.0]);
                    self.weight(most, &[], &[6.0]);
                }
                NodeProto::new("Clip", name, &[&input.name, least, most], &[&output])
            }
        };
        self.node(node, input.channels)
    }

    pub fn add(&mut self, name: &str, left: &Value, right: &Value) -> Value {
        self.node(NodeProto::new("Add", name, &[&left.name, &right.name], &[&format!("{name}.out")]), left.channels)
    }

    pub fn max_pool(&mut self, name: &str, input: &Value) -> Value {
        let node = NodeProto::new("MaxPool", name, &[&input.name], &[&format!("{name}.out")]);
        let node = node.with_ints("kernel_shape", &[3, 3]).with_ints("strides", &[2, 2]).with_ints("pads", &[1; 4]);
        self.node(node, input.channels)
    }

    /// Mean over the image, then a linear layer to `logits` `[batch, classes]`.
    pub fn finish(mut self, input: &Value, classes: usize) -> Result<Model, ArchError> {
        let channels = input.channels;
        let pooled = self.node(NodeProto::new("GlobalAveragePool", "pool", &[&input.name], &["pool.out"]), channels);
        let flat = self.node(NodeProto::new("Flatten", "flatten", &[&pooled.name], &["features"]), channels);
        let bound = 1.0 / (channels as f64).sqrt();
        let weights = self.random.uniform(bound, classes * channels);
        let biases = self.random.uniform(bound, classes);
        self.weight("fc.weight", &[classes, channels], &weights);
        self.weight("fc.bias", &[classes], &biases);
        let gemm =
            NodeProto::new("Gemm", "fc", &[&flat.name, "fc.weight", "fc.bias"], &["logits"]).with_int("transB", 1);
        self.node(gemm, classes);
        let logits = Fact::new(Some(DataType::Float), vec![Dim::symbol("batch"), classes.into()]);
        self.graph.output.push(logits.declare("logits"));
        Ok(Model::from_graph(self.graph, OPSET)?)
    }
}

/// A number of channels times `width`: a multiple of 8 from 8 on, as processors like it.
pub(super) fn scaled(channels: usize, width: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be between 0.01 and 16")]
    let wanted = (channels as f64 * width).round() as usize;
    if wanted < 8 || width == 1.0 { wanted.max(1) } else { (wanted + 4) / 8 * 8 }
}
