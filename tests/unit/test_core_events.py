"""What travels on the broker."""

from uuid import uuid4

import msgspec
import pytest

from prosa.core import events
from prosa.core.events import Bulletin, Frame, Job, Listen, Over, RunEnded, RunEvent, TextAdded
from prosa.core.run import End, Finish, RunState, Usage

RUN = uuid4()


def test_every_kind_of_mail_survives_the_codec() -> None:
    mail = Listen("gw-1", RUN, 2**62, 5)
    assert events.decode_mail(events.encode(mail)) == mail


def test_a_job_survives_the_codec_and_its_envelope_is_three_fields_in_order() -> None:
    job = Job(RUN, "default", "gw-1")
    assert events.decode_job(events.encode(job)) == job
    assert msgspec.msgpack.decode(events.encode(job)) == [RUN.bytes, "default", "gw-1"]


def test_a_frame_gives_back_its_events_in_order() -> None:
    end = RunEnded(RUN, 7, 1, 2, End(RunState.DONE, Finish.STOP, Usage(3, 1)))
    sent: list[RunEvent] = [TextAdded(RUN, 7, 1, 1, 2, "ab"), end]
    frame = events.decode_mail(events.encode(events.frame("wk-1", sent)))
    assert isinstance(frame, Frame)
    assert events.run_events(frame) == (sent, 0)


def test_events_of_another_version_are_counted_and_skipped_one_by_one() -> None:
    known = TextAdded(RUN, 7, 1, 1, 2, "ab")
    later = msgspec.Raw(msgspec.msgpack.encode({"t": "Thought", "run": RUN.bytes}))
    frame = events.frame("wk-1", [known, known])
    mixed = Frame("wk-1", (frame.events[0], later, frame.events[1]))
    assert events.run_events(mixed) == ([known, known], 1)


def test_notices_of_another_version_are_skipped_too() -> None:
    over = Over(RUN, uuid4(), uuid4())
    bulletin = events.bulletin([over])
    rubbish = msgspec.Raw(msgspec.msgpack.encode("rubbish"))
    assert events.notices(Bulletin((rubbish, *bulletin.notices))) == ([over], 1)


def test_mail_that_is_none_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        events.decode_mail(b"\xc1")
