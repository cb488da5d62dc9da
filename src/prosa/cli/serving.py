"""``prosa serve``, ``gateway`` and ``worker``: the processes."""

import threading
import urllib.request
import webbrowser
from contextlib import suppress
from typing import Annotated, Final

import typer

from prosa import bootstrap, settings
from prosa.cli.options import DataDir, address

OPEN_SECONDS: Final = 60

Descriptors = Annotated[
    list[int] | None, typer.Option("--fd", hidden=True, help="Serve on this inherited, listening socket.")
]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (PROSA_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (PROSA_PORT).")] = None,
    data_dir: DataDir = None,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Run everything in one process: page, API, database, broker and models."""
    found = settings.load({"host": host, "port": port, "data_dir": data_dir})
    if open_page:
        threading.Thread(target=_open_when_ready, args=(address(found),), daemon=True).start()
    bootstrap.serve(found)


def gateway(
    host: Annotated[str | None, typer.Option(help="Address to listen on (PROSA_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (PROSA_PORT).")] = None,
    fd: Descriptors = None,
) -> None:
    """Run a gateway: the page, the API and the sockets. Any number of them serve the same people.

    It needs PROSA_DATABASE_URL (PostgreSQL) and PROSA_BROKER_URL (RabbitMQ), and waits for a database that is away.
    SIGTERM drains it: it takes no more connections, closes the open ones as going away, and ends.
    """
    bootstrap.gateway(settings.load({"host": host, "port": port}), tuple(fd or ()))


def worker(
    slots: Annotated[int | None, typer.Option(help="Answers at once (PROSA_SLOTS).")] = None,
    pool: Annotated[
        list[str] | None, typer.Option(help="Serve only this pool of models; may be repeated (PROSA_WORKER_POOLS).")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address of the probes (PROSA_HOST).")] = None,
    probe_port: Annotated[int | None, typer.Option(help="Port of probes and metrics (PROSA_PROBE_PORT).")] = None,
    fd: Descriptors = None,
) -> None:
    """Run a worker: it claims questions, runs the models, and stores the answers. Any number of them share the work.

    It needs PROSA_DATABASE_URL (PostgreSQL) and PROSA_BROKER_URL (RabbitMQ), and waits for a database that is away.
    SIGTERM drains it: it takes no more, lets answers finish for PROSA_DRAIN_SECONDS, gives back the rest, and ends.
    """
    given = {"slots": slots, "worker_pools": pool or None, "host": host, "probe_port": probe_port}
    bootstrap.worker(settings.load(given), tuple(fd or ()))


def _open_when_ready(where: str) -> None:
    ready = threading.Event()
    for _ in range(OPEN_SECONDS * 5):
        with suppress(OSError), urllib.request.urlopen(f"{where}/health/live", timeout=1):  # noqa: S310 — our own
            webbrowser.open(where)
            return
        ready.wait(0.2)
