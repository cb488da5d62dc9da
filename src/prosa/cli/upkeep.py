"""``prosa migrate``, ``config`` and ``doctor``: what an operator looks at before and between starts."""

import asyncio
from collections.abc import AsyncIterator

import typer

from prosa import bootstrap, doctor, logs, settings
from prosa.cli.options import WRONG, DataDir, configured
from prosa.doctor import Finding, Verdict


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database's schema to this version."""
    typer.echo(bootstrap.migrate(configured(data_dir)))


def config(data_dir: DataDir = None) -> None:
    """Show every setting that is in force and where it came from, secrets hidden."""
    rows = settings.load({"data_dir": data_dir}).origins_of_values
    keys, values = (
        max(len(cell) for cell in column) for column in zip(*((row.key, row.value) for row in rows), strict=True)
    )
    for row in rows:
        typer.echo(f"{row.key:{keys}}  {row.value:{min(values, 60)}}  {row.source}")


def examine(data_dir: DataDir = None) -> None:
    """Check settings, data folder, database, broker, models and port, and say what to do."""
    found = settings.load({"data_dir": data_dir})
    logs.configure(found.log_format, "error")
    if asyncio.run(_report(doctor.examine(found))):
        raise typer.Exit(WRONG)


async def _report(findings: AsyncIterator[Finding]) -> bool:
    """Prints what is found; whether something is wrong."""
    wrong = False
    async for finding in findings:
        typer.echo(f"{finding.verdict:4}  {finding.subject}: {finding.text}")
        wrong = wrong or finding.verdict is Verdict.BAD
    return wrong
