//! What a Prometheus is asked about a rollout between two Services.

use takt_artifact::time::UnixMillis;
use takt_prometheus::Prometheus;

use crate::route::Answers;
use crate::route::counts::{ANSWERED, FAILED, Row, rows};
use crate::spec::RouteRollout;

/// Asks everything that a rollout wants to know. Each answer stands for itself: one that fails is no reason to lose another.
pub async fn ask(prometheus: Option<Prometheus>, want: &RouteRollout) -> Answers {
    let Some(prometheus) = prometheus else {
        let why = "this operator knows no Prometheus; start it with --prometheus-url";
        let samples = want.plan.gates.metrics.iter().map(|metric| (metric.name.clone(), Err(why.to_owned())));
        return Answers { requests: Err(why.to_owned()), samples: samples.collect() };
    };
    let (model, candidate, matchers) = (want.subject.model.clone(), want.subject.candidate, want.matchers.clone());
    let metrics = want.plan.gates.metrics.clone();
    let work = move || {
        let requests = requests(&prometheus, &model, &matchers, candidate);
        let sample = |query: &str| prometheus.number(query).map_err(|error| error.to_string());
        let samples = metrics.into_iter().map(|metric| (metric.name, sample(&metric.query)));
        Answers { requests, samples: samples.collect() }
    };
    let lost =
        || Answers { requests: Err("the queries were lost; please report this".to_owned()), samples: Vec::new() };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| lost())
}

/// The counters of all pods, and when each was scraped, both for the same moment.
fn requests(
    prometheus: &Prometheus,
    model: &str,
    matchers: &str,
    candidate: u64,
) -> Result<(Vec<Row>, UnixMillis), String> {
    let model = model.replace('\\', "\\\\").replace('"', "\\\"");
    let only = if matchers.trim().is_empty() { String::new() } else { format!(",{matchers}") };
    let counters = format!("{{__name__=~\"{ANSWERED}|{FAILED}\",model=\"{model}\"{only}}}");
    let counters = prometheus.series(&counters, None).map_err(|error| error.to_string())?;
    let Some(at) = counters.first().map(|series| series.at) else { return Ok((Vec::new(), UnixMillis(0))) };
    let scraped = format!("timestamp({ANSWERED}{{model=\"{model}\"{only}}})");
    let scraped = prometheus.series(&scraped, Some(at)).map_err(|error| error.to_string())?;
    Ok((rows(&counters, &scraped, candidate), at))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn counters_and_their_scrapes_are_asked_for_the_same_moment() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let prometheus = Prometheus::new(&format!("http://{}", listener.local_addr().unwrap()));
        let asked = std::thread::spawn(move || {
            let of = |name: &str, value: &str| {
                format!(r#"{{"metric":{{{name}"pod":"p","version":"2"}},"value":[1700000000.5,"{value}"]}}"#)
            };
            let answered = of(r#""__name__":"nv_inference_request_success","#, "40");
            let failed = of(r#""__name__":"takt_failed_runs_total","#, "2");
            let results = [format!("{answered},{failed}"), of("", "1699999990.25")];
            results.map(|results| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 2048];
                let length = stream.read(&mut request).unwrap();
                let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{results}]}}}}"#);
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                    .unwrap();
                String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
            })
        });
        let (rows, at) = requests(&prometheus, "a\"b", "job=\"takt\"", 2).unwrap();
        assert_eq!(at, UnixMillis(1_700_000_000_500));
        let expected = Row {
            key: "pod=p,version=2".to_owned(),
            canary: true,
            scraped: UnixMillis(1_699_999_990_250),
            answered: 40,
            failed: 2,
        };
        assert_eq!(rows, [expected]);
        let [first, second] = asked.join().unwrap();
        assert!(first.contains("model%3D%22a%5C%22b%22%2Cjob%3D%22takt%22"), "{first}");
        assert!(
            second.contains("query=timestamp(nv_inference_request_success") && second.contains("&time=1700000000.500"),
            "{second}"
        );
    }
}
