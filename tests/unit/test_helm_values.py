"""The values of the chart: what is refused, and that their form is that of the settings and of the templates."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import yaml

from prosa.settings import Settings
from tests.chart import CHART, EXAMPLES, SETS, refusal, template
from tests.deployment import ROOT

SCHEMA: Final[dict[str, Any]] = json.loads((CHART / "values.schema.json").read_text("utf-8"))
VALUES: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
TEMPLATES: Final = "\n".join(path.read_text("utf-8") for path in sorted((CHART / "templates").rglob("*.*")))
BY_THE_CHART: Final = frozenset(
    {"host", "port", "data_dir", "probe_port", "metrics", "metrics_port", "metrics_host", "metrics_token"}
    | {"database_url", "database_password", "broker_url", "broker_password", "otlp_headers", "proxies", "models"}
    | {"slots", "worker_pools", "drain_seconds", "unready_seconds", "close_seconds"}
)
"""Settings that have a place of their own in the values, or none because the chart knows them."""


def test_settings_are_those_of_prosa_with_their_types_and_bounds() -> None:
    def bare(one: dict[str, Any]) -> dict[str, Any]:
        one = one["anyOf"][0] if "anyOf" in one else one
        return {key: value for key, value in one.items() if key not in ("title", "default")}

    theirs = Settings.model_json_schema()["properties"]
    assert theirs.keys() >= BY_THE_CHART
    assert SCHEMA["properties"]["settings"]["properties"] == {
        name: bare(one) for name, one in theirs.items() if name not in BY_THE_CHART
    }


@pytest.mark.parametrize(
    ("value", "setting"),
    [
        ("worker.slots", "slots"),
        ("worker.drainSeconds", "drain_seconds"),
        ("gateway.unreadySeconds", "unready_seconds"),
        ("gateway.closeSeconds", "close_seconds"),
    ],
)
def test_values_that_become_settings_have_their_bounds(value: str, setting: str) -> None:
    found = SCHEMA
    for name in value.split("."):
        found = found["properties"][name]
    theirs = Settings.model_json_schema()["properties"][setting]
    assert (found["type"], found["minimum"], found["maximum"]) == (theirs["type"], theirs["minimum"], theirs["maximum"])


def objects_of(schema: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if "properties" in schema and schema.get("type") == "object":
        yield at, schema
    for name, inner in schema.get("properties", {}).items():
        if isinstance(inner, dict):
            yield from objects_of(inner, f"{at}.{name}")


def test_every_object_refuses_what_it_does_not_know() -> None:
    found = dict(objects_of(SCHEMA))
    assert len(found) > 20
    assert [at for at, schema in found.items() if schema.get("additionalProperties") is not False] == []


def test_everything_that_can_be_given_is_shown_in_values_yaml_and_the_other_way_round() -> None:
    def keys(shown: dict[str, Any], schema: dict[str, Any], at: str) -> None:
        known = schema.get("properties")
        if known is None or at in (".settings",):
            return
        assert shown.keys() == known.keys() - {"global"}, at
        for name, inner in shown.items():
            if isinstance(inner, dict):
                keys(inner, known[name], f"{at}.{name}")

    keys(VALUES, SCHEMA, "")
    worker = SCHEMA["properties"]["worker"]
    (pool,) = SCHEMA["properties"]["pools"]["patternProperties"].values()
    assert {name: one for name, one in pool["properties"].items() if name != "pools"} == worker["properties"]


def leaves(value: object, name: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value and name not in ("requests", "limits"):
        for inner_name, inner in value.items():
            yield from leaves(inner, inner_name)
    else:
        yield name


def test_every_value_is_used_by_a_template() -> None:
    used = set(re.findall(r"\.(\w+)", TEMPLATES)) | set(re.findall(r"resources", TEMPLATES))
    assert [name for name in leaves(VALUES) if name not in used | {"requests", "limits"}] == []


SECRET: Final = {"name": "s", "key": "k"}
WRONG: Final[list[tuple[dict[str, Any], str]]] = [
    ({"gatway": {}}, "gatway"),
    ({"settings": {"user_limt": 4}}, "user_limt"),
    ({"settings": {"user_limit": "four"}}, "settings.user_limit"),
    ({"settings": {"user_limit": 0}}, "settings.user_limit"),
    ({"settings": {"sign_up": "maybe"}}, "settings.sign_up"),
    ({"settings": {"secure_cookies": True}}, "settings.secure_cookies"),
    ({"settings": {"drain_seconds": 5}}, "drain_seconds"),
    ({"settings": {"database_password": "open"}}, "database_password"),
    ({"image": {"digest": "sha256:short"}}, "image.digest"),
    ({"modelKeys": {"OPENAI_API_KEY": "sk-secret"}}, "modelKeys.OPENAI_API_KEY"),
    ({"modelKeys": {"openai": SECRET}}, "openai"),
    ({"gateway": {"autoscaling": {"minReplicas": 1}}}, "gateway.autoscaling.minReplicas"),
    ({"gateway": {"marginSeconds": 5}}, "gateway.marginSeconds"),
    ({"gateway": {"proxies": ["ingress"]}}, "gateway.proxies.0"),
    ({"worker": {"autoscaling": {"minReplicas": 0}}}, "worker.autoscaling.minReplicas"),
    ({"worker": {"slots": 16.5}}, "worker.slots"),
    ({"worker": {"autoscaling": {"queueSeconds": 0}}}, "worker.autoscaling.queueSeconds"),
    ({"pools": {"GPU": {}}}, "GPU"),
    ({"pools": {"gpu": {"replicas": 3}}}, "replicas"),
    ({"pools": {"gpu": {"pools": ["a b"]}}}, "pools.gpu.pools.0"),
    ({"keda": {"enabled": True}}, "keda.prometheus.url"),
    ({"keda": {"enabled": True, "prometheus": {"url": "prometheus:9090"}}}, "keda.prometheus.url"),
    ({"postgresql": {"bundled": False}}, "postgresql.external"),
    ({"postgresql": {"bundled": False, "external": {"url": "postgresql://u@h/d"}}}, "postgresql.external"),
    ({"postgresql": {"bundled": False, "external": {"url": "mysql://u@h/d", "passwordSecret": SECRET}}}, "url"),
    ({"rabbitmq": {"bundled": False, "external": {"passwordSecret": SECRET, "urlSecret": SECRET}}}, "rabbitmq"),
    ({"rabbitmq": {"bundled": "no"}}, "rabbitmq.bundled"),
    ({"disruption": {"maxUnavailable": 0}}, "disruption.maxUnavailable"),
    ({"networkPolicy": {"people": [{}]}}, "networkPolicy.people.0"),
    ({"networkPolicy": {"people": [{"nameSpaceSelector": {}}]}}, "networkPolicy.people.0"),
    ({"ingress": {"enabled": True}}, "ingress.hosts"),
    ({"ingress": {"timeoutSeconds": 5}}, "ingress.timeoutSeconds"),
    ({"httpRoute": {"enabled": True, "hostnames": ["a.example"]}}, "httpRoute.parentRefs"),
]


def merged(values: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    both = {**values, **more}
    for name in values.keys() & more.keys():
        if isinstance(values[name], dict) and isinstance(more[name], dict):
            both[name] = merged(values[name], more[name])
    return both


@pytest.mark.parametrize(("given", "place"), WRONG, ids=[json.dumps(given) for given, _ in WRONG])
def test_a_wrong_value_is_refused_and_its_place_is_named(given: dict[str, Any], place: str) -> None:
    words = [word for name, value in given.items() for word in ("--set-json", f"{name}={json.dumps(value)}")]
    # Helm 4 writes /a/b, Helm 3.18 writes a.b.
    assert place in refusal(*words).replace("/", ".")


def test_what_is_not_wrong_is_taken() -> None:
    """So that a refusal above has the reason that it names."""
    validator = jsonschema_rs.validator_for(SCHEMA)
    assert [error.message for error in validator.iter_errors(VALUES)] == []
    for path in EXAMPLES.values():
        assert validator.is_valid(merged(VALUES, yaml.safe_load(path.read_text("utf-8"))))


def test_what_no_schema_can_see_is_refused_by_the_templates() -> None:
    less = "is above maxReplicas"
    assert less in refusal("--set", "gateway.autoscaling.minReplicas=7")
    assert "prosa-worker-gpu" in (said := refusal(*SETS["pools"], "--set", "pools.gpu.autoscaling.minReplicas=5"))
    assert less in said
    both = refusal("--set", "config.toml=a,config.configMap=b")
    assert "config.toml and config.configMap are both given. Leave one of them out." in both


def test_a_value_reaches_the_settings_as_it_was_written() -> None:
    """Helm holds numbers as floats, and would write a million as 1e+06."""
    given = {"text_bytes": 1048576, "start_seconds": 0.5, "rate_limits": False, "origins": ["https://a", "https://b"]}
    text = json.dumps(template("--set-json", f"settings={json.dumps(given)}"))
    for name, value in (
        ("TEXT_BYTES", "1048576"),
        ("START_SECONDS", "0.5"),
        ("RATE_LIMITS", "false"),
        ("ORIGINS", "https://a,https://b"),
    ):
        assert json.dumps({"name": f"PROSA_{name}", "value": value}) in text


# ── what the pages say of it ──

PAGES: Final = (ROOT / "docs" / "deploy.md", CHART / "README.md")
SECTION: Final = PAGES[0].read_text("utf-8").split("\n## Kubernetes\n")[1].split("\n## ")[0]


def test_values_that_the_page_names_are_there() -> None:
    named = {name for cell in re.findall(r"`([^`\n]+)`", SECTION) for name in re.findall(r"^[a-z][\w.]*(?=:|$)", cell)}
    of_values = {name for name in named if name.split(".")[0] in VALUES}
    assert of_values >= {"postgresql.bundled", "gateway.proxies", "keda.enabled", "existingSecret", "config.toml"}
    for name in of_values:
        found: Any = VALUES
        for part in name.split("."):
            assert part in found, f"docs/deploy.md names {name}"
            found = found[part]
    short = {name for name in named if re.fullmatch(r"[a-z]+([A-Z]\w+)+", name)} - {"terminationGracePeriodSeconds"}
    assert short >= {"drainSeconds", "queueSeconds"}
    assert short - {*leaves(VALUES), *VALUES} <= {"maxSurge", "maxUnavailable"}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_on_the_pages_are_ones_that_helm_takes(page: Path) -> None:
    found = re.findall(
        r"^helm (?:install|upgrade) prosa (\S+)((?: -\S+ [^\s#]+)*)", page.read_text("utf-8"), re.MULTILINE
    )
    assert len(found) == 2
    for folder, options in found:
        assert ROOT / folder == CHART
        words = [str(EXAMPLES["production"]) if one == "my.yaml" else one for one in options.split()]
        assert template(*(str(ROOT / one) if one.startswith("deploy/") else one for one in words))
