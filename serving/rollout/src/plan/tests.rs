use takt_artifact::fault::DocumentError;

use super::*;

fn parse(text: &str) -> Result<Plan, DocumentError> {
    Plan::try_from(toml::from_str::<RawPlan>(text).unwrap())
}

#[track_caller]
fn faults(text: &str) -> Vec<String> {
    parse(text).unwrap_err().faults().iter().map(|fault| fault.path.clone()).collect()
}

#[test]
fn nothing_written_is_the_plan_of_the_mission() {
    let plan = parse("").unwrap();
    assert_eq!(plan, Plan::default());
    let weights: Vec<f64> = plan.steps.iter().map(|step| step.weight.get()).collect();
    assert_eq!((plan.shadow.is_some(), weights), (true, vec![0.05, 0.2]));
    assert_eq!(
        parse("[[steps]]\nweight = 5\n[[steps]]\nweight = \"20%\"\n[[steps]]\nweight = 100").unwrap().steps,
        plan.steps
    );
}

#[test]
fn snake_case_and_camel_case_are_the_same_plan() {
    let snake = r#"
        alpha = 0.01
        on_inconclusive = "abort"
        hold_timeout = "2h"
        progress_deadline = "3d"
        routing = { unit = "station", sticky_epoch = "2m" }
        shadow = { share = 20, max_dropped = "2 %" }
        steps = [{ weight = 10, min_dwell = "5m", max_duration = "1h", margin = 1.5 }]
        gates = { errors = { dry_run = false, ceiling = "0.5 %" }, disagreement = { class_swap = "none" } }
    "#;
    let camel = r#"{
        "alpha": "0.01", "onInconclusive": "abort", "holdTimeout": "2h", "progressDeadline": "3d",
        "routing": { "unit": "station", "stickyEpoch": "2m" },
        "shadow": { "share": 20, "maxDropped": "2 %" },
        "steps": [{ "weight": 10, "minDwell": "5m", "maxDuration": "1h", "margin": "1.5" }],
        "gates": { "errors": { "dryRun": false, "ceiling": "0.5 %" }, "disagreement": { "classSwap": "none" } }
    }"#;
    let camel = Plan::try_from(serde_json::from_str::<RawPlan>(camel).unwrap()).unwrap();
    let snake = parse(snake).unwrap();
    assert_eq!(snake, camel);
    assert_eq!(snake.digest(), camel.digest());
    assert_eq!(snake.unit, Unit::Station { epoch: Duration::from_secs(120) });
    assert_eq!(snake.gates.disagreement.unwrap().class_swap, None);
}

#[test]
fn a_digest_is_of_what_is_meant() {
    let digest = |text| parse(text).unwrap().digest();
    assert_eq!(digest("max_age = \"5m\""), digest("max_age = \"300s\""));
    assert_ne!(digest("max_age = \"5m\""), digest("max_age = \"301s\""));
}

#[test]
fn all_faults_are_said_at_once_and_each_says_what_to_do() {
    let text = r#"
        alpha = 2
        max_age = "soon"
        on_inconclusive = "pray"
        dead_man = 0
        bake = { holdback = 50 }
        steps = [{ weight = 20, min_dwell = "2d", budget = "1d" }, { weight = 5 }, { margin = 0.5 }]
        [routing]
        unit = "camera"
        epoch = "5m"
        [gates.errors]
        margin = 1.0
        mode = "sometimes"
        [gates.drift]
        distance = "far"
        [[gates.metrics]]
        query = " "
    "#;
    let error = parse(text).unwrap_err();
    let paths = faults(text);
    for path in [
        "alpha",
        "max_age",
        "on_inconclusive",
        "dead_man",
        "bake.holdback",
        "steps[0].min_dwell",
        "steps[2].weight",
        "steps[2].margin",
        "steps",
        "routing.epoch",
        "routing.unit",
        "gates.errors",
        "gates.errors.mode",
        "gates.drift.distance",
        "gates.metrics[0].name",
        "gates.metrics[0].query",
        "gates.metrics[0].ceiling",
    ] {
        assert!(paths.iter().any(|found| found == path), "{path} is not among {paths:#?}");
    }
    assert!(error.faults().iter().all(|fault| !fault.fix.is_empty() && !fault.expected.is_empty()));
    assert!(error.to_string().contains("steps: found weights that do not rise"), "{error}");
}

#[test]
fn a_bare_fraction_is_not_guessed_at() {
    let error = parse("steps = [{ weight = 0.05 }]").unwrap_err().to_string();
    assert!(error.contains("steps[0].weight: found 0.05, expected percent") && error.contains("\"0.5 %\""), "{error}");
    assert_eq!(parse("steps = [{ weight = \"0.5%\" }]").unwrap().steps[0].weight.get(), 0.005);
}

#[test]
fn what_cannot_work_together_is_refused() {
    assert_eq!(faults("shadow = { enabled = false }"), ["gates.disagreement"]);
    assert_eq!(faults("gates = { errors = { mode = \"guard\" }, latency = { enabled = false } }"), ["gates"]);
    assert_eq!(faults("placement = { swap = true }\ngates = { errors = { ceiling = \"none\" } }"), ["placement.swap"]);
    assert_eq!(faults("steps = [{ weight = 100 }]"), ["steps"]);
    assert_eq!(faults("routing = { unit = \"station\", epoch = \"10m\" }"), ["routing.epoch"]);
    assert_eq!(faults("gates = { errors = { mode = \"guard\", dry_run = true } }"), ["gates.errors.dry_run"]);
}

#[test]
fn a_misspelt_key_is_refused_by_name() {
    let error = toml::from_str::<RawPlan>("stepps = []").unwrap_err().to_string();
    assert!(error.contains("stepps"), "{error}");
}

#[test]
fn alpha_is_shared_by_the_gates_that_may_reject() {
    let plan = parse("gates = { drift = { dry_run = true }, labels = { enabled = false } }").unwrap();
    assert_eq!(plan.rejecting(), 3);
    assert!((plan.alpha_per_gate().get() - 0.05 / 3.0).abs() < 1e-15);
}

/// The factory of the issue: 21,000 images a day, 3 % of parts defective, 0.2 % of requests fail.
const FACTORY: Rates = Rates { units_per_hour: 875.0, runs_per_hour: None, error_rate: 0.002, defect_share: 0.03 };

#[test]
fn the_default_plan_can_finish_in_a_factory_and_says_how_long_it_takes() {
    let plan = Plan::default();
    let estimate = feasibility(&plan, &FACTORY);
    assert_eq!(estimate.problem(&plan), None, "{estimate:#?}");
    let hours = estimate.hours.unwrap();
    assert!((24.0..8.0 * 24.0).contains(&hours), "{hours}");
    let fast = feasibility(&plan, &Rates { units_per_hour: 8_750.0, ..FACTORY }).hours.unwrap();
    assert!((0.09..0.12).contains(&(fast / hours)), "ten times the traffic takes a tenth: {fast}");
}

#[test]
fn a_plan_that_cannot_finish_says_which_step_and_gate_and_what_to_change() {
    let slow = Rates { units_per_hour: 20.0, ..FACTORY };
    let problem = feasibility(&Plan::default(), &slow).problem(&Plan::default()).unwrap();
    assert!(
        problem.contains("Shadowing") && problem.contains("disagreement") && problem.contains("budget"),
        "{problem}"
    );

    let strict = parse("gates = { errors = { negligible = \"none\", ceiling = \"none\" } }").unwrap();
    let never = Rates { error_rate: 0.0, ..FACTORY };
    let problem = feasibility(&strict, &never).problem(&strict).unwrap();
    assert!(problem.contains("errors") && problem.contains("never") && problem.contains("negligible"), "{problem}");

    let hurried = parse("progress_deadline = \"10h\"").unwrap();
    let problem = feasibility(&hurried, &FACTORY).problem(&hurried).unwrap();
    assert!(problem.contains("progress_deadline is 10h"), "{problem}");

    for rates in [Rates { units_per_hour: 0.0, ..FACTORY }, Rates { units_per_hour: f64::NAN, ..FACTORY }] {
        assert!(feasibility(&Plan::default(), &rates).problem(&Plan::default()).is_some());
    }
}
