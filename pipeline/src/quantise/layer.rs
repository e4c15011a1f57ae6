//! One layer with weights: its integers, their scales and its bias.

use candle_core::{Device, Tensor};
use takt_graph::graph::Index;
use takt_graph::onnx::{NodeProto, TensorProto};

use super::calibrate::numbers;
use super::patches::{Columns, Window, places};
use super::plan::channel_axis;
use super::reconstruct::{self, WIDEST};
use super::report::Agreement;
use super::weights::{Quantised, Rows, nearest, scales};
use super::{Options, QuantiseError, Rounding, Target};

/// A layer, quantised.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub target: Target,
    pub weight: String,
    pub rows: Rows,
    pub quantised: Quantised,
    /// Per output channel, in units of the output. `None` if there was none and none is needed.
    pub bias: Option<Vec<f32>>,
    /// Scale of the grid that its input lies on.
    pub input_scale: f32,
    /// Weights that are not on the nearest integer.
    pub moved: usize,
    /// Of its output, before that goes onto a grid.
    pub agreement: Agreement,
}

/// Largest magnitude of an integer bias: products of the widest layers in use add up to less than as much again, and both
/// together fit into 32 bits.
const MOST_BIAS: f32 = (1_u32 << 30) as f32;

/// What [`MOST_BIAS`] leaves for the correction of the bias, which comes after the scales.
const ROOM: f32 = 0.5;

impl Layer {
    /// Chooses scales and integers. `inputs` come from the quantised net, `exact` outputs from the one in single precision.
    pub fn round(
        node: &NodeProto,
        index: &Index<'_>,
        input_scale: f32,
        inputs: &[Tensor],
        exact: &[Tensor],
        (target, options): (Target, &Options),
    ) -> Result<Self, QuantiseError> {
        let name = node.input_name(1).unwrap_or_default().to_owned();
        let fault = |name: &str| {
            let name = name.to_owned();
            move |fault| QuantiseError::Tensor { name, fault }
        };
        let tensor = index.initializer(&name).ok_or(QuantiseError::Nothing)?;
        let rows = Rows::read(tensor, channel_axis(node)).map_err(fault(&name))?;
        finite(&name, &rows.values)?;
        let bias = match node.input_name(2).and_then(|name| index.initializer(name)) {
            Some(bias) => {
                let values = bias.f32s().map_err(fault(bias.name()))?;
                finite(bias.name(), &values)?;
                Some(values)
            }
            None => None,
        };
        let bound = target.weight_bound();
        let scales = scales(&rows, options.weights, bound, &least_scale(target, bias.as_deref(), input_scale));
        let plain = nearest(&rows, &scales, bound);
        let mut integers = plain.clone();
        if let Rounding::Reconstructed = options.rounding
            && let Some(window) = Window::of(node, &tensor.dims)
            && rows.width <= WIDEST
        {
            let samples = Samples { window, inputs, exact, wanted: options.samples };
            samples.reconstruct(&rows, &scales, bound, &mut integers)?;
        }
        let moved = plain.iter().zip(&integers).filter(|(plain, moved)| plain != moved).count();
        let quantised = Quantised { integers, scales };
        Ok(Self { target, weight: name, rows, quantised, bias, input_scale, moved, agreement: Agreement::default() })
    }

    /// Weights from which training goes on: the original ones, as far as they round to the integers chosen.
    pub fn trainable(&self) -> Vec<f32> {
        /// Of a step: short of half of it, where the next integer begins.
        const NEAR: f32 = 0.49;
        #[expect(clippy::cast_precision_loss, reason = "a byte")]
        let bound = self.target.weight_bound() as f32;
        let rows = self.rows.values.chunks(self.rows.width.max(1));
        let rows = rows.zip(self.quantised.integers.chunks(self.rows.width.max(1))).zip(&self.quantised.scales);
        rows.flat_map(|((row, integers), &scale)| {
            row.iter().zip(integers).map(move |(weight, &integer)| {
                let integer = f32::from(integer);
                (weight / scale).clamp((integer - NEAR).max(-bound), (integer + NEAR).min(bound)) * scale
            })
        })
        .collect()
    }

    /// The layer with other weights, scales and bias, on a grid of other steps at its input.
    pub fn trained(&self, rows: Rows, scales: &[f32], bias: Option<Vec<f32>>, input_scale: f32) -> Self {
        let scales: Vec<f32> = {
            let least = least_scale(self.target, bias.as_deref(), input_scale);
            scales.iter().enumerate().map(|(channel, scale)| scale.max(least(channel))).collect()
        };
        let integers = nearest(&rows, &scales, self.target.weight_bound());
        Self { rows, quantised: Quantised { integers, scales }, bias, input_scale, ..self.clone() }
    }

    /// The quantised weights in single precision, under the name of the original ones.
    pub fn weight_in_floats(&self) -> TensorProto {
        self.rows.tensor(&self.weight, &self.quantised.real(self.rows.width))
    }

    /// Moves the bias so that the means of all channels are those of the net in single precision (Nagel et al. 2019, section
    /// 4.2, by calibration images), and onto its grid. Returns by how much each channel has moved from the original bias.
    ///
    /// A MatMul has no place for a bias and stays without.
    pub fn settle_bias(
        &mut self,
        node: &NodeProto,
        exact: &[Tensor],
        output: &[Tensor],
        options: &Options,
    ) -> Result<Vec<f32>, QuantiseError> {
        let channels = self.rows.channels();
        let original = self.bias.clone().unwrap_or_else(|| vec![0.0; channels]);
        if options.correct_bias && !node.is("MatMul") {
            let (wanted, found) = (means(exact, channels)?, means(output, channels)?);
            let corrected = original.iter().zip(wanted.iter().zip(found));
            #[expect(clippy::cast_possible_truncation, reason = "back to single precision")]
            let corrected = corrected.map(|(&bias, (wanted, found))| bias + (wanted - found) as f32).collect();
            self.bias = Some(corrected);
        }
        if self.target.integer_bias()
            && let Some(integers) = self.integer_bias()
        {
            let scales = self.bias_scales();
            #[expect(clippy::cast_precision_loss, reason = "what the runtime adds")]
            let real = integers.iter().zip(scales).map(|(&integer, scale)| integer as f32 * scale).collect();
            self.bias = Some(real);
        }
        let settled = self.bias.as_ref().unwrap_or(&original);
        Ok(settled.iter().zip(&original).map(|(settled, original)| settled - original).collect())
    }

    /// Input scale times weight scale, per channel: the unit in which kernels add products.
    pub fn bias_scales(&self) -> Vec<f32> {
        self.quantised.scales.iter().map(|scale| scale * self.input_scale).collect()
    }

    /// The bias in units of [`Self::bias_scales`].
    pub fn integer_bias(&self) -> Option<Vec<i32>> {
        #[expect(clippy::cast_possible_truncation, reason = "clamped far below the ends of 32 bits")]
        let integer = |(bias, scale): (&f32, f32)| (bias / scale).round_ties_even().clamp(-MOST_BIAS, MOST_BIAS) as i32;
        self.bias.as_ref().map(|bias| bias.iter().zip(self.bias_scales()).map(integer).collect())
    }
}

/// The smallest scale that a channel's weights may have, so that its bias fits.
fn least_scale(target: Target, bias: Option<&[f32]>, input_scale: f32) -> impl Fn(usize) -> f32 {
    move |channel| {
        let bias = bias.and_then(|bias| bias.get(channel)).copied().unwrap_or(0.0);
        if target.integer_bias() { bias.abs() / (input_scale * MOST_BIAS * ROOM) } else { 0.0 }
    }
}

fn finite(name: &str, values: &[f32]) -> Result<(), QuantiseError> {
    let all = values.iter().all(|value| value.is_finite());
    all.then_some(()).ok_or_else(|| QuantiseError::NotFinite { value: name.to_owned() })
}

/// Inputs and outputs of a layer to learn from.
struct Samples<'a> {
    window: Window,
    inputs: &'a [Tensor],
    exact: &'a [Tensor],
    /// How many places of the output.
    wanted: usize,
}

/// Inputs and outputs at a sample of places, for one group of channels.
#[derive(Default, Clone)]
struct Lesson {
    columns: Columns,
    /// Outputs `[samples, channels of the group]`.
    targets: Vec<f32>,
}

impl Samples<'_> {
    fn reconstruct(&self, rows: &Rows, scales: &[f32], bound: i32, integers: &mut [i8]) -> Result<(), QuantiseError> {
        let groups = self.window.groups();
        let channels = rows.channels();
        if channels == 0 || !channels.is_multiple_of(groups) {
            return Ok(());
        }
        let per_group = channels / groups;
        let lessons = match self.window {
            Window::Whole => vec![self.of_rows(rows.width, channels)?],
            Window::Conv { .. } => self.of_maps(groups, per_group)?,
        };
        let parts = integers.chunks_mut(per_group * rows.width).zip(&lessons);
        for (group, (integers, Lesson { columns, targets })) in parts.enumerate() {
            reconstruct::descend(rows, group * per_group, columns, targets, scales, bound, integers)?;
        }
        Ok(())
    }

    /// Of a layer on the last axis, which holds the features: everything before it is places, as of a channels-last map.
    fn of_rows(&self, width: usize, channels: usize) -> candle_core::Result<Lesson> {
        let rows_of = |input: &Tensor| input.elem_count() / width;
        let all: usize = self.inputs.iter().map(rows_of).sum();
        let mut lesson = Lesson::default();
        for (seed, (input, exact)) in (0..).zip(self.inputs.iter().zip(self.exact)) {
            let rows = rows_of(input);
            let wanted = self.wanted.saturating_mul(rows).div_ceil(all.max(1));
            let places = places(rows, 1, wanted, seed);
            self.window.gather(&numbers(input)?, input.dims(), &places, 0, &mut lesson.columns);
            let outputs = numbers(exact)?;
            for &(row, _) in &places {
                lesson.targets.extend_from_slice(outputs.chunks(channels).nth(row).unwrap_or_default());
            }
        }
        Ok(lesson)
    }

    /// Of a convolution, by group.
    fn of_maps(&self, groups: usize, per_group: usize) -> candle_core::Result<Vec<Lesson>> {
        let mut lessons = vec![Lesson::default(); groups];
        let images: usize = self.inputs.iter().filter_map(|batch| batch.dims().first()).sum();
        let wanted = self.wanted.div_ceil(images.max(1));
        let mut seed = 0;
        for (input, exact) in self.inputs.iter().zip(self.exact) {
            let (Some(shape), &[_, channels, height, width]) = (input.dims().get(1..), exact.dims()) else { continue };
            let (inputs, outputs) = (numbers(input)?, numbers(exact)?);
            let of_image = shape.iter().product::<usize>().max(1);
            for (image, output) in inputs.chunks(of_image).zip(outputs.chunks((channels * height * width).max(1))) {
                let places = places(height, width, wanted, seed);
                seed += 1;
                for (group, lesson) in lessons.iter_mut().enumerate() {
                    self.window.gather(image, shape, &places, group, &mut lesson.columns);
                    let mine = &output[group * per_group * height * width..];
                    for &(row, column) in &places {
                        let at = |channel: usize| mine[(channel * height + row) * width + column];
                        lesson.targets.extend((0..per_group).map(at));
                    }
                }
            }
        }
        Ok(lessons)
    }
}

/// Mean of every channel: axis 1 of an image, the last one otherwise. Not for MatMul, whose rank says nothing of its axes.
fn means(batches: &[Tensor], channels: usize) -> candle_core::Result<Vec<f64>> {
    let mut sums = vec![0.0_f64; channels];
    let mut count = 0_usize;
    for batch in batches {
        let each: usize = if batch.rank() == 4 { batch.dims()[2..].iter().product() } else { 1 };
        let values = numbers(batch)?;
        for (at, part) in values.chunks(each.max(1)).enumerate() {
            sums[at % channels] += part.iter().map(|&value| f64::from(value)).sum::<f64>();
        }
        count += values.len() / channels.max(1);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let count = count.max(1) as f64;
    Ok(sums.into_iter().map(|sum| sum / count).collect())
}

/// Adds a number to every channel.
pub(super) fn add_to_channels(output: &Tensor, shift: &[f32]) -> candle_core::Result<Tensor> {
    if shift.iter().all(|&shift| shift == 0.0) {
        return Ok(output.clone());
    }
    let shift = Tensor::from_slice(shift, shift.len(), &Device::Cpu)?;
    let shift = if output.rank() == 4 { shift.reshape((1, (), 1, 1))? } else { shift };
    output.broadcast_add(&shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_maps_with_the_channels_last_are_sampled() {
        let batch = |images: usize| {
            let values: Vec<f32> = (0..images * 30).map(|at| at as f32).collect();
            Tensor::from_vec(values, (images, 3, 5, 2), &Device::Cpu).unwrap()
        };
        // One layer that doubles both features of each place.
        let inputs = [batch(4), batch(2)];
        let exact = inputs.clone().map(|input| (input * 2.0).unwrap());
        let samples = Samples { window: Window::Whole, inputs: &inputs, exact: &exact, wanted: 9 };
        let Lesson { columns, targets } = samples.of_rows(2, 2).unwrap();
        assert_eq!((columns.samples, columns.values.len()), (9, 18), "six from the larger batch, three from the other");
        assert_eq!(targets, columns.values.iter().map(|value| 2.0 * value).collect::<Vec<_>>());
    }
}
