//! What is being waited for, in words.

use super::turn::Turn;
use crate::evidence::GateReport;

impl Turn<'_> {
    pub(super) fn waiting(&self, what: &str, open: &[GateReport]) -> String {
        match open {
            [] => format!("{what}; no gate objects"),
            open => format!("{what}; waiting for {}", open.iter().map(in_words).collect::<Vec<_>>().join(" and ")),
        }
    }
}

/// A gate that has not accepted: how far it is.
fn in_words(report: &GateReport) -> String {
    if report.in_step == 0 {
        return format!("{} (nothing seen yet)", report.gate);
    }
    let missing = report.needed.iter().filter(|(_, weighed)| !weighed.reached());
    let parts: Vec<String> =
        missing.map(|(what, weighed)| format!("{what}: {:.1} of {:.0}", weighed.e(), weighed.threshold())).collect();
    match (parts.as_slice(), &report.note) {
        ([], Some(note)) => format!("{} ({note})", report.gate),
        ([], None) => report.gate.to_string(),
        (parts, _) => format!("{} ({})", report.gate, parts.join(", ")),
    }
}
