"""Whose word about a person's address is believed."""

from pathlib import Path
from typing import Any

import pytest

from prosa import settings
from prosa.bootstrap.server import server


async def seen(peer: str, forwarded: str) -> tuple[str, str]:
    """The address and the scheme that the application is told of a request from this peer."""
    told: list[tuple[str, str]] = []

    async def app(scope: dict[str, Any], _receive: object, _send: object) -> None:
        told.append((scope["client"][0], scope["scheme"]))

    config = server(settings.load(), app).config
    config.load()
    headers = [(b"x-forwarded-for", forwarded.encode()), (b"x-forwarded-proto", b"https")]
    scope: dict[str, Any] = {"type": "http", "scheme": "http", "client": (peer, 1), "headers": headers}
    await config.loaded_app(scope, None, None)
    return told[0]


@pytest.fixture(autouse=True)
def _balancers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROSA_PROXIES", "10.0.0.0/8")


async def test_a_balancer_of_ours_tells_the_persons_address() -> None:
    assert await seen("10.1.2.3", "203.0.113.7") == ("203.0.113.7", "https")
    assert await seen("10.1.2.3", "198.51.100.1, 203.0.113.7, 10.9.9.9") == ("203.0.113.7", "https")


async def test_nobody_elses_word_counts() -> None:
    assert await seen("203.0.113.9", "127.0.0.1") == ("203.0.113.9", "http")
    assert await seen("127.0.0.1", "203.0.113.7") == ("127.0.0.1", "http")


async def test_a_proxy_on_the_same_machine_is_believed_unless_others_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROSA_PROXIES")
    assert await seen("127.0.0.1", "203.0.113.7") == ("203.0.113.7", "https")
    assert await seen("10.1.2.3", "203.0.113.7") == ("10.1.2.3", "http")
