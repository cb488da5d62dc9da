"""Who is shown the metrics by real processes: by the embedded one, by a gateway, by a worker."""

import socket
from pathlib import Path

import aiohttp
import pytest

from prosa.adapters.scripted_engine import expected_reply
from prosa.load.counters import published
from tests.system.cluster import Nodes, house
from tests.system.harness import Person, Served, free_port

TOKEN = "a-token-that-is-long"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def got(url: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        return response.status, await response.text()


def other_address() -> str:
    """An address of this machine that others could reach; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address: str = probe.getsockname()[0]
        return address


async def test_who_comes_from_outside_sees_none_and_who_is_inside_does(tmp_path: Path) -> None:
    served = Served(tmp_path / "data", {"PROSA_HOST": "0.0.0.0"})  # noqa: S104 — the point of it
    await served.start()
    try:
        status, text = await got(f"{served.base}/metrics")
        assert (status, "\nprosa_sockets 0.0\n" in text) == (200, True)
        outside = f"http://{other_address()}:{served.port}"
        member = await Person.sign_up(outside)
        for headers in ({}, {"Authorization": f"Bearer {member.token}"}, {"Host": "127.0.0.1"}):
            status, told = await got(f"{outside}/metrics", **headers)
            assert (status, told) == await got(f"{outside}/api/no-such-address", **headers)
            assert status == 404
        assert (await got(f"{served.base}/metrics", **{"X-Forwarded-For": "127.0.0.1"}))[0] == 404
    finally:
        served.kill()


@pytest.mark.parametrize("token", [None, TOKEN], ids=["open", "with a token"])
async def test_a_port_of_their_own_has_them_and_the_public_one_does_not(token: str | None, tmp_path: Path) -> None:
    port = free_port()
    settings = {"PROSA_METRICS_PORT": str(port)} | ({"PROSA_METRICS_TOKEN": token} if token else {})
    served = Served(tmp_path / "data", settings)
    await served.start()
    try:
        assert (await got(f"{served.base}/metrics", **BEARER))[0] == 404
        status, text = await got(f"http://127.0.0.1:{port}/metrics", **BEARER)
        assert (status, "\nprosa_sockets 0.0\n" in text) == (200, True)
        assert (await got(f"http://127.0.0.1:{port}/metrics"))[0] == (404 if token else 200)
        for path in ("/", "/health", "/api/info"):
            assert (await got(f"http://127.0.0.1:{port}{path}", **BEARER))[0] == 404
        assert "metrics.listening" in served.log
        assert served.stop() == 0
    finally:
        served.kill()


async def test_where_nothing_is_measured_there_is_nothing_to_see(tmp_path: Path) -> None:
    port = free_port()
    served = Served(tmp_path / "data", {"PROSA_METRICS": "false", "PROSA_METRICS_PORT": str(port)})
    await served.start()
    try:
        assert (await got(f"{served.base}/metrics"))[0] == 404
        with pytest.raises(aiohttp.ClientConnectorError):
            await got(f"http://127.0.0.1:{port}/metrics")
        person = await Person.sign_up(served.base)
        async with person.socket() as tab:
            accepted = await tab.ask("Answer all the same.", model="scripted")
            assert (await tab.answer(accepted["run"])).text == expected_reply("Answer all the same.")
    finally:
        served.kill()


async def test_gateways_and_workers_ask_for_the_token_and_the_bench_brings_it(nodes: Nodes) -> None:
    await nodes.heal()
    port = free_port()
    more = {"metrics_token": TOKEN, "metrics_port": str(port)}
    async with house(nodes, gateways=1, workers=1, proxied=False, overrides=None, filled=None, **more) as built:
        own, probes = f"http://127.0.0.1:{port}", built.at("worker-1")
        for address in (own, probes):
            assert (await got(f"{address}/metrics"))[0] == 404
            status, text = await got(f"{address}/metrics", **BEARER)
            assert (status, "prosa_build_info{" in text) == (200, True)
        for public in (built.base, built.at("gateway-1")):
            assert (await got(f"{public}/metrics", **BEARER))[0] == 404
            assert (await got(f"{public}/health/ready"))[0] == 200
        assert await published([own, probes]) is None
        assert await published([own, probes], TOKEN) is not None
