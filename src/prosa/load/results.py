"""The folder of a bench's results: the report and its plots."""

from pathlib import Path

import msgspec

from prosa.load.bench import Outcome
from prosa.load.plots import plots


def write(outcome: Outcome, folder: Path) -> list[Path]:
    """``report.json`` and the plots, in place of those of the last bench. Returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    report = msgspec.json.format(msgspec.json.encode(outcome.report)) + b"\n"
    drawn = plots(outcome.report.plan, outcome.harvest, outcome.samples)
    files = {"report.json": report, **{name: text.encode() for name, text in drawn.items()}}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]
