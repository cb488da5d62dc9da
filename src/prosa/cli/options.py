"""What several commands share: their options, and the settings that these lead to."""

from pathlib import Path
from typing import Annotated, Final

import typer

from prosa import doctor, logs, settings
from prosa.core.errors import SetupError
from prosa.settings import Settings

WRONG: Final = 1
NOT_SET_UP: Final = 2

Username = Annotated[str, typer.Argument(metavar="USER", help="The account's name.")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of the database (PROSA_DATA_DIR).")]


def configured(data_dir: Path | None) -> Settings:
    found = settings.load({"data_dir": data_dir})
    logs.configure(found.log_format, "warning")
    return found


def existing(data_dir: Path | None) -> Settings:
    """For what needs accounts that are there: in another folder by mistake, no empty database must be made."""
    found = configured(data_dir)
    if doctor.missing(found) is not None:
        raise SetupError(
            f"There is no database in {found.data_dir}. Run this where `prosa serve` runs, or give --data-dir."
        )
    return found


def address(found: Settings) -> str:
    """Where a program on this machine reaches the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(found.host, found.host)  # noqa: S104 — read, not bound
    return f"http://{host}:{found.port}"
