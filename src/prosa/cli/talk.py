"""``prosa chat``: talk in the terminal. ``prosa top``: look after an installation there."""

import asyncio
import sys
from io import TextIOWrapper
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from uuid_utils.compat import uuid7

from prosa import settings
from prosa.cli.options import address
from prosa.terminal import top as overview
from prosa.terminal.chat import Conversation, converse
from prosa.terminal.client import Server, sign_in
from prosa.terminal.screen import Screen

Url = Annotated[str | None, typer.Option(envvar="PROSA_URL", help="The server, as http://127.0.0.1:8000.")]
Username = Annotated[str | None, typer.Option("--user", help="Sign in as this user.")]
Bearer = Annotated[str | None, typer.Option("--token", envvar="PROSA_TOKEN", help="Sign in with this token.")]


def chat(
    url: Url = None,
    chat_id: Annotated[UUID | None, typer.Option("--chat", help="Go on with this chat.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to ask.")] = None,
    username: Username = None,
    bearer: Bearer = None,
) -> None:
    """Talk in the terminal. Ctrl-C stops an answer; `echo question | prosa chat` prints just the answer."""
    where = _where(url)
    screen = Screen()
    server = Server(where, _token(bearer) or _signed_in(where, username, screen))
    conversation = Conversation(server, chat_id or uuid7(), model, uuid7, known=chat_id is not None)
    raise typer.Exit(converse(conversation, screen))


def top(  # noqa: PLR0913 — a command's options
    *,
    url: Url = None,
    username: Username = None,
    bearer: Bearer = None,
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print how things stand now, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON document a line.")] = False,
) -> None:
    """See how an installation stands: queues, gateways, workers and their slots. For administrators; q leaves."""
    where = _where(url)
    server = Server(where, _token(bearer) or _signed_in(where, username, Screen()))
    if isinstance(sys.stdout, TextIOWrapper):
        # Bars and dots are not in every character set: better a question mark than no answer.
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False, soft_wrap=False)
    if once or not (as_json or console.is_terminal):
        asyncio.run(overview.once(server, console, as_json=as_json))
    elif as_json:
        asyncio.run(overview.lines(server, console, interval))
    else:
        asyncio.run(overview.live(server, console, interval))


def _where(url: str | None) -> str:
    where = (url or address(settings.load())).rstrip("/")
    if not where.startswith(("http://", "https://")):
        raise typer.BadParameter("an address begins with http:// or https://", param_hint="--url")
    return where


def _token(given: str | None) -> str | None:
    token = (given or "").strip()
    if not token.isprintable():
        raise typer.BadParameter("a token is one line of visible characters", param_hint="--token")
    return token or None


def _signed_in(where: str, username: str | None, screen: Screen) -> str:
    if not screen.interactive:
        # Standard input is the question here, or a program's: there is nobody to ask.
        raise typer.BadParameter("set PROSA_TOKEN (see `prosa token --help`)", param_hint="--token")
    name = username or typer.prompt("Username", err=True)
    password = typer.prompt("Password", hide_input=True, err=True)
    return asyncio.run(sign_in(where, name, password))
