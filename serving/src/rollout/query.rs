//! Queries of a Prometheus as gates: a thread that asks, and the newest answers.
//!
//! Prometheus' HTTP API: `GET /api/v1/query`, a scalar or a vector of one sample. What cannot be had is missing, which holds a
//! rollout; it is never a pass and never a failure.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;
use takt_rollout::evidence::Event;
use takt_rollout::plan::Metric;

use super::settings::PrometheusSettings;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer older than so many rounds is missing.
const ROUNDS: u32 = 3;

/// The queries of one rollout. Dropping it ends the thread.
pub(super) struct Queries {
    answers: Receiver<(String, Result<f64, String>)>,
    every: Duration,
    /// When each was last answered; `None` before the first time.
    last: BTreeMap<String, Option<Instant>>,
    begun: Instant,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Queries {
    /// Starts to ask; `None` where there is nothing to ask, or no thread.
    pub(super) fn start(metrics: &[Metric], settings: &PrometheusSettings) -> Option<Self> {
        if metrics.is_empty() {
            return None;
        }
        let last = metrics.iter().map(|metric| (metric.name.clone(), None)).collect();
        let (sender, answers) = channel();
        let (stop, stopped) = channel();
        let (metrics, settings, every) = (metrics.to_vec(), settings.clone(), settings.every);
        let ask = move || {
            let agent = agent();
            loop {
                for metric in &metrics {
                    let answer = ask(&agent, &settings.url, &metric.query);
                    if sender.send((metric.name.clone(), answer)).is_err() {
                        return;
                    }
                }
                if !matches!(stopped.recv_timeout(every), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("takt-queries".into()).spawn(ask);
        let thread = thread.inspect_err(|error| tracing::error!(%error, "queries of Prometheus are off")).ok()?;
        Some(Self { answers, every, last, begun: Instant::now(), stop: Some(stop), thread: Some(thread) })
    }

    /// What was answered since the last time.
    pub(super) fn read(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        for (metric, answer) in self.answers.try_iter() {
            match answer {
                Ok(value) => {
                    self.last.insert(metric.clone(), Some(now));
                    events.push(Event::Sample { metric, value });
                }
                Err(reason) => tracing::warn!(metric, reason, "a query of the rollout gave nothing"),
            }
        }
        events
    }

    /// Queries that have given nothing for some rounds.
    pub(super) fn missing(&self, now: Instant) -> Vec<String> {
        let patience = self.every * ROUNDS + TIMEOUT;
        let late = |last: &Option<Instant>| now.saturating_duration_since(last.unwrap_or(self.begun)) > patience;
        self.last.iter().filter(|(_, last)| late(last)).map(|(name, _)| name.clone()).collect()
    }
}

impl Drop for Queries {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It may wait for an answer; it ends after that.
        drop(self.thread.take());
    }
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar((f64, String)),
    Vector(Vec<Sample>),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Sample {
    value: (f64, String),
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("takt/", env!("CARGO_PKG_VERSION")));
    config.build().into()
}

fn ask(agent: &ureq::Agent, url: &str, query: &str) -> Result<f64, String> {
    let asked = agent.get(format!("{}/api/v1/query", url.trim_end_matches('/'))).query("query", query).call();
    let mut response = asked.map_err(|error| error.to_string())?;
    let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    value(&text)
}

/// The one number of an answer.
fn value(text: &str) -> Result<f64, String> {
    let answer: Answer =
        serde_json::from_str(text).map_err(|error| format!("it is no answer of Prometheus: {error}"))?;
    let number = |text: &str| match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("its value is '{text}', expected a finite number")),
    };
    match answer.data {
        _ if answer.status != "success" => Err(format!("Prometheus says: {}", answer.error)),
        Some(Data::Scalar((_, value))) => number(&value),
        Some(Data::Vector(samples)) => match samples.as_slice() {
            [sample] => number(&sample.value.1),
            samples => Err(format!("it gave {} series, expected one; sum or filter it", samples.len())),
        },
        Some(Data::Matrix(_) | Data::String(_)) => Err("it gave a range or text, expected one number".to_owned()),
        None => Err("it gave no data".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use takt_rollout::plan::Mode;

    use super::*;

    #[test]
    fn one_number_is_an_answer_and_everything_else_says_what_it_is() {
        let answer = |data: &str| value(&format!(r#"{{"status":"success","data":{data}}}"#));
        assert_eq!(answer(r#"{"resultType":"scalar","result":[1.5,"0.25"]}"#), Ok(0.25));
        let one = r#"{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"3"]}]}"#;
        assert_eq!(answer(one), Ok(3.0));
        assert!(answer(r#"{"resultType":"vector","result":[]}"#).unwrap_err().contains("0 series"));
        assert!(answer(r#"{"resultType":"scalar","result":[1.5,"NaN"]}"#).unwrap_err().contains("'NaN'"));
        assert!(answer(r#"{"resultType":"matrix","result":[]}"#).unwrap_err().contains("a range"));
        assert!(value(r#"{"status":"error","error":"parse error"}"#).unwrap_err().contains("parse error"));
        assert!(value("<html>").unwrap_err().contains("no answer of Prometheus"));
    }

    #[test]
    fn answers_come_as_samples_and_silence_is_missing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /api/v1/query?query=up HTTP/1.1"));
            let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#;
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        });
        let metric =
            Metric { name: "up".into(), mode: Mode::Guard, query: "up".into(), ceiling: 1.0, failures: 1, samples: 1 };
        let settings = PrometheusSettings { url, every: Duration::from_secs(60) };
        let mut queries = Queries::start(&[metric], &settings).unwrap();
        let begun = Instant::now();
        let events = loop {
            let events = queries.read(Instant::now());
            if !events.is_empty() || begun.elapsed() > Duration::from_secs(30) {
                break events;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(events, [Event::Sample { metric: "up".into(), value: 7.0 }]);
        assert_eq!(queries.missing(Instant::now()), [""; 0]);
        assert_eq!(queries.missing(Instant::now() + Duration::from_secs(600)), ["up"]);
    }
}
