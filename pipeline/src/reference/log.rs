//! The reference of a version's answers, from its prediction log.

use std::collections::BTreeMap;
use std::path::Path;

use takt_artifact::profile::Profile;
use takt_monitoring::drift::{Learner, Row};
use takt_monitoring::events::{Outcome, Status};
use takt_monitoring::features::{IMAGE_LEN, VISION, Vision};

use super::error::ReferenceError;
use super::{Of, RULE, finish};
use crate::outcomes::{Filter, Found, Outcomes, OutcomesError};

/// Makes the reference of the log at `path`; gives it with what could not be read.
///
/// # Errors
/// No log, predictions of several models or versions, classes that cannot be numbered, or too few predictions.
pub fn of_log(path: &Path, filter: Filter, of: &Of<'_>) -> Result<(Profile, Found), ReferenceError> {
    let mut outcomes = Outcomes::open(path, filter)?;
    let mut learner = Learner::new(RULE);
    let (mut classes, mut first) = (BTreeMap::new(), None);
    for outcome in outcomes.by_ref() {
        first.get_or_insert_with(|| (outcome.model.clone(), outcome.version_digest));
        let Some(row) = row(&outcome, &learner) else { continue };
        if let Some(decision) = outcome.decision {
            classes.insert(decision.class, decision.label);
        }
        learner.observe(outcome.routed_at, row);
    }
    let found = outcomes.finish()?;
    let several = |what, names: &std::collections::BTreeSet<String>, flag| OutcomesError::Several {
        path: path.to_owned(),
        what,
        found: names.iter().cloned().collect(),
        flag,
    };
    if found.models.len() > 1 {
        return Err(several("models", &found.models, "--model").into());
    }
    if found.versions.len() > 1 {
        return Err(several("versions", &found.versions, "--version").into());
    }
    let labels = labels(path, &classes, of.classes)?;
    let (model, version) =
        first.map_or_else(|| (String::new(), None), |(model, digest)| (model.to_string(), Some(digest)));
    Ok((finish(&learner, &model, &labels, version, of)?, found))
}

/// Answered predictions with features; where images were measured, those whose image was.
fn row(outcome: &Outcome, learner: &Learner) -> Option<Row> {
    let values: Vision = outcome.features.values.as_slice().try_into().ok()?;
    let measured = values.iter().take(IMAGE_LEN).any(|value| !value.is_nan());
    let wanted = outcome.status == Status::Ok && outcome.features.list == VISION && (measured || !learner.has_images());
    wanted.then(|| Row {
        product: outcome.product.as_ref().map(ToString::to_string),
        station: outcome.station.as_ref().map(ToString::to_string),
        values,
        class: outcome.decision.as_ref().map(|decision| decision.class),
    })
}

fn labels(path: &Path, seen: &BTreeMap<usize, String>, given: &[String]) -> Result<Vec<String>, ReferenceError> {
    let fault = |found| ReferenceError::Classes { path: path.to_owned(), found };
    if given.is_empty() {
        // Without gaps: nobody can say what a class is called that never came.
        let gap = (0..).zip(seen.keys()).find(|(expected, class)| expected != *class);
        return match gap {
            Some((missing, _)) => Err(fault(format!("class {missing} never came"))),
            None => Ok(seen.values().cloned().collect()),
        };
    }
    match seen.iter().find(|(class, label)| given.get(**class) != Some(*label)) {
        Some((class, label)) => Err(fault(format!("class {class} is '{label}'"))),
        None => Ok(given.to_vec()),
    }
}
