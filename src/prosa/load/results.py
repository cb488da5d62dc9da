"""The folder of a bench's results: the report and its plots."""

from pathlib import Path

import msgspec

from prosa.load.bench import Outcome


def write(outcome: Outcome, folder: Path) -> None:
    """``report.json`` and the plots, in place of those of the last bench."""
    folder.mkdir(parents=True, exist_ok=True)
    report = msgspec.json.format(msgspec.json.encode(outcome.report))
    (folder / "report.json").write_bytes(report + b"\n")
