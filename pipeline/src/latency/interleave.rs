//! Times of several models, measured in turn.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use takt_backend::RunError;

use super::probe::Probe;

/// Rounds of which the fastest counts.
const ROUNDS: u32 = 60;
/// Rounds there are at least, however long they take.
const LEAST_ROUNDS: u32 = 8;
/// After this no further round is begun.
const LONGEST: Duration = Duration::from_secs(3);

/// Least time of each in microseconds. They run in turn, so that a neighbour on the machine disturbs all alike, and each finds
/// the caches as another one left them, as in a model. `None` if it was stopped.
pub(super) fn interleaved(probes: &mut [Probe], stop: &AtomicBool) -> Result<Option<Vec<f64>>, RunError> {
    for probe in probes.iter_mut() {
        probe.run()?;
    }
    let mut least = vec![f64::MAX; probes.len()];
    let begun = Instant::now();
    for round in 0..ROUNDS {
        if round >= LEAST_ROUNDS && begun.elapsed() > LONGEST {
            break;
        }
        for (probe, least) in probes.iter_mut().zip(&mut least) {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let begun = Instant::now();
            probe.run()?;
            *least = least.min(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(Some(least))
}
