//! Fake quantisation: values, and gradients by the equations of the paper.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use candle_core::{Device, Result, Tensor, Var};
use common::{assert_close, assert_gradients, values, var};
use takt_ops::{Levels, backward, fake_quantize};

/// Bytes around 3.
const UNSIGNED: Levels = Levels { zero_point: 3, low: 0, high: 255, axis: 0 };
/// Few enough that numbers from -1 to 1 leave them.
const NARROW: Levels = Levels { zero_point: 0, low: -2, high: 2, axis: 0 };

fn step(steps: &[f32]) -> Result<Var> {
    Var::from_tensor(&Tensor::from_slice(steps, steps.len(), &Device::Cpu)?)
}

#[test]
fn values_go_to_the_nearest_level_and_ties_to_the_even_one() -> Result<()> {
    let x = Tensor::new(&[-9.0_f32, -1.4, -0.25, 0.0, 0.25, 0.75, 1.1, 1e9], &Device::Cpu)?;
    let on_grid = fake_quantize(&x, Var::from_tensor(&Tensor::new(0.5_f32, &Device::Cpu)?)?.as_tensor(), &UNSIGNED)?;
    assert_eq!(values(&on_grid)?, [-1.5, -1.5, 0.0, 0.0, 0.0, 1.0, 1.0, 126.0]);
    let x = Tensor::new(&[f32::NAN], &Device::Cpu)?;
    assert!(values(&fake_quantize(&x, step(&[0.5])?.as_tensor(), &UNSIGNED)?)?[0].is_nan(), "it must not go unnoticed");
    Ok(())
}

#[test]
fn gradients_go_straight_through_within_the_grid_and_to_the_step_by_what_rounding_changed() -> Result<()> {
    // One image of eight elements; the gradient of what comes out is 1, 2, ... 8.
    let numbers = [-9.0_f32, -0.9, -0.3, 0.0, 0.2, 0.6, 0.9, 7.0];
    for ordered in [false, true] {
        let x = Var::from_tensor(&Tensor::from_slice(&numbers, (1, 2, 2, 2), &Device::Cpu)?)?;
        let seen =
            if ordered { x.permute((1, 2, 3, 0))?.contiguous()?.permute((3, 0, 1, 2))? } else { x.as_tensor().clone() };
        let s = step(&[0.5])?;
        let weights = Tensor::arange(1.0_f32, 9.0, &Device::Cpu)?.reshape((1, 2, 2, 2))?;
        let gradients = backward(&fake_quantize(&seen, &s, &NARROW)?.mul(&weights)?.sum_all()?)?;
        assert_eq!(values(gradients.get(&x).unwrap())?, [0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0]);
        // Ends count whole, what is within them by round(v) - v with v = x / 0.5, all over the root of 2 * 8.
        let expected: f32 = [-2.0, 0.0 - 0.2, -1.0 + 0.6, 0.0, 0.0 - 0.4, 1.0 - 1.2, 2.0 - 1.8, 2.0]
            .iter()
            .zip(1_u8..)
            .map(|(change, weight): (&f32, u8)| change * f32::from(weight))
            .sum();
        assert_close(&values(gradients.get(&s).unwrap())?, &[expected / 4.0], 1e-5, "step");
    }
    Ok(())
}

#[test]
fn every_channel_has_a_step_of_its_own_on_either_axis() -> Result<()> {
    let x = var(1, &[3, 4, 2, 2])?;
    for (axis, steps) in [(0, &[0.1_f32, 0.3, 0.7][..]), (1, &[0.1, 0.2, 0.4, 0.8])] {
        let s = step(steps)?;
        let levels = Levels { axis, ..NARROW };
        let weights = common::tensor(5, x.dims())?;
        let together = fake_quantize(&x, &s, &levels)?;
        let gradients = backward(&together.mul(&weights)?.sum_all()?)?;
        for (channel, one) in steps.iter().enumerate() {
            let alone = Var::from_tensor(&x.narrow(axis, channel, 1)?.contiguous()?)?;
            // As one image, so that all its elements share the step.
            let image = alone.reshape((1, ()))?;
            let own = step(&[*one])?;
            let out = fake_quantize(&image, &own, &levels)?;
            let weights = weights.narrow(axis, channel, 1)?.contiguous()?.reshape((1, ()))?;
            let expected = backward(&out.mul(&weights)?.sum_all()?)?;
            assert_eq!(values(&together.narrow(axis, channel, 1)?)?, values(&out)?);
            let of = |tensor: &Tensor| values(&tensor.narrow(axis, channel, 1)?);
            assert_eq!(of(gradients.get(&x).unwrap())?, values(expected.get(&alone).unwrap())?);
            let found = values(gradients.get(&s).unwrap())?[channel];
            assert_close(&[found], &values(expected.get(&own).unwrap())?, 1e-5, "step");
        }
    }
    Ok(())
}

/// Beyond the ends nothing is rounded, so that the straight-through gradients are the true ones, the step's but for its factor.
#[test]
fn gradients_beyond_the_ends_are_those_of_finite_differences() -> Result<()> {
    let x = Var::from_tensor(&(common::tensor(3, &[1, 50])?.sign()? * 7.0)?)?;
    let s = step(&[0.5])?;
    assert_gradients(std::slice::from_ref(&x), |vars| fake_quantize(&vars[0], &s, &NARROW))?;
    let weights = common::tensor(99, x.dims())?;
    let loss = |step: &Tensor| fake_quantize(&x, step, &NARROW)?.mul(&weights)?.sum_all();
    let at = |by: f64| loss(&(s.as_tensor() + by)?)?.to_scalar::<f32>();
    let difference = (at(1e-3)? - at(-1e-3)?) / 2e-3;
    let found = values(backward(&loss(&s)?)?.get(&s).unwrap())?[0];
    let factor = (50.0_f32 * 2.0).sqrt();
    assert_close(&[found * factor], &[difference], 1e-2, "step");
    Ok(())
}

#[test]
fn steps_that_make_no_grid_are_told() -> Result<()> {
    let x = var(1, &[2, 3])?;
    for bad in [0.0, -0.1, f32::NAN, f32::INFINITY] {
        let told = fake_quantize(&x, step(&[bad])?.as_tensor(), &NARROW).unwrap_err().to_string();
        assert!(told.contains("expected above 0"), "{told}");
    }
    let told = fake_quantize(&x, step(&[0.1, 0.1, 0.1])?.as_tensor(), &NARROW).unwrap_err().to_string();
    assert!(told.contains("3 steps for axis 0 of [2, 3]"), "{told}");
    Ok(())
}
