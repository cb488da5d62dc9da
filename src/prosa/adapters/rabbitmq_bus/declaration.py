"""Declaring what the topology names. All of it may be there already; what is there otherwise is refused (406).

Callers need no deadline: each answer of the broker has one. All raise Lost.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiormq.abc import ArgumentsType
from aiormq.channel import Channel
from aiormq.connection import Connection
from aiormq.exceptions import ChannelLockedResource

from prosa.adapters.rabbitmq_bus import topology
from prosa.adapters.rabbitmq_bus.connection import RPC_SECONDS, opened
from prosa.adapters.rabbitmq_bus.failures import Lost

ALONE_SECONDS: Final = 3.0
"""How long to wait for another process that declares; then it has frozen, and is not waited for."""
ALONE_PAUSE_SECONDS: Final = 0.02


async def declare_exchanges(channel: Channel) -> None:
    async with asyncio.timeout(RPC_SECONDS):
        await channel.exchange_declare(topology.INBOX, exchange_type="direct", durable=True)
        await channel.exchange_declare(topology.BULLETIN, exchange_type="fanout", durable=True)


async def declare_inbox(channel: Channel, name: str, nonce: str, *, bulletins: bool) -> str:
    """A queue of this connection alone, bounded (the oldest goes) and bound; returns its name."""
    await declare_exchanges(channel)
    queue = topology.inbox_queue(name, nonce)
    async with asyncio.timeout(RPC_SECONDS):
        await channel.queue_declare(queue, exclusive=True, auto_delete=True, arguments=topology.INBOX_ARGUMENTS)
        await channel.queue_bind(queue, topology.INBOX, routing_key=name)
        if bulletins:
            await channel.queue_bind(queue, topology.BULLETIN)
    return queue


class QuorumQueues:
    """Declares durable quorum queues, one after the other in this process and among all processes.

    RabbitMQ 3.10 says that a quorum queue is there before it can be used, while another process is creating it: what
    is published in that instant is confirmed and forgotten, and who consumes loses its connection (541; both seen).
    After a wipe all processes are in that instant.
    """

    def __init__(self) -> None:
        self._one_by_one = asyncio.Lock()

    async def jobs(self, connection: Connection, pool: str) -> str:
        """The pool's queue and that of the dead letters; returns the name of the former."""
        queue = topology.jobs_queue(pool)
        await self._declare(connection, {topology.DEAD: topology.DEAD_ARGUMENTS, queue: topology.JOBS_ARGUMENTS})
        return queue

    async def dead(self, connection: Connection) -> None:
        await self._declare(connection, {topology.DEAD: topology.DEAD_ARGUMENTS})

    async def _declare(self, connection: Connection, queues: Mapping[str, ArgumentsType]) -> None:
        async with self._one_by_one, _alone(connection), opened(connection) as channel:
            for queue, arguments in queues.items():
                async with asyncio.timeout(RPC_SECONDS):
                    await channel.queue_declare(queue, durable=True, arguments=arguments)


@asynccontextmanager
async def _alone(connection: Connection) -> AsyncIterator[None]:
    """Nobody else is in here meanwhile: a queue that is exclusive to a connection is a lock that dies with it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(ALONE_SECONDS):
            ours = await _is_ours(connection)
            while not ours:
                await asyncio.sleep(ALONE_PAUSE_SECONDS)
                ours = await _is_ours(connection)
    try:
        yield
    finally:
        with suppress(Lost):
            async with opened(connection) as channel, asyncio.timeout(RPC_SECONDS):
                await channel.queue_delete(topology.DECLARING)


async def _is_ours(connection: Connection) -> bool:
    try:
        async with opened(connection) as channel:
            await channel.queue_declare(topology.DECLARING, exclusive=True)
    except Lost as lost:
        if isinstance(lost.__cause__, ChannelLockedResource):
            return False
        raise
    return True
