"""``prosa dead`` as an operator types it."""

import asyncio
import re
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from prosa.cli.dead import dead
from prosa.core.errors import BadConfig
from prosa.core.events import Job
from tests.contract.broker import Broker


@pytest.fixture
def prosa_dead(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("PROSA_BROKER_URL", broker.url())
    return CliRunner()


def run(runner: CliRunner, *arguments: str) -> Result:
    return runner.invoke(dead, list(arguments))


def dead_job(broker: Broker, pool: str) -> Job:
    job = Job(uuid4(), pool)

    async def die() -> None:
        async with broker.bus() as bus, bus.jobs(pool, 1) as deliveries, asyncio.timeout(10):
            bus.dispatch(job)
            await (await anext(deliveries)).reject()

    asyncio.run(die())
    return job


def test_a_dead_letter_is_found_shown_retried_and_dropped(prosa_dead: CliRunner, broker: Broker, pool: str) -> None:
    job = dead_job(broker, pool)
    row = re.search(rf"^(\w{{12}})  .*  rejected +{pool} +{job.run}$", listed(prosa_dead, str(job.run)), re.MULTILINE)
    assert row
    shown = run(prosa_dead, "show", row[1]).stdout
    assert str(job.run) in shown
    assert "nobody can read or run it" in shown
    assert run(prosa_dead, "retry", row[1]).stdout == "Put back 1 of 1.\n"
    assert str(job.run) not in run(prosa_dead, "list").stdout
    dead_job(broker, pool)
    assert re.fullmatch(r"Dropped [1-9]\d*\.\n", run(prosa_dead, "drop", "--all").stdout)
    assert run(prosa_dead, "list").stdout == "There are no dead letters.\n"


def listed(runner: CliRunner, wanted: str) -> str:
    """The list, as soon as the letter has arrived in it."""
    for _ in range(100):
        if wanted in (output := run(runner, "list").stdout):
            return output
    raise AssertionError(output)


def test_one_letter_or_all_must_be_named(prosa_dead: CliRunner) -> None:
    for arguments in (["drop"], ["drop", "0123", "--all"], ["retry"]):
        refused = run(prosa_dead, *arguments)
        assert refused.exit_code == 2
        assert "Name one letter" in refused.output


def test_without_a_broker_it_says_so(prosa_dead: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROSA_BROKER_URL")
    refused = run(prosa_dead, "list")
    assert isinstance(refused.exception, BadConfig)
    assert "PROSA_BROKER_URL" in refused.exception.message
