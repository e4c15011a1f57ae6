//! How much traffic a version has had: what a plan's duration is estimated from.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use takt_artifact::decision::Verdict;
use takt_rollout::plan::Rates;

use crate::error::ErrorKind;
use crate::registry::version::ServedVersion;

/// Before so long, or with fewer answers, nothing is estimated.
const LEAST_TIME: Duration = Duration::from_secs(60);
const LEAST_ANSWERS: u64 = 200;

/// Traffic of a version since it was loaded; `None` while it is too little to say.
pub(super) fn rates(version: &ServedVersion) -> Option<Rates> {
    let served = SystemTime::now().duration_since(version.loaded_at).ok()?;
    let answered = version.stats.success.count();
    if served < LEAST_TIME || answered < LEAST_ANSWERS {
        return None;
    }
    let hours = served.as_secs_f64() / 3600.0;
    let failed: u64 = [ErrorKind::RunFailed, ErrorKind::BadOutput, ErrorKind::Internal]
        .map(|kind| version.stats.failures(kind))
        .iter()
        .sum();
    let verdicts = |verdict| version.stats.verdicts(verdict) as f64;
    let judged = verdicts(Verdict::Good) + verdicts(Verdict::Defect) + verdicts(Verdict::Uncertain);
    Some(Rates {
        units_per_hour: (answered + failed) as f64 / hours,
        runs_per_hour: Some(version.stats.executions.load(Relaxed) as f64 / hours),
        error_rate: failed as f64 / (answered + failed) as f64,
        defect_share: if judged > 0.0 { 1.0 - verdicts(Verdict::Good) / judged } else { 0.0 },
    })
}
