//! Faults on purpose, so that tests can see a run hang or a process die inside native code. Never in a release build.
//!
//! `TAKT_FAULT` holds one or more `<part of the model's path>=<fault>[,<fault>...]`, separated by `;`:
//!
//! ```text
//! fault = abort | hang | error   @load
//!       | slow                   @load:<n>ms
//!       | abort | hang | error   @run:<runs>
//!       | slow                   @run:<runs>:<n>ms
//! runs  = <n> | <n>-<m> | *      counted from 1, per session
//! ```
//!
//! `bad/2=abort@run:3,slow@load:2000ms` makes version 2 of the model `bad` load slowly and abort the process in its third run.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use takt_artifact::Signature;

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
}

/// When to do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// While loading.
    Load,
    /// In these runs of a session, the first being 1.
    Run(RangeInclusive<u64>),
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
        for fault in &self.faults {
            if matches!(&fault.at, Moment::Run(runs) if runs.contains(&self.runs)) {
                commit(fault.action).map_err(RunError::Injected)?;
            }
        }
        self.inner.run(inputs)
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
    }
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
        _ => return Err("is at no known moment: expected load or run"),
    };
    let action = match action {
        "abort" => Action::Abort,
        "hang" => Action::Hang,
        "error" => Action::Error,
        "slow" => Action::Slow(parse_time(parts.next().ok_or("does not say how slow: expected :<n>ms at the end")?)?),
        _ => return Err("is no known action: expected abort, hang, error or slow"),
    };
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
    }
}
