"""Randomness from the operating system: ids, claims and secrets."""

import hashlib
import secrets
from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

CLAIM_BITS: Final = 63
SECRET_BYTES: Final = 32


class SystemTokens:
    """Ids sort by the time they were made (UUID version 7); a secret has 256 bits, so a fast digest is enough."""

    def uuid(self) -> UUID:
        return uuid7()

    def claim(self) -> int:
        return secrets.randbits(CLAIM_BITS)

    def secret(self) -> str:
        return secrets.token_urlsafe(SECRET_BYTES)

    def digest(self, secret: str) -> str:
        # A client may send any string as its token: half a surrogate pair must be a wrong one, not an error.
        return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
