//! Which crate may know which. The folders are the architecture; these are its walls.

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata::{Metadata, root};

/// What each of our crates may depend on among ours, tests included. `takt` is the program and may have all of them.
///
/// `takt-artifact` is the vocabulary (element types, signatures, digests, preprocess, decision) and may be known by all.
const MAY_KNOW: [(&str, &[&str]); 14] = [
    ("takt-artifact", &[]),
    ("takt-ops", &[]),
    ("takt-proto", &[]),
    ("takt-stats", &[]),
    ("takt-backend", &["takt-artifact"]),
    // For its tests, which run what it makes.
    ("takt-graph", &["takt-artifact", "takt-backend", "takt-ops"]),
    ("takt-image", &["takt-artifact"]),
    ("takt-monitoring", &["takt-artifact", "takt-stats"]),
    // Its devices judge: it knows their wire format and the decisions that both make.
    ("takt-operator", &["takt-artifact", "takt-prometheus", "takt-proto", "takt-rollout"]),
    (
        "takt-pipeline",
        &["takt-artifact", "takt-backend", "takt-graph", "takt-image", "takt-monitoring", "takt-ops", "takt-tables"],
    ),
    ("takt-prometheus", &["takt-artifact"]),
    ("takt-rollout", &["takt-artifact", "takt-stats"]),
    (
        "takt-serving",
        &[
            "takt-artifact",
            "takt-backend",
            "takt-image",
            "takt-monitoring",
            "takt-prometheus",
            "takt-proto",
            "takt-rollout",
        ],
    ),
    ("takt-tables", &["takt-artifact", "takt-stats"]),
];

/// Dependencies that are the business of few crates. A name ending in `*` stands for all that begin so.
const ISOLATED: [(&str, &[&str]); 26] = [
    // The wire format ends at the server and at the client.
    ("tonic*", &["takt", "takt-operator", "takt-proto", "takt-serving"]),
    ("prost*", &["takt", "takt-graph", "takt-pipeline", "takt-proto", "takt-serving"]),
    ("protox", &["takt-graph", "takt-proto"]),
    ("axum", &["takt-operator", "takt-serving"]),
    ("tokio*", &["takt", "takt-operator", "takt-serving"]),
    ("prometheus", &["takt-operator", "takt-serving"]),
    // What calls out by itself: the webhook, and queries of a Prometheus.
    ("ureq", &["takt-prometheus", "takt-serving"]),
    ("opentelemetry*", &["takt", "takt-serving"]),
    // Runtimes are seen through the `Backend` trait only.
    ("ort", &["takt-backend"]),
    ("libloading", &["takt-backend"]),
    ("tract*", &["takt-backend"]),
    // Bytes of strangers are decoded in one place.
    ("zune*", &["takt-image"]),
    ("png", &["takt-image"]),
    ("fast_image_resize", &["takt-image"]),
    // The terminal belongs to the program.
    ("clap*", &["takt"]),
    ("indicatif", &["takt"]),
    ("anyhow", &["takt"]),
    ("tracing-subscriber", &["takt"]),
    // Tensors with gradients stay where models are made.
    ("candle*", &["takt-graph", "takt-ops", "takt-pipeline"]),
    // Kubernetes is the operator's, and never in an edge image.
    // The program has it for its end-to-end tests.
    ("kube*", &["takt", "takt-operator"]),
    ("k8s-openapi", &["takt", "takt-operator"]),
    ("schemars", &["takt-operator"]),
    // Frames of tables end where rows of plain columns begin.
    ("polars*", &["takt-tables"]),
    // Not there yet. When they come, they come to one crate each, and never to an edge image.
    ("wasmtime*", &[]),
    ("opencv*", &[]),
    ("rayon", &["takt-ops"]),
];

#[test]
fn no_crate_knows_another_that_it_may_not_know() {
    let metadata = Metadata::read();
    let names: BTreeSet<&str> = metadata.members().map(|member| member.name.as_str()).collect();
    let allowed: BTreeMap<&str, &[&str]> = MAY_KNOW.into_iter().collect();
    for member in metadata.members().filter(|member| member.name != "takt") {
        let may_know = allowed.get(member.name.as_str());
        let may_know = may_know.unwrap_or_else(|| panic!("{} is new: say in MAY_KNOW what it may know", member.name));
        for dependency in member.dependencies.iter().filter(|dependency| names.contains(dependency.name.as_str())) {
            assert!(
                may_know.contains(&dependency.name.as_str()),
                "{} depends on {}, which it may not know (see ARCHITECTURE.md); it may know {may_know:?}",
                member.name,
                dependency.name
            );
        }
    }
    let gone: Vec<_> = allowed.keys().filter(|name| !names.contains(**name)).collect();
    assert!(gone.is_empty(), "MAY_KNOW names crates that are not there: {gone:?}");
}

#[test]
fn dependencies_stay_in_the_crates_that_isolate_them() {
    let metadata = Metadata::read();
    for member in metadata.members() {
        for dependency in &member.dependencies {
            for (pattern, homes) in ISOLATED.iter().filter(|(pattern, _)| matches(pattern, &dependency.name)) {
                assert!(
                    homes.contains(&member.name.as_str()),
                    "{} depends on {}; {pattern} belongs to {homes:?}",
                    member.name,
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn every_crate_is_a_room_of_the_code_map() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    for member in Metadata::read().members() {
        let room = match member.folder().as_str() {
            "" => "`src/`".to_owned(),
            folder => format!("`{folder}/`"),
        };
        let named = map.lines().any(|line| line.contains(&room) && line.contains(&format!("`{}`", member.name)));
        assert!(named, "ARCHITECTURE.md has no line with {room} and `{}` in its code map", member.name);
    }
}

#[test]
fn nothing_from_outside_is_taken_in_whatever_version() {
    for member in Metadata::read().members() {
        for dependency in member.dependencies.iter().filter(|dependency| dependency.source.is_some()) {
            assert_ne!(dependency.req, "*", "{} takes any version of {}", member.name, dependency.name);
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}
