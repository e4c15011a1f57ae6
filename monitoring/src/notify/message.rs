//! What Alertmanager sends to a webhook, version 4 (Prometheus documentation, "Alerting configuration", `webhook_config`).

use std::collections::BTreeMap;

use serde::Serialize;
use takt_artifact::calendar::rfc3339;

use crate::alert::{Firing, Turned};
use crate::events::UnixMillis;

/// What an alert that fires has for its end, as Go writes no time at all.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Who sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the board: the label `instance`.
    pub instance: String,
    /// Receiver, as the message names it.
    pub receiver: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: u32,
    status: &'static str,
    receiver: &'a str,
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'static str,
    alerts: Vec<Alert<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'static str,
    fingerprint: String,
}

/// The alerts that turned at the end of one pane as the body of one request.
#[must_use]
pub fn message(turned: &[Turned], at: UnixMillis, origin: &Origin) -> Vec<u8> {
    let alerts: Vec<Alert<'_>> = turned.iter().map(|turned| alert(turned, at, origin)).collect();
    let firing = alerts.iter().any(|alert| alert.status == "firing");
    let mut common = alerts.first().map(|alert| alert.labels.clone()).unwrap_or_default();
    common.retain(|name, value| alerts.iter().all(|alert| alert.labels.get(name) == Some(value)));
    let message = Message {
        version: "4",
        group_key: format!("{{}}:{{instance={:?}}}", origin.instance),
        truncated_alerts: 0,
        status: if firing { "firing" } else { "resolved" },
        receiver: &origin.receiver,
        group_labels: BTreeMap::from([("instance", origin.instance.as_str())]),
        common_labels: common,
        common_annotations: BTreeMap::new(),
        external_url: "",
        alerts,
    };
    // Texts and maps of texts are always JSON.
    serde_json::to_vec(&message).unwrap_or_default()
}

fn alert<'a>(turned: &'a Turned, at: UnixMillis, origin: &'a Origin) -> Alert<'a> {
    let Firing { alert, labels, since, reason } = &turned.alert;
    let resolved = turned.change == "cleared";
    let mut labels: BTreeMap<&str, &str> = labels.iter().map(|(name, value)| (name.as_ref(), value.as_str())).collect();
    labels.extend([
        ("alertname", alert.as_ref()),
        ("instance", origin.instance.as_str()),
        ("severity", severity(alert)),
    ]);
    Alert {
        status: if resolved { "resolved" } else { "firing" },
        fingerprint: format!("{:016x}", fingerprint(&labels)),
        labels,
        annotations: BTreeMap::from([("summary", alert.as_ref()), ("description", reason.as_str())]),
        starts_at: rfc3339(since.0 / 1000),
        ends_at: if resolved { rfc3339(at.0 / 1000) } else { NEVER.to_owned() },
        generator_url: "",
    }
}

/// As the shipped rules for Prometheus have it.
fn severity(alert: &str) -> &'static str {
    if alert == "TaktErrorBudgetBurn" { "critical" } else { "warning" }
}

/// Names an alert by its labels, as Prometheus does: FNV-1a of 64 bits over names and values in order, a byte 255 after
/// each.
fn fingerprint(labels: &BTreeMap<&str, &str>) -> u64 {
    let bytes = labels.iter().flat_map(|(name, value)| name.bytes().chain([255]).chain(value.bytes()).chain([255]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn turned(change: &'static str, station: &str) -> Turned {
        let labels = BTreeMap::from([("model".into(), "surface".to_owned()), ("station".into(), station.to_owned())]);
        let (since, reason) = (UnixMillis(1_772_354_400_000), "7.5 times".to_owned());
        Turned { change, alert: Firing { alert: "TaktThroughputSkew".into(), labels, since, reason } }
    }

    #[test]
    fn a_message_is_alertmanagers() {
        let origin = Origin { instance: "press-4".to_owned(), receiver: "takt".to_owned() };
        let body = message(&[turned("fired", "a"), turned("cleared", "b")], UnixMillis(1_772_354_460_000), &origin);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&body["version"], &body["status"], &body["receiver"]),
            (&"4".into(), &"firing".into(), &"takt".into())
        );
        assert_eq!(body["commonLabels"]["alertname"], "TaktThroughputSkew");
        assert_eq!(body["commonLabels"].get("station"), None);
        let [fired, cleared] = &body["alerts"].as_array().unwrap()[..] else { panic!("{body}") };
        assert_eq!((&fired["status"], &fired["endsAt"]), (&json!("firing"), &json!("0001-01-01T00:00:00Z")));
        assert_eq!(fired["startsAt"], "2026-03-01T08:40:00Z");
        assert_eq!((&cleared["status"], &cleared["endsAt"]), (&json!("resolved"), &json!("2026-03-01T08:41:00Z")));
        let labels = json!({
            "alertname": "TaktThroughputSkew", "instance": "press-4", "model": "surface", "severity": "warning",
            "station": "a",
        });
        assert_eq!(fired["labels"], labels);
        assert_ne!(fired["fingerprint"], cleared["fingerprint"]);
    }

    #[test]
    fn a_fingerprint_is_that_of_prometheus() {
        // `model.LabelSet{}.Fingerprint()` is FNV's offset basis.
        assert_eq!(fingerprint(&BTreeMap::new()), 14_695_981_039_346_656_037);
        // FNV-1a of the four bytes "a", 255, "b", 255.
        let by_hand = [b'a', 255, b'b', 255].iter().fold(14_695_981_039_346_656_037_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211)
        });
        assert_eq!(fingerprint(&BTreeMap::from([("a", "b")])), by_hand);
    }
}
