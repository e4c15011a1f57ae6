//! What the owner shows of its models: the table that requests read and the index that people read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::index::{IndexEntry, VersionState};
use super::owner::{ModelState, Owner};
use super::table::{ServedModel, ServedTable, Snapshot};
use crate::route::RouteCell;

/// The current picture; clones share it.
#[derive(Clone)]
pub(super) struct Published {
    table: Arc<ServedTable>,
    index: Arc<Mutex<Vec<IndexEntry>>>,
    routes: Arc<Mutex<BTreeMap<String, Arc<RouteCell>>>>,
}

impl Default for Published {
    fn default() -> Self {
        Self { table: Arc::new(ServedTable::new()), index: Arc::default(), routes: Arc::default() }
    }
}

impl Published {
    pub(super) fn table(&self) -> &Arc<ServedTable> {
        &self.table
    }

    pub(super) fn index(&self) -> Vec<IndexEntry> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the requests of a model look for the route of its rollout; the same for as long as the server lives.
    pub(super) fn route(&self, model: &str) -> Arc<RouteCell> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(model.to_owned()).or_default())
    }

    pub(super) fn replace(&self, snapshot: Snapshot, index: Vec<IndexEntry>) {
        self.table.replace(snapshot);
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = index;
    }
}

impl Owner {
    /// Shows the present state to requests and to people.
    pub(super) fn publish(&self) {
        let mut snapshot = Snapshot::new();
        let mut index = Vec::new();
        for (name, state) in self.models() {
            let served = self.picture(name, state, &mut index);
            snapshot.insert(name.as_str().into(), served);
        }
        self.published().replace(snapshot, index);
    }

    /// One model as requests see it; its lines of the index are appended.
    fn picture(&self, name: &str, state: &ModelState, index: &mut Vec<IndexEntry>) -> ServedModel {
        let mut served = ServedModel { route: self.published().route(name), ..ServedModel::default() };
        for (number, loaded) in &state.loaded {
            served.versions.insert(*number, Arc::clone(&loaded.version));
        }
        let mut entry = |version: Option<u64>, standing: VersionState, reason: String| {
            let failed = version.is_some_and(|version| state.failed.contains_key(&version));
            index.push(IndexEntry { model: name.to_owned(), version, state: standing, reason, failed });
        };
        for version in &state.found.versions {
            let (standing, reason) = self.standing(name, version.number, state);
            if standing != VersionState::Ready {
                let why = if reason.is_empty() { standing.label().to_lowercase() } else { reason.clone() };
                served.unready.insert(version.number, why);
            }
            entry(Some(version.number), standing, reason);
        }
        if let Err(faults) = &state.found.config {
            served.reason = Some(faults.to_string());
            entry(None, VersionState::Unavailable, faults.to_string());
        } else if state.found.versions.is_empty() {
            served.reason = Some(NO_VERSION.to_owned());
            entry(None, VersionState::Unavailable, NO_VERSION.to_owned());
        }
        served
    }

    /// A version's state, and the reason where there is something to say.
    fn standing(&self, model: &str, number: u64, state: &ModelState) -> (VersionState, String) {
        if state.loaded.contains_key(&number) {
            (VersionState::Ready, String::new())
        } else if self.is_loading(model, number) {
            (VersionState::Loading, String::new())
        } else if let Some(failed) = state.failed.get(&number) {
            (VersionState::Unavailable, format!("{} ({})", failed.reason, failed.stage.label()))
        } else if self.is_draining(model, number) {
            (VersionState::Unloading, String::new())
        } else {
            (VersionState::Unavailable, "unloaded".to_owned())
        }
    }
}

/// Why a model without versions cannot serve.
pub(super) const NO_VERSION: &str = "it has no version; put a model.onnx into <model>/1/";
