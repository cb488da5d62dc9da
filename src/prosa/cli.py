"""The commands: parse, call, print, nothing else. A person reads what goes wrong as one sentence."""

import asyncio
import sys
import threading
import urllib.request
import webbrowser
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer
from uuid_utils.compat import uuid7

from prosa import bootstrap, doctor, logs, settings
from prosa.core.account import Account
from prosa.core.errors import ProsaError, SetupError
from prosa.core.policy import checked_name
from prosa.doctor import Finding, Verdict
from prosa.settings import Settings
from prosa.terminal.chat import Conversation, converse
from prosa.terminal.client import Server, sign_in
from prosa.terminal.screen import Screen

WRONG: Final = 1
NOT_SET_UP: Final = 2
OPEN_SECONDS: Final = 60

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Prosa: a chatbot platform that many people use at once and that never loses an answer.",
)
user = typer.Typer(no_args_is_help=True, help="Accounts: add, list, change a password, disable, enable.")
app.add_typer(user, name="user")

Username = Annotated[str, typer.Argument(metavar="USER", help="The account's name.")]
PasswordOnInput = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the database (PROSA_DATA_DIR).")]


def main() -> None:
    """The entry point. Exit code 2: something has to be set up first; 1: what was asked did not work."""
    try:
        app()
    except ProsaError as error:
        typer.echo(f"prosa: {error.message}", err=True)
        sys.exit(NOT_SET_UP if isinstance(error, SetupError) else WRONG)
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        way = "Correct that, or name another folder with --data-dir."
        typer.echo(f"prosa: {error.filename} cannot be used: {error.strerror}. {way}", err=True)
        sys.exit(NOT_SET_UP)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"prosa {version('prosa')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Prosa: a chatbot platform that many people use at once and that never loses an answer."""


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (PROSA_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (PROSA_PORT).")] = None,
    data_dir: DataDir = None,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = False,
) -> None:
    """Run everything in one process: page, API, database, broker and models."""
    found = settings.load({"host": host, "port": port, "data_dir": data_dir})
    if open_page:
        threading.Thread(target=_open_when_ready, args=(_address(found),), daemon=True).start()
    bootstrap.serve(found)


@app.command()
def migrate(data_dir: DataDir = None) -> None:
    """Bring the database's schema to this version."""
    typer.echo(bootstrap.migrate(_settings(data_dir)))


@app.command()
def config(data_dir: DataDir = None) -> None:
    """Show every setting that is in force and where it came from, secrets hidden."""
    rows = settings.load({"data_dir": data_dir}).origins_of_values
    keys, values = (
        max(len(cell) for cell in column) for column in zip(*((row.key, row.value) for row in rows), strict=True)
    )
    for row in rows:
        typer.echo(f"{row.key:{keys}}  {row.value:{min(values, 60)}}  {row.source}")


@app.command(name="doctor")
def examine(data_dir: DataDir = None) -> None:
    """Check settings, data folder, database, broker, models and port, and say what to do."""
    found = settings.load({"data_dir": data_dir})
    logs.configure(found.log_format, "error")
    if asyncio.run(_report(doctor.examine(found))):
        raise typer.Exit(WRONG)


@app.command()
def token(
    username: Username,
    days: Annotated[
        float | None, typer.Option(min=0.01, max=3650, help="How long it is valid (PROSA_SESSION_DAYS).")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Print a new bearer token with which a program signs in as USER."""
    found = _existing(data_dir)
    typer.echo(asyncio.run(_issue(found, username, days or found.session_days)))


@app.command()
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
    address = (url or _address(settings.load())).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise typer.BadParameter("an address begins with http:// or https://", param_hint="--url")
    screen = Screen()
    server = Server(address, bearer or _signed_in(address, username, screen))
    conversation = Conversation(server, chat_id or uuid7(), model, uuid7, known=chat_id is not None)
    raise typer.Exit(converse(conversation, screen))


@user.command("add")
def user_add(
    username: Username,
    admin: Annotated[
        bool, typer.Option("--admin", help="As an administrator; the first account is one anyway.")
    ] = False,
    password_stdin: PasswordOnInput = False,
    data_dir: DataDir = None,
) -> None:
    """Add an account."""
    checked_name(username)
    found = _settings(data_dir)
    added = asyncio.run(_add(found, username, _new_password(password_stdin), "admin" if admin else None))
    typer.echo(f"Added {added}.")


@user.command("list")
def user_list(data_dir: DataDir = None) -> None:
    """List all accounts."""
    lines = asyncio.run(_list(_existing(data_dir)))
    typer.echo("\n".join(lines) or "There are no accounts yet. `prosa user add NAME` adds one; so does the page.")


@user.command("passwd")
def user_passwd(username: Username, password_stdin: PasswordOnInput = False, data_dir: DataDir = None) -> None:
    """Set a new password; all sign-ins of the account end."""
    found = _existing(data_dir)
    asyncio.run(_set_password(found, username, _new_password(password_stdin)))
    typer.echo(f"{username} has a new password; every sign-in has ended.")


@user.command("disable")
def user_disable(username: Username, data_dir: DataDir = None) -> None:
    """Keep an account and its chats, but let nobody in."""
    asyncio.run(_set_disabled(_existing(data_dir), username, True))
    typer.echo(f"{username} is disabled; every sign-in has ended.")


@user.command("enable")
def user_enable(username: Username, data_dir: DataDir = None) -> None:
    """Let a disabled account in again."""
    asyncio.run(_set_disabled(_existing(data_dir), username, False))
    typer.echo(f"{username} may sign in again.")


# ── between the commands and the house ───────────────────────────────────────────────────────────────────────


async def _add(found: Settings, username: str, password: str, role: str | None) -> str:
    async with bootstrap.accounts(found) as accounts:
        added = await accounts.add(username, password, role)
    return f"{added.username} ({added.role})"


async def _list(found: Settings) -> list[str]:
    async with bootstrap.accounts(found) as accounts:
        rows = await accounts.all()
    return [_account(row) for row in rows]


async def _set_password(found: Settings, username: str, password: str) -> None:
    async with bootstrap.accounts(found) as accounts:
        await accounts.set_password(username, password)


async def _set_disabled(found: Settings, username: str, disabled: bool) -> None:
    async with bootstrap.accounts(found) as accounts:
        await accounts.set_disabled(username, disabled)


async def _issue(found: Settings, username: str, days: float) -> str:
    async with bootstrap.accounts(found) as accounts:
        return await accounts.issue_token(username, days)


async def _report(findings: AsyncIterator[Finding]) -> bool:
    """Prints what is found; whether something is wrong."""
    wrong = False
    async for finding in findings:
        typer.echo(f"{finding.verdict:4}  {finding.subject}: {finding.text}")
        wrong = wrong or finding.verdict is Verdict.BAD
    return wrong


def _account(account: Account) -> str:
    state = "disabled" if account.user.disabled else "enabled"
    return f"{account.user.username:24}  {account.user.role:6}  {state:8}  {account.created_at:%Y-%m-%d}"


def _settings(data_dir: Path | None) -> Settings:
    found = settings.load({"data_dir": data_dir})
    logs.configure(found.log_format, "warning")
    return found


def _existing(data_dir: Path | None) -> Settings:
    """For what needs accounts that are there: in another folder by mistake, no empty database must be made."""
    found = _settings(data_dir)
    if doctor.missing(found) is not None:
        raise SetupError(
            f"There is no database in {found.data_dir}. Run this where `prosa serve` runs, or give --data-dir."
        )
    return found


def _new_password(on_input: bool) -> str:
    if on_input:
        return sys.stdin.readline().rstrip("\r\n")
    answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return answer


def _signed_in(address: str, username: str | None, screen: Screen) -> str:
    if not screen.interactive:
        # Standard input is the question here: there is nobody to ask.
        raise typer.BadParameter("set PROSA_TOKEN (see `prosa token --help`)", param_hint="--token")
    name = username or typer.prompt("Username", err=True)
    password = typer.prompt("Password", hide_input=True, err=True)
    return asyncio.run(sign_in(address, name, password))


def _address(found: Settings) -> str:
    """Where a program on this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(found.host, found.host)  # noqa: S104 — read, not bound
    return f"http://{host}:{found.port}"


def _open_when_ready(address: str) -> None:
    ready = threading.Event()
    for _ in range(OPEN_SECONDS * 5):
        with suppress(OSError), urllib.request.urlopen(f"{address}/health/live", timeout=1):  # noqa: S310 — our own
            webbrowser.open(address)
            return
        ready.wait(0.2)
