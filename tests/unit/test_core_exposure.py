"""Whom the metrics are shown, as a table."""

import pytest

from prosa.core.exposure import FROM_HERE, Exposure, is_loopback

TOKEN = "a-token-that-is-long"
HERE = {"host": "127.0.0.1:8000"}


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:80", "[::1]:8000"])
def test_without_a_token_a_program_on_the_same_machine_is_admitted(peer: str, host: str) -> None:
    assert FROM_HERE.admits(peer, {"host": host})


@pytest.mark.parametrize("peer", [None, "", "192.0.2.1", "10.0.0.1", "::ffff:192.0.2.1", "2001:db8::1", "testclient"])
def test_without_a_token_nobody_else_is(peer: str | None) -> None:
    assert not FROM_HERE.admits(peer, HERE)


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Any", "Forwarded", "X-Real-IP", "Via", "X-Client-IP"],
)
@pytest.mark.parametrize("value", ["127.0.0.1", ""])
def test_what_a_proxy_on_this_machine_brings_is_not_from_here(name: str, value: str) -> None:
    assert not FROM_HERE.admits("127.0.0.1", {**HERE, name: value})


@pytest.mark.parametrize(
    "host", ["chat.example.org", "chat.example.org:8000", "127.0.0.1.example.org", "192.0.2.1", ""]
)
def test_who_asks_by_another_name_than_this_machines_own_is_not_from_here(host: str) -> None:
    assert not FROM_HERE.admits("127.0.0.1", {"host": host})


@pytest.mark.parametrize("peer", ["127.0.0.1", "192.0.2.1", None])
def test_with_a_token_it_alone_counts_wherever_from(peer: str | None) -> None:
    exposure = Exposure(token=TOKEN)
    for scheme in ("Bearer", "bearer"):
        assert exposure.admits(peer, {"authorization": f"{scheme} {TOKEN}", "x-forwarded-for": "192.0.2.1"})
    for wrong in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", "Bearer é"):
        assert not exposure.admits(peer, {**HERE, "authorization": wrong}), wrong
    assert not exposure.admits(peer, HERE)


def test_an_address_for_the_metrics_alone_shows_them_to_whoever_reaches_it_unless_there_is_a_token() -> None:
    assert Exposure(anybody=True).admits("192.0.2.1", {"host": "metrics.internal:9000", "via": "1.1 proxy"})
    assert not Exposure(anybody=True, token=TOKEN).admits("127.0.0.1", HERE)


def test_where_they_have_an_address_of_their_own_nobody_sees_them_at_another() -> None:
    exposure = Exposure(token=TOKEN, elsewhere=True)
    assert not exposure.admits("127.0.0.1", {**HERE, "authorization": f"Bearer {TOKEN}"})


def test_only_this_machine_reaches_a_loopback_address() -> None:
    for own in ("127.0.0.1", "[::1]", "::1", "localhost"):
        assert is_loopback(own), own
    for other in ("0.0.0.0", "::", "192.0.2.1", "prosa.example", ""):  # noqa: S104 — asked, not bound
        assert not is_loopback(other), other
