//! The status of a `ModelServer`, and what is wrong with its spec.

use k8s_openapi::jiff::Timestamp;
use takt_artifact::fault::Fault;

use super::conditions::{Kind, conditions, now};
use super::workload::Kept;
use crate::crd::{ModelServer, ModelServerSpec, ModelServerStatus, Workload};
use crate::spec::Faults;

/// Everything that is wrong with a server's spec, which kept its pods by `workload` before.
#[must_use]
pub fn server_faults(spec: &ModelServerSpec, workload: Option<Workload>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |path: &str, found: &str, expected: &str, fix: &str| {
        faults.push(Fault::new(format!("spec.{path}"), found, expected, fix));
    };
    if spec.image.trim().is_empty() {
        fault("image", "an empty text", "a container image", "name the image that has takt in it");
    }
    if let Some(before) = workload.filter(|before| *before != spec.workload) {
        let fix = "it cannot change: delete this server and make another";
        fault("workload", &format!("{:?}", spec.workload), &format!("{before:?}"), fix);
    }
    let one = "exactly one of hostPath and claim";
    if spec.repository.host_path.is_some() == spec.repository.claim.is_some() {
        fault(
            "repository",
            if spec.repository.claim.is_some() { "both" } else { "none" },
            one,
            "say where the models are",
        );
    }
    if let Some(state) = &spec.state
        && state.host_path.is_some() == state.claim.is_some()
    {
        let found = if state.claim.is_some() { "both" } else { "none" };
        fault("state", found, one, "say where state is kept, or remove state");
    }
    match (spec.workload, spec.replicas) {
        (Workload::DaemonSet, Some(_)) => {
            fault(
                "replicas",
                "a number with workload DaemonSet",
                "none",
                "remove replicas: there is one pod on each node",
            );
        }
        (_, Some(replicas)) if replicas < 0 => {
            fault("replicas", &replicas.to_string(), "0 or more", "give the number of pods");
        }
        _ => {}
    }
    let probes = &spec.probes;
    for (path, number, least) in [
        ("probes.startupSeconds", probes.startup_seconds, 10),
        ("probes.periodSeconds", probes.period_seconds, 1),
        ("probes.failures", probes.failures, 1),
    ] {
        if number < least {
            fault(path, &number.to_string(), &format!("{least} or more"), "give a larger number, or leave it out");
        }
    }
    if let Some(gpu) = spec.gpu.as_ref().filter(|gpu| gpu.units < 1) {
        fault("gpu.units", &gpu.units.to_string(), "1 or more", "remove gpu for a server without one");
    }
    faults
}

/// The status that follows from the children as the API server gave them back; from faults where there are none.
#[must_use]
pub fn server_status(
    server: &ModelServer,
    kept: Result<&Kept, &Faults>,
    term: i64,
    at: Timestamp,
) -> ModelServerStatus {
    let before = server.status.clone().unwrap_or_default();
    let generation = server.metadata.generation;
    let kept = match kept {
        Ok(kept) => kept,
        Err(faults) => {
            let is = vec![
                now(Kind::Ready, Some(before.ready > 0), "spec_invalid", "what ran before goes on"),
                now(Kind::SpecValid, Some(false), "faults", faults.to_string()),
            ];
            let conditions = conditions(&before.conditions, is, generation, at);
            return ModelServerStatus { observed_generation: generation, conditions, term: Some(term), ..before };
        }
    };
    let (ready, wanted) = match kept {
        Kept::Deployment(deployment) => {
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            (deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0), wanted)
        }
        Kept::DaemonSet(set) => {
            let status = set.status.as_ref();
            (status.map_or(0, |status| status.number_ready), status.map_or(0, |status| status.desired_number_scheduled))
        }
    };
    let all = ready >= wanted && wanted > 0;
    let is = vec![
        now(
            Kind::Ready,
            Some(all),
            if all { "all_ready" } else { "waiting" },
            format!("{ready} of {wanted} pods are ready"),
        ),
        now(Kind::SpecValid, Some(true), "valid", "the spec makes sense"),
    ];
    ModelServerStatus {
        observed_generation: generation,
        workload: Some(server.spec.workload),
        ready,
        wanted,
        conditions: conditions(&before.conditions, is, generation, at),
        term: Some(term),
    }
}
