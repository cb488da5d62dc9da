"""L11 at every route: what is another's gets the answer of what does not exist, byte for byte."""

import re
from collections.abc import Callable
from uuid import uuid4

import httpx2
import pytest

from tests.http.world import Person, World, problem

FRESH = "00000000-0000-7000-8000-00000000000a"
UUIDS = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Ids = dict[str, str]
Ask = tuple[str, Callable[[Ids], str], Callable[[Ids], object] | None]

ROUTES: dict[str, Ask] = {
    "read a chat": ("GET", lambda ids: f"/api/chats/{ids['chat']}", None),
    "rename a chat": ("PATCH", lambda ids: f"/api/chats/{ids['chat']}", lambda _: {"title": "Mine"}),
    "delete a chat": ("DELETE", lambda ids: f"/api/chats/{ids['chat']}", None),
    "branch from a reply": (
        "POST",
        lambda _: f"/api/chats/{uuid4()}/messages",
        lambda ids: {"id": FRESH, "text": "x", "parent": ids["reply"]},
    ),
    "ask for a reply again": (
        "POST",
        lambda ids: f"/api/chats/{ids['chat']}/messages/{ids['reply']}/regenerate",
        lambda _: {"id": FRESH},
    ),
    "read a run": ("GET", lambda ids: f"/api/runs/{ids['run']}", None),
    "follow a run": ("GET", lambda ids: f"/api/runs/{ids['run']}/events", None),
    "follow a run past its end": ("GET", lambda ids: f"/api/runs/{ids['run']}/events?last_event_id=0.1", None),
    "stop a run": ("POST", lambda ids: f"/api/runs/{ids['run']}/stop", None),
}


async def asked(person: Person, ask: Ask, ids: Ids) -> httpx2.Response:
    method, path, body = ask
    return await person.client.request(method, path(ids), json=body(ids) if body else None)


def comparable(answer: httpx2.Response) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return answer.status_code, headers, UUIDS.sub(b"ID", answer.content)


@pytest.mark.parametrize("ask", ROUTES.values(), ids=ROUTES.keys())
async def test_what_is_anothers_is_answered_like_what_does_not_exist(
    world: World, ana: Person, bea: Person, ask: Ask
) -> None:
    accepted = await ana.ask()
    theirs = {key: accepted[key] for key in ("chat", "reply", "run")}
    nobodys = {key: str(uuid4()) for key in theirs}
    foreign, unknown = await asked(bea, ask, theirs), await asked(bea, ask, nobodys)
    problem(foreign, 404, "not_found")
    assert comparable(foreign) == comparable(unknown)
    # And nothing happened to it.
    chat = (await ana.client.get(f"/api/chats/{accepted['chat']}")).json()
    assert (chat["title"], chat["runs"]) == (chat["title"], [accepted["run"]])
    assert chat["title"] != "Mine"
    assert len(chat["messages"]) == 2


async def test_nobody_writes_into_anothers_chat(ana: Person, bea: Person) -> None:
    accepted = await ana.ask()
    body = {"id": str(uuid4()), "text": "Mine now"}
    problem(await bea.client.post(f"/api/chats/{accepted['chat']}/messages", json=body), 404, "not_found")
    assert len((await ana.client.get(f"/api/chats/{accepted['chat']}")).json()["messages"]) == 2


async def test_two_users_may_use_the_same_id_for_their_messages(ana: Person, bea: Person) -> None:
    one, other = await ana.ask("Ana's", id=FRESH), await bea.ask("Bea's", id=FRESH)
    assert one["run"] != other["run"]
    assert one["ordinal"] == other["ordinal"] == 1


async def test_lists_hold_only_what_is_ones_own(ana: Person, bea: Person) -> None:
    accepted = await ana.ask()
    assert (await bea.client.get("/api/chats")).json() == {"items": [], "next": None}
    assert [chat["id"] for chat in (await ana.client.get("/api/chats")).json()["items"]] == [accepted["chat"]]


@pytest.mark.parametrize(
    "ask", [*ROUTES.values(), ("GET", lambda _: "/api/chats", None), ("GET", lambda _: "/api/me", None)]
)
async def test_without_a_sign_in_nothing_is_answered(world: World, ana: Person, ask: Ask) -> None:
    accepted = await ana.ask()
    stranger = Person("nobody", ana.id, world.client())
    problem(await asked(stranger, ask, accepted), 401, "not_signed_in")
