"""Many durations in little room, and their percentiles. Pure."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

STEPS_PER_E: Final = 50
"""Buckets are 2 % wide, so a percentile is off by 1 % at most."""
SMALLEST_SECONDS: Final = 1e-5


class Histogram(msgspec.Struct):
    """Counts of durations in seconds by the logarithm of each: bounded, and two can be added."""

    counts: dict[int, int] = msgspec.field(default_factory=dict)
    largest: float = 0.0

    def add(self, seconds: float) -> None:
        bucket = int(math.log(seconds / SMALLEST_SECONDS) * STEPS_PER_E) if seconds > SMALLEST_SECONDS else 0
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.largest = max(self.largest, seconds)

    def merge(self, other: "Histogram") -> None:
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.largest = max(self.largest, other.largest)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """The duration that ``share`` (0 to 1) of all do not exceed; None where there are none."""
        left = share * self.total
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return min(_middle(bucket), self.largest)
        return self.largest if self.counts else None

    def steps(self) -> list[tuple[float, float]]:
        """The cumulative distribution: (seconds, share) at each bucket that is not empty."""
        steps, seen, total = [], 0, self.total
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            steps.append((min(_middle(bucket), self.largest), seen / total))
        return steps


def _middle(bucket: int) -> float:
    return SMALLEST_SECONDS * math.exp((bucket + 0.5) / STEPS_PER_E)


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that ``share`` (0 to 1) of all do not exceed: exact, without interpolation."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


class Spread(msgspec.Struct, frozen=True):
    """How durations lie, in milliseconds. All None where there was nothing to measure."""

    median: float | None = None
    p95: float | None = None
    p99: float | None = None
    largest: float | None = None


def spread(values: Iterable[float]) -> Spread:
    held = sorted(values)
    median, p95, p99, largest = (milliseconds(quantile(held, share)) for share in (0.5, 0.95, 0.99, 1.0))
    return Spread(median, p95, p99, largest)


def spread_of(histogram: Histogram) -> Spread:
    median, p95, p99 = (milliseconds(histogram.quantile(share)) for share in (0.5, 0.95, 0.99))
    return Spread(median, p95, p99, milliseconds(histogram.largest if histogram.counts else None))


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
