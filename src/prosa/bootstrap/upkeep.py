"""What the command line does without a server: the schema, accounts, and what the doctor asks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prosa.adapters import otlp_traces
from prosa.adapters.folder import made
from prosa.adapters.passwords import Argon2Passwords
from prosa.adapters.sql import migrate as schema
from prosa.adapters.sql.store import open_store
from prosa.adapters.tokens import SystemTokens
from prosa.app.accounts import Accounts
from prosa.bootstrap.foundation import receiver
from prosa.bootstrap.gateway import account_options
from prosa.settings import Settings


def migrate(settings: Settings) -> str:
    """Bring the database's schema to this version; one sentence of what was done."""
    return asyncio.run(_migrate(settings))


async def store_check(settings: Settings) -> str:
    """One sentence of how the database does, for the doctor. Raises Unavailable, StoreRefused and SchemaOutdated."""
    await schema.verify(settings.database_url)
    async with open_store(settings.database_url) as store:
        counts = await store.reads.counts()
    return f"The database answers, its schema is {schema.head()}, and {sum(counts.values())} runs wait for their end."


async def traces_check(settings: Settings, endpoint: str) -> str:
    """One sentence of how the receiver of traces does. Raises BadConfig, and OSError where it takes none."""
    return await otlp_traces.check(receiver(settings, endpoint))


@asynccontextmanager
async def accounts(settings: Settings) -> AsyncIterator[Accounts]:
    """The accounts, for the command line. The schema is brought up to date first, so that it works before a start."""
    _make_folder(settings)
    await schema.migrate(settings.database_url)
    async with open_store(settings.database_url) as store, Argon2Passwords() as passwords:
        yield Accounts(store.users, store.sign_ins, passwords, SystemTokens(), account_options(settings))


def _make_folder(settings: Settings) -> None:
    if settings.embedded_database:
        made(settings.data_dir)


async def _migrate(settings: Settings) -> str:
    _make_folder(settings)
    before = await schema.current(settings.database_url)
    await schema.migrate(settings.database_url)
    after = await schema.current(settings.database_url)
    if before != after:
        return f"The schema went from {before or 'nothing'} to {after}."
    of = "" if after == schema.head() else ", of a newer Prosa, and serves this one too"
    return f"The schema is {after} already{of}."
