"""`prosa up` as a program around small processes: what it prints, and how it leaves."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from prosa import settings
from prosa.cluster.supervise.console import Prefix, greeting
from prosa.cluster.supervise.services import missing
from prosa.cluster.supervise.topology import Description, Event, Happening, Process, Role, sentence
from prosa.cluster.supervise.up import HURRIED, Wish, models, topology_of
from prosa.core.errors import BadConfig
from prosa.settings import Settings

SMALL = (sys.executable, "-S", "-E", str(Path(__file__).parents[1] / "small_process.py"))
SECONDS = 30.0
PROGRAM = f"""
import sys
from prosa import settings
from prosa.cluster.supervise.up import Wish, up
sys.exit(up(settings.load({{"port": 0}}), Wish(2, 2, as_json="--json" in sys.argv, command={SMALL!r})))
"""
ELSEWHERE = {
    "PROSA_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "PROSA_BROKER_URL": "amqp://nobody@127.0.0.1:1/",
}


class Up:
    """The program in a folder of its own."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self.state = folder / "data" / "cluster"
        self._stack = ExitStack()
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            env={"PATH": os.defpath, "PROSA_DATA_DIR": str(folder / "data"), **ELSEWHERE, **environment},
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._handles: list[int] = []

    def __enter__(self) -> Self:
        self._stack.enter_context(self._process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._stack.close()
        for handle in self._handles:
            os.close(handle)

    @property
    def out(self) -> Iterator[str]:
        assert self._process.stdout is not None
        return iter(self._process.stdout.readline, "")

    @property
    def err(self) -> Iterator[str]:
        assert self._process.stderr is not None
        return iter(self._process.stderr.readline, "")

    def told(self, words: str) -> str:
        """The next line of the log with these words."""
        return next(line for line in self.err if words in line)

    def event(self, **fields: object) -> dict[str, Any]:
        """The next event with these fields."""
        return next(event for line in self.out if fields.items() <= (event := json.loads(line)).items())

    def ready(self) -> dict[str, Any]:
        """The first line, which is the description; its processes are remembered."""
        described: dict[str, Any] = json.loads(next(self.out))
        assert described["event"] == "ready"
        self.remember(*(process["pid"] for process in described["processes"]))
        return described

    def remember(self, *pids: int) -> None:
        self._handles.extend(map(os.pidfd_open, pids))

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def left(self) -> int:
        """The exit code. Nothing that was remembered may live on."""
        code = self._process.wait(SECONDS)
        for handle in self._handles:
            waiter = select.poll()
            waiter.register(handle, select.POLLIN)
            assert waiter.poll(SECONDS * 1000)
        return code


def test_programs_get_the_description_then_each_event_as_a_line_of_json(tmp_path: Path) -> None:
    with Up(tmp_path, "--json") as up:
        described = up.ready()
        assert json.loads((up.state / "cluster.json").read_text()) == {
            key: value for key, value in described.items() if key != "event"
        }
        processes = {process["name"]: process for process in described["processes"]}
        assert [*processes] == ["gateway-1", "gateway-2", "worker-1", "worker-2"]
        assert described["folder"] == str(up.state)
        assert described["supervisor"] == up.pid
        os.kill(processes["worker-2"]["pid"], signal.SIGKILL)
        ended = up.event(event="ended", name="worker-2")
        assert (ended["role"], ended["code"], ended["asked"]) == ("worker", -9, False)
        assert 0.1 <= up.event(event="restarting", name="worker-2")["seconds"] <= 0.2
        ready = up.event(event="ready", name="worker-2")
        up.remember(ready["pid"])
        described = json.loads((up.state / "cluster.json").read_text())
        assert described["processes"][3]["pid"] == ready["pid"] != processes["worker-2"]["pid"]
        assert ready["at"] > ended["at"]
        up.signal(signal.SIGTERM)
        ends = [json.loads(line) for line in up.out]
        assert [(event["event"], event["role"], event["code"]) for event in ends] == [
            *[("ended", "gateway", 0)] * 2,
            *[("ended", "worker", 0)] * 2,
        ]
        assert up.left() == 0
        assert not (up.state / "cluster.json").exists()


def test_people_read_where_it_is_and_whose_line_it_is(tmp_path: Path) -> None:
    with Up(tmp_path) as up:
        assert up.told("The only model is").startswith("prosa     │ ")
        assert up.told("schema") == "migrate   │ The schema is new.\n"
        assert up.told("worker serves") in ("worker-1  │ worker serves\n", "worker-2  │ worker serves\n")
        line = next(up.out)
        assert line.startswith("Prosa is ready. Open http://127.0.0.1:")
        assert line.endswith(" in a browser; 2 gateways and 2 workers; Ctrl-C ends it.\n")
        up.signal(signal.SIGINT)
        assert "the gateways first" in up.told("Ending")
        assert up.told("has ended") in (f"prosa     │ gateway-{number} has ended (exit code 0).\n" for number in (1, 2))
        assert up.left() == 0


def test_a_second_ctrl_c_ends_all_at_once(tmp_path: Path) -> None:
    with Up(tmp_path, "--json", BEHAVIOUR="stubborn") as up:
        up.ready()
        up.signal(signal.SIGINT)
        up.told("gateway was told to end")
        up.signal(signal.SIGINT)
        assert up.left() == HURRIED


def test_a_signal_while_it_starts_ends_it_as_well(tmp_path: Path) -> None:
    with Up(tmp_path, BEHAVIOUR="unready") as up:
        up.told("gateway serves")
        up.signal(signal.SIGTERM)
        assert up.left() == 0
        assert next(up.out, None) is None


def test_nothing_survives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with Up(tmp_path, "--json") as up:
        for process in up.ready()["processes"]:
            os.kill(process["pid"], signal.SIGSTOP)
        up.signal(signal.SIGKILL)
        assert up.left() == -signal.SIGKILL


def test_a_terminal_that_nobody_reads_keeps_no_process_waiting(tmp_path: Path) -> None:
    with Up(tmp_path, "--json", BEHAVIOUR="talkative") as up:
        up.ready()
        for name in ("worker-1", "gateway-2"):
            assert (up.state / f"{name}.log").read_text().splitlines()[-2].startswith("line 19999 ")
        assert str(up.state) in up.told("lines are not shown")
        up.signal(signal.SIGTERM)
        assert up.left() == 0


def test_what_must_be_set_up_first_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "prosa", "up", "--json", "--port", str(port), "--data-dir", str(tmp_path)],
            env={"PATH": os.defpath, **ELSEWHERE},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        f"prosa: Port {port} on 127.0.0.1 is taken by another program. Stop it, or give another --port."
    )


# ── decisions ──


@pytest.fixture(autouse=True)
def _own_house(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key in Settings.model_fields:
        monkeypatch.delenv(f"PROSA_{key.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "decided"),
    [
        ({}, {"PROSA_SCRIPTED": "true", "PROSA_LOCAL": "false"}),
        ({"PROSA_LOCAL": "true"}, {"PROSA_SCRIPTED": "true"}),
        ({"PROSA_LOCAL": "false", "PROSA_SCRIPTED": "true"}, {}),
        ({"PROSA_SCRIPTED": "false"}, {}),
        ({"PROSA_DEFAULT_MODEL": "local"}, {"PROSA_SCRIPTED": "true"}),
        ({"PROSA_WORKER_POOLS": "local"}, {"PROSA_SCRIPTED": "true"}),
    ],
)
def test_what_was_said_about_the_models_is_kept(
    given: dict[str, str], decided: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert models(settings.load()) == decided


def test_a_private_service_stands_in_for_each_that_is_not_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROSA_DATABASE_URL", ELSEWHERE["PROSA_DATABASE_URL"])
    monkeypatch.setenv("PROSA_DRAIN_SECONDS", "100")
    found = settings.load()
    (broker,) = services = missing(found, tmp_path)
    assert broker.described == Process("broker", Role.BROKER, None, broker.address)
    topology = topology_of(found, Wish(1, 2, as_json=False), services)
    assert topology.environment["PROSA_DATABASE_URL"] == ELSEWHERE["PROSA_DATABASE_URL"]
    assert topology.environment["PROSA_BROKER_URL"] == broker.address
    assert topology.environment["PROSA_DATA_DIR"] == str(found.data_dir)
    assert topology.stop_seconds > 100


def test_each_gateway_shows_its_metrics_at_a_port_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(port: str, gateways: int) -> list[str]:
        monkeypatch.setenv("PROSA_METRICS_PORT", port)
        monkeypatch.setenv("PROSA_METRICS_HOST", "0.0.0.0")  # noqa: S104 — written down, not bound
        topology = topology_of(settings.load(), Wish(gateways, 1, as_json=False), [])
        names = [f"gateway-{number}" for number in range(1, gateways + 1)]
        ports = [topology.environment_of(name)["PROSA_METRICS_PORT"] for name in names]
        assert topology.metrics == {name: f"http://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
        return ports

    assert shown("9000", 3) == ["9000", "9001", "9002"]
    assert shown("7999", 3) == ["7999", "8001", "8002"], "8000 is that of the people"
    assert len(set(shown("0", 2)) - {"0"}) == 2
    assert shown("65535", 1) == ["65535"]
    with pytest.raises(BadConfig, match=r"metrics_port: from 65535 on there are not 2 ports"):
        shown("65535", 2)


def test_without_a_port_of_their_own_the_metrics_are_at_each_processs_address() -> None:
    assert topology_of(settings.load(), Wish(2, 1, as_json=False), []).metrics == {}


def test_a_prefix_is_coloured_only_where_that_is_wanted() -> None:
    assert Prefix(["a"], coloured=False)("a", "x") == "a     │ x"
    assert Prefix(["a"], coloured=True)("a", "x") == "\x1b[36ma     │ \x1b[0mx"


def test_one_is_not_said_in_the_plural() -> None:
    processes = [Process("gateway-1", Role.GATEWAY, 1, ""), Process("worker-1", Role.WORKER, 2, "")]
    assert "1 gateway and 1 worker;" in greeting(Description("http://127.0.0.1:1", processes, "", 1))


def test_an_end_is_told_by_its_signal() -> None:
    event = Event(
        event=Happening.RESTARTING, name="worker-1", role=Role.WORKER, at=0.0, code=-signal.SIGKILL, seconds=0.25
    )
    assert sentence(event) == "worker-1 ended by itself (SIGKILL); next try in 0.2 s."


def test_a_drain_that_somebody_else_asked_for_is_told_as_one() -> None:
    event = Event(event=Happening.RESTARTING, name="worker-1", role=Role.WORKER, at=0.0, code=0, seconds=0.0)
    assert sentence(event) == "worker-1 has drained and left; a fresh one takes its place."


def test_a_second_cluster_on_one_folder_is_refused_and_leaves_the_first_alone(tmp_path: Path) -> None:
    with Up(tmp_path, "--json") as first:
        first.ready()
        with Up(tmp_path, "--json") as second:
            assert f"Another prosa process (id {first.pid}) uses the data folder" in second.told("DataFolderInUse:")
            assert second.left() != 0
        assert json.loads((first.state / "cluster.json").read_text())["supervisor"] == first.pid
        first.signal(signal.SIGTERM)
        assert first.left() == 0
