"""The plots of a siege: what ended when, among the faults; and how long the takeovers took. Pure."""

from collections.abc import Iterable, Sequence

from prosa.chaos.ledger import Blow
from prosa.chaos.schedule import SERVICES
from prosa.chaos.takeovers import Takeover
from prosa.load.crowd import Harvest
from prosa.load.svg import Chart, Line, Point, svg


def plots(harvest: Harvest, blows: Sequence[Blow], found: Sequence[Takeover]) -> dict[str, str]:
    """Documents by file name."""
    return {"over-time.svg": svg(_over_time(harvest, blows)), "takeovers.svg": svg(_takeovers(found))}


def _over_time(harvest: Harvest, blows: Sequence[Blow]) -> Chart:
    began = int(harvest.began)
    seconds = harvest.tally.seconds
    span = range(began, max(seconds, default=began) + 1)
    ends = [(float(second - began), float(seconds[second].ends if second in seconds else 0)) for second in span]
    top = max((count for _, count in ends), default=1.0) or 1.0
    lines = [Line("replies that ended", ends, filled=True)]
    for name, at in _faults(blows).items():
        lines.append(Line(name, _comb([one - harvest.began for one in at], top)))
    return Chart("Replies that ended, and what was done meanwhile", "seconds from the start", "a second", lines)


def _faults(blows: Iterable[Blow]) -> dict[str, list[float]]:
    """The times of the blows: of a service by its name, else by what was done."""
    found: dict[str, list[float]] = {}
    for blow in blows:
        name = blow.fault.name if blow.fault.role in SERVICES else blow.fault.deed.value
        found.setdefault(name, []).append(blow.at)
    return {name: found[name] for name in sorted(found)}


def _comb(at: Sequence[float], top: float) -> list[Point]:
    """One line that goes up and down at each time, and along the axis in between."""
    return [point for x in sorted(at) for point in ((x, 0.0), (x, top), (x, 0.0))]


def _takeovers(found: Sequence[Takeover]) -> Chart:
    lines = []
    for name in sorted({_named(one) for one in found}):
        times = sorted(one.seconds * 1000 for one in found if _named(one) == name)
        lines.append(Line(name, [(value, 100 * (number + 1) / len(times)) for number, value in enumerate(times)]))
    return Chart(
        "From the blow to the first frame of the next attempt", "milliseconds", "% of all takeovers", lines, top=100
    )


def _named(one: Takeover) -> str:
    return one.deed.value if one.apart is None else "counted apart"
