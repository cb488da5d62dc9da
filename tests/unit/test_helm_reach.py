"""Who reaches whom in the cluster: network policies as a cluster reads them, and the roads in."""

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import pytest
from sqlalchemy import make_url

from tests.chart import NAMESPACE, SETS, Object, component, of_kind, pods, rendered, selector, template, variables

HEARTBEAT_SECONDS: Final = 20
"""Both ends of a socket say something so often while they live (uvicorn's ping)."""


class Place(msgspec.Struct, frozen=True):
    """One end of a connection: a pod of this namespace or of another, or an address outside."""

    labels: dict[str, str] = {}
    namespace: str = ""
    address: str = "10.1.2.3"


INGRESS: Final = Place(namespace="ingress")
PROMETHEUS: Final = Place(namespace="monitoring")
STRANGER: Final = Place(namespace="elsewhere")
PROVIDER: Final = Place(address="203.0.113.7")
METADATA: Final = Place(address="169.254.169.254")
DATABASE: Final = Place(address="192.0.2.10")


def pod(objects: tuple[Object, ...], name: str) -> Place:
    return Place(component(objects, name)[0].labels, NAMESPACE)


def admits(peer: Mapping[str, Object], other: Place) -> bool:
    """Whether the other end is among those that a peer of a rule means."""
    if "ipBlock" in peer:
        address = ipaddress.ip_address(other.address)
        inside = address in ipaddress.ip_network(peer["ipBlock"]["cidr"])
        return inside and not any(address in ipaddress.ip_network(one) for one in peer["ipBlock"].get("except", ()))
    if not other.namespace:
        return False
    known = {"kubernetes.io/metadata.name": other.namespace}
    wanted: Object = peer.get("namespaceSelector", {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}})
    labels: dict[str, str] = peer.get("podSelector", {}).get("matchLabels", {})
    namespaces: dict[str, str] = wanted.get("matchLabels", {})
    return namespaces.items() <= known.items() and labels.items() <= other.labels.items()


def passes(rules: Iterable[Object], side: str, other: Place, port: int) -> bool:
    return any(
        ("ports" not in rule or any(one["port"] == port for one in rule["ports"]))
        and (side not in rule or any(admits(peer, other) for peer in rule[side]))
        for rule in rules
    )


def reaches(objects: tuple[Object, ...], source: Place, target: Place, port: int) -> bool:
    """Both ends must let it through; an end without a policy lets everything through."""
    for here, there, kind, side in ((source, target, "Egress", "to"), (target, source, "Ingress", "from")):
        about = [
            policy["spec"]
            for policy in of_kind(objects, "NetworkPolicy").values()
            if here.namespace == NAMESPACE and selector(policy).items() <= here.labels.items()
        ]
        about = [spec for spec in about if kind in spec["policyTypes"]]
        if about and not any(passes(spec.get(kind.lower(), ()), side, there, port) for spec in about):
            return False
    return True


WITH_POLICIES: Final = [name for name in SETS if name != "bare"]


@pytest.mark.parametrize("name", WITH_POLICIES)
def test_every_pod_has_a_policy_for_both_directions(name: str) -> None:
    policies = of_kind(rendered(name), "NetworkPolicy").values()
    for made in pods(rendered(name)):
        about = [one for one in policies if made.selected(selector(one))]
        assert made.component == "test" or [one["spec"]["policyTypes"] for one in about] == [["Ingress", "Egress"]]


@pytest.mark.parametrize("name", WITH_POLICIES)
def test_processes_reach_the_database_and_the_broker_that_they_are_told(name: str) -> None:
    """By name where they are services of this release; elsewhere at their addresses."""
    objects = rendered(name)
    for made in pods(objects):
        here = Place(made.labels, NAMESPACE)
        given = variables(made.containers[0]) if made.is_prosa else {}
        for variable, usual in (("PROSA_DATABASE_URL", 5432), ("PROSA_BROKER_URL", 5672)):
            if variable not in given:
                continue
            url = make_url(given[variable])
            services = of_kind(objects, "Service")
            there = DATABASE
            if url.host in services:
                (target,) = (one for one in pods(objects) if one.selected(selector(services[url.host])))
                there = Place(target.labels, NAMESPACE)
                assert url.port in [port["port"] for port in services[url.host]["spec"]["ports"]]
            assert reaches(objects, here, there, url.port or usual), f"{made.owner} to {url.host}"


def test_in_a_trial_nobody_else_reaches_the_services_and_they_reach_nobody() -> None:
    objects = rendered("trial")
    gateway, worker, postgresql, rabbitmq = (
        pod(objects, one) for one in ("gateway", "worker", "postgresql", "rabbitmq")
    )
    for source in (INGRESS, PROMETHEUS, STRANGER, Place({}, NAMESPACE), rabbitmq):
        assert not reaches(objects, source, postgresql, 5432), source
        assert not reaches(objects, source, rabbitmq, 5672), source
    for service in (postgresql, rabbitmq):
        for target, port in ((PROVIDER, 443), (gateway, 8000), (worker, 8001), (STRANGER, 53)):
            assert not reaches(objects, service, target, port), target
    assert not reaches(objects, gateway, rabbitmq, 15672)
    assert not reaches(objects, STRANGER, worker, 22)


def test_only_workers_go_out_to_models_and_none_to_the_clouds_own_metadata() -> None:
    objects = rendered("trial")
    gateway, worker = pod(objects, "gateway"), pod(objects, "worker")
    assert reaches(objects, worker, PROVIDER, 443)
    assert not reaches(objects, gateway, PROVIDER, 443)
    assert not reaches(objects, worker, METADATA, 80)
    assert not reaches(objects, gateway, METADATA, 80)


@pytest.mark.parametrize("name", ["trial", "production"])
def test_prometheus_reaches_what_is_scraped(name: str) -> None:
    objects = rendered(name)
    places = {"gateway": 9464, "worker": 8001} | ({"rabbitmq": 15692} if name == "trial" else {})
    for part, port in places.items():
        assert reaches(objects, PROMETHEUS, pod(objects, part), port), part
        assert reaches(objects, STRANGER, pod(objects, part), port) is (name == "trial"), part


def test_in_production_people_come_by_the_ingress_and_the_database_is_at_one_address() -> None:
    objects = rendered("production")
    gateway, worker, migrate = (pod(objects, one) for one in ("gateway", "worker", "migrate"))
    assert reaches(objects, INGRESS, gateway, 8000)
    assert not reaches(objects, STRANGER, gateway, 8000)
    assert reaches(objects, pod(objects, "test"), gateway, 8000), "helm test"
    for source in (gateway, migrate):
        assert not reaches(objects, source, Place(address="192.0.2.11"), 5432)
    for source in (gateway, worker, migrate):
        assert reaches(objects, source, STRANGER, 53)
    assert not reaches(objects, migrate, DATABASE, 5671)
    assert not reaches(objects, worker, Place(address="10.9.9.9"), 443), "models are on the internet"
    assert reaches(objects, gateway, Place(address="10.9.9.9"), 4318), "traces"


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("amqps://prosa@mq.example/prosa", 5671),
        ("amqp://prosa@mq.example/prosa", 5672),
        ("amqps://prosa@mq.example:5699/prosa", 5699),
    ],
)
def test_the_way_to_a_broker_is_open_at_the_port_of_its_address(url: str, port: int) -> None:
    values = {"bundled": False, "external": {"url": url, "passwordSecret": {"name": "s", "key": "k"}}}
    objects = template("--set-json", f"rabbitmq={json.dumps(values)}")
    assert reaches(objects, pod(objects, "gateway"), PROVIDER, port)
    assert not reaches(objects, pod(objects, "gateway"), PROVIDER, port + 1)


# ── the roads in ──


def test_an_ingress_leaves_sockets_open_and_binds_nobody_to_a_gateway() -> None:
    for name in ("production", "bare"):
        objects = rendered(name)
        (ingress,) = of_kind(objects, "Ingress").values()
        given = {key: value for key, value in ingress["metadata"]["annotations"].items() if "timeout" in key}
        assert len(given) == 2, name
        assert all(int(value.removesuffix("s")) > 10 * HEARTBEAT_SECONDS for value in given.values()), given
        (rule,) = ingress["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        backend = path["backend"]["service"]
        ports = of_kind(objects, "Service")[backend["name"]]["spec"]["ports"]
        assert backend["port"]["name"] in [port["name"] for port in ports]
        assert not re.search("affinity|sticky|cookie-name|hash", json.dumps(ingress))


@pytest.mark.parametrize("name", SETS)
def test_no_service_binds_anybody_to_a_pod(name: str) -> None:
    for service in of_kind(rendered(name), "Service").values():
        assert service["spec"].get("sessionAffinity", "None") == "None"


def test_with_tls_at_the_ingress_cookies_are_for_https_only() -> None:
    def cookies(*given: str) -> str | None:
        objects = template(*given)
        return variables(component(objects, "gateway")[0].spec["containers"][0]).get("PROSA_SECURE_COOKIES")

    production = SETS["production"]
    (ingress,) = of_kind(rendered("production"), "Ingress").values()
    assert ingress["spec"]["tls"] == [{"secretName": "prosa-tls", "hosts": ["chat.example"]}]
    assert cookies(*production) == "on"
    assert cookies(*production, "--set-json", "ingress.tls=[]") is None
    assert cookies(*production, "--set-json", 'settings.secure_cookies="auto"') == "auto"


def test_a_route_has_no_time_out() -> None:
    (route,) = of_kind(rendered("gateway-api"), "HTTPRoute").values()
    (rule,) = route["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    (backend,) = rule["backendRefs"]
    ports = of_kind(rendered("gateway-api"), "Service")[backend["name"]]["spec"]["ports"]
    assert backend["port"] in [port["port"] for port in ports]


def test_metrics_are_at_no_address_that_people_reach() -> None:
    for name in SETS:
        for service in of_kind(rendered(name), "Service").values():
            shown = [port["name"] for port in service["spec"]["ports"]]
            assert "metrics" not in shown or service["spec"]["clusterIP"] == "None"
