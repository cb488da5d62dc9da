"""What the benchmarks stand on: a folder of their own, and programs beside them in processes of their own."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from prosa.cluster.loopback import free_port

START_SECONDS: Final = 20.0


@asynccontextmanager
async def own_folder(what: str) -> AsyncIterator[Path]:
    """Removed at the end."""
    with tempfile.TemporaryDirectory(prefix=f"prosa-{what}-") as folder:
        yield opened(Path(folder))


def opened(folder: Path) -> Path:
    """Made if it is not there, and open to all: PostgreSQL does not run as root."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    return folder.resolve()


@asynccontextmanager
async def served(module: str) -> AsyncIterator[int]:
    """`python -m MODULE PORT` in a process of its own, once it says `ready`; where it listens."""
    port = free_port()
    command = (sys.executable, "-m", module, str(port))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(START_SECONDS):
            if process.stdout is None or await process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"{module} did not start: run `{' '.join(command)}` to see why.")
        yield port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
