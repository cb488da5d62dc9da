"""Accounts with tokens, written straight into the data folder before the process starts: no Argon2 in between."""

from pathlib import Path

from uuid_utils.compat import uuid7

from prosa.adapters.sql import migrate
from prosa.adapters.sql.store import open_store
from prosa.adapters.tokens import SystemTokens


async def people(folder: Path, count: int) -> list[str]:
    """The tokens of ``count`` new users of the database in ``folder``."""
    url = f"sqlite:///{folder}/prosa.db"
    await migrate.migrate(url)
    tokens, secrets = SystemTokens(), []
    async with open_store(url) as store:
        for _ in range(count):
            name = f"bench-{uuid7().hex[-12:]}"
            user = await store.users.add(tokens.uuid(), name, None, role="member")
            secret = tokens.secret()
            await store.sign_ins.open(tokens.uuid(), user.id, tokens.digest(secret), kind="token", seconds=86_400)
            secrets.append(secret)
    return secrets
