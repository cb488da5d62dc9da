"""Limits and decisions that more than one process must make alike: text, deadlines, takeovers, dispatch, places."""

import re
from typing import Final

import msgspec

from prosa.core.errors import BadName, BadPassword, BadText, Failed, TextTooLong, WorkerLost

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_NAME: Final = re.compile(r"[\w.@+-]{1,64}", re.UNICODE)
PASSWORD_CHARACTERS: Final = (8, 1024)
CRASHES_IN_A_ROW: Final = 3
CRASHES_IN_ALL: Final = 10


class Limits(msgspec.Struct, frozen=True):
    """The bounds of a deployment. Times are in seconds."""

    text_bytes: int = 32 * 1024
    user_runs: int = 4
    """N of L9: a user's runs that are queued or running."""
    user_waiting: int = 50
    start_seconds: float = 600.0
    """From accept to the first claim; then the run fails with ``no_worker``."""
    run_seconds: float = 900.0
    """From the first claim to the end; then the run fails with ``timeout``. Well under the broker's 30 minutes."""
    lease_seconds: float = 3.0
    """A worker whose heartbeat is older is dead, and its runs are taken over."""
    heartbeat_seconds: float = 0.5
    redelivered_seconds: float = 1.0
    """The lease for a job that the broker delivered again: two heartbeats missed."""
    dispatch_seconds: float = 2.0
    """A queued run is dispatched again after this long without a claim, doubling each time."""
    reply_characters: int = 1024 * 1024
    """A reply that grows past this ends with ``finish`` length."""

    @property
    def frame_bytes(self) -> int:
        """The largest frame of a client: a text may be all escapes (6 bytes each)."""
        return 6 * self.text_bytes + 8 * 1024


def checked_text(text: str, limits: Limits) -> str:
    """The text as typed. Raises BadText or TextTooLong; nothing is trimmed or normalised."""
    if not text.strip():
        raise BadText("The message is empty. Write something first.")
    if _UNSTORABLE.search(text):
        raise BadText("The message holds U+0000 or half of a surrogate pair, which is no valid text. Remove it.")
    size = len(text.encode())
    if size > limits.text_bytes:
        raise TextTooLong(
            f"The message has {size} bytes of UTF-8; the limit is {limits.text_bytes}. Shorten or split it."
        )
    return text


def checked_name(username: str) -> str:
    """Raises BadName unless it is 1 to 64 letters, digits or ``. _ @ + -``."""
    if not _NAME.fullmatch(username):
        raise BadName("A username has 1 to 64 letters, digits, or . _ @ + - and no blanks. Choose another.")
    return username


def checked_password(password: str) -> str:
    low, high = PASSWORD_CHARACTERS
    if not low <= len(password) <= high or _UNSTORABLE.search(password):
        raise BadPassword(f"A password has {low} to {high} characters. Choose another.")
    return password


class Crashes(msgspec.Struct, frozen=True):
    """Takeovers of a run: since text was last saved, and in all."""

    row: int = 0
    total: int = 0


def crashed(crashes: Crashes) -> tuple[Crashes, Failed | None]:
    """The count after one more worker died on the run, and why it must end now, if it must."""
    after = Crashes(crashes.row + 1, crashes.total + 1)
    if after.row >= CRASHES_IN_A_ROW or after.total >= CRASHES_IN_ALL:
        return after, WorkerLost("Several workers were lost while they answered. Try again, or ask in another way.")
    return after, None


def redispatch_after(dispatches: int, limits: Limits) -> float:
    """Seconds after the last of ``dispatches`` before a queued run is dispatched again: 2, 4, 8 … 64."""
    return float(limits.dispatch_seconds * 2 ** min(max(dispatches - 1, 0), 5))


def eta(position: int, slots: int, run_seconds: float | None) -> float | None:
    """Seconds until the run at ``position`` starts, where the pool's usual run time is known."""
    if run_seconds is None or slots < 1:
        return None
    return round(position * run_seconds / slots, 1)
