//! Asks a Prometheus, by its HTTP API: `GET /api/v1/query` (prometheus.io, "HTTP API", instant queries).
//!
//! An answer that is not exactly what was asked for is an error that says what came: what cannot be had is missing, and never
//! a zero.

mod answer;

use std::time::Duration;

use takt_artifact::time::UnixMillis;

pub use answer::{Series, moment};

/// Longest wait for an answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It could not be asked.
    #[error("Prometheus at {url} does not answer: {error}")]
    Unreachable {
        /// Where it was sought.
        url: String,
        /// What went wrong.
        error: String,
    },
    /// It says no, as to a query that it does not understand.
    #[error("Prometheus says: {0}")]
    Refused(String),
    /// Something else answers there, or another kind of result came than was asked for.
    #[error("{0}")]
    Unexpected(String),
}

/// A Prometheus. Cheap to clone; calls block for at most [`TIMEOUT`].
#[derive(Debug, Clone)]
pub struct Prometheus {
    agent: ureq::Agent,
    url: String,
}

impl Prometheus {
    /// The Prometheus whose API begins at `url`, such as `http://prometheus:9090`. Nothing is asked yet.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .user_agent(concat!("takt/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().into(), url: url.trim_end_matches('/').to_owned() }
    }

    /// The one finite number that a query gives.
    ///
    /// # Errors
    /// It cannot be asked, refuses, or gives anything else than one number.
    pub fn number(&self, query: &str) -> Result<f64, QueryError> {
        answer::number(&self.ask(query, None)?)
    }

    /// The series that a query gives, as they are at a moment, or else now, and that moment by the clock of Prometheus.
    ///
    /// # Errors
    /// It cannot be asked, refuses, or gives anything else than an instant vector of finite numbers.
    pub fn series(&self, query: &str, at: Option<UnixMillis>) -> Result<Vec<Series>, QueryError> {
        answer::series(&self.ask(query, at)?)
    }

    fn ask(&self, query: &str, at: Option<UnixMillis>) -> Result<String, QueryError> {
        let unreachable =
            |error: ureq::Error| QueryError::Unreachable { url: self.url.clone(), error: error.to_string() };
        let mut request = self.agent.get(format!("{}/api/v1/query", self.url)).query("query", query);
        if let Some(at) = at {
            request = request.query("time", format!("{}.{:03}", at.0 / 1000, at.0 % 1000));
        }
        let mut response = request.call().map_err(unreachable)?;
        response.body_mut().read_to_string().map_err(unreachable)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with `data`; gives where, and what was asked.
    fn once(data: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 2048];
            let length = stream.read(&mut request).unwrap();
            let body = format!(r#"{{"status":"success","data":{data}}}"#);
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
        });
        (url, asked)
    }

    #[test]
    fn a_query_is_asked_as_the_api_says() {
        let (url, asked) = once(r#"{"resultType":"scalar","result":[1,"7"]}"#);
        assert_eq!(Prometheus::new(&url).number("up > 1"), Ok(7.0));
        assert!(asked.join().unwrap().starts_with("GET /api/v1/query?query=up%20%3E%201 HTTP/1.1"));
        let (url, asked) = once(r#"{"resultType":"vector","result":[]}"#);
        assert_eq!(Prometheus::new(&url).series("up", Some(UnixMillis(1_700_000_000_050))), Ok(vec![]));
        assert!(asked.join().unwrap().starts_with("GET /api/v1/query?query=up&time=1700000000.050 HTTP/1.1"));
    }

    #[test]
    fn silence_names_where_it_was_sought() {
        let error = Prometheus::new("http://127.0.0.1:1/").number("up").unwrap_err();
        assert!(error.to_string().starts_with("Prometheus at http://127.0.0.1:1 does not answer: "), "{error}");
    }
}
