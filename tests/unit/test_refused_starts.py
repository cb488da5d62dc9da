"""A wrong or missing setting ends a start at once, in every way of running: one sentence that names it, exit code 2."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from prosa import cli
from prosa.catalog import ModelSettings
from prosa.settings import OTHER_VARIABLES, Settings
from tests.command import Command

WAYS = (
    *("serve", "gateway", "worker", "up", "migrate", "config", "doctor"),
    *("backup x", "restore x", "user list", "user add a", "token a", "dead list"),
)
"""All that read the settings of a server."""

WRONG = {
    "host": None,  # any text may be a name; whether one listens there, the start finds out
    "port": "70000",
    "data_dir": None,
    "database_password": None,
    "database_url": "mysql://u@h/d",
    "broker_password": None,
    "broker_url": "http://h/",
    "classic_socket": "perhaps",
    "local": "2",
    "scripted": "x",
    "models": "no-json",
    "default_model": "nobody",
    "slots": "0",
    "user_limit": "-1",
    "user_waiting": "x",
    "text_bytes": "0",
    "start_seconds": "0",
    "run_seconds": "1501",
    "worker_pools": "nowhere",
    "drain_seconds": "-1",
    "unready_seconds": "x",
    "close_seconds": "601",
    "probe_port": "x",
    "database_connections": "0",
    "rate_limits": "x",
    "sign_up": "maybe",
    "session_days": "0",
    "origins": None,
    "secure_cookies": "x",
    "proxies": "balancer",
    "metrics": "x",
    "metrics_port": "-1",
    "metrics_host": None,
    "metrics_token": "short",
    "otlp_endpoint": "collector:4318",
    "otlp_spans": "0",
    "otlp_headers": None,
    "log_format": "xml",
    "log_level": "loud",
}
"""Of each setting a value that it cannot have; None where there is none."""

WRONG_OF_MODELS = {
    "name": '"two words"',
    "engine": '"magic"',
    "base_url": '"localhost:1"',
    "api_key_env": "1",
    "model": "1",
    "continues": '"perhaps"',
    "path": "1",
    "pool": '"two words"',
    "slots": "0",
    "system": "1",
    "first_token_seconds": "0",
    "between_tokens_seconds": "0",
    "context_tokens": "1",
    "reply_tokens": "0",
    "temperature": "3",
    "fallback": '"nobody"',
}


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [*(f"PROSA_{key.upper()}" for key in Settings.model_fields), *OTHER_VARIABLES]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield
    structlog.reset_defaults()


@pytest.fixture
def prosa(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def refused(prosa: Command, way: str, *named: str) -> str:
    """One sentence, nothing else, and nothing was begun. Returns the sentence."""
    assert prosa(*way.split()) == cli.NOT_SET_UP, prosa.err
    assert prosa.out == ""
    assert re.fullmatch(r"prosa: [^\n]+\n", prosa.err), prosa.err
    assert any(name in prosa.err for name in named), prosa.err
    return prosa.err


def test_the_tables_below_have_every_setting() -> None:
    assert WRONG.keys() == Settings.model_fields.keys()
    assert WRONG_OF_MODELS.keys() == ModelSettings.model_fields.keys()


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_value_is_named_in_every_way_of_running(
    way: str, prosa: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROSA_SLOTS", "many")
    refused(prosa, way, "PROSA_SLOTS: slots:")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", [key for key, value in WRONG.items() if value is not None])
def test_each_variable_that_cannot_be_is_named(key: str, prosa: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = f"PROSA_{key.upper()}"
    monkeypatch.setenv(variable, WRONG[key] or "")
    refused(prosa, "config", f"prosa: {variable}: {key}")


@pytest.mark.parametrize("key", WRONG_OF_MODELS)
def test_each_key_of_a_model_that_cannot_be_is_named_with_its_line(key: str, prosa: Command, tmp_path: Path) -> None:
    values = {"name": '"m"', "engine": '"openai"', "base_url": '"http://h/v1"', key: WRONG_OF_MODELS[key]}
    lines = [f"{one} = {value}" for one, value in values.items()]
    (tmp_path / "prosa.toml").write_text("\n".join(["[[models]]", *lines]))
    line = 2 + list(values).index(key)
    assert f"prosa.toml, line {line}: {key}" in refused(prosa, "gateway", key)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PROSA_DATABASE_URL", "postgresql://u@h:99999/d", "its port is no number up to 65535"),
        ("PROSA_DATABASE_URL", "postgresql://u:a/b@h/d", "…_password"),
        ("PROSA_DATABASE_URL", "postgresql://a b@h/d", "has no blanks"),
        ("PROSA_DATABASE_URL", "postgresql://u@h", "names no database"),
        ("PROSA_DATABASE_URL", "postgresql", "begins with postgresql:// or sqlite://"),
        ("PROSA_BROKER_URL", "amqp://u@h:x/", "its port is no number"),
        ("PROSA_BROKER_URL", "amqp://", "names no host"),
        ("PROSA_BROKER_URL", "amqp://a b@h/", "has no blanks"),
        ("PROSA_DATABASE_PASSWORD", "secret", "a file has no password"),
        ("PROSA_CONFIG", "nowhere.toml", "does not exist"),
        ("PROSA_CONFIG", ".", "Is a directory"),
        ("PROSA_PORT_FILE", "nowhere", "No such file"),
    ],
)
def test_what_leads_nowhere_is_refused_and_not_waited_for(
    variable: str, value: str, said: str, prosa: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert said in refused(prosa, "worker", variable)


def test_an_unknown_key_is_named_with_what_was_meant(prosa: Command, tmp_path: Path) -> None:
    (tmp_path / "prosa.toml").write_text("prot = 8000\n")
    assert "Did you mean 'port'?" in refused(prosa, "serve", "prosa.toml, line 1: there is no setting 'prot'")


@pytest.mark.parametrize("way", ["gateway", "worker"])
def test_what_several_processes_need_is_named_where_it_is_missing(
    way: str, prosa: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(prosa, way, "set PROSA_BROKER_URL to")
    monkeypatch.setenv("PROSA_BROKER_URL", "amqp://u@h/")
    refused(prosa, way, "Set PROSA_DATABASE_URL to")


def test_what_one_process_cannot_have_is_named(prosa: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_BROKER_URL", "amqp://u@h/")
    refused(prosa, "serve", "Remove broker_url (PROSA_BROKER_URL)")


@pytest.mark.parametrize("way", ["serve", "migrate", "restore b"])
def test_a_folder_that_cannot_be_made_is_named(
    way: str, prosa: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if way == "restore b":
        assert prosa("migrate", "--data-dir", str(tmp_path / "d")) in (0, None)
        assert prosa("backup", "b", "--data-dir", str(tmp_path / "d")) == 0
    monkeypatch.setenv("PROSA_DATA_DIR", "/proc/nowhere")
    refused(prosa, way, "/proc/nowhere")
