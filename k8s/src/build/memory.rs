//! What is remembered of a fleet, as it is written in the status. What was edited by others and makes no sense is forgotten:
//! devices tell it again.

use std::collections::BTreeMap;

use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;

use crate::crd::{DeviceStatus, FleetStatus, GateStatus};
use crate::fleet::{Cause, CauseKind, Course, Device, Fleet, Hold, LnE, Pooled, Standing};
use crate::spec::Subject;

/// As it is written.
#[must_use]
pub fn write(subject: &Subject, fleet: &Fleet, pooled: &[Pooled]) -> FleetStatus {
    let (cause, reason) = match &fleet.course {
        Course::Held(hold) => (Some(hold.label().to_owned()), Some(hold.to_string())),
        Course::Aborting(cause) | Course::RolledBack(cause) | Course::Degraded(cause) => {
            (Some(cause.kind.label().to_owned()), Some(cause.text.clone()))
        }
        Course::Rolling | Course::Succeeded => (None, None),
    };
    FleetStatus {
        course: fleet.course.label().to_owned(),
        cause,
        reason,
        wave: u32::try_from(fleet.wave).unwrap_or(u32::MAX),
        through: fleet.through.map(written),
        model: subject.model.clone(),
        selector: subject.selector.clone(),
        identity: subject.identity,
        goal: fleet.goal.clone(),
        restarts: fleet.restarts,
        attempt: fleet.attempt,
        paused: fleet.paused,
        gates: pooled
            .iter()
            .map(|pooled| GateStatus {
                gate: pooled.gate.clone(),
                log_e: number(pooled.ln_e),
                log_threshold: pooled.ln_threshold.map(number),
            })
            .collect(),
        devices: fleet.devices.iter().map(|(name, device)| write_device(name, device)).collect(),
    }
}

fn write_device(name: &str, device: &Device) -> DeviceStatus {
    DeviceStatus {
        name: name.to_owned(),
        wave: u32::try_from(device.wave).unwrap_or(u32::MAX),
        standing: device.standing.label().to_owned(),
        phase: device.phase.clone(),
        rollout: device.rollout.clone(),
        weight: Some(device.weight.get().to_string()).filter(|_| device.weight != TrafficShare::NONE),
        exposed: i64::try_from(device.exposed).unwrap_or(i64::MAX),
        silent: device.silent.map(written),
        listed: device.listed,
        why: Some(device.why.clone()).filter(|why| !why.is_empty()),
        gates: gates(&device.evidence),
        past: gates(&device.past),
    }
}

/// As it was written; `None` where nothing was.
#[must_use]
pub fn read(status: &FleetStatus) -> Fleet {
    let cause = || {
        let kind = status.cause.as_deref().and_then(CauseKind::of).unwrap_or(CauseKind::Person);
        Cause { kind, text: status.reason.clone().unwrap_or_default() }
    };
    let course = match status.course.as_str() {
        "held" => status.cause.as_deref().and_then(Hold::of).map_or(Course::Rolling, Course::Held),
        "aborting" => Course::Aborting(cause()),
        "rolled_back" => Course::RolledBack(cause()),
        "degraded" => Course::Degraded(cause()),
        "succeeded" => Course::Succeeded,
        _ => Course::Rolling,
    };
    Fleet {
        course,
        wave: status.wave as usize,
        through: status.through.map(read_time),
        goal: status.goal.clone(),
        restarts: status.restarts,
        attempt: status.attempt,
        paused: status.paused,
        devices: status.devices.iter().map(|device| (device.name.clone(), read_device(device))).collect(),
    }
}

/// What the devices have that are at work; `None` where none is.
#[must_use]
pub fn bound(status: &FleetStatus) -> Option<Subject> {
    read(status).at_work().next()?;
    let FleetStatus { model, selector, identity, .. } = status;
    Some(Subject { model: model.clone(), selector: selector.clone(), identity: *identity })
}

fn read_device(status: &DeviceStatus) -> Device {
    let weight = status.weight.as_deref().and_then(|text| text.parse().ok());
    Device {
        wave: status.wave as usize,
        standing: Standing::of(&status.standing).unwrap_or(Standing::Waiting),
        phase: status.phase.clone(),
        rollout: status.rollout.clone(),
        weight: weight.and_then(|share| TrafficShare::new(share).ok()).unwrap_or(TrafficShare::NONE),
        exposed: u64::try_from(status.exposed).unwrap_or(0),
        silent: status.silent.map(read_time),
        listed: status.listed,
        why: status.why.clone().unwrap_or_default(),
        evidence: read_gates(&status.gates),
        past: read_gates(&status.past),
    }
}

fn gates(evidence: &LnE) -> Vec<GateStatus> {
    let gate =
        |(gate, ln_e): (&String, &f64)| GateStatus { gate: gate.clone(), log_e: number(*ln_e), log_threshold: None };
    evidence.iter().map(gate).collect()
}

fn read_gates(gates: &[GateStatus]) -> LnE {
    let read =
        |gate: &GateStatus| Some((gate.gate.clone(), gate.log_e.parse::<f64>().ok().filter(|ln_e| ln_e.is_finite())?));
    gates.iter().filter_map(read).collect::<BTreeMap<_, _>>()
}

/// Floats are texts in Kubernetes resources. Four digits: nobody decides by the fifth.
pub(super) fn number(value: f64) -> String {
    format!("{value:.4}")
}

fn written(time: UnixMillis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn read_time(time: i64) -> UnixMillis {
    UnixMillis(u64::try_from(time).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crd::Identity;

    fn fleets() -> impl Strategy<Value = Fleet> {
        let courses = prop_oneof![
            Just(Course::Rolling),
            Just(Course::Succeeded),
            Just(Course::Held(Hold::Silent)),
            "[a-z ]{0,9}".prop_map(|text| Course::Aborting(Cause { kind: CauseKind::Evidence, text })),
            "[a-z ]{0,9}".prop_map(|text| Course::Degraded(Cause { kind: CauseKind::Changed, text })),
        ];
        let device = (0_usize..4, 0_u32..=1_000_000, any::<u32>(), -50_000_i32..50_000, any::<bool>()).prop_map(
            |(wave, share, exposed, ln_e, listed)| Device {
                weight: TrafficShare::of_millionths(share),
                exposed: u64::from(exposed),
                silent: listed.then_some(UnixMillis(u64::from(exposed))),
                listed,
                standing: if listed { Standing::Rolling } else { Standing::Asked },
                phase: listed.then(|| "stepping".to_owned()),
                evidence: LnE::from([("errors".to_owned(), f64::from(ln_e) / 1e4)]),
                ..Device::new(wave)
            },
        );
        (courses, 0_usize..9, any::<bool>(), proptest::collection::btree_map("[a-z]{1,6}", device, 0..5)).prop_map(
            |(course, wave, paused, devices)| Fleet {
                course,
                wave,
                through: paused.then_some(UnixMillis(77)),
                goal: "g".to_owned(),
                restarts: 2,
                attempt: 1,
                paused,
                devices,
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(fleet in fleets()) {
            let subject = Subject {
                model: "m".to_owned(),
                selector: [("line".to_owned(), "a".to_owned())].into(),
                identity: Identity::Node,
            };
            let status = write(&subject, &fleet, &[]);
            prop_assert_eq!(bound(&status), fleet.at_work().next().map(|_| subject));
            prop_assert_eq!(read(&status), fleet);
        }
    }

    #[test]
    fn nonsense_that_others_wrote_is_forgotten() {
        let device = DeviceStatus {
            name: "a".to_owned(),
            standing: "flying".to_owned(),
            weight: Some("much".to_owned()),
            silent: Some(-5),
            exposed: -1,
            gates: vec![GateStatus { gate: "errors".to_owned(), log_e: "NaN".to_owned(), log_threshold: None }],
            ..DeviceStatus::default()
        };
        let fleet =
            read(&FleetStatus { course: "sideways".to_owned(), devices: vec![device], ..FleetStatus::default() });
        let device = &fleet.devices["a"];
        assert_eq!(
            (fleet.course, device.standing, device.weight),
            (Course::Rolling, Standing::Waiting, TrafficShare::NONE)
        );
        assert!(device.evidence.is_empty() && device.exposed == 0);
    }
}
