"""The composition root: settings → adapters → use-cases → gateway and worker. Only this file names implementations."""

import asyncio
import errno
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Final

import msgspec
import structlog
import uvicorn
import uvloop

from prosa import logs
from prosa.adapters.clock import SystemClock
from prosa.adapters.folder import locked
from prosa.adapters.local_engine import LocalEngine, LocalOptions
from prosa.adapters.memory_bus import MemoryBus
from prosa.adapters.metrics import PrometheusMetrics
from prosa.adapters.openai_engine import OpenAIEngine, OpenAIOptions, model_session
from prosa.adapters.passwords import Argon2Passwords
from prosa.adapters.scripted_engine import ScriptedEngine
from prosa.adapters.sql import migrate as schema
from prosa.adapters.sql.store import Store, open_store
from prosa.adapters.tokens import SystemTokens
from prosa.app.access import Access
from prosa.app.accounts import DAY_SECONDS, AccountOptions, Accounts
from prosa.app.chats import Chats
from prosa.app.generation import Generation
from prosa.app.intake import Intake
from prosa.app.outbox import Outbox
from prosa.app.sweep import Sweeper
from prosa.core.desk import Desk
from prosa.core.errors import BadConfig, PortTaken, SchemaOutdated
from prosa.core.model import Catalogue
from prosa.gateway.asgi import Options, Parts, application
from prosa.gateway.hub import Hub
from prosa.gateway.throttle import Throttle
from prosa.gateway.transport import SmallBuffers
from prosa.gateway.websocket import Door, route
from prosa.ports import Bus, Clock, Engine, Tokens
from prosa.settings import ModelSettings, Settings
from prosa.worker.runner import Runner

log = structlog.get_logger()

VERSION: Final = version("prosa")
DRAIN_SECONDS: Final = 1.0
"""An embedded process gives its runs back soon: its next start goes on with them."""
STALLED_MS: Final = 60_000
BACKLOG: Final = 2048
OPEN_FILES: Final = 65_536
SOCKETS_A_USER: Final = 100


class Common(msgspec.Struct, frozen=True):
    """What every process is built on."""

    settings: Settings
    clock: Clock
    tokens: Tokens
    metrics: PrometheusMetrics
    bus: Bus
    store: Store


# ── the commands ─────────────────────────────────────────────────────────────────────────────────────────────


def serve(settings: Settings) -> None:
    """The embedded process: gateway and worker, in-process bus, one data folder. Returns after a signal.

    Raises SetupError where it cannot start.
    """
    logs.configure(settings.log_format, settings.log_level)
    for warning in settings.warnings:
        log.warning("settings.noted", warning=warning)
    if settings.broker_url is not None:
        raise BadConfig("prosa serve has its broker inside the process: remove broker_url (PROSA_BROKER_URL).")
    _raise_open_files()
    with (
        locked(settings.data_dir),
        _listening(settings.host, settings.port) as listener,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(settings, listener))


def migrate(settings: Settings) -> str:
    """Bring the database's schema to this version; one sentence of what was done."""
    return asyncio.run(_migrate(settings))


async def store_check(settings: Settings) -> str:
    """One sentence of how the database does, for the doctor. Raises Unavailable and SchemaOutdated."""
    current, head = await schema.current(settings.database_url), schema.head()
    if current is None:
        raise SchemaOutdated("The database is empty. Run `prosa migrate`, or start `prosa serve`.")
    if current != head:
        raise SchemaOutdated(f"The database's schema is {current}, this Prosa needs {head}. Run `prosa migrate`.")
    async with open_store(settings.database_url) as store:
        counts = await store.reads.counts()
    return f"The database answers, its schema is {head}, and {sum(counts.values())} runs wait for their end."


@asynccontextmanager
async def accounts(settings: Settings) -> AsyncIterator[Accounts]:
    """The accounts, for the command line. The schema is brought up to date first, so that it works before a start."""
    if settings.embedded_database:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    await schema.migrate(settings.database_url)
    async with open_store(settings.database_url) as store, Argon2Passwords() as passwords:
        yield Accounts(store.users, store.sign_ins, passwords, SystemTokens(), _account_options(settings))


@asynccontextmanager
async def engines(settings: Settings) -> AsyncIterator[Mapping[str, Engine]]:
    """Every configured model, ready to answer. Raises ModelFileMissing."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(model_session())
        made: dict[str, Engine] = {}
        for model in settings.catalog:
            match model.engine:
                case "scripted":
                    made[model.name] = ScriptedEngine(clock)
                case "local":
                    made[model.name] = await stack.enter_async_context(LocalEngine(_local(model, settings)))
                case "openai":
                    made[model.name] = OpenAIEngine(_provider(model, settings), session, clock)
        yield made


# ── the embedded process ─────────────────────────────────────────────────────────────────────────────────────


async def _migrate(settings: Settings) -> str:
    before = await schema.current(settings.database_url)
    await schema.migrate(settings.database_url)
    after = schema.head()
    return f"The schema is {after} already." if before == after else f"The schema went from {before} to {after}."


async def _serve(settings: Settings, listener: socket.socket) -> None:
    await schema.migrate(settings.database_url)
    async with AsyncExitStack() as stack:
        metrics = PrometheusMetrics()
        common = Common(
            settings=settings,
            clock=SystemClock(),
            tokens=SystemTokens(),
            metrics=metrics,
            bus=MemoryBus(metrics),
            store=await stack.enter_async_context(open_store(settings.database_url)),
        )
        passwords = await stack.enter_async_context(Argon2Passwords())
        models = await stack.enter_async_context(engines(settings))
        access = Access(common.store.sign_ins, common.tokens, common.clock)
        hub = make_hub(common, access)
        server = _server(settings, _gateway(common, hub, access, passwords, lambda: not server.should_exit))
        await _together(hub, make_worker(common, models, alone=True), server, listener)


async def _together(hub: Hub, worker: Runner, server: "Server", listener: socket.socket) -> None:
    """Serve until a signal, then end in stages: sockets closed, runs given back, then the hub."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(hub.run())
        working = group.create_task(worker.run())
        await server.serve(sockets=[listener])
        worker.drain()
        await working
        listening.cancel()


class Server(uvicorn.Server):
    """Says where it is when the first page can be read, and leaves signals to whoever owns the process.

    uvicorn raises a signal again when its sockets are closed, which would end the process before its worker has
    given back what it holds.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            address = f"http://{shown}:{port}/"
            log.info("prosa.ready", address=address, version=VERSION)
            sys.stdout.write(f"Prosa is ready. Open {address} in a browser; Ctrl-C ends it.\n")
            sys.stdout.flush()


def _raise_open_files() -> None:
    """Each socket is an open file, and the usual soft limit of 1,024 is meant for other programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _server(settings: Settings, app: Callable[..., object]) -> Server:
    config = uvicorn.Config(
        app,
        ws=SmallBuffers,
        ws_max_size=settings.limits.frame_bytes,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=30,
    )
    return Server(config)


def _listening(host: str, port: int) -> socket.socket:
    """A bound socket whose connections give up on peers that stopped. Raises PortTaken."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise PortTaken(f"Prosa cannot listen on {host}: {error.strerror}. Give another --host.") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _taken(host, port, error) from error
    return listener


def _taken(host: str, port: int, error: OSError) -> PortTaken:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"Port {port} on {host} is taken by another program. Stop it, or give another --port.")
    return PortTaken(f"Prosa cannot listen on {host}:{port}: {error.strerror}. Give another --host or --port.")


# ── the gateway ──────────────────────────────────────────────────────────────────────────────────────────────


def make_hub(common: Common, access: Access) -> Hub:
    return Hub(
        name=f"gw-{common.tokens.uuid().hex[-12:]}",
        bus=common.bus,
        reads=common.store.reads,
        chats=common.store.chats,
        sign_ins=common.store.sign_ins,
        clock=common.clock,
        metrics=common.metrics,
        revoked=access.forget,
    )


def make_intake(common: Common, hub: Hub) -> Intake:
    return Intake(
        runs=common.store.runs,
        bus=common.bus,
        tokens=common.tokens,
        catalogue=Catalogue({model.name: model.pool for model in common.settings.catalog}),
        limits=common.settings.limits,
        metrics=common.metrics,
        announce=hub.announce,
    )


def _gateway(
    common: Common, hub: Hub, access: Access, passwords: Argon2Passwords, ready: Callable[[], bool]
) -> Callable[..., object]:
    settings, store = common.settings, common.store
    intake = make_intake(common, hub)
    models = tuple(model.name for model in settings.catalog)
    door = Door(
        access=access,
        intake=intake,
        hub=hub,
        reads=store.reads,
        tokens=common.tokens,
        clock=common.clock,
        metrics=common.metrics,
        origins=frozenset(settings.origins),
        models=models,
        sockets_a_user=SOCKETS_A_USER if settings.rate_limits else None,
    )
    parts = Parts(
        accounts=Accounts(store.users, store.sign_ins, passwords, common.tokens, _account_options(settings)),
        access=access,
        chats=Chats(store.chats, intake),
        intake=intake,
        hub=hub,
        reads=store.reads,
        metrics=common.metrics,
        exposition=common.metrics.exposition,
        clock=common.clock,
        throttle=Throttle(common.clock, on=settings.rate_limits),
        limits=settings.limits,
        models=models,
        options=_options(settings),
        ready=ready,
        websockets=[route(door)],
    )
    return application(parts)


def _options(settings: Settings) -> Options:
    token = settings.metrics_token
    return Options(
        version=VERSION,
        origins=frozenset(settings.origins),
        secure_cookies=settings.secure_cookies == "on",
        metrics_token=token.get_secret_value() if token else None,
    )


def _account_options(settings: Settings) -> AccountOptions:
    seconds = settings.session_days * DAY_SECONDS
    return AccountOptions(sign_up=settings.sign_up == "open", session_seconds=seconds, token_seconds=seconds)


# ── the worker ───────────────────────────────────────────────────────────────────────────────────────────────


def make_worker(common: Common, models: Mapping[str, Engine], *, alone: bool) -> Runner:
    """``alone``: no other process uses the store, so every run of another worker is an orphan."""
    settings = common.settings
    outbox = Outbox(f"wk-{common.tokens.uuid().hex[-12:]}", Desk(), common.bus, common.metrics)
    generation = Generation(
        runs=common.store.runs,
        bus=common.bus,
        engines=models,
        fallbacks={model.name: model.fallback for model in settings.catalog if model.fallback},
        systems={model.name: model.system for model in settings.catalog if model.system},
        outbox=outbox,
        clock=common.clock,
        limits=settings.limits,
        metrics=common.metrics,
    )
    sweeper = Sweeper(
        sweeps=common.store.sweeps,
        bus=common.bus,
        outbox=outbox,
        clock=common.clock,
        limits=settings.limits,
        metrics=common.metrics,
        pools=tuple(settings.pools),
        alone=alone,
    )
    return Runner(
        runs=common.store.runs,
        bus=common.bus,
        tokens=common.tokens,
        clock=common.clock,
        limits=settings.limits,
        metrics=common.metrics,
        outbox=outbox,
        generation=generation,
        sweeper=sweeper,
        pools=settings.pools,
        drain_seconds=DRAIN_SECONDS,
    )


def _local(model: ModelSettings, settings: Settings) -> LocalOptions:
    default = LocalOptions()
    return LocalOptions(
        path=model.path,
        slots=settings.pools[model.pool],
        context_tokens=model.context_tokens or default.context_tokens,
        reply_tokens=model.reply_tokens or default.reply_tokens,
        temperature=default.temperature if model.temperature is None else model.temperature,
    )


def _provider(model: ModelSettings, settings: Settings) -> OpenAIOptions:
    return OpenAIOptions(
        base_url=model.base_url or "",
        model=model.provider_model,
        api_key=settings.api_key(model),
        continues=model.continues,
        first_token_seconds=model.first_token_seconds,
        between_tokens_seconds=model.between_tokens_seconds,
        reply_tokens=model.reply_tokens,
        temperature=model.temperature,
    )
