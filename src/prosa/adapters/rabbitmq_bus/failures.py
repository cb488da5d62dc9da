"""What the broker and the client library say when something fails, as our errors with a sentence for the operator."""

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qs, unquote, urlencode, urlsplit, urlunsplit

import msgspec
from aiormq import exceptions as amqp

from prosa.core.errors import BadConfig, BrokerMismatch, BrokerRefused, BusUnavailable, ProsaError

HEARTBEAT_SECONDS: Final = 10

_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_MISMATCH: Final = re.compile(r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>queue|exchange) '(?P<name>[^']*)'")
# The library reports the broker's close of a virtual host that it will not open as a frame that it did not expect.
_NOT_OPENED: Final = "Connection.OpenOk"


class Lost(Exception):
    """A connection or channel ended, or did not begin; ``__cause__`` is what the library or the network said."""


class Address(msgspec.Struct, frozen=True):
    """A broker's URL, taken apart for sentences; ``url`` has the password and is never shown."""

    url: str
    where: str
    user: str
    vhost: str


def address(url: str) -> Address:
    """Raises BadConfig for what is no amqp:// or amqps:// URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise BadConfig("The broker's URL must be amqp://user:password@host:port/vhost (or amqps://).") from None
    if not parts.hostname:
        raise BadConfig("The broker's URL names no host: amqp://user:password@host:port/vhost.")
    query = {"heartbeat": [str(HEARTBEAT_SECONDS)]} | parse_qs(parts.query)
    vhost = unquote(parts.path[1:]) or "/"
    whole = urlunsplit(parts._replace(query=urlencode(query, doseq=True)))
    return Address(whole, f"{parts.hostname}:{port}", unquote(parts.username or "guest"), vhost)


@contextmanager
def reaching() -> Iterator[None]:
    """Raises Lost for whatever the library raises when a connection or channel ends under it.

    Raises CancelledError where the task was cancelled in the body, also where the library turned that into an error
    of its own, or into nothing: it does while it closes a channel.
    """
    before = _cancellations()
    try:
        yield
    except asyncio.CancelledError:
        # The library also ends the waits of others with a CancelledError when its own reader was cancelled. Ours is
        # one that came since: a task group of Python 3.11 that failed leaves its task counted as being cancelled.
        if _cancellations() > before:
            raise
        raise Lost("the connection was closed") from None
    except (amqp.AMQPError, amqp.ChannelInvalidStateError, OSError, TimeoutError) as error:
        if _cancellations() > before:
            raise asyncio.CancelledError from error
        raise Lost(str(error)) from error
    if _cancellations() > before:
        raise asyncio.CancelledError


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def explained(lost: Lost, to: Address) -> ProsaError:
    """What happened, to which broker, and what to do."""
    cause = lost.__cause__
    match cause:
        case amqp.AuthenticationError() | amqp.ProbableAuthenticationError():
            return _wrong_password(to)
        case amqp.InvalidFrameError() if _NOT_OPENED in str(cause):
            return _no_vhost(to)
        case amqp.ChannelPreconditionFailed() if found := _MISMATCH.search(str(cause)):
            return _mismatch(found, to)
        case amqp.ChannelAccessRefused():
            return _not_allowed(to)
        case amqp.ChannelClosed():
            return BusUnavailable(f"RabbitMQ at {to.where} refused what it was asked for: {_said(cause)}.")
        case amqp.ConnectionClosed():
            return BusUnavailable(f"RabbitMQ at {to.where} ended the connection: {_said(cause)}.")
        case _:
            return _unreachable(cause, to)


def _wrong_password(to: Address) -> ProsaError:
    way = "Correct the name and password in the broker's URL (PROSA_BROKER_URL)."
    guest = " RabbitMQ lets the user guest in from its own machine only." if to.user == "guest" else ""
    return BrokerRefused(f"RabbitMQ at {to.where} refused the user {to.user!r} or the password. {way}{guest}")


def _no_vhost(to: Address) -> ProsaError:
    what = f"RabbitMQ at {to.where} did not open the virtual host {to.vhost!r} for the user {to.user!r}:"
    why = "it does not exist, or the user may not use it."
    return BrokerRefused(f"{what} {why} Run: rabbitmqctl add_vhost {to.vhost}; {_permit(to)}")


def _not_allowed(to: Address) -> ProsaError:
    what = f"The user {to.user!r} may not declare or use Prosa's queues in the virtual host {to.vhost!r}"
    return BrokerRefused(f"{what} of RabbitMQ at {to.where}. Run: {_permit(to)}")


def _permit(to: Address) -> str:
    return f"rabbitmqctl set_permissions -p {to.vhost} {to.user} '.*' '.*' '.*'"


def _mismatch(found: re.Match[str], to: Address) -> ProsaError:
    kind, name = found["kind"], found["name"]
    what = f"The {kind} {name!r} on RabbitMQ at {to.where} was declared with another {found['argument']!r}"
    if kind == "queue":
        way = f"Stop what uses it and run: rabbitmqctl delete_queue -p {to.vhost} {name}"
        after = "(Prosa declares it anew, and dispatches unfinished runs again from the database)."
    else:
        way = f"Stop what uses it and delete it in RabbitMQ's management (virtual host {to.vhost!r});"
        after = "Prosa declares it anew."
    return BrokerMismatch(f"{what} than this version of Prosa needs. {way} {after}")


def _unreachable(cause: BaseException | None, to: Address) -> ProsaError:
    if isinstance(cause, TimeoutError):
        why = "does not answer"
    elif isinstance(cause, amqp.AMQPConnectionError) and cause.args and isinstance(cause.args[0], int):
        why = f"cannot be reached ({_said(cause)})"
    else:
        why = f"is away ({_said(cause)})" if cause is not None else "ended the connection"
    return BusUnavailable(f"RabbitMQ at {to.where} {why}. Start it, or correct the broker's URL (PROSA_BROKER_URL).")


def _said(cause: BaseException) -> str:
    """The library's words without its punctuation; its connection errors are the system's: number and text."""
    return str(cause.args[-1] if cause.args else cause).rstrip(".") or type(cause).__name__


def silence() -> None:
    """The library logs each lost connection several times and with its stack; we say it once, in a sentence."""
    for library in ("aiormq.connection", "aiormq.channel"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
