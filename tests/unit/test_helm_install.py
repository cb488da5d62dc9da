"""Installing and upgrading: who migrates and when, which secrets stay, and that all parts are of one release."""

import json
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import pytest
import yaml

from tests.chart import CHART, SETS, Object, component, of_kind, pods, rendered, run, template
from tests.deployment import ROOT, compose

HOOK: Final = "helm.sh/hook"


def hooks(one: Object) -> str:
    return str(one["metadata"].get("annotations", {}).get(HOOK, ""))


# ── who migrates ──


def test_with_a_database_elsewhere_a_job_migrates_before_anything_else_of_the_release_is_there() -> None:
    objects = rendered("production")
    before = [one for one in objects if "pre-install" in hooks(one)]
    assert {one["kind"] for one in before} == {"Job", "ServiceAccount", "NetworkPolicy"}
    assert all(hooks(one) == "pre-install,pre-upgrade" for one in before)
    (job,) = of_kind(objects, "Job").values()
    others = [one for one in before if one["kind"] != "Job"]
    assert all(int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0 for one in others)
    # What the job names is a hook too, or was there before: nothing that only the release brings.
    brought = {one["metadata"]["name"] for one in objects if one["kind"] in ("Secret", "ConfigMap", "ServiceAccount")}
    brought -= {one["metadata"]["name"] for one in before}
    assert brought >= {"prosa-secrets", "prosa-config", "prosa-gateway"}
    assert [name for name in brought if name in json.dumps(job["spec"])] == []
    assert all("initContainers" not in made.spec for made in pods(objects))
    assert job["spec"]["activeDeadlineSeconds"] == 3600


@pytest.mark.parametrize("name", ["trial", "pools"])
def test_with_a_database_of_its_own_every_pod_migrates_before_it_starts(name: str) -> None:
    """It is not there before an install; and after it, a hook would wait for pods that wait for the hook."""
    objects = rendered(name)
    assert of_kind(objects, "Job") == {}
    assert {hooks(one) for one in objects} == {"", "test"}
    for made in (*component(objects, "gateway"), *component(objects, "worker")):
        (first,) = made.spec["initContainers"]
        assert (first["name"], first["args"]) == ("migrate", ["migrate"])


def test_whoever_migrates_himself_is_left_to_it() -> None:
    for name in ("trial", "production"):
        objects = template(*SETS[name], "--set", "migrations.enabled=false")
        assert of_kind(objects, "Job") == {}
        assert all("initContainers" not in made.spec for made in pods(objects))


def test_an_upgrade_restarts_no_database_and_no_broker() -> None:
    def made(*given: str) -> Object:
        return {name: one["spec"] for name, one in of_kind(template(*given), "StatefulSet").items()}

    assert made() == made("--set", "image.tag=9.9.9,settings.user_limit=7,gateway.closeSeconds=30")
    labels = [one.labels for one in pods(rendered("trial")) if one.kind == "StatefulSet"]
    assert all("app.kubernetes.io/version" not in one for one in labels)


def test_other_models_make_new_pods() -> None:
    def mark(toml: str) -> list[str]:
        objects = template("--set-json", f"config.toml={json.dumps(toml)}")
        deployments = of_kind(objects, "Deployment").values()
        return [one["spec"]["template"]["metadata"]["annotations"]["prosa/config"] for one in deployments]

    assert mark("a = 1") == mark("a = 1")
    assert not set(mark("a = 1")) & set(mark("a = 2"))


# ── which secrets stay ──

KEPT: Final = {"postgresql-password": "a2VwdC1wZw==", "rabbitmq-password": "a2VwdC1tcQ=="}
OWNED: Final = {
    "name": "prosa-secrets",
    "namespace": "chat",
    "labels": {"app.kubernetes.io/managed-by": "Helm"},
    "annotations": {"meta.helm.sh/release-name": "prosa", "meta.helm.sh/release-namespace": "chat"},
}
"""As an uninstall leaves it behind; without these, Helm would refuse to take it over."""
GROUPS: Final = {
    "v1": ("secrets Secret", "services Service", "configmaps ConfigMap", "serviceaccounts ServiceAccount", "pods Pod"),
    "apps/v1": ("deployments Deployment", "statefulsets StatefulSet"),
    "autoscaling/v2": ("horizontalpodautoscalers HorizontalPodAutoscaler",),
    "networking.k8s.io/v1": ("networkpolicies NetworkPolicy",),
    "policy/v1": ("poddisruptionbudgets PodDisruptionBudget",),
}


def cluster(path: str) -> Object | None:
    """What a cluster answers that has nothing but the Secret of an earlier install."""
    if path == "/version":
        return {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        versions = [{"groupVersion": name, "version": name.split("/")[1]} for name in GROUPS if name != "v1"]
        groups = [
            {"name": one["groupVersion"].split("/")[0], "versions": [one], "preferredVersion": one} for one in versions
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version in GROUPS:
        words = [one.split() for one in GROUPS[version]]
        listed = [{"name": plural, "kind": kind, "namespaced": True, "verbs": ["get"]} for plural, kind in words]
        return {"kind": "APIResourceList", "groupVersion": version, "resources": listed}
    if path == "/api/v1/namespaces/chat/secrets/prosa-secrets":
        return {"apiVersion": "v1", "kind": "Secret", "metadata": OWNED, "data": KEPT}
    return None


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = cluster(self.path.partition("?")[0])
        body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def answering() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_passwords_of_an_earlier_install_stay_and_only_what_was_missing_is_made() -> None:
    """The services keep what they were told at their first start: new ones would lock everybody out."""
    with answering() as address:
        made = ["template", "prosa", str(CHART), "--namespace", "chat", "--dry-run=server"]
        ended = run(*made, "--kube-apiserver", address, "--disable-openapi-validation")
    assert ended.returncode == 0, ended.stderr
    objects = tuple(one for one in yaml.safe_load_all(ended.stdout) if one)
    data = of_kind(objects, "Secret")["prosa-secrets"]["data"]
    assert {name: data[name] for name in KEPT} == KEPT
    assert len(data["metrics-token"]) >= 48


# ── of one release ──


def test_the_chart_is_of_this_release_and_runs_what_compose_runs() -> None:
    facts = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert facts["version"] == facts["appVersion"] == project["version"]
    services = compose()["services"]
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert services["gateway"]["image"] == f"{values['image']['repository']}:{facts['appVersion']}"
    for name, service in (("postgresql", "postgres"), ("rabbitmq", "rabbitmq")):
        assert values[name]["image"] == services[service]["image"]


def test_the_broker_is_set_as_in_containers_without_a_cluster() -> None:
    data = of_kind(rendered("trial"), "ConfigMap")["prosa-rabbitmq"]["data"]
    folder = ROOT / "deploy" / "compose"

    def lines(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert lines(data["rabbitmq.conf"]) == lines((folder / "rabbitmq.conf").read_text("utf-8"))
    assert lines(data["enabled_plugins"]) == lines((folder / "enabled_plugins").read_text("utf-8"))
    (broker,) = component(rendered("trial"), "rabbitmq")
    config = next(one["mountPath"] for one in broker.containers[0]["volumeMounts"] if one["name"] == "config")
    named = {one["name"]: one.get("value") for one in broker.containers[0]["env"]}
    assert named["RABBITMQ_CONFIG_FILE"] == f"{config}/rabbitmq.conf"
    assert named["RABBITMQ_ENABLED_PLUGINS_FILE"] == f"{config}/enabled_plugins"
