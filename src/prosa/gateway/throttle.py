"""How often an address may try to sign in or up: moving windows in the memory of this gateway.

The windows' storage is our own: the one that comes with ``limits`` starts a thread, reads the wall clock, and
grows with every address that is seen.
"""

import ipaddress
import math
from collections import OrderedDict, deque
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

from prosa.core.errors import RateLimited
from prosa.ports import Clock

PER_NAME: Final = 10
PER_ADDRESS: Final = 60
KEYS: Final = 10_000
NAME_CHARACTERS: Final = 64


class Windows(Storage, MovingWindowSupport):
    """The times of the last entries of each key, at most ``keys`` keys: the one that was used longest ago goes."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock, keys: int = KEYS) -> None:
        super().__init__()
        self._clock = clock
        self._keys = keys
        self._entries: OrderedDict[str, deque[float]] = OrderedDict()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        window = self._window(key, expiry)
        if len(window) + amount > limit:
            return False
        window.extend([self._clock.monotonic()] * amount)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        window = self._window(key, expiry)
        return (window[0] if window else self._clock.monotonic()), len(window)

    def _window(self, key: str, expiry: int) -> deque[float]:
        window = self._entries.setdefault(key, deque())
        self._entries.move_to_end(key)
        while window and window[0] <= self._clock.monotonic() - expiry:
            window.popleft()
        if len(self._entries) > self._keys:
            self._entries.popitem(last=False)
        return window

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()

    def get(self, key: str) -> int:
        return len(self._entries.get(key, ()))

    def get_expiry(self, key: str) -> float:
        window = self._entries.get(key)
        return window[-1] if window else self._clock.monotonic()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        self._window(key, expiry).extend([self._clock.monotonic()] * amount)
        return self.get(key)

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self._entries)
        self._entries.clear()
        return count

    def clear(self, key: str) -> None:
        self._entries.pop(key, None)


class Throttle:
    """Tries to sign in, a minute: ``per_name`` for one name from one address, ``per_address`` for all its names."""

    def __init__(
        self, clock: Clock, *, on: bool = True, per_name: int = PER_NAME, per_address: int = PER_ADDRESS
    ) -> None:
        self._clock = clock
        self._on = on
        self._name = RateLimitItemPerMinute(per_name, namespace="name")
        self._address = RateLimitItemPerMinute(per_address, namespace="address")
        self._limiter = MovingWindowRateLimiter(Windows(clock))

    def check(self, address: str | None, username: str) -> None:
        """Count one try. Raises RateLimited, with the seconds until another one is allowed."""
        if not self._on:
            return
        place = network(address)
        self._hit(self._address, place)
        self._hit(self._name, place, username[:NAME_CHARACTERS].casefold())

    def _hit(self, item: RateLimitItemPerMinute, *key: str) -> None:
        if self._limiter.hit(item, *key):
            return
        seconds = self._limiter.get_window_stats(item, *key).reset_time - self._clock.monotonic()
        wait = max(1, math.ceil(seconds))
        raise RateLimited(f"Too many tries to sign in. Wait {wait} seconds and try again.", retry_after=wait)


def network(address: str | None) -> str:
    """What counts as one address: an IPv6 network of 64 bits is one customer's."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "local"
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
