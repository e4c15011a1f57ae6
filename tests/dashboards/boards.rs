//! What is on each dashboard.

use crate::grafana::{Board, Panel};

pub fn boards() -> Vec<Board> {
    vec![fleet(), model(), drift(), quality()]
}

fn fleet() -> Board {
    Board {
        uid: "takt-fleet",
        title: "Takt: fleet",
        variables: vec![("instance", "label_values(takt_build_info, instance)")],
        panels: vec![
            Panel::number("Servers", "short", "count(takt_build_info)"),
            Panel::number("Versions that do not answer", "short", "count(takt_model_ready == 0) or vector(0)"),
            Panel::number("Features that drift", "short", "count(takt_drift_psi_verdict == 1) or vector(0)"),
            Panel::number("Requests", "reqps", "sum(rate(nv_inference_request_success[5m]))"),
            Panel::lines(
                "Requests by server",
                "reqps",
                &[(
                    "sum by (instance) (rate(nv_inference_request_success{instance=~\"$instance\"}[5m]))",
                    "{{instance}}",
                )],
            ),
            Panel::lines(
                "Share of failed requests by server",
                "percentunit",
                &[(
                    "sum by (instance) (rate(nv_inference_request_failure{instance=~\"$instance\"}[5m])) / (sum by (instance) (rate(nv_inference_request_success{instance=~\"$instance\"}[5m])) + sum by (instance) (rate(nv_inference_request_failure{instance=~\"$instance\"}[5m])))",
                    "{{instance}}",
                )],
            ),
            Panel::lines(
                "Memory",
                "bytes",
                &[("takt_process_resident_bytes{instance=~\"$instance\"}", "{{instance}}")],
            ),
            Panel::lines(
                "Processor cores used",
                "short",
                &[("rate(takt_process_cpu_seconds_total{instance=~\"$instance\"}[5m])", "{{instance}}")],
            ),
            Panel::lines(
                "Temperature",
                "celsius",
                &[("takt_device_temperature_celsius{instance=~\"$instance\"}", "{{instance}} {{zone}}")],
            ),
            Panel::lines(
                "Power",
                "watt",
                &[("takt_device_power_watts{instance=~\"$instance\"}", "{{instance}} {{rail}}")],
            ),
            Panel::lines(
                "Skew of stations",
                "short",
                &[
                    ("takt_station_skew{instance=~\"$instance\"}", "{{instance}}"),
                    ("max(takt_station_skew_limit)", "limit"),
                ],
            )
            .help("Input of the busiest station over that of the idlest."),
            Panel::lines(
                "Bytes kept in the state directory",
                "bytes",
                &[("sum by (instance, store) (takt_store_bytes{instance=~\"$instance\"})", "{{instance}} {{store}}")],
            ),
            Panel::table("What runs", "takt_model_info{instance=~\"$instance\"}"),
        ],
    }
}

fn model() -> Board {
    Board {
        uid: "takt-model",
        title: "Takt: model",
        variables: vec![("model", "label_values(nv_inference_request_success, model)")],
        panels: vec![
            Panel::lines(
                "Requests answered",
                "reqps",
                &[(
                    "sum by (model, version) (rate(nv_inference_request_success{model=~\"$model\"}[5m]))",
                    "{{model}} {{version}}",
                )],
            ),
            Panel::lines(
                "Requests failed, by reason",
                "reqps",
                &[(
                    "sum by (model, reason) (rate(nv_inference_request_failure{model=~\"$model\"}[5m])) > 0",
                    "{{model}} {{reason}}",
                )],
            ),
            Panel::lines(
                "Time in the server",
                "s",
                &[
                    (
                        "histogram_quantile(0.5, sum by (model, le) (rate(takt_stage_seconds_bucket{model=~\"$model\", stage=\"request\"}[5m])))",
                        "{{model}} p50",
                    ),
                    (
                        "histogram_quantile(0.99, sum by (model, le) (rate(takt_stage_seconds_bucket{model=~\"$model\", stage=\"request\"}[5m])))",
                        "{{model}} p99",
                    ),
                ],
            ),
            Panel::lines(
                "Mean time by stage",
                "s",
                &[(
                    "sum by (stage) (rate(takt_stage_seconds_sum{model=~\"$model\", stage!=\"request\"}[5m])) / sum by (stage) (rate(takt_stage_seconds_count{model=~\"$model\", stage!=\"request\"}[5m]))",
                    "{{stage}}",
                )],
            ),
            Panel::lines(
                "Requests waiting",
                "short",
                &[("nv_inference_pending_request_count{model=~\"$model\"}", "{{model}} {{version}}")],
            ),
            Panel::lines(
                "Rows per batch",
                "short",
                &[(
                    "sum by (model) (rate(takt_batch_rows_sum{model=~\"$model\"}[5m])) / sum by (model) (rate(takt_batch_rows_count{model=~\"$model\"}[5m]))",
                    "{{model}}",
                )],
            ),
            Panel::lines(
                "Verdicts",
                "reqps",
                &[(
                    "sum by (model, verdict) (rate(takt_verdicts_total{model=~\"$model\"}[5m]))",
                    "{{model}} {{verdict}}",
                )],
            ),
            Panel::lines(
                "Sessions rebuilt, images that could not be decoded",
                "short",
                &[
                    ("increase(takt_session_rebuilds_total{model=~\"$model\"}[1h])", "{{model}} rebuilt"),
                    ("increase(takt_undecodable_images_total{model=~\"$model\"}[1h])", "{{model}} undecodable"),
                ],
            ),
        ],
    }
}

fn drift() -> Board {
    Board {
        uid: "takt-drift",
        title: "Takt: drift",
        variables: vec![
            ("model", "label_values(takt_drift_reference_info, model)"),
            ("segment", "label_values(takt_drift_psi{model=~\"$model\"}, segment)"),
        ],
        panels: vec![
            Panel::lines(
                "PSI",
                "short",
                &[
                    ("takt_drift_psi{model=~\"$model\", segment=~\"$segment\"}", "{{model}} {{segment}} {{feature}}"),
                    ("max(takt_drift_psi_limit{model=~\"$model\"})", "limit"),
                ],
            )
            .help("Population stability index of the window against the reference."),
            Panel::lines(
                "KS distance, certain to be at least",
                "short",
                &[
                    ("takt_drift_ks_lo{model=~\"$model\", segment=~\"$segment\"}", "{{model}} {{segment}} {{feature}}"),
                    ("max(takt_drift_ks_limit{model=~\"$model\"})", "limit"),
                ],
            ),
            Panel::lines(
                "Verdict of PSI",
                "short",
                &[(
                    "takt_drift_psi_verdict{model=~\"$model\", segment=~\"$segment\"}",
                    "{{model}} {{segment}} {{feature}}",
                )],
            )
            .help("1 drift, 0 undetermined, -1 ok; sampling error is in it."),
            Panel::lines(
                "Verdict of KS",
                "short",
                &[(
                    "takt_drift_ks_verdict{model=~\"$model\", segment=~\"$segment\"}",
                    "{{model}} {{segment}} {{feature}}",
                )],
            ),
            Panel::lines(
                "Independent values in the window",
                "short",
                &[(
                    "takt_drift_effective_observations{model=~\"$model\", segment=~\"$segment\"}",
                    "{{model}} {{segment}} {{feature}}",
                )],
            ),
            Panel::lines(
                "Missing values",
                "percentunit",
                &[(
                    "takt_drift_missing_ratio{model=~\"$model\", segment=~\"$segment\"} > 0",
                    "{{model}} {{segment}} {{feature}}",
                )],
            ),
            Panel::table("References", "takt_drift_reference_info{model=~\"$model\"}"),
        ],
    }
}

fn quality() -> Board {
    Board {
        uid: "takt-quality",
        title: "Takt: quality by station",
        variables: vec![
            ("model", "label_values(takt_inspected_units, model)"),
            ("station", "label_values(takt_station_inputs_total, station)"),
        ],
        panels: vec![
            Panel::lines(
                "False rejects",
                "percentunit",
                &[
                    ("takt_false_reject_ratio{model=~\"$model\"}", "{{model}} {{station}}"),
                    ("takt_false_reject_limit", "limit"),
                ],
            )
            .help("Good parts that were flagged, of all inspected; station * is all of them."),
            Panel::lines(
                "False rejects, bounds over all stations",
                "percentunit",
                &[
                    ("takt_false_reject_lower_bound{model=~\"$model\", station=\"*\"}", "{{model}} at least"),
                    ("takt_false_reject_upper_bound{model=~\"$model\", station=\"*\"}", "{{model}} at most"),
                ],
            ),
            Panel::lines(
                "Escapes",
                "percentunit",
                &[("takt_escape_ratio{model=~\"$model\"}", "{{model}} {{station}}")],
            )
            .help("Known only where a share of passed parts is inspected."),
            Panel::lines(
                "Accuracy",
                "percentunit",
                &[("takt_accuracy_ratio{model=~\"$model\"}", "{{model}} {{station}}")],
            ),
            Panel::lines(
                "Input by station",
                "reqps",
                &[("sum by (station) (rate(takt_station_inputs_total{station=~\"$station\"}[10m]))", "{{station}}")],
            ),
            Panel::lines(
                "Undecodable images by station",
                "reqps",
                &[(
                    "sum by (station) (rate(takt_station_undecodable_total{station=~\"$station\"}[10m]))",
                    "{{station}}",
                )],
            ),
            Panel::lines("Funnel", "short", &[("takt_funnel_units", "{{stage}}")]),
            Panel::lines(
                "Change of the funnel's stages",
                "percentunit",
                &[("takt_funnel_change_ratio", "{{stage}} against the last {{against}}")],
            ),
            Panel::table("Causes of changes, the most surprising first", "takt_funnel_cause_surprise"),
            Panel::lines("Labels taken", "short", &[("increase(takt_labels_total[1h])", "{{result}}")]),
        ],
    }
}
