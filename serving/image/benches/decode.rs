//! Milliseconds from a 1920x1080 JPEG to a 224x224 tensor, by stage, beside Pillow on the same file.
//!
//! `PYTHON=python3 cargo bench -p takt-image` needs Pillow and NumPy; it makes the frame and runs both sides in turn, so
//! that a busy machine slows both. `FRAME=file.jpg` uses that file instead. One thread; the least of all runs counts.

#![expect(clippy::print_stdout, reason = "a benchmark's output is its result")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use takt_artifact::Preprocess;
use takt_image::{Limits, Preprocessor, Scratch};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 100;
const SIDE: u32 = 224;

fn main() -> Result<()> {
    let python = std::env::var("PYTHON").ok();
    let Some(frame) = frame(python.as_deref())? else {
        println!("nothing to decode: set PYTHON to a Python with Pillow and NumPy, or FRAME to a JPEG file");
        return Ok(());
    };
    let bytes = std::fs::read(&frame)?;
    let mut pillow = python.map(|python| Pillow::start(&python, &frame)).transpose()?;
    let mut cases = [
        Case::new("decode 1/4 + resize", r#"{"input":"x","width":224,"height":224}"#)?,
        Case::new("decode 1/4 + resize, grey", r#"{"input":"x","width":224,"height":224,"color":"gray"}"#)?,
        Case::new("decode 1/8 + resize to 64", r#"{"input":"x","width":64,"height":64}"#)?,
        Case::new("decode 1/8 + resize to 128", r#"{"input":"x","width":128,"height":128}"#)?,
        Case::new("decode 1/2 + resize to 512", r#"{"input":"x","width":512,"height":512}"#)?,
        Case::new("full decode + resize", r#"{"input":"x","width":224,"height":224,"scaled_decode":false}"#)?,
    ];
    let (mut draft, mut both) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.run(&bytes)?;
        }
        if let Some(pillow) = &mut pillow {
            let (decode, total) = pillow.run()?;
            (draft, both) = (draft.min(decode), both.min(total));
        }
    }
    println!("{} ({} bytes), least of {ROUNDS} runs, one thread", frame.display(), bytes.len());
    println!("{:32}{:>10}{:>14}{:>14}", "takt-image", "pixels", "and tensor", "statistics");
    for Case { name, pixels, tensor, statistics, info, .. } in &cases {
        println!("{name:32}{pixels:>7.2} ms{tensor:>11.2} ms{statistics:>11.3} ms   {info:?}");
    }
    if pillow.is_some() {
        println!("{:32}{draft:>7.2} ms", "Pillow draft");
        println!("{:32}{both:>7.2} ms", "Pillow draft + resize");
        println!("ratio, decode + resize: {:.2}", cases[0].pixels / both);
    }
    Ok(())
}

struct Case {
    name: &'static str,
    preprocessor: Preprocessor,
    scratch: Scratch,
    out: Vec<f32>,
    pixels: f64,
    tensor: f64,
    statistics: f64,
    info: Option<takt_image::DecodeScale>,
}

impl Case {
    fn new(name: &'static str, spec: &str) -> Result<Self> {
        let spec: Preprocess = serde_json::from_str(spec)?;
        let preprocessor = Preprocessor::new(&spec, Limits::default())?;
        let out = vec![0.0; preprocessor.elements()];
        let [pixels, tensor, statistics] = [f64::MAX; 3];
        Ok(Self { name, preprocessor, scratch: Scratch::new(), out, pixels, tensor, statistics, info: None })
    }

    fn run(&mut self, bytes: &[u8]) -> Result<()> {
        let start = Instant::now();
        self.info = Some(self.preprocessor.decode(bytes, &mut self.scratch)?.0.decoded_at);
        self.pixels = self.pixels.min(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        self.preprocessor.preprocess(bytes, &mut self.out, &mut self.scratch)?;
        self.tensor = self.tensor.min(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        std::hint::black_box(self.scratch.statistics(&self.preprocessor));
        self.statistics = self.statistics.min(start.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }
}

fn script() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/reference.py"))
}

fn frame(python: Option<&str>) -> Result<Option<PathBuf>> {
    if let Some(path) = std::env::var_os("FRAME") {
        return Ok(Some(path.into()));
    }
    let Some(python) = python else {
        return Ok(None);
    };
    let path = std::env::temp_dir().join("takt-bench-frame.jpg");
    if !path.exists() && !Command::new(python).arg(script()).arg("make").arg(&path).status()?.success() {
        return Err("the frame could not be made; does PYTHON have Pillow and NumPy?".into());
    }
    Ok(Some(path))
}

/// The reference, waiting for its turn.
struct Pillow {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Pillow {
    fn start(python: &str, frame: &std::path::Path) -> Result<Self> {
        let side = SIDE.to_string();
        let mut child = Command::new(python)
            .arg(script())
            .arg("time")
            .arg(frame)
            .args([&side, &side])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, answers })
    }

    /// Milliseconds of one decode, and of decode and resize.
    fn run(&mut self) -> Result<(f64, f64)> {
        let stdin = self.child.stdin.as_mut().ok_or("no standard input")?;
        stdin.write_all(b"\n")?;
        stdin.flush()?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let mut seconds = line.split_whitespace().map(str::parse::<f64>);
        let (Some(decode), Some(total)) = (seconds.next(), seconds.next()) else {
            return Err("the reference ended; does PYTHON have Pillow?".into());
        };
        Ok((decode? * 1e3, total? * 1e3))
    }
}

impl Drop for Pillow {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ended = self.child.wait();
    }
}
