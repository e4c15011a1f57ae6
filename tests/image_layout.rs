//! The layout of the images of `k8s/deploy/images/`, without a container engine: the program and the system's libraries in a folder
//! that is the root, read-only, with what every container has (`/proc`, `/dev/null`, `/dev/shm`), run as the images' user by
//! their own command.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, also in its helpers; a reason for skipping is for who reads the output"
)]

mod support;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::{encoded, eventually, get, infer, shipped_image};

/// Libraries that every base of ours has: those of glibc, and the unwinder's.
const IN_EVERY_BASE: [&str; 7] =
    ["ld-linux", "libc.so", "libdl.so", "libgcc_s.so", "libm.so", "libpthread.so", "librt.so"];

/// The root is mounted over itself to be read-only; `/state` is a volume.
const ENTER: &str = "set -e; root=$1; user=$2; shift 2
mount --bind $root $root
mount -t proc proc $root/proc
mount -t tmpfs tmpfs $root/dev/shm
mount --bind /dev/null $root/dev/null
mount --bind $root/state $root/state
mount -o remount,bind,ro $root
exec chroot --userspec=$user $root \"$@\"";

/// What an image's Dockerfile says of running it.
struct Image {
    user: String,
    command: Vec<String>,
}

impl Image {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/deploy/images").join(format!("{name}.Dockerfile"));
        let text = fs::read_to_string(path).unwrap();
        let said = |what: &str| text.lines().rev().find_map(|line| line.strip_prefix(what)).unwrap();
        let list = |what: &str| serde_json::from_str::<Vec<String>>(said(what)).unwrap();
        Self { user: said("USER ").to_owned(), command: [list("ENTRYPOINT "), list("CMD ")].concat() }
    }
}

/// A folder with what an image would hold.
struct Root {
    folder: tempfile::TempDir,
    running: Option<Child>,
}

impl Root {
    fn of(image: &Image) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let program = Path::new(env!("CARGO_BIN_EXE_takt"));
        place(program, &root.join(image.command[0].trim_start_matches('/')));
        for library in libraries(program) {
            place(&library, &root.join(library.strip_prefix("/").unwrap()));
        }
        for empty in ["proc", "dev/shm", "state", "models"] {
            fs::create_dir_all(root.join(empty)).unwrap();
        }
        File::create(root.join("dev/null")).unwrap();
        let ids: Vec<u32> = image.user.split(':').map(|id| id.parse().unwrap()).collect();
        chown(root.join("state"), Some(ids[0]), Some(ids[1])).unwrap();
        // The folder above is its maker's alone.
        Command::new("chmod").arg("755").arg(root).status().unwrap();
        Self { folder, running: None }
    }

    fn command(&self, image: &Image, more: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", ENTER, "sh"]).arg(self.folder.path()).arg(&image.user);
        command.args(&image.command).args(more).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

fn place(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

/// Shared libraries that a program is loaded with.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let said = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// Why a root of one's own cannot be made here, if it cannot.
fn missing() -> Option<String> {
    let tried = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

#[test]
fn the_program_needs_no_library_that_a_base_does_not_have() {
    let libraries = libraries(Path::new(env!("CARGO_BIN_EXE_takt")));
    assert!(!libraries.is_empty(), "ldd says nothing");
    for library in libraries {
        let name = library.file_name().unwrap().to_string_lossy().into_owned();
        assert!(IN_EVERY_BASE.iter().any(|known| name.starts_with(known)), "{name} is in no base image");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_answers_from_a_read_only_root_as_a_user_without_rights() {
    if let Some(why) = missing() {
        eprintln!(
            "SKIPPED a_server_answers_from_a_read_only_root_as_a_user_without_rights: needs mounts (root): {why}"
        );
        return;
    }
    let image = Image::read("cpu");
    let mut root = Root::of(&image);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/repository");
    assert!(
        Command::new("cp")
            .arg("-r")
            .arg(shipped.join("."))
            .arg(root.folder.path().join("models"))
            .status()
            .unwrap()
            .success()
    );
    let log = tempfile::NamedTempFile::new().unwrap();
    let ports = ["--host", "127.0.0.1", "--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"];
    let mut command = root.command(&image, &ports);
    root.running = Some(command.stderr(log.reopen().unwrap()).stdin(Stdio::null()).spawn().unwrap());
    let logged = || fs::read_to_string(log.path()).unwrap();
    eventually("the server is ready", || logged().contains("worker is ready").then_some(())).await;
    let address = |protocol: &str| -> SocketAddr {
        let text = logged();
        let line = text.lines().find(|line| line.contains(&format!("{protocol} listens"))).unwrap();
        line.split("address=").nth(1).unwrap().trim().parse().unwrap()
    };
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", address("gRPC"))).unwrap();
    let mut client = takt_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient::new(
        channel.connect().await.unwrap(),
    );
    let answer = infer(&mut client, encoded(&shipped_image("crack-000001.jpg"))).await.unwrap();
    assert_eq!(answer.model_name, "surface-defects");
    assert!(get(address("metrics"), "/metrics").contains("nv_inference_request_success{model=\"surface-defects\""));
    let written = fs::read_dir(root.folder.path().join("state")).unwrap().count();
    assert!(written > 0, "its state is in the volume");
}

#[cfg(feature = "operator")]
#[test]
fn the_operator_starts_from_its_image_and_misses_only_the_cluster() {
    if let Some(why) = missing() {
        eprintln!("SKIPPED the_operator_starts_from_its_image_and_misses_only_the_cluster: needs mounts (root): {why}");
        return;
    }
    let image = Image::read("operator");
    let root = Root::of(&image);
    let output = root.command(&image, &["--listen", "127.0.0.1:0"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no cluster") && told.contains("set KUBECONFIG"), "{told}");
}
