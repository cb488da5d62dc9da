"""Chats, messages and runs over HTTP."""

from uuid import UUID, uuid4

import pytest

from prosa.core.events import ChatTouched
from prosa.core.run import End, Failure, Finish, RunState, Usage
from tests.http.world import Person, World, problem

DONE = End(RunState.DONE, Finish.STOP, Usage(3, 2))
FAILED = End(RunState.FAILED, failure=Failure("model_broke", "The model broke.", True))


async def test_a_message_is_accepted_and_its_answer_can_be_read(world: World, ana: Person) -> None:
    sent = str(uuid4())
    accepted = await ana.ask("What is a run?", id=sent)
    assert {key: accepted[key] for key in ("type", "id", "state", "ordinal", "position")} == {
        "type": "accepted",
        "id": sent,
        "state": "queued",
        "ordinal": 1,
        "position": 1,
    }
    await world.finish(await world.claim(accepted["run"]), "An answer.", DONE)
    run = (await ana.client.get(f"/api/runs/{accepted['run']}")).json()
    assert (run["state"], run["attempt"], run["seq"], run["text"]) == ("done", 1, 10, "An answer.")
    assert (run["finish"], run["usage"]) == ("stop", {"prompt_tokens": 3, "completion_tokens": 2})
    chat = (await ana.client.get(f"/api/chats/{accepted['chat']}")).json()
    assert (chat["id"], chat["runs"], chat["previous"]) == (accepted["chat"], [], None)
    question, reply = chat["messages"]
    assert (question["id"], question["role"], question["text"]) == (sent, "user", "What is a run?")
    assert (reply["id"], reply["role"], reply["text"]) == (accepted["reply"], "assistant", "An answer.")
    assert (reply["state"], reply["run"], reply["parent"]) == ("done", accepted["run"], sent)


async def test_a_failed_run_says_why(world: World, ana: Person) -> None:
    accepted = await ana.ask()
    await world.finish(await world.claim(accepted["run"]), "Half", FAILED)
    run = (await ana.client.get(f"/api/runs/{accepted['run']}")).json()
    told = (run["state"], run["text"], run["code"], run["error"], run["retryable"])
    assert told == ("failed", "Half", "model_broke", "The model broke.", True)


async def test_the_same_message_again_is_the_same_run(ana: Person) -> None:
    body = {"id": str(uuid4()), "text": "Once."}
    path = f"/api/chats/{uuid4()}/messages"
    first, second = (await ana.client.post(path, json=body), await ana.client.post(path, json=body))
    assert first.json() == second.json()
    other = await ana.client.post(path, json={**body, "text": "Twice."})
    problem(other, 409, "id_conflict")


async def test_a_reply_can_be_asked_for_again(world: World, ana: Person) -> None:
    accepted = await ana.ask()
    path = f"/api/chats/{accepted['chat']}/messages/{accepted['reply']}/regenerate"
    running = problem(await ana.client.post(path, json={"id": str(uuid4())}), 409, "not_ended")
    assert running["retryable"]
    await world.finish(await world.claim(accepted["run"]), "An answer.", DONE)
    again = await ana.client.post(path, json={"id": str(uuid4()), "model": "other"})
    assert again.status_code == 202
    assert again.json()["reply"] != accepted["reply"]
    assert (await ana.client.get(f"/api/runs/{again.json()['run']}")).json()["model"] == "other"


async def test_a_reply_is_found_only_in_its_own_chat(ana: Person) -> None:
    one, other = await ana.ask(), await ana.ask()
    path = f"/api/chats/{other['chat']}/messages/{one['reply']}/regenerate"
    problem(await ana.client.post(path, json={"id": str(uuid4())}), 404, "not_found")


async def test_a_run_can_be_stopped_and_stopping_it_again_changes_nothing(ana: Person) -> None:
    accepted = await ana.ask()
    for _ in range(2):
        answer = await ana.client.post(f"/api/runs/{accepted['run']}/stop")
        assert (answer.status_code, answer.json()["state"]) == (200, "stopped")


async def test_chats_come_in_pages_newest_first(ana: Person) -> None:
    made = [(await ana.ask())["chat"] for _ in range(5)]
    found, cursor = [], None
    for _ in range(3):
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await ana.client.get("/api/chats", params=params)).json()
        found += [chat["id"] for chat in page["items"]]
        cursor = page["next"]
    assert (found, cursor) == (made[::-1], None)


async def test_a_chat_comes_in_pages_of_messages(world: World, ana: Person) -> None:
    first = await ana.ask("One")
    await world.finish(await world.claim(first["run"]), "1", DONE)
    await ana.ask("Two", chat=first["chat"])
    newest = (await ana.client.get(f"/api/chats/{first['chat']}", params={"limit": "2"})).json()
    assert [message["ordinal"] for message in newest["messages"]] == [2, 2]
    params = {"limit": "2", "cursor": newest["previous"]}
    older = (await ana.client.get(f"/api/chats/{first['chat']}", params=params)).json()
    assert [message["text"] for message in older["messages"]] == ["One", "1"]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", ""])
async def test_a_page_has_one_to_a_hundred_items(ana: Person, limit: str) -> None:
    problem(await ana.client.get("/api/chats", params={"limit": limit}), 422, "bad_request")
    problem(await ana.client.get(f"/api/chats/{uuid4()}", params={"limit": limit}), 422, "bad_request")


async def test_a_cursor_that_no_page_gave_out_is_refused(ana: Person) -> None:
    accepted = await ana.ask()
    for path in ("/api/chats", f"/api/chats/{accepted['chat']}"):
        for cursor in ("x", "ff", "a" * 501):
            problem(await ana.client.get(path, params={"cursor": cursor}), 422, "bad_request")


async def test_a_chat_can_be_renamed_and_other_tabs_are_told(world: World, ana: Person) -> None:
    chat = (await ana.ask())["chat"]
    answer = await ana.client.patch(f"/api/chats/{chat}", json={"title": "Corridas ✨"})
    assert (answer.status_code, answer.json()["title"]) == (200, "Corridas ✨")
    assert ChatTouched(ana.id, UUID(chat), "updated") in world.hub._notices


BAD_TITLES = [
    ("", "bad_text"),
    (" \n", "bad_text"),
    ("a\u0000b", "bad_text"),
    (None, "bad_request"),
    (7, "bad_request"),
]


@pytest.mark.parametrize(("title", "code"), BAD_TITLES)
async def test_a_bad_title_is_refused(ana: Person, title: object, code: str) -> None:
    chat = (await ana.ask())["chat"]
    problem(await ana.client.patch(f"/api/chats/{chat}", json={"title": title}), 422, code)


async def test_a_title_is_bounded(ana: Person) -> None:
    chat = (await ana.ask())["chat"]
    assert (await ana.client.patch(f"/api/chats/{chat}", json={"title": "x" * 200})).status_code == 200
    problem(await ana.client.patch(f"/api/chats/{chat}", json={"title": "x" * 201}), 413, "text_too_long")


async def test_deleting_a_chat_ends_its_runs_and_hides_it(world: World, ana: Person) -> None:
    first = await ana.ask("One")
    second = await ana.ask("Two", chat=first["chat"])
    assert second["state"] == "waiting"
    assert (await ana.client.delete(f"/api/chats/{first['chat']}")).status_code == 204
    problem(await ana.client.get(f"/api/chats/{first['chat']}"), 404, "not_found")
    assert (await ana.client.get("/api/chats")).json()["items"] == []
    rows = await world.store.reads.rows([UUID(first["run"]), UUID(second["run"])])
    assert [row.state for row in rows] == [RunState.STOPPED] * 2
    assert ChatTouched(ana.id, UUID(first["chat"]), "deleted") in world.hub._notices


# ── bad input, field by field ──

QUESTION = {"id": "01981a5e-7b7a-7000-8000-000000000002", "text": "Hello"}
BAD_QUESTIONS = [
    ({**QUESTION, "id": "no id"}, 422, "bad_id"),
    ({**QUESTION, "id": 7}, 422, "bad_id"),
    ({**QUESTION, "id": None}, 422, "bad_id"),
    ({"text": "Hello"}, 422, "bad_request"),
    ({"id": QUESTION["id"]}, 422, "bad_request"),
    ({**QUESTION, "text": ""}, 422, "bad_text"),
    ({**QUESTION, "text": " \n\t"}, 422, "bad_text"),
    ({**QUESTION, "text": "a\u0000b"}, 422, "bad_text"),
    ({**QUESTION, "text": 7}, 422, "bad_request"),
    ({**QUESTION, "text": "é" * 513}, 413, "text_too_long"),
    ({**QUESTION, "parent": "x"}, 422, "bad_id"),
    ({**QUESTION, "parent": str(UUID(int=9))}, 404, "not_found"),
    ({**QUESTION, "model": "none such"}, 422, "unknown_model"),
    ({**QUESTION, "model": 7}, 422, "bad_request"),
    ({**QUESTION, "chat": str(UUID(int=9))}, 422, "bad_request"),
    ({**QUESTION, "chat": "x"}, 422, "bad_id"),
    ([QUESTION], 400, "bad_frame"),
    ("text", 400, "bad_frame"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_QUESTIONS)
async def test_a_bad_message_is_refused_and_nothing_is_stored(
    ana: Person, body: object, status: int, code: str
) -> None:
    problem(await ana.client.post(f"/api/chats/{uuid4()}/messages", json=body), status, code)
    assert (await ana.client.get("/api/chats")).json()["items"] == []


JSON = {"content-type": "application/json"}
BROKEN = [
    (b"{", JSON, 400, "bad_frame"),
    (b"", JSON, 400, "bad_frame"),
    (b"\xff\xfe\xfd", JSON, 400, "bad_frame"),
    (b"[" * 5000, JSON, 400, "bad_frame"),
    (b'{"id":"01981a5e-7b7a-7000-8000-000000000002","text":"x"}', {"content-type": "text/plain"}, 400, "bad_frame"),
    (b'{"id":"01981a5e-7b7a-7000-8000-000000000002","text":"\\ud800"}', JSON, 422, "bad_text"),
    (b'{"id":"01981a5e-7b7a-7000-8000-000000000002","text":"x","model":"\\ud800"}', JSON, 422, "unknown_model"),
    (b'{"id":"\\ud800","text":"x"}', JSON, 422, "bad_text"),
]


@pytest.mark.parametrize(("content", "headers", "status", "code"), BROKEN)
async def test_a_broken_body_is_refused(
    ana: Person, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await ana.client.post(f"/api/chats/{uuid4()}/messages", content=content, headers=headers)
    problem(answer, status, code)


async def test_text_at_the_limit_is_accepted_however_it_is_escaped(ana: Person) -> None:
    text = "\\u0001" * 1024
    body = f'{{"id":"{uuid4()}","text":"x{text[6:]}"}}'
    answer = await ana.client.post(f"/api/chats/{uuid4()}/messages", content=body, headers=JSON)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("path", ["/api/chats/x", "/api/runs/x", "/api/runs/x/events", f"/api/chats/{uuid4()}x"])
async def test_an_address_with_no_uuid_is_refused(ana: Person, path: str) -> None:
    problem(await ana.client.get(path), 422, "bad_id")


async def test_too_many_waiting_messages_are_refused_and_may_be_tried_again(world: World, ana: Person) -> None:
    first = await ana.ask()
    for _ in range(world.parts.limits.user_waiting):
        await ana.ask(chat=first["chat"])
    body = {"id": str(uuid4()), "text": "One more"}
    answer = await ana.client.post(f"/api/chats/{first['chat']}/messages", json=body)
    assert problem(answer, 429, "too_many_waiting", **{"retry-after": "2"})["retryable"]
