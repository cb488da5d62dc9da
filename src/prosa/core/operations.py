"""What administrators see of an installation: its processes, its queues, its runs; never what is said in them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from prosa.core.run import RunState
from prosa.core.trail import Life

SILENT_SECONDS: Final = 15.0
"""A gateway whose last sign is older is taken for gone."""
LOST_SECONDS: Final = 5.0
"""The same of a worker, whose heart beats twice a second: its runs are with others by then."""

MISSED_SECONDS: Final = 600.0
"""How long a process is missed that vanished without a word; then it is taken for one that nobody wants back."""


class Process(msgspec.Struct, frozen=True):
    """Which process this is, on which machine, and since when."""

    name: str
    host: str
    version: str
    started_at: datetime


class Duty(msgspec.Struct, frozen=True):
    """What a worker tells with its heartbeat: its slots by pool, and how many of them all are used."""

    process: Process
    pools: Mapping[str, int]
    slots_used: int


class Gateway(msgspec.Struct, frozen=True):
    """A gateway as it last said. ``watched`` runs have readers there."""

    name: str
    host: str
    version: str
    started_at: datetime
    alive_seconds: float
    sockets: int
    watched: int
    draining: bool

    @property
    def alive(self) -> bool:
        return self.alive_seconds <= SILENT_SECONDS


class Worker(msgspec.Struct, frozen=True):
    """A worker as its last heartbeat said. One of an older version says neither host, version, start nor pools."""

    name: str
    host: str
    version: str
    started_at: datetime | None
    alive_seconds: float
    slots: int
    slots_used: int
    pools: Mapping[str, int]
    draining: bool
    drain_wanted: bool

    @property
    def alive(self) -> bool:
        return self.alive_seconds <= LOST_SECONDS


class Line(msgspec.Struct, frozen=True):
    """A pool's queue and what runs of it. ``oldest_seconds``: how long the first in the queue has been there."""

    pool: str
    queued: int
    running: int
    oldest_seconds: float | None


class Rates(msgspec.Struct, frozen=True):
    """Of the last minute, from a bounded number of the newest runs. Times are None where nothing ended."""

    accepted_per_second: float
    answered_per_second: float
    failed_per_second: float
    first_token_p50_seconds: float | None
    first_token_p95_seconds: float | None
    run_p50_seconds: float | None
    run_p95_seconds: float | None


class Standing(msgspec.Struct, frozen=True):
    """How the installation stands at one moment of the store's clock."""

    now: datetime
    counts: Mapping[RunState, int]
    lines: tuple[Line, ...]
    gateways: tuple[Gateway, ...]
    workers: tuple[Worker, ...]
    rates: Rates


class Wanted(msgspec.Struct, frozen=True):
    """Which runs to list; all of what is given must fit. ``user`` is an id or a username."""

    state: RunState | None = None
    user: str | None = None
    model: str | None = None
    worker: str | None = None
    code: str | None = None
    chat: UUID | None = None
    run: UUID | None = None


class Listed(msgspec.Struct, frozen=True):
    """A run in a list."""

    id: UUID
    chat: UUID
    user: UUID
    username: str
    state: RunState
    finish: str | None
    code: str | None
    model: str
    pool: str
    worker: str | None
    attempt: int
    crashes: int
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class Listing(msgspec.Struct, frozen=True):
    """Newest first. ``next`` goes on behind the last that was looked at: a page may be short, or empty, before it."""

    items: tuple[Listed, ...]
    next: str | None


class Detail(msgspec.Struct, frozen=True):
    """All about one run but its words."""

    listed: Listed
    reply: UUID
    error_message: str | None
    prompt_tokens: int
    completion_tokens: int
    stop_requested: bool
    dispatches: int
    life: Life


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that ``share`` of them do not exceed; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
