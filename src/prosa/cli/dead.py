"""``prosa dead``: the jobs that nobody could take. Their runs are safe: the database has them."""

import asyncio
from datetime import datetime
from typing import Annotated, Final

import typer

from prosa.bootstrap.letters import dead_letters
from prosa.cli.options import configured
from prosa.settings import Settings

dead = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, retry, drop.")

REASONS: Final = {
    "rejected": "nobody can read or run it",
    "delivery_limit": "too many workers died of it, or gave it back",
    "expired": "it waited too long",
    "maxlen": "its queue was full",
}

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many to list, the oldest first.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="A letter's id, as `prosa dead list` shows it.")]
OptionalId = Annotated[str | None, typer.Argument(metavar="ID", help="A letter's id.")]
All = Annotated[bool, typer.Option("--all", help="All letters instead of one.")]


@dead.command("list")
def dead_list(limit: Limit = 100) -> None:
    """List the dead letters. Looking changes nothing."""
    lines = asyncio.run(_list(configured(None), limit))
    typer.echo("\n".join(lines) or "There are no dead letters.")


@dead.command("show")
def dead_show(letter: Id) -> None:
    """Show one letter whole."""
    typer.echo("\n".join(asyncio.run(_show(configured(None), letter))))


@dead.command("retry")
def dead_retry(letter: OptionalId = None, everything: All = False) -> None:
    """Put a letter back into its pool's queue. A run that is over is not answered twice."""
    done, left = asyncio.run(_retry(configured(None), _chosen(letter, everything)))
    typer.echo(f"Put back {done} of {done + left}.")
    if left:
        typer.echo(f"{left} cannot be read as jobs, and stay. `prosa dead drop ID` forgets one.", err=True)
        raise typer.Exit(1)


@dead.command("drop")
def dead_drop(letter: OptionalId = None, everything: All = False) -> None:
    """Forget a letter. An unfinished run is dispatched again from the database all the same."""
    typer.echo(f"Dropped {asyncio.run(_drop(configured(None), _chosen(letter, everything)))}.")


def _chosen(letter: str | None, everything: bool) -> str | None:
    """The letter's id, or None for all."""
    if (letter is None) != everything:
        raise typer.BadParameter("Name one letter (`prosa dead list` shows their ids), or give --all.")
    return letter


async def _list(settings: Settings, limit: int) -> list[str]:
    async with dead_letters(settings) as letters:
        found = await letters.list(limit)
    return [
        f"{one.id}  {_time(one.died)}  {one.reason:14}  {one.pool or '-':12}  {one.run or 'unreadable'}"
        for one in found
    ]


async def _show(settings: Settings, letter: str) -> list[str]:
    async with dead_letters(settings) as letters:
        one = await letters.show(letter)
    rows = {
        "id": one.id,
        "run": one.run or "unreadable",
        "pool": one.pool or "-",
        "died": f"{_time(one.died)} in {one.queue}",
        "reason": f"{one.reason}: {REASONS.get(one.reason, 'see the broker')}",
        "body": one.text,
    }
    return [f"{name:6}  {value}" for name, value in rows.items()]


async def _retry(settings: Settings, letter: str | None) -> tuple[int, int]:
    async with dead_letters(settings) as letters:
        handled = await letters.retry(letter)
    return handled.done, handled.left


async def _drop(settings: Settings, letter: str | None) -> int:
    async with dead_letters(settings) as letters:
        return (await letters.drop(letter)).done


def _time(died: datetime | None) -> str:
    return f"{died:%Y-%m-%d %H:%M:%S}" if died else "-"
