//! The control plane that tests run against, and a namespace of it for each test. The program's own end-to-end tests use it too.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config, ResourceExt};
use serde_json::json;
use takt_operator::crd::{ModelRollout, definitions};

/// Longest time that anything here is waited for. Nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A namespace of a control plane where the definitions are installed.
pub struct Place {
    pub client: Client,
    pub namespace: String,
    kubeconfig: PathBuf,
}

impl Place {
    /// `None`, and a line that says why, where there is no control plane to test against.
    pub async fn find(test: &str) -> Option<Self> {
        let Some(kubeconfig) = std::env::var_os("TAKT_TEST_KUBE").map(PathBuf::from) else {
            assert!(
                std::env::var_os("TAKT_REQUIRE_KUBE").is_none(),
                "TAKT_REQUIRE_KUBE is set and TAKT_TEST_KUBE is not"
            );
            eprintln!("SKIPPED {test}: TAKT_TEST_KUBE names no kubeconfig of a control plane that tests may write to");
            return None;
        };
        let client = client(&kubeconfig).await;
        install(&client).await;
        let namespace = format!("{test}-{:x}", std::process::id());
        let object = json!({"metadata": {"name": namespace}});
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        Some(Self { client, namespace, kubeconfig })
    }

    /// A kubeconfig of the operator's service account, with the rights that `deploy/` gives it and no others.
    pub async fn as_operator(&self) -> PathBuf {
        self.grant().await;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let account: ServiceAccount = manifest("operator/service-account.yaml");
        accounts.create(&PostParams::default(), &account).await.unwrap();
        let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
        let made = accounts.create_token_request(&account.name_any(), &PostParams::default(), &request).await.unwrap();
        let mut kubeconfig = serde_json::to_value(Kubeconfig::read_from(&self.kubeconfig).unwrap()).unwrap();
        kubeconfig["users"][0]["user"] = json!({"token": made.status.unwrap().token});
        let path = std::env::temp_dir().join(format!("{}.kubeconfig", self.namespace));
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        path
    }

    /// Grants the operator's service account what `deploy/` grants it.
    async fn grant(&self) {
        let force = PatchParams::apply("test").force();
        let role: ClusterRole = manifest("operator/rules.yaml");
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        roles.patch(&role.name_any(), &force, &Patch::Apply(&role)).await.unwrap();
        let lease = read("operator/lease.yaml");
        let (lease_role, lease_binding) = lease.split_once("\n---\n").unwrap();
        let lease_role: Role = serde_saphyr::from_str(lease_role).unwrap();
        let roles: Api<Role> = Api::namespaced(self.client.clone(), &self.namespace);
        roles.patch(&lease_role.name_any(), &force, &Patch::Apply(&lease_role)).await.unwrap();
        let bindings: Api<RoleBinding> = Api::namespaced(self.client.clone(), &self.namespace);
        for text in [lease_binding.to_owned(), read("overlays/namespaced/binding.yaml")] {
            let mut binding: RoleBinding = serde_saphyr::from_str(&text).unwrap();
            for subject in binding.subjects.iter_mut().flatten() {
                subject.namespace = Some(self.namespace.clone());
            }
            bindings.patch(&binding.name_any(), &force, &Patch::Apply(&binding)).await.unwrap();
        }
    }

    /// A pod that is ready and whose gRPC API is at that address of this machine.
    pub async fn pod(&self, name: &str, address: SocketAddr) {
        self.pod_with(name, address, json!({"line": "a"})).await;
    }

    /// The same with other labels.
    pub async fn pod_with(&self, name: &str, address: SocketAddr, labels: serde_json::Value) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let port = address.port().to_string();
        let pod = json!({
            "metadata": {"name": name, "labels": labels, "annotations": {"takt.dev/grpc-port": port}},
            "spec": {"containers": [{"name": "takt", "image": "takt"}]}
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let status = json!({"status": {"phase": "Running", "podIP": address.ip().to_string(), "conditions": ready}});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    pub fn rollouts(&self) -> Api<ModelRollout> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A rollout of version 2 on all pods, with parts of its spec as they are given here.
    pub async fn rollout(&self, patch: serde_json::Value) -> ModelRollout {
        self.try_rollout("surface-2", patch).await.unwrap()
    }

    pub async fn try_rollout(&self, name: &str, patch: serde_json::Value) -> kube::Result<ModelRollout> {
        let mut spec = json!({"selector": {"line": "a"}, "model": "surface", "candidate": {"version": 2}});
        spec.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        let object = json!({
            "apiVersion": "takt.dev/v1alpha1", "kind": "ModelRollout", "metadata": {"name": name}, "spec": spec
        });
        self.rollouts().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await
    }

    pub async fn patch(&self, spec: serde_json::Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.rollouts().patch("surface-2", &PatchParams::default(), &patch).await.unwrap();
    }

    pub async fn read(&self) -> ModelRollout {
        self.rollouts().get("surface-2").await.unwrap()
    }

    /// Waits until the rollout stands so.
    pub async fn until(&self, what: &str, stands: impl Fn(&ModelRollout) -> bool) -> ModelRollout {
        self.until_of("surface-2", what, stands).await
    }

    pub async fn until_of(&self, name: &str, what: &str, stands: impl Fn(&ModelRollout) -> bool) -> ModelRollout {
        let read = || async { self.rollouts().get(name).await.unwrap() };
        match eventually(|| async { Some(read().await).filter(&stands) }).await {
            Some(object) => object,
            None => panic!("{name} never stood so: {what}; {:#?}", read().await.status),
        }
    }

    pub async fn until_phase(&self, phase: &str) -> ModelRollout {
        self.until(phase, |object| object.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase))
            .await
    }

    /// Leaves nothing behind. What a finalizer still holds is let go.
    pub async fn clear(self) {
        let all = self.rollouts().list(&Default::default()).await.unwrap();
        for object in all.items {
            let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            let _ = self.rollouts().patch(&object.name_any(), &PatchParams::default(), &free).await;
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let _ = namespaces.delete(&self.namespace, &DeleteParams::default()).await;
        let _ = std::fs::remove_file(std::env::temp_dir().join(format!("{}.kubeconfig", self.namespace)));
    }
}

/// Asks until there is an answer, or patience ends.
pub async fn eventually<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> Option<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.ok()
}

/// A client as a kubeconfig says.
pub async fn client(kubeconfig: &Path) -> Client {
    let read = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// A file below `deploy/`.
pub fn read(path: &str) -> String {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let k8s = if project.ends_with("k8s") { project.to_owned() } else { project.join("k8s") };
    std::fs::read_to_string(k8s.join("deploy").join(path)).unwrap()
}

fn manifest<K: serde::de::DeserializeOwned>(path: &str) -> K {
    serde_saphyr::from_str(&read(path)).unwrap()
}

async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions() {
        let name = definition.name_any();
        // Not applied by the server: that of 1.20 refuses the rules (CEL), which it otherwise leaves out.
        match api.create(&PostParams::default(), &definition).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&definition)).await.unwrap();
            }
            Err(error) => panic!("{name}: {error}"),
        }
        let established = await_condition(api.clone(), &name, is_crd_established());
        tokio::time::timeout(PATIENCE, established).await.expect("the definition is established").unwrap();
    }
}
