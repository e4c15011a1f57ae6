//! What people wrote in a `ModelRollout` of the layer GRPCRoute: between two Services, judged by a Prometheus.

use takt_artifact::manifest::FileDigest;
use takt_rollout::Plan;
use takt_rollout::plan::Unit;

use super::{Check, Faults};
use crate::crd::{
    DisagreementGate, DriftGate, FleetSpec, LabelsGate, LatencyGate, Layer, ModelRollout, ModelRolloutSpec, PlanSpec,
    RouteSpec, ShadowSpec,
};
use crate::fleet::Wish;

/// A rollout between two Services that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteRollout {
    /// What stays while the candidate may have traffic.
    pub subject: RouteSubject,
    /// Matchers of the servers' metrics, such as `namespace="line"`.
    pub matchers: String,
    /// What is followed.
    pub plan: Plan,
    /// Says whether what is tried is the same: of subject and attempt.
    pub goal: String,
    /// The attempt: above 0, what was taken back is tried again.
    pub attempt: u32,
    /// What people want now.
    pub wish: Wish,
}

/// Which version of which model, behind which Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSubject {
    /// Name of the model.
    pub model: String,
    /// Number of the version to try.
    pub candidate: u64,
    /// The route and its backends.
    pub names: RouteNames,
}

/// A GRPCRoute and the two Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteNames {
    /// Of all three.
    pub namespace: String,
    /// The route.
    pub route: String,
    /// The Service of the version in service.
    pub stable: String,
    /// The Service of the candidate.
    pub canary: String,
}

/// Whether a rollout is of this layer, whatever else is wrong with it.
#[must_use]
pub fn is_routed(object: &ModelRollout) -> bool {
    object.spec.layer == Layer::GrpcRoute
}

impl TryFrom<&ModelRollout> for RouteRollout {
    type Error = Faults;

    fn try_from(object: &ModelRollout) -> Result<Self, Faults> {
        let spec = &object.spec;
        let mut check = Check::default();
        if spec.layer == Layer::InProcess {
            let fix = "the route has weights for that: restore it, or delete this rollout and make another";
            check.fault("layer", "InProcess", "GRPCRoute", fix);
        }
        let names = check.names(object);
        let candidate = check.candidate(spec);
        check.no_fleet(spec);
        let judged = check.judged(&spec.plan);
        let plan = check.plan(&judged);
        if let Some(Unit::Station { .. }) = plan.as_ref().map(|plan| plan.unit) {
            let fix = "leave routing out: a gateway routes each request by itself";
            check.fault("plan.routing.unit", "station", "request", fix);
        }
        let (Some(names), Some(candidate), Some(plan), true) = (names, candidate, plan, check.faults.is_empty()) else {
            return Err(Faults(check.faults));
        };
        let subject = RouteSubject { model: spec.model.clone(), candidate, names };
        let matchers = spec.route.as_ref().and_then(|route| route.matchers.clone());
        Ok(Self {
            matchers: matchers.unwrap_or_else(|| format!("namespace=\"{}\"", subject.names.namespace)),
            goal: goal(&subject, spec.attempt),
            subject,
            plan,
            attempt: spec.attempt,
            wish: Wish::of(object),
        })
    }
}

impl RouteRollout {
    /// The rollout, if it may follow what was asked before: of a candidate that may have traffic, and of the attempt that was
    /// obeyed.
    ///
    /// # Errors
    /// It may not; everything that differs.
    pub fn after(self, bound: Option<&RouteSubject>, attempt: u32) -> Result<Self, Faults> {
        let mut check = Check::default();
        if let Some(bound) = bound {
            let (is, was) = (&self.subject, bound);
            let facts = [
                ("model", is.model.clone(), was.model.clone()),
                ("candidate.version", is.candidate.to_string(), was.candidate.to_string()),
                ("route.name", is.names.route.clone(), was.names.route.clone()),
                ("route.stableService", is.names.stable.clone(), was.names.stable.clone()),
                ("route.canaryService", is.names.canary.clone(), was.names.canary.clone()),
            ];
            let fix = "the route has weights for that: restore it, or delete this rollout and make another";
            for (path, found, expected) in facts.into_iter().filter(|(_, found, expected)| found != expected) {
                check.fault(path, found, &expected, fix);
            }
        }
        check.attempt(self.attempt, attempt);
        if check.faults.is_empty() { Ok(self) } else { Err(Faults(check.faults)) }
    }

    /// Of a rollout that is being deleted and whose spec makes no sense: enough to take the weight back.
    #[must_use]
    pub fn leaving(object: &ModelRollout, mut subject: RouteSubject) -> Self {
        subject.names.namespace = object.metadata.namespace.clone().unwrap_or_default();
        let attempt = object.spec.attempt;
        let goal = goal(&subject, attempt);
        Self { subject, matchers: String::new(), plan: Plan::default(), goal, attempt, wish: Wish::Leave }
    }
}

fn goal(subject: &RouteSubject, attempt: u32) -> String {
    let RouteSubject { model, candidate, names } = subject;
    let text = format!("{model}\n{candidate}\n{}\n{}\n{}\n{attempt}", names.route, names.stable, names.canary);
    FileDigest::of_bytes(text.as_bytes()).sha256.chars().take(16).collect()
}

impl Check {
    /// The plan with what this layer cannot judge taken away, where it was not asked for.
    fn judged(&mut self, spec: &PlanSpec) -> PlanSpec {
        let mut plan = spec.clone();
        let mut gates = plan.gates.take().unwrap_or_default();
        let off = Some(false);
        let asked = [
            ("shadow", plan.shadow.as_ref().is_some_and(|shadow| shadow.enabled != off)),
            ("gates.latency", gates.latency.as_ref().is_some_and(|gate| gate.enabled != off)),
            ("gates.disagreement", gates.disagreement.as_ref().is_some_and(|gate| gate.enabled != off)),
            ("gates.labels", gates.labels.as_ref().is_some_and(|gate| gate.enabled != off)),
            ("gates.drift", gates.drift.as_ref().is_some_and(|gate| gate.enabled != off)),
        ];
        for (path, _) in asked.into_iter().filter(|(_, asked)| *asked) {
            let fix = "remove it: a route copies nothing and times nothing; ask a Prometheus with gates.metrics, or use InProcess";
            self.fault(&format!("plan.{path}"), "given", "left out with layer GRPCRoute", fix);
        }
        plan.shadow = Some(ShadowSpec { enabled: off, ..ShadowSpec::default() });
        gates.latency = Some(LatencyGate { enabled: off, ..LatencyGate::default() });
        gates.disagreement = Some(DisagreementGate { enabled: off, ..DisagreementGate::default() });
        gates.labels = Some(LabelsGate { enabled: off, ..LabelsGate::default() });
        gates.drift = Some(DriftGate { enabled: off, ..DriftGate::default() });
        plan.gates = Some(gates);
        plan
    }

    fn names(&mut self, object: &ModelRollout) -> Option<RouteNames> {
        let Some(RouteSpec { name, stable_service, canary_service, .. }) = &object.spec.route else {
            let expected = "the name of a GRPCRoute and of two of its backends";
            self.fault("route", "nothing", expected, "write route.name, route.stableService and route.canaryService");
            return None;
        };
        let before = self.faults.len();
        for (path, text) in [("name", name), ("stableService", stable_service), ("canaryService", canary_service)] {
            let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            if !(1..=253).contains(&text.len()) || !text.bytes().all(letter) {
                let expected = "a name of lower-case letters, digits, '-' and '.'";
                self.fault(&format!("route.{path}"), format!("'{text}'"), expected, "name an object of this namespace");
            }
        }
        if stable_service == canary_service {
            let expected = "another Service than stableService";
            self.fault("route.canaryService", canary_service, expected, "give the candidate a Service of its own");
        }
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let (route, stable, canary) = (name.clone(), stable_service.clone(), canary_service.clone());
        (self.faults.len() == before).then_some(RouteNames { namespace, route, stable, canary })
    }

    fn no_fleet(&mut self, spec: &ModelRolloutSpec) {
        let fix = "remove it: the route's Services say which servers";
        if spec.server_ref.is_some() {
            self.fault("serverRef", "a server", "none with layer GRPCRoute", fix);
        }
        if spec.selector.is_some() {
            self.fault("selector", "labels", "none with layer GRPCRoute", fix);
        }
        let port = spec.fleet.port;
        if spec.fleet != (FleetSpec { port, ..FleetSpec::default() }) {
            self.fault(
                "fleet",
                "waves of devices",
                "the port at most, with layer GRPCRoute",
                "a route knows no devices",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(patch: Value) -> ModelRollout {
        let mut spec = json!({
            "model": "surface", "candidate": {"version": 2}, "layer": "GRPCRoute",
            "route": {"name": "line", "stableService": "old", "canaryService": "new"}
        });
        spec.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        let object = json!({
            "apiVersion": "takt.dev/v1alpha1", "kind": "ModelRollout", "metadata": {"name": "r", "namespace": "n"},
            "spec": spec
        });
        serde_json::from_value(object).unwrap()
    }

    fn faults(patch: Value) -> Vec<String> {
        let faults = RouteRollout::try_from(&object(patch)).unwrap_err().0;
        faults.into_iter().map(|fault| fault.path).collect()
    }

    #[test]
    fn the_least_is_a_model_a_version_and_three_names() {
        let rollout = RouteRollout::try_from(&object(json!({}))).unwrap();
        assert_eq!(rollout.matchers, "namespace=\"n\"");
        assert!(rollout.plan.shadow.is_none());
        let gates = &rollout.plan.gates;
        assert!(gates.errors.is_some() && gates.latency.is_none() && gates.disagreement.is_none());
        assert!(gates.labels.is_none() && gates.drift.is_none());
    }

    #[test]
    fn what_a_route_cannot_do_is_refused_by_name() {
        assert_eq!(faults(json!({"route": null})), ["spec.route"]);
        let same = json!({"route": {"name": "", "stableService": "old", "canaryService": "old"}});
        assert_eq!(faults(same), ["spec.route.name", "spec.route.canaryService"]);
        let devices = json!({"serverRef": {"name": "line"}, "selector": {"a": "b"}, "fleet": {"waves": [1]}});
        assert_eq!(faults(devices), ["spec.serverRef", "spec.selector", "spec.fleet"]);
        let plan = json!({"plan": {"shadow": {"units": 5}, "gates": {"latency": {}, "drift": {"enabled": false}}}});
        assert_eq!(faults(plan), ["spec.plan.shadow", "spec.plan.gates.latency"]);
        let stations = json!({"plan": {"routing": {"unit": "station"}}});
        assert_eq!(faults(stations), ["spec.plan.routing.unit"]);
    }

    #[test]
    fn queries_are_gates_here() {
        let metric = json!({"name": "queue", "query": "max(depth)", "ceiling": "5"});
        let rollout = RouteRollout::try_from(&object(json!({"plan": {"gates": {"metrics": [metric]}}}))).unwrap();
        assert_eq!(rollout.plan.gates.metrics.len(), 1);
    }

    #[test]
    fn what_the_route_has_weights_for_stays() {
        let of = |patch: Value| RouteRollout::try_from(&object(patch)).unwrap();
        let bound = of(json!({})).subject;
        assert!(of(json!({"attempt": 1})).after(Some(&bound), 0).is_ok());
        let faults = of(json!({"candidate": {"version": 3}})).after(Some(&bound), 1).unwrap_err().0;
        let paths: Vec<_> = faults.into_iter().map(|fault| fault.path).collect();
        assert_eq!(paths, ["spec.candidate.version", "spec.attempt"]);
    }
}
