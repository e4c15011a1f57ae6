//! From a graph to a plan.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor, Var};

use super::attributes::Source;
use super::kernel::{Binary, Kernel, Step};
use super::{ExecuteError, Executor, Norm, Options, fuse};
use crate::Model;
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{NodeProto, TensorProto};
use crate::shape::{Op, infer};

/// For messages.
pub(super) const SUPPORTED: &str = "Abs, Add, AveragePool, BatchNormalization, Clip, Concat, Conv, \
    DequantizeLinear, Div, Dropout, Erf, Exp, Flatten, Gather, Gelu, Gemm, GlobalAveragePool, HardSigmoid, HardSwish, Identity, \
    LayerNormalization, LeakyRelu, Log, MatMul, Max, MaxPool, Min, Mul, Neg, Pad, Pow, QuantizeLinear, Reciprocal, ReduceMean, \
    Relu, Reshape, Sigmoid, Slice, Softmax, Split, Sqrt, Squeeze, Sub, Tanh, Transpose and Unsqueeze";

/// Values by name, and what they hold from the start.
struct Slots {
    places: HashMap<String, usize>,
    given: Vec<Option<Tensor>>,
}

impl Slots {
    fn new_slot(&mut self, name: &str, given: Option<Tensor>) -> usize {
        self.given.push(given);
        self.places.insert(name.to_owned(), self.given.len() - 1);
        self.given.len() - 1
    }
}

pub(super) fn compile(model: &Model, options: &Options) -> Result<Executor, ExecuteError> {
    let graph = model.graph();
    let index = graph.index();
    let facts = infer(model)?;
    let mut slots = Slots { places: HashMap::new(), given: Vec::new() };
    let mut vars = BTreeMap::new();
    let mut norms = Vec::new();
    let required = graph.input.iter().filter(|input| index.initializer(input.name()).is_none());
    let inputs = required.map(|input| (input.name().to_owned(), slots.new_slot(input.name(), None))).collect();
    let mut steps = Vec::new();
    for (place, node) in graph.node.iter().enumerate() {
        let source = Source { op: Op::new(node, model.opset(), &facts, place), facts: &facts, index: &index };
        let fault = |fault| ExecuteError::Node { node: node.label(), fault };
        if let Some(constant) = source.dequantised().map_err(fault)? {
            slots.new_slot(node.output_name(0).unwrap_or_default(), Some(constant));
            continue;
        }
        let kernel = kernel(&source, norms.len()).map_err(fault)?;
        let kernel = kernel.ok_or_else(|| ExecuteError::Operator { node: node.label() })?;
        if let Kernel::BatchNorm { .. } = kernel {
            norms.push(norm(node, &index)?);
        }
        let mut ins = Vec::new();
        for name in node.input.iter().take(operands(&kernel)) {
            if name.is_empty() {
                ins.push(None);
                continue;
            }
            let slot = match (slots.places.get(name), index.initializer(name)) {
                (Some(&slot), _) => slot,
                (None, Some(tensor)) => {
                    // A single number is a setting rather than a weight, but for the step of a grid.
                    let set = tensor.dims.is_empty() && !matches!(kernel, Kernel::FakeQuantize(_));
                    let given = weight(tensor, options.frozen || set, &mut vars)?;
                    slots.new_slot(name, Some(given))
                }
                (None, None) => return Err(fault(format!("'{name}' is not made before it is used"))),
            };
            ins.push(Some(slot));
        }
        let outputs = node.output.iter().map(|name| slots.new_slot(name, None)).collect();
        steps.push(Step { label: node.label(), kernel, inputs: ins, outputs });
    }
    let find = |name: &str| slots.places.get(name).copied().ok_or_else(|| ExecuteError::NoSuchValue(name.to_owned()));
    let outputs = graph.output.iter().map(|output| find(output.name())).collect::<Result<Vec<_>, _>>()?;
    let taps = options.taps.iter().map(|tap| find(tap)).collect::<Result<Vec<_>, _>>()?;
    let wanted: Vec<usize> = outputs.iter().chain(&taps).copied().collect();
    let steps = fuse::fuse(steps, &wanted, &slots.given);
    let mut last_use = vec![None; slots.given.len()];
    for (at, step) in steps.iter().enumerate() {
        step.inputs.iter().flatten().chain(&step.outputs).for_each(|&slot| last_use[slot] = Some(at));
    }
    wanted.iter().for_each(|&slot| last_use[slot] = None);
    Ok(Executor { steps, inputs, outputs, taps, given: slots.given, last_use, vars, norms })
}

/// How many inputs are tensors at run time; the others have become part of the kernel.
const fn operands(kernel: &Kernel) -> usize {
    match kernel {
        Kernel::Conv(_) | Kernel::BatchNorm { .. } | Kernel::Gemm { .. } | Kernel::LayerNorm { .. } => 3,
        Kernel::Binary(_) | Kernel::MatMul | Kernel::AddRelu | Kernel::FakeQuantize(_) => 2,
        Kernel::Concat(_) => usize::MAX,
        _ => 1,
    }
}

/// `None` for operators we do not have.
fn kernel(source: &Source<'_>, norms: usize) -> Result<Option<Kernel>, String> {
    let node = source.op.node;
    if !node.standard() {
        return Ok(None);
    }
    if let Some(kernel) = source.behind_quantise() {
        return Ok(Some(kernel));
    }
    Ok(Some(match node.op_type() {
        "Conv" => source.conv()?,
        "BatchNormalization" => {
            if node.output.iter().skip(1).any(|output| !output.is_empty()) {
                return Err("found statistics among its outputs; export the model in evaluation mode".to_owned());
            }
            let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
            Kernel::BatchNorm { epsilon, activation: None, norm: norms }
        }
        "MaxPool" | "AveragePool" => source.pool()?,
        "GlobalAveragePool" => Kernel::GlobalAvgPool,
        "ReduceMean" => source.reduce_mean()?,
        "Relu" | "LeakyRelu" | "Clip" | "Sigmoid" | "HardSigmoid" | "HardSwish" | "Tanh" | "Erf" | "Gelu" | "Sqrt"
        | "Exp" | "Log" | "Neg" | "Abs" | "Reciprocal" | "Identity" | "Dropout" => Kernel::Unary(source.unary()?),
        op @ ("Add" | "Sub" | "Mul" | "Div" | "Min" | "Max") if node.input.len() == 2 => Kernel::Binary(match op {
            "Add" => Binary::Add,
            "Sub" => Binary::Sub,
            "Mul" => Binary::Mul,
            "Div" => Binary::Div,
            "Min" => Binary::Min,
            _ => Binary::Max,
        }),
        "Pow" => Kernel::Pow(f64::from(source.scalar(1)?.ok_or("found no exponent")?)),
        "Flatten" => source.flatten()?,
        "Reshape" => source.reshape()?,
        "Squeeze" => source.squeeze()?,
        "Unsqueeze" => source.unsqueeze()?,
        "Transpose" => source.transpose()?,
        "Concat" => source.concat()?,
        "Split" => source.split()?,
        "Slice" => source.slice()?,
        "Gather" => source.gather()?,
        "Pad" => source.pad()?,
        "Gemm" => source.gemm()?,
        "MatMul" => Kernel::MatMul,
        "Softmax" => source.softmax()?,
        "LayerNormalization" => source.layer_norm()?,
        "QuantizeLinear" => source.quantise()?,
        _ => return Ok(None),
    }))
}

fn tensor(tensor: &TensorProto) -> Result<Tensor, ExecuteError> {
    let fault = |fault| ExecuteError::Tensor { name: tensor.name().to_owned(), fault };
    Ok(Tensor::from_vec(tensor.f32s().map_err(fault)?, tensor.shape().map_err(fault)?, &Device::Cpu)?)
}

/// A weight becomes a variable, unless it is frozen.
fn weight(from: &TensorProto, frozen: bool, vars: &mut BTreeMap<String, Var>) -> Result<Tensor, ExecuteError> {
    let value = tensor(from)?;
    if frozen || from.kind() != Ok(DataType::Float) {
        return Ok(value);
    }
    let var = Var::from_tensor(&value)?;
    let value = var.as_tensor().clone();
    vars.insert(from.name().to_owned(), var);
    Ok(value)
}

fn norm(node: &NodeProto, index: &crate::Index<'_>) -> Result<Norm, ExecuteError> {
    let read = |slot: usize| {
        let name = node.input_name(slot).unwrap_or_default();
        let fault = || format!("found '{name}', which is computed, expected constant running statistics");
        let constant = index.constant(name);
        let constant = constant.ok_or_else(|| ExecuteError::Node { node: node.label(), fault: fault() })?;
        Ok::<_, ExecuteError>((name.to_owned(), tensor(constant)?))
    };
    let ((mean_name, mean), (var_name, var)) = (read(3)?, read(4)?);
    Ok(Norm { mean_name, var_name, mean, var })
}
