"""Who is this, and what is theirs: what is not yours does not exist (L11)."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from prosa.core.account import SignIn
from prosa.core.errors import NotSignedIn
from prosa.core.relay import Row
from prosa.ports import Clock, SignIns, Tokens

SECRET_CHARACTERS: Final = 512


class Access:
    """The open sign-ins behind secrets, remembered for ``seconds`` and at most ``entries`` of them (the oldest goes).

    A sign-in that was revoked elsewhere is known here for ``seconds`` more at most; ``forget`` ends that at once.
    """

    def __init__(
        self, sign_ins: SignIns, tokens: Tokens, clock: Clock, *, seconds: float = 5.0, entries: int = 4096
    ) -> None:
        self._sign_ins = sign_ins
        self._tokens = tokens
        self._clock = clock
        self._seconds = seconds
        self._entries = entries
        self._known: OrderedDict[str, tuple[SignIn, float]] = OrderedDict()

    async def who(self, secret: str | None) -> SignIn:
        """Raises NotSignedIn where the secret opens nothing: absent, unknown, expired, revoked, its user disabled."""
        if not secret or len(secret) > SECRET_CHARACTERS:
            raise _not_signed_in()
        digest = self._tokens.digest(secret)
        sign_in = self._recall(digest)
        if sign_in is None:
            sign_in = await self._sign_ins.find(digest)
            if sign_in is None:
                raise _not_signed_in()
            self._remember(digest, sign_in)
        return sign_in

    def forget(self, user: UUID, session: UUID | None = None) -> None:
        """One sign-in of the user, or all, must be asked for again."""
        for digest, (known, _) in list(self._known.items()):
            if known.user.id == user and session in (None, known.session):
                del self._known[digest]

    def _recall(self, digest: str) -> SignIn | None:
        sign_in, until = self._known.get(digest, (None, 0.0))
        if sign_in is None or until <= self._clock.monotonic() or sign_in.expires_at <= self._clock.now():
            return None
        return sign_in

    def _remember(self, digest: str, sign_in: SignIn) -> None:
        self._known[digest] = (sign_in, self._clock.monotonic() + self._seconds)
        self._known.move_to_end(digest)
        if len(self._known) > self._entries:
            self._known.popitem(last=False)


def owned(user: UUID, rows: Iterable[Row]) -> list[Row]:
    """Those rows that are the user's: for reads of the store that do not ask whose a run is."""
    return [row for row in rows if row.user == user]


def _not_signed_in() -> NotSignedIn:
    return NotSignedIn("You are not signed in, or your sign-in is over. Sign in and try again.")
