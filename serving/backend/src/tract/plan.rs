//! From an ONNX file to plans that run.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use takt_artifact::Signature;
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::{
    Framework, InferenceModel, InferenceModelExt, IntoRunnable, Symbol, TDim, ToDim, TractResult, TypedModel,
    TypedSimplePlan,
};
use tract_onnx::tract_hir::infer::Factoid;

use super::{graph, refused};
use crate::{InputView, LoadError, RunError};

/// The plans of one model file, shared by its sessions.
#[derive(Debug)]
pub struct Plans {
    signature: Signature,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// One plan for any shape and, where the batch is free and 1 is asked for, one for batch 1.
    Free { general: Arc<TypedSimplePlan>, single: Option<Arc<TypedSimplePlan>> },
    /// One per batch size, for graphs that tract can only analyse with the batch known.
    PerBatch(Vec<(usize, Arc<TypedSimplePlan>)>),
}

impl Plans {
    /// Reads, analyses and optimises the model.
    ///
    /// # Errors
    /// The file is unreadable or not ONNX, has a type or an operator that tract does not do, or cannot be analysed.
    pub fn load(path: &Path, batch_sizes: &[usize]) -> Result<Self, LoadError> {
        let (model, graph, batch) = read(path)?;
        let mut signature = graph::signature(path, &graph)?;
        let kind = match general(&model) {
            Ok(typed) => {
                complete_outputs(&mut signature, &graph, &typed);
                let wanted = !batch.is_empty() && (batch_sizes.is_empty() || batch_sizes.contains(&1));
                let single = wanted.then(|| at_batch(&typed, &batch, 1)).transpose();
                single.and_then(|single| Ok(Kind::Free { general: runnable(typed)?, single }))
            }
            Err(error) if batch.is_empty() => Err(error),
            Err(error) => {
                let sizes = if batch_sizes.is_empty() { &[1] } else { batch_sizes };
                tracing::info!(model = %path.display(), ?sizes, "tract needs the batch size known: {error:#}");
                sizes
                    .iter()
                    .map(|&size| Ok((size, fixed(&model, &batch, size)?)))
                    .collect::<TractResult<_>>()
                    .map(Kind::PerBatch)
            }
        };
        let kind = kind.map_err(|error| refused(path, format!("{error:#}")))?;
        Ok(Self { signature, kind })
    }

    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The plan for these inputs and its index.
    pub fn choose(&self, inputs: &[InputView<'_>]) -> Result<(usize, &Arc<TypedSimplePlan>), RunError> {
        let batch = inputs.first().and_then(|view| view.shape.first().copied()).unwrap_or(1);
        match &self.kind {
            Kind::Free { single: Some(single), .. } if batch == 1 => Ok((1, single)),
            Kind::Free { general, .. } => Ok((0, general)),
            Kind::PerBatch(plans) => {
                let at = plans.iter().position(|(size, _)| *size == batch).ok_or_else(|| {
                    let sizes = plans.iter().map(|(size, _)| *size).collect::<Vec<_>>();
                    RunError::Input(format!(
                        "tract can run this model at the batch sizes {sizes:?} only, not at {batch}"
                    ))
                })?;
                Ok((at, &plans[at].1))
            }
        }
    }
}

/// The graph before analysis, its description in the file, and the symbols that stand for the batch.
fn read(path: &Path) -> Result<(InferenceModel, GraphProto, Vec<Symbol>), LoadError> {
    // Exports carry shapes of the batch they were traced at, which contradict the symbols of the inputs.
    let onnx = tract_onnx::onnx().with_ignore_value_info(true).with_ignore_output_shapes(true);
    let mut file = File::open(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let not_onnx = |error| refused(path, format!("this is not an ONNX model: {error:#}"));
    let proto: ModelProto = onnx.proto_model_for_read(&mut file).map_err(not_onnx)?;
    let described =
        proto.graph.as_ref().map(without_weights).ok_or_else(|| refused(path, "the file has no graph".to_owned()))?;
    // Refuses types by name, before tract fails on them with less to say.
    graph::signature(path, &described)?;
    let directory = path.parent().and_then(Path::to_str);
    let parsed = onnx.parse(&proto, directory).map_err(|error| refused(path, format!("{error:#}")))?;
    drop(proto);
    if !parsed.unresolved_inputs.is_empty() {
        return Err(refused(path, format!("nodes read {:?}, which nothing makes", parsed.unresolved_inputs)));
    }
    let mut model = parsed.model;
    let batch = name_free_dims(&mut model).map_err(|error| refused(path, format!("{error:#}")))?;
    Ok((model, described, batch))
}

/// What [`graph`] reads, so that the weights of the file need not stay in memory.
fn without_weights(graph: &GraphProto) -> GraphProto {
    let names = graph
        .initializer
        .iter()
        .map(|tensor| tract_onnx::pb::TensorProto { name: tensor.name.clone(), ..Default::default() });
    GraphProto {
        input: graph.input.clone(),
        output: graph.output.clone(),
        initializer: names.collect(),
        ..Default::default()
    }
}

/// Gives every nameless free dimension a symbol, since tract can carry a symbol through a graph but not an unknown. Nameless
/// first dimensions are taken for one and the same batch. Returns the symbols found in first place.
fn name_free_dims(model: &mut InferenceModel) -> TractResult<Vec<Symbol>> {
    let mut batch = Vec::new();
    for at in 0..model.inputs.len() {
        let mut fact = model.input_fact(at)?.clone();
        for axis in 0..fact.shape.dims().count() {
            let dim = fact.shape.dim(axis).and_then(|dim| dim.concretize());
            let dim = dim.unwrap_or_else(|| match axis {
                0 => model.symbols.sym("batch").to_dim(),
                _ => model.symbols.new_with_prefix("free").to_dim(),
            });
            if axis == 0
                && let TDim::Sym(symbol) = &dim
                && !batch.contains(symbol)
            {
                batch.push(symbol.clone());
            }
            fact.shape.set_dim(axis, dim);
        }
        model.set_input_fact(at, fact)?;
    }
    Ok(batch)
}

fn general(model: &InferenceModel) -> TractResult<TypedModel> {
    model.clone().into_typed()?.into_decluttered()
}

fn fixed(model: &InferenceModel, batch: &[Symbol], size: usize) -> TractResult<Arc<TypedSimplePlan>> {
    let mut model = model.clone();
    InferenceModelExt::set_symbols(&mut model, &values(batch, size))?;
    runnable(model.into_typed()?.into_decluttered()?)
}

fn at_batch(typed: &TypedModel, batch: &[Symbol], size: usize) -> TractResult<Arc<TypedSimplePlan>> {
    runnable(typed.set_symbols(&values(batch, size))?.into_decluttered()?)
}

fn values(batch: &[Symbol], size: usize) -> HashMap<Symbol, TDim> {
    batch.iter().map(|symbol| (symbol.clone(), size.to_dim())).collect()
}

fn runnable(typed: TypedModel) -> TractResult<Arc<TypedSimplePlan>> {
    typed.into_optimized()?.into_runnable()
}

/// Takes the shapes of outputs that the file does not describe from the analysed graph, as ONNX Runtime does.
fn complete_outputs(signature: &mut Signature, graph: &GraphProto, typed: &TypedModel) {
    for (at, spec) in signature.outputs.iter_mut().enumerate() {
        if !graph.output.get(at).is_some_and(graph::lacks_shape) {
            continue;
        }
        if let Ok(fact) = typed.output_fact(at) {
            spec.shape = fact.shape.iter().map(|dim| dim.to_i64().unwrap_or(-1)).collect();
        }
    }
}
