//! A model's outputs on images: through the executor while a model is being made, through a serving runtime once it is a
//! file.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use takt_artifact::DataType;
use takt_backend::{Backend, InputView, LoadError, LoadRequest, Session};
use takt_graph::Model;
use takt_graph::execute::{Executor, Mode, Options};

use crate::data::{Batch, Batches, Batching, Images, Tail, Views};
use crate::progress::Progress;
use crate::stage::StageError;
use crate::train::TrainError;

/// Something that turns images into one row of numbers each.
pub struct Runner {
    by: By,
    classes: usize,
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
    pub fn executor(model: &Model) -> Result<Self, TrainError> {
        let executor = Executor::new(model, &Options { frozen: true, ..Options::default() })?;
        Ok(Self { by: By::Executor(executor), classes: classes(model)? })
    }

    /// Runs a file on the runtime that serving would take, on one thread.
    ///
    /// # Errors
    /// No runtime takes the model, or it has no output `[batch, classes]`.
    pub fn file(path: &Path) -> Result<Self, StageError> {
        let session = open_session(path)?;
        let shape = session.signature().outputs.first().map(|output| output.shape.clone()).unwrap_or_default();
        let classes = match shape.as_slice() {
            [_, classes] => usize::try_from(*classes).map_err(|_| no_output(&format!("{shape:?}")))?,
            _ => return Err(no_output(&format!("{shape:?}")).into()),
        };
        Ok(Self { by: By::Session(Mutex::new(session)), classes })
    }

    /// Numbers per image.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Outputs of a batch, a row per image.
    ///
    /// # Errors
    /// The images do not fit the model, or a node fails.
    pub fn run(&self, batch: Batch) -> Result<Vec<f32>, StageError> {
        match &self.by {
            By::Executor(executor) => Ok(first_output(executor, batch, Mode::Eval)?),
            By::Session(session) => {
                let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
                let outputs = run_session(&mut **session, &batch)?;
                Ok(outputs.into_iter().next().map(|(_, _, values)| values).unwrap_or_default())
            }
        }
    }

    /// All outputs of a session on some samples as they are, as one batch.
    pub(crate) fn outputs(
        session: &mut dyn Session,
        images: &Arc<Images>,
        samples: &[usize],
    ) -> Result<Vec<NamedOutput>, StageError> {
        let size = NonZeroUsize::new(samples.len()).unwrap_or(NonZeroUsize::MIN);
        let batching = Batching { size, tail: Tail::Keep, views: Views::Plain, threads: NonZeroUsize::MIN };
        match Batches::start(images, samples, batching)?.next().transpose()? {
            Some(batch) => run_session(session, &batch),
            None => Ok(Vec::new()),
        }
    }
}

/// Opens a model file on ONNX Runtime where it is built in and found, else on tract. One thread: figures of a model, not of
/// a machine's cores.
pub(crate) fn open_session(path: &Path) -> Result<Box<dyn Session>, StageError> {
    let request = LoadRequest { model: path.to_owned(), ..LoadRequest::default() };
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

fn run_session(session: &mut dyn Session, batch: &Batch) -> Result<Vec<NamedOutput>, StageError> {
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
pub(crate) fn first_output(executor: &Executor, batch: Batch, mode: Mode) -> Result<Vec<f32>, TrainError> {
    let run = executor.run(&[tensor(batch.inputs, batch.shape)?], mode)?;
    let output = run.outputs.first().ok_or_else(|| no_output("none"))?;
    Ok(output.flatten_all()?.to_vec1()?)
}

/// A batch as the executor takes it.
pub(crate) fn tensor(inputs: Vec<f32>, shape: [usize; 4]) -> Result<Tensor, TrainError> {
    Ok(Tensor::from_vec(inputs, &shape, &Device::Cpu)?)
}

/// Classes that a model tells apart: the extent of its first output `[batch, classes]`.
///
/// # Errors
/// It has no such output.
pub fn classes(model: &Model) -> Result<usize, TrainError> {
    let facts = takt_graph::shape::infer(model).map_err(takt_graph::execute::ExecuteError::from)?;
    let output = model.graph().output.first().ok_or_else(|| no_output("none"))?;
    let fact = facts.get(output.name());
    match fact.shape.as_deref() {
        Some([_, classes]) => {
            let known = classes.known().and_then(|classes| usize::try_from(classes).ok());
            known.ok_or_else(|| no_output(&fact.to_string()))
        }
        _ => Err(no_output(&fact.to_string())),
    }
}

pub(crate) fn no_output(found: &str) -> TrainError {
    TrainError::Mismatch {
        what: "the model's first output",
        found: found.to_owned(),
        expected: "[batch, classes], a row of logits per image".to_owned(),
    }
}

/// Outputs on some samples, a row each in the order given.
///
/// # Errors
/// An image cannot be read, or the model cannot be run on it.
pub fn run_views(
    runner: &Runner,
    images: &Arc<Images>,
    samples: &[usize],
    views: Views,
    batch: NonZeroUsize,
    threads: NonZeroUsize,
    progress: &dyn Progress,
) -> Result<Vec<f32>, StageError> {
    let mut outputs = Vec::with_capacity(samples.len() * runner.classes);
    for batch in Batches::start(images, samples, Batching { size: batch, tail: Tail::Keep, views, threads })? {
        let batch = batch?;
        let count = batch.labels.len();
        outputs.extend(runner.run(batch)?);
        (0..count).for_each(|_| progress.advance());
    }
    Ok(outputs)
}
