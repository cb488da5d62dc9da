"""Deals the blows of a schedule, each at its time, and writes down what it hit."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, assert_never

import aiohttp
import msgspec

from prosa.chaos import rows
from prosa.chaos.ground import Ground
from prosa.chaos.ledger import Blow, Held
from prosa.chaos.schedule import SERVICES, Deed, Fault, Manner
from prosa.cluster.supervise import Event, Happening, Role

NAME_SECONDS: Final = 1.0
SETTLED_SECONDS: Final = 1.0
"""Behind a cut: for the worker to connect again, before its slots count."""


class _Health(msgspec.Struct):
    worker: str = ""


class Hands:
    """``blows`` grows as they are dealt. ``stop`` ends everything early: what was broken is mended first."""

    def __init__(
        self, slots: int, clock: Callable[[], float], tell: Callable[[str], None], stop: asyncio.Event
    ) -> None:
        self.blows: list[Blow] = []
        self._slots = slots
        self._clock = clock
        self._tell = tell
        self._stop = stop
        self._began = 0.0
        self._ground: Ground
        self._restarting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def deal(self, ground: Ground, faults: Iterable[Fault], began: float) -> None:
        """All faults, counted from ``began``. Returns when the last one is over. Raises SetupError where a service
        does not come back."""
        self._ground, self._began = ground, began
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._in_time(fault))

    def heard(self, event: Event) -> None:
        """What becomes of the processes: a killed one that is ready again is over it."""
        if event.event is not Happening.READY:
            return
        for blow in self.blows:
            if blow.fault.name == event.name and blow.fault.deed is Deed.KILL and blow.over_at is None:
                blow.over_at = event.at
                self._say(event.at, f"{event.name} is ready again, {event.at - blow.at:.1f} s after its kill")

    # ── one fault ──

    async def _in_time(self, fault: Fault) -> None:
        await self._pause(self._began + fault.at - self._clock())
        if self._stop.is_set():
            return
        try:
            await self._do(fault)
        except ProcessLookupError:
            self._say(self._clock(), f"{fault.sentence()}: it is down already")

    async def _do(self, fault: Fault) -> None:
        match fault.deed:
            case Deed.KILL:
                await self._kill(fault)
            case Deed.FREEZE:
                await self._freeze(fault)
            case Deed.CUT:
                await self._cut(fault)
            case Deed.RESTART:
                async with self._restarting[fault.name]:
                    await (self._restart_service if fault.role in SERVICES else self._restart_process)(fault)
            case _:
                assert_never(fault.deed)

    async def _kill(self, fault: Fault) -> None:
        blow = await self._aim(fault)
        blow.at = self._clock()
        blow.pid = self._ground.cluster.kill(fault.name)
        self._dealt(blow)

    async def _freeze(self, fault: Fault) -> None:
        blow = await self._aim(fault)
        blow.at = self._clock()
        blow.pid = self._ground.cluster.freeze(fault.name)
        self._dealt(blow)
        try:
            await self._pause(fault.seconds)
        finally:
            with suppress(ProcessLookupError):
                self._ground.cluster.thaw(fault.name)
        self._over(blow, f"{fault.name} goes on")

    async def _cut(self, fault: Fault) -> None:
        assert fault.service is not None  # noqa: S101 — a cut is one from a service
        way = self._ground.ways[fault.name, fault.service]
        blow = await self._aim(fault)
        blow.at = self._clock()
        if fault.manner is Manner.BLACK_HOLE:
            way.black_hole()
        else:
            way.reset()
            way.cut()
        self._dealt(blow)
        try:
            await self._pause(fault.seconds)
        finally:
            way.pass_through()
        self._over(blow, f"{fault.name} reaches the {fault.service} again")

    async def _restart_service(self, fault: Fault) -> None:
        blow = Blow(fault=fault, at=self._clock())
        self._dealt(blow)
        await self._take_down(fault)
        await self._pause(fault.seconds)
        await self._bring_up(fault)
        self._over(blow, f"the {fault.name} is back after {self._clock() - blow.at:.1f} s")

    async def _take_down(self, fault: Fault) -> None:
        if fault.role is Role.BROKER:
            await self._ground.broker.stop()
        else:
            await self._ground.database.stop("immediate" if fault.manner is Manner.IMMEDIATE else "fast")

    async def _bring_up(self, fault: Fault) -> None:
        if fault.role is Role.DATABASE:
            await self._ground.database.start()
        elif fault.manner is Manner.WIPED:
            await self._ground.broker.wipe()
        else:
            await self._ground.broker.start()

    async def _restart_process(self, fault: Fault) -> None:
        blow = await self._aim(fault)
        blow.at = self._clock()
        self._dealt(blow)
        try:
            await self._ground.cluster.restart(fault.name)
        except TimeoutError as error:
            blow.note = str(error)
        self._over(blow, blow.note or f"{fault.name} is ready again")

    # ── what is hit ──

    async def _aim(self, fault: Fault) -> Blow:
        """Whom the blow will hit: asked at the last moment before it."""
        blow = Blow(fault=fault, at=0.0)
        if fault.role is not Role.WORKER:
            return blow
        blow.worker = await self._name_of(fault.name)
        running = await rows.running(self._ground.database.url())
        if running is None:
            blow.blind = True
            return blow
        blow.held = tuple(Held(one.id, one.attempt) for one in running if one.worker == blow.worker)
        blow.room = await self._room(fault.name, running) >= len(blow.held)
        return blow

    async def _room(self, name: str, running: Iterable[rows.Running]) -> int:
        """Free slots of the other workers that are well."""
        held = Counter(one.worker for one in running)
        down = {blow.fault.name for blow in self.blows if self._ails(blow)}
        well = [other for other in self._workers() if other != name and other not in down]
        return sum([max(self._slots - held[await self._name_of(other)], 0) for other in well])

    def _ails(self, blow: Blow) -> bool:
        return blow.over_at is None or self._clock() < blow.over_at + SETTLED_SECONDS

    def _workers(self) -> list[str]:
        return [name for name, role in self._ground.cluster.topology.names.items() if role is Role.WORKER]

    async def _name_of(self, worker: str) -> str | None:
        """What a worker calls itself; None where it does not say so at once."""
        timeout = aiohttp.ClientTimeout(total=NAME_SECONDS)
        url = f"{self._ground.cluster.process(worker).address}/health"
        try:
            async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
                return msgspec.json.decode(await answer.read(), type=_Health).worker
        except (aiohttp.ClientError, OSError, msgspec.MsgspecError):
            return None

    # ── telling ──

    def _dealt(self, blow: Blow) -> None:
        self.blows.append(blow)
        pid = f" (pid {blow.pid})" if blow.pid else ""
        hit = f": {len(blow.held)} replies under way" if blow.fault.role is Role.WORKER and not blow.blind else ""
        self._say(blow.at, f"{blow.fault.sentence()}{pid}{hit}")

    def _over(self, blow: Blow, what: str) -> None:
        blow.over_at = self._clock()
        self._say(blow.over_at, what)

    def _say(self, at: float, what: str) -> None:
        self._tell(f"{clock_face(at - self._began)} {what}")

    async def _pause(self, seconds: float) -> None:
        """Or until everything ends early."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._stop.wait()


def clock_face(seconds: float) -> str:
    """Minutes and seconds since the start."""
    whole = max(int(seconds), 0)
    return f"{whole // 60:02}:{whole % 60:02}"
