//! Everything but convolutions: gradients against finite differences, results against candle's own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Result, Tensor, Var};
use common::{assert_close, assert_gradients, tensor, values, var};
use takt_ops::{
    Activation, Conv2dParams, PoolParams, Sgd, SgdOptions, add, add_relu, avg_pool2d, backward, batch_norm_eval,
    batch_norm_train, conv2d, cross_entropy, global_avg_pool, linear, max_pool2d, relu,
};

const RELU: Option<Activation> = Some(Activation::Relu);

/// Brings a tensor into the order that our operations give.
fn ordered(x: &Tensor) -> Result<Tensor> {
    x.permute((1, 2, 3, 0))?.contiguous()?.permute((3, 0, 1, 2))
}

#[test]
fn gradients_of_sums_are_those_of_finite_differences() -> Result<()> {
    for shape in [&[3, 4, 5, 2][..], &[7, 5]] {
        let vars = [var(1, shape)?, var(2, shape)?];
        assert_gradients(&vars, |vars| add_relu(&vars[0], &vars[1]))?;
        assert_gradients(&vars, |vars| add(&vars[0], &vars[1]))?;
    }
    Ok(())
}

#[test]
fn sums_take_any_mixture_of_orders() -> Result<()> {
    let (a, b) = (tensor(1, &[3, 4, 5, 2])?, tensor(2, &[3, 4, 5, 2])?);
    let expected = values(&a.add(&b)?)?;
    for (first, second) in [(&a, &b), (&ordered(&a)?, &b), (&a, &ordered(&b)?), (&ordered(&a)?, &ordered(&b)?)] {
        assert_eq!(values(&add(first, second)?)?, expected);
    }
    Ok(())
}

#[test]
fn gradients_of_batch_normalisation_are_those_of_finite_differences() -> Result<()> {
    let (mean, var_) = (tensor(4, &[4])?, (tensor(5, &[4])? + 1.5)?);
    let vars = [var(1, &[3, 4, 5, 2])?, var(2, &[4])?, var(3, &[4])?];
    assert_gradients(&vars, |vars| Ok(batch_norm_train(&vars[0], &vars[1], &vars[2], 1e-3, None)?.0))?;
    assert_gradients(&vars, |vars| batch_norm_eval(&vars[0], &vars[1], &vars[2], &mean, &var_, 1e-3, None))
}

/// Finite differences would stumble over the kink, so candle differentiates the definition.
#[test]
fn gradients_of_batch_normalisation_with_relu_are_those_of_candle() -> Result<()> {
    let (mean, var_) = (tensor(4, &[1, 4, 1, 1])?, (tensor(5, &[1, 4, 1, 1])? + 1.5)?);
    let vars = [var(1, &[3, 4, 5, 2])?, var(2, &[4])?, var(3, &[4])?];
    let [x, gamma, beta] = &vars;
    let weights = tensor(6, x.dims())?;
    let define = |mean: &Tensor, var: &Tensor| -> Result<Tensor> {
        let normal = x.broadcast_sub(mean)?.broadcast_div(&(var + 1e-3)?.sqrt()?)?;
        normal.broadcast_mul(&gamma.reshape((1, 4, 1, 1))?)?.broadcast_add(&beta.reshape((1, 4, 1, 1))?)?.relu()
    };
    let centre = x.mean_keepdim((0, 2, 3))?;
    let spread = x.broadcast_sub(&centre)?.sqr()?.mean_keepdim((0, 2, 3))?;
    let flat = |t: &Tensor| t.flatten_all();
    for (found, expected) in [
        (batch_norm_train(x, gamma, beta, 1e-3, RELU)?.0, define(&centre, &spread)?),
        (batch_norm_eval(x, gamma, beta, &flat(&mean)?, &flat(&var_)?, 1e-3, RELU)?, define(&mean, &var_)?),
    ] {
        assert_close(&values(&found)?, &values(&expected)?, 1e-5, "the result");
        let found = backward(&found.mul(&weights)?.sum_all()?)?;
        let expected = expected.mul(&weights)?.sum_all()?.backward()?;
        for (var, name) in vars.iter().zip(["x", "gamma", "beta"]) {
            let of = |store: &GradStore| values(store.get(var).expect("a gradient"));
            assert_close(&of(&found)?, &of(&expected)?, 1e-4, name);
        }
    }
    Ok(())
}

#[test]
fn batch_normalisation_gives_the_statistics_of_the_batch() -> Result<()> {
    let x = (tensor(1, &[6, 3, 4, 5])? * 3.0)?.broadcast_add(&tensor(2, &[1, 3, 1, 1])?)?;
    let (ones, zeros) = (Tensor::ones(3, DType::F32, &Device::Cpu)?, Tensor::zeros(3, DType::F32, &Device::Cpu)?);
    let (y, stats) = batch_norm_train(&x, &ones, &zeros, 1e-5, None)?;
    let by_channel = x.transpose(0, 1)?.contiguous()?.reshape((3, ()))?;
    assert_close(&values(&stats.mean)?, &values(&by_channel.mean(1)?)?, 1e-5, "the mean");
    assert_close(&values(&stats.var)?, &values(&by_channel.var(1)?)?, 1e-5, "the variance");
    let normal = y.transpose(0, 1)?.contiguous()?.reshape((3, ()))?;
    assert_close(&values(&normal.mean(1)?)?, &[0.0; 3], 1e-3, "the mean of the result");
    let count = 120.0;
    assert_close(&values(&normal.var(1)?)?, &[count / (count - 1.0); 3], 1e-4, "the variance of the result");
    let biased = (&stats.var * (f64::from(count - 1.0) / f64::from(count)))?;
    let again = batch_norm_eval(&x, &ones, &zeros, &stats.mean, &biased, 1e-5, None)?;
    assert_close(&values(&again)?, &values(&y)?, 1e-5, "the result with given statistics");
    Ok(())
}

#[test]
fn one_value_per_channel_has_no_statistics_to_train_on() -> Result<()> {
    let (x, c) = (tensor(1, &[1, 3, 1, 1])?, tensor(1, &[3])?);
    let error = batch_norm_train(&x, &c, &c, 1e-5, RELU).expect_err("refused").to_string();
    assert!(error.contains("one value per channel") && error.contains("a larger batch or larger images"), "{error}");
    assert!(batch_norm_train(&tensor(1, &[2, 3, 1, 1])?, &c, &c, 1e-5, RELU).is_ok());
    assert!(batch_norm_eval(&x, &c, &c, &c, &tensor(1, &[3])?.abs()?, 1e-5, RELU).is_ok());
    Ok(())
}

#[test]
fn gradients_of_pooling_are_those_of_finite_differences() -> Result<()> {
    let vars = [var(1, &[3, 2, 7, 6])?];
    let params = PoolParams { kernel: [3, 2], stride: [2, 1], padding: [1, 0, 1, 1], dilation: [1, 2] };
    assert_gradients(&vars, |vars| max_pool2d(&vars[0], &params))?;
    assert_gradients(&vars, |vars| avg_pool2d(&vars[0], &params, true))?;
    assert_gradients(&vars, |vars| avg_pool2d(&vars[0], &params, false))?;
    assert_gradients(&vars, |vars| global_avg_pool(&vars[0]))
}

#[test]
fn pooling_agrees_with_candles_own() -> Result<()> {
    let x = tensor(1, &[3, 2, 8, 6])?;
    let params = PoolParams { kernel: [2, 2], stride: [2, 2], padding: [0; 4], dilation: [1; 2] };
    assert_close(&values(&max_pool2d(&x, &params)?)?, &values(&x.max_pool2d(2)?)?, 0.0, "the maximum");
    assert_close(&values(&avg_pool2d(&x, &params, true)?)?, &values(&x.avg_pool2d(2)?)?, 1e-6, "the mean");
    let means = x.mean_keepdim((2, 3))?;
    assert_close(&values(&global_avg_pool(&x)?)?, &values(&means)?, 1e-6, "the mean of maps");
    Ok(())
}

#[test]
fn padding_counts_for_the_mean_only_if_asked_to() -> Result<()> {
    let x = Tensor::ones((1, 1, 2, 2), DType::F32, &Device::Cpu)?;
    let params = PoolParams { kernel: [2, 2], stride: [1, 1], padding: [1, 1, 0, 0], dilation: [1; 2] };
    assert_eq!(values(&avg_pool2d(&x, &params, true)?)?, [0.25, 0.5, 0.5, 1.0]);
    assert_eq!(values(&avg_pool2d(&x, &params, false)?)?, [1.0; 4]);
    let negative = max_pool2d(&x.neg()?, &params)?;
    assert_eq!(values(&negative)?, [-1.0; 4], "padding never is the greatest");
    Ok(())
}

#[test]
fn not_a_number_comes_through() -> Result<()> {
    let x = Tensor::new(&[[[[1f32, f32::NAN], [2.0, 3.0]]]], &Device::Cpu)?;
    let params = PoolParams { kernel: [2, 2], stride: [2, 2], padding: [0; 4], dilation: [1; 2] };
    assert!(values(&max_pool2d(&x, &params)?)?[0].is_nan());
    assert!(values(&relu(&x)?)?.iter().any(|v| v.is_nan()));
    assert!(values(&add_relu(&x, &x)?)?.iter().any(|v| v.is_nan()));
    Ok(())
}

#[test]
fn gradients_of_the_head_are_those_of_finite_differences() -> Result<()> {
    let vars = [var(1, &[5, 7])?, var(2, &[3, 7])?, var(3, &[3])?];
    assert_gradients(&vars, |vars| linear(&vars[0], &vars[1], Some(&vars[2])))?;
    let targets = tensor(4, &[5, 7])?.abs()?;
    assert_gradients(&vars[..1], |vars| cross_entropy(&vars[0], &targets))
}

#[test]
fn cross_entropy_is_its_definition() -> Result<()> {
    let logits = (tensor(1, &[4, 3])? * 50.0)?;
    let targets = Tensor::new(&[[1f32, 0., 0.], [0., 1., 0.], [0., 0., 1.], [0.2, 0.3, 0.5]], &Device::Cpu)?;
    let wide = logits.to_dtype(DType::F64)?;
    let log = wide.broadcast_sub(&wide.exp()?.sum_keepdim(D::Minus1)?.log()?)?.to_dtype(DType::F32)?;
    let expected = (targets.mul(&log)?.sum_all()?.to_scalar::<f32>()?) / -4.0;
    assert_close(&[cross_entropy(&logits, &targets)?.to_scalar()?], &[expected], 1e-5, "the loss");
    Ok(())
}

/// A residual block between operations of candle, on shared tensors: every way a gradient can take.
fn mixed(vars: &[Var]) -> Result<Tensor> {
    let params = Conv2dParams { padding: [1; 4], ..Conv2dParams::default() };
    let x = conv2d(&vars[0], &vars[1], None, &params)?;
    let gate = (x.mean_keepdim((2, 3))?.tanh()? + 1.0)?;
    let gated = x.broadcast_mul(&gate)?.contiguous()?;
    let deep = relu(&conv2d(&gated, &vars[1], None, &params)?)?;
    let sum = add(&deep, &gated)?;
    let joined = Tensor::cat(&[&sum.contiguous()?, &x.sqr()?], 1)?.contiguous()?;
    let pooled = global_avg_pool(&joined)?.flatten_from(1)?;
    linear(&(pooled + 0.5)?, &vars[2], None)
}

#[test]
fn gradients_flow_through_any_mixture_with_candles_operations() -> Result<()> {
    let vars = [var(1, &[3, 4, 5, 5])?, var(2, &[4, 4, 3, 3])?, var(3, &[2, 8])?];
    assert_gradients(&vars, mixed)
}

#[test]
fn a_loss_without_variables_is_refused() -> Result<()> {
    let error = |loss: &Tensor| backward(loss).expect_err("refused").to_string();
    assert!(error(&tensor(1, &[1])?).contains("hangs on no variable"));
    let weight = var(1, &[2])?;
    assert!(error(&relu(&weight)?).contains("expected one element"));
    Ok(())
}

#[test]
fn wrong_shapes_are_refused() -> Result<()> {
    let (x, c) = (tensor(1, &[2, 3, 4, 4])?, tensor(1, &[3])?);
    assert!(batch_norm_train(&x, &tensor(1, &[4])?, &c, 1e-5, RELU).is_err());
    assert!(batch_norm_train(&x, &c, &tensor(1, &[4])?, 1e-5, RELU).is_err());
    assert!(batch_norm_train(&x, &c, &c, 0.0, RELU).is_err());
    assert!(batch_norm_eval(&x, &c, &c, &tensor(1, &[2])?, &c, 1e-5, RELU).is_err());
    assert!(add(&x, &c).is_err());
    assert!(linear(&c, &c, None).is_err());
    assert!(linear(&tensor(1, &[2, 3])?, &tensor(1, &[4, 5])?, None).is_err());
    assert!(cross_entropy(&tensor(1, &[2, 3])?, &tensor(1, &[2, 4])?).is_err());
    let params = PoolParams { kernel: [9, 1], stride: [1; 2], padding: [0; 4], dilation: [1; 2] };
    assert!(max_pool2d(&x, &params).expect_err("refused").to_string().contains("max_pool2d"));
    Ok(())
}

/// One variable, three steps, against the definition written out.
#[test]
fn steps_are_those_of_the_definition() -> Result<()> {
    for (momentum, nesterov, decoupled) in [(0.0, false, false), (0.9, false, true), (0.9, true, false)] {
        let options = SgdOptions { learning_rate: 0.1, momentum, nesterov, weight_decay: 0.01, decoupled, clip: None };
        let weight = Var::from_slice(&[2f32, -1.0], 2, &Device::Cpu)?;
        let mut sgd = Sgd::new(vec![("w".to_owned(), weight.clone())], options)?;
        let (mut expected, mut speed) = ([2f32, -1.0], [0f32; 2]);
        for _ in 0..3 {
            sgd.step(&backward(&weight.sqr()?.sum_all()?)?)?;
            for (w, v) in expected.iter_mut().zip(&mut speed) {
                let decay = if decoupled { 0.0 } else { 0.01 };
                let gradient = 2.0 * *w + decay * *w;
                *v = momentum as f32 * *v + gradient;
                let step = if nesterov { gradient + momentum as f32 * *v } else { *v };
                *w = if decoupled { *w * (1.0 - 0.1 * 0.01) } else { *w } - 0.1 * step;
            }
        }
        assert_close(&values(&weight)?, &expected, 1e-6, "the weight");
    }
    Ok(())
}

#[test]
fn a_restored_optimiser_goes_on_where_the_saved_one_was() -> Result<()> {
    let make = || -> Result<(Var, Sgd)> {
        let weight = var(1, &[3, 2])?;
        let sgd = Sgd::new(vec![("w".to_owned(), weight.clone())], SgdOptions::default())?;
        Ok((weight, sgd))
    };
    let step = |weight: &Var, sgd: &mut Sgd| sgd.step(&backward(&weight.sqr()?.sum_all()?)?);
    let (weight, mut sgd) = make()?;
    step(&weight, &mut sgd)?;
    let (other_weight, mut other) = make()?;
    other_weight.set(&weight)?;
    other.restore(&sgd.state()?)?;
    step(&weight, &mut sgd)?;
    step(&other_weight, &mut other)?;
    assert_eq!(values(&weight)?, values(&other_weight)?);
    let stranger = HashMap::from([("v".to_owned(), tensor(1, &[3, 2])?)]);
    assert!(other.restore(&stranger).expect_err("refused").to_string().contains("'v'"));
    let misshapen = HashMap::from([("w".to_owned(), tensor(1, &[2, 3])?)]);
    assert!(other.restore(&misshapen).is_err());
    Ok(())
}

#[test]
fn an_optimiser_without_gradients_says_so() -> Result<()> {
    let (weight, other) = (var(1, &[2])?, var(2, &[2])?);
    let mut sgd = Sgd::new(vec![("w".to_owned(), weight)], SgdOptions::default())?;
    let error = sgd.step(&backward(&other.sqr()?.sum_all()?)?).expect_err("refused").to_string();
    assert!(error.contains("no variable has a gradient"), "{error}");
    let twice = vec![("w".to_owned(), other.clone()), ("w".to_owned(), other)];
    assert!(Sgd::new(twice, SgdOptions::default()).is_err());
    Ok(())
}
