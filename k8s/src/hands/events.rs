//! Events for people: what happened to a rollout, in `kubectl describe`. A lost one is a line in the log and nothing more.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tracing::warn;

use crate::build::conditions::pascal;
use crate::crd::{MANAGER, ModelRollout};

/// Who tells people.
#[derive(Clone)]
pub struct Teller {
    recorder: Recorder,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whether somebody should look.
    pub warning: bool,
    /// In one word.
    pub reason: String,
    /// In one sentence.
    pub note: String,
}

impl Told {
    /// Something that happened; the reason becomes camel case.
    pub fn new(warning: bool, reason: &str, note: impl Into<String>) -> Self {
        Self { warning, reason: pascal(reason), note: note.into() }
    }
}

impl Teller {
    /// Tells in the name of this process.
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Tells.
    pub async fn tell(&self, about: &ModelRollout, told: &Told) {
        let event = Event {
            type_: if told.warning { EventType::Warning } else { EventType::Normal },
            reason: told.reason.clone(),
            note: Some(told.note.chars().take(1000).collect()),
            action: "Rollout".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &about.object_ref(&())).await {
            warn!(%error, reason = told.reason, "an event can't be published");
        }
    }
}
