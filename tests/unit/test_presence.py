"""A gateway on the administrators' map."""

import asyncio
from datetime import UTC, datetime

import pytest

from prosa.app.presence import ANNOUNCE_SECONDS, Load, Presence
from prosa.core.errors import ProsaError, SchemaOutdated, StoreUnavailable
from prosa.core.operations import Process
from prosa.testing import ManualClock, settle

SELF = Process("gw-1", "node-1", "1.2.3", datetime(2026, 1, 1, tzinfo=UTC))


class Store:
    """Of the port ``Operations``, what is asked here."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int, bool]] = []
        self.error: ProsaError | None = None
        self.hangs = False

    async def announce(self, gateway: Process, *, sockets: int, watched: int, draining: bool) -> None:
        if self.error:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()
        self.told.append((gateway.name, sockets, watched, draining))


async def test_a_gateway_announces_itself_every_five_seconds_as_it_stands() -> None:
    clock, store, loads = ManualClock(), Store(), [Load(1, 2, draining=False), Load(3, 4, draining=True)]
    presence = Presence(store, clock, SELF, lambda: loads[min(len(store.told), 1)])  # type: ignore[arg-type] # a part
    async with asyncio.TaskGroup() as group:
        running = group.create_task(presence.run())
        await clock.asleep()
        await clock.advance(ANNOUNCE_SECONDS)
        assert store.told == [("gw-1", 1, 2, False), ("gw-1", 3, 4, True)]
        running.cancel()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), SchemaOutdated("no tables")])
async def test_a_store_that_cannot_be_asked_ends_nothing(error: ProsaError) -> None:
    clock, store = ManualClock(), Store()
    presence = Presence(store, clock, SELF, lambda: Load(1, 1, draining=False))  # type: ignore[arg-type] # a part
    async with asyncio.TaskGroup() as group:
        store.error = error
        running = group.create_task(presence.run())
        await clock.asleep()
        store.error = None
        await clock.advance(ANNOUNCE_SECONDS)
        assert len(store.told) == 1
        running.cancel()


async def test_a_store_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prosa.app.presence.STORE_SECONDS", 0.01)
    store = Store()
    store.hangs = True
    presence = Presence(store, ManualClock(), SELF, lambda: Load(1, 1, draining=False))  # type: ignore[arg-type] # a part
    async with asyncio.timeout(5):
        await presence.announce()
    await settle()
    assert store.told == []
