//! Our own admin service: what operators ask beyond the protocol.

use std::sync::Arc;

use takt_proto::admin::model_admin_server::ModelAdmin;
use takt_proto::admin::{GetMonitorReportRequest, GetMonitorReportResponse, RetryVersionRequest, RetryVersionResponse};
use tonic::{Request, Response, Status};

use crate::core::Core;
use crate::error::{ErrorKind, InferError};

/// Answers admin RPCs from the server's core.
pub struct AdminService {
    core: Arc<Core>,
}

impl AdminService {
    /// A service over that core.
    #[must_use]
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

#[tonic::async_trait]
impl ModelAdmin for AdminService {
    async fn retry_version(
        &self,
        request: Request<RetryVersionRequest>,
    ) -> Result<Response<RetryVersionResponse>, Status> {
        let RetryVersionRequest { model, version } = request.into_inner();
        self.core.registry().retry(&model, version).await?;
        Ok(Response::new(RetryVersionResponse {}))
    }

    async fn get_monitor_report(
        &self,
        _: Request<GetMonitorReportRequest>,
    ) -> Result<Response<GetMonitorReportResponse>, Status> {
        let report = serde_json::to_string(&*self.core.monitor().report());
        let report_json = report.map_err(|error| InferError::new(ErrorKind::Internal, error.to_string()))?;
        Ok(Response::new(GetMonitorReportResponse { report_json }))
    }
}
