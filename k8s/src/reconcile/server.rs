//! A look at a `ModelServer`: its children are as its spec says.

use std::sync::Arc;

use kube::runtime::controller::Action;
use tracing::info;

use super::{Context, ReconcileError, clock};
use crate::build::{Kept, children, server_faults, server_status};
use crate::crd::ModelServer;
use crate::hands::ClusterError;
use crate::spec::Faults;

/// One look: observe, validate, build, apply, report.
///
/// # Errors
/// We do not lead, or the API server did not do its part.
pub async fn reconcile(server: Arc<ModelServer>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let term = context.term(server.status.as_ref().and_then(|status| status.term))?;
    if server.metadata.deletion_timestamp.is_some() {
        // Its children are owned, and go with it.
        return Ok(Action::await_change());
    }
    let workload = server.status.as_ref().and_then(|status| status.workload);
    let faults = Faults(server_faults(&server.spec, workload));
    let kept = if faults.0.is_empty() { Ok(apply(&server, &context).await?) } else { Err(faults) };
    let mut status = server_status(&server, kept.as_ref(), term, clock().1);
    let before = server.status.clone().unwrap_or_default();
    // A new leader is no reason to write.
    status.term = before.term;
    if status != before {
        status.term = Some(term);
        context.cluster.write_server(&server, &status).await?;
        context.metrics.status_written();
    }
    Ok(Action::await_change())
}

/// The children, applied where they are not as we left them.
async fn apply(server: &ModelServer, context: &Context) -> Result<Kept, ClusterError> {
    let wanted = children(server);
    let uid = server.metadata.uid.as_deref().unwrap_or_default();
    if let Some(kept) = context.cluster.kept(server, &wanted.kept).await?
        && let Some(service) = context.cluster.service(server).await?
        && context.is_as_left(uid, &wanted, &kept, &service)
    {
        return Ok(kept);
    }
    let service = context.cluster.apply_service(server, &wanted.service).await?;
    let kept = context.cluster.apply_kept(server, &wanted.kept).await?;
    info!(server = server.metadata.name, "applied");
    context.leave(uid, wanted, &kept, &service);
    Ok(kept)
}
