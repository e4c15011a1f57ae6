//! From the requests of a batch to the instance's input buffers, and from the run's outputs back to the requests.

use takt_artifact::TensorSpec;
use takt_backend::OutputTensor;

use super::buffer::AlignedBuffer;
use super::job::{Job, Payload};
use crate::error::{ErrorKind, InferError};

/// Input buffers of one instance, reused from batch to batch.
#[derive(Debug, Default)]
pub struct InputBuffers {
    tensors: Vec<(AlignedBuffer, Vec<usize>)>,
}

impl InputBuffers {
    /// Copies the inputs of `jobs` one behind the other; rows up to `padded` are zero.
    ///
    /// All jobs have the same shapes and their images are decoded.
    ///
    /// # Errors
    /// An image that failed to decode; callers drop such jobs before.
    pub fn gather(
        &mut self,
        inputs: &[TensorSpec],
        jobs: &[(Job, usize)],
        padded: Option<usize>,
    ) -> Result<(), InferError> {
        self.tensors.resize_with(inputs.len(), Default::default);
        let Some((first, _)) = jobs.first() else { return Ok(()) };
        for (index, (spec, (buffer, shape))) in inputs.iter().zip(&mut self.tensors).enumerate() {
            let item = &first.shapes[index];
            shape.clear();
            shape.extend(padded);
            shape.extend_from_slice(item);
            let total = shape.iter().product::<usize>() * spec.datatype.size().unwrap_or(1);
            buffer.resize(total);
            let bytes = buffer.bytes_mut();
            let mut at = 0;
            for (job, _) in jobs {
                match &job.inputs[index] {
                    Payload::Raw(data) => append(bytes, &mut at, data)?,
                    Payload::Images(slots) => {
                        for slot in slots {
                            slot.with_row(|row| append(bytes, &mut at, row))??;
                        }
                    }
                }
            }
            bytes[at..].fill(0);
        }
        Ok(())
    }

    /// Shape and bytes of each input, in signature order.
    pub fn tensors(&self) -> impl Iterator<Item = (&[usize], &[u8])> {
        self.tensors.iter().map(|(buffer, shape)| (shape.as_slice(), buffer.bytes()))
    }
}

fn append(bytes: &mut [u8], at: &mut usize, data: &[u8]) -> Result<(), InferError> {
    let place = bytes.get_mut(*at..*at + data.len()).ok_or_else(|| {
        InferError::new(ErrorKind::Internal, "inputs of a batch are larger than its buffer; please report this")
    })?;
    place.copy_from_slice(data);
    *at += data.len();
    Ok(())
}

/// Cuts `rows` rows, from row `start`, out of the outputs of a batch of `padded` rows. Copies nothing.
///
/// # Errors
/// An output whose first dimension is not the batch.
pub fn split(
    outputs: &[OutputTensor],
    start: usize,
    rows: usize,
    padded: usize,
) -> Result<Vec<OutputTensor>, InferError> {
    outputs
        .iter()
        .map(|output| {
            if output.shape.first() != Some(&padded) {
                return Err(InferError::new(
                    ErrorKind::Internal,
                    format!(
                        "the model gave an output of shape {:?} for a batch of {padded}: its first dimension is not the \
                         batch; set max_batch_size = 0 for this model",
                        output.shape
                    ),
                ));
            }
            let row_bytes = output.data.len() / padded;
            let mut shape = output.shape.clone();
            shape[0] = rows;
            let data = output.data.slice(start * row_bytes..(start + rows) * row_bytes);
            Ok(OutputTensor { datatype: output.datatype, shape, data })
        })
        .collect()
}
