"""The entry point, and the list of all commands."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from prosa.cli import accounts, backup, bench, chaos, dead, local_cluster, serving, talk, upkeep
from prosa.cli.options import NOT_SET_UP, WRONG
from prosa.core.errors import ProsaError, SetupError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Prosa: a chatbot platform that many people use at once and that never loses an answer.",
)
app.command()(serving.serve)
app.command()(serving.gateway)
app.command()(serving.worker)
app.command()(local_cluster.up)
app.command()(upkeep.migrate)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(upkeep.config)
app.command(name="doctor")(upkeep.examine)
app.command()(accounts.token)
app.command()(talk.chat)
app.command()(talk.top)
app.command()(bench.bench)
app.command()(chaos.chaos)
app.add_typer(accounts.user, name="user")
app.add_typer(dead.dead, name="dead")


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
