"""The commands: what they print, and what a person reads when something is wrong."""

import errno
import logging
import runpy
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from prosa import cli, settings
from prosa.settings import Settings
from tests.command import Command


@pytest.fixture(autouse=True)
def _own_house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [*(f"PROSA_{key.upper()}" for key in Settings.model_fields), *settings.OTHER_VARIABLES]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROSA_DATA_DIR", str(tmp_path / "data"))
    root, ours = logging.getLogger(), logging.getLogger("prosa")
    before = (root.handlers, root.level, ours.level)
    yield
    root.handlers, root.level, ours.level = before
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def prosa(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_it_says_its_version(prosa: Command) -> None:
    assert prosa("--version") == 0
    assert prosa.out.startswith("prosa 0.")


COMMANDS = (
    *("serve", "gateway", "worker", "up", "migrate", "config", "doctor", "token", "chat", "bench", "chaos"),
    *("user", "dead", "backup", "restore", "top"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_explained(command: str, prosa: Command) -> None:
    assert prosa("--help") == 0
    assert f" {command} " in prosa.out
    assert prosa(command, "--help") == 0
    assert "Usage:" in prosa.out


# ── settings ──


def test_config_shows_each_value_and_where_it_came_from(
    prosa: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "prosa.toml").write_text("slots = 3\n")
    monkeypatch.setenv("PROSA_DATABASE_URL", "postgresql://u:hunter2@h/x")
    assert prosa("config") == 0
    rows = {line.split()[0]: line.split() for line in prosa.out.splitlines()}
    assert rows["slots"][1:] == ["3", f"{tmp_path}/prosa.toml:1"]
    assert rows["database_url"][1:] == ["postgresql+asyncpg://u:***@h/x", "PROSA_DATABASE_URL"]
    assert rows["port"][1:] == ["8000", "default"]


@pytest.mark.parametrize("command", [["serve"], ["migrate"], ["config"], ["doctor"], ["user", "list"], ["chat"]])
def test_a_broken_file_is_one_sentence_with_its_line_and_no_traceback(
    command: list[str], prosa: Command, tmp_path: Path
) -> None:
    (tmp_path / "prosa.toml").write_text('host = "0.0.0.0"\nprot = 1\n')
    assert prosa(*command) == cli.NOT_SET_UP
    assert prosa.err.startswith(f"prosa: {tmp_path}/prosa.toml, line 2: there is no setting 'prot'.")
    assert "Traceback" not in prosa.err
    assert prosa.out == ""


# ── accounts ──


def test_accounts_are_added_listed_disabled_and_enabled(prosa: Command) -> None:
    assert prosa("user", "add", "ana", "--password-stdin", stdin="correct horse\n") == 0
    assert prosa.out == "Added ana (admin).\n"
    assert prosa("user", "add", "bia", "--password-stdin", stdin="correct horse\n") == 0
    assert prosa.out == "Added bia (member).\n"
    assert prosa("user", "disable", "bia") == 0
    assert prosa("user", "list") == 0
    assert [line.split()[:3] for line in prosa.out.splitlines()] == [
        ["ana", "admin", "enabled"],
        ["bia", "member", "disabled"],
    ]
    assert prosa("user", "enable", "bia") == 0
    assert prosa("user", "role", "bia", "admin") == 0
    assert prosa.out == "bia is an administrator now.\n"
    assert prosa("user", "list") == 0
    assert prosa.out.splitlines()[1].split()[:3] == ["bia", "admin", "enabled"]
    assert prosa("user", "role", "bia", "member") == 0
    assert prosa("user", "role", "bia", "king") == 2
    assert prosa("token", "bia") == 0
    assert len(prosa.out.strip()) >= 43
    assert prosa("user", "passwd", "bia", "--password-stdin", stdin="battery staple\n") == 0


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (("user", "add", "a b", "--password-stdin"), "correct horse\n", "username"),
        (("user", "add", "ana", "--password-stdin"), "short\n", "password has 8"),
        (("user", "disable", "nobody"), "", "nobody"),
        (("user", "role", "nobody", "admin"), "", "nobody"),
        (("token", "nobody"), "", "nobody"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(words: tuple[str, ...], stdin: str, says: str, prosa: Command) -> None:
    assert prosa("user", "add", "bia", "--password-stdin", stdin="correct horse\n") == 0
    assert prosa(*words, stdin=stdin) == cli.WRONG
    assert prosa.err.startswith("prosa: ")
    assert says in prosa.err
    assert len(prosa.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("user", "list"),
        ("user", "passwd", "ana"),
        ("user", "disable", "ana"),
        ("user", "enable", "ana"),
        ("token", "ana"),
    ],
    ids=" ".join,
)
def test_in_another_folder_no_database_is_made_and_the_way_out_is_told(
    words: tuple[str, ...], prosa: Command, tmp_path: Path
) -> None:
    assert prosa(*words) == cli.NOT_SET_UP
    assert prosa.err == (
        f"prosa: There is no database in {tmp_path}/data. Run this where `prosa serve` runs, or give --data-dir.\n"
    )
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_is_a_file_is_one_sentence(prosa: Command, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert prosa("user", "add", "ana", "--password-stdin", stdin="correct horse\n") == cli.NOT_SET_UP
    assert prosa.err.startswith(f"prosa: Prosa cannot write in its data folder {tmp_path}/data: File exists.")


def test_a_list_without_accounts_says_so(prosa: Command, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert prosa("migrate") == 0
    assert prosa("user", "list") == 0
    assert prosa.out.startswith("There are no accounts yet.")


def test_a_name_that_cannot_be_is_told_before_a_password_is_asked_for(prosa: Command) -> None:
    assert prosa("user", "add", "a b") == cli.WRONG
    assert "A username has" in prosa.err
    assert "Password" not in prosa.out + prosa.err


def test_the_package_runs_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["prosa", "--version"])
    with pytest.raises(SystemExit):
        runpy.run_module("prosa", run_name="__main__")
    assert capsys.readouterr().out.startswith("prosa 0.")


# ── serve, migrate, doctor, chat ──


def test_a_taken_port_is_one_sentence(prosa: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert prosa("serve", "--port", str(taken.getsockname()[1])) == cli.NOT_SET_UP
    assert "is taken" in prosa.err
    assert "Traceback" not in prosa.err


def test_migrating_twice_changes_nothing(prosa: Command, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert prosa("migrate") == 0
    assert prosa("migrate") == 0
    assert "already" in prosa.out


def test_the_doctor_finds_a_fresh_checkout_healthy(prosa: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROSA_LOCAL", "false")
    monkeypatch.setenv("PROSA_SCRIPTED", "true")
    assert prosa("doctor") == 0
    subjects = [line.split(":")[0].split(None, 1) for line in prosa.out.splitlines()]
    assert subjects[0] == ["ok", "settings"]
    assert ["ok", "data folder"] in subjects
    assert ["ok", "database"] in subjects
    assert ["ok", "model scripted"] in subjects


def test_the_doctor_says_what_is_wrong_and_exits_with_one(
    prosa: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file where a folder should be")
    monkeypatch.setenv("PROSA_SCRIPTED", "true")
    monkeypatch.setenv("PROSA_LOCAL", "false")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PROSA_PORT", str(taken.getsockname()[1]))
        assert prosa("doctor") == cli.WRONG
    assert "fail  data folder" in prosa.out
    assert "fail  address" in prosa.out
    assert "PROSA_DATA_DIR" in prosa.out


def test_a_folder_that_may_not_be_entered_is_a_finding_and_no_traceback(
    prosa: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where tests run as root nothing is forbidden: the refusal is played.
    def forbidden(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setenv("PROSA_SCRIPTED", "true")
    monkeypatch.setenv("PROSA_LOCAL", "false")
    monkeypatch.setattr(Path, "exists", forbidden)
    assert prosa("doctor") == cli.WRONG
    assert "cannot be looked at: Permission denied. Give this user the permission" in prosa.out
    assert "address: " in prosa.out


def test_chat_from_a_pipe_needs_a_token_and_says_so(prosa: Command) -> None:
    assert prosa("chat", stdin="hello\n") == 2
    assert "PROSA_TOKEN" in prosa.err


def test_chat_without_a_server_says_how_to_start_one(prosa: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    monkeypatch.setenv("PROSA_TOKEN", "x")
    assert prosa("chat", "--url", f"http://127.0.0.1:{free}", stdin="hello\n") == cli.WRONG
    assert "prosa serve" in prosa.err
