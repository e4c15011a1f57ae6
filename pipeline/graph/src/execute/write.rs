//! From tensors back to the model.

use candle_core::Tensor;

use super::{ExecuteError, Executor, Run};
use crate::Model;
use crate::onnx::TensorProto;

pub(super) fn update_statistics(executor: &mut Executor, run: &Run, share: f64) -> Result<(), ExecuteError> {
    for (place, batch) in &run.statistics {
        let Some(norm) = executor.norms.get_mut(*place) else { continue };
        norm.mean = moved(&norm.mean_name, &norm.mean, &batch.mean, share)?;
        norm.var = moved(&norm.var_name, &norm.var, &batch.var, share)?;
    }
    Ok(())
}

fn moved(name: &str, running: &Tensor, batch: &Tensor, share: f64) -> Result<Tensor, ExecuteError> {
    if running.dims() != batch.dims() {
        let expected = format!("{:?}; the run is another executor's", running.dims());
        return Err(ExecuteError::Write { name: name.to_owned(), found: batch.dims().to_vec(), expected });
    }
    Ok(((running * (1.0 - share))? + (batch * share)?)?)
}

pub(super) fn write_to(executor: &Executor, model: &mut Model) -> Result<(), ExecuteError> {
    let weights = executor.vars.iter().map(|(name, var)| (name.as_str(), var.as_tensor()));
    let statistics = executor.norms.iter();
    let statistics =
        statistics.flat_map(|norm| [(norm.mean_name.as_str(), &norm.mean), (norm.var_name.as_str(), &norm.var)]);
    let all: std::collections::HashMap<&str, &Tensor> = weights.chain(statistics).collect();
    for (name, value) in &all {
        let there = model.graph().initializer_named(name).map(TensorProto::shape);
        let expected = match there {
            Some(Ok(shape)) if shape == value.dims() => continue,
            Some(Ok(shape)) => format!("{shape:?}"),
            _ => "an initialiser of that name".to_owned(),
        };
        return Err(ExecuteError::Write { name: (*name).to_owned(), found: value.dims().to_vec(), expected });
    }
    for tensor in &mut model.graph_mut().initializer {
        if let Some(value) = all.get(tensor.name()) {
            let values: Vec<f32> = value.flatten_all()?.to_vec1()?;
            tensor.set_data(values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>());
        }
    }
    Ok(())
}
