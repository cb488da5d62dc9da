"""The laws of the design, on a real process over real sockets."""

import asyncio
import re
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from prosa.adapters.scripted_engine import expected_reply
from tests.reader import Frame
from tests.system.harness import Person, Served, Tab


async def test_what_was_acknowledged_survives_a_power_cut_and_is_answered(served: Served) -> None:
    """L1: killed at once after `accepted`, again and again, with nothing flushed on the way."""
    person = await Person.sign_up(served.base)
    for n in range(4):
        text = f"message {n} [[n=3 r=50 ttft=0.2]]"
        async with person.socket() as tab:
            accepted = await tab.ask(text)
            served.kill()
        await served.start()
        async with person.socket() as tab:
            await tab.send({"type": "watch", "chat": accepted["chat"], "runs": [accepted["run"]]})
            assert (await tab.answer(accepted["run"])).text == expected_reply(text)
        question, reply = (await person.history(UUID(accepted["chat"])))["messages"]
        assert (question["text"], reply["text"], reply["state"]) == (text, expected_reply(text), "done")


async def test_killed_in_mid_answer_the_same_reply_goes_on_to_its_end(served: Served) -> None:
    """L2, L4: one bubble, nothing twice, nothing missing; only what was not saved yet may be taken back."""
    person = await Person.sign_up(served.base)
    text = "a long one [[n=100 r=20]]"
    async with person.socket() as tab:
        accepted = await tab.ask(text)
        before = await tab.text(UUID(accepted["run"]), 600)
        served.kill()
    await served.start()
    async with person.socket() as tab:
        await tab.send({"type": "watch", "chat": accepted["chat"], "runs": [accepted["run"]]})
        snapshot = await tab.until("snapshot")
        after = await tab.answer(accepted["run"])
    assert expected_reply(text).startswith(before)
    # A second is twenty words of twelve characters; the checkpoint itself takes a moment.
    assert len(before) - len(snapshot["text"]) <= 24 * 12, "more than the last second was taken back"
    assert after.text == expected_reply(text)
    assert after.end is not None
    assert (after.end["type"], after.end["attempt"]) == ("done", 2)
    history = await person.history(UUID(accepted["chat"]))
    assert [message["text"] for message in history["messages"]] == [text, expected_reply(text)]


async def test_a_stop_in_order_gives_the_run_back_with_all_that_was_sent(served: Served) -> None:
    person = await Person.sign_up(served.base)
    text = "handed over [[n=80 r=20]]"
    async with person.socket() as tab:
        accepted = await tab.ask(text)
        await asyncio.sleep(1.2)
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(asyncio.to_thread(served.stop))
            with pytest.raises(Exception, match=r"1012|going away|service restart"):
                await tab.answer(accepted["run"])
        assert stopping.result() == 0
        sent = tab.runs[UUID(accepted["run"])].text
    await served.start()
    async with person.socket() as tab:
        await tab.send({"type": "watch", "chat": accepted["chat"], "runs": [accepted["run"]]})
        snapshot = await tab.until("snapshot")
        assert snapshot["text"].startswith(sent), "text that was sent was taken back"
        assert (await tab.answer(accepted["run"])).text == expected_reply(text)


async def test_the_messages_of_a_chat_are_answered_in_order_one_at_a_time(shared: Served) -> None:
    """L5, with the position shown to those that wait (L9)."""
    person, chat = await Person.sign_up(shared.base), uuid7()
    texts = [f"line {n} [[n=4 r=40]]" for n in range(4)]
    async with person.socket() as tab:
        accepted = [await tab.ask(text, chat) for text in texts]
        assert [frame["ordinal"] for frame in accepted] == sorted({frame["ordinal"] for frame in accepted})
        assert [frame["state"] for frame in accepted] == ["queued", "waiting", "waiting", "waiting"]
        for frame in accepted:
            await tab.answer(frame["run"])
        order = [(frame["type"], frame["run"]) for frame in tab.frames if frame["type"] in ("started", "done")]
    runs = [frame["run"] for frame in accepted]
    assert order == [(kind, run) for run in runs for kind in ("started", "done")]


async def test_a_user_beyond_the_limit_waits_and_no_other_user_does(shared: Served) -> None:
    """L9."""
    greedy, other = await Person.sign_up(shared.base), await Person.sign_up(shared.base)
    async with greedy.socket() as many, other.socket() as one:
        states = [(await many.ask(f"mine {n} [[n=20 r=20]]"))["state"] for n in range(6)]
        assert states == ["queued"] * 4 + ["waiting"] * 2
        mine = await one.ask("quick [[n=2 r=50]]")
        begun = time.monotonic()
        await one.answer(mine["run"])
        assert time.monotonic() - begun < 0.5


async def test_two_tabs_see_the_same_live_and_any_tab_can_stop(shared: Served) -> None:
    """L7; the second tab lags the first by under 100 ms."""
    person, chat = await Person.sign_up(shared.base), uuid7()
    async with person.socket() as first, person.socket() as second:
        await first.answer((await first.ask("open it [[n=1 r=50]]", chat))["run"])
        await second.send({"type": "watch", "chat": str(chat)})
        await second.until("watching")
        accepted = await first.ask("side by side [[n=400 r=20]]", chat)
        run = UUID(accepted["run"])
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(first.text(run, 120))
            group.create_task(second.text(run, 120))
        assert _lag(first, second, accepted["run"]) < 0.1
        shown = [frame["message"]["role"] for frame in second.frames if frame["type"] == "message"]
        assert shown[-2:] == ["user", "assistant"]
        await second.send({"type": "stop", "run": accepted["run"]})
        ends = [await first.until("done", run=run), await second.until("done", run=run)]
        assert [end["finish"] for end in ends] == ["stopped", "stopped"]
        assert first.runs[run].text == second.runs[run].text
    reply = (await person.history(chat))["messages"][-1]
    assert (reply["state"], reply["text"]) == ("stopped", first.runs[run].text)


async def test_a_stop_takes_effect_within_300_ms(shared: Served) -> None:
    """From the click to the end on the screen, at the median of five: one slow moment of the machine is not ours."""
    person = await Person.sign_up(shared.base)
    times = []
    async with person.socket() as tab:
        for _ in range(5):
            accepted = await tab.ask("stop me [[n=400 r=20]]")
            await tab.text(UUID(accepted["run"]), 30)
            begun = time.monotonic()
            await tab.send({"type": "stop", "run": accepted["run"]})
            assert (await tab.until("done", run=accepted["run"]))["finish"] == "stopped"
            times.append(time.monotonic() - begun)
    assert sorted(times)[2] < 0.3


async def test_who_comes_back_in_mid_answer_sees_the_text_so_far_then_the_rest(shared: Served) -> None:
    person = await Person.sign_up(shared.base)
    text = "reload me [[n=40 r=40]]"
    async with person.socket() as tab:
        accepted = await tab.ask(text)
        await tab.until("delta")
    async with person.socket() as tab:
        await tab.send({"type": "watch", "chat": accepted["chat"], "runs": [accepted["run"]]})
        await tab.until("snapshot")
        watching = await tab.until("watching")
        assert watching["runs"] == [accepted["run"]]
        assert (await tab.answer(accepted["run"])).text == expected_reply(text)


async def test_a_message_sent_again_on_any_transport_gives_the_same_run_and_answer(shared: Served) -> None:
    """L10, also where a limit would refuse a new one."""
    person, request, chat = await Person.sign_up(shared.base), str(uuid7()), str(uuid7())
    send = {"type": "send", "id": request, "chat": chat, "text": "once [[n=3 r=50]]"}
    async with person.socket() as tab:
        await tab.send(send)
        first = await tab.until("accepted")
        whole = (await tab.answer(first["run"])).text
        await tab.send(send)
        again = await tab.until("accepted")
        snapshot, end = await tab.until("snapshot"), await _end(tab)
    status, over_http = await person.http("POST", f"/api/chats/{chat}/messages", {"id": request, "text": send["text"]})
    assert status == 202
    assert {again["run"], over_http["run"]} == {first["run"]}
    assert (again["state"], snapshot["text"], end["type"]) == ("done", whole, "done")
    history = await person.history(UUID(chat))
    assert len(history["messages"]) == 2


async def test_a_known_id_with_other_content_is_a_conflict_and_changes_nothing(shared: Served) -> None:
    person, request, chat = await Person.sign_up(shared.base), str(uuid7()), str(uuid7())
    async with person.socket() as tab:
        await tab.send({"type": "send", "id": request, "chat": chat, "text": "one [[n=1]]"})
        await tab.until("accepted")
        for changed in ({"text": "two"}, {"chat": str(uuid7())}, {"model": "scripted"}, {"parent": str(uuid7())}):
            await tab.send({"type": "send", "id": request, "chat": chat, "text": "one [[n=1]]", **changed})
            refused = await tab.until("error", "accepted")
            assert (refused["type"], refused.get("code"), refused["id"]) == ("error", "id_conflict", request), changed
    assert len((await person.history(UUID(chat)))["messages"]) == 2


async def test_what_is_anothers_is_as_if_it_did_not_exist(shared: Served) -> None:
    """L11 over the socket: the same answers for a foreign id and for one that was never given out."""
    owner, stranger = await Person.sign_up(shared.base), await Person.sign_up(shared.base)
    async with owner.socket() as tab, stranger.socket() as other:
        mine = await tab.ask("private [[n=200 r=20]]")
        for frame in (
            {"type": "watch", "chat": mine["chat"]},
            {"type": "stop", "run": mine["run"]},
            {"type": "regenerate", "id": str(uuid7()), "reply": mine["reply"]},
        ):
            answers = []
            for named in (frame, _elsewhere(frame)):
                await other.send(named)
                answers.append(await other.until("error"))
            assert {answer["code"] for answer in answers} == {"not_found"}, frame
            assert len({_without_ids(answer["message"]) for answer in answers}) == 1
        own = await other.ask("my own [[n=1]]")
        await other.send({"type": "watch", "chat": own["chat"], "runs": [mine["run"], str(uuid4())]})
        watching = await other.until("watching")
        assert mine["run"] not in watching["runs"]
        assert UUID(mine["run"]) not in other.runs
        await tab.send({"type": "stop", "run": mine["run"]})
        assert (await tab.until("done"))["finish"] == "stopped"


async def test_one_users_message_id_says_nothing_about_anothers(shared: Served) -> None:
    """L10 and L11: an id is unique per user, so a foreign one is free."""
    one, two = await Person.sign_up(shared.base), await Person.sign_up(shared.base)
    request = str(uuid7())
    for person in (one, two):
        async with person.socket() as tab:
            await tab.send({"type": "send", "id": request, "chat": str(uuid7()), "text": f"{person.username} [[n=2]]"})
            accepted = await tab.until("accepted", "error")
            assert accepted["type"] == "accepted"
            assert (await tab.answer(accepted["run"])).text == expected_reply(f"{person.username} [[n=2]]")


def _lag(first: Tab, second: Tab, run: str) -> float:
    """By how much the second tab had its characters later than the first, in seconds, at the median."""
    return statistics.median(_when(second, run, seq) - _when(first, run, seq) for seq in range(1, 100))


def _when(tab: Tab, run: str, seq: int) -> float:
    return next(
        time
        for frame, time in zip(tab.frames, tab.times, strict=True)
        if frame.get("run") == run and frame["type"] in ("delta", "snapshot") and frame["seq"] >= seq
    )


async def _end(tab: Tab) -> Frame:
    return await tab.until("done", "failed")


def _elsewhere(frame: Frame) -> Frame:
    """The same request about something that nobody has."""
    return {key: value if key == "type" else str(uuid4()) for key, value in frame.items()}


def _without_ids(message: str) -> str:
    return re.sub(r"[0-9a-f-]{36}", "ID", message)


async def test_a_run_that_takes_worker_after_worker_with_it_ends_and_says_so(served: Served) -> None:
    """A poisonous run must not be taken over for ever: the third loss in a row without new text ends it."""
    person = await Person.sign_up(served.base)
    async with person.socket() as tab:
        accepted = await tab.ask("poison [[n=3 ttft=60]]")
        await tab.until("started")
    for _ in range(3):
        served.kill()
        await served.start()
        await asyncio.sleep(0.3)
    async with person.socket() as tab:
        await tab.send({"type": "watch", "chat": accepted["chat"], "runs": [accepted["run"]]})
        end = (await tab.answer(accepted["run"])).end
    assert end is not None
    assert (end["type"], end["code"], end["retryable"]) == ("failed", "worker_lost", True)


async def test_a_lid_closed_for_an_hour_in_mid_answer_costs_the_answer_nothing(served: Served) -> None:
    """Time in which no worker lived is no run's time: neither the running one fails nor the one that waits."""
    person, chat = await Person.sign_up(served.base), uuid7()
    texts = ["the long one [[n=60 r=20]]", "the next [[n=3 r=50]]"]
    async with person.socket() as tab:
        accepted = [await tab.ask(text, chat) for text in texts]
        await tab.text(UUID(accepted[0]["run"]), 300)
        served.kill()
    _an_hour_passes(served.folder / "prosa.db")
    await served.start()
    async with person.socket() as tab:
        await tab.send({"type": "watch", "chat": str(chat), "runs": [frame["run"] for frame in accepted]})
        answers = [await tab.answer(frame["run"]) for frame in accepted]
    assert [answer.text for answer in answers] == [expected_reply(text) for text in texts]


def _an_hour_passes(database: Path) -> None:
    """As if everything that was written had been written an hour before."""
    columns = {"runs": ("start_by", "end_by", "queued_at", "started_at", "created_at"), "workers": ("alive_at",)}
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, names in columns.items():
            for name in names:
                moved = f"strftime('%Y-%m-%dT%H:%M:%fZ', {name}, '-3600 seconds')"
                connection.execute(f"UPDATE {table} SET {name} = {moved} WHERE {name} IS NOT NULL")  # noqa: S608
