//! What people wrote in a `ModelRollout`, checked as a whole. The API server of today knows some of these rules (CEL); that of
//! Kubernetes 1.20 knows none, so all are checked here.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use takt_artifact::fault::{DocumentError, Fault};
use takt_artifact::manifest::FileDigest;
use takt_rollout::plan::parse_duration;
use takt_rollout::{Plan, RawPlan};

mod route;

pub use route::{RouteNames, RouteRollout, RouteSubject, is_routed};

use crate::build::selector_labels;
use crate::crd::{FleetSpec, Identity, Layer, ModelRollout, ModelRolloutSpec, PlanSpec};
use crate::fleet::{Amount, Want, Waves, Wish};

/// The port of `takt serve`'s gRPC API.
const GRPC_PORT: u16 = 8001;

/// The port of the servers' gRPC API, where the spec was not checked: the usual one in place of nonsense.
#[must_use]
pub fn grpc_port(object: &ModelRollout) -> u16 {
    object.spec.fleet.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(GRPC_PORT)
}

/// A rollout that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// What stays while devices are at work.
    pub subject: Subject,
    /// Number of the version to try.
    pub candidate: u64,
    /// The port of the servers' gRPC API.
    pub port: u16,
    /// The plan as each device is given it.
    pub plan_toml: String,
    /// What is asked of the fleet.
    pub want: Want,
}

/// Which model on which devices. It stays while devices are at work: who looks elsewhere leaves them alone with the candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Name of the model.
    pub model: String,
    /// Labels of the pods that are the devices.
    pub selector: BTreeMap<String, String>,
    /// What a device is.
    pub identity: Identity,
}

impl Subject {
    /// Where it is another than that of devices at work.
    fn strays(&self, bound: &Self) -> Vec<Fault> {
        let labels = |labels: &BTreeMap<String, String>| {
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            labels.join(",")
        };
        let facts = [
            ("spec.model", self.model.clone(), bound.model.clone()),
            ("spec.selector (or serverRef)", labels(&self.selector), labels(&bound.selector)),
            ("spec.fleet.identity", format!("{:?}", self.identity), format!("{:?}", bound.identity)),
        ];
        let fix = "devices are at work with that: restore it, or delete this rollout and make another";
        let strays = facts.into_iter().filter(|(_, found, expected)| found != expected);
        strays.map(|(path, found, expected)| Fault::new(path, found, &expected, fix)).collect()
    }
}

/// Everything that is wrong with a resource. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", listed(.0))]
pub struct Faults(pub Vec<Fault>);

/// Collects faults, so that all are told at once.
#[derive(Default)]
struct Check {
    faults: Vec<Fault>,
}

impl TryFrom<&ModelRollout> for Rollout {
    type Error = Faults;

    fn try_from(object: &ModelRollout) -> Result<Self, Faults> {
        let spec = &object.spec;
        let mut check = Check::default();
        let selector = check.selector(spec);
        check.layer(spec);
        let candidate = check.candidate(spec);
        let plan = check.plan(&spec.plan);
        check.no_queries(plan.as_ref());
        let fleet = check.fleet(&spec.fleet);
        let toml = check.toml(&spec.plan);
        let (Some(selector), Some(candidate), Some(plan), Some(fleet), Some(plan_toml), true) =
            (selector, candidate, plan, fleet, toml, check.faults.is_empty())
        else {
            return Err(Faults(check.faults));
        };
        let goal = format!("{}\n{candidate}\n{}\n{}", spec.model, plan.digest(), spec.attempt);
        let seed = object.metadata.uid.as_deref().unwrap_or_default().as_bytes();
        let want = Want {
            goal: FileDigest::of_bytes(goal.as_bytes()).sha256.chars().take(16).collect(),
            seed: seed.iter().fold(0, |seed: u64, byte| seed.rotate_left(7) ^ u64::from(*byte)),
            plan,
            waves: fleet.waves,
            max_unavailable: fleet.max_unavailable,
            max_failed: fleet.max_failed,
            soak: fleet.soak,
            attempt: spec.attempt,
            wish: Wish::of(object),
        };
        let subject = Subject { model: spec.model.clone(), selector, identity: spec.fleet.identity };
        Ok(Self { subject, candidate, port: fleet.port, plan_toml, want })
    }
}

impl Rollout {
    /// The rollout, if it may follow what was asked before: of devices at work and of the attempt that was obeyed.
    ///
    /// # Errors
    /// It may not; everything that differs.
    pub fn after(self, bound: Option<&Subject>, attempt: u32) -> Result<Self, Faults> {
        let mut check = Check { faults: bound.map(|bound| self.subject.strays(bound)).unwrap_or_default() };
        check.attempt(self.want.attempt, attempt);
        if check.faults.is_empty() { Ok(self) } else { Err(Faults(check.faults)) }
    }

    /// Of a rollout that is being deleted and whose spec makes no sense: enough to take its candidate back from these devices.
    #[must_use]
    pub fn leaving(object: &ModelRollout, subject: Subject, goal: String) -> Self {
        let want = Want {
            goal,
            seed: 0,
            plan: Plan::default(),
            waves: Waves(Vec::new()),
            max_unavailable: Amount::Count(0),
            max_failed: Amount::Count(0),
            soak: Duration::ZERO,
            attempt: object.spec.attempt,
            wish: Wish::Leave,
        };
        let candidate = u64::try_from(object.spec.candidate.version).unwrap_or(0);
        Self { subject, candidate, port: grpc_port(object), plan_toml: String::new(), want }
    }
}

struct Limits {
    waves: Waves,
    max_unavailable: Amount,
    max_failed: Amount,
    soak: Duration,
    port: u16,
}

impl Check {
    fn fault(&mut self, path: &str, found: impl Into<String>, expected: &str, fix: &str) {
        self.faults.push(Fault::new(format!("spec.{path}"), found, expected, fix));
    }

    fn selector(&mut self, spec: &ModelRolloutSpec) -> Option<BTreeMap<String, String>> {
        match (&spec.server_ref, &spec.selector) {
            (Some(server), None) if !server.name.is_empty() => Some(selector_labels(&server.name)),
            (None, Some(labels)) if !labels.is_empty() => Some(labels.clone()),
            (Some(_), Some(_)) => {
                self.fault("selector", "labels beside serverRef", "one of both", "remove selector or serverRef");
                None
            }
            _ => {
                let expected = "serverRef with the name of a ModelServer, or selector with labels of pods";
                self.fault("serverRef", "neither serverRef nor selector", expected, "name the servers");
                None
            }
        }
    }

    fn layer(&mut self, spec: &ModelRolloutSpec) {
        if spec.layer == Layer::GrpcRoute {
            let fix = "devices are at work with that: restore it, or delete this rollout and make another";
            self.fault("layer", "GRPCRoute", "InProcess", fix);
        }
        if spec.layer == Layer::InProcess && spec.route.is_some() {
            self.fault("route", "a route with layer InProcess", "none", "remove route, or set layer to GRPCRoute");
        }
    }

    /// The attempt must not be below the one that was obeyed.
    fn attempt(&mut self, found: u32, obeyed: u32) {
        if found < obeyed {
            let least = format!("{obeyed} or more");
            self.fault("attempt", found.to_string(), &least, "it only rises: write the next number to try again");
        }
    }

    fn candidate(&mut self, spec: &ModelRolloutSpec) -> Option<u64> {
        if spec.model.is_empty() {
            self.fault("model", "an empty text", "the name of a model", "name a folder of the repository");
        }
        let version = u64::try_from(spec.candidate.version).ok().filter(|version| *version > 0);
        if version.is_none() {
            let found = spec.candidate.version.to_string();
            self.fault("candidate.version", found, "a number above 0", "give the number of the version to try");
        }
        version
    }

    fn plan(&mut self, spec: &PlanSpec) -> Option<Plan> {
        let plan = raw(spec).map_err(|message| {
            vec![Fault::new("plan", message, "a plan", "see kubectl explain modelrollout.spec.plan")]
        });
        let plan = plan.and_then(|raw| Plan::try_from(raw).map_err(|error| faults_of(&error)));
        match plan {
            Ok(plan) => Some(plan),
            Err(faults) => {
                let faults = faults.into_iter().map(|fault| fault.under("spec.plan"));
                self.faults.extend(faults.map(|fault| Fault { path: camel(&fault.path), ..fault }));
                None
            }
        }
    }

    fn no_queries(&mut self, plan: Option<&Plan>) {
        for metric in plan.iter().flat_map(|plan| &plan.gates.metrics) {
            let path = format!("plan.gates.metrics['{}']", metric.name);
            self.fault(&path, "a query", "none with layer InProcess", "devices judge by themselves: remove it");
        }
    }

    fn toml(&mut self, spec: &PlanSpec) -> Option<String> {
        // Faults of the plan are told by `plan`.
        let raw = raw(spec).ok()?;
        match toml::to_string(&raw) {
            Ok(text) => Some(text),
            Err(error) => {
                self.fault("plan", error.to_string(), "a plan that devices can be told", "please report this");
                None
            }
        }
    }

    fn fleet(&mut self, spec: &FleetSpec) -> Option<Limits> {
        let before = self.faults.len();
        let waves = match &spec.waves {
            None => vec![Amount::Count(1)],
            Some(waves) => waves
                .iter()
                .enumerate()
                .filter_map(|(i, wave)| self.amount(&format!("fleet.waves[{i}]"), Some(wave), Amount::Count(1), 1))
                .collect(),
        };
        if !rising(&waves) {
            let expected = "numbers of devices that rise from wave to wave";
            self.fault("fleet.waves", "waves that do not rise", expected, "write for example [1, \"10%\", \"50%\"]");
        }
        let max_unavailable =
            self.amount("fleet.maxUnavailable", spec.max_unavailable.as_ref(), Amount::Percent(25), 0);
        let max_failed = self.amount("fleet.maxFailed", spec.max_failed.as_ref(), Amount::Percent(10), 0);
        let soak = match &spec.soak {
            None => Some(Duration::ZERO),
            Some(text) => parse_duration(text),
        };
        if soak.is_none() {
            let found = spec.soak.clone().unwrap_or_default();
            self.fault("fleet.soak", found, "a duration", "write for example 30m or 2h");
        }
        let port = spec.port.map_or(Some(GRPC_PORT), |port| u16::try_from(port).ok().filter(|port| *port > 0));
        if port.is_none() {
            let found = spec.port.unwrap_or_default().to_string();
            self.fault("fleet.port", found, "1 to 65535", "give the port of the servers' gRPC API");
        }
        if self.faults.len() > before {
            return None;
        }
        let (max_unavailable, max_failed, soak, port) = (max_unavailable?, max_failed?, soak?, port?);
        Some(Limits { waves: Waves(waves), max_unavailable, max_failed, soak, port })
    }

    fn amount(&mut self, path: &str, given: Option<&IntOrString>, default: Amount, least: usize) -> Option<Amount> {
        let Some(given) = given else { return Some(default) };
        let amount = match given {
            IntOrString::Int(count) => usize::try_from(*count).ok().map(Amount::Count),
            IntOrString::String(text) => {
                let percent = text.trim().strip_suffix('%').and_then(|text| text.trim().parse().ok());
                percent.filter(|percent| *percent <= 100).map(Amount::Percent)
            }
        };
        let enough = |amount: &Amount| match amount {
            Amount::Count(count) => *count >= least,
            Amount::Percent(percent) => *percent as usize >= least,
        };
        let amount = amount.filter(enough);
        if amount.is_none() {
            let found = match given {
                IntOrString::Int(count) => count.to_string(),
                IntOrString::String(text) => format!("\"{text}\""),
            };
            let expected = format!("a number of devices from {least}, or a share up to \"100%\"");
            self.fault(path, found, &expected, "write for example 2 or \"10%\"");
        }
        amount
    }
}

/// The plan as `takt_rollout` reads it.
fn raw(spec: &PlanSpec) -> Result<RawPlan, String> {
    let value = serde_json::to_value(spec).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn faults_of(error: &DocumentError) -> Vec<Fault> {
    match error.faults() {
        [] => vec![Fault::new("plan", error.to_string(), "a plan", "see kubectl explain modelrollout.spec.plan")],
        faults => faults.to_vec(),
    }
}

/// Numbers and shares can be told apart only by the size of the fleet: each kind must rise by itself.
fn rising(waves: &[Amount]) -> bool {
    let counts: Vec<usize> =
        waves.iter().filter_map(|wave| if let Amount::Count(count) = wave { Some(*count) } else { None }).collect();
    let shares: Vec<u32> =
        waves.iter().filter_map(|wave| if let Amount::Percent(share) = wave { Some(*share) } else { None }).collect();
    counts.is_sorted_by(|a, b| a < b) && shares.is_sorted_by(|a, b| a < b)
}

/// Keys as they are written in Kubernetes resources.
fn camel(path: &str) -> String {
    let mut parts = path.split('_');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        text.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}

fn listed(faults: &[Fault]) -> String {
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    told.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(spec: serde_json::Value) -> ModelRollout {
        let text =
            json!({"apiVersion": "takt.dev/v1alpha1", "kind": "ModelRollout", "metadata": {"name": "r"}, "spec": spec});
        serde_json::from_value(text).unwrap()
    }

    fn faults(spec: serde_json::Value) -> Vec<String> {
        let faults = Rollout::try_from(&object(spec)).unwrap_err().0;
        faults.into_iter().map(|fault| fault.path).collect()
    }

    #[test]
    fn the_least_that_must_be_written_is_server_model_and_version() {
        let spec = json!({"serverRef": {"name": "line"}, "model": "surface", "candidate": {"version": 2}});
        let rollout = Rollout::try_from(&object(spec)).unwrap();
        assert_eq!(rollout.want.plan, Plan::default());
        assert_eq!((rollout.candidate, rollout.port), (2, 8001));
        assert_eq!(rollout.want.waves, Waves(vec![Amount::Count(1)]));
        assert_eq!(rollout.want.wish, Wish::Go);
    }

    #[test]
    fn the_plan_reaches_devices_as_it_was_meant() {
        let spec = json!({
            "selector": {"app": "x"}, "model": "surface", "candidate": {"version": 2},
            "plan": {
                "alpha": "0.01", "onInconclusive": "abort", "holdTimeout": "2h", "progressDeadline": "3d", "deadMan": 5, "maxAge": "1m",
                "routing": {"unit": "station", "stickyEpoch": "2m"},
                "shadow": {"share": 20, "units": 100, "budget": "1h", "maxDropped": "2 %"},
                "steps": [{"weight": "0.5 %", "minDwell": "5m", "maxDuration": "1h", "margin": "1.5", "pause": true}, {"weight": 10}],
                "gates": {"errors": {"dryRun": false, "ceiling": "0.5 %"}, "disagreement": {"classSwap": "none"}, "latency": {"enabled": false}},
                "bake": {"duration": "1h", "holdback": 5}, "placement": {"swap": false, "headroomMib": 128}
            }
        });
        let rollout = Rollout::try_from(&object(spec)).unwrap();
        let device = Plan::try_from(toml::from_str::<RawPlan>(&rollout.plan_toml).unwrap()).unwrap();
        assert_eq!(device, rollout.want.plan);
        assert_eq!(device.steps[0].weight.get(), 0.005);
        assert_eq!(device.steps[0].budget, Duration::from_secs(3600));
    }

    #[test]
    fn all_faults_are_told_at_once_by_the_keys_that_people_wrote() {
        let spec = json!({
            "model": "", "candidate": {"version": 0}, "layer": "GRPCRoute",
            "plan": {"maxAge": "soon", "steps": [{"weight": 20, "minDwell": "later"}, {"weight": 5}]},
            "fleet": {"waves": [3, 2], "maxFailed": "200%", "soak": "5", "port": 0}
        });
        let found = faults(spec);
        for path in [
            "spec.serverRef",
            "spec.model",
            "spec.candidate.version",
            "spec.layer",
            "spec.plan.maxAge",
            "spec.plan.steps[0].minDwell",
            "spec.plan.steps",
            "spec.fleet.waves",
            "spec.fleet.maxFailed",
            "spec.fleet.soak",
            "spec.fleet.port",
        ] {
            assert!(found.iter().any(|found| found == path), "{path} is not among {found:#?}");
        }
    }

    #[test]
    fn devices_at_work_stay_with_their_model_and_their_rollout() {
        let rollout = |selector: &str, model: &str| {
            let spec = json!({"selector": {"line": selector}, "model": model, "candidate": {"version": 2}});
            Rollout::try_from(&object(spec)).unwrap()
        };
        let bound = rollout("a", "surface").subject;
        assert!(rollout("a", "surface").after(Some(&bound), 0).is_ok());
        assert!(rollout("b", "weld").after(None, 0).is_ok());
        let faults = rollout("b", "weld").after(Some(&bound), 1).unwrap_err().to_string();
        for part in ["spec.model", "line=b", "line=a", "spec.attempt"] {
            assert!(faults.contains(part), "{part}: {faults}");
        }
    }

    #[test]
    fn queries_are_refused_where_devices_judge() {
        let spec = json!({
            "serverRef": {"name": "line"}, "model": "surface", "candidate": {"version": 2},
            "plan": {"gates": {"metrics": [{"name": "heat", "query": "x", "ceiling": "3"}]}}
        });
        assert_eq!(faults(spec), ["spec.plan.gates.metrics['heat']"]);
    }

    #[test]
    fn another_version_plan_or_attempt_is_another_goal_and_a_pause_is_not() {
        let goal = |patch: serde_json::Value| {
            let mut spec = json!({"serverRef": {"name": "line"}, "model": "surface", "candidate": {"version": 2}});
            spec.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
            Rollout::try_from(&object(spec)).unwrap().want.goal
        };
        let plain = goal(json!({}));
        assert_eq!(plain, goal(json!({"paused": true})));
        assert_eq!(plain, goal(json!({"plan": {"maxAge": "300s"}})), "what is meant counts, not how it is written");
        for other in [json!({"candidate": {"version": 3}}), json!({"plan": {"deadMan": 7}}), json!({"attempt": 1})] {
            assert_ne!(plain, goal(other));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_check_panic(text in ".{0,12}", number in any::<i32>()) {
            let spec = json!({
                "serverRef": {"name": text}, "model": text, "candidate": {"version": number},
                "plan": {"alpha": text, "maxAge": text, "steps": [{"weight": text, "margin": text}, {"weight": number}]},
                "fleet": {"waves": [number, text], "maxFailed": text, "soak": text, "port": number}
            });
            if let Err(faults) = Rollout::try_from(&object(spec)) {
                prop_assert!(!faults.0.is_empty());
            }
        }
    }
}
