//! Hundreds of rollouts with chance in them: which faults are found, and how often one that is as good goes back.

#![allow(clippy::print_stderr, reason = "figures are for who reads the tests' output")]

mod line;

use std::time::Duration;

use takt_rollout::Plan;
use takt_rollout::plan::RawPlan;
use takt_rollout::state::Phase;

use self::line::{BrokenCamera, End, Line, Version};

const RUNS: u64 = 200;
/// Of the runs, in which a fault must be found.
const FOUND: u64 = RUNS * 8 / 10;

/// The built-in plan for a line that is strict about escapes, with an hour to bake.
fn plan() -> Plan {
    let raw: RawPlan = toml::from_str("[gates.disagreement]\nescape = 1\n[bake]\nduration = \"1h\"\n").unwrap();
    Plan::try_from(raw).unwrap()
}

#[derive(Debug, Default)]
struct Ends {
    succeeded: u64,
    held: u64,
    back: u64,
    exposed: Vec<u64>,
    took: Vec<Duration>,
}

/// `RUNS` rollouts of such a candidate. `because` is in the reason of every one that goes back.
fn rollouts(name: &str, candidate: Version, camera: BrokenCamera, because: &str) -> Ends {
    let mut ends = Ends::default();
    for seed in 0..RUNS {
        let End { phase, why, exposed, took } = Line::new(plan(), candidate, camera, 7_000_003 * (seed + 1)).run();
        match phase {
            Phase::Succeeded => ends.succeeded += 1,
            Phase::RolledBack => {
                assert!(why.contains(because), "{name}: {why}");
                ends.back += 1;
                ends.exposed.push(exposed);
                ends.took.push(took);
            }
            Phase::Held { .. } => ends.held += 1,
            other => panic!("{name}: still {other} after {took:?}: {why}"),
        }
    }
    ends.exposed.sort_unstable();
    ends.took.sort_unstable();
    let middle = ends.exposed.len() / 2;
    let of_those = ends.exposed.get(middle).zip(ends.took.get(middle));
    let Ends { succeeded, held, back, .. } = &ends;
    let text = of_those.map(|(exposed, took)| format!("; half of these after {exposed} parts and {took:?}"));
    eprintln!("{name}: {succeeded} promoted, {held} held, {back} taken back{}", text.unwrap_or_default());
    ends
}

#[test]
fn a_candidate_that_is_as_good_is_hardly_ever_taken_back() {
    let ends = rollouts("as good", Version::GOOD, 0.0, "");
    // alpha and three standard deviations of its estimate.
    let alpha = plan().alpha.get();
    let most = alpha + 3.0 * (alpha * (1.0 - alpha) / RUNS as f64).sqrt();
    assert!(ends.back as f64 <= most * RUNS as f64, "{ends:?}");
    assert!(ends.succeeded >= FOUND, "{ends:?}");
}

#[test]
fn two_more_escapes_in_a_hundred_parts_of_one_station_of_eight_are_found_before_a_client_sees_any() {
    // A quarter of the eight per cent that are defective there.
    let candidate = Version { escapes_at_one: 0.25, ..Version::GOOD };
    let ends = rollouts("escapes", candidate, 0.0, "disagreement");
    assert!(ends.back >= FOUND, "{ends:?}");
    assert_eq!(ends.exposed.iter().max(), Some(&0), "copies judge before clients do");
}

#[test]
fn runs_that_take_a_third_longer_are_found() {
    let ends = rollouts("slower", Version { slower: 1.3, ..Version::GOOD }, 0.0, "latency");
    assert!(ends.back >= FOUND, "{ends:?}");
}

#[test]
fn one_answer_of_a_hundred_that_is_no_number_is_found() {
    let ends = rollouts("no number", Version { no_number: 0.01, ..Version::GOOD }, 0.0, "not finite");
    assert!(ends.back >= FOUND, "{ends:?}");
}

#[test]
fn bursts_of_failing_batches_are_found() {
    let ends = rollouts("bursts", Version { bursts: (0.02, 2), ..Version::GOOD }, 0.0, "");
    assert!(ends.back >= FOUND, "{ends:?}");
}

#[test]
fn a_camera_that_breaks_takes_nobody_back() {
    let ends = rollouts("broken camera", Version::GOOD, 0.3, "");
    assert!(ends.back <= RUNS / 20 && ends.succeeded >= FOUND, "{ends:?}");
}
