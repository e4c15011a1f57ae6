//! Activations, alone and behind batch normalisation: results and gradients against candle's own operations, gradients against
//! finite differences.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::{assert_close, assert_gradients, tensor, values, var};
use takt_ops::{Activation, activate, backward, batch_norm_eval, batch_norm_train, gate, relu};

const ALL: [Activation; 8] = [
    Activation::Relu,
    Activation::Clamp { low: -0.5, high: 0.6 },
    Activation::LeakyRelu { slope: 0.1 },
    Activation::Sigmoid,
    Activation::Silu,
    Activation::HardSigmoid { slope: 0.2, offset: 0.5 },
    Activation::HardSwish,
    Activation::Gelu,
];

/// The function as candle's operations define it.
fn define(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Relu => x.relu(),
        Activation::Clamp { low, high } => x.clamp(low, high),
        Activation::LeakyRelu { slope } => x.relu()? - (x.neg()?.relu()? * f64::from(slope))?,
        Activation::Sigmoid => (x.neg()?.exp()? + 1.0)?.recip(),
        Activation::Silu => x * define(x, Activation::Sigmoid)?,
        Activation::HardSigmoid { slope, offset } => x.affine(f64::from(slope), f64::from(offset))?.clamp(0f32, 1f32),
        Activation::HardSwish => x * x.affine(1.0 / 6.0, 0.5)?.clamp(0f32, 1f32)?,
        Activation::Gelu => x.gelu_erf(),
    }
}

/// Numbers on both sides of every kink.
fn wide(seed: u64, shape: &[usize]) -> Result<Var> {
    Var::from_tensor(&(tensor(seed, shape)? * 5.0)?)
}

#[test]
fn results_and_gradients_are_those_of_candle() -> Result<()> {
    for activation in ALL {
        let (x, weights) = (wide(1, &[3, 4, 5, 7])?, tensor(2, &[3, 4, 5, 7])?);
        let (found, expected) = (activate(&x, activation)?, define(&x, activation)?);
        let name = format!("{activation:?}");
        assert_close(&values(&found)?, &values(&expected)?, 1e-6, &name);
        let found = backward(&found.mul(&weights)?.sum_all()?)?;
        let expected = expected.mul(&weights)?.sum_all()?.backward()?;
        assert_close(&values(found.get(&x).unwrap())?, &values(expected.get(&x).unwrap())?, 2e-6, &name);
    }
    Ok(())
}

#[test]
fn gradients_are_those_of_finite_differences() -> Result<()> {
    for activation in ALL {
        for shape in [&[3, 4, 5, 2][..], &[7, 5]] {
            assert_gradients(&[var(1, shape)?], |vars| activate(&vars[0], activation))?;
        }
    }
    Ok(())
}

/// Finite differences would stumble over kinks, so candle differentiates the definition.
#[test]
fn behind_batch_normalisation_they_are_what_they_are_alone() -> Result<()> {
    let (mean, var_) = (tensor(4, &[4])?, (tensor(5, &[4])? + 1.5)?);
    let vars = [var(1, &[3, 4, 5, 2])?, wide(2, &[4])?, var(3, &[4])?];
    let [x, gamma, beta] = &vars;
    let weights = tensor(6, x.dims())?;
    let of = |y: Tensor| backward(&y.mul(&weights)?.sum_all()?);
    for activation in ALL {
        let some = Some(activation);
        let train = |some| Ok::<_, candle_core::Error>(batch_norm_train(x, gamma, beta, 1e-3, some)?.0);
        let eval = |some| batch_norm_eval(x, gamma, beta, &mean, &var_, 1e-3, some);
        for (found, plain) in [(train(some)?, train(None)?), (eval(some)?, eval(None)?)] {
            let expected = activate(&plain, activation)?;
            let name = format!("{activation:?}");
            assert_close(&values(&found)?, &values(&expected)?, 1e-6, &name);
            let (found, expected) = (of(found)?, of(expected)?);
            for var in &vars {
                assert_close(&values(found.get(var).unwrap())?, &values(expected.get(var).unwrap())?, 1e-5, &name);
            }
        }
    }
    Ok(())
}

#[test]
fn not_a_number_comes_through_and_large_numbers_stay_numbers() -> Result<()> {
    for activation in ALL {
        let x = Var::new(&[f32::NAN, 1e30, -1e30, 200.0, -200.0], &Device::Cpu)?;
        let y = activate(&x, activation)?;
        let found: Vec<f32> = y.to_vec1()?;
        assert!(found[0].is_nan() && found[1..].iter().all(|v| v.is_finite()), "{activation:?}: {found:?}");
        let gradients = backward(&y.sum_all()?)?;
        let gradient: Vec<f32> = gradients.get(&x).unwrap().to_vec1()?;
        assert!(gradient[1..].iter().all(|v| v.is_finite()), "{activation:?}: {gradient:?}");
    }
    Ok(())
}

#[test]
fn parameters_that_make_no_function_are_refused() -> Result<()> {
    let x = tensor(1, &[2, 3])?;
    let told = |activation| activate(&x, activation).unwrap_err().to_string();
    assert!(told(Activation::Clamp { low: 1.0, high: 0.0 }).contains("expected the lower one first"));
    assert!(told(Activation::LeakyRelu { slope: f32::NAN }).contains("leaky_relu: the slope is NaN"));
    assert!(told(Activation::HardSigmoid { slope: f32::INFINITY, offset: 0.0 }).contains("hard_sigmoid"));
    let (image, c) = (tensor(1, &[2, 3, 4, 4])?, tensor(2, &[3])?);
    let odd = Some(Activation::Clamp { low: f32::NAN, high: 0.0 });
    assert!(batch_norm_train(&image, &c, &c, 1e-5, odd).is_err());
    assert!(relu(&x.to_dtype(DType::F64)?).unwrap_err().to_string().contains("relu: the input is F64"));
    Ok(())
}

#[test]
fn gates_multiply_whole_maps_and_have_gradients() -> Result<()> {
    let vars = [var(1, &[3, 4, 5, 2])?, var(2, &[3, 4, 1, 1])?];
    let [x, gates] = &vars;
    assert_close(&values(&gate(x, gates)?)?, &values(&x.broadcast_mul(gates)?)?, 0.0, "the result");
    assert_gradients(&vars, |vars| gate(&vars[0], &vars[1]))?;
    let told = gate(x, &tensor(2, &[3, 4, 5, 1])?).unwrap_err().to_string();
    assert!(told.contains("[3, 4, 5, 1], expected [N, C, 1, 1]"), "{told}");
    Ok(())
}
