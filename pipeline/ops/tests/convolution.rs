//! Convolutions and their gradients against plain loops, over strides, dilations, paddings, groups and odd sizes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use candle_core::{Device, Result, Tensor, Var};
use common::{assert_close, assert_gradients, tensor, values, var};
use proptest::prelude::*;
use takt_ops::{Conv2dParams, backward, conv2d};

#[derive(Clone, Debug)]
struct Case {
    input: [usize; 4],
    weight: [usize; 4],
    bias: bool,
    params: Conv2dParams,
}

fn cases() -> impl Strategy<Value = Case> {
    let images = prop_oneof![Just(1usize), Just(16), Just(32), 1..20usize];
    let channels = (1..4usize, 1..8usize, 1..9usize);
    let window = [1..4usize, 1..4usize];
    let geometry = ([1..3usize, 1..4usize], [1..3usize, 1..3usize], [0..3usize, 0..2usize, 0..3usize, 0..3usize]);
    (images, channels, [1..9usize, 1..9usize], window, geometry, any::<bool>()).prop_filter_map(
        "the window fits",
        |(n, (groups, inputs, outputs), [h, w], [kh, kw], (stride, dilation, padding), bias)| {
            let fits = (kh - 1) * dilation[0] < h + padding[0] + padding[2];
            let fits = fits && (kw - 1) * dilation[1] < w + padding[1] + padding[3];
            fits.then_some(Case {
                input: [n, groups * inputs, h, w],
                weight: [groups * outputs, inputs, kh, kw],
                bias,
                params: Conv2dParams { stride, dilation, padding, groups },
            })
        },
    )
}

/// Result, gradient of the input and of the weight, for the gradient `dy` of the result (made when its size is known).
fn plain(case: &Case, x: &[f32], w: &[f32], b: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>) {
    let [n, c, h, width] = case.input;
    let [m, inputs, kh, kw] = case.weight;
    let Conv2dParams { stride, dilation, padding, groups } = case.params;
    let oh = (h + padding[0] + padding[2] - (kh - 1) * dilation[0] - 1) / stride[0] + 1;
    let ow = (width + padding[1] + padding[3] - (kw - 1) * dilation[1] - 1) / stride[1] + 1;
    let dy = common::numbers(7, n * m * oh * ow);
    let (mut y, mut dx, mut dw) = (vec![0f64; dy.len()], vec![0f64; x.len()], vec![0f64; w.len()]);
    for (at, (y, dy)) in y.iter_mut().zip(&dy).enumerate() {
        let (image, out, oy, ox) = (at / (m * oh * ow), at / (oh * ow) % m, at / ow % oh, at % ow);
        *y = f64::from(b[out]);
        for channel in 0..inputs {
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let (iy, ix) = (oy * stride[0] + ky * dilation[0], ox * stride[1] + kx * dilation[1]);
                let (Some(iy), Some(ix)) = (iy.checked_sub(padding[0]), ix.checked_sub(padding[1])) else { continue };
                if iy < h && ix < width {
                    let from = ((image * c + out / (m / groups) * inputs + channel) * h + iy) * width + ix;
                    let tap = ((out * inputs + channel) * kh + ky) * kw + kx;
                    *y += f64::from(x[from]) * f64::from(w[tap]);
                    dx[from] += f64::from(*dy) * f64::from(w[tap]);
                    dw[tap] += f64::from(*dy) * f64::from(x[from]);
                }
            }
        }
    }
    let mut db = vec![0f64; m];
    dy.iter().enumerate().for_each(|(at, dy)| db[at / (oh * ow) % m] += f64::from(*dy));
    let single = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect();
    (single(y), single(dx), single(dw), single(db))
}

fn compare(case: &Case) -> Result<()> {
    let (x, w, b) = (var(1, &case.input)?, var(2, &case.weight)?, var(3, &case.weight[..1])?);
    let zeros = vec![0.0; case.weight[0]];
    let bias = if case.bias { values(&b)? } else { zeros };
    let (y, dx, dw, db) = plain(case, &values(&x)?, &values(&w)?, &bias);
    let found = conv2d(&x, &w, case.bias.then_some(b.as_tensor()), &case.params)?;
    assert_close(&values(&found)?, &y, 1e-5, "the result");
    let dy = Tensor::from_vec(common::numbers(7, y.len()), found.shape(), &Device::Cpu)?;
    let gradients = backward(&found.mul(&dy)?.sum_all()?)?;
    assert_close(&values(gradients.get(&x).expect("dx"))?, &dx, 1e-5, "the gradient of the input");
    assert_close(&values(gradients.get(&w).expect("dw"))?, &dw, 1e-5, "the gradient of the weight");
    if case.bias {
        assert_close(&values(gradients.get(&b).expect("db"))?, &db, 1e-5, "the gradient of the bias");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_and_gradients_are_those_of_plain_loops(case in cases()) {
        compare(&case).unwrap();
    }
}

/// Shapes of real networks, small enough for plain loops: each takes another way through the kernels.
#[test]
fn shapes_of_networks_are_computed_right() -> Result<()> {
    let square =
        |stride, padding, groups| Conv2dParams { stride: [stride; 2], dilation: [1; 2], padding: [padding; 4], groups };
    for (input, weight, params) in [
        ([16, 3, 20, 20], [20, 3, 7, 7], square(2, 3, 1)),
        ([16, 70, 2, 2], [40, 70, 3, 3], square(1, 1, 1)),
        ([16, 300, 3, 3], [20, 300, 1, 1], square(1, 0, 1)),
        ([8, 20, 5, 5], [20, 20, 1, 1], square(2, 0, 1)),
        ([16, 20, 9, 9], [20, 1, 3, 3], square(2, 1, 20)),
        ([16, 20, 9, 9], [20, 1, 5, 5], square(1, 2, 20)),
        ([5, 24, 6, 6], [48, 8, 3, 3], square(1, 1, 3)),
        ([40, 18, 12, 12], [7, 18, 3, 3], square(1, 1, 1)),
    ] {
        compare(&Case { input, weight, bias: true, params })?;
    }
    Ok(())
}

#[test]
fn gradients_are_those_of_finite_differences() -> Result<()> {
    let params = Conv2dParams { stride: [2, 1], dilation: [1, 2], padding: [1, 2, 0, 1], groups: 2 };
    let vars = [var(1, &[3, 4, 6, 5])?, var(2, &[6, 2, 3, 2])?, var(3, &[6])?];
    assert_gradients(&vars, |vars| conv2d(&vars[0], &vars[1], Some(&vars[2]), &params))
}

#[test]
fn results_agree_with_candles_own() -> Result<()> {
    let (x, w) = (tensor(1, &[4, 6, 9, 9])?, tensor(2, &[8, 6, 3, 3])?);
    let params = Conv2dParams { stride: [2; 2], padding: [1; 4], ..Conv2dParams::default() };
    let found = conv2d(&x, &w, None, &params)?;
    assert_close(&values(&found)?, &values(&x.conv2d(&w, 1, 2, 1, 1)?)?, 1e-5, "the result");
    Ok(())
}

#[test]
fn only_wanted_gradients_are_made() -> Result<()> {
    let (x, w) = (tensor(1, &[2, 3, 4, 4])?, var(2, &[5, 3, 3, 3])?);
    let gradients = backward(&conv2d(&x, &w, None, &Conv2dParams::default())?.sum_all()?)?;
    assert!(gradients.get(&w).is_some());
    assert_eq!(gradients.get_ids().count(), 1);
    assert!(!conv2d(&x, &x.narrow(1, 0, 3)?, None, &Conv2dParams::default())?.track_op());
    Ok(())
}

#[test]
fn a_fixed_number_of_threads_or_another_gives_the_same_bits() -> Result<()> {
    let run = |threads: usize| -> Result<Vec<Vec<f32>>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let (x, w) = (var(1, &[16, 20, 8, 8])?, var(2, &[30, 20, 3, 3])?);
            let y = conv2d(&x, &w, None, &Conv2dParams { padding: [1; 4], ..Conv2dParams::default() })?;
            let gradients = backward(&y.sqr()?.sum_all()?)?;
            [gradients.get(&x), gradients.get(&w)].into_iter().map(|g| values(g.expect("a gradient"))).collect()
        })
    };
    let one = run(1)?;
    for threads in [1, 2, 3] {
        assert_eq!(run(threads)?, one, "{threads} threads");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_with_shapes() -> Result<()> {
    let x = tensor(1, &[2, 6, 5, 5])?;
    let refused = |x: &Tensor, w: &[usize], params: Conv2dParams, part: &str| -> Result<()> {
        let error = conv2d(x, &tensor(2, w)?, None, &params).expect_err("refused").to_string();
        assert!(error.contains(part), "{error}");
        Ok(())
    };
    let plain = Conv2dParams::default();
    refused(&x, &[4, 5, 3, 3], plain, "expected [4, 6, kH, kW]")?;
    refused(&x, &[4, 6, 3], plain, "expected [M, C/groups, kH, kW]")?;
    refused(&x, &[4, 6, 3, 3], Conv2dParams { groups: 4, ..plain }, "4 groups")?;
    refused(&x, &[4, 6, 7, 7], plain, "does not fit")?;
    refused(&x, &[4, 6, 3, 3], Conv2dParams { stride: [0, 1], ..plain }, "at least 1")?;
    refused(&x, &[4, 6, 3, 3], Conv2dParams { dilation: [usize::MAX, 1], ..plain }, "larger than")?;
    refused(&x.flatten_all()?, &[4, 6, 3, 3], plain, "expected [N, C, H, W]")?;
    refused(&x.to_dtype(candle_core::DType::F64)?, &[4, 6, 3, 3], plain, "expected F32")?;
    refused(&x.transpose(2, 3)?, &[4, 6, 3, 3], plain, "contiguous()")?;
    refused(&x.narrow(0, 0, 0)?, &[4, 6, 3, 3], plain, "empty")?;
    let bias = tensor(3, &[5])?;
    let error = conv2d(&x, &tensor(2, &[4, 6, 3, 3])?, Some(&bias), &plain).expect_err("refused").to_string();
    assert!(error.contains("expected [4]"), "{error}");
    Ok(())
}

#[test]
fn candles_own_backward_says_what_to_call() -> Result<()> {
    let w = Var::from_tensor(&tensor(2, &[4, 6, 3, 3])?)?;
    let loss = conv2d(&tensor(1, &[2, 6, 5, 5])?, &w, None, &Conv2dParams::default())?.sum_all()?;
    let error = loss.backward().expect_err("refused").to_string();
    assert!(error.contains("takt_ops::backward"), "{error}");
    Ok(())
}
