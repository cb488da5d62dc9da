"""What a tree of processes costs, and how it ends: with small trees of our own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prosa.cluster.tree import ZOMBIE, end_family, family, parents, stat_fields
from prosa.cluster.usage import share_bytes, usage

BURN = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
SAY = "print('ready', flush=True)\ninput()\n"


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs the code, says that it did, and waits."""
    command = [sys.executable, "-c", code + "\n" + SAY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            end_family(process.pid, 5)


def test_a_process_costs_what_it_burns() -> None:
    with python("") as process:
        idle = usage(process.pid).cpu_seconds
    with python(BURN) as process:
        busy = usage(process.pid).cpu_seconds
    assert 0.15 < busy - idle < 1


def test_children_count_while_they_live_and_after_they_have_ended() -> None:
    ended = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"
    living = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {BURN + SAY!r}], stdin=subprocess.PIPE,"
        " stdout=subprocess.PIPE)\nchild.stdout.readline()"
    )
    for code in (ended, living):
        with python(code) as process:
            assert usage(process.pid).cpu_seconds >= 0.2


def test_memory_is_what_the_process_holds() -> None:
    with python("") as process:
        small = usage(process.pid).resident_bytes
    with python("held = bytearray(b'x') * 64_000_000") as process:
        large = usage(process.pid).resident_bytes
    assert 60_000_000 < large - small < 80_000_000


def test_memory_that_is_shared_counts_once() -> None:
    """As PostgreSQL's shared buffers do, which each of its processes has mapped."""
    shared = (
        "import mmap, os, signal\n"
        "held = mmap.mmap(-1, 64_000_000)\n"
        "held.write(b'x' * 64_000_000)\n"
        "told, tell = os.pipe()\n"
        "if not os.fork():\n"
        "    sum(held[::4096])\n"
        "    os.write(tell, b'.')\n"
        "    signal.pause()\n"
        "os.read(told, 1)\n"
    )
    with python(shared) as process:
        assert usage(process.pid).resident_bytes < 110_000_000


def test_a_rollup_of_memory_is_read_by_its_share() -> None:
    rollup = "55d0-7ffc ---p 00000000 00:00 0  [rollup]\nRss:   900 kB\nPss:   300 kB\nPss_Dirty:   100 kB\n"
    assert share_bytes(rollup) == 300 * 1024


def test_a_process_that_is_gone_is_named() -> None:
    with python("") as process:
        gone = process.pid
    with pytest.raises(ProcessLookupError, match=str(gone)):
        usage(gone)


def test_a_family_has_all_descendants_and_parents_come_first() -> None:
    assert family(1, {1: 0, 2: 1, 3: 2, 4: 1, 5: 9}) == [1, 2, 4, 3]
    assert parents()[os.getpid()] == os.getppid()


def test_a_programs_name_may_look_like_fields() -> None:
    rename = "open('/proc/self/comm', 'w').write('a) R 1 (b')"
    with python(rename) as process:
        assert stat_fields(process.pid)[1] == str(os.getpid())


def test_a_family_ends_whole_also_in_other_sessions() -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)"
    )
    with python(code) as process:
        child = family(process.pid, parents())[1]
        assert os.getsid(child) != os.getsid(process.pid)
        assert end_family(process.pid, 5)
        assert stat_fields(child)[:1] in ([], [ZOMBIE])
