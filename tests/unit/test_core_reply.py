"""The growing reply."""

from prosa.core.reply import REPLACEMENT, Reply, clean


def test_seq_counts_code_points_not_bytes_or_utf16_units() -> None:
    reply = Reply()
    reply.append("é")
    reply.append("𝄞")
    assert reply.seq == 2
    assert reply.since(1) == "𝄞"


def test_a_continued_reply_begins_behind_the_saved_text() -> None:
    reply = Reply("saved ")
    reply.append("and more")
    assert reply.text == "saved and more"
    assert reply.since(6) == "and more"


def test_any_holder_of_the_text_can_serve_any_resume() -> None:
    reply = Reply()
    for word in ("one ", "two ", "three"):
        reply.append(word)
    whole = reply.text
    assert all(whole[:seq] + reply.since(seq) == whole for seq in range(reply.seq + 1))


def test_what_no_store_keeps_becomes_the_replacement_character() -> None:
    assert clean("a\x00b\ud800c") == f"a{REPLACEMENT}b{REPLACEMENT}c"
    assert clean("línea\r\n𝄞") == "línea\r\n𝄞"
