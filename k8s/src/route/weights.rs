//! The two weights in a GRPCRoute (Gateway API, `GRPCRoute` v1), and nothing else of it.
//!
//! Weights are relative, from 0 to 1,000,000, and 1 where none is written. A rule belongs to the rollout if both Services are among
//! its backends; other rules, backends and filters are their owners'.

use serde_json::{Value, json};
use takt_artifact::share::TrafficShare;

use crate::spec::RouteNames;

/// The largest weight.
const MOST: u64 = 1_000_000;
/// What two weights add up to, where nobody else's weight says otherwise.
const TOTALS: [u64; 3] = [100, 10_000, MOST];

/// Where the two Services are in a route, and with what weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    pairs: Vec<Pair>,
}

/// Both Services in one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    rule: usize,
    stable: Backend,
    canary: Backend,
    /// Whether the rule has other backends, whose part of the traffic must stay what it is.
    shared: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Backend {
    index: usize,
    name: String,
    /// `None` where it is not written.
    weight: Option<u64>,
}

impl Backend {
    fn weight(&self) -> u64 {
        self.weight.unwrap_or(1)
    }
}

impl Split {
    /// Finds the two Services in a route.
    ///
    /// # Errors
    /// No rule has both; says what was found.
    pub fn read(route: &Value, names: &RouteNames) -> Result<Self, String> {
        let rules = route.pointer("/spec/rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let pairs: Vec<Pair> = rules.iter().enumerate().filter_map(|(rule, of)| Pair::read(rule, of, names)).collect();
        if pairs.is_empty() {
            return Err(format!(
                "none of the {} rules of GRPCRoute '{}' has both '{}' and '{}' among its backends; write both into a rule, the \
                 candidate's with weight 0",
                rules.len(),
                names.route,
                names.stable,
                names.canary
            ));
        }
        Ok(Self { pairs })
    }

    /// The candidate's share; `None` where rules differ, or have no weight at all.
    #[must_use]
    pub fn share(&self) -> Option<TrafficShare> {
        let mut shares = self.pairs.iter().map(Pair::share);
        let first = shares.next()??;
        shares.all(|share| share == Some(first)).then_some(first)
    }

    /// What makes the candidate's share this one, as a JSON patch (RFC 6902) that fails if anybody has moved or changed a weight
    /// meanwhile. Empty where it is so already.
    ///
    /// # Errors
    /// The weights beside other backends are too small for this share.
    pub fn patch(&self, share: TrafficShare) -> Result<Vec<Value>, String> {
        let mut patch = Vec::new();
        for pair in self.pairs.iter().filter(|pair| pair.share() != Some(share)) {
            let (stable, canary) = pair.weights(share)?;
            patch.extend(pair.set(&pair.stable, stable));
            patch.extend(pair.set(&pair.canary, canary));
        }
        Ok(patch)
    }
}

impl Pair {
    fn read(rule: usize, of: &Value, names: &RouteNames) -> Option<Self> {
        let backends = of.get("backendRefs")?.as_array()?;
        let find = |name: &str| {
            let (index, backend) = backends.iter().enumerate().find(|(_, backend)| is_service(backend, name, names))?;
            Some(Backend { index, name: name.to_owned(), weight: backend.get("weight").and_then(Value::as_u64) })
        };
        Some(Self { rule, stable: find(&names.stable)?, canary: find(&names.canary)?, shared: backends.len() > 2 })
    }

    fn share(&self) -> Option<TrafficShare> {
        let (stable, canary) = (self.stable.weight(), self.canary.weight());
        let total = stable.saturating_add(canary);
        (total > 0).then(|| TrafficShare::new(canary as f64 / total as f64).ok())?
    }

    /// Both weights for a share. Who reads the route finds the numbers that were there, as far as they can say it.
    fn weights(&self, share: TrafficShare) -> Result<(u64, u64), String> {
        let own = self.stable.weight().saturating_add(self.canary.weight());
        let more = if self.shared { &[][..] } else { &TOTALS[..] };
        let exact = |total: &u64| {
            let canary = total * u64::from(share.millionths());
            (*total > 0 && canary.is_multiple_of(MOST)).then(|| (total - canary / MOST, canary / MOST))
        };
        let split = [own].iter().chain(more).filter(|total| **total <= 2 * MOST).find_map(exact);
        split.ok_or_else(|| {
            format!(
                "rule {} has other backends, and the two weights add up to {own} there, which can't be split at {share}; \
                 write weights that are 100 times as large into that rule",
                self.rule
            )
        })
    }

    fn set(&self, backend: &Backend, weight: u64) -> Vec<Value> {
        let at = format!("/spec/rules/{}/backendRefs/{}", self.rule, backend.index);
        let mut patch = vec![json!({"op": "test", "path": format!("{at}/name"), "value": backend.name})];
        if let Some(before) = backend.weight {
            patch.push(json!({"op": "test", "path": format!("{at}/weight"), "value": before}));
        }
        // On a member of an object, add also replaces.
        patch.push(json!({"op": "add", "path": format!("{at}/weight"), "value": weight}));
        patch
    }
}

fn is_service(backend: &Value, name: &str, names: &RouteNames) -> bool {
    let text = |key: &str| backend.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("name") == Some(name)
        && text("kind").is_none_or(|kind| kind == "Service")
        && text("group").is_none_or(|group| group == "core")
        && text("namespace").is_none_or(|namespace| namespace == names.namespace)
}

/// Whether every gateway that the route names has taken it in as it is now.
///
/// # Errors
/// One has not; says which and why.
pub fn accepted(route: &Value) -> Result<(), String> {
    let generation = route.pointer("/metadata/generation").and_then(Value::as_i64);
    let parents = route.pointer("/status/parents").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if parents.is_empty() {
        return Err("no gateway has taken the route in yet".to_owned());
    }
    for parent in parents {
        let name = parent.pointer("/parentRef/name").and_then(Value::as_str).unwrap_or("a gateway");
        let conditions = parent.get("conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for kind in ["Accepted", "ResolvedRefs"] {
            let condition = conditions.iter().find(|condition| condition["type"] == kind);
            let Some(condition) = condition else { return Err(format!("{name} does not say {kind} yet")) };
            if condition["status"] != "True" {
                let message = condition["message"].as_str().unwrap_or_default();
                return Err(format!("{name} says {kind} is not true: {message}"));
            }
            let seen = condition["observedGeneration"].as_i64();
            if seen.zip(generation).is_some_and(|(seen, is)| seen < is) {
                return Err(format!("{name} has not taken the newest weights in yet"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> RouteNames {
        RouteNames { namespace: "n".into(), route: "r".into(), stable: "old".into(), canary: "new".into() }
    }

    fn route(backends: Value) -> Value {
        json!({"spec": {"rules": [
            {"backendRefs": [{"name": "other", "weight": 3}], "filters": [{"type": "RequestMirror"}]},
            {"backendRefs": backends}
        ]}})
    }

    /// RFC 6902, as far as it is used here.
    fn apply(mut on: Value, patch: &[Value]) -> Option<Value> {
        for op in patch {
            let path = op["path"].as_str().unwrap();
            if op["op"] == "test" {
                (on.pointer(path)? == &op["value"]).then_some(())?;
            } else {
                let (parent, key) = path.rsplit_once('/').unwrap();
                on.pointer_mut(parent)?.as_object_mut()?.insert(key.to_owned(), op["value"].clone());
            }
        }
        Some(on)
    }

    fn share(share: f64) -> TrafficShare {
        TrafficShare::new(share).unwrap()
    }

    #[test]
    fn weights_are_changed_and_nothing_else_is() {
        let before = route(json!([{"name": "old", "port": 8001}, {"name": "new", "port": 8001, "weight": 0}]));
        let split = Split::read(&before, &names()).unwrap();
        assert_eq!(split.share(), Some(TrafficShare::NONE));
        let patch = split.patch(share(0.05)).unwrap();
        let after = apply(before.clone(), &patch).unwrap();
        let expected =
            route(json!([{"name": "old", "port": 8001, "weight": 95}, {"name": "new", "port": 8001, "weight": 5}]));
        assert_eq!(after, expected);
        assert!(Split::read(&after, &names()).unwrap().patch(share(0.05)).unwrap().is_empty(), "it is so already");
        let moved = route(json!([{"name": "new", "weight": 0}, {"name": "old"}]));
        assert_eq!(apply(moved, &patch), None, "somebody has turned them round");
        let changed = route(json!([{"name": "old", "weight": 1}, {"name": "new", "weight": 7}]));
        assert_eq!(apply(changed, &patch), None, "somebody has changed a weight");
    }

    #[test]
    fn beside_other_backends_the_pair_keeps_its_part() {
        let backends = |stable: u64, canary: u64| json!([{"name": "old", "weight": stable}, {"name": "else", "weight": 50}, {"name": "new", "weight": canary}]);
        let split = Split::read(&route(backends(200, 0)), &names()).unwrap();
        let patched = apply(route(backends(200, 0)), &split.patch(share(0.2)).unwrap()).unwrap();
        assert_eq!(patched, route(backends(160, 40)));
        let small = Split::read(&route(backends(1, 0)), &names()).unwrap();
        assert!(small.patch(share(0.05)).unwrap_err().contains("add up to 1 there"));
        assert_eq!(small.patch(TrafficShare::NONE), Ok(vec![]));
    }

    #[test]
    fn a_route_without_both_services_says_so() {
        let foreign = route(json!([{"name": "old"}, {"name": "new", "namespace": "elsewhere"}]));
        let error = Split::read(&foreign, &names()).unwrap_err();
        assert!(error.contains("none of the 2 rules of GRPCRoute 'r'"), "{error}");
        assert!(Split::read(&json!({}), &names()).is_err());
    }

    #[test]
    fn a_route_counts_when_every_gateway_took_its_newest_weights_in() {
        let status = |conditions: Value| {
            json!({"metadata": {"generation": 4},
                "status": {"parents": [{"parentRef": {"name": "edge"}, "conditions": conditions}]}})
        };
        let condition = |kind: &str, status: &str, generation: i64| json!({"type": kind, "status": status, "observedGeneration": generation, "message": "no port"});
        let ok = status(json!([condition("Accepted", "True", 4), condition("ResolvedRefs", "True", 4)]));
        assert_eq!(accepted(&ok), Ok(()));
        let refused = status(json!([condition("Accepted", "True", 4), condition("ResolvedRefs", "False", 4)]));
        assert_eq!(accepted(&refused), Err("edge says ResolvedRefs is not true: no port".to_owned()));
        let old = status(json!([condition("Accepted", "True", 3), condition("ResolvedRefs", "True", 4)]));
        assert!(accepted(&old).unwrap_err().contains("newest weights"));
        assert!(accepted(&json!({})).unwrap_err().contains("no gateway"));
    }

    proptest! {
        #[test]
        fn every_share_can_be_written_and_is_read_again(
            stable in 0_u64..=1_000_000, canary in 0_u64..=1_000_000, millionths in 0_u32..=1_000_000
        ) {
            let before = route(json!([{"name": "old", "weight": stable}, {"name": "new", "weight": canary}]));
            let wanted = TrafficShare::of_millionths(millionths);
            let patch = Split::read(&before, &names()).unwrap().patch(wanted).unwrap();
            let after = apply(before, &patch).unwrap();
            let split = Split::read(&after, &names()).unwrap();
            prop_assert_eq!(split.share(), Some(wanted));
            let most = split.pairs[0].stable.weight().max(split.pairs[0].canary.weight());
            prop_assert!(most <= MOST);
        }
    }
}
