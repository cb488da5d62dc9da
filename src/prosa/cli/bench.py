"""``prosa bench``: many people at once, every reply verified character by character."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
import uvloop

from prosa import settings
from prosa.cli.options import WRONG, address
from prosa.cluster.usage import usage
from prosa.core.errors import SetupError
from prosa.load import bench as load
from prosa.load.bench import Job, Watched
from prosa.load.meters import Used
from prosa.load.plan import LOST_SECONDS, Expect, Plan, Start
from prosa.load.results import write
from prosa.load.table import table

PLACE: Final = "The deployment"
WORK: Final = "The workload"
RESULT: Final = "The result"

_Urls = Annotated[
    list[str] | None,
    typer.Option("--url", envvar="PROSA_URL", help="Its address; several share the people.", rich_help_panel=PLACE),
]
_Cluster = Annotated[
    Path | None,
    typer.Option(
        "--cluster",
        help="The cluster.json of a `prosa up`: its address, and its processes to measure.",
        rich_help_panel=PLACE,
    ),
]
_Pids = Annotated[
    list[str] | None,
    typer.Option("--pid", metavar="NAME=PID", help="A process to measure, with its children.", rich_help_panel=PLACE),
]
_Model = Annotated[str, typer.Option("--model", help="The model to ask.", rich_help_panel=PLACE)]
_Expect = Annotated[
    Expect,
    typer.Option(
        help="Against what a reply is held: the scripted model's words and the history, or the history alone.",
        rich_help_panel=PLACE,
    ),
]
_Users = Annotated[int, typer.Option(min=1, help="People, each with a socket.", rich_help_panel=WORK)]
_Messages = Annotated[int, typer.Option(min=1, help="Messages of each.", rich_help_panel=WORK)]
_Seconds = Annotated[
    float | None, typer.Option(min=0.1, help="Instead of --messages: go on asking for so long.", rich_help_panel=WORK)
]
_Words = Annotated[int, typer.Option(min=1, help="Words of a reply.", rich_help_panel=WORK)]
_Rate = Annotated[float, typer.Option(min=0.01, help="Words a second.", rich_help_panel=WORK)]
_Ttft = Annotated[float, typer.Option(min=0, help="Seconds to the model's first word.", rich_help_panel=WORK)]
_Start = Annotated[
    Start,
    typer.Option(
        help="spread: first messages evenly over --spread seconds; together: in one instant; "
        "back-to-back: in one instant, and each next message as soon as the reply is whole.",
        rich_help_panel=WORK,
    ),
]
_Spread = Annotated[float, typer.Option(min=0, help="Seconds for --start spread.", rich_help_panel=WORK)]
_Think = Annotated[float, typer.Option(min=0, help="Seconds from a reply to the next message.", rich_help_panel=WORK)]
_Chats = Annotated[int, typer.Option(min=1, help="Chats of each person, asked in turn.", rich_help_panel=WORK)]
_Ahead = Annotated[
    int, typer.Option(min=1, help="Messages of a person that may be unanswered at once.", rich_help_panel=WORK)
]
_LostAfter = Annotated[
    float,
    typer.Option(min=0.1, help="Lost: no end so many seconds past the model's own time.", rich_help_panel=WORK),
]
_Processes = Annotated[int, typer.Option(min=1, max=64, help="Processes of the bench itself.", rich_help_panel=RESULT)]
_Out = Annotated[Path, typer.Option(help="Folder for report.json and the plots.", rich_help_panel=RESULT)]
_TokensFile = Annotated[
    Path | None, typer.Option(help="Accounts to use again (OUT/accounts.json).", rich_help_panel=RESULT)
]
_DiskFolder = Annotated[
    Path | None, typer.Option(help="Where a bare synced commit is measured (OUT).", rich_help_panel=RESULT)
]


def bench(  # noqa: PLR0913 — each is an option
    *,
    url: _Urls = None,
    cluster: _Cluster = None,
    pid: _Pids = None,
    model: _Model = "scripted",
    expect: _Expect = Expect.SCRIPTED,
    users: _Users = 10,
    messages: _Messages = 1,
    seconds: _Seconds = None,
    words: _Words = 50,
    rate: _Rate = 20.0,
    ttft: _Ttft = 0.0,
    start: _Start = Start.SPREAD,
    spread: _Spread = 5.0,
    think: _Think = 0.0,
    chats: _Chats = 1,
    ahead: _Ahead = 1,
    lost_after: _LostAfter = LOST_SECONDS,
    processes: _Processes = 1,
    out: _Out = Path("bench-results"),
    tokens_file: _TokensFile = None,
    disk_folder: _DiskFolder = None,
) -> None:
    """Let many people ask at once over real sockets, and verify every reply character by character.

    Exit code 1 when anything was lost, duplicated, corrupted, reordered or not answered. The deployment needs the
    scripted model (PROSA_SCRIPTED=true) and, to make many accounts at once, PROSA_RATE_LIMITS=off.

    \b
    prosa bench --users 100 --words 100
    prosa bench --users 1000 --words 200 --spread 20 --cluster data/cluster/cluster.json
    prosa bench --users 500 --start together --words 20
    prosa bench --users 50 --messages 100 --chats 100 --start back-to-back --words 5 --rate 1000
    prosa bench --url http://10.0.0.7:8000 --url http://10.0.0.8:8000 --pid gateway=4711
    """
    plan = Plan(
        users=users,
        messages=messages,
        seconds=seconds,
        words=words,
        rate=rate,
        ttft=ttft,
        start=start,
        spread_seconds=spread,
        think_seconds=think,
        chats=chats,
        ahead=ahead,
        model=model,
        expect=expect,
        lost_after=lost_after,
    )
    out.mkdir(parents=True, exist_ok=True)
    job = Job(
        plan=plan,
        urls=_addresses(url, cluster),
        out=out,
        tokens_file=tokens_file or out / "accounts.json",
        disk_folder=disk_folder or out,
        command=shlex.join(["prosa", *sys.argv[1:]]),
        processes=processes,
    )
    if not _run(job, watched(cluster, _pids(pid or []), _token() if cluster else None)):
        raise typer.Exit(WRONG)


def _run(job: Job, processes: Watched) -> bool:
    """Whether every message was answered, and rightly. Ctrl-C ends the load and reports what there is."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        world = load.world(lambda text: typer.echo(text, err=True))
        _on_interrupt(runner.get_loop(), world.stop)
        outcome = runner.run(load.bench(job, processes, world))
    files = write(outcome, job.out)
    typer.echo(table(outcome.report))
    typer.echo(f"\nIn {job.out}: {', '.join(file.name for file in files)}")
    return outcome.report.verdict.good


def _on_interrupt(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """The first Ctrl-C ends the load, the second one everything."""

    def interrupted() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, interrupted)


def watched(cluster: Path | None, pids: Mapping[str, int], token: str | None = None) -> Watched:
    """The processes to measure: those of a cluster's file, which is read anew as they restart, and named ones."""
    if cluster is None:
        return Watched(lambda: pids, metered)
    read = _reader(cluster)
    addresses = tuple(one.metrics for one in read().processes if one.metrics)
    return Watched(lambda: {**{one.name: one.pid for one in read().processes}, **pids}, metered, addresses, token)


def metered(pid: int) -> Used | None:
    """What a process and its children have used; None where it is gone."""
    try:
        used = usage(pid)
    except ProcessLookupError:
        return None
    return Used(used.cpu_seconds, used.resident_bytes)


class _Process(msgspec.Struct):
    name: str
    pid: int
    metrics: str = ""


class _Written(msgspec.Struct):
    """What `prosa up` writes."""

    processes: list[_Process]
    address: str = ""


def _reader(path: Path) -> Callable[[], _Written]:
    """Reads the file of a cluster; what was read last where it is just being written."""
    try:
        last = msgspec.json.decode(path.read_bytes(), type=_Written)
    except (OSError, msgspec.MsgspecError) as error:
        raise SetupError(
            f"{path} is no file of a cluster: {error}. `prosa up` writes it: cluster.json in its folder."
        ) from error

    def read() -> _Written:
        nonlocal last
        with suppress(OSError, msgspec.MsgspecError):
            last = msgspec.json.decode(path.read_bytes(), type=_Written)
        return last

    return read


def _token() -> str | None:
    """The deployment's own, where the bench runs with its settings."""
    token = settings.load().metrics_token
    return token.get_secret_value() if token else None


def _pids(named: list[str]) -> dict[str, int]:
    pairs = [text.partition("=") for text in named]
    if any(not name or not number.isdigit() for name, _, number in pairs):
        raise typer.BadParameter("write it as gateway=4711", param_hint="--pid")
    return {name: int(number) for name, _, number in pairs}


def _addresses(urls: list[str] | None, cluster: Path | None) -> tuple[str, ...]:
    if not urls and cluster is not None:
        urls = [_reader(cluster)().address]
    given = tuple(url.rstrip("/") for url in urls or [address(settings.load())])
    if any(not url.startswith(("http://", "https://")) for url in given):
        raise typer.BadParameter("an address begins with http:// or https://", param_hint="--url")
    return given
