"""``prosa backup`` and ``prosa restore``: everything in one file, and back, into a database of either kind."""

from pathlib import Path
from typing import Annotated, Final

import typer

from prosa import bootstrap
from prosa.cli.options import DataDir, configured, existing

PIPE: Final = Path("-")

Target = Annotated[Path, typer.Argument(metavar="FILE", help="A new file; - is the standard output.")]
Source = Annotated[
    Path, typer.Argument(metavar="FILE", help="What `prosa backup` has written; - is the standard input.")
]
CheckOnly = Annotated[bool, typer.Option("--check", help="Only read it to its end, and say whether it is whole.")]


def backup(file: Target, data_dir: DataDir = None) -> None:
    """Write accounts, chats, messages and answers to one file, as of this moment, while others go on chatting.

    The file holds what people wrote and how they sign in: keep it as safe as the database. It is compressed, not
    encrypted. It can be restored into PostgreSQL and into SQLite, whatever it came from.
    """
    counts = bootstrap.backup(existing(data_dir), _path(file))
    size = f" ({file.stat().st_size / 1e6:.1f} MB)" if _path(file) else ""
    what = f"{counts['users']:,} accounts, {counts['chat_sessions']:,} chats and {counts['messages']:,} messages"
    typer.echo(f"Backed up {what}{f' to {file}' if size else ''}{size}.", err=not size)


def restore(file: Source, data_dir: DataDir = None, check: CheckOnly = False) -> None:
    """Fill an empty database with a backup, or change nothing. The schema is made, and brought to this version.

    From a laptop to a cluster: back up there, then restore here with PROSA_DATABASE_URL set. Start no gateway and no
    worker before it has ended. Answers that were not finished go on when workers start.
    """
    if check:
        head = bootstrap.check_backup(_path(file))
        typer.echo(
            f"The backup is whole. It was taken at {head.taken_at:%Y-%m-%d %H:%M:%S} UTC by Prosa {head.version}."
        )
        return
    head = bootstrap.restore(configured(data_dir), _path(file))
    typer.echo(f"Restored everything as it was at {head.taken_at:%Y-%m-%d %H:%M:%S} UTC.")


def _path(file: Path) -> Path | None:
    return None if file == PIPE else file
