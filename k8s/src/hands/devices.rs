//! The devices' own API, `takt.rollout.v1`: how their rollouts stand, and what they are told.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use takt_artifact::share::TrafficShare;
use takt_proto::inference::RepositoryIndexRequest;
use takt_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use takt_proto::inference::repository_index_response::ModelIndex;
use takt_proto::rollout::control_request::Action;
use takt_proto::rollout::rollouts_client::RolloutsClient;
use takt_proto::rollout::{ControlRequest, GetRequest, Rollout as Wire, StartRequest};
use takt_rollout::Phase;
use takt_rollout::plan::GateName;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::fleet::{Do, Heard, LnE, Report};
use crate::spec::Rollout;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an answer may take: a server only decides, loading goes on behind.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// The state of a version that serves, in an index of the repository.
const READY: &str = "READY";
/// Connections kept; beyond it all are made anew.
const MOST_KEPT: usize = 4096;

/// Host and port of a device's gRPC API.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(pub String);

/// A device that answered, and did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the device refuses: {0}")]
pub struct Refused(pub String);

/// Connections to devices.
#[derive(Debug, Default)]
pub struct Devices {
    channels: Mutex<HashMap<Address, Channel>>,
}

/// What a device's own report has that matters here. More is left unread, so that devices may be newer than the operator.
#[derive(Deserialize)]
struct DeviceReport {
    progress: DeviceProgress,
}

#[derive(Deserialize)]
struct DeviceProgress {
    phase: Phase,
    why: String,
    #[serde(default)]
    gates: Vec<DeviceGate>,
    #[serde(default)]
    exposed: u64,
}

#[derive(Deserialize)]
struct DeviceGate {
    gate: GateName,
    against: Option<DeviceWeighed>,
}

#[derive(Deserialize)]
struct DeviceWeighed {
    /// JSON has no infinity: it comes as null, and is no evidence.
    ln_e: Option<f64>,
}

impl Address {
    /// Of an IP address, as pods have them.
    #[must_use]
    pub fn new(ip: &str, port: u16) -> Self {
        Self(if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
    }
}

impl Devices {
    /// Whether a server answers and serves the model, in that version if one is given.
    pub async fn serves(&self, address: &Address, model: &str, version: Option<u64>) -> bool {
        let Ok(channel) = self.channel(address) else { return false };
        let version = version.map(|version| version.to_string());
        let serves = |row: &ModelIndex| {
            row.name == model && row.state == READY && version.as_ref().is_none_or(|version| row.version == *version)
        };
        index(channel).await.is_ok_and(|rows| rows.iter().any(serves))
    }

    /// How a device stands with regard to a rollout. Whatever goes wrong is something that was heard, too.
    pub async fn look(&self, address: &Address, rollout: &Rollout) -> Heard {
        let channel = match self.channel(address) {
            Ok(channel) => channel,
            Err(why) => return Heard::Silent(why),
        };
        let model = &rollout.subject.model;
        let request = patient(GetRequest { model: model.clone() });
        let found = RolloutsClient::new(channel.clone()).get(request).await;
        let found = match found {
            Ok(answer) => answer.into_inner().rollouts.into_iter().find(|found| found.model == *model),
            Err(status) if status.code() == Code::NotFound => None,
            Err(status) if status.code() == Code::Unimplemented => {
                return Heard::NotYet("its takt knows no rollouts; update it".to_owned());
            }
            Err(status) => return Heard::Silent(told(&status)),
        };
        if let Some(found) = found {
            let report = match report(&found) {
                Ok(report) => report,
                Err(error) => return Heard::NotYet(format!("its report can't be read: {error}; update the operator")),
            };
            if found.candidate == rollout.candidate {
                return Heard::Rollout(report);
            }
            if !report.phase.is_terminal() {
                let other = found.candidate;
                return Heard::NotYet(format!("a rollout of version {other} is under way ({})", report.phase));
            }
        }
        standing(channel, rollout).await
    }

    /// Tells a device something.
    ///
    /// # Errors
    /// It did not do it; its own words.
    pub async fn tell(&self, address: &Address, rollout: &Rollout, what: Do) -> Result<(), Refused> {
        let channel = self.channel(address).map_err(Refused)?;
        let mut client = RolloutsClient::new(channel);
        let model = rollout.subject.model.clone();
        let action = match what {
            Do::Start { retry } => {
                let plan_toml = rollout.plan_toml.clone();
                let candidate = rollout.candidate;
                let request = StartRequest { model, candidate, plan_toml, retry, dry_run: false };
                return client.start(patient(request)).await.map(drop).map_err(|status| Refused(told(&status)));
            }
            Do::Pause => Action::Pause,
            Do::Resume => Action::Resume,
            Do::Abort => Action::Abort,
        };
        let reason = "asked for by a ModelRollout".to_owned();
        match client.control(patient(ControlRequest { model, action: action.into(), reason })).await {
            Ok(_) => Ok(()),
            // With nothing in flight there is nothing to take back.
            Err(status) if what == Do::Abort && status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(Refused(told(&status))),
        }
    }

    fn channel(&self, address: &Address) -> Result<Channel, String> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        if channels.len() >= MOST_KEPT {
            channels.clear();
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", address.0))
            .map_err(|error| format!("'{}' is no address: {error}", address.0))?;
        let channel = endpoint.connect_timeout(CONNECT).connect_lazy();
        channels.insert(address.clone(), channel.clone());
        Ok(channel)
    }
}

/// Every version that a server knows of.
async fn index(channel: Channel) -> Result<Vec<ModelIndex>, Status> {
    let request = patient(RepositoryIndexRequest { repository_name: String::new(), ready: false });
    Ok(GrpcInferenceServiceClient::new(channel).repository_index(request).await?.into_inner().models)
}

/// Whether the version is there, and serves already.
async fn standing(channel: Channel, rollout: &Rollout) -> Heard {
    let models = match index(channel).await {
        Ok(models) => models,
        Err(status) => return Heard::Silent(told(&status)),
    };
    let version = rollout.candidate.to_string();
    match models.iter().find(|row| row.name == rollout.subject.model && row.version == version) {
        Some(row) if row.state == READY => Heard::Serves,
        Some(_) => Heard::Free,
        None => Heard::NotYet(format!("version {version} of '{}' is not in its repository yet", rollout.subject.model)),
    }
}

fn report(wire: &Wire) -> Result<Report, serde_json::Error> {
    let DeviceReport { progress } = serde_json::from_str(&wire.progress_json)?;
    let evidence = progress.gates.into_iter().filter_map(|gate| {
        let ln_e = gate.against?.ln_e.filter(|ln_e| ln_e.is_finite())?;
        Some((gate.gate.to_string(), ln_e))
    });
    Ok(Report {
        id: wire.id.clone(),
        phase: progress.phase,
        weight: TrafficShare::new(wire.weight).unwrap_or(TrafficShare::NONE),
        exposed: progress.exposed,
        evidence: evidence.collect::<LnE>(),
        why: progress.why,
    })
}

fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

fn told(status: &Status) -> String {
    if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() }
}
