//! What `model.toml` gives, and what it says when it is wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::batch::config::Joining;
use crate::batch::config::{BatchConfig, TimeoutAction};
use crate::repository::config::Limits;

fn parse(text: &str) -> Result<ModelConfig, ConfigFaults> {
    super::parse("surface", Path::new("model.toml"), text)
}

fn faults(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_plan_in_the_documentation_is_the_built_in_one() {
    let page = include_str!("../../../../docs/rollout.md");
    let plan = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let config = parse(plan).unwrap();
    assert_eq!(config.rollout, Some(takt_rollout::Plan::default()));
    assert_eq!(config.on_new_version, OnNewVersion::Rollout);
}

#[test]
fn faults_of_a_plan_are_named_with_their_place() {
    let error = parse("[rollout]\nalpha = 3\n[rollout.bake]\nholdback = 50\n").unwrap_err().to_string();
    assert!(error.contains("rollout.alpha") && error.contains("rollout.bake.holdback"), "{error}");
}

#[test]
fn the_documented_example_says_what_is_the_default() {
    let mut config = parse(include_str!("example.toml")).unwrap();
    config.positions.clear();
    assert_eq!(config, ModelConfig::new("surface", Source::Toml("model.toml".into())));
}

#[test]
fn the_documented_tables_are_understood() {
    let config = parse(include_str!("tables.toml")).unwrap();
    let names: Vec<&str> = config.providers.iter().map(takt_backend::Provider::name).collect();
    assert_eq!(names, ["tensorrt", "cuda"]);
    assert_eq!(config.inputs[0].dims, [3, 256, 256]);
    assert!(config.bare.preprocess.is_some() && config.bare.decision.is_some());
}

#[test]
fn providers_may_be_a_list_of_names() {
    let config = parse("providers = ['tensorrt', 'cpu']").unwrap();
    let names: Vec<&str> = config.providers.iter().map(takt_backend::Provider::name).collect();
    assert_eq!(names, ["tensorrt", "cpu"]);
}

#[test]
fn faults_of_providers_name_the_option() {
    insta::assert_snapshot!(faults("providers = ['cuda', 'rocket', 3]\n"));
    insta::assert_snapshot!(faults(
        "[[providers]]\nname = 'tensorrt'\nfp61 = true\noptimization_level = 9\n\n[[providers]]\ndevice = 1\n"
    ));
}

proptest::proptest! {
    #[test]
    fn any_text_gives_a_configuration_or_faults_within_it(text in "([a-z_]{1,12}|[0-9]{1,4}|[\\[\\]{}=.,\"'\\-#é\\n ]){0,60}") {
        if let Err(faults) = parse(&text) {
            let lines = text.lines().count() + 1;
            for fault in faults.list() {
                proptest::prop_assert!(fault.at.is_none_or(|at| (1..=lines).contains(&at.line)), "{fault}");
            }
        }
    }

    #[test]
    fn any_damage_to_the_example_gives_a_configuration_or_faults(at in 0..1000_usize, with in "\\PC{0,3}") {
        let mut text = concat!(include_str!("example.toml"), include_str!("tables.toml")).to_owned();
        let at = (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.replace_range(at..at + text[at..].chars().next().map_or(0, char::len_utf8), &with);
        let _ = parse(&text);
    }
}

#[test]
fn an_empty_file_is_a_whole_configuration() {
    assert_eq!(parse("").unwrap(), ModelConfig::new("surface", Source::Toml("model.toml".into())));
}

#[test]
fn every_setting_arrives() {
    let config = parse(
        r#"
        max_batch_size = 16
        instances = 2
        intra_op_threads = 3
        strict = true
        variant = "cpu-int8"
        version_policy = [3, 1]
        on_new_version = "ignore"
        warmup = false
        labels = ["good", "scratch"]
        [batching]
        preferred_sizes = [8, 4]
        allowed_sizes = [1, 4, 8, 16]
        max_delay_ms = 0.5
        max_queue = 256
        timeout_ms = 200
        allow_timeout_override = false
        timeout_action = "delay"
        priority_levels = 3
        default_priority = 2
        [limits]
        run_timeout_ms = 5000
        max_pixels = 1_000
        max_encoded_bytes = 2_000
        max_image_side = 3_000
        [[inputs]]
        name = "x"
        datatype = "FP32"
        dims = [3, -1, -1]
        "#,
    )
    .unwrap();
    assert_eq!(config.max_batch, MaxBatch::Fixed(16));
    assert_eq!((config.instances.get(), config.intra_op_threads.map(NonZeroUsize::get)), (2, Some(3)));
    assert!(config.strict);
    assert_eq!(config.variant.as_deref(), Some("cpu-int8"));
    assert_eq!(config.version_policy, VersionPolicy::Specific(BTreeSet::from([1, 3])));
    assert_eq!((config.on_new_version, config.warmup), (OnNewVersion::Ignore, Warmup::Off));
    assert_eq!(config.labels_of("anything"), ["good", "scratch"]);
    let batch = BatchConfig {
        joining: Joining::Dynamic,
        max_batch_size: 16,
        preferred_sizes: vec![4, 8],
        allowed_sizes: vec![1, 4, 8, 16],
        max_delay: Duration::from_micros(500),
        max_queue: 256,
        default_timeout: Some(Duration::from_millis(200)),
        allow_timeout_override: false,
        timeout_action: TimeoutAction::Delay,
        priority_levels: 3,
        default_priority: 2,
    };
    assert_eq!(config.batch, batch);
    let limits = Limits {
        run_timeout: Duration::from_secs(5),
        images: takt_image::Limits { max_pixels: 1_000, max_encoded_bytes: 2_000, max_side: 3_000 },
    };
    assert_eq!(config.limits, limits);
    assert_eq!(config.inputs[0].dims, [3, -1, -1]);
}

#[test]
fn preprocess_and_decision_are_those_of_a_manifest() {
    let config = parse(
        r#"
        [preprocess]
        input = "x"
        width = 64
        height = 64
        resize = { mode = "letterbox", fill = 114 }
        [decision]
        output = "y"
        good_classes = ["good"]
        "#,
    )
    .unwrap();
    assert_eq!(config.bare.preprocess.map(|preprocess| preprocess.elements()), Some(3 * 64 * 64));
    assert_eq!(config.bare.decision.map(|decision| decision.good_classes), Some(vec!["good".to_owned()]));
}

#[test]
fn every_fault_of_a_file_is_reported_at_once() {
    let text = r#"
max_batchsize = 16
instances = 0
strict = "yes"
version_policy = "newest"
on_new_version = "perhaps"
name = "other"

[batching]
preferred_sizes = [4, "8"]
max_delay_ms = "2ms"
timeout_action = "drop"
priority_levels = 2
default_priority = 3
max_queue = -1

[limits]
run_timeout_ms = 0

[[inputs]]
datatype = "FLOAT"
"#;
    insta::assert_snapshot!(faults(text));
}

#[test]
fn sizes_that_do_not_fit_together_are_refused_where_they_stand() {
    let text = "max_batch_size = 8\n[batching]\npreferred_sizes = [4, 16]\nallowed_sizes = [1, 4]\n";
    insta::assert_snapshot!(faults(text));
}

#[test]
fn broken_syntax_is_reported_with_its_lines() {
    insta::assert_snapshot!(faults("max_batch_size = \ninstances = 2\n[batching\nmax_queue = 1\n"));
}

#[test]
fn faults_of_preprocess_name_the_line() {
    insta::assert_snapshot!(faults("[preprocess]\ninput = \"x\"\nwidth = 64\nheight = 64\ncolour = \"rgb\"\n"));
}

#[test]
fn version_policies_have_four_forms() {
    let policy = |text: &str| parse(&format!("version_policy = {text}")).unwrap().version_policy;
    assert_eq!(policy("\"latest\""), VersionPolicy::default());
    assert_eq!(policy("{ latest = 2 }"), VersionPolicy::Latest(NonZeroUsize::new(2).unwrap()));
    assert_eq!(policy("\"all\""), VersionPolicy::All);
    assert_eq!(policy("[7]"), VersionPolicy::Specific([7].into()));
}
