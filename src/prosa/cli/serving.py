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


def _open_when_ready(where: str) -> None:
    ready = threading.Event()
    for _ in range(OPEN_SECONDS * 5):
        with suppress(OSError), urllib.request.urlopen(f"{where}/health/live", timeout=1):  # noqa: S310 — our own
            webbrowser.open(where)
            return
        ready.wait(0.2)
