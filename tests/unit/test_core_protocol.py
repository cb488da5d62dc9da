"""The client protocol's frames."""

import json
from uuid import uuid4

import pytest

from prosa.core import protocol
from prosa.core.errors import BadFrame, BadId, BadRequest, BadText, ProsaError
from prosa.core.protocol import Delta, Failed, Queued, Refusal, Send, Watch, Watching

A = str(uuid4())


def frame(**fields: object) -> str:
    return json.dumps(fields)


def test_a_send_is_read_whole() -> None:
    message = protocol.decode(frame(type="send", id=A, chat=A, text=" as typed\r\n", model="m", parent=None))
    assert isinstance(message, Send)
    assert message.text == " as typed\r\n"
    assert str(message.id) == A


def test_unknown_fields_are_ignored_so_that_newer_clients_can_talk() -> None:
    assert isinstance(protocol.decode(frame(type="watch", chat=A, later="x")), Watch)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", BadFrame),
        ("hello", BadFrame),
        ("[]", BadFrame),
        ("null", BadFrame),
        ('"text"', BadFrame),
        ("[" * 100_000, BadFrame),
        ("{}", BadRequest),
        (frame(type="nope"), BadRequest),
        (frame(type=7), BadRequest),
        (frame(type="send", id=A, chat=A), BadRequest),
        (frame(type="send", id=A, chat=A, text=5), BadRequest),
        (frame(type="stop", run=None), BadRequest),
        (frame(type="send", id="x", chat=A, text="t"), BadId),
        (frame(type="watch", chat=A, runs=["x"]), BadId),
        (frame(type="send", id=A, chat=A, text="half \ud83d"), BadText),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_own_code(text: str, error: type[ProsaError]) -> None:
    with pytest.raises(error) as caught:
        protocol.decode(text)
    assert type(caught.value) is error


def test_a_refusal_names_the_request_where_its_id_can_be_read() -> None:
    assert str(protocol.request_id(frame(type="send", id=A))) == A
    assert protocol.request_id("rubbish") is None
    assert protocol.request_id("[" * 100_000) is None


def test_wire_names_are_those_of_the_specification() -> None:
    delta = json.loads(protocol.encode(Delta(run=uuid4(), attempt=1, start=4, seq=6, text="abc")))
    assert delta.keys() == {"type", "run", "attempt", "from", "seq", "text"}
    assert delta["type"] == "delta"
    failed = Failed(uuid4(), uuid4(), uuid4(), 1, 0, "timeout", "Late.", retryable=False)
    assert json.loads(protocol.encode(failed))["retryable"] is False
    assert json.loads(protocol.encode(Watching(uuid4(), ())))["runs"] == []
    assert "eta" not in json.loads(protocol.encode(Queued(uuid4(), 2)))


def test_an_error_frame_carries_code_message_and_request() -> None:
    request = uuid4()
    body = json.loads(protocol.encode(Refusal.of(BadText("Empty."), request)))
    assert body == {"type": "error", "code": "bad_text", "message": "Empty.", "id": str(request), "retryable": False}
