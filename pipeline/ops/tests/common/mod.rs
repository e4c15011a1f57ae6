//! What the tests of this crate share: seeded numbers, comparison, finite differences.

use candle_core::{DType, Device, Result, Tensor, Var};

/// Uniform in [-1, 1), the same for the same seed (SplitMix64, Steele et al. 2014).
pub fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

pub fn tensor(seed: u64, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(numbers(seed, shape.iter().product()), shape, &Device::Cpu)
}

pub fn var(seed: u64, shape: &[usize]) -> Result<Var> {
    Var::from_tensor(&tensor(seed, shape)?)
}

pub fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.contiguous()?.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}

/// Holds found against expected, relative to the largest expected value: what counts is rounding of sums.
pub fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |scale, v| scale.max(v.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance * scale, "{what}[{i}] is {found}, expected {expected}");
    }
}

/// Holds the gradients of `sum(f(vars) * weights)` against central differences, for some elements of each variable.
pub fn assert_gradients(vars: &[Var], f: impl Fn(&[Var]) -> Result<Tensor>) -> Result<()> {
    /// Large against the rounding of F32, small against the distance to the kinks of what is tested.
    const STEP: f32 = 1e-3;
    let loss = |vars: &[Var]| {
        let out = f(vars)?;
        let weights = tensor(99, out.dims())?;
        out.mul(&weights)?.sum_all()
    };
    let gradients = takt_ops::backward(&loss(vars)?)?;
    for (index, var) in vars.iter().enumerate() {
        let gradient = values(gradients.get(var).expect("each variable has a gradient"))?;
        let scale = gradient.iter().fold(0.1f32, |scale, v| scale.max(v.abs()));
        let original = values(var)?;
        let stride = (original.len() / 12).max(1);
        for element in (0..original.len()).step_by(stride) {
            let at = |change: f32| -> Result<f32> {
                let mut changed = original.clone();
                changed[element] += change;
                var.set(&Tensor::from_vec(changed, var.shape(), &Device::Cpu)?)?;
                loss(vars)?.to_scalar()
            };
            let difference = (at(STEP)? - at(-STEP)?) / (2.0 * STEP);
            var.set(&Tensor::from_vec(original.clone(), var.shape(), &Device::Cpu)?)?;
            let found = gradient[element];
            assert!((found - difference).abs() <= 0.02 * scale, "variable {index}[{element}]: {found}, {difference}");
        }
    }
    Ok(())
}
