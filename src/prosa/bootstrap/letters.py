"""The broker's dead letters, for the command line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prosa.adapters.rabbitmq_bus import DeadLetters, open_dead_letters
from prosa.core.errors import BadConfig
from prosa.settings import Settings


@asynccontextmanager
async def dead_letters(settings: Settings) -> AsyncIterator[DeadLetters]:
    """Raises BadConfig without a broker, BusUnavailable, BrokerRefused and BrokerMismatch."""
    if settings.broker_url is None:
        way = "Set PROSA_BROKER_URL to that of your gateways and workers."
        raise BadConfig(f"Dead letters lie on the broker, and there is none (`prosa serve` has its own inside). {way}")
    async with open_dead_letters(settings.broker_url) as letters:
        yield letters
