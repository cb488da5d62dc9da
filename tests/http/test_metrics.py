"""Who is shown ``/metrics`` at each address, and what everybody else is told: that there is nothing."""

from pathlib import Path

import httpx2
import pytest
from starlette.types import ASGIApp

from prosa.adapters.exposition import Exposition
from prosa.core.exposure import FROM_HERE, Exposure
from prosa.gateway.exposition import application as metrics_alone
from prosa.testing import ManualClock
from prosa.worker.probes import Probes
from prosa.worker.probes import application as worker_probes
from tests.http.world import World, open_world, problem

TOKEN = "a-token-that-is-long"
BEARER = {"authorization": f"Bearer {TOKEN}"}
LOCAL = "http://127.0.0.1:8000"
TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def test_a_program_on_the_same_machine_is_shown_them(world: World) -> None:
    answer = await world.client("127.0.0.1", base_url=LOCAL).get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, TYPE)
    assert "\nprosa_sockets 0.0\n" in answer.text


@pytest.mark.parametrize(
    ("address", "base", "headers"),
    [
        ("192.0.2.1", LOCAL, {}),
        ("127.0.0.1", LOCAL, {"x-forwarded-for": "127.0.0.1"}),
        ("127.0.0.1", LOCAL, {"forwarded": "for=192.0.2.1"}),
        ("127.0.0.1", LOCAL, {"x-real-ip": "192.0.2.1"}),
        ("127.0.0.1", "http://chat.example.org", {}),
        ("192.0.2.1", LOCAL, BEARER),
    ],
)
async def test_everybody_else_is_told_what_is_told_at_an_unknown_address(
    world: World, address: str, base: str, headers: dict[str, str]
) -> None:
    client = world.client(address, base_url=base, headers=headers)
    told = await client.get("/metrics")
    unknown = await client.get("/api/no-such-address")
    problem(told, 404, "not_found")
    assert (told.json(), dict(told.headers)) == (unknown.json(), dict(unknown.headers))


async def test_a_member_who_is_signed_in_is_no_exception(world: World) -> None:
    ana = await world.person("ana")
    problem(await ana.client.get("/metrics"), 404, "not_found")
    token = {"authorization": f"Bearer {await world.token('ana')}"}
    problem(await world.client(headers=token).get("/metrics"), 404, "not_found")


async def test_with_a_token_whoever_brings_it_is_shown_them_and_nobody_else(tmp_path: Path) -> None:
    async with open_world(tmp_path, metrics=Exposure(token=TOKEN)) as world:
        behind = {"x-forwarded-for": "192.0.2.1"}
        assert (await world.client(headers={**BEARER, **behind}).get("/metrics")).status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong"}):
            problem(await world.client("127.0.0.1", base_url=LOCAL, headers=headers).get("/metrics"), 404, "not_found")


async def test_with_a_port_of_their_own_the_public_one_has_none(tmp_path: Path) -> None:
    async with open_world(tmp_path, metrics=Exposure(token=TOKEN, elsewhere=True)) as world:
        problem(await world.client("127.0.0.1", base_url=LOCAL, headers=BEARER).get("/metrics"), 404, "not_found")


# ── a port of their own, and a worker's probes ──


def page(text: str) -> Exposition:
    return Exposition(text.encode, ManualClock())


def at(app: ASGIApp, address: str, **options: object) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, client=(address, 1))
    return httpx2.AsyncClient(transport=transport, **{"base_url": "http://10.0.0.1:9000", **options})  # type: ignore[arg-type]


async def test_their_own_port_shows_them_to_whoever_reaches_it_and_nothing_else() -> None:
    app = metrics_alone(page("prosa_sockets 1.0\n"), Exposure(anybody=True))
    async with at(app, "10.0.0.2") as client:
        answer = await client.get("/metrics")
        assert (answer.status_code, answer.headers["content-type"]) == (200, TYPE)
        assert answer.text == "prosa_sockets 1.0\n"
        for path in ("/", "/health", "/api/info", "/metrics/"):
            assert (await client.get(path)).status_code == 404


async def test_their_own_port_asks_for_the_token_too() -> None:
    app = metrics_alone(page("prosa_sockets 1.0\n"), Exposure(anybody=True, token=TOKEN))
    async with at(app, "127.0.0.1") as client:
        refused = await client.get("/metrics")
        assert (refused.status_code, refused.text) == (404, (await client.get("/no-such-address")).text)
        assert (await client.get("/metrics", headers=BEARER)).status_code == 200


@pytest.mark.parametrize(
    ("exposure", "address", "headers", "status"),
    [
        (FROM_HERE, "127.0.0.1", {"host": "127.0.0.1:8001"}, 200),
        (FROM_HERE, "10.0.0.2", {}, 404),
        (FROM_HERE, "127.0.0.1", {"host": "127.0.0.1:8001", "x-forwarded-for": "10.0.0.2"}, 404),
        (Exposure(token=TOKEN), "10.0.0.2", BEARER, 200),
        (Exposure(token=TOKEN), "127.0.0.1", {"host": "127.0.0.1:8001"}, 404),
    ],
)
async def test_a_workers_probes_follow_the_same_rule_and_its_health_is_for_all(
    exposure: Exposure, address: str, headers: dict[str, str], status: int
) -> None:
    app = worker_probes(Probes("wk-test", page("prosa_slots 1.0\n"), exposure))
    async with at(app, address, headers=headers) as client:
        answer = await client.get("/metrics")
        assert answer.status_code == status
        if status == 404:
            assert answer.text == (await client.get("/no-such-address")).text
        assert (await client.get("/health/live")).json() == {"state": "alive"}
        assert (await client.get("/health/ready")).json() == {"state": "starting", "worker": "wk-test"}
