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

impl Samples<'_> {
    fn reconstruct(&self, rows: &Rows, scales: &[f32], bound: i32, integers: &mut [i8]) -> Result<(), QuantiseError> {
        let groups = self.window.groups();
        let channels = rows.channels();
        let images: usize = self.inputs.iter().filter_map(|batch| batch.dims().first()).sum();
        if images == 0 || !channels.is_multiple_of(groups) || channels == 0 {
            return Ok(());
        }
        let per_group = channels / groups;
        let wanted = self.wanted.div_ceil(images);
        let mut columns = vec![Columns::default(); groups];
        let mut targets: Vec<Vec<f32>> = vec![Vec::new(); groups];
        let mut seed = 0;
        for (input, exact) in self.inputs.iter().zip(self.exact) {
            let (shape, sizes) = (&input.dims()[1..], exact.dims());
            let (height, width) = if let &[_, _, height, width] = sizes { (height, width) } else { (1, 1) };
            let (input, exact) = (numbers(input)?, numbers(exact)?);
            let rows_of_inputs = if shape.len() == 3 { shape.iter().product() } else { rows.width };
            let images = input.chunks(rows_of_inputs.max(1)).zip(exact.chunks((channels * height * width).max(1)));
            for (image, output) in images {
                let places = places(height, width, wanted, seed);
                seed += 1;
                for group in 0..groups {
                    self.window.gather(image, shape, &places, group, &mut columns[group]);
                    let mine = &output[group * per_group * height * width..];
                    for &(row, column) in &places {
                        targets[group]
                            .extend((0..per_group).map(|channel| mine[(channel * height + row) * width + column]));
                    }
                }
            }
        }
        let parts = integers.chunks_mut(per_group * rows.width).zip(columns.iter().zip(&targets));
        for (group, (integers, (columns, targets))) in parts.enumerate() {
            reconstruct::descend(rows, group * per_group, columns, targets, scales, bound, integers)?;
        }
        Ok(())
    }
}

/// Mean of every channel: axis 1 of an image, the last one otherwise.
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
