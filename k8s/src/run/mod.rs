//! Wiring: connect, stand for election, reconcile while it is ours, end in order.

pub mod http;
pub mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Client, Config, Resource, ResourceExt};
use takt_prometheus::Prometheus;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use self::metrics::{Looked, Metrics};
use crate::build::MANAGED_BY;
use crate::crd::{MANAGER, ModelRollout, ModelServer};
use crate::hands::events::Teller;
use crate::hands::{Cluster, ClusterError, Devices};
use crate::lead::{Leadership, Terms, stand};
use crate::reconcile::{Context, Pace, ReconcileError, reconcile_rollout, reconcile_server};

/// How long the API server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Rollouts that are looked at at once. A thousand that begin together would otherwise all hold their answers in memory.
const AT_ONCE: u16 = 64;

/// How the operator runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which namespace is looked after; `None` for all.
    pub namespace: Option<String>,
    /// How the lease is held. An empty identity is replaced by one of this process; the namespace is the operator's own.
    pub terms: Terms,
    /// Where metrics and health are served.
    pub listen: SocketAddr,
    /// How often things are looked at.
    pub pace: Pace,
    /// Where the API of a Prometheus begins that has the servers' metrics; rollouts between Services need one.
    pub prometheus: Option<String>,
}

/// Why the operator does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Neither in a cluster nor with a kubeconfig.
    #[error("no cluster: {0}; run it in a pod, or set KUBECONFIG")]
    NoCluster(#[source] kube::Error),
    /// The configuration of the client.
    #[error("no cluster: {0}; run it in a pod, or set KUBECONFIG")]
    NoConfig(#[source] kube::config::InferConfigError),
    /// The definitions are not installed, or may not be read.
    #[error(
        "{kind} can't be listed: {error}; apply the definitions (takt operator crds) and the operator's Role first"
    )]
    NotInstalled {
        /// What.
        kind: &'static str,
        /// The API server's word.
        error: ClusterError,
    },
    /// The address for metrics.
    #[error("metrics can't be served at {address}: {error}; choose another --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Metrics.
    #[error("metrics can't be set up: {0}; please report this")]
    Metrics(#[from] prometheus::Error),
}

/// Connects as pods or people do: the pod's service account, or KUBECONFIG.
///
/// # Errors
/// There is neither.
pub async fn connect() -> Result<Client, RunError> {
    let mut config = Config::infer().await.map_err(RunError::NoConfig)?;
    config.connect_timeout = Some(ANSWER);
    Client::try_from(config).map_err(RunError::NoCluster)
}

/// Runs until told to stop, then gives the lease back.
///
/// # Errors
/// The definitions are not installed, or the address is taken. An API server that goes away later is no reason to end.
pub async fn run(
    client: Client,
    mut settings: Settings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    if settings.terms.identity.is_empty() {
        settings.terms.identity = identity();
    }
    installed::<ModelServer>(&client, &settings, "ModelServer").await?;
    installed::<ModelRollout>(&client, &settings, "ModelRollout").await?;
    let metrics = Metrics::new()?;
    let (stopping, stopped) = watch::channel(false);
    let told = |mut stopped: watch::Receiver<bool>| async move {
        // A closed channel is an end too.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let address = settings.listen;
    let (bound, serving) = http::listen(address, metrics.clone(), told(stopped.clone()))
        .await
        .map_err(|error| RunError::Listen { address, error })?;
    info!(%bound, namespace = settings.namespace.as_deref().unwrap_or("all"), "the operator runs");
    let (held, holding) = watch::channel(None);
    let leadership = Leadership::new(holding);
    let context = Context::new(
        Cluster::new(client.clone()),
        Devices::default(),
        Teller::new(client.clone(), &settings.terms.identity),
        leadership.clone(),
        metrics.clone(),
        settings.pace,
    );
    let context = Arc::new(context.with_prometheus(settings.prometheus.as_deref().map(Prometheus::new)));
    // The lease is kept until the last look has ended.
    let (ended, last) = watch::channel(false);
    let election = stand(client.clone(), settings.terms.clone(), told(last), held);
    let work = async {
        lead(&client, &settings, leadership, &context, told(stopped.clone())).await;
        ended.send_replace(true);
    };
    let stop = async {
        stop.await;
        info!("ends: the looks that are under way are the last ones");
        stopping.send_replace(true);
    };
    let (served, (), (), ()) = tokio::join!(serving, election, work, stop);
    if let Err(error) = served {
        warn!(%error, "metrics were served no more");
    }
    Ok(())
}

/// Reconciles whenever the lease is ours.
async fn lead(
    client: &Client,
    settings: &Settings,
    mut leadership: Leadership,
    context: &Arc<Context>,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    loop {
        let won = tokio::select! {
            () = &mut stop => return,
            won = leadership.won() => won,
        };
        let Some(term) = won else { return };
        context.metrics.leads(true);
        let (ending, end) = watch::channel(false);
        let work = async {
            tokio::join!(rollouts(client, settings, context, end.clone()), servers(client, settings, context, end))
        };
        let over = async {
            let stops = tokio::select! {
                () = &mut stop => true,
                () = leadership.lost(term) => false,
            };
            ending.send_replace(true);
            stops
        };
        let (_, stops) = tokio::join!(work, over);
        context.metrics.leads(false);
        if stops {
            return;
        }
    }
}

async fn rollouts(client: &Client, settings: &Settings, context: &Arc<Context>, end: watch::Receiver<bool>) {
    let controller = Controller::new(api::<ModelRollout>(client, settings), watcher::Config::default());
    controller
        .with_config(controller::Config::default().concurrency(AT_ONCE))
        .graceful_shutdown_on(ends(end))
        .run(
            |object, context| async move {
                let began = Instant::now();
                let outcome = reconcile_rollout(object, Arc::clone(&context)).await;
                context.metrics.looked(Looked::Rollout, began.elapsed(), outcome.as_ref().err());
                outcome
            },
            |object, error, context| again(object.as_ref(), error, &context),
            Arc::clone(context),
        )
        .for_each(|outcome| async move {
            if let Err(error) = outcome {
                debug!(%error, "a look came to nothing");
            }
        })
        .await;
}

async fn servers(client: &Client, settings: &Settings, context: &Arc<Context>, end: watch::Receiver<bool>) {
    let controller = Controller::new(api::<ModelServer>(client, settings), watcher::Config::default());
    // Of a cluster's many Deployments and Services only ours are kept in memory.
    let ours = || watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    controller
        .owns(api::<Deployment>(client, settings), ours())
        .owns(api::<DaemonSet>(client, settings), ours())
        .owns(api::<Service>(client, settings), ours())
        .graceful_shutdown_on(ends(end))
        .run(
            |object, context| async move {
                let began = Instant::now();
                let outcome = reconcile_server(object, Arc::clone(&context)).await;
                context.metrics.looked(Looked::Server, began.elapsed(), outcome.as_ref().err());
                outcome
            },
            |object, error, context| again(object.as_ref(), error, &context),
            Arc::clone(context),
        )
        .for_each(|outcome| async move {
            if let Err(error) = outcome {
                debug!(%error, "a look came to nothing");
            }
        })
        .await;
}

/// When a look that came to nothing is tried again.
fn again(object: &impl ResourceExt, error: &ReconcileError, context: &Context) -> Action {
    match error {
        // Another operator looks after it.
        ReconcileError::NotLeading | ReconcileError::Fenced { .. } => Action::requeue(context.pace.waiting),
        ReconcileError::Cluster(ClusterError::Conflict) => Action::requeue(Duration::from_millis(200)),
        ReconcileError::Cluster(ClusterError::Gone) => Action::await_change(),
        ReconcileError::Cluster(error) => {
            warn!(object = object.name_any(), %error, "a look came to nothing");
            Action::requeue(context.backoff.wait(object.uid().as_deref().unwrap_or_default()))
        }
    }
}

async fn ends(mut end: watch::Receiver<bool>) {
    // A closed channel is an end too.
    let _ = end.wait_for(|end| *end).await;
}

fn api<K>(client: &Client, settings: &Settings) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match &settings.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn installed<K>(client: &Client, settings: &Settings, kind: &'static str) -> Result<(), RunError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let found = api::<K>(client, settings).list(&ListParams::default().limit(1)).await;
    found.map(drop).map_err(|error| RunError::NotInstalled { kind, error: error.into() })
}

/// The pod's name, and what tells this process from the one that ran in it before.
fn identity() -> String {
    let pod =
        std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "takt-operator".into());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{pod}_{}_{:x}", std::process::id(), now.as_micros())
}
