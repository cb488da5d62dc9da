"""The supervisor around small processes: order, back-off, signals, addresses that stay, and nothing left behind."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from prosa.cluster.leash import leashed
from prosa.cluster.supervise import Cluster, Description, Event, Happening, Patience, Role, Topology
from prosa.cluster.supervise.lines import Lines, LogFile
from prosa.cluster.supervise.patience import Ending, Record, after, pause_seconds
from prosa.core.errors import DataFolderInUse, PortTaken, SetupError
from prosa.testing import ManualClock

SMALL = (sys.executable, "-S", "-E", str(Path(__file__).parents[1] / "small_process.py"))
QUICK = Patience(first_seconds=0.01, most_seconds=0.02, steady_seconds=60)
SECONDS = 20.0


class Watched:
    """A cluster of small processes, with all that it told."""

    def __init__(self, folder: Path, **wishes: Any) -> None:  # noqa: ANN401 — fields of a Topology
        self.events: list[Event] = []
        self.lines: list[str] = []
        self._news = asyncio.Event()
        clock = wishes.pop("clock", None)
        small: dict[str, Any] = {
            "gateways": 2,
            "workers": 2,
            "command": SMALL,
            "patience": QUICK,
            "start_seconds": 15.0,
        }
        topology = Topology(folder=folder, environment={"PATH": os.defpath}, **{**small, **wishes})
        self.cluster = Cluster(topology, clock=clock, happened=self._happened, printed=self._printed)

    def _happened(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    def _printed(self, name: str, line: str) -> None:
        self.lines.append(f"{name}: {line}")
        self._news.set()

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS):
            while not true():
                self._news.clear()
                await self._news.wait()

    async def until_ready(self, name: str, times: int) -> None:
        await self.until(lambda: len(self.of(name, Happening.READY)) == times)

    def of(self, name: str, *kinds: Happening) -> list[Event]:
        return [event for event in self.events if event.name == name and (not kinds or event.event in kinds)]

    def pid(self, name: str) -> int:
        pid = self.cluster.process(name).pid
        assert pid is not None
        return pid


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def get(address: str) -> int:
    """The id of the process that answers."""
    async with aiohttp.ClientSession() as http, http.get(address, timeout=aiohttp.ClientTimeout(SECONDS)) as response:
        return int(await response.text())


@contextlib.asynccontextmanager
async def running(folder: Path, **wishes: Any) -> AsyncIterator[Watched]:  # noqa: ANN401
    watched = Watched(folder, **wishes)
    async with watched.cluster:
        yield watched


# ── the whole ──


async def test_a_cluster_starts_in_order_is_described_and_ends_its_gateways_first(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    async with watched.cluster as cluster:
        assert watched.lines[0] == "migrate: The schema is new."
        assert cluster.names == ("gateway-1", "gateway-2", "worker-1", "worker-2")
        started = [event.role for event in watched.events if event.event is Happening.STARTED]
        assert started == [Role.WORKER, Role.WORKER, Role.GATEWAY, Role.GATEWAY]
        description = cluster.describe()
        pids = {process.name: process.pid for process in description.processes}
        assert {process.pid for process in description.processes} == {
            await get(process.address) for process in description.processes
        }
        assert await get(description.address) in (pids["gateway-1"], pids["gateway-2"])
        assert msgspec.json.decode(cluster.file.read_bytes(), type=Description) == description
        with pytest.raises(DataFolderInUse):
            await Watched(tmp_path).cluster.__aenter__()
        with pytest.raises(PortTaken):
            await Watched(tmp_path / "other", port=int(cluster.address.rsplit(":", 1)[1])).cluster.__aenter__()
    ends = [event for event in watched.events if event.event is Happening.ENDED]
    assert [event.role for event in ends] == [Role.GATEWAY, Role.GATEWAY, Role.WORKER, Role.WORKER]
    assert all(event.code == 0 and event.asked for event in ends)
    assert not cluster.file.exists()
    assert not any(alive(pid) for pid in pids.values() if pid)
    assert (tmp_path / "worker-2.log").read_text() == "worker serves\nworker was told to end\n"


async def test_a_failing_body_comes_out_as_it_is_and_leaves_no_process(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    with pytest.raises(ZeroDivisionError):
        await _broken(watched)
    ends = [event for event in watched.events if event.event is Happening.ENDED]
    assert [event.code for event in ends] == [-signal.SIGKILL] * 4
    assert not any(alive(event.pid or 0) for event in ends)


async def _broken(watched: Watched) -> None:
    async with watched.cluster:
        raise ZeroDivisionError


async def test_each_process_sees_the_common_environment_and_its_own(tmp_path: Path) -> None:
    overrides: Mapping[str, Mapping[str, str]] = {"worker-2": {"BEHAVIOUR": "stubborn"}}
    async with running(tmp_path, overrides=overrides, stop_seconds=0.3) as watched:
        await watched.cluster.stop("worker-1")
        await watched.cluster.stop("worker-2")
    codes = [watched.of(name, Happening.ENDED)[0].code for name in ("worker-1", "worker-2")]
    assert codes == [0, -signal.SIGKILL]


async def test_a_migration_that_fails_keeps_everything_from_starting(tmp_path: Path) -> None:
    reason = tmp_path / "reason"
    reason.write_text("There is no database prosa. Make it: createdb prosa")
    watched = Watched(tmp_path / "state", overrides={"migrate": {"BROKEN": str(reason)}})
    with pytest.raises(SetupError, match=r"^There is no database prosa"):
        await watched.cluster.__aenter__()
    assert watched.events == []


async def test_what_does_not_get_ready_is_named(tmp_path: Path) -> None:
    watched = Watched(tmp_path, overrides={"gateway-2": {"BEHAVIOUR": "unready"}}, start_seconds=3.0)
    with pytest.raises(SetupError, match=r"Not ready within 3 s: gateway-2\. .*\ngateway serves$"):
        await watched.cluster.__aenter__()
    assert len([event for event in watched.events if event.event is Happening.ENDED]) == 4


async def test_what_cannot_start_says_why_and_the_start_is_given_up(tmp_path: Path) -> None:
    reason = tmp_path / "reason"
    reason.write_text("The broker refuses the password of guest. Correct PROSA_BROKER_URL.")
    watched = Watched(tmp_path / "state", overrides={"worker-1": {"BROKEN": str(reason)}})
    with pytest.raises(SetupError, match=r"^worker-1 cannot start: The broker refuses the password of guest\."):
        await watched.cluster.__aenter__()


# ── what ends is started again ──


async def test_a_killed_process_is_started_again_after_a_pause_that_doubles(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running(tmp_path, clock=clock, patience=Patience()) as watched:
        address = watched.cluster.process("worker-1").address
        pauses = []
        for starts in (2, 3, 4):
            dead = watched.pid("worker-1")
            watched.cluster.kill("worker-1")
            await clock.asleep()
            assert watched.cluster.process("worker-1").pid is None
            event = watched.of("worker-1", Happening.RESTARTING)[-1]
            assert (event.pid, event.code, event.seconds) == (dead, -signal.SIGKILL, event.seconds)
            pauses.append(event.seconds or 0)
            await clock.advance(event.seconds or 0)
            await watched.cluster.wait_ready("worker-1", SECONDS)
            assert watched.cluster.starts("worker-1") == starts
            assert watched.cluster.process("worker-1").address == address
            assert await get(address) == watched.pid("worker-1") != dead
    assert [most / 2 <= pause <= most for pause, most in zip(pauses, (0.2, 0.4, 0.8), strict=True)] == [True] * 3


async def test_a_process_that_somebody_else_has_drained_is_replaced_at_once_and_nothing_counts_as_a_crash(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with running(tmp_path, clock=clock, patience=Patience()) as watched:
        watched.cluster.kill("worker-1")
        await clock.asleep()
        await clock.advance(1)
        await watched.until_ready("worker-1", 2)
        for starts in (3, 4):
            drained = watched.pid("worker-1")
            await clock.advance(1)
            watched.cluster.signal("worker-1", signal.SIGTERM)
            # The clock stands still: whoever waits, waits for ever.
            await watched.until_ready("worker-1", starts)
            assert watched.pid("worker-1") != drained
            event = watched.of("worker-1", Happening.RESTARTING)[-1]
            assert (event.pid, event.code, event.seconds) == (drained, 0, 0)
        watched.cluster.kill("worker-1")
        await clock.asleep()
        assert (watched.of("worker-1", Happening.RESTARTING)[-1].seconds or 0) <= Patience().first_seconds


async def test_a_reason_that_stays_is_said_once_and_the_tries_go_on_until_it_is_mended(tmp_path: Path) -> None:
    reason = tmp_path / "reason"
    async with running(tmp_path / "state", overrides={"worker-1": {"BROKEN": str(reason)}}) as watched:
        reason.write_text("The schema is older than this Prosa. Run: prosa migrate")
        watched.cluster.kill("worker-1")
        await watched.until(lambda: len(watched.of("worker-1", Happening.RESTARTING)) >= 7)
        reason.unlink()
        await watched.cluster.wait_ready("worker-1", SECONDS)
        (stuck,) = watched.of("worker-1", Happening.STUCK)
    assert stuck.sentence == "The schema is older than this Prosa. Run: prosa migrate"


async def test_nothing_is_started_again_where_that_is_not_wanted(tmp_path: Path) -> None:
    async with running(tmp_path, restarts=False) as watched:
        watched.cluster.kill("gateway-1")
        await watched.until(lambda: watched.of("gateway-1", Happening.ENDED))
        assert watched.cluster.process("gateway-1").pid is None
        await watched.cluster.start("gateway-1")
        await watched.cluster.wait_ready("gateway-1", SECONDS)
    assert watched.of("gateway-1", Happening.RESTARTING) == []


async def test_a_start_by_hand_cuts_the_pause_short_and_a_stop_ends_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running(tmp_path, clock=clock, patience=Patience()) as watched:
        watched.cluster.kill("worker-1")
        await clock.asleep()
        await watched.cluster.start("worker-1")
        await watched.cluster.wait_ready("worker-1", SECONDS)
        watched.cluster.kill("worker-1")
        await clock.asleep()
        await watched.cluster.stop("worker-1")
        await clock.advance(60)
        assert watched.cluster.process("worker-1").pid is None
        assert watched.cluster.starts("worker-1") == 2


# ── what is done to one process ──


async def test_a_restart_drains_starts_and_waits_and_its_address_stays(tmp_path: Path) -> None:
    async with running(tmp_path) as watched:
        before = watched.cluster.process("gateway-1")
        await watched.cluster.restart("gateway-1")
        after_it = watched.cluster.process("gateway-1")
        assert before.address == after_it.address
        assert before.pid != after_it.pid == await get(after_it.address)
        (ended,) = watched.of("gateway-1", Happening.ENDED)
    assert (ended.code, ended.asked) == (0, True)


async def test_the_shared_address_is_served_by_whichever_gateway_is_there_and_waits_for_one(tmp_path: Path) -> None:
    async with running(tmp_path) as watched:
        await watched.cluster.stop("gateway-1")
        assert {await get(watched.cluster.address) for _ in range(5)} == {watched.pid("gateway-2")}
        watched.cluster.freeze("gateway-2")
        await watched.cluster.start("gateway-1")
        assert {await get(watched.cluster.address) for _ in range(5)} == {watched.pid("gateway-1")}
        await watched.cluster.stop("gateway-1")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(get(watched.cluster.address))
            await watched.cluster.start("gateway-1")
        assert waiting.result() == watched.pid("gateway-1")


async def test_a_frozen_process_does_not_answer_until_it_is_thawed_and_ends_when_told(tmp_path: Path) -> None:
    async with running(tmp_path) as watched:
        watched.cluster.freeze("worker-1")
        with pytest.raises(TimeoutError, match=r"^worker-1 did not get ready within 0\.5 s\.$"):
            await watched.cluster.wait_ready("worker-1", 0.5)
        watched.cluster.thaw("worker-1")
        await watched.cluster.wait_ready("worker-1", SECONDS)
        watched.cluster.freeze("worker-1")
        await watched.cluster.stop("worker-1")
        with pytest.raises(ProcessLookupError, match="worker-1 does not run"):
            watched.cluster.freeze("worker-1")
    assert watched.of("worker-1", Happening.ENDED)[0].code == 0


async def test_a_process_that_is_stopped_while_it_starts_is_down(tmp_path: Path) -> None:
    async with running(tmp_path) as watched:
        await watched.cluster.stop("worker-1")
        async with asyncio.TaskGroup() as group:
            group.create_task(watched.cluster.start("worker-1"))
            await watched.until(lambda: watched.cluster.starts("worker-1") == 2)
            await watched.cluster.stop("worker-1")
        assert watched.cluster.process("worker-1").pid is None


# ── nothing is left behind ──

PARENT = """
import subprocess
from prosa.cluster.leash import leashed
subprocess.Popen(leashed(["sh", "-c", "echo $$; exec sleep 60"]), start_new_session=True).wait()
"""


def test_a_leashed_process_dies_with_its_parent_even_if_it_is_frozen() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        handle = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGSTOP)
            parent.kill()
            _wait_for_end(handle)
        finally:
            os.close(handle)
    assert parent.returncode == -signal.SIGKILL


def _wait_for_end(handle: int) -> None:
    waiter = select.poll()
    waiter.register(handle, select.POLLIN)
    assert waiter.poll(SECONDS * 1000)


def test_a_leashed_command_that_does_not_exist_says_so() -> None:
    done = subprocess.run(leashed(["/nowhere/prosa"]), capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (1, "/nowhere/prosa cannot be run: No such file or directory.\n")


# ── decisions ──


def ends(*endings: Ending) -> Record:
    record = Record()
    for ending in endings:
        record = after(record, ending, Patience())
    return record


def pauses(record: Record) -> tuple[float, float]:
    return pause_seconds(record, Patience(), 0.0), pause_seconds(record, Patience(), 1.0)


def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_steady_time() -> None:
    crash = Ending(1, 0.0)
    assert pauses(ends(crash)) == (0.1, 0.2)
    assert pauses(ends(crash, crash)) == (0.2, 0.4)
    assert pauses(ends(*[crash] * 5)) == (1.6, 3.2)
    assert pauses(ends(*[crash] * 5000)) == (5.0, 10.0)
    assert pauses(ends(*[crash] * 9, Ending(1, 9.9))) == (5.0, 10.0)
    assert pauses(ends(*[crash] * 9, Ending(1, 10.0))) == (0.1, 0.2)


def test_a_drain_is_followed_by_no_pause_but_an_end_in_order_before_it_served_is() -> None:
    crash = Ending(1, 0.0)
    assert pauses(ends(*[crash] * 9, Ending(0, 0.1))) == (0, 0)
    assert pauses(ends(*[crash] * 9, Ending(0, 0.1), crash)) == (0.1, 0.2)
    assert pauses(ends(crash, Ending(0, 0.0))) == (0.2, 0.4)


def test_only_the_same_reason_three_times_in_a_row_is_one_that_stays() -> None:
    wrong, other = Ending(2, 0.0, "wrong password"), Ending(2, 0.0, "no such queue")
    assert not ends(wrong, wrong).stuck
    assert ends(wrong, wrong, wrong).stuck
    assert ends(wrong, wrong, wrong).newly_stuck
    assert pauses(ends(wrong, wrong, wrong)) == (5.0, 10.0)
    assert not ends(wrong, wrong, wrong, wrong).newly_stuck
    assert not ends(wrong, wrong, other, wrong).stuck
    assert not ends(wrong, wrong, Ending(1, 0.0, "wrong password"), wrong).stuck
    assert not ends(*[Ending(2, 0.0)] * 5).stuck


# ── lines ──


def test_lines_are_cut_where_they_end_and_long_ones_in_pieces() -> None:
    lines = Lines(most=4)
    assert lines.feed(b"ab") == []
    assert lines.feed(b"c\r\n\nd") == ["abc", ""]
    assert lines.feed(b"efghijk") == ["defg"]
    assert lines.feed(b"l\n") == ["hijk", "l"]
    assert lines.feed(b"\xff\nend") == ["\N{REPLACEMENT CHARACTER}"]
    assert lines.end() == ["end"]
    assert lines.end() == []


def test_a_log_that_is_full_makes_room_and_keeps_the_one_before(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "a.log", most=10)
    for line in ("one", "two", "three", "four"):
        file.write([line])
    file.close()
    assert (tmp_path / "a.log.1").read_text() == "one\ntwo\nthree\n"
    assert file.path.read_text() == "four\n"
