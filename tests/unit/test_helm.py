"""The Helm chart: every object is one that Kubernetes takes, and says of Prosa what Prosa's code says."""

import base64
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Route

from prosa import settings
from prosa.core.exposure import Exposure
from prosa.gateway import health
from prosa.gateway.parts import Options
from prosa.settings import Settings
from prosa.worker import probes
from tests import chart
from tests.chart import SETS, Object, Pods, component, of_kind, pods, rendered, run, selector, template, variables
from tests.deployment import ROOT, is_command

CHART: Final = yaml.safe_load((chart.CHART / "Chart.yaml").read_text("utf-8"))
VERSIONS: Final = (CHART["kubeVersion"].removeprefix(">=").removesuffix(".0-0"), kubernetes_validate.latest_version())
CRDS: Final = {
    kind: jsonschema_rs.validator_for(schema)
    for kind, schema in json.loads((ROOT / "tests" / "crds.json").read_text("utf-8")).items()
}
NOBODY: Final = 10001
EVERY: Final = pytest.mark.parametrize("name", SETS)


def key(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


# ── the form ──


@EVERY
def test_the_linter_finds_nothing(name: str) -> None:
    ended = run("lint", "--strict", "--quiet", str(chart.CHART), *SETS[name])
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_object_is_one_that_kubernetes_takes() -> None:
    """Strictly: an unknown field is refused. Objects that several sets have in common are looked at once."""
    every = {json.dumps(one, sort_keys=True) for name in SETS for one in rendered(name)}
    assert len(every) > 60
    for text in every:
        one = json.loads(text)
        own = CRDS.get(f"{one['apiVersion']} {one['kind']}")
        if own is not None:
            assert [f"{key(one)} {list(e.instance_path)}: {e.message}" for e in own.iter_errors(one["spec"])] == []
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(one, version, strict=True)


def test_every_kind_of_object_is_there_at_least_once() -> None:
    kinds = {one["kind"] for name in SETS for one in rendered(name)}
    workloads = {"Deployment", "StatefulSet", "Job", "Pod"}
    scaling = {"HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget"}
    roads = {"Service", "Ingress", "HTTPRoute", "NetworkPolicy", "ServiceMonitor"}
    assert kinds == workloads | scaling | roads | {"ConfigMap", "Secret", "ServiceAccount"}


def test_a_field_that_is_none_is_found() -> None:
    (gateway,) = (one for one in rendered("trial") if key(one) == "Deployment prosa-gateway")
    wrong = json.loads(json.dumps(gateway))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@EVERY
def test_names_are_given_once_and_every_reference_leads_somewhere(name: str) -> None:
    objects = rendered(name)
    keys = [key(one) for one in objects]
    assert len(set(keys)) == len(keys)
    for one in objects:
        if one["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = one["spec"]["scaleTargetRef"]
            assert f"{target['kind']} {target['name']}" in keys
        if one["kind"] == "StatefulSet":
            assert f"Service {one['spec']['serviceName']}" in keys
    for made in pods(objects):
        account = made.spec.get("serviceAccountName")
        assert account is None or f"ServiceAccount {account}" in keys, made.owner


@EVERY
def test_every_selector_finds_pods_and_no_two_owners_share_one(name: str) -> None:
    objects = rendered(name)
    made = tuple(pods(objects))
    for one in of_kind(objects, "Deployment", "StatefulSet").values():
        owners = {each.owner for each in made if each.selected(selector(one))}
        assert owners == {one["metadata"]["name"]}, f"{key(one)} takes pods of others"
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        for one in of_kind(objects, kind).values():
            assert any(each.selected(selector(one)) for each in made), key(one)
    for each in made:
        for constraint in each.spec.get("topologySpreadConstraints", ()):
            assert each.selected(constraint["labelSelector"]["matchLabels"]), each.owner


@EVERY
def test_services_lead_to_ports_that_their_pods_have(name: str) -> None:
    objects = rendered(name)
    for service in of_kind(objects, "Service").values():
        for made in (one for one in pods(objects) if one.selected(selector(service))):
            for port in service["spec"]["ports"]:
                own = made.port(port["targetPort"])
                assert service["spec"].get("clusterIP") != "None" or own == port["port"], key(service)


# ── what runs in it ──

MARGIN_SECONDS: Final = 10
"""What docs/operations.md ("Drain and deploy") asks for beyond the settings."""


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Loaded":
    return Loaded(monkeypatch, tmp_path)


class Loaded:
    """The settings that a container finds, with its variables set and its volumes laid out as files."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.patch = patch
        self.folder = folder

    def __call__(self, objects: tuple[Object, ...], made: Pods, container: Object) -> Settings:
        folder = self.folder / f"{made.owner}-{container['name']}"
        for path, content in files(objects, made, container).items():
            place = folder / path.removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content, "utf-8")
        with self.patch.context() as patch:
            for name in settings_variables():
                patch.delenv(name, raising=False)
            for name, value in variables(container).items():
                patch.setenv(name, f"{folder}{value}" if value.startswith(("/secrets/", "/etc/")) else value)
            patch.chdir(self.folder)
            return settings.load()


def settings_variables() -> Iterator[str]:
    for name in [*(settings.PREFIX + key.upper() for key in Settings.model_fields), *settings.OTHER_VARIABLES]:
        yield from (name, f"{name}_FILE")


SECRETS: Final = {"postgres/url": "postgresql://prosa:p@db/prosa", "rabbitmq/url": "amqp://prosa:p@mq/prosa"}
OWN_MAPS: Final = {"prosa-models": {"prosa.toml": ""}}
"""What an operator has made by hand, for the example that names it."""


def files(objects: tuple[Object, ...], made: Pods, container: Object) -> dict[str, str]:
    """What the container finds where it mounts ConfigMaps and Secrets; of these, something in their stead."""
    maps = {name: one["data"] for name, one in of_kind(objects, "ConfigMap").items()} | OWN_MAPS
    volumes = {volume["name"]: volume for volume in made.spec.get("volumes", ())}
    found: dict[str, str] = {}
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        for source in volume.get("projected", {}).get("sources", ()):
            for item in source["secret"]["items"]:
                found[f"{mount['mountPath']}/{item['path']}"] = SECRETS.get(item["path"], "of-24-visible-characters")
        for item in volume.get("configMap", {}).get("items", ()):
            found[f"{mount['mountPath']}/{item['path']}"] = maps[volume["configMap"]["name"]][item["key"]]
    return found


def processes(objects: tuple[Object, ...], *components: str) -> Iterator[tuple[Pods, Object]]:
    """The containers of Prosa."""
    for made in pods(objects):
        if made.component in (components or ("gateway", "worker", "migrate")):
            yield from ((made, one) for one in made.containers)


@EVERY
def test_commands_are_those_of_this_prosa_and_its_settings_are_taken(name: str, load: Loaded) -> None:
    for made, container in processes(rendered(name)):
        assert "command" not in container, "the image's own entry point runs"
        assert container["args"] == [container["name"]]
        assert is_command(container["args"]), container["args"]
        found = load(rendered(name), made, container)
        assert [warning for warning in found.warnings if "is no setting" in warning] == []
        assert found.database_url.startswith("postgresql+asyncpg://prosa:")
        assert found.log_format == "json"
        if container["name"] == "migrate":
            continue
        assert found.broker_url is not None
        assert re.match(r"amqps?://prosa:", found.broker_url)
        assert found.metrics_token is not None


@EVERY
def test_processes_listen_where_others_look_for_them(name: str, load: Loaded) -> None:
    for made, container in processes(rendered(name), "gateway", "worker"):
        if container["name"] == "migrate":
            continue
        found = load(rendered(name), made, container)
        assert found.host == "0.0.0.0"  # noqa: S104 — in a pod of its own
        if made.component == "gateway":
            assert (found.port, found.metrics_port) == (made.port("http"), made.port("metrics"))
            assert found.metrics_host == found.host
        else:
            assert found.probe_port == made.port("probes")


@EVERY
def test_probes_ask_paths_that_there_are(name: str) -> None:
    gateway = {route.path for route in health.router().routes if isinstance(route, APIRoute)}
    application = probes.application(probes.Probes("wk", Response, Exposure()))
    worker = {route.path for route in application.routes if isinstance(route, Route)}
    for made, container in processes(rendered(name), "gateway", "worker"):
        if container["name"] == "migrate":
            continue
        asked = {kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
        paths = {kind: probe["httpGet"]["path"] for kind, probe in asked.items()}
        assert paths == {"startup": "/health/live", "readiness": "/health/ready", "liveness": "/health/live"}
        assert set(paths.values()) <= (gateway if made.component == "gateway" else worker)
        for probe in asked.values():
            assert made.port(probe["httpGet"]["port"]) == made.port("http" if made.component == "gateway" else "probes")
        # The gateway itself waits 2 s for the database: whoever waits less calls a slow answer none.
        assert asked["readiness"]["timeoutSeconds"] > Options(version="").probe_seconds
        assert {route.path for route in application.routes if isinstance(route, Route)} >= {"/metrics"}


@pytest.mark.parametrize(
    "given",
    [
        *SETS.values(),
        ("--set-json", 'gateway={"unreadySeconds":0.4,"closeSeconds":60.2},worker={"drainSeconds":1800.5}'),
        ("--set", "worker.drainSeconds=86400,worker.marginSeconds=10"),
    ],
)
def test_whoever_is_told_to_end_gets_the_time_that_it_takes(given: tuple[str, ...], load: Loaded) -> None:
    objects = template(*given)
    for made, container in processes(objects, "gateway", "worker"):
        if container["name"] == "migrate":
            continue
        found = load(objects, made, container)
        leaving = found.unready_seconds + found.close_seconds
        takes = leaving if made.component == "gateway" else found.drain_seconds
        assert made.spec["terminationGracePeriodSeconds"] >= math.ceil(takes) + MARGIN_SECONDS, made.owner
        assert made.spec["terminationGracePeriodSeconds"] <= math.ceil(takes) + 2 * MARGIN_SECONDS, made.owner


def test_each_pool_has_workers_of_its_own_with_what_is_said_for_it(load: Loaded) -> None:
    objects = rendered("pools")
    found = {
        made.owner: load(objects, made, one) for made, one in processes(objects, "worker") if one["name"] == "worker"
    }
    assert {name: (one.worker_pools, one.slots, one.drain_seconds) for name, one in found.items()} == {
        "prosa-worker-gpu": (("gpu",), 8, 600),
        "prosa-worker-rest": (("cloud", "local"), 100, 120),
    }
    served = {pool for one in found.values() for pool in one.worker_pools}
    assert served == {model.pool for model in next(iter(found.values())).catalog}, "a pool that nobody serves"
    assert all(one.api_key(one.catalog[1]) or one.api_key(one.catalog[2]) for one in found.values())
    gpu, rest = (
        next(one for one in component(objects, "worker") if one.owner.endswith(name)) for name in ("gpu", "rest")
    )
    assert gpu.spec["nodeSelector"] == {"accelerator": "nvidia"}
    assert "nodeSelector" not in rest.spec


def test_only_workers_are_told_the_keys_of_models() -> None:
    for name in ("production", "pools"):
        for made, container in processes(rendered(name)):
            told = [one for one in variables(container) if one.endswith("_KEY_FILE")]
            assert bool(told) == (container["name"] == "worker"), f"{made.owner}: {told}"
            held = json.dumps(made.spec.get("volumes"))
            assert ("models/" in held) == (made.component == "worker"), made.owner


# ── nobody is root, nothing leaks ──


@EVERY
def test_every_pod_is_confined(name: str) -> None:
    for made in pods(rendered(name)):
        pod = made.spec["securityContext"]
        assert pod["runAsNonRoot"] is True, made.owner
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, made.owner
        assert pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] == (NOBODY if made.is_prosa else 999), made.owner
        assert made.spec["automountServiceAccountToken"] is False, made.owner
        # A Service called prosa would give us PROSA_PORT=tcp://…
        assert made.spec["enableServiceLinks"] is False, made.owner
        assert not made.spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, made.owner
        for container in made.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, made.owner
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, made.owner
            assert "memory" in container["resources"]["limits"], made.owner
    for account in of_kind(rendered(name), "ServiceAccount").values():
        assert account["automountServiceAccountToken"] is False


def test_the_user_and_the_folders_are_those_of_the_image() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    assert f"USER {NOBODY}:{NOBODY}" in image
    for _, container in processes(rendered("production")):
        written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert written == {"/var/lib/prosa", "/tmp"}  # noqa: S108 — of the image
        assert "PROSA_DATA_DIR=/var/lib/prosa" in image


@EVERY
def test_secrets_are_named_and_never_written(name: str) -> None:
    objects = rendered(name)
    made_here = {one["metadata"]["name"]: set(one["data"]) for one in of_kind(objects, "Secret").values()}
    theirs = {
        "prosa-database": {"password"},
        "prosa-broker": {"password"},
        "openai": {"api-key"},
        "cloud": {"key"},
        "prosa-database-app": {"uri"},
        "prosa-broker-app": {"connection_string"},
        "prosa-traces": {"headers"},
        "prosa-own": {"metrics-token"},
    }
    for wanted, item in secrets_wanted(objects):
        assert item in (made_here | theirs)[wanted], f"{wanted}: {item}"
    given = [pair for made in pods(objects) for one in made.containers for pair in variables(one).items()]
    for variable, value in given:
        is_secret = re.search("PASS|TOKEN|KEY|HEADERS", variable)
        assert not is_secret or not value or (variable.endswith("_FILE") and value.startswith("/secrets/")), variable
        assert not re.search(r"://[^/@]*:[^/@]+@", value), f"{variable} holds a password"
    for secret in of_kind(objects, "Secret").values():
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert all(len(base64.b64decode(value)) >= 32 for value in secret["data"].values())


def secrets_wanted(value: object) -> Iterator[tuple[str, str]]:
    """Every key of a Secret that something in it names."""
    if isinstance(value, dict):
        for source in (value.get("secretKeyRef"), value.get("credentials")):
            if source:
                yield source["name"], source["key"]
        secret = value.get("secret")
        if isinstance(secret, dict):
            for item in secret["items"]:
                yield secret.get("name") or secret["secretName"], item["key"]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from secrets_wanted(inner)


def test_two_installs_have_no_password_in_common() -> None:
    one, another = (of_kind(template(), "Secret")["prosa-secrets"]["data"] for _ in range(2))
    assert one.keys() == {"metrics-token", "postgresql-password", "rabbitmq-password"}
    assert not {*one.values()} & {*another.values()}
    assert of_kind(rendered("gateway-api"), "Secret") == {}, "whoever brings a Secret is made none"
