//! Rounds weights so that the layer's output changes least, rather than the weights.
//!
//! The error of a layer is quadratic in its weights (Nagel et al. 2020, equation 10): `(q - w) H (q - w)` with the second
//! moments `H` of its inputs. AdaRound relaxes the integers and descends along gradients; cyclic coordinate descent works on
//! the integers themselves (Behdin et al. 2023), needs no learning rate and takes seconds. The target is what the layer gives
//! out in single precision on inputs in single precision, while its inputs here are those of the quantised net, so that a
//! layer makes up for errors of the layers before (asymmetric reconstruction). Moments are centred: what remains is the mean,
//! which the bias takes.

use candle_core::{Device, Tensor};

use super::calibrate::numbers;
use super::patches::Columns;
use super::weights::Rows;

/// Sweeps over all weights at most. Most settle in three or four.
const SWEEPS: usize = 8;

/// Weights per output channel beyond which the moments would take too much memory.
pub(super) const WIDEST: usize = 8192;

/// Pull towards the original weights, as a share of the mean second moment. Moments of `width` inputs from `samples` places
/// are noise in proportion to `width / samples`; directions that calibration does not show must not be bent.
fn ridge(width: usize, samples: usize) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let noise = width as f32 / samples as f32;
    0.05 + noise
}

/// Multiplications below which a second thread costs more than it saves: a depthwise layer is many small problems.
const WORTH_A_THREAD: usize = 1 << 20;

/// Changes `integers` of one group of output channels. `targets` are its outputs `[samples, channels]`.
pub(super) fn descend(
    rows: &Rows,
    from: usize,
    columns: &Columns,
    targets: &[f32],
    scales: &[f32],
    bound: i32,
    integers: &mut [i8],
) -> candle_core::Result<()> {
    let width = rows.width;
    let channels = integers.len() / width.max(1);
    let samples = columns.samples;
    if samples < 2 || channels == 0 {
        return Ok(());
    }
    let inputs = centred(&columns.values, samples, width)?;
    let targets = centred(targets, samples, channels)?;
    #[expect(clippy::cast_precision_loss, reason = "a number of samples")]
    let share = 1.0 / samples as f64;
    let mut moments = numbers(&(inputs.t()?.contiguous()?.matmul(&inputs)? * share)?)?;
    let cross = numbers(&(targets.t()?.contiguous()?.matmul(&inputs)? * share)?)?;
    #[expect(clippy::cast_precision_loss, reason = "a number of weights")]
    let mean = moments.iter().step_by(width + 1).sum::<f32>() / width as f32;
    let ridge = ridge(width, samples) * mean;
    if !ridge.is_normal() {
        return Ok(());
    }
    moments.iter_mut().step_by(width + 1).for_each(|moment| *moment += ridge);
    let weights = &rows.values[from * width..(from + channels) * width];
    let scales = &scales[from..from + channels];
    let real: Vec<f32> =
        integers.iter().enumerate().map(|(at, &integer)| f32::from(integer) * scales[at / width]).collect();
    let second = Tensor::from_vec(moments.clone(), (width, width), &Device::Cpu)?;
    let product = numbers(&Tensor::from_vec(real, (channels, width), &Device::Cpu)?.matmul(&second)?)?;
    let mut gradients: Vec<f32> = product
        .iter()
        .zip(&cross)
        .zip(weights)
        .map(|((product, cross), weight)| product - cross - ridge * weight)
        .collect();
    if channels * width * width < WORTH_A_THREAD {
        sweep(&moments, width, scales, bound, integers, &mut gradients);
        return Ok(());
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let each = channels.div_ceil(threads).max(1) * width;
    std::thread::scope(|scope| {
        let parts = integers.chunks_mut(each).zip(gradients.chunks_mut(each)).zip(scales.chunks(each / width));
        for ((integers, gradients), scales) in parts {
            let moments = &moments;
            scope.spawn(move || sweep(moments, width, scales, bound, integers, gradients));
        }
    });
    Ok(())
}

/// Each weight in turn goes to the integer that is best given all others. Rows inside, so that a row of moments is read once.
fn sweep(moments: &[f32], width: usize, scales: &[f32], bound: i32, integers: &mut [i8], gradients: &mut [f32]) {
    #[expect(clippy::cast_precision_loss, reason = "a byte")]
    let bound = bound as f32;
    for _ in 0..SWEEPS {
        let mut moved = false;
        for (at, row) in moments.chunks(width).enumerate() {
            let curvature = row[at];
            for ((integers, gradients), &scale) in
                integers.chunks_mut(width).zip(gradients.chunks_mut(width)).zip(scales)
            {
                let now = f32::from(integers[at]);
                let best = (now - gradients[at] / (curvature * scale)).round_ties_even().clamp(-bound, bound);
                if best == now {
                    continue;
                }
                #[expect(clippy::cast_possible_truncation, reason = "clamped to a byte")]
                let byte = best as i8;
                integers[at] = byte;
                let change = (best - now) * scale;
                gradients.iter_mut().zip(row).for_each(|(gradient, moment)| *gradient += change * moment);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
}

fn centred(values: &[f32], samples: usize, width: usize) -> candle_core::Result<Tensor> {
    let values = Tensor::from_slice(values, (samples, width), &Device::Cpu)?;
    values.broadcast_sub(&values.mean_keepdim(0)?)
}
