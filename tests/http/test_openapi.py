"""The OpenAPI document: complete, with examples that fit, and true (Schemathesis asks everything it describes)."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from starlette.types import Receive, Scope, Send

from prosa.gateway.problems import MEDIA_TYPE, STATUS
from tests.http.world import World, open_world

Document = dict[str, Any]


@pytest.fixture
async def document(world: World) -> Document:
    found: Document = (await world.client().get("/api/openapi.json")).json()
    return found


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def resolved(document: Document, schema: Document) -> Document:
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    found: Document = document["components"]["schemas"][name] if name else schema
    return found


def examples(document: Document, content: Document) -> Iterator[tuple[Document, Any]]:
    """Each example of a content with the schema that it must fit."""
    for media in content.values():
        schema = media.get("schema", {})
        found = [each["value"] for each in media.get("examples", {}).values()]
        found += [media["example"]] if "example" in media else resolved(document, schema).get("examples", [])
        yield from (({**schema, "components": document["components"]}, example) for example in found)


def contents(operation: Document) -> Iterator[tuple[str, Document]]:
    if "requestBody" in operation:
        yield "request", operation["requestBody"]["content"]
    for status, response in operation["responses"].items():
        if status != "204":
            yield status, response["content"]


async def test_every_body_has_an_example_that_fits_its_schema(document: Document) -> None:
    for name, operation in operations(document):
        for which, content in contents(operation):
            found = list(examples(document, content))
            assert found, (name, which)
            for schema, example in found:
                assert jsonschema_rs.is_valid(schema, example), (name, which, example)


async def test_every_operation_says_how_it_can_be_refused(document: Document) -> None:
    for name, operation in operations(document):
        codes = {
            code: int(status)
            for status, response in operation["responses"].items()
            for code in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
        }
        assert codes.items() <= STATUS.items(), name
        assert "internal" in codes, name
        assert ("store_unavailable" in codes) == ("/api" in name), name
        if "{" in name:
            assert {"bad_id", "not_found", "not_signed_in"} <= set(codes), name
        assert ("security" in operation) == ("not_signed_in" in codes), name
        assert operation["summary"], name


async def test_nothing_of_the_framework_shows_in_the_document(document: Document) -> None:
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert set(document["components"]["securitySchemes"]) == {"cookie", "bearer"}


async def test_there_is_no_page_of_documents_that_loads_from_elsewhere(world: World) -> None:
    for path in ("/docs", "/redoc", "/api/docs", "/api/redoc"):
        assert "cdn" not in (await world.client().get(path)).text


# ── asked by a machine ──


class Opened:
    """An application that opens its world in the event loop that serves it, as a lifespan does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.world: World | None = None
        self.token = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            async with self._open():
                await send({"type": "lifespan.startup.complete"})
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif self.world is not None:
            await self.world.app(scope, receive, send)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        async with open_world(self._folder) as self.world:
            await self.world.person("ana")
            self.token = await self.world.token("ana")
            yield


SKIPPED = ("/events", "/metrics", "/logout")
"""A stream never ends, metrics are no JSON, and without its sign-in the machine learns nothing more."""


def test_whatever_is_sent_the_answer_is_one_that_the_document_describes(tmp_path: Path) -> None:
    # Not by Schemathesis' own fixtures: its plug-in does not know this version of pytest.
    app = Opened(tmp_path)
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app)
    asked = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        if not operation.path.endswith(SKIPPED):
            _ask(app, operation.as_strategy())
            asked += 1
    assert asked == 22


def _ask(app: Opened, cases: st.SearchStrategy[Any]) -> None:
    @given(case=cases)
    @settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:  # noqa: ANN401 — Schemathesis' own
        # What a text may hold is more than a schema says, so a valid request may be refused; that nothing is answered
        # without a sign-in is proved in test_privacy (the machine would send its cookie all the same).
        case.call_and_validate(
            headers={"authorization": f"Bearer {app.token}"}, excluded_checks=[positive_data_acceptance, ignored_auth]
        )

    ask()
