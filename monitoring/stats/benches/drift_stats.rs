//! PSI and KS of a million values beside numpy and scipy, in turns in one run, with the values compared.
//!
//! ```text
//! TAKT_PYTHON=.../python cargo bench --profile release -p takt-stats --bench drift_stats
//! ```
//!
//! Without `TAKT_PYTHON`, a Python that has numpy and scipy, it says so and measures this side only.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde::Deserialize;
use takt_stats::psi::{self, Binning, Bins, ZeroRule};
use takt_stats::{distance, ks};

type Outcome<T> = Result<T, Box<dyn Error>>;

const VALUES: usize = 1_000_000;
/// Both sides take turns this often, so that a neighbour on the machine disturbs both alike.
const TURNS: usize = 9;

/// A value to compare, and by how much it may differ.
struct Figure {
    values: Vec<f64>,
    tolerance: f64,
}

type Task<'a> = (&'static str, Box<dyn Fn() -> Option<Figure> + 'a>);

fn main() -> Outcome<()> {
    let [reference, current, shifted] = [(1, 0.0), (2, 0.0), (3, 0.01)].map(|(seed, mean)| normal(seed, mean));
    let known = psi::binned(&reference, &reference, Binning::ReferenceQuantile(10)).ok_or("no reference")?;
    let Bins::Intervals(edges) = &known.bins else { return Err("quantiles bound intervals".into()) };
    let one = |value: f64| Figure { values: vec![value], tolerance: 1e-9 };
    let test = |other: &[f64]| {
        let found = ks::two_samples(&reference, other)?;
        Some(Figure { values: vec![found.d, found.p_asymptotic()], tolerance: 1e-6 })
    };
    let tasks: [Task<'_>; 6] = [
        ("histogram, 10 equal bins", Box::new(|| None)),
        (
            "PSI, reference known",
            Box::new(|| {
                let counts = psi::count(&current, edges);
                psi::of_bins(&known.reference, &counts, ZeroRule::default()).map(one)
            }),
        ),
        (
            "PSI from raw values",
            Box::new(|| {
                psi::binned(&reference, &current, Binning::ReferenceQuantile(10))?.psi(ZeroRule::default()).map(one)
            }),
        ),
        ("KS, same distribution", Box::new(|| test(&current))),
        ("KS, shifted", Box::new(|| test(&shifted))),
        ("Wasserstein", Box::new(|| distance::wasserstein(&reference, &current).map(one))),
    ];
    let mut peer = Peer::start(&[&reference, &current, &shifted])?;
    for (name, ours) in &tasks {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let began = Instant::now();
            let found = black_box(ours());
            mine.push(began.elapsed().as_secs_f64() * 1e3);
            if let Some(peer) = &mut peer {
                let answer = peer.ask(name)?;
                theirs.push(answer.ms);
                if let Some(found) = found {
                    agree(name, &found, &answer.value.into_vec())?;
                }
            }
        }
        let (mine, theirs) = (median(&mut mine), median(&mut theirs));
        match (ours().is_some(), peer.is_some()) {
            (true, true) => {
                println!("{name:<26} {mine:>8.2} ms   peer {theirs:>9.2} ms   {:>6.1} times", theirs / mine);
            }
            (true, false) => println!("{name:<26} {mine:>8.2} ms"),
            (false, true) => println!("{name:<26}               peer {theirs:>9.2} ms"),
            (false, false) => {}
        }
    }
    Ok(())
}

fn agree(name: &str, found: &Figure, expected: &[f64]) -> Outcome<()> {
    let close = |(a, b): (&f64, &f64)| (a - b).abs() <= found.tolerance * b.abs();
    if found.values.len() == expected.len() && found.values.iter().zip(expected).all(close) {
        return Ok(());
    }
    Err(format!("{name}: found {:?}, the peer has {expected:?}", found.values).into())
}

/// numpy and scipy in a process of their own.
struct Peer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    ms: f64,
    value: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    One(f64),
    Many(Vec<f64>),
}

impl Value {
    fn into_vec(self) -> Vec<f64> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

impl Peer {
    fn start(samples: &[&[f64]; 3]) -> Outcome<Option<Self>> {
        let Some(python) = std::env::var_os("TAKT_PYTHON") else {
            println!("TAKT_PYTHON is not set: no peer. Set it to a Python that has numpy and scipy.");
            return Ok(None);
        };
        let folder = std::env::temp_dir().join(format!("takt-drift-stats-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new(python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/drift_stats.py"));
        for (i, sample) in samples.iter().enumerate() {
            let path = folder.join(format!("{i}.f64"));
            std::fs::write(&path, sample.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
            command.arg(path);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take().ok_or("no stdin")?;
        let mut answers = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut versions = String::new();
        answers.read_line(&mut versions)?;
        println!("peers: {}", serde_json::from_str::<String>(&versions)?);
        Ok(Some(Self { child, questions, answers, folder }))
    }

    fn ask(&mut self, task: &str) -> Outcome<Answer> {
        writeln!(self.questions, "{task}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Nothing is left to do about either failing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Normal values by SplitMix64 (Steele et al. 2014) and Box and Muller's transform.
fn normal(seed: u64, mean: f64) -> Vec<f64> {
    let mut state = seed << 32;
    let mut uniform = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    };
    let one = |_| (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos() + mean;
    (0..VALUES).map(one).collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
