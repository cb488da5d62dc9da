"""`make test`'s tests, in three lanes side by side: many of them wait for leases, alerts and restarts, and use no core.

What each lane prints goes to ``test-results/NAME.log``; the last one's is shown as it comes, that of the others at the
end. A file of system tests that no lane names runs in the last. Exit code: 0 where everything passed. A signal ends all
of them.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LOGS: Final = ROOT / "test-results"
SYSTEM: Final = ROOT / "tests" / "system"

TIERS: Final = ("tests/unit", "tests/contract", "tests/http", "tests/model", "tests/browser")
WAITING: Final = (
    *(
        "backup",
        "chaos",
        "compose",
        "docs",
        "failures_broker",
        "failures_lossy",
        "failures_store",
        "local_model",
        "logs_unread",
    ),
    *("nodes", "observed", "starting", "up", "upgrade", "walk"),
)
"""What mostly waits; about as long as the others take."""

Run = Sequence[str]


def files(names: Sequence[str]) -> list[str]:
    return [f"tests/system/test_{name}.py" for name in names]


def lanes() -> dict[str, Run]:
    """The command of each lane. Raises ValueError for a file that is named and not there."""
    pytest = (sys.executable, "-m", "pytest")
    named = files(WAITING)
    missing = [name for name in named if not (ROOT / name).exists()]
    if missing:
        raise ValueError(f"No such tests: {', '.join(missing)}. Correct tools/lanes.py.")
    others = sorted(str(path.relative_to(ROOT)) for path in SYSTEM.glob("test_*.py"))
    return {
        "waiting": [*pytest, *named, "--durations", "10"],
        "tiers": [sys.executable, "-m", "tools.services", *pytest, *TIERS, "--durations", "10"],
        "system": [*pytest, *(name for name in others if name not in named), "--durations", "10"],
    }


async def lane(name: str, run: Run, *, shown: bool) -> int:
    """Its exit code."""
    with (LOGS / f"{name}.log").open("wb") as log:
        where = None if shown else log
        process = await asyncio.create_subprocess_exec(
            *run, cwd=ROOT, stdout=where, stderr=where, start_new_session=True
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
                await process.wait()


async def main() -> int:
    LOGS.mkdir(exist_ok=True)
    found = lanes()
    *hidden, last = found
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else sys.exit)
    sys.stdout.write(f"Beside this run, in {LOGS.name}: {', '.join(f'{name}.log' for name in hidden)}\n")
    sys.stdout.flush()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(lane(name, run, shown=name == last)) for name, run in found.items()]
    for name in hidden:
        sys.stdout.write((LOGS / f"{name}.log").read_text("utf-8", "replace"))
    return max(task.result() for task in tasks)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
