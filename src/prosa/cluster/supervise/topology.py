"""What a local cluster is made of, and what is told of it. Data only."""

import signal
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from prosa.cluster.supervise.patience import Patience

PROSA: Final = (sys.executable, "-P", "-m", "prosa")
"""This very Prosa, wherever the command is run."""

LOOPBACK: Final = "127.0.0.1"


class Role(StrEnum):
    """What a process does."""

    GATEWAY = "gateway"
    WORKER = "worker"
    DATABASE = "database"
    BROKER = "broker"


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of a cluster, all on this machine.

    ``environment`` is all that every process sees of ours; ``overrides`` adds to it for one process, by name.
    ``host`` and ``port`` are the shared address of the gateways; port 0 takes any that is free.
    """

    folder: Path
    """For logs, and for what describes the cluster to other programs; one cluster uses it at a time."""
    environment: Mapping[str, str]
    overrides: Mapping[str, Mapping[str, str]] = {}
    metrics: Mapping[str, str] = {}
    """Of processes that show their metrics elsewhere than at their address: where, by name."""
    gateways: int = 2
    workers: int = 3
    host: str = LOOPBACK
    port: int = 0
    command: Sequence[str] = PROSA
    migrates: bool = True
    """Bring the database's schema up to date before anything starts."""
    restarts: bool = True
    """Start again what ended by itself."""
    patience: Patience = Patience()
    start_seconds: float = 90.0
    stop_seconds: float = 60.0
    """For a process that was told to end; then it is killed. Longer than its own drain."""

    @property
    def names(self) -> dict[str, Role]:
        """Of each process: its role; gateways first."""
        gateways = {f"gateway-{number}": Role.GATEWAY for number in range(1, self.gateways + 1)}
        return gateways | {f"worker-{number}": Role.WORKER for number in range(1, self.workers + 1)}

    def environment_of(self, name: str) -> dict[str, str]:
        return {**self.environment, **self.overrides.get(name, {})}

    def command_of(self, role: Role, descriptors: Sequence[int]) -> list[str]:
        inherited = [word for descriptor in descriptors for word in ("--fd", str(descriptor))]
        return [*self.command, role.value, *inherited]


class Process(msgspec.Struct, frozen=True):
    """A process as others see it. ``pid`` is None while it does not run; ``address`` never changes.

    ``metrics``: the address whose ``/metrics`` tells of it; empty for what has none.
    """

    name: str
    role: Role
    pid: int | None
    address: str
    metrics: str = ""


class Description(msgspec.Struct, frozen=True):
    """A cluster as others see it, and as it is written to its folder."""

    address: str
    processes: list[Process]
    folder: str
    supervisor: int


class Happening(StrEnum):
    """What can happen to a process."""

    STARTED = "started"
    READY = "ready"
    ENDED = "ended"
    RESTARTING = "restarting"
    STUCK = "stuck"
    """It ends again and again for the same reason, which somebody must mend."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to a process, at a second of the monotonic clock."""

    event: Happening
    name: str
    role: Role
    at: float
    pid: int | None = None
    code: int | None = None
    """How it ended: an exit code, or the negative number of a signal."""
    asked: bool | None = None
    """Of an end: whether it was told to."""
    seconds: float | None = None
    """Until the next try, 0 after a drain; or, of READY, since the start."""
    sentence: str | None = None


def manner(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def sentence(event: Event) -> str | None:
    """An event as one line for people; None where another line says it."""
    match event.event:
        case Happening.READY:
            return f"{event.name} is ready (process {event.pid}, {event.seconds:.1f} s)."
        case Happening.ENDED if event.asked:
            return f"{event.name} has ended ({manner(event.code or 0)})."
        case Happening.RESTARTING if event.seconds == 0:
            return f"{event.name} has drained and left; a fresh one takes its place."
        case Happening.RESTARTING:
            return f"{event.name} ended by itself ({manner(event.code or 0)}); next try in {event.seconds:.1f} s."
        case Happening.STUCK:
            return f"{event.name} cannot start, and is tried again until that is mended: {event.sentence}"
        case _:
            return None
