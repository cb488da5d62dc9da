"""What so many users need: gateways, workers, broker, database, model and money, from measured costs. Arithmetic.

``Costs`` was measured: docs/scaling.md says by which commands. ``People``, ``Machines`` and ``Prices`` are assumed:
replace them by your own. Everything is of the busiest minute, but for what is said to be of a day.
"""

import math
from typing import Final

import msgspec

DAY_SECONDS: Final = 86_400


class Cpu(msgspec.Struct, frozen=True):
    """CPU seconds of one part: for an exchange (accepted, answered, stored), and for a word that streams."""

    exchange: float
    word: float

    def cores(self, exchanges: float, words: float) -> float:
        return self.exchange * exchanges + self.word * words


class Costs(msgspec.Struct, frozen=True):
    """Measured on one machine with 2 cores, everything on it; sizes in bytes."""

    gateway: Cpu
    worker: Cpu
    broker: Cpu
    database: Cpu
    socket_bytes: int
    stored_bytes: int
    """Of an exchange in the tables and indexes, for good."""
    log_bytes: int
    """Of an exchange in PostgreSQL's write-ahead log, checkpoints included."""
    commits: float
    """Transactions of an exchange where few come; where many come they share (decision 0014)."""


class People(msgspec.Struct, frozen=True):
    """How a crowd behaves."""

    active_share: float = 0.2
    """Of all users on a day."""
    messages_a_day: float = 10.0
    """Of one who is active."""
    busiest_hour: float = 0.12
    """Of a day's messages."""
    burst: float = 1.5
    """The busiest minute of that hour, above its mean."""
    open_share: float = 0.05
    """Of all users: pages that are open at once."""
    words: float = 250.0
    """Of an answer, about 1.3 tokens each."""
    words_per_second: float = 40.0
    prompt_tokens: float = 1_500.0


class Machines(msgspec.Struct, frozen=True):
    """What is bought, and how far it is filled."""

    busy: float = 0.6
    """Of a core, or of the slots, at the busiest minute: the rest is for who dies and for bursts."""
    sockets_a_gateway: int = 10_000
    slots_a_worker: int = 200
    """With models elsewhere, whose answers cost the worker little."""
    connections: int = 4
    """Of each process to the database."""
    tick_seconds: float = 0.1
    """Between two frames of a worker to a gateway under load: 25 to 200 ms."""


class Limits(msgspec.Struct, frozen=True):
    """Of one of each: what it can do before it must be parted or changed."""

    database_cores: float = 32.0
    database_connections: float = 500.0
    stored_bytes: float = 4e12
    """Beyond which backups, vacuum and indexes become the day's work."""
    broker_messages: float = 30_000.0
    """Small transient deliveries a second of one node."""
    inbox_messages: float = 4_600.0
    """Through one Python process, both ends (measured)."""
    model_words: float = 2_000.0
    """A second, of one accelerator with a small model, or one account of a provider."""


class Need(msgspec.Struct, frozen=True):
    """What it takes. Rates are a second."""

    users: int
    exchanges: float
    streams: float
    words: float
    sockets: float
    gateways: int
    workers: int
    cores: dict[str, float]
    connections: int
    commits: float
    log_bytes: float
    stored_bytes_a_day: float
    frames: float
    bulletins: float
    inbox: float
    """Messages into one gateway."""
    tokens_a_day: tuple[float, float]
    """Read and written by the model."""
    strain: dict[str, float]
    """Of each resource that there is one of, how far it is filled; above 1 it must be parted."""

    @property
    def first(self) -> str:
        """The bottleneck that comes first, the model left aside."""
        return max((name for name in self.strain if name != "model"), key=lambda name: self.strain[name])


def need(users: int, costs: Costs, people: People, machines: Machines, limits: Limits) -> Need:
    a_day = users * people.active_share * people.messages_a_day
    exchanges = a_day * people.busiest_hour / 3600 * people.burst
    # Little's law: how many are there at once is how many come, times how long each stays.
    streams = exchanges * people.words / people.words_per_second
    words, sockets = exchanges * people.words, users * people.open_share
    cores = {
        "gateway": costs.gateway.cores(exchanges, words),
        "worker": costs.worker.cores(exchanges, words),
        "broker": costs.broker.cores(exchanges, words),
        "database": costs.database.cores(exchanges, words),
    }
    # Each is one process on one core; and two of a kind are the least with which one may die.
    gateways = max(2, math.ceil(cores["gateway"] / machines.busy), math.ceil(sockets / machines.sockets_a_gateway))
    slots = math.ceil(streams / machines.busy)
    workers = max(2, math.ceil(cores["worker"] / machines.busy), math.ceil(slots / machines.slots_a_worker))
    ticks = 1 / machines.tick_seconds
    frames = min(gateways * workers, streams) * ticks
    # One a process and tick at most, to every gateway; four things happen to an exchange that others hear of.
    told = min((gateways + workers) * ticks, 4 * exchanges)
    connections = (gateways + workers) * machines.connections
    a_year = a_day * costs.stored_bytes * 365
    strain = {
        "database, CPU": cores["database"] / machines.busy / limits.database_cores,
        "database, connections": connections / limits.database_connections,
        "database, one year's rows": a_year / limits.stored_bytes,
        "broker, deliveries": (frames + told * gateways + 2 * exchanges) / limits.broker_messages,
        "a gateway's inbox": (frames / gateways + told) / limits.inbox_messages,
        "model": words / limits.model_words,
    }
    return Need(
        users=users,
        exchanges=exchanges,
        streams=streams,
        words=words,
        sockets=sockets,
        gateways=gateways,
        workers=workers,
        cores=cores,
        connections=connections,
        commits=exchanges * costs.commits,
        log_bytes=exchanges * costs.log_bytes,
        stored_bytes_a_day=a_day * costs.stored_bytes,
        frames=frames,
        bulletins=told * gateways,
        inbox=frames / gateways + told,
        tokens_a_day=(a_day * people.prompt_tokens, a_day * people.words * 1.3),
        strain=strain,
    )


class Prices(msgspec.Struct, frozen=True):
    """In dollars, of 2026, as an order of magnitude; replace them by yours."""

    core_month: float = 20.0
    terabyte_month: float = 100.0
    read_million: float = 0.15
    """A million tokens that a small hosted model reads."""
    written_million: float = 0.60


def month(found: Need, machines: Machines, prices: Prices) -> tuple[float, float]:
    """Dollars of a month: of machines and disks at the end of the first year, and of the model."""
    cores = sum(found.cores.values()) / machines.busy
    least = max(cores, found.gateways + found.workers + 4)
    disks = found.stored_bytes_a_day * 365 / 1e12 * prices.terabyte_month * 2
    read, written = found.tokens_a_day
    model = 30 * (read * prices.read_million + written * prices.written_million) / 1e6
    return least * prices.core_month + disks, model
