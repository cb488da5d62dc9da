"""`python -m tools.services COMMAND …`: run a command with a PostgreSQL and a RabbitMQ of its own.

The tests find them in TEST_POSTGRES_URL, TEST_BROKER_URL and TEST_BROKER_CONTROL (the variables of its rabbitmqctl, as
JSON). So they are the same on every machine that has the two packages, and touch no server that runs there.
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.core.errors import SetupError


async def run(command: list[str], folder: Path) -> int:
    """The command's exit code."""
    async with PostgresNode(folder / "postgresql") as database, RabbitNode(folder / "rabbitmq") as broker:
        environment = {
            **os.environ,  # noqa: TID251 - it is handed on
            "TEST_POSTGRES_URL": database.url("").rstrip("/"),
            "TEST_BROKER_URL": broker.url.rstrip("/"),
            "TEST_BROKER_CONTROL": json.dumps(broker.control),
        }
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        return await process.wait()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="prosa-services-") as folder:
        Path(folder).chmod(0o755)
        try:
            code = asyncio.run(run(sys.argv[1:], Path(folder)))
        except SetupError as error:
            sys.exit(error.message)
    sys.exit(code)


if __name__ == "__main__":
    main()
