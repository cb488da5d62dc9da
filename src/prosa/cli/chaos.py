"""``prosa chaos``: people ask while a private cluster is besieged, and every reply is verified."""

import asyncio
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom
from typing import Annotated, Final

import typer

from prosa import settings
from prosa.bootstrap.process import first
from prosa.chaos.schedule import PROCESSES, RESTARTS, SERVICES, Wish
from prosa.chaos.siege import Order, Outcome, siege, write
from prosa.chaos.table import table
from prosa.chaos.workload import Workload
from prosa.cli.options import WRONG
from prosa.cluster.supervise import Role
from prosa.load import bench as load

FAULTS: Final = "The faults"
WORK: Final = "The workload"
PLACE: Final = "The cluster"
RESULT: Final = "The result"
NONE: Final = "none"
SEEDS: Final = 1_000_000

_Minutes = Annotated[float, typer.Option(min=0.1, help="How long people ask.", rich_help_panel=FAULTS)]
_Seed = Annotated[
    int | None, typer.Option(min=0, help="The same seed and options: the same schedule.", rich_help_panel=FAULTS)
]
_Every = Annotated[
    float, typer.Option(min=1, help="Seconds from one kill or freeze to the next.", rich_help_panel=FAULTS)
]
_Kill = Annotated[str, typer.Option(help="What may be killed (kill -9): worker, gateway.", rich_help_panel=FAULTS)]
_Freeze = Annotated[str, typer.Option(help="What may be frozen for 1 to 8 s: worker, gateway.", rich_help_panel=FAULTS)]
_Cut = Annotated[
    str,
    typer.Option(help="How often one worker is cut from the database or the broker alone.", rich_help_panel=FAULTS),
]
_Restart = Annotated[
    str,
    typer.Option(help=f"What is restarted how often: {', '.join(RESTARTS)}.", rich_help_panel=FAULTS),
]
_Users = Annotated[int, typer.Option(min=1, help="People, each with a socket.", rich_help_panel=WORK)]
_Words = Annotated[str, typer.Option(help="Words of a reply: at least, at most.", rich_help_panel=WORK)]
_Rate = Annotated[float, typer.Option(min=0.01, help="Words a second.", rich_help_panel=WORK)]
_Think = Annotated[float, typer.Option(min=0, help="Seconds from a reply to the next message.", rich_help_panel=WORK)]
_Chats = Annotated[int, typer.Option(min=1, help="Chats of each person, asked in turn.", rich_help_panel=WORK)]
_Ahead = Annotated[
    int, typer.Option(min=1, help="Messages of a person that may be unanswered at once.", rich_help_panel=WORK)
]
_LostAfter = Annotated[
    float,
    typer.Option(min=1, help="Lost: no end so many seconds behind the acknowledgement.", rich_help_panel=WORK),
]
_Gateways = Annotated[int, typer.Option(min=1, max=64, help="How many gateways.", rich_help_panel=PLACE)]
_Workers = Annotated[int, typer.Option(min=1, max=64, help="How many workers.", rich_help_panel=PLACE)]
_Slots = Annotated[int, typer.Option(min=1, help="Answers at once of each worker.", rich_help_panel=PLACE)]
_Folder = Annotated[
    Path | None,
    typer.Option(help="For the cluster's logs and data; a temporary one, kept when wrong.", rich_help_panel=PLACE),
]
_Out = Annotated[Path, typer.Option(help="Folder for report.json and the plots.", rich_help_panel=RESULT)]


def chaos(  # noqa: PLR0913 — each is an option
    *,
    minutes: _Minutes = 5.0,
    seed: _Seed = None,
    every: _Every = 10.0,
    kill: _Kill = "worker,gateway",
    freeze: _Freeze = "worker,gateway",
    cut: _Cut = "database:2,broker:2",
    restart: _Restart = "broker:1,broker-wiped:1,database:1,database-immediate:3",
    users: _Users = 100,
    words: _Words = "20-200",
    rate: _Rate = 20.0,
    think: _Think = 1.0,
    chats: _Chats = 2,
    ahead: _Ahead = 2,
    lost_after: _LostAfter = 60.0,
    gateways: _Gateways = 2,
    workers: _Workers = 3,
    slots: _Slots = 100,
    folder: _Folder = None,
    out: _Out = Path("chaos-results"),
) -> None:
    """Let people ask a cluster of its own while it is killed, frozen, cut and restarted; verify every reply.

    It starts a private PostgreSQL, RabbitMQ, gateways and workers, and ends them all. Exit code 1 when anything was
    lost, duplicated, corrupted or reordered. `none` for an option with names does nothing of the kind.

    \b
    prosa chaos
    prosa chaos --users 20 --minutes 1 --seed 7
    prosa chaos --kill worker --freeze none --cut none --restart none --every 5
    prosa chaos --restart broker-wiped:4,worker:3,gateway:3
    """
    wish = Wish(
        seconds=minutes * 60,
        every=every,
        kill=_roles(kill, "--kill"),
        freeze=_roles(freeze, "--freeze"),
        cuts={Role(name): count for name, count in _counts(cut, [role.value for role in SERVICES], "--cut").items()},
        restarts=_counts(restart, list(RESTARTS), "--restart"),
        gateways=gateways,
        workers=workers,
    )
    fewest, most = _span(words)
    if most / rate >= lost_after:
        raise typer.BadParameter(f"{most} words at {rate:g} a second take longer than that", param_hint="--lost-after")
    plan = Workload(
        users=users,
        words=most,
        fewest=fewest,
        rate=rate,
        think_seconds=think,
        chats=chats,
        ahead=ahead,
        seconds=wish.seconds,
        model="scripted",
        lost_after=lost_after,
    )
    order = Order(
        wish=wish,
        plan=plan,
        seed=SystemRandom().randrange(SEEDS) if seed is None else seed,
        slots=slots,
        environment=settings.load().environment,
        folder=folder.absolute() if folder else _temporary(),
        command=shlex.join(["prosa", *sys.argv[1:]]),
    )
    with _kept_if_wrong(order.folder, temporary=folder is None):
        if not _run(order, out):
            raise typer.Exit(WRONG)


def _run(order: Order, out: Path) -> bool:
    """Whether the promise was kept. Ctrl-C ends the siege and reports what there is."""
    with asyncio.Runner() as runner:
        world = load.world(lambda text: typer.echo(text, err=True))
        _on_interrupt(runner.get_loop(), world.stop)
        outcome = _besieged(runner, order, world)
    files = write(outcome, out)
    typer.echo(table(outcome.report))
    typer.echo(f"\nIn {out}: {', '.join(file.name for file in files)}")
    return outcome.report.flawless


def _besieged(runner: asyncio.Runner, order: Order, world: load.World) -> Outcome:
    try:
        return runner.run(siege(order, world))
    except BaseExceptionGroup as group:
        wrong = first(group)
        if wrong is None:
            raise
        raise wrong from None


def _on_interrupt(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """The first Ctrl-C ends the siege, the second one everything."""

    def interrupted() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, interrupted)


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="prosa-chaos-"))
    folder.chmod(0o755)  # PostgreSQL may have to run as another user, and must get through
    return folder


@contextmanager
def _kept_if_wrong(folder: Path, *, temporary: bool) -> Iterator[None]:
    try:
        yield
    except BaseException:
        typer.echo(f"The logs and the database are in {folder}.", err=True)
        raise
    if temporary:
        shutil.rmtree(folder, ignore_errors=True)


# ── what people write ──


def _words_of(text: str) -> list[str]:
    return [] if text.strip() == NONE else [word.strip() for word in text.split(",") if word.strip()]


def _roles(text: str, option: str) -> tuple[Role, ...]:
    return tuple(Role(_known(word, [role.value for role in PROCESSES], option)) for word in _words_of(text))


def _counts(text: str, known: Sequence[str], option: str) -> dict[str, int]:
    found = {}
    for word in _words_of(text):
        name, _, count = word.partition(":")
        if not (count or "1").isdigit():
            raise typer.BadParameter(f"write it as {name}:2", param_hint=option)
        found[_known(name, known, option)] = int(count or "1")
    return found


def _known(name: str, known: Sequence[str], option: str) -> str:
    if name not in known:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint=option)
    return name


def _span(text: str) -> tuple[int, int]:
    fewest, _, most = text.partition("-")
    if not (fewest.isdigit() and (most or fewest).isdigit() and 0 < int(fewest) <= int(most or fewest)):
        raise typer.BadParameter("write it as 20-200", param_hint="--words")
    return int(fewest), int(most or fewest)
