//! How much may stay: a share of what there is, or an amount with its unit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::budget::Measure;

/// How much of a [`Measure`] may stay. Written as a number or text: `0.2`, `"0.2x"`, `"5ms"`, `"6MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Keep {
    /// Of any measure.
    Share(f64),
    /// Of [`Measure::Latency`].
    Milliseconds(f64),
    /// Of [`Measure::Parameters`], each a byte, as in INT8.
    Bytes(f64),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

/// A unit, and what a number of it is.
type Unit = (&'static str, fn(f64) -> Keep);

const UNITS: [Unit; 8] = [
    ("x", Keep::Share),
    ("ms", Keep::Milliseconds),
    ("us", |number| Keep::Milliseconds(number / 1e3)),
    ("MiB", |number| Keep::Bytes(number * 1_048_576.0)),
    ("KiB", |number| Keep::Bytes(number * 1024.0)),
    ("MB", |number| Keep::Bytes(number * 1e6)),
    ("kB", |number| Keep::Bytes(number * 1e3)),
    ("", Keep::Share),
];

impl Keep {
    /// Itself, if it is an amount of that measure.
    ///
    /// # Errors
    /// What was found and what is expected.
    pub fn of(self, measure: Measure) -> Result<Self, String> {
        let expected = match (measure, self) {
            (_, Self::Share(share)) if !(share > 0.0 && share <= 1.0) => "a share above 0 and at most 1, such as 0.2x",
            (_, Self::Milliseconds(amount) | Self::Bytes(amount)) if !(amount > 0.0 && amount.is_finite()) => {
                "more than nothing"
            }
            (_, Self::Share(_)) | (Measure::Latency, Self::Milliseconds(_)) | (Measure::Parameters, Self::Bytes(_)) => {
                return Ok(self);
            }
            (Measure::Latency, _) => "a share such as 0.2x or a time such as 5ms",
            (Measure::Parameters, _) => "a share such as 0.2x or a size such as 6MB",
            (Measure::Macs, _) => "a share such as 0.2x",
        };
        Err(format!("found {self} of the {}, expected {expected}", measure.label()))
    }

    /// The share that may stay of a model with so much of the measure (microseconds, weights, multiply-accumulates).
    ///
    /// # Errors
    /// It is no amount of that measure, or the model has no more than that.
    pub fn share(self, measure: Measure, whole: f64) -> Result<f64, String> {
        let amount = match self.of(measure)? {
            Self::Share(share) => return Ok(share),
            Self::Milliseconds(milliseconds) => milliseconds * 1e3,
            Self::Bytes(bytes) => bytes,
        };
        if amount < whole {
            return Ok(amount / whole);
        }
        let has = match self {
            Self::Bytes(_) => Self::Bytes(whole),
            _ => Self::Milliseconds(whole / 1e3),
        };
        Err(format!("the model has {has}, at most {self} was asked for: there is nothing to prune"))
    }
}

impl From<f64> for Keep {
    fn from(share: f64) -> Self {
        Self::Share(share)
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read =
            |&(unit, keep): &Unit| text.strip_suffix(unit).and_then(|number| number.trim_end().parse().ok()).map(keep);
        let expected = "a share such as 0.2x, a time such as 5ms, or a size such as 6MB (also us, kB, KiB, MiB)";
        UNITS.iter().find_map(read).ok_or_else(|| format!("found '{text}', expected {expected}"))
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Two digits are enough for people; what was given exactly is given back exactly.
        let short = |number: f64| (number * 1e6).round() / 1e6;
        match *self {
            Self::Share(share) => write!(f, "{share}x"),
            Self::Milliseconds(milliseconds) => write!(f, "{}ms", short(milliseconds)),
            Self::Bytes(bytes) => write!(f, "{}MB", short(bytes / 1e6)),
        }
    }
}

impl TryFrom<Written> for Keep {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Number(share) => Ok(Self::Share(share)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Keep> for Written {
    fn from(keep: Keep) -> Self {
        match keep {
            Keep::Share(share) => Self::Number(share),
            other => Self::Text(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_times_and_sizes_are_read_with_their_units() {
        let read = |text: &str| text.parse::<Keep>();
        assert_eq!(read("0.2x"), Ok(Keep::Share(0.2)));
        assert_eq!(read("0.25"), Ok(Keep::Share(0.25)));
        assert_eq!(read("5ms"), Ok(Keep::Milliseconds(5.0)));
        assert_eq!(read("800 us"), Ok(Keep::Milliseconds(0.8)));
        assert_eq!(read("6MB"), Ok(Keep::Bytes(6e6)));
        assert_eq!(read("2MiB"), Ok(Keep::Bytes(2_097_152.0)));
        let told = read("6 apples").unwrap_err();
        assert!(told.contains("'6 apples'") && told.contains("6MB"), "{told}");
    }

    #[test]
    fn an_amount_of_another_measure_is_told_with_what_would_do() {
        let told = Keep::Milliseconds(5.0).of(Measure::Parameters).unwrap_err();
        assert_eq!(told, "found 5ms of the parameters, expected a share such as 0.2x or a size such as 6MB");
        assert!(Keep::Share(1.5).of(Measure::Macs).unwrap_err().contains("at most 1"));
        assert!(Keep::Bytes(-1.0).of(Measure::Parameters).unwrap_err().contains("more than nothing"));
    }

    #[test]
    fn an_amount_becomes_a_share_of_what_there_is() {
        assert_eq!(Keep::Bytes(6e6).share(Measure::Parameters, 12e6), Ok(0.5));
        assert_eq!(Keep::Milliseconds(1.0).share(Measure::Latency, 4000.0), Ok(0.25));
        let told = Keep::Milliseconds(5.0).share(Measure::Latency, 4000.0).unwrap_err();
        assert_eq!(told, "the model has 4ms, at most 5ms was asked for: there is nothing to prune");
    }

    #[test]
    fn what_is_written_is_read_back() {
        for keep in [Keep::Share(0.2), Keep::Milliseconds(0.8), Keep::Bytes(6e6)] {
            let written = serde_json::to_string(&keep).unwrap();
            assert_eq!(serde_json::from_str::<Keep>(&written).unwrap(), keep, "{written}");
        }
        assert_eq!(serde_json::to_string(&Keep::Share(0.2)).unwrap(), "0.2", "as before there were units");
    }
}
