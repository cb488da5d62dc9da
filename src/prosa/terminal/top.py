"""``prosa top``: how an installation stands, again and again."""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

import aiohttp
import msgspec
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from prosa.core.errors import Refused, Unavailable
from prosa.lines import descriptor_of, mute
from prosa.terminal.client import Server, told
from prosa.terminal.overview import Overview, picture

ASK_SECONDS: Final = 10.0
LEAVES: Final = b"qQ\x04"
ESCAPE: Final = b"\x1b"


class Looker:
    """Asks one gateway how things stand."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._http = http

    async def look(self) -> bytes:
        """The overview as JSON. Raises NotSignedIn, Refused (also who is no administrator), and Unavailable."""
        url = f"{self._server.url}/api/admin/overview"
        headers = {"Authorization": f"Bearer {self._server.token}"}
        try:
            async with asyncio.timeout(ASK_SECONDS), self._http.get(url, headers=headers) as response:
                answer = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"There is no answer from {self._server.url}. Is Prosa serving there?") from error
        if response.status != 200:
            raise told(answer, response.status)
        return answer


async def once(server: Server, console: Console, *, as_json: bool) -> None:
    """How it stands now, as text or as one JSON document. Raises what ``Looker.look`` raises."""
    async with aiohttp.ClientSession() as http:
        _show(await Looker(server, http).look(), server, console, as_json=as_json)


async def lines(server: Server, console: Console, interval: float) -> None:
    """A JSON document a line, until Ctrl-C. Raises as ``once``: whoever reads it starts it again."""
    async with aiohttp.ClientSession() as http:
        with _until_left():
            while True:
                _show(await Looker(server, http).look(), server, console, as_json=True)
                await asyncio.sleep(interval)


def _show(answer: bytes, server: Server, console: Console, *, as_json: bool) -> None:
    overview = decoded(answer)
    try:
        if as_json:
            # As it came, whatever a newer server says besides; on one line.
            console.file.write(msgspec.json.format(answer, indent=0).decode() + "\n")
        else:
            console.print(picture(overview, server.url))
        console.file.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if (descriptor := descriptor_of(console.file)) is not None:
            # What is left in its buffer would fail once more at the end.
            mute(descriptor)
        raise Unavailable(f"The overview cannot be written: {error.strerror}. Make room there.") from error


def decoded(answer: bytes) -> Overview:
    try:
        return msgspec.json.decode(answer, type=Overview)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(f"That address does not answer as Prosa's overview does ({error}). Correct --url.") from error


async def live(server: Server, console: Console, interval: float) -> None:
    """On the whole screen until q or Ctrl-C. A server that is away is said, and asked again.

    Raises NotSignedIn, and Refused, as ``once``.
    """
    async with aiohttp.ClientSession() as http:
        looker = Looker(server, http)
        newest: Overview | None = None
        with _until_left(), Live(console=console, screen=True, auto_refresh=False) as screen:
            while True:
                seen, problem = await _seen(looker)
                newest = seen or newest
                screen.update(_drawn(newest, server, console, problem), refresh=True)
                await asyncio.sleep(interval)


async def _seen(looker: Looker) -> tuple[Overview | None, str | None]:
    """How things stand, or why that is not known."""
    try:
        return decoded(await looker.look()), None
    except Unavailable as error:
        return None, f"{error.message} Trying again."


def _drawn(newest: Overview | None, server: Server, console: Console, problem: str | None) -> RenderableType:
    if newest is None:
        return Text(problem or "", style="bold red")
    return picture(newest, server.url, height=console.height - 1, problem=problem)


@contextmanager
def _until_left() -> Iterator[None]:
    """Breaks off at once, and quietly, what is done within: on q, Ctrl-C or SIGTERM, so that the terminal is put back
    as it was."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    left = False

    def leave() -> None:
        nonlocal left
        if not left and task is not None:
            left = task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, leave)
    try:
        with _keys(leave) if sys.stdin.isatty() else nullcontext():
            yield
    except asyncio.CancelledError:
        if not left or task is None:
            raise
        task.uncancel()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextmanager
def _keys(leave: Callable[[], None]) -> Iterator[None]:
    """Keys come at once and are not shown."""
    loop, keyboard = asyncio.get_running_loop(), sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)

    def pressed() -> None:
        typed = os.read(keyboard, 64)
        # What arrows and the like send begins with an escape, too.
        if not typed or typed == ESCAPE or typed[:1] in LEAVES:
            leave()

    tty.setcbreak(keyboard)
    loop.add_reader(keyboard, pressed)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
