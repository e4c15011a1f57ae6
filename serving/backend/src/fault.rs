//! Faults on purpose, so that tests can see a run hang or a process die inside native code. Never in a release build.
//!
//! `TAKT_FAULT` holds one or more `<part of the model's path>=<fault>[,<fault>...]`, separated by `;`:
//!
//! ```text
//! fault = abort | hang | error           @load
//!       | slow                           @load:<n>ms
//!       | abort | hang | error | short   @run:<runs>
//!       | slow                           @run:<runs>:<n>ms
//!       | nan | wrong                    @rows:<share>
//! runs  = <n> | <n>-<m> | *      counted from 1, per session
//! share = 0.02 | ...             of the rows; the same rows every time, chosen by a hash of their inputs
//! ```
//!
//! `short` leaves the last element of each output's last dimension away, `nan` answers with no number, and `wrong` moves
//! every score one class up. `bad/2=abort@run:3,slow@load:2000ms` makes version 2 of the model `bad` load slowly and abort the
//! process in its third run.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use takt_artifact::{DataType, Signature};

use crate::{Backend, InputView, LoadError, LoadRequest, OutputTensor, Placement, RunError, Session};

/// The variable that holds the faults.
pub const VARIABLE: &str = "TAKT_FAULT";

/// What to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `abort()`, as native code does on a broken invariant.
    Abort,
    /// Never return.
    Hang,
    /// Fail with an error.
    Error,
    /// Take this much longer.
    Slow(Duration),
    /// Give outputs whose last dimension is one too short.
    Short,
    /// Give NaN instead of scores.
    Nan,
    /// Give each score to the next class.
    Wrong,
}

/// When to do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// While loading.
    Load,
    /// In these runs of a session, the first being 1.
    Run(RangeInclusive<u64>),
    /// For rows whose inputs' hash lies below this threshold of 2^32.
    Rows(u32),
}

/// One fault of the models whose path contains a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Part of the model's path.
    pub path_contains: String,
    /// What.
    pub action: Action,
    /// When.
    pub at: Moment,
}

/// `TAKT_FAULT` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TAKT_FAULT: '{found}' {problem}")]
pub struct FaultSyntax {
    /// The part that is wrong.
    pub found: String,
    /// Why.
    pub problem: &'static str,
}

/// A backend with faults.
pub struct FaultyBackend {
    inner: Box<dyn Backend>,
    faults: Vec<Fault>,
}

impl FaultyBackend {
    /// `inner`, but for `faults`.
    #[must_use]
    pub fn new(inner: Box<dyn Backend>, faults: Vec<Fault>) -> Self {
        Self { inner, faults }
    }

    /// `inner` with the faults of the environment; as it is, where there are none.
    ///
    /// # Errors
    /// The variable cannot be read.
    pub fn from_env(inner: Box<dyn Backend>) -> Result<Box<dyn Backend>, FaultSyntax> {
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Ok(Box::new(Self::new(inner, parse(&text)?))),
            _ => Ok(inner),
        }
    }
}

impl Backend for FaultyBackend {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn version(&self) -> String {
        self.inner.version()
    }

    fn load(&self, request: &LoadRequest) -> Result<Box<dyn Session>, LoadError> {
        let faults = self.faults.iter().filter(|fault| concerns(fault, &request.model)).cloned().collect::<Vec<_>>();
        for fault in faults.iter().filter(|fault| fault.at == Moment::Load) {
            commit(fault.action).map_err(LoadError::Injected)?;
        }
        let inner = self.inner.load(request)?;
        if faults.is_empty() {
            return Ok(inner);
        }
        Ok(Box::new(FaultySession { inner, faults, runs: 0 }))
    }
}

struct FaultySession {
    inner: Box<dyn Session>,
    faults: Vec<Fault>,
    runs: u64,
}

impl Session for FaultySession {
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn placement(&self) -> &Placement {
        self.inner.placement()
    }

    fn run(&mut self, inputs: &[InputView<'_>]) -> Result<Vec<OutputTensor>, RunError> {
        self.runs += 1;
        let now = |fault: &&Fault| matches!(&fault.at, Moment::Run(runs) if runs.contains(&self.runs));
        for fault in self.faults.iter().filter(now) {
            commit(fault.action).map_err(RunError::Injected)?;
        }
        let mut outputs = self.inner.run(inputs)?;
        for fault in &self.faults {
            match fault.at {
                Moment::Run(_) if now(&fault) && fault.action == Action::Short => outputs.iter_mut().for_each(shorten),
                Moment::Rows(below) => {
                    let rows = hashes(inputs).into_iter().enumerate().filter(|(_, hash)| *hash < below);
                    let rows: Vec<usize> = rows.map(|(row, _)| row).collect();
                    outputs.iter_mut().for_each(|output| spoil(output, &rows, fault.action));
                }
                _ => {}
            }
        }
        Ok(outputs)
    }
}

fn concerns(fault: &Fault, model: &Path) -> bool {
    model.to_string_lossy().contains(&fault.path_contains)
}

fn commit(action: Action) -> Result<(), String> {
    tracing::warn!(?action, "injected fault");
    match action {
        Action::Abort => std::process::abort(),
        Action::Hang => loop {
            std::thread::park();
        },
        Action::Error => Err("asked for by TAKT_FAULT".to_owned()),
        Action::Slow(time) => {
            std::thread::sleep(time);
            Ok(())
        }
        // Done to the outputs.
        Action::Short | Action::Nan | Action::Wrong => Ok(()),
    }
}

/// One hash per row of the batch, over all inputs (FNV-1a, mixed so that all bits count).
fn hashes(inputs: &[InputView<'_>]) -> Vec<u32> {
    let rows = inputs.first().and_then(|input| input.shape.first().copied()).unwrap_or(0);
    let mut hashes = vec![0xcbf2_9ce4_8422_2325_u64; rows];
    for input in inputs {
        let length = input.data.len() / rows.max(1);
        for (hash, row) in hashes.iter_mut().zip(input.data.chunks_exact(length.max(1))) {
            *hash = row.iter().fold(*hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        }
    }
    hashes.into_iter().map(|hash| ((hash ^ (hash >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32).collect()
}

fn shorten(output: &mut OutputTensor) {
    let Some(width) = output.shape.last_mut().filter(|width| **width > 1) else { return };
    let old = *width * output.datatype.size().unwrap_or(1);
    *width -= 1;
    let new = *width * output.datatype.size().unwrap_or(1);
    let kept: Vec<u8> = output.data.chunks_exact(old).flat_map(|row| row[..new].to_vec()).collect();
    output.data = aligned(&kept);
}

fn spoil(output: &mut OutputTensor, rows: &[usize], action: Action) {
    let batch = output.shape.first().copied().unwrap_or(0).max(1);
    if output.datatype != DataType::Fp32 || rows.is_empty() {
        return;
    }
    let mut data = output.data.to_vec();
    let length = data.len() / batch;
    for row in rows {
        let Some(scores) = data.get_mut(row * length..(row + 1) * length) else { continue };
        match action {
            Action::Wrong => scores.rotate_right(size_of::<f32>()),
            _ => scores.chunks_exact_mut(size_of::<f32>()).for_each(|one| one.copy_from_slice(&f32::NAN.to_ne_bytes())),
        }
    }
    output.data = aligned(&data);
}

/// As a runtime would give it: aligned to its elements.
fn aligned(data: &[u8]) -> Bytes {
    let words: Vec<u64> =
        data.chunks(8).map(|chunk| u64::from_ne_bytes(std::array::from_fn(|i| chunk.get(i).copied().unwrap_or(0)))).collect();
    struct Words(Vec<u64>, usize);
    impl AsRef<[u8]> for Words {
        fn as_ref(&self) -> &[u8] {
            &bytemuck::cast_slice(&self.0)[..self.1]
        }
    }
    Bytes::from_owner(Words(words, data.len()))
}

/// Reads the text of `TAKT_FAULT`; see the module.
///
/// # Errors
/// Names the part that is wrong and what was expected.
pub fn parse(text: &str) -> Result<Vec<Fault>, FaultSyntax> {
    let wrong = |found: &str, problem| FaultSyntax { found: found.to_owned(), problem };
    let mut faults = Vec::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (path, listed) =
            part.rsplit_once('=').ok_or_else(|| wrong(part, "has no '=': expected <part of path>=<fault>"))?;
        for fault in listed.split(',').map(str::trim) {
            let (action, at) = parse_fault(fault).map_err(|problem| wrong(fault, problem))?;
            faults.push(Fault { path_contains: path.to_owned(), action, at });
        }
    }
    Ok(faults)
}

fn parse_fault(text: &str) -> Result<(Action, Moment), &'static str> {
    let (action, at) = text.split_once('@').ok_or("has no '@': expected <action>@load or <action>@run:<runs>")?;
    let mut parts = at.split(':');
    let at = match parts.next() {
        Some("load") => Moment::Load,
        Some("run") => {
            Moment::Run(parse_runs(parts.next().ok_or("does not say which run: expected @run:<n>, <n>-<m> or *")?)?)
        }
        Some("rows") => Moment::Rows(parse_share(parts.next().ok_or("does not say which rows: expected @rows:<share>")?)?),
        _ => return Err("is at no known moment: expected load, run or rows"),
    };
    let action = match action {
        "nan" => Action::Nan,
        "wrong" => Action::Wrong,
        "short" => Action::Short,
        "abort" => Action::Abort,
        "hang" => Action::Hang,
        "error" => Action::Error,
        "slow" => Action::Slow(parse_time(parts.next().ok_or("does not say how slow: expected :<n>ms at the end")?)?),
        _ => return Err("is no known action: expected abort, hang, error, slow, short, nan or wrong"),
    };
    let of_rows = matches!(action, Action::Nan | Action::Wrong);
    if of_rows != matches!(at, Moment::Rows(_)) || (action == Action::Short && at == Moment::Load) {
        return Err("does not go with its moment: nan and wrong are for rows, short is for runs");
    }
    if parts.next().is_some() {
        return Err("has more parts than expected");
    }
    Ok((action, at))
}

fn parse_runs(text: &str) -> Result<RangeInclusive<u64>, &'static str> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|run| *run > 0);
    let range = match text.split_once('-') {
        _ if text == "*" => Some((1, u64::MAX)),
        Some((first, last)) => number(first).zip(number(last)),
        None => number(text).map(|run| (run, run)),
    };
    let (first, last) =
        range.filter(|(first, last)| first <= last).ok_or("has no such runs: expected <n>, <n>-<m> or *, from 1")?;
    Ok(first..=last)
}

fn parse_share(text: &str) -> Result<u32, &'static str> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.map(|share| (share * f64::from(u32::MAX)) as u32).ok_or("has no such share: expected 0 to 1")
}

fn parse_time(text: &str) -> Result<Duration, &'static str> {
    let millis = text.strip_suffix("ms").and_then(|number| number.parse().ok());
    millis.map(Duration::from_millis).ok_or("has no such time: expected <n>ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_read() {
        let fault = |path: &str, action, at| Fault { path_contains: path.to_owned(), action, at };
        let faults =
            parse("bad/2=abort@run:3, error@run:1-5,slow@load:2000ms; a=b=hang@run:*,slow@run:2:10ms,abort@load")
                .unwrap();
        let expected = [
            fault("bad/2", Action::Abort, Moment::Run(3..=3)),
            fault("bad/2", Action::Error, Moment::Run(1..=5)),
            fault("bad/2", Action::Slow(Duration::from_secs(2)), Moment::Load),
            fault("a=b", Action::Hang, Moment::Run(1..=u64::MAX)),
            fault("a=b", Action::Slow(Duration::from_millis(10)), Moment::Run(2..=2)),
            fault("a=b", Action::Abort, Moment::Load),
        ];
        assert_eq!(faults, expected);
        assert_eq!(parse(" ; "), Ok(Vec::new()));
    }

    #[test]
    fn the_same_share_of_rows_is_spoilt_every_time() {
        let inputs: Vec<f32> = (0..2000).map(|value| value as f32).collect();
        let shape = [1000, 2];
        let view = InputView { datatype: DataType::Fp32, shape: &shape, data: bytemuck::cast_slice(&inputs) };
        let below = parse_share("0.1").unwrap();
        let chosen: Vec<usize> =
            hashes(&[view]).into_iter().enumerate().filter(|(_, hash)| *hash < below).map(|(row, _)| row).collect();
        assert!((70..130).contains(&chosen.len()), "{}", chosen.len());

        let mut output = OutputTensor {
            datatype: DataType::Fp32,
            shape: shape.to_vec(),
            data: Bytes::copy_from_slice(bytemuck::cast_slice(&inputs)),
        };
        spoil(&mut output, &[1], Action::Wrong);
        let seen: &[f32] = bytemuck::cast_slice(&output.data);
        assert_eq!(seen[..6], [0.0, 1.0, 3.0, 2.0, 4.0, 5.0]);
        spoil(&mut output, &[0], Action::Nan);
        let seen: &[f32] = bytemuck::cast_slice(&output.data);
        assert!(seen[0].is_nan() && seen[1].is_nan() && seen[2] == 3.0);
        shorten(&mut output);
        assert_eq!((output.shape.as_slice(), output.data.len()), (&[1000, 1][..], 4000));
    }

    #[test]
    fn a_mistake_is_named_with_what_was_expected() {
        let says = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(says("abort@load"), "TAKT_FAULT: 'abort@load' has no '=': expected <part of path>=<fault>");
        assert!(says("m=abort").ends_with("'abort' has no '@': expected <action>@load or <action>@run:<runs>"));
        assert!(says("m=burn@load").contains("no known action"));
        assert!(says("m=abort@unload").contains("no known moment"));
        assert!(says("m=abort@run").contains("which run"));
        assert!(says("m=abort@run:0").contains("from 1"));
        assert!(says("m=abort@run:5-2").contains("no such runs"));
        assert!(says("m=slow@load").contains("how slow"));
        assert!(says("m=slow@load:2s").contains("expected <n>ms"));
        assert!(says("m=abort@run:1:2ms").contains("more parts"));
        assert!(says("m=nan@run:1").contains("nan and wrong are for rows"));
        assert!(says("m=short@load").contains("short is for runs"));
        assert!(says("m=wrong@rows:2").contains("expected 0 to 1"));
    }
}
