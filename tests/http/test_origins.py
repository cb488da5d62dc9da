"""Requests that browsers send for other sites' pages change nothing."""

from pathlib import Path

import pytest
from starlette.datastructures import Headers

from prosa.gateway.credentials import origin_allowed, secret_of
from tests.http.world import BASE, PASSWORD, Person, World, open_world, problem

FOREIGN: list[dict[str, str]] = [
    {"origin": "https://evil.test"},
    {"origin": "null"},
    {"origin": "http://prosa.test.evil.test"},
    {"origin": "http://prosa.test:8080"},
    {"origin": "rubbish"},
    {"origin": "http://[broken"},
    {"referer": "https://evil.test/prosa.test"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
]
OWN: list[dict[str, str]] = [
    {},
    {"origin": BASE},
    {"origin": "http://PROSA.test:80"},
    {"referer": f"{BASE}/chats/1"},
    {"origin": "https://prosa.test"},
    {"sec-fetch-site": "same-origin"},
]
CHANGES = [("POST", "/api/runs/{run}/stop"), ("PATCH", "/api/chats/{chat}"), ("DELETE", "/api/chats/{chat}")]


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_a_cookie_changes_nothing_for_a_foreign_page(ana: Person, method: str, path: str) -> None:
    accepted = await ana.ask()
    for headers in FOREIGN:
        body = {"title": "Theirs"}
        answer = await ana.client.request(method, path.format(**accepted), headers=headers, json=body)
        problem(answer, 403, "forbidden_origin")
    assert (await ana.client.get(f"/api/runs/{accepted['run']}")).json()["state"] == "queued"


async def test_a_cookie_works_for_the_own_page_and_for_programs(ana: Person) -> None:
    accepted = await ana.ask()
    for headers in OWN:
        answer = await ana.client.post(f"/api/runs/{accepted['run']}/stop", headers=headers)
        assert answer.status_code == 200, headers


@pytest.mark.parametrize("path", ["login", "register", "logout"])
async def test_a_foreign_page_cannot_sign_its_reader_in_or_out(world: World, ana: Person, path: str) -> None:
    body = {"username": "mallory" if path == "register" else "ana", "password": PASSWORD}
    answer = await ana.client.post(f"/api/auth/{path}", json=body, headers={"origin": "https://evil.test"})
    problem(answer, 403, "forbidden_origin")
    assert "set-cookie" not in answer.headers
    assert (await ana.client.get("/api/me")).status_code == 200


async def test_a_bearer_is_exempt_for_no_browser_sends_it_by_itself(world: World, ana: Person) -> None:
    accepted = await ana.ask()
    headers = {"authorization": f"Bearer {await world.token('ana')}", "origin": "https://elsewhere.test"}
    assert (await world.client().post(f"/api/runs/{accepted['run']}/stop", headers=headers)).status_code == 200


async def test_a_configured_origin_is_allowed(tmp_path: Path) -> None:
    async with open_world(tmp_path, origins=frozenset({"https://chat.example.org"})) as world:
        ana = await world.person("ana")
        accepted = await ana.ask()
        for origin, status in (("https://chat.example.org", 200), ("http://chat.example.org", 403)):
            headers = {"origin": origin}
            answer = await ana.client.post(f"/api/runs/{accepted['run']}/stop", headers=headers)
            assert answer.status_code == status


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "expected"),
    [
        (None, "a.test", (), True),
        ("https://a.test", "a.test", (), True),
        ("https://a.test", "a.test:443", (), True),
        ("https://a.test:443", "a.test", (), True),
        ("http://a.test:8000", "a.test:8000", (), True),
        ("http://[::1]:8000", "[::1]:8000", (), True),
        ("https://a.test", "b.test", (), False),
        ("https://a.test", None, (), False),
        ("https://a.test", "b.test", ("https://a.test/",), True),
        ("https://a.test", "b.test", ("a.test",), False),
        ("null", "null", ("null",), False),
        ("file:///etc", "", (), False),
        ("", "a.test", (), False),
        ("http://a.test:port", "a.test", (), False),
        ("http://user@a.test", "a.test", (), True),
    ],
)
def test_origins_are_compared_whole(
    origin: str | None, host: str | None, allowed: tuple[str, ...], expected: bool
) -> None:
    assert origin_allowed(origin, host, allowed) is expected


@pytest.mark.parametrize(
    ("headers", "cookies", "expected"),
    [
        ({}, {}, (None, False)),
        ({"authorization": "Bearer a"}, {"prosa_session": "c"}, ("a", False)),
        ({"authorization": "bearer  a "}, {}, ("a", False)),
        ({"authorization": "Bearer "}, {"prosa_session": "c"}, ("c", True)),
        ({"authorization": "Basic a"}, {"prosa_session": "c"}, ("c", True)),
        ({"sec-websocket-protocol": "prosa.v1, bearer.b.c"}, {"prosa_session": "c"}, ("b.c", False)),
        ({"sec-websocket-protocol": "prosa.v1"}, {"prosa_session": "c"}, ("c", True)),
        ({}, {"prosa_session": ""}, (None, True)),
        ({}, {"other": "c"}, (None, False)),
    ],
)
def test_a_secret_is_looked_for_in_three_places(
    headers: dict[str, str], cookies: dict[str, str], expected: tuple[str | None, bool]
) -> None:
    assert secret_of(Headers(headers), cookies) == expected
