//! The control plane that these tests run against, and a namespace of it for each test.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config, ResourceExt};
use serde_json::json;
use takt_operator::crd::{ModelRollout, definitions};
use takt_operator::lead::Terms;
use takt_operator::reconcile::Pace;
use takt_operator::run::Settings;

use crate::device::{Device, MODEL};

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
        let client = Client::try_from(config(&kubeconfig).await).unwrap();
        install(&client).await;
        let namespace = format!("{test}-{:x}", std::process::id());
        let object = json!({"metadata": {"name": namespace}});
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        Some(Self { client, namespace, kubeconfig })
    }

    /// A client that acts as the operator's service account.
    pub async fn as_operator(&self) -> Client {
        let mut config = config(&self.kubeconfig).await;
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{}:takt-operator", self.namespace));
        Client::try_from(config).unwrap()
    }

    pub fn settings(&self, identity: &str) -> Settings {
        let terms = Terms {
            namespace: self.namespace.clone(),
            identity: identity.to_owned(),
            expires: Duration::from_secs(3),
            renew: Duration::from_millis(500),
            ..Terms::default()
        };
        let pace = Pace {
            at_work: Duration::from_millis(200),
            waiting: Duration::from_millis(300),
            figures: Duration::from_secs(2),
        };
        Settings { namespace: Some(self.namespace.clone()), terms, listen: ([127, 0, 0, 1], 0).into(), pace }
    }

    /// Devices, each with a pod that is ready and has the device's address.
    pub async fn devices(&self, count: usize) -> Vec<Device> {
        let mut devices = Vec::new();
        for i in 0..count {
            let device = Device::start().await;
            self.pod(&format!("device-{i}"), &device).await;
            devices.push(device);
        }
        devices
    }

    async fn pod(&self, name: &str, device: &Device) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pod = json!({
            "metadata": {"name": name, "labels": {"line": "a"}, "annotations": {"takt.dev/grpc-port": device.address.port().to_string()}},
            "spec": {"containers": [{"name": "takt", "image": "takt"}]}
        });
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let status = json!({"status": {"phase": "Running", "podIP": "127.0.0.1"}});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    pub fn rollouts(&self) -> Api<ModelRollout> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn rollout(&self, patch: serde_json::Value) -> ModelRollout {
        let mut spec = json!({"selector": {"line": "a"}, "model": MODEL, "candidate": {"version": 2}});
        spec.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        let object = json!({
            "apiVersion": "takt.dev/v1alpha1", "kind": "ModelRollout", "metadata": {"name": "surface-2"}, "spec": spec
        });
        self.rollouts().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
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
        match eventually(|| async { Some(self.read().await).filter(&stands) }).await {
            Some(object) => object,
            None => panic!("the rollout never stood so: {what}; {:#?}", self.read().await.status),
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

async fn config(kubeconfig: &PathBuf) -> Config {
    let read = Kubeconfig::read_from(kubeconfig).unwrap();
    Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap()
}

async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions() {
        let name = definition.name_any();
        // Not applied by the server: that of 1.20 refuses the rules (CEL), which it otherwise leaves out.
        match api.create(&PostParams::default(), &definition).await {
            Ok(_) => {}
            Err(::kube::Error::Api(status)) if status.code == 409 => {
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&definition)).await.unwrap();
            }
            Err(error) => panic!("{name}: {error}"),
        }
        let established = await_condition(api.clone(), &name, is_crd_established());
        tokio::time::timeout(PATIENCE, established).await.expect("the definition is established").unwrap();
    }
}
