//! QuantizeLinear and DequantizeLinear. Between them stand integers; here everything stays in single precision, and a value
//! that goes through both is moved onto its grid.

use candle_core::{Device, Tensor};
use takt_ops::Levels;

use super::attributes::Source;
use super::kernel::{Kernel, Unary};
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{NodeProto, TensorProto};
use crate::shape::axis;

type Made = Result<Kernel, String>;

impl Source<'_> {
    /// Does what QuantizeLinear and the DequantizeLinear behind it do together.
    pub fn quantise(&self) -> Made {
        let node = self.op.node;
        let step = node.input_name(1).and_then(|name| self.index.constant(name));
        let steps = step.ok_or("found a scale that is computed, expected a constant")?.count();
        let steps = steps.map_err(|fault| format!("its scale: {fault}"))?;
        let (kind, zero_point) = match node.input_name(2) {
            None => (DataType::Uint8, 0),
            Some(name) => self.zero_point(name)?,
        };
        let (low, high) = match kind {
            DataType::Int8 => (i32::from(i8::MIN), i32::from(i8::MAX)),
            DataType::Uint8 => (0, i32::from(u8::MAX)),
            other => return Err(format!("found integers of type {}, expected INT8 or UINT8", other.as_str_name())),
        };
        let (low, high) = self.narrowed(low, high)?;
        let axis = if steps == 1 { 0 } else { self.channel_axis(node)? };
        Ok(Kernel::FakeQuantize(Levels { zero_point, low, high, axis }))
    }

    /// A node behind QuantizeLinear, which has done its work; `None` for any other.
    pub fn behind_quantise(&self) -> Option<Kernel> {
        let made = self.op.node.input_name(0).and_then(|name| self.index.producing_node(name))?;
        let quantised = match self.op.node.op_type() {
            "Clip" => made.is("QuantizeLinear"),
            "DequantizeLinear" => made.is("QuantizeLinear") || made.is("Clip"),
            _ => false,
        };
        quantised.then_some(Kernel::Unary(Unary::Identity))
    }

    /// What DequantizeLinear makes of constant integers; `None` for any other node.
    pub fn dequantised(&self) -> Result<Option<Tensor>, String> {
        let node = self.op.node;
        if !(node.standard() && node.is("DequantizeLinear")) {
            return Ok(None);
        }
        let constant = |slot| node.input_name(slot).and_then(|name| self.index.constant(name));
        let (Some(integers), Some(scales)) = (constant(0), constant(1)) else { return Ok(None) };
        let fault = |tensor: &TensorProto, fault| format!("initialiser '{}': {fault}", tensor.name());
        let shape = integers.shape().map_err(|error| fault(integers, error))?;
        let zeros = constant(2).map(|zeros| zeros.i64s().map_err(|error| fault(zeros, error))).transpose()?;
        let integers = integers.i64s().map_err(|error| fault(integers, error))?;
        let scales = scales.f32s().map_err(|error| fault(scales, error))?;
        let run = match scales.len() {
            1 => integers.len(),
            _ => shape.iter().skip(self.channel_axis(node)? + 1).product(),
        };
        let channel = |at: usize| (at / run.max(1)) % scales.len().max(1);
        let zero = |at: usize| zeros.as_ref().and_then(|zeros| zeros.get(channel(at))).copied().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "what the operator does")]
        let real = |(at, integer): (usize, &i64)| {
            scales.get(channel(at)).map_or(0.0, |scale| (integer - zero(at)) as f32 * scale)
        };
        let values: Vec<f32> = integers.iter().enumerate().map(real).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).map(Some).map_err(|cause| cause.to_string())
    }

    fn channel_axis(&self, node: &NodeProto) -> Result<usize, String> {
        let rank = self.op.input(0).rank().ok_or("the number of its input's dimensions is not known")?;
        axis(node.int("axis").unwrap_or(1), rank)
    }

    /// Type and value of a zero point, which must be one number for all channels.
    fn zero_point(&self, name: &str) -> Result<(DataType, i32), String> {
        let constant = self.index.constant(name).ok_or("found a zero point that is computed, expected a constant")?;
        let read = || Ok((constant.kind()?, constant.i64s()?));
        let (kind, values) = read().map_err(|fault: crate::TensorError| format!("initialiser '{name}': {fault}"))?;
        match values.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other == first) => {
                Ok((kind, i32::try_from(*first).map_err(|_| format!("found zero point {first}"))?))
            }
            _ => Err(format!("found zero points {values:?}, expected the same for all channels")),
        }
    }

    /// Looks at who reads the integers: DequantizeLinear with the same grid, or one Clip before it, which leaves fewer.
    fn narrowed(&self, low: i32, high: i32) -> Result<(i32, i32), String> {
        let node = self.op.node;
        let readers = self.op.node.output_name(0).map(|name| self.index.consumers(name)).unwrap_or_default();
        let readers: Vec<&NodeProto> = readers.iter().filter_map(|reader| self.index.node(reader.node)).collect();
        if let [clip] = readers.as_slice()
            && clip.is("Clip")
        {
            let bound = |slot: usize, otherwise: i32| {
                let Some(name) = clip.input_name(slot) else { return Some(otherwise) };
                let values = self.index.constant(name)?.i64s().ok()?;
                values.first().and_then(|&value| i32::try_from(value).ok())
            };
            let bounds = bound(1, low).zip(bound(2, high)).filter(|(low, high)| low <= high);
            return bounds.ok_or_else(|| format!("{}: its bounds cannot be read", clip.label()));
        }
        let same = |reader: &&NodeProto| reader.is("DequantizeLinear") && reader.input.get(1..) == node.input.get(1..);
        match readers.iter().find(|reader| !same(reader)) {
            Some(other) => {
                Err(format!("{} reads its integers, expected DequantizeLinear with the same scale", other.label()))
            }
            None => Ok((low, high)),
        }
    }
}
