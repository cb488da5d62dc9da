"""The worker's parts, put together."""

from collections.abc import Mapping
from typing import Final

import structlog

from prosa.app.generation import Generation
from prosa.app.outbox import Outbox
from prosa.app.spans import Spans
from prosa.app.sweep import Sweeper
from prosa.bootstrap.foundation import Common, this_process
from prosa.bootstrap.process import name_of
from prosa.core.desk import Desk
from prosa.ports import Engine
from prosa.worker.runner import Runner

log = structlog.get_logger()

EMBEDDED_DRAIN_SECONDS: Final = 1.0
"""An embedded process gives its runs back soon: its next start goes on with them."""


def make_worker(parts: Common, models: Mapping[str, Engine], *, alone: bool, name: str | None = None) -> Runner:
    """``alone``: no other process uses the store, so every run of another worker is an orphan."""
    settings = parts.settings
    outbox = Outbox(name or name_of("wk"), Desk(), parts.bus, parts.clock, parts.metrics)
    generation = Generation(
        runs=parts.store.runs,
        bus=parts.bus,
        engines=models,
        fallbacks={model.name: model.fallback for model in settings.catalog if model.fallback},
        systems={model.name: model.system for model in settings.catalog if model.system},
        outbox=outbox,
        clock=parts.clock,
        limits=settings.limits,
        metrics=parts.metrics,
        spans=Spans(parts.traces, parts.clock, outbox.name),
    )
    sweeper = Sweeper(
        sweeps=parts.store.sweeps,
        bus=parts.bus,
        outbox=outbox,
        clock=parts.clock,
        limits=settings.limits,
        metrics=parts.metrics,
        pools=tuple(settings.pools),
        alone=alone,
    )
    return Runner(
        runs=parts.store.runs,
        bus=parts.bus,
        tokens=parts.tokens,
        clock=parts.clock,
        limits=settings.limits,
        metrics=parts.metrics,
        outbox=outbox,
        generation=generation,
        sweeper=sweeper,
        process=this_process(outbox.name, parts.clock),
        pools=settings.pools,
        drain_seconds=EMBEDDED_DRAIN_SECONDS if alone else settings.drain_seconds,
    )
