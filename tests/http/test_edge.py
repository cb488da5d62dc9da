"""Errors, limits and headers at the edge; health, metrics and the page behind it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.requests import Request
from starlette.types import Message

from prosa.core import errors
from prosa.core.errors import ProsaError
from prosa.core.relay import Row
from prosa.core.run import RunState
from prosa.gateway import page
from prosa.gateway.page import Page
from prosa.gateway.problems import STATUS, on_refusal
from tests.http.world import LIMITS, Person, World, open_world, problem, scope_of

# ── problems ──


def kinds(kind: type[ProsaError] = ProsaError) -> Iterator[type[ProsaError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds(below)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status(kind: type[ProsaError]) -> None:
    assert 400 <= STATUS[kind.code] < 600
    if kind.code == "internal":
        return
    if issubclass(kind, errors.Refused):
        assert STATUS[kind.code] < 500
    if issubclass(kind, errors.Unavailable):
        assert STATUS[kind.code] == 503


def test_every_status_is_some_errors_or_what_only_http_refuses() -> None:
    assert set(STATUS) - {kind.code for kind in kinds()} == {"method_not_allowed", "request_timeout", "too_large"}


class Raising:
    """Reads that fail."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def own(self, user: UUID, run: UUID) -> Row:
        raise self.error

    async def counts(self) -> Mapping[RunState, int]:
        raise self.error


def reading(reads: Any) -> Any:  # noqa: ANN401 — stands in for Reads
    return lambda parts: replace(parts, reads=reads)


UNAVAILABLE = [errors.StoreUnavailable, errors.StorageFull, errors.BusUnavailable, errors.Overloaded]


@pytest.mark.parametrize("kind", UNAVAILABLE)
async def test_what_is_away_says_when_to_try_again(tmp_path: Path, kind: type[ProsaError]) -> None:
    async with open_world(tmp_path, wrap=reading(Raising(kind("Away. Try again.")))) as world:
        ana = await world.person("ana")
        answer = await ana.client.get(f"/api/runs/{uuid4()}")
        body = problem(answer, 503, kind.code, **{"retry-after": "2"})
        assert (body["retryable"], body["detail"]) == (True, "Away. Try again.")
        assert kind.code in await world.scraped()


async def test_what_nobody_expected_is_a_problem_without_its_secrets(tmp_path: Path) -> None:
    async with open_world(tmp_path, wrap=reading(Raising(RuntimeError("password of the database")))) as world:
        ana = await world.person("ana")
        answer = await ana.client.get(f"/api/runs/{uuid4()}")
        problem(answer, 500, "internal")
        assert "password" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/none", 404, "not_found"),
        ("GET", "/api", 404, "not_found"),
        ("GET", "/api/", 404, "not_found"),
        ("GET", "/api/chats/", 404, "not_found"),
        ("POST", "/api/none", 404, "not_found"),
        ("PUT", "/api/chats", 405, "method_not_allowed"),
        ("DELETE", "/api/me", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
        ("DELETE", "/somewhere", 405, "method_not_allowed"),
        ("GET", "/assets/none.js", 404, "not_found"),
        ("GET", "/docs/../api/none", 404, "not_found"),
    ],
)
async def test_unknown_addresses_and_methods_are_problems(
    world: World, method: str, path: str, status: int, code: str
) -> None:
    answer = await world.client().request(method, path)
    problem(answer, status, code)
    assert ("allow" in answer.headers) == (status == 405)


async def test_allow_names_every_method_of_an_address(world: World) -> None:
    answer = await world.client().put(f"/api/chats/{uuid4()}")
    assert set(answer.headers["allow"].split(", ")) == {"DELETE", "GET", "PATCH"}


async def test_a_message_that_is_no_valid_unicode_still_makes_a_problem(world: World) -> None:
    scope = {**scope_of(world.client().build_request("GET", "/")), "app": world.app}
    response = await on_refusal(Request(scope), errors.NotFound("half \ud800"))
    assert b"half \xef\xbf\xbd" in response.body


# ── bodies are bounded ──


async def test_a_body_that_says_it_is_too_big_is_refused_before_it_is_read(world: World, ana: Person) -> None:
    request = ana.client.build_request(
        "POST", f"/api/chats/{uuid4()}/messages", content=b"x" * (LIMITS.frame_bytes + 1)
    )
    read = False
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal read
        read = True
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:  # noqa: ANN401 — ASGI's own
        sent.append(message)

    await world.app(scope_of(request), receive, send)
    assert (sent[0]["status"], read) == (413, False)


async def test_a_body_that_grows_too_big_is_refused_without_a_length(world: World, ana: Person) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1024
            yield b"x" * 1024

    path = f"/api/chats/{uuid4()}/messages"
    answer = await ana.client.post(path, content=endless(), headers={"content-type": "application/json"})
    problem(answer, 413, "too_large")
    assert sent <= LIMITS.frame_bytes + 2048


async def test_a_body_at_the_limit_is_read(ana: Person) -> None:
    body = f'{{"id":"{uuid4()}","text":"x"}}'.ljust(LIMITS.frame_bytes)
    headers = {"content-type": "application/json"}
    answer = await ana.client.post(f"/api/chats/{uuid4()}/messages", content=body, headers=headers)
    assert answer.status_code == 202


async def test_answers_are_not_kept_by_caches_and_not_taken_for_pages(ana: Person) -> None:
    for path in ("/api/me", "/api/chats", "/api/none", "/health"):
        headers = (await ana.client.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


# ── health and metrics ──


async def test_health_says_state_and_version(world: World) -> None:
    expected = {"name": "prosa", "version": "1.2.3", "state": "ok", "store": True, "gateway": "gw-test"}
    for path in ("/health", "/health/ready"):
        answer = await world.client().get(path)
        assert (answer.status_code, answer.json()) == (200, expected)
    assert (await world.client().get("/health/live")).json() == {"state": "alive"}


async def test_a_draining_gateway_is_alive_and_not_ready(tmp_path: Path) -> None:
    async with open_world(tmp_path, wrap=lambda parts: replace(parts, ready=lambda: False)) as world:
        answer = await world.client().get("/health/ready")
        assert (answer.status_code, answer.json()["state"]) == (503, "draining")
        assert (await world.client().get("/health/live")).status_code == 200


class Hanging(Raising):
    async def counts(self) -> Mapping[RunState, int]:
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("reads", [Raising(errors.StoreUnavailable("away")), Hanging(RuntimeError())])
async def test_a_gateway_whose_store_does_not_answer_is_not_ready(tmp_path: Path, reads: Raising) -> None:
    async with open_world(tmp_path, wrap=reading(reads), probe_seconds=0.01) as world:
        answer = await world.client().get("/health/ready")
        assert (answer.status_code, answer.json()["state"], answer.json()["store"]) == (503, "unavailable", False)
        assert (await world.client().get("/health/live")).status_code == 200
        assert await world.scraped()


async def test_metrics_count_runs_refusals_and_the_time_of_requests(world: World, ana: Person) -> None:
    await ana.ask()
    await ana.client.get(f"/api/runs/{uuid4()}")
    text = await world.scraped()
    assert 'prosa_accepted_total{model="scripted"} 1.0' in text
    assert 'prosa_refused_total{code="not_found"} 1.0' in text
    assert 'prosa_http_seconds_count{route="/api/runs/{run}",status="404"} 1.0' in text
    assert 'prosa_sign_ins_total{outcome="ok"} 1.0' in text


# ── the page ──


@pytest.fixture
async def built(world: World, tmp_path: Path) -> World:
    """A gateway with a small built page."""
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Prosa</title>")
    (folder / "assets" / "main-1a2b.js").write_text("go()")
    (folder / "icon.svg").write_text("<svg/>")
    world.app.router.default = Page(page.load(folder))
    return world


async def test_every_address_outside_the_api_is_the_page(built: World) -> None:
    for path in ("/", "/index.html", "/chats/1", "/sign-in", "/%2e%2e/%2e%2e/etc/passwd"):
        answer = await built.client().get(path)
        assert (answer.status_code, answer.text) == (200, "<!doctype html><title>Prosa</title>")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"


async def test_the_page_may_run_only_its_own_scripts_in_nobodys_frame(built: World) -> None:
    headers = (await built.client().get("/")).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["script-src"] == policy["connect-src"] == "'self'"
    assert (policy["frame-ancestors"], policy["object-src"], policy["base-uri"]) == ("'none'",) * 3
    assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("no-referrer", "nosniff")


async def test_hashed_assets_are_kept_for_ever_and_other_files_are_asked_for_again(built: World) -> None:
    asset = await built.client().get("/assets/main-1a2b.js")
    assert (asset.text, asset.headers["content-type"]) == ("go()", "text/javascript; charset=utf-8")
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    icon = await built.client().get("/icon.svg")
    assert (icon.headers["content-type"], icon.headers["cache-control"]) == ("image/svg+xml", "no-cache")


async def test_what_the_browser_holds_is_not_sent_again(built: World) -> None:
    client = built.client()
    first = await client.get("/")
    etag = first.headers["etag"]
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await client.get("/", headers={"if-none-match": condition})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await client.get("/", headers={"if-none-match": '"other"'})).status_code == 200


async def test_head_tells_the_length_without_the_page(built: World) -> None:
    answer = await built.client().head("/")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "35")


async def test_without_a_build_the_page_says_how_to_make_it(world: World, tmp_path: Path) -> None:
    world.app.router.default = Page(page.load(tmp_path / "nothing"))
    answer = await world.client().get("/")
    assert "make web" in answer.text
    assert answer.status_code == 200
