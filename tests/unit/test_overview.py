"""How an installation looks in a terminal."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from rich.console import Console

from prosa.core.errors import Refused
from prosa.terminal.overview import Counts, Gateway, Overview, Pool, Rates, Worker, picture
from prosa.terminal.top import decoded

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
NOTHING = Rates(None, None, None, None, None, None, None)


def worker(number: int = 1, **changed: Any) -> Worker:  # noqa: ANN401 — fields of Worker
    fields: dict[str, Any] = {
        "name": f"wk-{number}",
        "host": "node-1",
        "version": "1.2.3",
        "alive_seconds": 0.4,
        "alive": True,
        "draining": False,
        "slots": 16,
        "slots_used": 4,
        "pools": ("default",),
        "drain_wanted": False,
        "started_at": NOW - timedelta(minutes=5),
    }
    return Worker(**(fields | changed))


def overview(**changed: Any) -> Overview:  # noqa: ANN401 — fields of Overview
    fields: dict[str, Any] = {
        "now": NOW,
        "counts": Counts(waiting=2, queued=3, running=4),
        "pools": (Pool("default", 3, 4, 16, 4, 12.5),),
        "gateways": (Gateway("gw-1", "node-1", "1.2.3", 1.0, True, False, 120, 7, NOW - timedelta(days=3)),),
        "workers": (worker(),),
        "rates": Rates(12.5, 12.1, 0.1, 0.4, 1.13, 6.2, 14.8),
        "dead_letters": 0,
    }
    return Overview(**(fields | changed))


def drawn(shown: Overview, *, width: int = 120, **how: Any) -> list[str]:  # noqa: ANN401 — see picture
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(picture(shown, "http://prosa.test", **how))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def line_of(lines: list[str], word: str) -> list[str]:
    (found,) = [line.split() for line in lines if line.startswith(word)]
    return found


def test_everything_is_there_in_words() -> None:
    lines = drawn(overview())
    assert lines[0].startswith("Prosa at http://prosa.test · ")
    assert lines[1] == ("accepted 12.5/s · answered 12.1/s · failed 0.1/s · first words 0.40 s, 95 of 100 within 1.1 s")
    assert lines[2].startswith("running 4 · queued 3 · waiting 2 · dead letters 0 · answers take 6.2 s, 95 of 100")
    assert line_of(lines, "default") == ["default", "3", "12", "s", "4", "███░░░░░░░░░", "4/16"]
    assert line_of(lines, "gw-1") == ["gw-1", "120", "7", "working", "node-1", "1.2.3", "3", "d"]
    assert line_of(lines, "wk-1")[1:6] == ["███░░░░░░░░░", "4/16", "working", "default", "node-1"]


def test_what_is_not_known_is_said_and_nothing_is_made_up() -> None:
    shown = overview(rates=NOTHING, dead_letters=None, gateways=(), workers=(), pools=(Pool("a", 1, 0, 0, 0, 3.0),))
    lines = drawn(shown)
    assert lines[1] == "accepted – · answered – · failed – · first words –, 95 of 100 within –"
    assert "dead letters the broker does not say" in lines[2]
    assert "no worker serves it" in " ".join(line_of(lines, "a "))
    assert len([line for line in lines if line == "none"]) == 2


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({}, "working"),
        ({"draining": True}, "draining"),
        ({"drain_wanted": True}, "draining"),
        ({"alive": False, "alive_seconds": 70.0, "draining": True}, "silent for 70 s"),
    ],
)
def test_a_workers_state_is_a_word(changed: dict[str, Any], state: str) -> None:
    assert state in " ".join(line_of(drawn(overview(workers=(worker(**changed),))), "wk-1"))


def test_a_hundred_workers_fit_the_most_loaded_first_and_the_lost_before_all() -> None:
    workers = [worker(number, slots_used=number % 16) for number in range(99)]
    lost = worker(99, alive=False, alive_seconds=60.0)
    for height in (24, 30, 60):
        lines = drawn(overview(workers=(*workers, lost)), height=height)
        assert len(lines) <= height
        shown = [line for line in lines if line.startswith("wk-")]
        assert shown[0].startswith("wk-99 ")
        assert "15/16" in shown[1]
        assert f"… and {100 - len(shown)} more" in lines


def test_many_queues_and_gateways_leave_room_for_workers() -> None:
    gateway = overview().gateways[0]
    shown = overview(
        pools=tuple(Pool(f"pool-{number}", number, 0, 1, 0, None) for number in range(40)),
        gateways=(gateway,) * 40,
        workers=tuple(worker(number) for number in range(40)),
    )
    lines = drawn(shown, height=24)
    assert len(lines) <= 24
    for name in ("pool-39", "gw-1", "wk-"):
        assert [line for line in lines if line.startswith(name)]


def test_a_narrow_terminal_cuts_lines_and_breaks_none() -> None:
    lines = drawn(overview(), width=40)
    assert len(lines) == len(drawn(overview()))
    assert max(len(line) for line in lines) <= 40


def test_an_old_picture_says_why() -> None:
    assert drawn(overview(), problem="There is no answer.")[0].endswith("There is no answer.")


@pytest.mark.parametrize("answer", [b'{"name":"another program"}', b"null", b"not json", b"\xff\xfe", b""])
def test_an_answer_of_something_else_is_refused(answer: bytes) -> None:
    with pytest.raises(Refused, match="Correct --url"):
        decoded(answer)


def test_nobody_writes_more_than_words_to_the_terminal() -> None:
    evil = "\x1b]0;pwned\x07\x1b[2J"
    shown = overview(
        pools=(Pool(evil, 1, 0, 1, 0, None),),
        workers=(worker(name=evil, host=evil, version=evil, pools=(evil,)),),
        gateways=(msgspec.structs.replace(overview().gateways[0], name=evil, host=evil, version=evil),),
    )
    assert not any(ord(character) < 32 for line in drawn(shown) for character in line)
