"""Lines on their way out: nobody waits for who reads them, and what is missing is said."""

import gc
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter

import pytest

from prosa.lines import OVERHEAD_CHARACTERS, WAITING_CHARACTERS, LineHandler, Lines, descriptor_of, offer

LONG = "x" * 900
MOST = WAITING_CHARACTERS // (len(LONG) + OVERHEAD_CHARACTERS)
SECONDS = 20.0


class Pipe:
    """A log through a pipe that is read when the test likes."""

    def __init__(self) -> None:
        self.end, self.descriptor = os.pipe()
        self.lines = Lines(self.descriptor, lambda lines: f"{lines} missing")
        self.lines.__enter__()
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._read = bytearray()

    def say(self, *lines: str) -> None:
        for line in lines:
            self.lines.put(line)

    def finish(self, seconds: float) -> bool:
        self.lines.finish(seconds)
        return not self.lines.stuck

    def read(self) -> None:
        """From now on."""
        self._reader.start()

    def _drain(self) -> None:
        with suppress(OSError):
            while some := os.read(self.end, 65_536):
                self._read += some

    def whole(self) -> list[str]:
        """All of them: nothing more is written."""
        assert self.finish(SECONDS)
        os.close(self.descriptor)
        self._reader.join(SECONDS)
        return self._read.decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    for descriptor in (made.end, made.descriptor):
        with suppress(OSError):
            os.close(descriptor)


def test_every_line_is_written_in_order(pipe: Pipe) -> None:
    pipe.read()
    said = [f"line {number}" for number in range(10_000)]
    pipe.say(*said)
    assert pipe.whole() == said
    assert pipe.lines.dropped == 0


def test_who_speaks_never_waits_for_who_reads_and_what_is_missing_is_said_in_its_place(pipe: Pipe) -> None:
    count = 3 * MOST
    pipe.say(f"000000{LONG[6:]}")
    assert select.select([pipe.end], [], [], SECONDS)[0]
    begun = perf_counter()
    for number in range(1, count):
        pipe.say(f"{number:06}{LONG[6:]}")
    assert perf_counter() - begun < SECONDS / 2
    dropped = pipe.lines.dropped
    assert count - 2 * MOST <= dropped < count
    pipe.read()
    lines = pipe.whole()
    gaps = [place for place, line in enumerate(lines) if line.endswith(" missing")]
    assert sum(int(lines[place].split()[0]) for place in gaps) == dropped
    kept = [int(line[:6]) for line in lines if not line.endswith(" missing")]
    assert kept == sorted(kept)
    assert len(kept) == count - dropped
    assert kept[-1] == count - 1, "the newest were dropped"
    assert lines[0].startswith("000000"), "what was on its way already went on"


def test_the_last_lines_are_waited_for_but_not_for_long(pipe: Pipe) -> None:
    pipe.say(*[LONG] * 1000)
    begun = perf_counter()
    assert not pipe.finish(0.2)
    assert 0.2 <= perf_counter() - begun < 2


def test_a_reader_that_is_gone_costs_its_lines_and_nothing_else(pipe: Pipe) -> None:
    os.close(pipe.end)
    pipe.say(*["nobody"] * 100)
    assert pipe.finish(SECONDS)
    assert pipe.lines.dropped == 100


def test_without_a_place_to_write_to_lines_are_dropped() -> None:
    with Lines(None, str) as lines:
        lines.put("nobody")
    assert lines.dropped == 1


def test_a_pipe_that_does_not_block_gets_every_line(pipe: Pipe) -> None:
    os.set_blocking(pipe.descriptor, False)
    pipe.say(*[LONG] * 1000)
    pipe.read()
    assert pipe.whole() == [LONG] * 1000


def test_what_is_said_after_the_end_is_written_by_who_says_it(pipe: Pipe) -> None:
    pipe.read()
    assert pipe.finish(SECONDS)
    pipe.say("one more thing")
    assert pipe.whole() == ["one more thing"]


def test_a_line_that_cannot_be_worded_is_told_of_and_stops_nobody(pipe: Pipe) -> None:
    pipe.read()
    LineHandler(pipe.lines).handle(logging.makeLogRecord({"msg": "%d", "args": ("none",)}))
    pipe.say("next")
    lines = pipe.whole()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "next"


def test_garbage_that_logs_while_a_line_is_logged_is_no_trouble(pipe: Pipe) -> None:
    class Talker:
        def __init__(self) -> None:
            self.myself = self

        def __del__(self) -> None:
            pipe.say("bye")

    pipe.read()
    with collecting_often():
        for _ in range(2000):
            Talker()
            pipe.say("next")
    gc.collect()
    lines = pipe.whole()
    assert (lines.count("next"), lines.count("bye")) == (2000, 2000)


@contextmanager
def collecting_often() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*before)


# ── one short text, where it can be written at once ──


def test_an_offer_is_taken_where_there_is_room(pipe: Pipe) -> None:
    with open(os.dup(pipe.descriptor), "w") as stream:
        offer(stream, "ready\n")
        assert os.read(pipe.end, 100) == b"ready\n"


def test_an_offer_waits_for_nobody(pipe: Pipe) -> None:
    os.set_blocking(pipe.descriptor, False)
    for some in (LONG, "x"):
        with suppress(BlockingIOError):
            while True:
                os.write(pipe.descriptor, some.encode())
    os.set_blocking(pipe.descriptor, True)
    with open(os.dup(pipe.descriptor), "w") as stream:
        offer(stream, "ready\n")
        os.close(pipe.end)
        offer(stream, "ready\n")
    offer(None, "ready\n")
    assert descriptor_of(None) is None


# ── a process's end ──

CRASH = """
import sys, structlog
from prosa import logs
with logs.writing("json", "info"):
    log = structlog.get_logger("prosa.test")
    for number in range(int(sys.argv[1])):
        log.info("a line", number=number, text="x" * 1000)
    raise RuntimeError("it crashed")
"""
UNSEEN = """
import threading
from prosa import logs
class Bad:
    def __del__(self):
        raise ValueError("in a finalizer")
with logs.writing("json", "info"):
    thread = threading.Thread(target=lambda: int("in a thread"))
    thread.start()
    thread.join()
    bad = Bad()
    del bad
"""


def test_lines_and_the_traceback_of_a_crash_get_out() -> None:
    ended = subprocess.run([sys.executable, "-c", CRASH, "500"], check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.count('"a line"') == 500
    assert ended.stderr.rstrip().endswith("RuntimeError: it crashed")


def test_a_crash_ends_the_process_also_where_nobody_reads_its_last_words() -> None:
    with subprocess.Popen([sys.executable, "-c", CRASH, "2000"], stderr=subprocess.PIPE) as process:
        begun = perf_counter()
        assert process.wait(SECONDS) == 1
        assert perf_counter() - begun < SECONDS / 2


def test_errors_that_nobody_can_catch_are_lines_too() -> None:
    ended = subprocess.run([sys.executable, "-c", UNSEEN], check=False, capture_output=True, text=True)
    lines = ended.stderr.splitlines()
    assert len(lines) == 2
    for line, words in zip(lines, ("in a thread", "in a finalizer"), strict=True):
        assert "process.unseen_error" in line
        assert words in line
