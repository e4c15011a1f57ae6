//! A request against the version's signature. Every fault names model and input, what was expected and what came.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use takt_artifact::{DataType, TensorSpec};

use crate::batch::images::ImageSlot;
use crate::batch::job::Payload;
use crate::batch::queue::Meta;
use crate::error::InferError;
use crate::monitor::VersionTap;
use crate::registry::version::{ImageInput, ServedVersion};
use crate::request::{InferRequest, InputTensor};

/// A request that may be queued.
pub struct Checked {
    /// Inputs in signature order.
    pub inputs: Vec<Payload>,
    /// Shapes behind the batch dimension, in signature order.
    pub shapes: Arc<[Box<[usize]>]>,
    /// What the queue needs to know.
    pub meta: Meta,
}

/// Places of the wanted outputs in the signature; all when none is named.
///
/// # Errors
/// An output that the model does not have.
pub fn wanted_outputs(version: &ServedVersion, names: &[String]) -> Result<Vec<usize>, InferError> {
    let outputs = &version.signature.outputs;
    if names.is_empty() {
        return Ok((0..outputs.len()).collect());
    }
    names
        .iter()
        .map(|name| {
            outputs.iter().position(|spec| spec.name == *name).ok_or_else(|| {
                InferError::invalid(format!(
                    "unexpected inference output '{name}' for model '{}'; it has {}",
                    version.id.model,
                    names_of(outputs)
                ))
            })
        })
        .collect()
}

/// Checks names, types, shapes and sizes.
///
/// # Errors
/// The first fault.
pub fn check(version: &ServedVersion, request: &InferRequest, arrived: Instant) -> Result<Checked, InferError> {
    check_names(version, &request.inputs)?;
    let specs = &version.signature.inputs;
    let mut inputs = Vec::with_capacity(specs.len());
    let mut shapes = Vec::with_capacity(specs.len());
    let mut rows: Option<(usize, &str)> = None;
    for (index, spec) in specs.iter().enumerate() {
        let Some(tensor) = request.inputs.iter().find(|tensor| tensor.name == spec.name) else {
            return Err(InferError::invalid(format!(
                "expected {} inputs but got {} inputs for model '{}': input '{}' is missing",
                specs.len(),
                request.inputs.len(),
                version.id.model,
                spec.name
            )));
        };
        let image = version.image.as_ref().filter(|image| image.index == index && tensor.datatype == DataType::Bytes);
        let checked = match image {
            Some(image) => check_images(version, image, tensor, arrived)?,
            None => check_tensor(version, spec, tensor)?,
        };
        if let Some((rows, first)) = rows
            && rows != checked.rows
        {
            return Err(InferError::invalid(format!(
                "inputs of model '{}' have different batch sizes: '{first}' has {rows}, '{}' has {}",
                version.id.model, spec.name, checked.rows
            )));
        }
        rows = Some((checked.rows, &spec.name));
        inputs.push(checked.payload);
        shapes.push(checked.shape);
    }
    let rows = rows.map_or(1, |(rows, _)| rows);
    check_batch(version, rows)?;
    let shapes: Arc<[Box<[usize]>]> = shapes.into();
    Ok(Checked { meta: meta(version, request, arrived, rows, &shapes)?, inputs, shapes })
}

/// One input that passed.
struct CheckedInput {
    payload: Payload,
    shape: Box<[usize]>,
    rows: usize,
}

fn check_names(version: &ServedVersion, inputs: &[InputTensor]) -> Result<(), InferError> {
    for (index, tensor) in inputs.iter().enumerate() {
        let specs = &version.signature.inputs;
        if !specs.iter().any(|spec| spec.name == tensor.name) {
            return Err(InferError::invalid(format!(
                "unexpected inference input '{}' for model '{}'; it has {}",
                tensor.name,
                version.id.model,
                names_of(specs)
            )));
        }
        if inputs[..index].iter().any(|earlier| earlier.name == tensor.name) {
            return Err(InferError::invalid(format!(
                "input '{}' for model '{}' is given more than once; give it once",
                tensor.name, version.id.model
            )));
        }
    }
    Ok(())
}

fn check_tensor(version: &ServedVersion, spec: &TensorSpec, tensor: &InputTensor) -> Result<CheckedInput, InferError> {
    if tensor.datatype != spec.datatype {
        let image = version.image.as_ref().is_some_and(|image| version.signature.inputs[image.index].name == spec.name);
        let or_image = if image { " (or BYTES with encoded images)" } else { "" };
        return Err(InferError::invalid(format!(
            "inference input '{}' data-type is '{}', but model '{}' expects '{}'{or_image}",
            spec.name, tensor.datatype, version.id.model, spec.datatype
        )));
    }
    let expected = version.request_shape(spec);
    let fits = tensor.shape.len() == expected.len()
        && tensor.shape.iter().zip(&expected).all(|(&got, &want)| got >= 0 && (want == -1 || got == want));
    if !fits {
        return Err(InferError::invalid(format!(
            "unexpected shape for input '{}' for model '{}'. Expected {expected:?}, got {:?}{}",
            spec.name,
            version.id.model,
            tensor.shape,
            if version.batches() { "; the first dimension is the batch" } else { "" }
        )));
    }
    let overflow = || {
        InferError::invalid(format!(
            "shape {:?} of input '{}' for model '{}' has more elements than can be addressed",
            tensor.shape, spec.name, version.id.model
        ))
    };
    let shape: Vec<usize> =
        tensor.shape.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>().map_err(|_| overflow())?;
    let size = spec.datatype.size().ok_or_else(|| {
        InferError::invalid(format!(
            "input '{}' of model '{}' takes strings, which are not served",
            spec.name, version.id.model
        ))
    })?;
    let bytes = shape.iter().try_fold(size, |total, &dim| total.checked_mul(dim)).ok_or_else(overflow)?;
    if bytes != tensor.data.len() {
        return Err(InferError::invalid(format!(
            "unexpected total byte size {} for input '{}' for model '{}', expecting {bytes} for shape {:?} of {}",
            tensor.data.len(),
            spec.name,
            version.id.model,
            tensor.shape,
            spec.datatype
        )));
    }
    let (rows, shape) = if version.batches() { (shape[0], shape[1..].into()) } else { (1, shape.into()) };
    Ok(CheckedInput { payload: Payload::Raw(tensor.data.clone()), shape, rows })
}

fn check_images(
    version: &ServedVersion,
    image: &ImageInput,
    tensor: &InputTensor,
    arrived: Instant,
) -> Result<CheckedInput, InferError> {
    let spec = &version.signature.inputs[image.index];
    let count = match tensor.shape[..] {
        [count] | [count, 1] => usize::try_from(count).ok(),
        _ => None,
    };
    let Some(count) = count else {
        return Err(InferError::invalid(format!(
            "unexpected shape for input '{}' for model '{}'. Expected [N] for N encoded images, got {:?}",
            spec.name, version.id.model, tensor.shape
        )));
    };
    let images = split_byte_strings(&tensor.data, count).map_err(|fault| {
        InferError::invalid(format!("input '{}' for model '{}': {fault}", spec.name, version.id.model))
    })?;
    let fixed = |axis: usize| spec.shape.get(axis).and_then(|&dim| usize::try_from(dim).ok());
    if !version.batches() && fixed(0).is_some_and(|batch| batch != count) {
        return Err(InferError::invalid(format!(
            "model '{}' takes exactly {} images at a time in input '{}', got {count}",
            version.id.model, spec.shape[0], spec.name
        )));
    }
    let [a, b, c] = image.shape;
    let measured = |tap: &Arc<VersionTap>| tap.measures_image(arrived);
    let slot = |encoded| {
        let measure = version.tap.as_ref().is_some_and(measured);
        Arc::new(ImageSlot::new(Arc::clone(&image.decoder), encoded, measure))
    };
    let (rows, shape): (usize, Box<[usize]>) =
        if version.batches() { (count, [a, b, c].into()) } else { (1, [count, a, b, c].into()) };
    Ok(CheckedInput { payload: Payload::Images(images.into_iter().map(slot).collect()), shape, rows })
}

/// Cuts length-prefixed byte strings apart without copying them (protocol: "BYTES" tensor contents).
///
/// # Errors
/// Says which element does not fit, or how many there are.
pub fn split_byte_strings(data: &Bytes, count: usize) -> Result<Vec<Bytes>, String> {
    let mut elements = Vec::with_capacity(count.min(data.len() / 4));
    let mut at = 0;
    while at < data.len() {
        let Some(prefix) = data[at..].first_chunk::<4>() else {
            return Err(format!(
                "element {} of the BYTES data has an incomplete length prefix: {} bytes are left, 4 are needed",
                elements.len(),
                data.len() - at
            ));
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        at += 4;
        if length > data.len() - at {
            return Err(format!(
                "element {} of the BYTES data says it is {length} bytes long, but {} are left; each element is a \
                 little-endian u32 length and that many bytes",
                elements.len(),
                data.len() - at
            ));
        }
        elements.push(data.slice(at..at + length));
        at += length;
    }
    if elements.len() != count {
        return Err(format!("the shape says {count} elements, the BYTES data holds {}", elements.len()));
    }
    Ok(elements)
}

fn check_batch(version: &ServedVersion, rows: usize) -> Result<(), InferError> {
    let limit = version.batcher.config().max_batch_size;
    if limit == 0 {
        return Ok(());
    }
    if rows == 0 {
        return Err(InferError::invalid(format!("batch size 0 for model '{}': send at least 1 row", version.id.model)));
    }
    if rows > limit {
        return Err(InferError::invalid(format!(
            "inference request batch-size must be <= {limit} for '{}', got {rows}; send smaller batches or raise \
             max_batch_size",
            version.id.model
        )));
    }
    Ok(())
}

fn meta(
    version: &ServedVersion,
    request: &InferRequest,
    arrived: Instant,
    rows: usize,
    shapes: &[Box<[usize]>],
) -> Result<Meta, InferError> {
    let config = version.batcher.config();
    let levels = config.priority_levels;
    let priority = match u32::try_from(request.priority) {
        Ok(0) => config.default_priority,
        Ok(priority) if priority <= levels => priority,
        // Triton ignores priorities where the model has none.
        _ if levels <= 1 => 1,
        _ => {
            return Err(InferError::invalid(format!(
                "priority {} is outside 1 to {levels} of model '{}'; 0 asks for its default",
                request.priority, version.id.model
            )));
        }
    };
    let timeout = match request.timeout {
        Some(timeout) if config.allow_timeout_override => Some(timeout),
        _ => config.default_timeout,
    };
    let mut hasher = DefaultHasher::new();
    shapes.hash(&mut hasher);
    Ok(Meta {
        rows,
        priority,
        shape: hasher.finish(),
        arrived,
        expires: timeout.and_then(|timeout| arrived.checked_add(timeout)),
        deadline: request.deadline,
    })
}

fn names_of(specs: &[TensorSpec]) -> String {
    specs.iter().map(|spec| format!("'{}'", spec.name)).collect::<Vec<_>>().join(", ")
}
