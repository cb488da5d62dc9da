"""What must not grow, and what must not fail because something else does."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

import pytest

from prosa import ports
from prosa.app.chats import Chats
from prosa.core.chat import Chat
from prosa.core.errors import RateLimited, StoreUnavailable
from prosa.core.relay import Row
from prosa.gateway.throttle import Throttle, Windows, network
from prosa.testing import START, ManualClock


async def test_a_window_moves() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, per_name=2)
    throttle.check("192.0.2.1", "ana")
    await clock.advance(40)
    throttle.check("192.0.2.1", "ANA")
    with pytest.raises(RateLimited) as caught:
        throttle.check("192.0.2.1", "ana")
    assert caught.value.retry_after == 20
    await clock.advance(20)
    throttle.check("192.0.2.1", "ana")
    with pytest.raises(RateLimited):
        throttle.check("192.0.2.1", "ana")


def test_throttling_can_be_switched_off() -> None:
    throttle = Throttle(ManualClock(), on=False, per_name=1)
    for _ in range(1000):
        throttle.check("192.0.2.1", "ana")


def test_windows_hold_a_bounded_number_of_keys_and_of_entries() -> None:
    windows = Windows(ManualClock(), keys=100)
    for number in range(1000):
        assert windows.acquire_entry(f"key{number}", 10, 60)
    assert windows.reset() == 100
    for _ in range(1000):
        windows.acquire_entry("one", 10, 60)
    assert windows.get("one") == 10


def test_a_window_that_is_used_outlives_those_that_are_not() -> None:
    windows = Windows(ManualClock(), keys=2)
    for key in ("kept", "other", "kept", "new"):
        windows.acquire_entry(key, 10, 60)
    assert (windows.get("kept"), windows.get("other"), windows.get("new")) == (2, 0, 1)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (None, "local"),
        ("", "local"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str | None, expected: str) -> None:
    assert network(address) == expected


class Store:
    """A store of one chat with three unfinished runs."""

    async def delete(self, user: UUID, chat: UUID) -> tuple[Chat, Sequence[UUID]]:
        return Chat(chat, "", "DELETED", START, START), [UUID(int=number) for number in (1, 2, 3)]


class Stops:
    def __init__(self) -> None:
        self.asked: list[int] = []

    async def stop(self, user: UUID, run: UUID) -> Row:
        self.asked.append(run.int)
        if run.int == 2:
            raise StoreUnavailable("The database is away.")
        return cast(Row, None)


async def test_a_chat_is_deleted_even_where_one_of_its_runs_cannot_be_stopped() -> None:
    stops = Stops()
    deleted = await Chats(cast(ports.Chats, Store()), stops).delete(UUID(int=7), UUID(int=8))
    assert deleted.status == "DELETED"
    # From the newest on: to stop the oldest first would start the next one of a chat that nobody sees.
    assert stops.asked == [3, 2, 1]
