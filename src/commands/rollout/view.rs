//! A rollout on the terminal: steps, gates with their evidence, and the last decision in one sentence.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use takt_rollout::evidence::{GateReport, Verdict};
use takt_rollout::plan::feasibility::{Feasibility, hours_text};
use takt_rollout::plan::{Mode, duration_text};
use takt_rollout::progress::{Progress, StepStatus};
use takt_rollout::state::Phase;

use crate::commands::REFUSED;
use crate::table::Table;

/// Evidence above this is not written out.
const MUCH: f64 = 1e6;

/// A rollout as the server tells it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Report {
    model: String,
    stable: u64,
    candidate: u64,
    expected: Option<Feasibility>,
    last_candidate_answer: Option<u64>,
    waits_for_window: Option<Duration>,
    progress: Progress,
}

impl Report {
    /// What changes when something happens, on one line.
    pub(super) fn line(&self) -> String {
        let Progress { phase, desired, why, .. } = &self.progress;
        format!(
            "{}: version {} beside {}: {phase}, {desired} of the traffic: {why}",
            self.model, self.candidate, self.stable
        )
    }
}

/// The exit code once all have ended: 3 where a candidate was taken back.
pub(super) fn ended(reports: &[Report]) -> Option<ExitCode> {
    if !reports.iter().all(|report| report.progress.phase.is_terminal()) {
        return None;
    }
    let taken_back = reports.iter().any(|report| report.progress.phase == Phase::RolledBack);
    Some(if taken_back { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = &self.progress;
        writeln!(
            f,
            "{}: version {} is tried beside version {} ({})",
            self.model, self.candidate, self.stable, progress.id
        )?;
        write!(f, "{} for {}", progress.phase, duration_text(progress.elapsed))?;
        write!(f, ", {} of the traffic", progress.desired)?;
        if let Some(observed) = progress.observed {
            write!(f, " ({observed} observed)")?;
        }
        writeln!(f, ", {} units of clients so far", progress.exposed)?;
        writeln!(f, "{}", progress.why)?;
        if let Some(wait) = self.waits_for_window.filter(|_| !progress.phase.is_terminal()) {
            writeln!(f, "nothing new is tried before the next maintenance window, in {}", duration_text(wait))?;
        }
        if let Some(hours) = progress.hours_left {
            writeln!(f, "expected until the promotion: {}", hours_text(hours))?;
        }
        writeln!(f)?;
        write!(f, "{}", self.steps())?;
        if !progress.gates.is_empty() && !progress.phase.is_terminal() {
            writeln!(f)?;
            write!(f, "{}", gates(&progress.gates))?;
        }
        if let Some(rollback) = &progress.rollback {
            writeln!(f)?;
            if let Some(took) = rollback.took() {
                writeln!(f, "from the decision to 0 % of the traffic: {} ms", took.as_millis())?;
            }
            writeln!(f, "units of clients that the candidate was given before: {}", rollback.exposed)?;
            if let Some(last) = self.last_candidate_answer {
                let after = i128::from(last) - i128::from(rollback.decided.0);
                writeln!(f, "its last answer: {after} ms after the decision")?;
            }
        }
        Ok(())
    }
}

impl Report {
    fn steps(&self) -> Table {
        let mut table = Table::new(["", "STEP", "SHARE", "TIME", "AT MOST", "EXPECTED"]);
        for step in &self.progress.steps {
            let mark = match step.status {
                StepStatus::Passed => "+",
                StepStatus::Current => ">",
                StepStatus::Waiting => " ",
            };
            let expected = match (step.hours, &self.expected) {
                (Some(hours), _) => hours_text(hours),
                (None, Some(_)) => "never".to_owned(),
                (None, None) => "not known yet".to_owned(),
            };
            table.push([
                mark.to_owned(),
                step.stage.label().to_owned(),
                step.share.to_string(),
                step.dwell.map(duration_text).unwrap_or_default(),
                duration_text(step.budget),
                expected,
            ]);
        }
        table
    }
}

fn gates(gates: &[GateReport]) -> Table {
    let mut table = Table::new(["GATE", "SAYS", "AGAINST", "FOR", "CANARY", "STABLE", ""]);
    for gate in gates {
        let says = match gate.verdict {
            Verdict::Accept => "accept",
            Verdict::Reject => "reject",
            Verdict::Undecided => "undecided",
        };
        let mode = match gate.mode {
            Mode::Mandatory => "",
            Mode::Guard => "guard",
            Mode::DryRun => "dry run",
        };
        let weighed =
            |weighed: takt_rollout::evidence::Weighed| format!("{} of {:.0}", number(weighed.e()), weighed.threshold());
        // All are needed: the weakest tells how far it is.
        let least = gate.needed.iter().map(|(_, weighed)| *weighed).min_by(|a, b| a.ln_e.total_cmp(&b.ln_e));
        let seen = |tally: takt_rollout::evidence::Tally| format!("{}/{}", tally.bad, tally.units);
        let note = [mode, gate.note.as_deref().unwrap_or_default()];
        table.push([
            gate.gate.to_string(),
            says.to_owned(),
            gate.against.map(weighed).unwrap_or_default(),
            least.map(weighed).unwrap_or_default(),
            seen(gate.seen.canary),
            seen(gate.seen.stable),
            note.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("; "),
        ]);
    }
    table
}

fn number(e: f64) -> String {
    if e >= MUCH { "> 1000000".to_owned() } else { format!("{e:.1}") }
}
