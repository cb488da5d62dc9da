"""What the doctor says about an address that is served and a model that is not listed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from prosa import doctor
from prosa.adapters.folder import locked
from prosa.catalog import ModelSettings
from prosa.cluster.loopback import free_port
from prosa.doctor import Finding, Verdict
from prosa.settings import Settings
from tests.receiver import receiving


async def _info(_request: web.Request) -> web.Response:
    return web.json_response({"name": "prosa"})


async def _models(_request: web.Request) -> web.Response:
    return web.json_response({"data": [{"id": "llama3.2:latest"}, {"id": "qwen3"}]})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where something answers as a served Prosa does, and as a provider of models does."""
    app = web.Application()
    app.router.add_get("/api/info", _info)
    app.router.add_get("/v1/models", _models)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_a_prosa_that_serves_this_folder_is_fine(port: int, tmp_path: Path) -> None:
    with locked(tmp_path):
        finding = await doctor.port("127.0.0.1", port, tmp_path)
    assert finding == Finding("address", Verdict.GOOD, f"Prosa is serving at http://127.0.0.1:{port} now.")


@pytest.mark.parametrize("left", [True, False], ids=["once used", "never used"])
async def test_a_prosa_that_serves_another_folder_is_doubtful(left: bool, port: int, tmp_path: Path) -> None:
    if left:
        with locked(tmp_path):
            pass
    finding = await doctor.port("127.0.0.1", port, tmp_path)
    assert finding.verdict is Verdict.DOUBTFUL
    assert f"serving at http://127.0.0.1:{port}, but from another data folder." in finding.text


@pytest.mark.parametrize(("name", "verdict"), [("llama3.2", Verdict.GOOD), ("lama3.2", Verdict.DOUBTFUL)])
async def test_a_model_that_its_provider_does_not_list_is_doubtful(
    name: str, verdict: Verdict, port: int, tmp_path: Path
) -> None:
    model = ModelSettings(name=name, engine="openai", base_url=f"http://127.0.0.1:{port}/v1")
    findings = [found async for found in doctor.examine(Settings(data_dir=tmp_path, local=False, models=(model,)))]
    found = next(finding for finding in findings if finding.subject == f"model {name}")
    assert found.verdict is verdict
    assert verdict is Verdict.GOOD or found.text.endswith("lists: llama3.2:latest, qwen3.")


async def test_a_gateway_that_serves_is_fine_whatever_folder_it_was_started_in(port: int) -> None:
    assert (await doctor.port("127.0.0.1", port, None)).verdict is Verdict.GOOD


async def test_a_broker_that_is_away_is_named_with_what_to_do(tmp_path: Path) -> None:
    url = f"amqp://guest:secret@127.0.0.1:{free_port()}/"
    nobody = f"postgresql://nobody@127.0.0.1:{free_port()}/prosa"
    settings = Settings(data_dir=tmp_path, local=False, scripted=True, broker_url=url, database_url=nobody)
    findings = [found async for found in doctor.examine(settings)]
    found = next(finding for finding in findings if finding.subject == "broker")
    assert found.verdict is Verdict.BAD
    assert "cannot be reached" in found.text
    assert "PROSA_BROKER_URL" in found.text
    assert "secret" not in found.text


async def test_a_receiver_of_traces_is_asked_where_one_is_set(tmp_path: Path) -> None:
    async with receiving() as receiver:
        gone = f"http://127.0.0.1:{free_port()}"
        for address, verdict in ((receiver.address, Verdict.GOOD), (gone, Verdict.DOUBTFUL)):
            settings = Settings(data_dir=tmp_path, local=False, scripted=True, otlp_endpoint=address)
            findings = {found.subject: found async for found in doctor.examine(settings)}
            assert findings["traces"].verdict is verdict
            assert address in findings["traces"].text
    nowhere = Settings(data_dir=tmp_path, local=False, scripted=True)
    assert "traces" not in [found.subject async for found in doctor.examine(nowhere)]


async def test_a_broker_beside_sqlite_is_what_no_command_accepts(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, local=False, scripted=True, broker_url="amqp://127.0.0.1:1/")
    findings = doctor.examine(settings)
    found = [finding async for finding in findings if finding.subject == "broker"]
    assert [finding.verdict for finding in found] == [Verdict.BAD]
    assert "PROSA_DATABASE_URL" in found[0].text


EVERYWHERE = "0.0.0.0"  # noqa: S104 — asked about, not bound
OPEN = {"metrics_port": 9000, "metrics_host": EVERYWHERE}
TOKEN = "a-token-that-is-long"


@pytest.mark.parametrize(
    ("given", "verdict", "words"),
    [
        ({}, Verdict.GOOD, "at each process's own address, to programs on this machine alone."),
        ({"host": EVERYWHERE}, Verdict.GOOD, "to programs on this machine alone. For a Prometheus elsewhere set"),
        ({"metrics_token": TOKEN}, Verdict.GOOD, "at each process's own address, to whoever brings the token"),
        ({"metrics_port": 9000}, Verdict.GOOD, "at http://127.0.0.1:9000, a worker's at its probes, to programs on"),
        (OPEN, Verdict.DOUBTFUL, "at http://0.0.0.0:9000, a worker's at its probes, to whoever reaches that port. Set"),
        ({**OPEN, "metrics_token": TOKEN}, Verdict.GOOD, "to whoever brings the token"),
        ({**OPEN, "metrics": False}, Verdict.GOOD, "Off (PROSA_METRICS): nothing is measured"),
        ({"secure_cookies": "on"}, Verdict.DOUBTFUL, "a proxy on it that adds no header looks like one. Set PROSA_ME"),
        ({"secure_cookies": "on", "metrics_port": 9000}, Verdict.GOOD, "to programs on this machine alone"),
    ],
)
async def test_it_says_who_is_shown_the_metrics(
    given: dict[str, object], verdict: Verdict, words: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, local=False, scripted=True, **given)  # type: ignore[arg-type]
    findings = [found async for found in doctor.examine(settings)]
    found = next(finding for finding in findings if finding.subject == "metrics")
    assert found.verdict is verdict, found
    assert words in found.text
    assert TOKEN not in found.text
