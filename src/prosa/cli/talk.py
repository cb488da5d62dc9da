"""``prosa chat``: talk in the terminal."""

import asyncio
from typing import Annotated
from uuid import UUID

import typer
from uuid_utils.compat import uuid7

from prosa import settings
from prosa.cli.options import address
from prosa.terminal.chat import Conversation, converse
from prosa.terminal.client import Server, sign_in
from prosa.terminal.screen import Screen


def chat(
    url: Annotated[str | None, typer.Option(envvar="PROSA_URL", help="The server, as http://127.0.0.1:8000.")] = None,
    chat_id: Annotated[UUID | None, typer.Option("--chat", help="Go on with this chat.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to ask.")] = None,
    username: Annotated[str | None, typer.Option("--user", help="Sign in as this user.")] = None,
    bearer: Annotated[
        str | None, typer.Option("--token", envvar="PROSA_TOKEN", help="Sign in with this token.")
    ] = None,
) -> None:
    """Talk in the terminal. Ctrl-C stops an answer; `echo question | prosa chat` prints just the answer."""
    where = (url or address(settings.load())).rstrip("/")
    if not where.startswith(("http://", "https://")):
        raise typer.BadParameter("an address begins with http:// or https://", param_hint="--url")
    screen = Screen()
    server = Server(where, bearer or _signed_in(where, username, screen))
    conversation = Conversation(server, chat_id or uuid7(), model, uuid7, known=chat_id is not None)
    raise typer.Exit(converse(conversation, screen))


def _signed_in(where: str, username: str | None, screen: Screen) -> str:
    if not screen.interactive:
        # Standard input is the question here: there is nobody to ask.
        raise typer.BadParameter("set PROSA_TOKEN (see `prosa token --help`)", param_hint="--token")
    name = username or typer.prompt("Username", err=True)
    password = typer.prompt("Password", hide_input=True, err=True)
    return asyncio.run(sign_in(where, name, password))
