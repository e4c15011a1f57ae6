//! The versions that serve right now, as requests see them: one atomic load, no lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;

use takt_monitoring::events::Arm;

use super::version::ServedVersion;
use crate::error::{ErrorKind, InferError};
use crate::infer::routed::Assigned;
use crate::request::{InferRequest, VersionRef};
use crate::route::{Route, RouteCell};

/// The served versions of one model.
#[derive(Clone, Default)]
pub struct ServedModel {
    /// By number.
    pub versions: BTreeMap<u64, Arc<ServedVersion>>,
    /// Versions that exist and do not serve, each with the reason; a request for one is told so.
    pub unready: BTreeMap<u64, String>,
    /// Why the model has no version at all, when that is so.
    pub reason: Option<String>,
    /// The route of its rollout, while there is one; the same cell in every picture.
    pub route: Arc<RouteCell>,
}

/// Who is to answer a request.
pub enum Chosen {
    /// This version; no rollout is concerned.
    Version(Arc<ServedVersion>),
    /// What a rollout says.
    Assigned(Assigned),
}

/// An immutable picture of everything that serves.
pub type Snapshot = BTreeMap<Arc<str>, ServedModel>;

/// The current picture; swapped whole.
pub struct ServedTable {
    current: ArcSwap<Snapshot>,
    /// Whether the repository has been read: until then nothing can be said about which models there are.
    filled: AtomicBool,
}

impl ServedTable {
    /// A table without models.
    #[must_use]
    pub fn new() -> Self {
        Self { current: ArcSwap::from_pointee(Snapshot::new()), filled: AtomicBool::new(false) }
    }

    /// The current picture.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces the picture. Only the registry's owner calls this.
    pub(super) fn replace(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
        self.filled.store(true, Relaxed);
    }

    /// The version that answers: the one that is named, else the highest that serves.
    ///
    /// # Errors
    /// Not found, or known and not ready.
    pub fn resolve(&self, model: &str, version: Option<VersionRef>) -> Result<Arc<ServedVersion>, InferError> {
        self.find(&self.current.load(), model, version)
    }

    /// Who is to answer: the version that is named, what the rollout says where one is under way, else the highest version
    /// that serves.
    ///
    /// # Errors
    /// As for [`ServedTable::resolve`].
    pub fn choose(&self, request: &InferRequest) -> Result<Chosen, InferError> {
        let snapshot = self.current.load();
        let entry = snapshot.get(request.model.as_str());
        if request.version.is_none()
            && let Some(entry) = entry
            && let Some(route) = entry.route.get()
        {
            let version = |number: u64| entry.versions.get(&number).cloned();
            let (stable, candidate) = (version(route.stable), version(route.candidate));
            let arm = match (&stable, &candidate) {
                (Some(_), Some(_)) => Some(route.assign(&request.origin, &request.id)),
                (Some(_), None) => Some(Arm::Stable),
                (None, Some(_)) if !route.dead_man.has_tripped() => Some(Arm::Canary),
                (None, _) => None,
            };
            if let Some(arm) = arm {
                return Ok(Chosen::Assigned(Assigned { route, arm, stable, candidate }));
            }
        }
        self.find(&snapshot, &request.model, request.version).map(Chosen::Version)
    }

    fn find(
        &self,
        snapshot: &Snapshot,
        model: &str,
        version: Option<VersionRef>,
    ) -> Result<Arc<ServedVersion>, InferError> {
        let Some(entry) = snapshot.get(model) else {
            if !self.filled.load(Relaxed) {
                return Err(unavailable(model, version, Some("the server starts and has not read its repository yet")));
            }
            let known: Vec<&str> = snapshot.keys().map(AsRef::as_ref).collect();
            let hint = if known.is_empty() {
                "no model is in the repository".into()
            } else {
                format!("known: {}", known.join(", "))
            };
            return Err(InferError::new(
                ErrorKind::NotFound,
                format!("Request for unknown model: '{model}' is not found ({hint})"),
            ));
        };
        let route = entry.route.get();
        let number = match (version, &route) {
            (Some(VersionRef::Number(number)), _) => Some(number),
            (Some(VersionRef::Canary), Some(route)) => Some(route.candidate),
            (Some(VersionRef::Canary), None) => {
                let message =
                    format!("no rollout of '{model}' is under way, so it has no canary; ask for 'stable' or a number");
                return Err(InferError::new(ErrorKind::NotFound, message));
            }
            (version, route) => {
                let default = |route: &Arc<Route>| match route.promoted && version.is_none() {
                    true => route.candidate,
                    false => route.stable,
                };
                route.as_ref().map(default).filter(|number| entry.versions.contains_key(number))
            }
        };
        match number {
            None => entry.versions.values().next_back().cloned().ok_or_else(|| {
                let reason = entry.reason.as_deref().or_else(|| entry.unready.values().next_back().map(String::as_str));
                unavailable(model, None, reason)
            }),
            Some(number) => match entry.versions.get(&number) {
                Some(version) => Ok(Arc::clone(version)),
                None if entry.unready.contains_key(&number) => Err(unavailable(
                    model,
                    Some(VersionRef::Number(number)),
                    entry.unready.get(&number).map(String::as_str),
                )),
                None => {
                    let there: Vec<String> = entry.versions.keys().map(u64::to_string).collect();
                    let message = format!(
                        "Request for unknown model: '{model}' version {number} is not found (versions that serve: {}); leave \
                         the version empty for the newest",
                        if there.is_empty() { "none".into() } else { there.join(", ") }
                    );
                    Err(InferError::new(ErrorKind::NotFound, message))
                }
            },
        }
    }
}

impl Default for ServedTable {
    fn default() -> Self {
        Self::new()
    }
}

fn unavailable(model: &str, version: Option<VersionRef>, reason: Option<&str>) -> InferError {
    let which = version.map_or_else(|| format!("'{model}'"), |number| format!("'{model}' version {number}"));
    let reason = reason.unwrap_or("no version of it serves");
    InferError::new(ErrorKind::Unavailable, format!("Request for unready model: {which} is not ready: {reason}"))
}
