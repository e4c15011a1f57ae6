//! What Prometheus answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use takt_artifact::time::UnixMillis;

use crate::QueryError;

/// One series of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels, `__name__` among them where the query keeps it.
    pub labels: BTreeMap<String, String>,
    /// The moment for which the query was evaluated; the sample may be older.
    pub at: UnixMillis,
    /// Its value, finite.
    pub value: f64,
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
    #[serde(default)]
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

/// The one number of an answer.
pub(crate) fn number(text: &str) -> Result<f64, QueryError> {
    match data(text)? {
        Data::Scalar((_, value)) => finite(&value),
        Data::Vector(samples) => match samples.as_slice() {
            [sample] => finite(&sample.value.1),
            samples => Err(unexpected(format!("it gave {} series, expected one; sum or filter it", samples.len()))),
        },
        Data::Matrix(_) | Data::String(_) => Err(unexpected("it gave a range or text, expected one number")),
    }
}

/// The series of an answer.
pub(crate) fn series(text: &str) -> Result<Vec<Series>, QueryError> {
    let Data::Vector(samples) = data(text)? else {
        return Err(unexpected("it gave a number, a range or text, expected series"));
    };
    let read = |Sample { metric, value: (at, value) }: Sample| {
        Ok(Series { labels: metric, at: moment(at), value: finite(&value)? })
    };
    samples.into_iter().map(read).collect()
}

fn data(text: &str) -> Result<Data, QueryError> {
    let answer: Answer =
        serde_json::from_str(text).map_err(|error| unexpected(format!("it is no answer of Prometheus: {error}")))?;
    if answer.status != "success" {
        return Err(QueryError::Refused(answer.error));
    }
    answer.data.ok_or_else(|| unexpected("it gave no data"))
}

fn finite(text: &str) -> Result<f64, QueryError> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(unexpected(format!("its value is '{text}', expected a finite number"))),
    }
}

/// The moment so many seconds after the start of 1970, with a fraction: how Prometheus writes one, and what its `timestamp()` gives.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut off at the ends of the range")]
pub fn moment(seconds: f64) -> UnixMillis {
    UnixMillis((seconds * 1e3).round().max(0.0) as u64)
}

fn unexpected(what: impl Into<String>) -> QueryError {
    QueryError::Unexpected(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_an_answer_and_everything_else_says_what_it_is() {
        let told = |text: &str| number(text).map_err(|error| error.to_string());
        let answer = |data: &str| told(&format!(r#"{{"status":"success","data":{data}}}"#));
        assert_eq!(answer(r#"{"resultType":"scalar","result":[1.5,"0.25"]}"#), Ok(0.25));
        let one = r#"{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.5,"3"]}]}"#;
        assert_eq!(answer(one), Ok(3.0));
        assert!(answer(r#"{"resultType":"vector","result":[]}"#).unwrap_err().contains("0 series"));
        assert!(answer(r#"{"resultType":"scalar","result":[1.5,"NaN"]}"#).unwrap_err().contains("'NaN'"));
        assert!(answer(r#"{"resultType":"matrix","result":[]}"#).unwrap_err().contains("a range"));
        assert!(told(r#"{"status":"error","error":"parse error"}"#).unwrap_err().contains("parse error"));
        assert!(told(r#"{"status":"success"}"#).unwrap_err().contains("no data"));
        assert!(told("<html>").unwrap_err().contains("no answer of Prometheus"));
    }

    #[test]
    fn series_come_with_their_labels_and_the_moment() {
        let answer = |data: &str| series(&format!(r#"{{"status":"success","data":{data}}}"#));
        let two = r#"{"resultType":"vector","result":[{"metric":{"pod":"a"},"value":[1700000000.05,"3"]},
            {"metric":{"pod":"b"},"value":[1700000000.05,"4.5"]}]}"#;
        let found = answer(two).unwrap();
        assert_eq!(found.iter().map(|series| series.labels["pod"].as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((found[1].at, found[1].value), (UnixMillis(1_700_000_000_050), 4.5));
        assert!(answer(r#"{"resultType":"scalar","result":[1,"1"]}"#).is_err());
        assert!(answer(r#"{"resultType":"vector","result":[{"metric":{},"value":[1,"+Inf"]}]}"#).is_err());
    }
}
