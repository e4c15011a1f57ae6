//! What holds for all rollouts of a server; `[rollout]` in `takt.toml`.

use std::time::Duration;

use serde::Deserialize;

use super::windows::Windows;

/// As written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawRolloutSettings {
    /// Where the Prometheus is that plans' `gates.metrics` ask, such as `http://127.0.0.1:9090`.
    pub prometheus: Option<String>,
    /// How often it is asked; 15.
    pub query_every_secs: Option<u64>,
    /// When a candidate may be loaded and given weight; always where not given. See [`Windows::parse`].
    pub windows: Vec<String>,
    /// Minutes by which the windows' time is ahead of UTC.
    pub utc_offset_minutes: i64,
}

/// Checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutSettings {
    /// Whom queries are asked.
    pub prometheus: Option<PrometheusSettings>,
    /// When something may be tried.
    pub windows: Windows,
}

/// Whom queries are asked, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusSettings {
    /// Without a path.
    pub url: String,
    /// Between two rounds.
    pub every: Duration,
}

impl RolloutSettings {
    /// Checks what was written, and pushes faults that name the setting.
    pub(crate) fn check(raw: &RawRolloutSettings, faults: &mut Vec<String>) -> Self {
        let every = raw.query_every_secs.unwrap_or(15);
        if !(1..=3600).contains(&every) {
            faults.push(format!("rollout.query_every_secs is {every}, expected 1 to 3600"));
        }
        if let Some(url) = raw.prometheus.as_ref().filter(|url| !url.starts_with("http://")) {
            faults
                .push(format!("rollout.prometheus is '{url}', expected http://HOST:PORT (this server speaks no TLS)"));
        }
        let windows = Windows::parse(&raw.windows, raw.utc_offset_minutes);
        let windows = windows.unwrap_or_else(|found| {
            faults.extend(found);
            Windows::default()
        });
        let prometheus = |url: &String| PrometheusSettings { url: url.clone(), every: Duration::from_secs(every) };
        Self { prometheus: raw.prometheus.as_ref().map(prometheus), windows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_named_at_once() {
        let raw = RawRolloutSettings {
            prometheus: Some("https://far".into()),
            query_every_secs: Some(0),
            windows: vec!["never".into()],
            utc_offset_minutes: 0,
        };
        let mut faults = Vec::new();
        RolloutSettings::check(&raw, &mut faults);
        assert_eq!(faults.len(), 3, "{faults:?}");
        faults.clear();
        assert_eq!(RolloutSettings::check(&RawRolloutSettings::default(), &mut faults), RolloutSettings::default());
        assert!(faults.is_empty());
    }
}
