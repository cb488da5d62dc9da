"""The Helm chart as tests read it: rendered by Helm itself, and what its objects say of each other."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from tests.deployment import ROOT

CHART: Final = ROOT / "deploy" / "helm" / "prosa"
HELM: Final = Path(sys.executable).parent / "helm"
EXAMPLES: Final = {path.stem: path for path in sorted((CHART / "examples").glob("*.yaml"))}
NAMESPACE: Final = "chat"
RELEASE: Final = "prosa"

Object = dict[str, Any]

SETS: Final[dict[str, tuple[str, ...]]] = {
    "trial": (),
    **{name: ("-f", str(path)) for name, path in EXAMPLES.items()},
    "production-without-keda": ("-f", str(EXAMPLES["production"]), "--set", "keda.enabled=false"),
    "bare": (
        *("--set", "networkPolicy.enabled=false,disruption.enabled=false,migrations.enabled=false"),
        *("--set", "gateway.autoscaling.enabled=false,worker.autoscaling.enabled=false,ingress.controller=haproxy"),
        *("--set", "ingress.enabled=true,ingress.hosts={chat.example},fullnameOverride=talk"),
    ),
}
"""Values that are given, by what they are: each is linted, rendered and looked at whole."""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    assert HELM.exists(), "The tests need Helm. Install it: make helm"
    return subprocess.run([HELM, *words], capture_output=True, text=True, check=False, timeout=60)


def template(*given: str) -> tuple[Object, ...]:
    """The objects of a release with these options. A refusal is a failed test."""
    ended = run("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *given)
    assert ended.returncode == 0, ended.stderr
    return tuple(one for one in yaml.safe_load_all(ended.stdout) if one)


def refusal(*given: str) -> str:
    """What a person is told whose values are refused."""
    ended = run("template", RELEASE, str(CHART), *given)
    assert ended.returncode != 0, f"{given} is taken"
    return ended.stderr


@cache
def rendered(name: str) -> tuple[Object, ...]:
    return template(*SETS[name])


def of_kind(objects: tuple[Object, ...], *kinds: str) -> dict[str, Object]:
    """By name, of which there is one each."""
    found = [one for one in objects if one["kind"] in kinds]
    named = {one["metadata"]["name"]: one for one in found}
    assert len(named) == len(found), f"two of {kinds} have one name"
    return named


class Pods(msgspec.Struct, frozen=True):
    """What makes pods, and how they are."""

    owner: str
    kind: str
    labels: dict[str, str]
    spec: Object

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def is_prosa(self) -> bool:
        """They are made of Prosa's image, and not of a service below it."""
        return self.component in ("gateway", "worker", "migrate", "test")

    @property
    def containers(self) -> tuple[Object, ...]:
        return (*self.spec.get("initContainers", ()), *self.spec["containers"])

    def selected(self, selector: Mapping[str, str]) -> bool:
        return selector.items() <= self.labels.items()

    def port(self, name: str) -> int:
        (found,) = (
            port["containerPort"] for one in self.containers for port in one.get("ports", ()) if port["name"] == name
        )
        return int(found)


def pods(objects: tuple[Object, ...]) -> Iterator[Pods]:
    for one in objects:
        spec = one if one["kind"] == "Pod" else one.get("spec", {}).get("template")
        if spec:
            yield Pods(one["metadata"]["name"], one["kind"], spec["metadata"]["labels"], spec["spec"])


def component(objects: tuple[Object, ...], name: str) -> tuple[Pods, ...]:
    return tuple(one for one in pods(objects) if one.component == name)


def variables(container: Object) -> dict[str, str]:
    """Plain values; those that come from elsewhere are empty."""
    listed = [(one["name"], str(one.get("value", ""))) for one in container.get("env", ())]
    assert len(dict(listed)) == len(listed), f"a variable is given twice: {listed}"
    return dict(listed)


def selector(one: Object) -> dict[str, str]:
    """Which pods an object is about, however its kind writes it."""
    spec = one["spec"]
    found = spec.get("podSelector") or spec.get("selector")
    labels: dict[str, str] = found.get("matchLabels", found)
    return labels
