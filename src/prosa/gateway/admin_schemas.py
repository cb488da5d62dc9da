"""The bodies of what administrators ask: how the installation stands, its runs, one run's life. Never what was said."""

from collections import Counter
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from prosa.app.operations import Overview, Story
from prosa.core import operations as core
from prosa.core.run import Finish, RunState
from prosa.core.trace import trace_id
from prosa.core.trail import Event, What
from prosa.gateway.schemas import CHAT, RUN, TIME, USER

WORKER: Final = "wk-9f1c2d"
_RATES: Final[dict[str, Any]] = {
    "accepted_per_second": 12.5,
    "answered_per_second": 12.1,
    "failed_per_second": 0.1,
    "first_token_p50_seconds": 0.4,
    "first_token_p95_seconds": 1.1,
    "run_p50_seconds": 6.2,
    "run_p95_seconds": 14.8,
}
_PROCESS: Final[dict[str, Any]] = {
    "host": "node-1",
    "version": "0.1.0",
    "started_at": TIME,
    "alive_seconds": 0.6,
    "alive": True,
    "draining": False,
}
_OVERVIEW: Final[dict[str, Any]] = {
    "now": TIME,
    "counts": {"waiting": 0, "queued": 3, "running": 16},
    "pools": [
        {"pool": "default", "queued": 3, "running": 16, "slots": 16, "slots_used": 16, "oldest_seconds": 0.8},
    ],
    "gateways": [{"name": "gw-51b2c0", **_PROCESS, "sockets": 120, "watched": 19}],
    "workers": [
        {
            "name": WORKER,
            **_PROCESS,
            "slots": 16,
            "slots_used": 16,
            "pools": ["default"],
            "drain_wanted": False,
        }
    ],
    "rates": _RATES,
    "dead_letters": 0,
}
_RUN: Final[dict[str, Any]] = {
    "id": RUN,
    "chat": CHAT,
    "user": {"id": USER, "username": "ana"},
    "state": "done",
    "finish": "stop",
    "code": None,
    "model": "local",
    "pool": "default",
    "worker": WORKER,
    "attempt": 1,
    "crashes": 0,
    "created_at": TIME,
    "queued_at": TIME,
    "started_at": TIME,
    "ended_at": TIME,
}
_DETAIL: Final[dict[str, Any]] = {
    **_RUN,
    "error_message": None,
    "prompt_tokens": 12,
    "completion_tokens": 5,
    "stop_requested": False,
    "dispatches": 1,
    "trace": UUID(RUN).hex,
}
_MOMENT: Final[dict[str, Any]] = {"at": TIME, "what": "claimed", "attempt": 1, "worker": WORKER, "detail": None}


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]}, from_attributes=True, frozen=True)


# ── how the installation stands ──────────────────────────────────────────────────────────────────────────────


class Pool(BaseModel):
    """A pool of models: its queue, and its slots at the workers that are alive."""

    model_config = ConfigDict(frozen=True)

    pool: str
    queued: int
    running: int
    slots: int
    slots_used: int
    oldest_seconds: float | None = Field(description="How long the first in the queue has waited.")


class Gateway(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)

    name: str
    host: str
    version: str
    started_at: datetime | None
    alive_seconds: float = Field(description="Since it last said that it lives.")
    alive: bool
    draining: bool
    sockets: int
    watched: int = Field(description="Runs that somebody at this gateway looks at.")


class Worker(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)

    name: str
    host: str
    version: str
    started_at: datetime | None = Field(description="null where an older version does not say.")
    alive_seconds: float = Field(description="Since its last heartbeat.")
    alive: bool
    draining: bool
    slots: int
    slots_used: int
    pools: list[str]
    drain_wanted: bool = Field(description="It was asked to drain, and may not have heard yet.")


class Rates(BaseModel):
    """Of the last 60 seconds; null where there was nothing to measure."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    accepted_per_second: float | None
    answered_per_second: float | None
    failed_per_second: float | None
    first_token_p50_seconds: float | None
    first_token_p95_seconds: float | None
    run_p50_seconds: float | None
    run_p95_seconds: float | None


class Counts(BaseModel):
    model_config = ConfigDict(frozen=True)

    waiting: int
    queued: int
    running: int


class Standing(BaseModel):
    """How the installation stands, at most a second ago."""

    model_config = _example(_OVERVIEW)

    now: datetime
    counts: Counts
    pools: list[Pool]
    gateways: list[Gateway]
    workers: list[Worker]
    rates: Rates
    dead_letters: int | None = Field(description="null while the broker cannot say.")

    @classmethod
    def of(cls, overview: Overview) -> Self:
        found = overview.standing
        return cls(
            now=found.now,
            counts=Counts(**{state: found.counts.get(RunState(state), 0) for state in Counts.model_fields}),
            pools=_pools(found),
            gateways=[Gateway.model_validate(one) for one in found.gateways],
            workers=[_worker(one) for one in found.workers],
            rates=Rates.model_validate(found.rates),
            dead_letters=overview.dead_letters,
        )


def _pools(found: core.Standing) -> list[Pool]:
    slots: Counter[str] = Counter()
    for worker in found.workers:
        if worker.alive and not worker.draining:
            slots.update(worker.pools)
    return [
        Pool(
            pool=line.pool,
            queued=line.queued,
            running=line.running,
            slots=slots[line.pool],
            # Runs of a worker that has just died are nobody's slots any more.
            slots_used=min(line.running, slots[line.pool]),
            oldest_seconds=line.oldest_seconds,
        )
        for line in found.lines
    ]


def _worker(one: core.Worker) -> Worker:
    return Worker(
        name=one.name,
        host=one.host,
        version=one.version,
        started_at=one.started_at,
        alive_seconds=one.alive_seconds,
        alive=one.alive,
        draining=one.draining,
        slots=one.slots,
        # What it held last is with others by now.
        slots_used=one.slots_used if one.alive else 0,
        pools=sorted(one.pools),
        drain_wanted=one.drain_wanted,
    )


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Owner(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: UUID
    username: str


class ListedRun(BaseModel):
    model_config = _example(_RUN)

    id: UUID
    chat: UUID
    user: Owner
    state: RunState
    finish: Finish | None
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

    @classmethod
    def of(cls, run: core.Listed) -> Self:
        return cls(**_listed(run))


def _listed(run: core.Listed) -> dict[str, Any]:
    same = {name: getattr(run, name) for name in ListedRun.model_fields if name != "user"}
    return {**same, "user": Owner(id=run.user, username=run.username)}


class RunPage(BaseModel):
    """Newest first. A page may be short, or empty, with more behind it: it looks at a bounded number of runs."""

    model_config = _example({"items": [_RUN], "next": None})

    items: list[ListedRun]
    next: str | None = Field(description="The cursor of the next page; null at the end.")

    @classmethod
    def of(cls, listing: core.Listing) -> Self:
        return cls(items=[ListedRun.of(run) for run in listing.items], next=listing.next)


class RunDetail(ListedRun):
    """All about one run but its words."""

    model_config = _example(_DETAIL)

    error_message: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    stop_requested: bool
    dispatches: int
    trace: str = Field(description="The id of its trace.")


class Moment(BaseModel):
    """Something that happened. ``detail`` is a word: a model, a pool, saved characters, a finish or an error's code."""

    model_config = _example(_MOMENT)

    at: datetime
    what: What
    attempt: int | None
    worker: str | None
    detail: str | None

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(
            at=event.at, what=event.what, attempt=event.attempt or None, worker=event.worker, detail=event.detail
        )


class RunStory(BaseModel):
    model_config = _example({"run": _DETAIL, "timeline": [_MOMENT]})

    run: RunDetail
    timeline: list[Moment] = Field(description="Oldest first.")

    @classmethod
    def of(cls, story: Story) -> Self:
        detail = story.detail
        run = RunDetail(
            **_listed(detail.listed),
            error_message=detail.error_message,
            prompt_tokens=detail.prompt_tokens,
            completion_tokens=detail.completion_tokens,
            stop_requested=detail.stop_requested,
            dispatches=detail.dispatches,
            trace=trace_id(detail.listed.id),
        )
        return cls(run=run, timeline=[Moment.of(event) for event in story.events])


class Retried(BaseModel):
    model_config = _example({"run": RUN})

    run: UUID = Field(description="The new run.")
