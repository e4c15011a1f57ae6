//! Conditions of a status. A transition is timed when the status changes, and not when the words do.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The conditions of our resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What is asked for is so.
    Ready,
    /// Something is being done.
    Progressing,
    /// The candidate has the model's traffic.
    Promoted,
    /// The spec makes sense.
    SpecValid,
    /// Everything that matters was heard lately.
    DataFresh,
}

/// One condition as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// Which.
    pub kind: Kind,
    /// Whether it holds; `None` for "not known".
    pub holds: Option<bool>,
    /// In one word, in camel case.
    pub reason: String,
    /// In one sentence.
    pub message: String,
}

impl Kind {
    /// As it is written.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Promoted => "Promoted",
            Self::SpecValid => "SpecValid",
            Self::DataFresh => "DataFresh",
        }
    }
}

/// One condition.
#[must_use]
pub fn now(kind: Kind, holds: Option<bool>, reason: &str, message: impl Into<String>) -> Now {
    Now { kind, holds, reason: pascal(reason), message: message.into() }
}

/// The conditions with the times of those that were there before.
#[must_use]
pub fn conditions(before: &[Condition], is: Vec<Now>, generation: Option<i64>, at: Timestamp) -> Vec<Condition> {
    is.into_iter()
        .map(|now| {
            let status = match now.holds {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let same = before.iter().find(|old| old.type_ == now.kind.label() && old.status == status);
            Condition {
                type_: now.kind.label().to_owned(),
                status: status.to_owned(),
                reason: now.reason,
                message: now.message,
                observed_generation: generation,
                last_transition_time: same.map_or(Time(at), |old| old.last_transition_time.clone()),
            }
        })
        .collect()
}

/// `rolled_back` as `RolledBack`: what the API asks of reasons.
#[must_use]
pub fn pascal(label: &str) -> String {
    let words = label.split(['_', ' ']).filter(|word| !word.is_empty());
    words
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transition_is_timed_when_the_status_changes_and_not_when_the_words_do() {
        let (early, late) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(9).unwrap());
        let first = conditions(&[], vec![now(Kind::Ready, Some(false), "rolling", "wave 1")], Some(1), early);
        let words = conditions(&first, vec![now(Kind::Ready, Some(false), "held", "wave 2")], Some(1), late);
        assert_eq!((words[0].last_transition_time.0, words[0].message.as_str()), (early, "wave 2"));
        let turned = conditions(&words, vec![now(Kind::Ready, Some(true), "succeeded", "")], Some(1), late);
        assert_eq!((turned[0].last_transition_time.0, turned[0].status.as_str()), (late, "True"));
        assert_eq!(pascal("rolled_back"), "RolledBack");
    }
}
