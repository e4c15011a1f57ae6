//! One layer as a model of its own, in INT8, ready to be run.
//!
//! It reads and gives out bytes, and images with the channels last: ONNX Runtime keeps them so between integer convolutions,
//! and what remains of the probe after its optimisation is the one kernel (QLinearConv or QGemm) and nothing around it.

use std::path::Path;

use takt_artifact::DataType as Element;
use takt_backend::provider::Cpu;
use takt_backend::{Backend, InputView, LoadRequest, Provider, RunError, Session};
use takt_graph::Model;
use takt_graph::onnx::tensor_proto::DataType;
use takt_graph::onnx::{GraphProto, NodeProto, TensorProto};
use takt_graph::shape::{Dim, Fact};

use super::error::LatencyError;
use super::layer::{Kind, Window};
use crate::quantise::Target;

/// Old enough for every runtime, new enough for weights with a scale per channel.
const OPSET: i64 = 17;

/// A layer that can be run.
pub(super) struct Probe {
    session: Box<dyn Session>,
    shape: Vec<usize>,
    /// Zeros; integer kernels take the same time for all numbers. Words, since a view is aligned to 8 bytes.
    words: Vec<u64>,
}

impl Probe {
    /// A layer of that kind with counts as [`Kind::point`] means them.
    pub(super) fn load(
        backend: &dyn Backend,
        kind: &Kind,
        point: [usize; 2],
        scratch: &Path,
    ) -> Result<Self, LatencyError> {
        let (model, shape) = model(kind, point)?;
        let path = scratch.join("probe.onnx");
        model.save(&path)?;
        // As the artefact of the target is run.
        let cpu = Cpu { exact_int8: false, ..Cpu::default() };
        let providers = vec![Provider::Cpu(cpu)];
        let session = backend.load(&LoadRequest { model: path, providers, ..LoadRequest::default() })?;
        let words = vec![0; shape.iter().product::<usize>().div_ceil(8)];
        Ok(Self { session, shape, words })
    }

    pub(super) fn run(&mut self) -> Result<(), RunError> {
        let count: usize = self.shape.iter().product();
        let bytes: &[u8] = bytemuck::cast_slice(&self.words);
        let data = bytes.get(..count).unwrap_or_default();
        self.session.run(&[InputView { datatype: Element::Uint8, shape: &self.shape, data }]).map(drop)
    }
}

/// The layer between DequantizeLinear and QuantizeLinear, and the shape of its input.
pub(super) fn model(kind: &Kind, [x, y]: [usize; 2]) -> Result<(Model, Vec<usize>), LatencyError> {
    let mut builder = Builder(GraphProto { name: Some("probe".to_owned()), ..GraphProto::default() });
    let input = match kind {
        Kind::Conv(window) => builder.convolution(window, [x, y, 1]),
        Kind::Grouped { window, inputs, outputs } => builder.convolution(window, [x * inputs, x * outputs, x]),
        Kind::Product { rows } => builder.product(*rows, [x, y]),
    };
    Ok((Model::from_graph(builder.0, OPSET)?, input))
}

struct Builder(GraphProto);

impl Builder {
    fn node(&mut self, op: &str, inputs: &[&str], output: &str) -> &mut NodeProto {
        self.0.node.push(NodeProto::new(op, output, inputs, &[output]));
        let last = self.0.node.len() - 1;
        &mut self.0.node[last]
    }

    fn with(&mut self, tensor: TensorProto) {
        self.0.initializer.push(tensor);
    }

    /// Weights and biases of so many outputs.
    fn weights(&mut self, shape: &[usize], outputs: usize) {
        let (least, count) = (-Target::CpuInt8Avx2.weight_bound(), shape.iter().product());
        let weights: Vec<i8> =
            (least..=-least).cycle().take(count).filter_map(|weight| weight.try_into().ok()).collect();
        self.with(TensorProto::from_i8("w.quantised", shape, &weights));
        self.with(TensorProto::from_f32("w.scale", &[outputs], &vec![0.01; outputs]));
        self.with(TensorProto::from_i8("w.zero", &[outputs], &vec![0; outputs]));
        self.with(TensorProto::from_i32("b.quantised", &[outputs], &vec![1; outputs]));
        // Scale of the input times scale of the weights.
        self.with(TensorProto::from_f32("b.scale", &[outputs], &vec![0.02 * 0.01; outputs]));
        self.with(TensorProto::from_i32("b.zero", &[outputs], &vec![0; outputs]));
        self.with(TensorProto::from_f32("x.scale", &[], &[0.02]));
        self.with(TensorProto::from_u8("x.zero", &[], &[0]));
        for name in ["w", "b"] {
            let parts = [format!("{name}.quantised"), format!("{name}.scale"), format!("{name}.zero")];
            self.node("DequantizeLinear", &parts.each_ref().map(String::as_str), name).set_int("axis", 0);
        }
    }

    fn ends(&mut self, input: &[usize], output: (DataType, usize)) {
        let shape = input.iter().copied().map(Dim::from).collect();
        self.0.input = vec![Fact::new(Some(DataType::Uint8), shape).declare("input")];
        let shape = (0..output.1).map(|axis| Dim::symbol(&format!("d{axis}"))).collect();
        self.0.output = vec![Fact::new(Some(output.0), shape).declare("output")];
    }

    fn convolution(&mut self, window: &Window, [inputs, outputs, groups]: [usize; 3]) -> Vec<usize> {
        let ([kernel_height, kernel_width], [height, width]) = (window.kernel, window.image);
        let shape = vec![1, height, width, inputs];
        self.ends(&shape, (DataType::Uint8, 4));
        self.weights(&[outputs, inputs / groups.max(1), kernel_height, kernel_width], outputs);
        self.with(TensorProto::from_f32("y.scale", &[], &[0.1]));
        self.with(TensorProto::from_u8("y.zero", &[], &[0]));
        let turn = |node: &mut NodeProto, order: &[i64]| *node = std::mem::take(node).with_ints("perm", order);
        turn(self.node("Transpose", &["input"], "x.quantised"), &[0, 3, 1, 2]);
        self.node("DequantizeLinear", &["x.quantised", "x.scale", "x.zero"], "x");
        let conv = self.node("Conv", &["x", "w", "b"], "y");
        let int = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
        *conv = std::mem::take(conv)
            .with_ints("kernel_shape", &window.kernel.map(int))
            .with_ints("strides", &window.strides)
            .with_ints("pads", &window.pads)
            .with_ints("dilations", &window.dilations)
            .with_int("group", int(groups));
        self.node("QuantizeLinear", &["y", "y.scale", "y.zero"], "y.quantised");
        turn(self.node("Transpose", &["y.quantised"], "output"), &[0, 2, 3, 1]);
        shape
    }

    /// Its output stays in single precision, as quantisation leaves it.
    fn product(&mut self, rows: usize, [inputs, outputs]: [usize; 2]) -> Vec<usize> {
        let shape = vec![rows, inputs];
        self.ends(&shape, (DataType::Float, 2));
        self.weights(&[outputs, inputs], outputs);
        self.node("DequantizeLinear", &["input", "x.scale", "x.zero"], "x");
        self.node("Gemm", &["x", "w", "b"], "output").set_int("transB", 1);
        shape
    }
}
