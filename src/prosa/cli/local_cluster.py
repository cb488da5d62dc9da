"""``prosa up``: many processes on this machine, behind one address."""

from typing import Annotated

import typer

from prosa import logs, settings
from prosa.cli.options import DataDir
from prosa.cluster.supervise.up import Wish
from prosa.cluster.supervise.up import up as run


def up(  # noqa: PLR0913 — the options of a command
    *,
    gateways: Annotated[int, typer.Option(min=1, max=64, help="How many gateways.")] = 2,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many workers.")] = 3,
    host: Annotated[str | None, typer.Option(help="Address of all gateways (PROSA_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port of all gateways (PROSA_PORT).")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the addresses and process ids, then each event, as JSON lines.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Run a local cluster: several gateways and workers as real processes, on one address.

    It uses PROSA_DATABASE_URL (PostgreSQL) and PROSA_BROKER_URL (RabbitMQ); for what is not set it starts a private
    one from the system's packages, whose data stays in DATA_DIR/cluster, as do the logs and cluster.json.

    A process that ends by itself is started again. Ctrl-C ends the cluster in order, a second one at once.

    The model `scripted` is on unless PROSA_SCRIPTED says otherwise. The local model is off unless you ask for it, for
    each worker would load its own: PROSA_LOCAL=true turns it on, and models in prosa.toml are served as always.
    """
    found = settings.load({"host": host, "port": port, "data_dir": data_dir})
    logs.configure(found.log_format, found.log_level)
    raise typer.Exit(run(found, Wish(gateways, workers, as_json)))
