//! Copies of requests for the candidate: answered after the client has its answer, and only while nobody waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use takt_monitoring::events::Arm;

use super::routed::Assigned;
use super::{InferResponse, attempt, classify};
use crate::registry::version::ServedVersion;
use crate::request::InferRequest;
use crate::route::Said;

/// How long a copy waits for a moment in which nobody waits for stable.
const WAIT_FOR_IDLE: Duration = Duration::from_millis(250);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Sends a copy of the request to the candidate if the sample chooses it. Never waits.
pub(super) fn copy(assigned: &Assigned, request: &InferRequest, response: &InferResponse) {
    let Assigned { route, arm: Arm::Stable, stable: Some(stable), candidate: Some(candidate) } = assigned else {
        return;
    };
    let Some(shadow) = &route.shadow else { return };
    if !route.is_shadowed(&request.origin, &request.id) {
        return;
    }
    let Some(permit) = shadow.admit() else { return };
    let (said, prediction) = (said(response), response.prediction);
    let request = request.clone();
    let (route, stable, candidate) = (Arc::clone(route), Arc::clone(stable), Arc::clone(candidate));
    tokio::spawn(async move {
        let _permit = permit;
        let Some(shadow) = &route.shadow else { return };
        let _turn = shadow.turn().await;
        if !wait_until_idle(&stable).await {
            return shadow.drop_one();
        }
        // The client's deadline was for its own answer.
        let request = InferRequest { deadline: None, timeout: None, ..request };
        let assigned = Assigned {
            route: Arc::clone(&route),
            arm: Arm::Shadow,
            stable: Some(stable),
            candidate: Some(Arc::clone(&candidate)),
        };
        let run =
            tokio::time::timeout(route.patience, attempt(&candidate, &request, Instant::now(), Some(&assigned))).await;
        match run {
            Ok(Ok(Some(response))) => {
                let frames: Vec<_> = said.into_iter().zip(self::said(&response)).collect();
                route.dead_man.answered();
                shadow.compare(&request.origin, prediction, &frames, Instant::now());
            }
            Ok(Ok(None)) => shadow.drop_one(),
            // Stable has answered this one: it is the candidate that cannot.
            Ok(Err(error)) => super::routed::failed(&assigned, &error),
            Err(_) => super::routed::failed(&assigned, &super::routed::impatience(&candidate, route.patience)),
        }
    });
}

async fn wait_until_idle(stable: &ServedVersion) -> bool {
    let begun = Instant::now();
    while !stable.batcher.is_idle() {
        if begun.elapsed() > WAIT_FOR_IDLE {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}

/// What a version says of each frame: its verdicts, or where it gives none the highest class of its first output.
fn said(response: &InferResponse) -> Vec<Said> {
    match &response.judgements {
        Ok(judgements) if !judgements.is_empty() => judgements.iter().map(Said::from).collect(),
        _ => top_classes(response).unwrap_or_default(),
    }
}

fn top_classes(response: &InferResponse) -> Option<Vec<Said>> {
    let output = response.outputs.first()?;
    let scores = classify::as_f32(output.datatype, &output.data).ok()?;
    let classes = output.shape.last().copied().filter(|&classes| classes > 0)?;
    let labels = response.version.labels_of(&output.name);
    let top = |row: &[f32]| {
        let (index, score) =
            row.iter().copied().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap_or_default();
        let label = labels.get(index).cloned().unwrap_or_else(|| index.to_string());
        Said { good: None, label, score }
    };
    Some(scores.chunks_exact(classes).map(top).collect())
}
