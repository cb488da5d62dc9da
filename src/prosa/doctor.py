"""``prosa doctor``: what is configured, whether it works, and what to do where it does not."""

import asyncio
import fcntl
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable
from enum import StrEnum
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from prosa import bootstrap
from prosa.adapters.folder import LOCK
from prosa.core.errors import ProsaError
from prosa.core.exposure import is_loopback
from prosa.ports import Engine
from prosa.redaction import hidden
from prosa.settings import Settings

CHECK_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 5.0
FREE_BYTES: Final = 200 * 1024 * 1024
NOT_LISTED: Final = " is not among "
"""What an engine's check says where the provider answers without listing the model."""


class Verdict(StrEnum):
    GOOD = "ok"
    DOUBTFUL = "warn"
    BAD = "fail"


class Finding(msgspec.Struct, frozen=True):
    """What was looked at, how it stands, and what to do."""

    subject: str
    verdict: Verdict
    text: str


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Every finding as soon as it is known; none raises. Queues that are missing at the broker are declared."""
    yield Finding("settings", Verdict.GOOD, "Read without errors; `prosa config` shows where each value came from.")
    for warning in settings.warnings:
        yield Finding("settings", Verdict.DOUBTFUL, warning)
    yield folder(settings.data_dir)
    yield await _database(settings)
    yield await _broker(settings)
    yield metrics(settings)
    if settings.otlp_endpoint is not None:
        yield await _traces(settings, settings.otlp_endpoint)
    async for finding in _models(settings):
        yield finding
    yield await port(settings.host, settings.port, None if settings.broker_url else settings.data_dir)


def folder(path: Path) -> Finding:
    """Whether the data folder can hold what is written to it."""
    try:
        there = next(parent for parent in (path, *path.parents) if parent.exists())
    except OSError as error:
        way = "Give this user the permission to enter the folders on the way, or choose another with PROSA_DATA_DIR."
        return Finding("data folder", Verdict.BAD, f"{path} cannot be looked at: {error.strerror}. {way}")
    if not there.is_dir():
        return Finding("data folder", Verdict.BAD, f"{there} is no folder. Choose another with PROSA_DATA_DIR.")
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("data folder", Verdict.BAD, f"{there} cannot be written. Change its owner, or PROSA_DATA_DIR.")
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES:
        return Finding("data folder", Verdict.DOUBTFUL, f"{path}: only {free // 1024**2} MB are free. Make room.")
    made = "" if there == path else " (made at the first start)"
    return Finding("data folder", Verdict.GOOD, f"{path}{made}: {free // 1024**2} MB are free.")


def metrics(settings: Settings) -> Finding:
    """Who is shown ``/metrics``: people who are served must not be."""
    host, number, token = settings.metrics_host, settings.metrics_port, settings.metrics_token is not None
    if not settings.metrics:
        return Finding("metrics", Verdict.GOOD, "Off (PROSA_METRICS): nothing is measured, and no alert can fire.")
    place = (
        "at each process's own address" if number is None else f"at http://{host}:{number}, a worker's at its probes"
    )
    if token:
        return Finding("metrics", Verdict.GOOD, f"Shown {place}, to whoever brings the token (PROSA_METRICS_TOKEN).")
    if number is not None and not is_loopback(host):
        way = "Set PROSA_METRICS_TOKEN, or let only Prometheus reach it."
        return Finding("metrics", Verdict.DOUBTFUL, f"Shown {place}, to whoever reaches that port. {way}")
    if number is None and settings.secure_cookies == "on":
        way = "Set PROSA_METRICS_PORT or PROSA_METRICS_TOKEN."
        why = "to programs on this machine, and a proxy on it that adds no header looks like one"
        return Finding("metrics", Verdict.DOUBTFUL, f"Shown {place}, {why}. {way}")
    other = "For a Prometheus elsewhere set PROSA_METRICS_TOKEN."
    return Finding("metrics", Verdict.GOOD, f"Shown {place}, to programs on this machine alone. {other}")


async def port(host: str, number: int, data: Path | None) -> Finding:
    """Whether Prosa can listen there, or does already: from the data folder that is examined, or None for a gateway."""
    address = f"http://{host}:{number}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, number, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
    except OSError as error:
        if await _is_prosa(address):
            return _served(address, data)
        return Finding(
            "address", Verdict.BAD, f"{address} cannot be used: {error.strerror}. Choose another PROSA_PORT."
        )
    return Finding("address", Verdict.GOOD, f"{address} is free.")


def _served(address: str, data: Path | None) -> Finding:
    if data is None or _held(data):
        return Finding("address", Verdict.GOOD, f"Prosa is serving at {address} now.")
    way = f"Nothing runs on {data}: run this where that one was started, or give --data-dir."
    return Finding("address", Verdict.DOUBTFUL, f"Prosa is serving at {address}, but from another data folder. {way}")


def _held(data: Path) -> bool:
    """A process holds the data folder. Where that cannot be told it is believed."""
    try:
        with open(data / LOCK, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return False


async def _is_prosa(address: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=CONNECT_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(f"{address}/api/info") as response:
            return b'"prosa"' in await response.read()
    except (aiohttp.ClientError, OSError):
        return False


async def _database(settings: Settings) -> Finding:
    return _no_file_yet(settings) or await _checked("database", bootstrap.store_check(settings))


def _no_file_yet(settings: Settings) -> Finding | None:
    file = missing(settings)
    if file is None:
        return None
    return Finding("database", Verdict.GOOD, f"{file} does not exist yet; it is made at the first start.")


def missing(settings: Settings) -> Path | None:
    """The file of an embedded database that was not made yet; None where it may be there, or is no file at all."""
    file = Path(settings.database_url.partition(":///")[2])
    try:
        return file if settings.embedded_database and not file.exists() else None
    except OSError:
        # Nobody may look there: opening it says so in its own words.
        return None


async def _broker(settings: Settings) -> Finding:
    if settings.broker_url is None:
        return Finding("broker", Verdict.GOOD, "Inside the process: one process serves everybody.")
    try:
        bootstrap.for_several(settings)
    except ProsaError as error:
        return Finding("broker", Verdict.BAD, error.message)
    return await _checked("broker", bootstrap.broker_check(settings))


async def _traces(settings: Settings, endpoint: str) -> Finding:
    """A receiver that is away is no failure: answers do not wait for it."""
    try:
        return Finding("traces", Verdict.GOOD, hidden(await bootstrap.traces_check(settings, endpoint)))
    except ProsaError as error:
        return Finding("traces", Verdict.BAD, error.message)
    except OSError as error:
        return Finding("traces", Verdict.DOUBTFUL, hidden(str(error)))


async def _models(settings: Settings) -> AsyncIterator[Finding]:
    try:
        async with bootstrap.engines(settings) as engines:
            for name, engine in engines.items():
                yield await _model(name, engine)
    except ProsaError as error:
        yield Finding("models", Verdict.BAD, error.message)


async def _model(name: str, engine: Engine) -> Finding:
    finding = await _checked(f"model {name}", engine.check())
    # The provider answers, so this is no failure: some list other names than they take.
    return msgspec.structs.replace(finding, verdict=Verdict.DOUBTFUL) if NOT_LISTED in finding.text else finding


async def _checked(subject: str, check: Awaitable[str]) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return Finding(subject, Verdict.GOOD, hidden(await check))
    except ProsaError as error:
        return Finding(subject, Verdict.BAD, hidden(error.message))
    except OSError as error:
        said = str(error) or f"no answer in {CHECK_SECONDS:.0f} s"
        return Finding(subject, Verdict.BAD, f"{hidden(said)}. Correct that and look again.")
