"""The units of systemd: it finds nothing wrong itself, and commands, variables and times are those of this Prosa."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment import ROOT, is_command, is_setting

FOLDER = ROOT / "deploy" / "systemd"
PROGRAM = "/opt/prosa/.venv/bin/prosa"
UNITS = sorted(FOLDER.glob("*.service"))
LOCKED = 2.0
"""The highest exposure that `systemd-analyze security` may find; 10 is a service without any protection."""
SCORE = re.compile(r"Overall exposure level for \S+: ([\d.]+)")


def values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text("utf-8"), re.MULTILINE)


def environment(unit: Path) -> dict[str, str]:
    """What the unit sets itself."""
    return dict(re.findall(r"([A-Z_]+)=(\S+)", " ".join(values(unit, "Environment"))))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units with a program that is there, and instances as the target names them."""
    made = tmp_path_factory.mktemp("units")
    for unit in (*UNITS, FOLDER / "prosa.target"):
        text = unit.read_text("utf-8").replace(PROGRAM, sys.executable)
        names = [unit.name]
        if "@." in unit.name:
            wanted = values(FOLDER / "prosa.target", "Wants")
            names += [name for line in wanted for name in line.split() if name.startswith(unit.stem)]
        for name in names:
            (made / name).write_text(text)
    return made


def analyze(*words: str) -> str:
    program = shutil.which("systemd-analyze")
    assert program, "The tests need systemd-analyze. Install it: sudo apt-get install systemd"
    found = subprocess.run([program, *words], capture_output=True, check=False, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout + found.stderr


def test_systemd_finds_nothing_wrong(installed: Path) -> None:
    units = [str(path) for path in sorted(installed.iterdir()) if "@." not in path.name]
    assert len(units) == 7
    assert analyze("verify", "--man=no", *units) == ""


@pytest.mark.parametrize("name", ["prosa.service", "prosa-gateway@8000.service", "prosa-worker@9001.service"])
def test_a_service_can_do_little_else(installed: Path, name: str) -> None:
    (score,) = SCORE.findall(analyze("security", "--offline=true", "--no-pager", str(installed / name)))
    assert float(score) <= LOCKED


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_commands_and_variables_are_those_of_this_prosa(unit: Path) -> None:
    (line,) = values(unit, "ExecStart")
    program, *words = line.split()
    assert program == PROGRAM
    assert is_command(words)
    assert [name for name in environment(unit) if not is_setting(name)] == []


def test_a_wrong_setting_is_not_tried_again_and_all_else_is() -> None:
    for unit in UNITS:
        if unit.name != "prosa-migrate.service":
            assert values(unit, "Restart") == ["always"], unit.name
            assert values(unit, "RestartPreventExitStatus") == ["2"], unit.name


def test_a_process_that_is_told_to_end_gets_the_time_that_it_takes() -> None:
    gateway, worker = FOLDER / "prosa-gateway@.service", FOLDER / "prosa-worker@.service"
    given = environment(gateway)
    leaving = float(given["PROSA_UNREADY_SECONDS"]) + float(given["PROSA_CLOSE_SECONDS"])
    assert float(values(gateway, "TimeoutStopSec")[0]) >= leaving + 10
    assert float(values(worker, "TimeoutStopSec")[0]) >= float(environment(worker)["PROSA_DRAIN_SECONDS"]) + 10


def test_secrets_are_handed_over_as_files() -> None:
    for unit in UNITS:
        handed = {line.partition(":")[0] for line in values(unit, "LoadCredential")}
        read = {value.removeprefix("%d/") for name, value in environment(unit).items() if name.endswith("_FILE")}
        assert handed == read, unit.name
        assert handed == (set() if unit.name == "prosa.service" else {"database_password", "broker_password"})


def test_the_file_of_settings_holds_settings_and_no_secret() -> None:
    text = (FOLDER / "prosa.env").read_text("utf-8")
    names = re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE)
    assert len(names) >= 3
    assert [name for name in names if not is_setting(name)] == []
    assert not re.search("PASSWORD|TOKEN|://[^@/]*:", text)


def test_the_balancers_file_is_one_and_names_the_gateways_of_the_target(tmp_path: Path) -> None:
    text = (FOLDER / "haproxy.cfg").read_text("utf-8")
    ports = re.findall(r"server \S+ 127\.0\.0\.1:(\d+)", text)
    assert ports == re.findall(r"prosa-gateway@(\d+)", " ".join(values(FOLDER / "prosa.target", "Wants")))
    (tmp_path / "haproxy.cfg").write_text(text.replace("bind :80", "bind :8080"))
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program, "The tests need HAProxy. Install it: sudo apt-get install haproxy"
    checked = subprocess.run([program, "-c", "-f", str(tmp_path / "haproxy.cfg")], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()
