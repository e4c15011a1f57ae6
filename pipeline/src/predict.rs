//! A model's outputs on images: through the executor while a model is being made, through a serving runtime once it is a
//! file.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use takt_artifact::DataType;
use takt_backend::{Backend, InputView, LoadError, LoadRequest, RunError, Session};
use takt_graph::Model;
use takt_graph::execute::{ExecuteError, Executor, Mode, Options};

use crate::card;
use crate::data::{Batch, Batches, Batching, DataError, Images, Tail, Views};
use crate::progress::Progress;

/// Why a model gave no outputs.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The executor does not take the model, or a node failed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// A tensor could not be made or read.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// An image cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The serving runtime does not take the model.
    #[error("the runtime does not take the model: {0}")]
    Runtime(#[from] LoadError),
    /// The serving runtime failed.
    #[error("the runtime failed on the model: {0}")]
    Run(#[from] RunError),
    /// The model is no classifier.
    #[error("the model's first output: found {0}, expected [batch, classes], a row of logits per image")]
    NoClasses(String),
    /// Images come one by one, or as many as there are.
    #[error(
        "the model takes {0} images at a time and no other number; export it with a free batch size (PyTorch: dynamic_axes or \
         dynamic_shapes)"
    )]
    FixedBatch(NonZeroUsize),
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Something that turns images into one row of numbers each.
pub struct Runner {
    by: By,
    classes: usize,
    /// One, where it takes no other number of images at a time.
    batch: Option<NonZeroUsize>,
}

enum By {
    Executor(Executor),
    /// A session runs one batch at a time.
    Session(Mutex<Box<dyn Session>>),
}

/// Name, shape and elements of an output.
pub(crate) type NamedOutput = (String, Vec<usize>, Vec<f32>);

impl Runner {
    /// Runs a graph with its weights frozen.
    ///
    /// # Errors
    /// The graph has an operator that the executor has not, or no output `[batch, classes]`.
    pub fn executor(model: &Model) -> Result<Self, PredictError> {
        let executor = Executor::new(model, &Options { frozen: true, ..Options::default() })?;
        Ok(Self { by: By::Executor(executor), classes: classes(model)?, batch: None })
    }

    /// Runs a file on the runtime that serving would take, on one thread.
    ///
    /// # Errors
    /// No runtime takes the model, or it has no output `[batch, classes]`.
    pub fn file(path: &Path) -> Result<Self, PredictError> {
        Self::of_file(path, weight_bits(path))
    }

    /// As [`Self::file`], where it is known how many bits the weights have.
    pub(crate) fn of_file(path: &Path, weight_bits: Option<u8>) -> Result<Self, PredictError> {
        let session = open_session(path, weight_bits)?;
        let shape = session.signature().outputs.first().map(|output| output.shape.clone()).unwrap_or_default();
        let classes = match shape.as_slice() {
            [_, classes] => usize::try_from(*classes).map_err(|_| PredictError::NoClasses(format!("{shape:?}")))?,
            _ => return Err(PredictError::NoClasses(format!("{shape:?}"))),
        };
        let fixed = session.signature().inputs.first().and_then(|input| input.shape.first().copied());
        let batch = fixed.and_then(|fixed| usize::try_from(fixed).ok()).and_then(NonZeroUsize::new);
        if let Some(several) = batch.filter(|batch| batch.get() > 1) {
            return Err(PredictError::FixedBatch(several));
        }
        Ok(Self { by: By::Session(Mutex::new(session)), classes, batch })
    }

    /// Numbers per image.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// What runs it: `onnxruntime` or `tract` for a file, `executor` for a graph.
    #[must_use]
    pub fn runtime(&self) -> &'static str {
        match &self.by {
            By::Executor(_) => "executor",
            By::Session(session) => session.lock().unwrap_or_else(PoisonError::into_inner).placement().runtime,
        }
    }

    /// One, where it must be given images one by one; `None` where any number will do.
    #[must_use]
    pub const fn batch(&self) -> Option<NonZeroUsize> {
        self.batch
    }

    /// Outputs of a batch, a row per image.
    ///
    /// # Errors
    /// The images do not fit the model, or a node fails.
    pub fn run(&self, batch: Batch) -> Result<Vec<f32>, PredictError> {
        match &self.by {
            By::Executor(executor) => first_output(executor, batch, Mode::Eval),
            By::Session(session) => {
                let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
                let outputs = run_session(&mut **session, &batch)?;
                Ok(outputs.into_iter().next().map(|(_, _, values)| values).unwrap_or_default())
            }
        }
    }
}

/// All outputs of a session on some samples as they are, as one batch.
pub(crate) fn run_samples(
    session: &mut dyn Session,
    images: &Arc<Images>,
    samples: &[usize],
) -> Result<Vec<NamedOutput>, PredictError> {
    let size = NonZeroUsize::new(samples.len()).unwrap_or(NonZeroUsize::MIN);
    let batching = Batching { size, tail: Tail::Keep, views: Views::Plain, threads: NonZeroUsize::MIN };
    match Batches::start(images, samples, batching)?.next().transpose()? {
        Some(batch) => run_session(session, &batch),
        None => Ok(Vec::new()),
    }
}

/// Bits of a model file's weights, where it says so. What cannot be read is told by who loads it.
pub(crate) fn weight_bits(path: &Path) -> Option<u8> {
    Model::load(path).ok().and_then(|model| card::weight_bits(&model))
}

/// Opens a model file on ONNX Runtime where it is built in and found, else on tract. One thread: figures of a model, not of
/// a machine's cores.
pub(crate) fn open_session(path: &Path, weight_bits: Option<u8>) -> Result<Box<dyn Session>, PredictError> {
    let request = LoadRequest { model: path.to_owned(), weight_bits, ..LoadRequest::default() };
    match onnxruntime()? {
        Some(backend) => Ok(backend.load(&request)?),
        None => Ok(takt_backend::tract::TractBackend::new().load(&request)?),
    }
}

/// ONNX Runtime on one thread, where it is built in and found. A process can have it with one set of options only, so it
/// is asked for here.
///
/// # Errors
/// A variable names a library that does not work.
pub(crate) fn onnxruntime() -> Result<Option<Box<dyn Backend>>, LoadError> {
    #[cfg(feature = "ort")]
    {
        use takt_backend::discover::Surroundings;
        use takt_backend::ort::{OrtBackend, RuntimeOptions};
        let options = RuntimeOptions { intra_op_threads: 1, ..RuntimeOptions::default() };
        let found = OrtBackend::find(&Surroundings::of_process(), options)?;
        Ok(found.map(|backend| Box::new(backend) as Box<dyn Backend>))
    }
    #[cfg(not(feature = "ort"))]
    Ok(None)
}

/// Names of the runtimes that there are, as a variant's `requires.runtime` asks for them.
///
/// # Errors
/// See [`onnxruntime`].
pub(crate) fn runtimes() -> Result<Vec<String>, LoadError> {
    let mut names = vec!["tract".to_owned()];
    if onnxruntime()?.is_some() {
        names.push("onnxruntime".to_owned());
    }
    Ok(names)
}

fn run_session(session: &mut dyn Session, batch: &Batch) -> Result<Vec<NamedOutput>, PredictError> {
    // A view is aligned to 8 bytes.
    let mut words = vec![0u64; batch.inputs.len().div_ceil(2)];
    bytemuck::cast_slice_mut::<u64, f32>(&mut words)[..batch.inputs.len()].copy_from_slice(&batch.inputs);
    let data = &bytemuck::cast_slice::<u64, u8>(&words)[..batch.inputs.len() * 4];
    let names: Vec<String> = session.signature().outputs.iter().map(|output| output.name.clone()).collect();
    let outputs = session.run(&[InputView { datatype: DataType::Fp32, shape: &batch.shape, data }])?;
    let floats = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|chunk| f32::from_ne_bytes(*chunk)).collect();
    Ok(names.into_iter().zip(outputs).map(|(name, output)| (name, output.shape, floats(&output.data))).collect())
}

/// The first output of a run, row by row.
pub(crate) fn first_output(executor: &Executor, batch: Batch, mode: Mode) -> Result<Vec<f32>, PredictError> {
    let run = executor.run(&[tensor(batch.inputs, batch.shape)?], mode)?;
    let output = run.outputs.first().ok_or_else(|| PredictError::NoClasses("none".to_owned()))?;
    Ok(output.flatten_all()?.to_vec1()?)
}

/// A batch as the executor takes it.
pub(crate) fn tensor(inputs: Vec<f32>, shape: [usize; 4]) -> Result<Tensor, PredictError> {
    Ok(Tensor::from_vec(inputs, &shape, &Device::Cpu)?)
}

/// Classes that a model tells apart: the extent of its first output `[batch, classes]`.
///
/// # Errors
/// It has no such output.
pub fn classes(model: &Model) -> Result<usize, PredictError> {
    let facts = takt_graph::shape::infer(model).map_err(ExecuteError::from)?;
    let output = model.graph().output.first().ok_or_else(|| PredictError::NoClasses("none".to_owned()))?;
    let fact = facts.get(output.name());
    match fact.shape.as_deref() {
        Some([_, classes]) => {
            let known = classes.known().and_then(|classes| usize::try_from(classes).ok());
            known.ok_or_else(|| PredictError::NoClasses(fact.to_string()))
        }
        _ => Err(PredictError::NoClasses(fact.to_string())),
    }
}

/// Outputs on some samples, a row each in the order given. Each image is an advance of `progress`.
///
/// # Errors
/// An image cannot be read, the model cannot be run on it, or `stop` was set.
pub fn run_views(
    runner: &Runner,
    images: &Arc<Images>,
    samples: &[usize],
    batching: Batching,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Vec<f32>, PredictError> {
    let mut outputs = Vec::with_capacity(samples.len() * runner.classes);
    for batch in Batches::start(images, samples, batching)? {
        if stop.load(Ordering::Relaxed) {
            return Err(PredictError::Interrupted);
        }
        let batch = batch?;
        let count = batch.labels.len();
        outputs.extend(runner.run(batch)?);
        (0..count).for_each(|_| progress.advance());
    }
    Ok(outputs)
}
