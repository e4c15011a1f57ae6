//! Activations forward and back, beside stock candle's operations on the same numbers, two threads each, in turn.
//!
//! `cargo bench --profile release -p takt-ops --bench activations`: microseconds of processor time (Linux) for 16 x 64 maps of 32 x 32, a chain of
//! eight divided by eight, alone and behind batch normalisation in training (ours for both; without fusing, the activation gets its maps as our
//! convolutions leave them); the median of all rounds, with the least and greatest. Time on the clock differs by more, where cores are
//! free: stock candle uses one thread for these. `ROUNDS` and `SECONDS` choose.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

#[path = "common/mod.rs"]
mod common;

use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use common::{Figures, Result, cpu_seconds};
use takt_ops::{Activation, activate, backward, batch_norm_train, gate, global_avg_pool, in_pool};

const CHAIN: u32 = 8;
const SHAPE: (usize, usize, usize, usize) = (16, 64, 32, 32);

const ALL: [(&str, Activation); 6] = [
    ("ReLU6", Activation::Clamp { low: 0.0, high: 6.0 }),
    ("Sigmoid", Activation::Sigmoid),
    ("SiLU", Activation::Silu),
    ("HardSigmoid", Activation::HardSigmoid { slope: 0.2, offset: 0.5 }),
    ("HardSwish", Activation::HardSwish),
    ("GELU", Activation::Gelu),
];

fn main() -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global()?;
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let bench = Bench { rounds: setting("ROUNDS", "5").parse()?, seconds: setting("SECONDS", "0.5").parse()? };
    let (n, c, h, w) = SHAPE;
    // Ours lie with the images innermost, candle's as their shape says.
    let stored = Var::randn(0f32, 2.0, (c, h, w, n), &Device::Cpu)?;
    let x = Var::from_tensor(&stored.permute((3, 0, 1, 2))?.contiguous()?)?;
    let ours = || stored.permute((3, 0, 1, 2));
    let (gamma, beta) = (Var::ones(c, DType::F32, &Device::Cpu)?, Var::zeros(c, DType::F32, &Device::Cpu)?);
    let gates = Var::rand(0f32, 1.0, (n, c, 1, 1), &Device::Cpu)?;
    println!("{:28}{:>30}{:>30}{:>8}", "microseconds", "takt-ops", "stock candle", "ratio");
    let contiguous = || Ok::<_, candle_core::Error>(x.as_tensor().clone());
    for (name, activation) in ALL {
        bench.told(
            name,
            || global_avg_pool(&chain(ours()?, |x| activate(x, activation))?),
            || chain(contiguous()?, |x| stock(x, activation)),
        )?;
    }
    bench.told(
        "gates",
        || global_avg_pool(&chain(ours()?, |x| gate(x, &gates))?),
        || chain(contiguous()?, |x| x.broadcast_mul(&gates)),
    )?;
    let normal = |x: &Tensor, activation| Ok(batch_norm_train(x, &gamma, &beta, 1e-5, activation)?.0);
    for (name, activation) in ALL {
        bench.told(
            &format!("normalisation, {name}"),
            || global_avg_pool(&chain(ours()?, |x| normal(x, Some(activation)))?),
            || global_avg_pool(&chain(ours()?, |x| stock(&normal(x, None)?, activation))?),
        )?;
    }
    Ok(())
}

/// The same eight times, one after the other: what a pass costs beside its operations is divided among them.
fn chain(x: Tensor, step: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> candle_core::Result<Tensor> {
    (0..CHAIN).try_fold(x, |x, _| step(&x))
}

/// As a network is put together from candle's operations.
fn stock(x: &Tensor, activation: Activation) -> candle_core::Result<Tensor> {
    match activation {
        Activation::Relu => x.relu(),
        Activation::Clamp { low, high } => x.clamp(low, high),
        Activation::LeakyRelu { slope } => x.relu()? - (x.neg()?.relu()? * f64::from(slope))?,
        Activation::Sigmoid => ((x * 0.5)?.tanh()? * 0.5)? + 0.5,
        Activation::Silu => x.silu(),
        Activation::HardSigmoid { slope, offset } => x.affine(f64::from(slope), f64::from(offset))?.clamp(0f32, 1f32),
        Activation::HardSwish => x * x.affine(1.0 / 6.0, 0.5)?.clamp(0f32, 1f32)?,
        Activation::Gelu => x.gelu_erf(),
    }
}

struct Bench {
    rounds: usize,
    seconds: f64,
}

impl Bench {
    /// Times both in turn and prints a row.
    fn told(
        &self,
        name: &str,
        ours: impl Fn() -> candle_core::Result<Tensor> + Sync,
        stock: impl Fn() -> candle_core::Result<Tensor> + Sync,
    ) -> Result<()> {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            mine.push(self.microseconds(&ours)?);
            theirs.push(self.microseconds(&stock)?);
        }
        let (mine, theirs) = (Figures::of(mine), Figures::of(theirs));
        println!("{name:28}{:>30}{:>30}{:>8.1}", mine.text(), theirs.text(), theirs.median / mine.median);
        Ok(())
    }

    fn microseconds(&self, pass: &(impl Fn() -> candle_core::Result<Tensor> + Sync)) -> Result<f64> {
        let (mut passes, begun, cpu) = (0_u32, Instant::now(), cpu_seconds()?);
        while begun.elapsed().as_secs_f64() < self.seconds {
            in_pool(|| backward(&pass()?.sum_all()?))?;
            passes += 1;
        }
        Ok((cpu_seconds()? - cpu) * 1e6 / f64::from(passes * CHAIN))
    }
}
