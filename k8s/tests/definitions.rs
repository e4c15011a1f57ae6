//! The definitions in `deploy/crd/` are those that the program makes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use takt_operator::crd::{definitions, files};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/crd")
}

#[test]
fn committed_definitions_are_those_that_the_program_makes() {
    let bless = std::env::var_os("TAKT_BLESS").is_some();
    for (name, text) in files().unwrap() {
        let path = folder().join(&name);
        if bless {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{name} is not what `takt operator crds --out k8s/deploy/crd` makes: run that, or this test with TAKT_BLESS=1"
        );
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        let made = definitions().into_iter().map(|definition| serde_json::to_value(definition).unwrap());
        assert!(made.into_iter().any(|made| made == read), "{name}: the text says what the definition says");
    }
}

/// The rules that Prometheus reads, as resources of the Prometheus operator.
#[test]
fn committed_prometheus_rules_are_made_of_the_rules_that_are_tested() {
    let folder = folder().with_file_name("prometheus");
    for (rules, rule, name) in [
        ("takt.rules.yml", "prometheus-rule.yaml", "takt"),
        ("operator.rules.yml", "operator-rule.yaml", "takt-operator"),
    ] {
        let read: Value = serde_saphyr::from_str(&std::fs::read_to_string(folder.join(rules)).unwrap()).unwrap();
        let resource = json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": name},
            "spec": {"groups": read["groups"]}
        });
        let path = folder.join(rule);
        if std::env::var_os("TAKT_BLESS").is_some() {
            let text = serde_saphyr::to_string(&resource).unwrap();
            std::fs::write(&path, format!("# Made of {rules} by a test, with TAKT_BLESS=1.\n{}\n", text.trim_end()))
                .unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let committed: Option<Value> = serde_saphyr::from_str(&text).ok();
        assert!(
            committed.as_ref() == Some(&resource),
            "{rule} is not made of {rules}: run this test with TAKT_BLESS=1"
        );
    }
}

#[test]
fn alerts_about_the_operator_name_metrics_that_it_has_and_do_what_their_cases_say() {
    let folder = folder().with_file_name("prometheus");
    let metrics = takt_operator::run::metrics::Metrics::new().unwrap();
    let declared = metrics.names();
    let rules = std::fs::read_to_string(folder.join("operator.rules.yml")).unwrap();
    let named = rules.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let unknown: BTreeSet<&str> =
        named.filter(|name| name.starts_with("takt_operator_") && !declared.contains(*name)).collect();
    assert!(unknown.is_empty(), "the operator has no {unknown:?}; it has {declared:?}");
    let mut cases = std::process::Command::new("promtool");
    match cases.args(["test", "rules", "operator.rules_test.yml"]).current_dir(folder).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            eprintln!("SKIPPED the cases of the operator's alerts: promtool is not on the path; tests/run fetches it");
        }
    }
}

#[test]
fn every_field_of_a_spec_explains_itself() {
    for definition in definitions() {
        let definition = serde_json::to_value(definition).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut mute = Vec::new();
        for part in ["spec", "status"] {
            explained(&schema["properties"][part], part, &mut mute);
        }
        assert!(mute.is_empty(), "no description: {mute:#?}");
    }
}

fn explained(schema: &Value, path: &str, mute: &mut Vec<String>) {
    if schema["description"].as_str().is_none_or(str::is_empty) {
        mute.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        explained(property, &format!("{path}.{name}"), mute);
    }
    if let Some(items) = schema.get("items") {
        for (name, property) in items["properties"].as_object().into_iter().flatten() {
            explained(property, &format!("{path}[].{name}"), mute);
        }
    }
}

/// The schema of Kubernetes and the plan's own reader know the same keys.
#[test]
fn the_schema_of_a_plan_has_every_key_that_a_plan_can_have() {
    let definition = definitions().into_iter().find(|definition| definition.spec.names.kind == "ModelRollout").unwrap();
    let definition = serde_json::to_value(definition).unwrap();
    let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let plan = &spec["properties"]["plan"]["properties"];
    let known: BTreeSet<String> = plan.as_object().unwrap().keys().map(|key| snake(key)).collect();
    let raw = serde_json::to_value(takt_rollout::RawPlan::default()).unwrap();
    let wanted: BTreeSet<String> = raw.as_object().unwrap().keys().cloned().collect();
    assert_eq!(known, wanted);
}

fn snake(key: &str) -> String {
    key.chars()
        .flat_map(|letter| if letter.is_uppercase() { vec!['_', letter.to_ascii_lowercase()] } else { vec![letter] })
        .collect()
}
