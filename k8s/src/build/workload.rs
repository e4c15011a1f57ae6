//! What a `ModelServer` is made of: a Deployment or a DaemonSet, and a Service. Nothing here is newer than Kubernetes 1.20.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, HTTPGetAction, HostPathVolumeSource,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SecurityContext, Service, ServicePort, ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource, ResourceExt};

use crate::crd::{MANAGER, ModelServer, Workload};

/// The label by which what is made of ModelServers is told from all else.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const REPOSITORY: &str = "/models";
const STATE: &str = "/state";
/// Ports of `takt serve`, by name.
const PORTS: [(&str, i32); 3] = [("http", 8000), ("grpc", 8001), ("metrics", 8002)];
/// Whom the container runs as; the images' own user.
const USER: i64 = 65_532;
/// How long requests in flight may take at the end, and how much longer the kubelet waits.
const DRAIN_SECONDS: i64 = 30;
const GRACE_SECONDS: i64 = 10;

/// Everything that a server is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Children {
    /// What keeps the pods.
    pub kept: Kept,
    /// How clients find them.
    pub service: Service,
}

/// What keeps the pods.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// A number of replicas.
    Deployment(Box<Deployment>),
    /// One on each chosen node.
    DaemonSet(Box<DaemonSet>),
}

impl Kept {
    /// Counts changes of the spec.
    #[must_use]
    pub fn generation(&self) -> Option<i64> {
        match self {
            Self::Deployment(object) => object.metadata.generation,
            Self::DaemonSet(object) => object.metadata.generation,
        }
    }
}

/// Labels by which the pods of a server are found.
#[must_use]
pub fn selector_labels(server: &str) -> BTreeMap<String, String> {
    [("app.kubernetes.io/name", "takt"), ("app.kubernetes.io/instance", server)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The children of a server whose spec has no faults.
#[must_use]
pub fn children(server: &ModelServer) -> Children {
    let labels = selector_labels(&server.name_any());
    let selector = LabelSelector { match_labels: Some(labels.clone()), ..LabelSelector::default() };
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels.clone()), ..ObjectMeta::default() }),
        spec: Some(pod(server)),
    };
    let kept = match server.spec.workload {
        Workload::Deployment => Kept::Deployment(Box::new(Deployment {
            metadata: metadata(server, &labels),
            spec: Some(DeploymentSpec {
                // Left to an autoscaler where nobody says a number.
                replicas: server.spec.replicas,
                selector,
                template,
                ..DeploymentSpec::default()
            }),
            status: None,
        })),
        Workload::DaemonSet => Kept::DaemonSet(Box::new(DaemonSet {
            metadata: metadata(server, &labels),
            spec: Some(DaemonSetSpec { selector, template, ..DaemonSetSpec::default() }),
            status: None,
        })),
    };
    let service = Service {
        metadata: metadata(server, &labels),
        spec: Some(ServiceSpec {
            selector: Some(labels),
            ports: Some(
                PORTS
                    .map(|(name, port)| ServicePort {
                        name: Some(name.to_owned()),
                        port,
                        protocol: Some("TCP".to_owned()),
                        target_port: Some(IntOrString::String(name.to_owned())),
                        ..ServicePort::default()
                    })
                    .into(),
            ),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    Children { kept, service }
}

fn metadata(server: &ModelServer, labels: &BTreeMap<String, String>) -> ObjectMeta {
    let mut labels = labels.clone();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    ObjectMeta {
        name: Some(server.name_any()),
        namespace: server.namespace(),
        labels: Some(labels),
        // Deleting the server deletes them.
        owner_references: server.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

fn pod(server: &ModelServer) -> PodSpec {
    let spec = &server.spec;
    PodSpec {
        containers: vec![container(server)],
        volumes: Some(volumes(server)),
        runtime_class_name: spec.runtime_class_name.clone(),
        node_selector: Some(spec.node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: Some(spec.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
        automount_service_account_token: Some(false),
        termination_grace_period_seconds: Some(DRAIN_SECONDS + GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            fs_group: Some(USER),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

fn container(server: &ModelServer) -> Container {
    let spec = &server.spec;
    let args = ["serve", "--model-repository", REPOSITORY, "--state-dir", STATE].map(str::to_owned);
    let drain = ["--exit-timeout-secs".to_owned(), DRAIN_SECONDS.to_string()];
    let mount = |name: &str, path: &str, read_only: Option<bool>| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let probe = |path: &str, failures: i32| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(spec.probes.period_seconds),
        failure_threshold: Some(failures),
        timeout_seconds: Some(2),
        ..Probe::default()
    };
    // The first answer may take as long as the models need to load; nothing is restarted before.
    let startup = spec.probes.startup_seconds.div_euclid(spec.probes.period_seconds.max(1)).max(1);
    Container {
        name: "takt".to_owned(),
        image: Some(spec.image.clone()),
        args: Some(args.into_iter().chain(drain).chain(spec.args.iter().cloned()).collect()),
        ports: Some(
            PORTS
                .map(|(name, port)| ContainerPort {
                    name: Some(name.to_owned()),
                    container_port: port,
                    protocol: Some("TCP".to_owned()),
                    ..ContainerPort::default()
                })
                .into(),
        ),
        resources: resources(server),
        startup_probe: Some(probe("/v2/health/ready", startup)),
        readiness_probe: Some(probe("/v2/health/ready", spec.probes.failures)),
        liveness_probe: Some(probe("/v2/health/live", spec.probes.failures)),
        volume_mounts: Some(vec![
            mount("models", REPOSITORY, Some(true)),
            mount("state", STATE, None),
            mount("tmp", "/tmp", None),
        ]),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn resources(server: &ModelServer) -> Option<ResourceRequirements> {
    let mut resources = server.spec.resources.clone();
    if let Some(gpu) = &server.spec.gpu {
        let limits = resources.get_or_insert_default().limits.get_or_insert_default();
        limits.insert(gpu.resource.clone(), Quantity(gpu.units.to_string()));
    }
    resources
}

fn volumes(server: &ModelServer) -> Vec<Volume> {
    let volume = |name: &str, host: Option<&String>, claim: Option<&String>, create: bool| {
        let mut volume = Volume { name: name.to_owned(), ..Volume::default() };
        if let Some(path) = host {
            let kind = if create { "DirectoryOrCreate" } else { "Directory" };
            volume.host_path = Some(HostPathVolumeSource { path: path.clone(), type_: Some(kind.to_owned()) });
        } else if let Some(claim) = claim {
            let claim = PersistentVolumeClaimVolumeSource { claim_name: claim.clone(), read_only: None };
            volume.persistent_volume_claim = Some(claim);
        } else {
            volume.empty_dir = Some(EmptyDirVolumeSource::default());
        }
        volume
    };
    let (repository, state) = (&server.spec.repository, server.spec.state.as_ref());
    vec![
        volume("models", repository.host_path.as_ref(), repository.claim.as_ref(), false),
        volume(
            "state",
            state.and_then(|state| state.host_path.as_ref()),
            state.and_then(|state| state.claim.as_ref()),
            true,
        ),
        volume("tmp", None, None, false),
    ]
}
