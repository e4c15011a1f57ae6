//! Queries of a Prometheus as gates: a thread that asks, and the newest answers.
//!
//! What cannot be had is missing, which holds a rollout; it is never a pass and never a failure.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use takt_prometheus::{Prometheus, QueryError, TIMEOUT};
use takt_rollout::evidence::Event;
use takt_rollout::plan::Metric;

use super::settings::PrometheusSettings;

/// An answer older than so many rounds is missing.
const ROUNDS: u32 = 3;

/// The queries of one rollout. Dropping it ends the thread.
pub(super) struct Queries {
    answers: Receiver<(String, Result<f64, QueryError>)>,
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
        let (metrics, prometheus, every) = (metrics.to_vec(), Prometheus::new(&settings.url), settings.every);
        let ask = move || {
            loop {
                for metric in &metrics {
                    let answer = prometheus.number(&metric.query);
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
                Err(error) => tracing::warn!(metric, %error, "a query of the rollout gave nothing"),
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use takt_rollout::plan::Mode;

    use super::*;

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
