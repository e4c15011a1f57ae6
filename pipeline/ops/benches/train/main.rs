//! Images per second of a training step (forward, backward, SGD), beside PyTorch on the same two threads.
//!
//! `PYTHON=python3 cargo bench --profile release -p takt-ops` needs torch and torchvision; both sides train in turn, so
//! that a busy machine slows both, and medians are compared: of images per second, and of images per second of processor
//! time, which others on the machine disturb less (Linux). Without `PYTHON` only our side runs. `NETWORKS=resnet18` and
//! `ROUNDS`, `SECONDS` choose; the numbers of a line are a median and the least and greatest of all rounds.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

#[path = "../common/mod.rs"]
mod common;
mod networks;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use common::{Figures, Result, cpu_seconds};
use networks::Network;
use takt_ops::{Sgd, SgdOptions, backward, cross_entropy, in_pool};

const BATCH: usize = 16;
const SIDE: usize = 64;

fn main() -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global()?;
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let rounds: usize = setting("ROUNDS", "5").parse()?;
    let seconds: f64 = setting("SECONDS", "2").parse()?;
    let mut torch = std::env::var("PYTHON").ok().map(|python| Torch::start(&python)).transpose()?;
    println!("{:32}{:>26}{:>26}{:>8}", "images", "takt-ops", "PyTorch", "ratio");
    for name in setting("NETWORKS", "resnet18,resnet50,mobilenet_v2").split(',') {
        let mut ours = Trainer::new(name)?;
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            mine.push(ours.run(seconds)?);
            if let Some(torch) = &mut torch {
                theirs.push(torch.run(name, seconds)?);
            }
        }
        for (index, per) in ["per second", "per CPU second"].into_iter().enumerate() {
            let of = |rates: &[[f64; 2]]| Figures::of(rates.iter().map(|rate| rate[index]).collect());
            let (mine, theirs) = (of(&mine), of(&theirs));
            let ratio = mine.median / theirs.median;
            println!("{:32}{:>26}{:>26}{ratio:>8.2}", format!("{name} {per}"), mine.text(), theirs.text());
        }
    }
    Ok(())
}

struct Trainer {
    network: Network,
    sgd: Sgd,
    images: Tensor,
    targets: Tensor,
}

impl Trainer {
    fn new(name: &str) -> Result<Self> {
        let network = Network::named(name)?;
        let options = SgdOptions { learning_rate: 0.01, weight_decay: 1e-4, ..SgdOptions::default() };
        let sgd = Sgd::new(network.vars.clone(), options)?;
        let images = Tensor::randn(0f32, 1.0, (BATCH, 3, SIDE, SIDE), &Device::Cpu)?;
        let labels: Vec<f32> = (0..BATCH * 10).map(|i| if i / 10 % 10 == i % 10 { 1.0 } else { 0.0 }).collect();
        let targets = Tensor::from_vec(labels, (BATCH, 10), &Device::Cpu)?.to_dtype(DType::F32)?;
        let mut trainer = Self { network, sgd, images, targets };
        let first = trainer.step()?;
        for _ in 0..2 {
            trainer.step()?;
        }
        println!("{name}: loss {first:.3}, after three steps {:.3}", trainer.step()?);
        Ok(trainer)
    }

    fn step(&mut self) -> Result<f32> {
        Ok(in_pool(|| self.step_in_pool())?)
    }

    fn step_in_pool(&mut self) -> candle_core::Result<f32> {
        let loss = cross_entropy(&self.network.forward(&self.images)?, &self.targets)?;
        self.sgd.step(&backward(&loss)?)?;
        loss.to_scalar()
    }

    /// Images per second, and per second of processor time.
    fn run(&mut self, seconds: f64) -> Result<[f64; 2]> {
        let (mut steps, start, cpu) = (0, Instant::now(), cpu_seconds()?);
        while start.elapsed().as_secs_f64() < seconds {
            self.step()?;
            steps += 1;
        }
        let images = (steps * BATCH) as f64;
        Ok([images / start.elapsed().as_secs_f64(), images / (cpu_seconds()? - cpu)])
    }
}

/// PyTorch in a process of its own.
struct Torch {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Torch {
    fn start(python: &str) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/train/reference.py");
        let mut child = Command::new(python)
            .args(["-u", script])
            .env("OMP_NUM_THREADS", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asks = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, asks, answers })
    }

    fn run(&mut self, name: &str, seconds: f64) -> Result<[f64; 2]> {
        writeln!(self.asks, "{name} {seconds}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let mut rates = answer.split_whitespace().map(str::parse);
        let mut rate = || Ok::<f64, Box<dyn std::error::Error>>(rates.next().ok_or("PyTorch's side ended")??);
        Ok([rate()?, rate()?])
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
