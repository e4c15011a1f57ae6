//! Whether two models give the same numbers: the check for passes that must not change any.

use candle_core::{Device, Tensor};

use super::{ExecuteError, Executor, Mode, Options};
use crate::Model;
use crate::shape::infer;

/// Samples a check runs on; more than one, so that mixing them up is seen.
const BATCH: usize = 2;

/// A check for [`patch::run`](crate::patch::run): runs both models on the same inputs and refuses the second if an output is
/// further off than `tolerance` times the largest. Free dimensions are taken to be 2.
pub fn same_numbers(tolerance: f32) -> impl FnMut(&Model, &Model) -> Result<(), String> {
    move |before, after| {
        let run = |model| outputs(model).map_err(|error| error.to_string());
        for (at, (old, new)) in run(before)?.into_iter().zip(run(after)?).enumerate() {
            let largest = old.iter().fold(0_f32, |most, value| most.max(value.abs()));
            let far = old.iter().zip(&new).map(|(old, new)| (old - new).abs()).fold(0_f32, f32::max);
            // The maximum of a number and NaN is the number, so NaN is looked for by itself.
            let numbers = new.iter().all(|value| value.is_finite());
            if old.len() != new.len() || !numbers || far > tolerance * largest {
                return Err(format!("output {at} is {far} off, where its largest number is {largest}"));
            }
        }
        Ok(())
    }
}

fn outputs(model: &Model) -> Result<Vec<Vec<f32>>, ExecuteError> {
    let executor = Executor::new(model, &Options { frozen: true, ..Options::default() })?;
    let facts = infer(model)?;
    let mut inputs = Vec::new();
    for name in executor.inputs() {
        let dims = facts.get(name).shape.clone().unwrap_or_default();
        let shape: Vec<usize> = dims.iter().map(|dim| dim.size().unwrap_or(BATCH)).collect();
        // Neither constant nor periodic in any axis.
        let values = (0..shape.iter().product::<usize>()).map(|at| (at as f32 * 0.618).sin()).collect();
        inputs.push(Tensor::from_vec::<_, f32>(values, shape, &Device::Cpu)?);
    }
    let run = executor.run(&inputs, Mode::Eval)?;
    run.outputs.iter().map(|output| Ok(output.flatten_all()?.to_vec1()?)).collect()
}
