"""How long a person waits for the next connection: as the page does (web/src/client.ts). Pure."""

from typing import Final

STEADY_SECONDS: Final = 10.0
BACKOFF_SECONDS: Final = (0.5, 15.0)
OVERLOADED_SECONDS: Final = (5.0, 60.0)
GOING_AWAY_SECONDS: Final = 1.0
GOING_AWAY: Final = 1012
OVERLOADED: Final = (1013, 503)


class Patience:
    """Waits double with each failure in a row, those after an overload apart from the others: a gateway that fails
    for other reasons must not make the next long wait longer."""

    def __init__(self) -> None:
        self._failures = 0
        self._overloads = 0

    def seconds(self, why: int | str, *, lived: float | None, chance: float) -> float:
        """Why the last connection ended, for how long it had been welcome (None: never), and a number in 0..1."""
        if lived is not None and lived > STEADY_SECONDS:
            self._failures = self._overloads = 0
        if why == GOING_AWAY and lived is not None:
            return GOING_AWAY_SECONDS * chance
        return self._ceiling(why) * (0.5 + chance / 2)

    def _ceiling(self, why: int | str) -> float:
        if why in OVERLOADED:
            before, self._overloads = self._overloads, self._overloads + 1
            return _doubled(OVERLOADED_SECONDS, before)
        before, self._failures = self._failures, self._failures + 1
        return _doubled(BACKOFF_SECONDS, before)


def _doubled(bounds: tuple[float, float], times: int) -> float:
    base, most = bounds
    return float(min(base * 2.0 ** min(times, 10), most))
