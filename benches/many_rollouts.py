"""What `takt operator run` costs with many ModelRollouts in steady state. Run by hand:

    python benches/many_rollouts.py TAKT KUBECONFIG [--count 1000] [--seconds 60]

TAKT is the program with the feature `operator`, KUBECONFIG one of a control plane with the definitions of `takt operator crds`
that may be written to, as `k8s/tests/control-plane start DIR` makes it (DIR/kubeconfig). Two steady states: rollouts that wait for pods
that never come, and rollouts that have ended. Prints resident memory, the share of one core, and how often the API server saw a status
change (by resource versions: goal none).
"""

import argparse
import json
import pathlib
import re
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROLLOUTS = "/apis/takt.dev/v1alpha1/namespaces/{}/modelrollouts"
SETTLE = 60


class Api:
    """The API server of a kubeconfig with a token, as the test's control plane has it."""

    def __init__(self, kubeconfig):
        text = pathlib.Path(kubeconfig).read_text()
        pick = lambda key: re.search(rf"{key}: \"?([^\"}},\s]+)", text).group(1)
        self.server, self.token = pick("server"), pick("token")
        self.context = ssl.create_default_context(cafile=pick("certificate-authority"))

    def __call__(self, method, path, body=None, kind="application/json"):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        request = urllib.request.Request(self.server + path, data, headers, method=method)
        with urllib.request.urlopen(request, context=self.context) as answer:
            return json.load(answer)


def rollout(number, namespace):
    return {
        "apiVersion": "takt.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": f"r-{number}", "namespace": namespace},
        "spec": {"selector": {"line": f"l-{number}"}, "model": "surface", "candidate": {"version": 2}},
    }


def versions(api, namespace):
    """Name to resource version, and how many have ended."""
    items = api("GET", ROLLOUTS.format(namespace))["items"]
    ended = sum(item.get("status", {}).get("phase") == "RolledBack" for item in items)
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in items}, ended


def processor(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory(pid):
    """Resident MB, and MB of these that are no pages of files."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return [int(re.search(rf"{key}:\s+(\d+)", text).group(1)) / 1024 for key in ("VmRSS", "RssAnon")]


def watch(api, namespace, pid, seconds, what):
    before, _ = versions(api, namespace)
    begun = processor(pid)
    time.sleep(seconds)
    share = (processor(pid) - begun) / seconds
    after, ended = versions(api, namespace)
    written = sum(before[name] != version for name, version in after.items())
    resident, own = memory(pid)
    print(
        f"{what}: {len(after)} rollouts ({ended} taken back), {resident:.1f} MB resident, {own:.1f} MB of it the process's own, "
        f"{100 * share:.1f} % of a core, {written} written in {seconds} s"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("takt")
    parser.add_argument("kubeconfig")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60)
    args = parser.parse_args()
    api, namespace = Api(args.kubeconfig), f"bench-{int(time.time())}"
    api("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    with tempfile.TemporaryFile() as log:
        command = [args.takt, "operator", "run", "--namespace", namespace, "--lease-namespace", namespace]
        command += ["--listen", "127.0.0.1:0"]
        environment = {"KUBECONFIG": str(args.kubeconfig), "RUST_LOG": "warn"}
        operator = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            for number in range(args.count):
                api("POST", ROLLOUTS.format(namespace), rollout(number, namespace))
            time.sleep(SETTLE)
            watch(api, namespace, operator.pid, args.seconds, "waiting for pods")
            for number in range(args.count):
                patch = {"spec": {"abort": True}}
                path = f"{ROLLOUTS.format(namespace)}/r-{number}"
                api("PATCH", path, patch, "application/merge-patch+json")
            time.sleep(SETTLE)
            watch(api, namespace, operator.pid, args.seconds, "ended")
            assert operator.poll() is None, "the operator has ended"
        finally:
            operator.terminate()
            operator.wait()
            names, _ = versions(api, namespace)
            for name in names:
                path = f"{ROLLOUTS.format(namespace)}/{name}"
                api("PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
            api("DELETE", f"/api/v1/namespaces/{namespace}")


if __name__ == "__main__":
    main()
