//! Values moved onto a grid of integers, with a step that is learnt (LSQ, Esser et al. 2020).

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use crate::batch::{Data, check};
use crate::elementwise::Flat;
use crate::parallel::{PIECE, map, map2};
use crate::simd::sum2;
use crate::tape::{Form, Inputs, record};

/// The integers that a grid has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The integer that stands for 0.
    pub zero_point: i32,
    /// Least integer.
    pub low: i32,
    /// Largest integer.
    pub high: i32,
    /// Axis along which steps change, where there is more than one.
    pub axis: usize,
}

const OP: &str = "fake_quantize";

/// `step * round(x / step)`, of what the levels reach. `step` holds one number for all of `x`, or one for each place on
/// [`Levels::axis`] of a contiguous `x`.
///
/// The gradient goes straight through the rounding: to `x` it is 1 on the grid and 0 beyond its ends; to the step it is
/// `round(x / step) - x / step` on the grid and the end beyond it (equation 3 of the paper). The step's gradient is divided
/// by the root of `high` times the number of elements that share the step (section 2.2), so that steps and weights
/// move alike; of activations, which share one step, the elements of one image count.
///
/// # Errors
/// If a tensor is not F32 on the CPU or has gaps, the numbers of steps and places differ, or a step is not above 0.
pub fn fake_quantize(x: &Tensor, step: &Tensor, levels: &Levels) -> Result<Tensor> {
    check(step, OP, "the step")?;
    let steps: Vec<f32> = step.flatten_all()?.to_vec1()?;
    if let Some(bad) = steps.iter().find(|step| !step.is_normal() || **step < 0.0) {
        bail!("{OP}: a step is {bad}, expected above 0; a lower learning rate keeps it there")
    }
    match steps.as_slice() {
        &[one] => of_tensor(x, step, Cell::new(one, levels)),
        many if x.dims().get(levels.axis) == Some(&many.len()) => of_channels(x, step, many, levels),
        many => bail!("{OP}: there are {} steps for axis {} of {:?}", many.len(), levels.axis, x.dims()),
    }
}

/// A step with the ends of its grid, in steps from zero.
#[derive(Clone, Copy)]
struct Cell {
    step: f32,
    low: f32,
    high: f32,
}

impl Cell {
    fn new(step: f32, levels: &Levels) -> Self {
        Self { step, low: (levels.low - levels.zero_point) as f32, high: (levels.high - levels.zero_point) as f32 }
    }

    /// `x` in whole steps. Ties go to the even one; NaN comes through.
    #[inline(always)]
    fn round(self, x: f32) -> f32 {
        /// Numbers of single precision from here on have no fraction.
        const WHOLE: f32 = 1.5 * (1 << 23) as f32;
        let x = x / self.step;
        let x = if x < self.low { self.low } else { x };
        let x = if x > self.high { self.high } else { x };
        (x + WHOLE) - WHOLE
    }

    #[inline(always)]
    fn reaches(self, x: f32) -> bool {
        let x = x / self.step;
        (x >= self.low) & (x <= self.high)
    }

    #[inline(always)]
    fn to_x(self, x: f32, gradient: f32) -> f32 {
        if self.reaches(x) { gradient } else { 0.0 }
    }

    #[inline(always)]
    fn to_step(self, x: f32, gradient: f32) -> f32 {
        let straight = if self.reaches(x) { x / self.step } else { 0.0 };
        gradient * (self.round(x) - straight)
    }

    fn sum(self, x: &[f32], gradient: &[f32]) -> f32 {
        sum2(x, gradient, |x, gradient| (self.to_step(x, gradient), 0.0)).0
    }

    /// By what the gradient of a step is multiplied that so many elements share.
    fn share(self, elements: usize) -> f64 {
        1.0 / (elements.max(1) as f64 * f64::from(self.high.max(1.0))).sqrt()
    }
}

fn of_tensor(x: &Tensor, step: &Tensor, cell: Cell) -> Result<Tensor> {
    let values = Flat::of(x, OP, "the input")?;
    let data = map(&values.read()?, |x| cell.step * cell.round(x));
    let share = cell.share(x.elem_count() / x.dims().first().copied().unwrap_or(1).max(1));
    let shape = step.shape().clone();
    record(OP, values.form(), data, Inputs::of(&[x, step]), move |gradient| {
        let gradient = values.alike(gradient, OP)?;
        let (x, gradient) = (values.read()?, gradient.read()?);
        let to_x = map2(&x, &gradient, |x, gradient| cell.to_x(x, gradient));
        let pieces = x.par_chunks(PIECE).zip(gradient.par_chunks(PIECE));
        let sums: Vec<f32> = pieces.map(|(x, gradient)| cell.sum(x, gradient)).collect();
        let sum: f64 = sums.into_iter().map(f64::from).sum();
        let to_step = Tensor::from_vec(vec![(sum * share) as f32], shape.clone(), &Device::Cpu)?;
        Ok(vec![Some(values.tensor(to_x)?), Some(to_step)])
    })
}

fn of_channels(x: &Tensor, step: &Tensor, steps: &[f32], levels: &Levels) -> Result<Tensor> {
    check(x, OP, "the input")?;
    if !x.is_contiguous() {
        bail!("{OP}: an input with a step per channel has strides {:?}; call contiguous() on it first", x.stride())
    }
    let (values, channels) = (x.detach(), steps.len());
    let run: usize = x.dims()[levels.axis + 1..].iter().product::<usize>().max(1);
    let cells: Vec<Cell> = steps.iter().map(|&step| Cell::new(step, levels)).collect();
    let shape = x.shape().clone();
    let mut data = Data::of(&values)?.to_vec();
    data.par_chunks_mut(run).enumerate().for_each(|(at, run)| {
        let cell = cells[at % channels];
        run.iter_mut().for_each(|x| *x = cell.step * cell.round(*x));
    });
    let share = cells.first().map_or(1.0, |cell| cell.share(x.elem_count() / channels.max(1)));
    let to_step_shape = step.shape().clone();
    record(OP, Form::Contiguous(shape.clone()), data, Inputs::of(&[x, step]), move |gradient| {
        let gradient = gradient.contiguous()?;
        let (x, gradient) = (Data::of(&values)?, Data::of(&gradient)?);
        let mut to_x = gradient.to_vec();
        to_x.par_chunks_mut(run).zip(x.par_chunks(run)).enumerate().for_each(|(at, (to_x, x))| {
            let cell = cells[at % channels];
            to_x.iter_mut().zip(x).for_each(|(gradient, x)| *gradient = cell.to_x(*x, *gradient));
        });
        let mut sums = vec![0.0_f64; channels];
        for (at, (x, gradient)) in x.chunks(run).zip(gradient.chunks(run)).enumerate() {
            sums[at % channels] += f64::from(cells[at % channels].sum(x, gradient));
        }
        let to_step: Vec<f32> = sums.into_iter().map(|sum| (sum * share) as f32).collect();
        let to_step = Tensor::from_vec(to_step, to_step_shape.clone(), &Device::Cpu)?;
        Ok(vec![Some(Tensor::from_vec(to_x, shape.clone(), &Device::Cpu)?), Some(to_step)])
    })
}
