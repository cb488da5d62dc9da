"""The embedded process: gateway and worker, in-process bus, one data folder."""

import asyncio
from contextlib import AsyncExitStack

from prosa.adapters.folder import locked
from prosa.adapters.passwords import Argon2Passwords
from prosa.adapters.sql import migrate as schema
from prosa.app.access import Access
from prosa.bootstrap.engines import engines
from prosa.bootstrap.exposition import metrics_shown
from prosa.bootstrap.foundation import common, memory_bus, vitals
from prosa.bootstrap.gateway import make_app, make_hub, make_presence
from prosa.bootstrap.process import Process, name_of, process
from prosa.bootstrap.server import Server, server
from prosa.bootstrap.worker import make_worker
from prosa.core.errors import BadConfig
from prosa.gateway.hub import Hub
from prosa.settings import Settings
from prosa.worker.runner import Runner

GREETING = "Prosa is ready. Open {address} in a browser; Ctrl-C ends it."


def serve(settings: Settings) -> None:
    """Everything in one process. Returns after a signal. Raises SetupError where it cannot start."""
    if settings.broker_url is not None:
        way = "Remove broker_url (PROSA_BROKER_URL), or run `prosa gateway` and `prosa worker`, or `prosa up`."
        raise BadConfig(f"prosa serve has its broker inside the process. {way}")
    with locked(settings.data_dir), process(settings, settings.port, ()) as own:
        own.run(_serve(own))


async def _serve(own: Process) -> None:
    settings = own.settings
    await schema.migrate(settings.database_url)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(common(settings, name_of("gw"), bus=memory_bus))
        await stack.enter_async_context(metrics_shown(parts))
        passwords = await stack.enter_async_context(Argon2Passwords())
        models = await stack.enter_async_context(engines(settings))
        access = Access(parts.store.sign_ins, parts.tokens, parts.clock)
        hub = make_hub(parts, access)
        app = make_app(parts, hub, access, passwords, lambda: not serving.should_exit)
        serving = server(settings, app, GREETING)
        presence = make_presence(parts, hub, lambda: serving.should_exit)
        async with asyncio.TaskGroup() as group:
            measuring = group.create_task(vitals(parts, own.lines, counts=True).run())
            announcing = group.create_task(presence.run())
            await _together(own, hub, make_worker(parts, models, alone=True), serving)
            measuring.cancel()
            announcing.cancel()
            await presence.announce()


async def _together(own: Process, hub: Hub, worker: Runner, serving: Server) -> None:
    """Serve until a signal, then end in stages: sockets closed, runs given back, then the hub."""
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(hub.run())
        working = group.create_task(worker.run())
        leaving = group.create_task(_leave(own, serving))
        await serving.serve(sockets=own.listeners)
        leaving.cancel()
        worker.drain()
        await working
        listening.cancel()


async def _leave(own: Process, serving: Server) -> None:
    await own.told_to_end.wait()
    serving.should_exit = True
