"""What Prosa has on the broker: names with their versions, arguments, and how each is declared.

Whoever changes an argument raises the version in the name: a broker refuses (406) to declare an existing queue or
exchange with other arguments, and two versions of Prosa run side by side during a deploy.
"""

from typing import Final

from aiormq.channel import Channel
from pamqp.common import FieldTable

INBOX: Final = "prosa.inbox.v1"
"""A direct exchange; the routing key is the name of a process."""
BULLETIN: Final = "prosa.bulletin.v1"
"""A fanout exchange to the inboxes of all gateways."""
DEAD: Final = "prosa.dead.v1"
"""The queue of the dead letters of all pools."""

INBOX_MESSAGES: Final = 10_000
INBOX_BYTES: Final = 64 * 1024 * 1024
DELIVERY_LIMIT: Final = 20
DEAD_LETTERS: Final = 10_000
RPC_SECONDS: Final = 5.0
"""How long the broker may take to answer.

Callers hold this deadline with ``asyncio.timeout``. The client library's own ``timeout`` is built on ``wait_for``,
which in Python 3.11 swallows a cancellation that comes together with the answer.
"""

# A letter that is looked at and put back is delivered again. RabbitMQ 4 drops from a quorum queue what was
# delivered 20 times, unless told otherwise; 3.x knows no word for "never".
_NEVER: Final = 2**31 - 1


def jobs_queue(pool: str) -> str:
    return f"prosa.jobs.v1.{pool}"


def pool_of(queue: str) -> str | None:
    """The pool whose queue bears this name; None for another queue."""
    start = jobs_queue("")
    return queue.removeprefix(start) if queue.startswith(start) else None


def inbox_queue(name: str, nonce: str) -> str:
    """Fresh for each connection: the broker may still hold the old one for the old connection (405)."""
    return f"{INBOX}.{name}.{nonce}"


async def declare_dead(channel: Channel) -> None:
    arguments: FieldTable = {
        "x-queue-type": "quorum",
        "x-max-length": DEAD_LETTERS,
        "x-overflow": "drop-head",
        "x-delivery-limit": _NEVER,
    }
    await channel.queue_declare(DEAD, durable=True, arguments=arguments)


async def declare_jobs(channel: Channel, pool: str) -> str:
    """The pool's queue and that of the dead letters; returns the name of the former."""
    await declare_dead(channel)
    queue = jobs_queue(pool)
    arguments: FieldTable = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": DEAD,
    }
    await channel.queue_declare(queue, durable=True, arguments=arguments)
    return queue


async def declare_exchanges(channel: Channel) -> None:
    await channel.exchange_declare(INBOX, exchange_type="direct", durable=True)
    await channel.exchange_declare(BULLETIN, exchange_type="fanout", durable=True)


async def declare_inbox(channel: Channel, name: str, nonce: str, *, bulletins: bool) -> str:
    """A queue of this connection alone, bounded (the oldest goes) and bound; returns its name."""
    await declare_exchanges(channel)
    queue = inbox_queue(name, nonce)
    arguments: FieldTable = {
        "x-max-length": INBOX_MESSAGES,
        "x-max-length-bytes": INBOX_BYTES,
        "x-overflow": "drop-head",
    }
    await channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=arguments)
    await channel.queue_bind(queue, INBOX, routing_key=name)
    if bulletins:
        await channel.queue_bind(queue, BULLETIN)
    return queue
