"""The measurement of what watching costs: small, and only whether it measures what it says."""

import pytest

from benchmarks.overhead import Measured, Round, judged, overhead
from prosa.load.plan import Plan, Start

SMALL = Plan(users=4, seconds=1.5, words=5, rate=1000, start=Start.BACK_TO_BACK, model="scripted")


async def test_with_and_without_instrumentation_everybody_is_answered_and_only_one_round_is_watched() -> None:
    rounds, found = await overhead(1, {"small": SMALL}, warm=False)
    without, watched = rounds
    assert (without.watched, watched.watched) == (False, True)
    for one in rounds:
        load = one.loads["small"]
        assert load.flawless, load
        assert load.whole == load.asked > 4
        assert 0 < load.ours < load.all
    assert (without.scrapes, without.samples, without.span_requests) == (0, 0, 0)
    assert without.log_lines <= 2 * 2, "the start warns of what is switched off"
    assert watched.scrapes >= 2, "two processes, each second"
    assert watched.samples > 100
    assert watched.span_requests > 0
    assert watched.log_lines > load.whole, "each run is told of"
    assert [(one.load, one.pairs) for one in found] == [("small", 1)]


def test_what_counts_is_the_ratio_within_each_pair_whatever_its_order() -> None:
    def round_of(watched: bool, seconds: float) -> Round:
        return Round(watched, {"x": Measured(seconds, 2 * seconds, 10 / seconds, 5.0, 1, 1, True)}, 0, 0, 0, 0)

    slow = [round_of(False, 2.0), round_of(True, 2.2)]
    quick = [round_of(True, 1.02), round_of(False, 1.0)]
    same = [round_of(False, 1.0), round_of(True, 1.0)]
    found = judged("x", [*slow, *quick, *same])
    assert (found.pairs, found.cpu_ours.median, found.cpu_ours.least, found.cpu_ours.most) == (3, 1.02, 1.0, 1.1)
    assert found.replies_per_second.median == pytest.approx(0.98, abs=0.001)
    assert found.first_text.median == 1.0
