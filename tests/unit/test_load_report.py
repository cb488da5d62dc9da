"""The figures of a bench: from what the people brought home to percentiles, a table and plots."""

import random
import xml.etree.ElementTree as ElementTree
from statistics import quantiles
from uuid import UUID

import msgspec
import pytest

from prosa.load import report
from prosa.load.answer import Answer, Fate
from prosa.load.counters import total
from prosa.load.crowd import Cast, Harvest, merged
from prosa.load.histogram import Histogram, Spread, quantile, spread
from prosa.load.meters import Sample, Used
from prosa.load.plan import Expect, Plan, Start
from prosa.load.plots import plots
from prosa.load.reading import Finding, Flaw, Takeover
from prosa.load.report import Report
from prosa.load.svg import Chart, Line, svg
from prosa.load.table import table
from prosa.load.tally import Tally

PLAN = Plan(users=2, words=21, rate=20.0, ttft=0.5)


def answer(number: int, *, flaws: tuple[Flaw, ...] = (), fate: Fate = Fate.ANSWERED, code: str = "") -> Answer:
    """Asked at 100 s, added: 10 ms to the acknowledgement, 20 ms to the first text, 40 ms to the end."""
    return Answer(
        person=number,
        id=UUID(int=number),
        chat=UUID(int=100 + number),
        fate=fate,
        asked_at=100.0,
        accepted_at=100.01,
        first_at=100.52,
        ended_at=101.54,
        run=UUID(int=200 + number),
        ordinal=1,
        attempts=1,
        sends=1,
        characters=300,
        deltas=21,
        code=code,
        findings=tuple(Finding(flaw, "seen") for flaw in flaws),
    )


def harvest(*answers: Answer, tally: Tally | None = None) -> Harvest:
    return Harvest(answers, tally or Tally(), Histogram(), 0.2, 100.0, 102.0)


def whole(*answers: Answer, samples: tuple[Sample, ...] = ()) -> Report:
    brought = harvest(*answers)
    flow = report.flow(brought, PLAN)
    return Report(
        command="prosa bench",
        urls=("http://127.0.0.1:8000",),
        plan=PLAN,
        verdict=report.verdict(answers, brought.tally, 0),
        times=report.times(PLAN, answers, brought.tally),
        flow=flow,
        disturbance=report.disturbance(answers, brought.tally),
        cost=report.cost(samples, flow, 50.0),
        generator=report.generator(brought, 1),
        synced_commit=Spread(0.5, 0.6, 0.7, 0.8),
        evidence=report.evidence(answers),
    )


def drawn(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 — our own


# ── the workload ──


def test_starts_are_spread_evenly_or_are_one() -> None:
    plan = Plan(users=4, spread_seconds=2.0)
    assert [plan.offset(person) for person in range(4)] == [0.0, 0.5, 1.0, 1.5]
    assert {msgspec.structs.replace(plan, start=Start.TOGETHER).offset(person) for person in range(4)} == {0.0}


def test_the_models_own_time_is_to_its_last_word() -> None:
    assert PLAN.own_seconds == 0.5 + 20 / 20


def test_a_question_asks_for_what_the_plan_says_and_its_reply_is_like_no_other() -> None:
    one, two = PLAN.question("a"), PLAN.question("b")
    assert "[[n=21 r=20 ttft=0.5]]" in one
    assert PLAN.expected(one) != PLAN.expected(two)
    assert len((PLAN.expected(one) or "").split()) == 21
    assert msgspec.structs.replace(PLAN, expect=Expect.STORED).expected(one) is None


def test_people_are_dealt_out_whole() -> None:
    cast = Cast(("http://a",), tuple("abcdefg"))
    parts = cast.parts(3)
    assert [part.first for part in parts] == [0, 3, 6]
    assert "".join(token for part in parts for token in part.tokens) == "abcdefg"


# ── figures ──


def test_a_histogram_tells_percentiles_within_two_percent() -> None:
    chance = random.Random(4)  # noqa: S311
    values = [chance.lognormvariate(-3, 1) for _ in range(10_000)]
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    cuts = quantiles(values, n=100)
    for percent in (50, 95, 99):
        assert histogram.quantile(percent / 100) == pytest.approx(cuts[percent - 1], rel=0.02)
    assert (histogram.total, histogram.largest) == (10_000, max(values))


def test_two_histograms_add_up() -> None:
    one, two = Histogram(), Histogram()
    one.add(0.001)
    two.add(0.1)
    two.add(0.1)
    one.merge(two)
    assert one.total == 3
    assert one.quantile(0.5) == pytest.approx(0.1, rel=0.02)
    assert one.steps()[-1][1] == 1.0


def test_a_quantile_is_a_value_that_was_seen() -> None:
    values = [4.0, 1.0, 3.0, 2.0]
    assert [quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 2.0, 4.0, 4.0]
    assert quantile([], 0.5) is None
    assert spread([]) == Spread()


def test_times_are_without_the_models_own() -> None:
    times = report.times(PLAN, [answer(1), answer(2)], Tally())
    assert times.accepted.median == pytest.approx(10.0)
    assert times.first_added.median == pytest.approx(20.0)
    assert times.total_added.largest == pytest.approx(40.0)


def test_a_verdict_counts_messages_and_not_findings() -> None:
    answers = [
        answer(1, flaws=(Flaw.LOST, Flaw.LOST)),
        answer(2, flaws=(Flaw.DUPLICATED, Flaw.CORRUPTED)),
        answer(3, flaws=(Flaw.REORDERED,)),
        answer(4),
        answer(5, fate=Fate.FAILED, code="no_worker"),
    ]
    found = report.verdict(answers, Tally(), 0)
    assert (found.lost, found.duplicated, found.corrupted, found.reordered, found.failed) == (1, 1, 1, 1, 1)
    assert not found.flawless
    assert {one.message for one in report.evidence(answers)} == {str(UUID(int=number)) for number in (1, 2, 3, 5)}


@pytest.mark.parametrize("fate", [Fate.FAILED, Fate.REFUSED, Fate.UNACCEPTED])
def test_without_an_answer_it_is_not_good_though_nothing_was_broken(fate: Fate) -> None:
    found = report.verdict([answer(1, fate=fate)], Tally(), 0)
    assert (found.flawless, found.good) == (True, False)


def test_a_chat_that_nobody_could_read_is_not_verified() -> None:
    assert not report.verdict([answer(1)], Tally(), 1).flawless
    assert report.verdict([answer(1)], Tally(), 0).good


def test_the_cost_is_that_of_the_load_alone_and_of_every_life_of_a_process() -> None:
    cpu = {99.0: 5.0, 100.0: 6.0, 101.0: 6.5, 101.5: 0.25, 102.1: 0.5, 103.0: 9.0}
    samples = [Sample(at, {"worker": Used(spent, 2**20)}) for at, spent in cpu.items()]
    (worker,) = report.processes(report.window(samples, 100.0, 102.0))
    assert worker.cpu_seconds == pytest.approx(0.5 + 0.25 + 0.25)


def test_cpu_and_messages_are_told_for_what_was_said() -> None:
    samples = (Sample(100.0, {"a": Used(1.0, 0)}), Sample(102.0, {"a": Used(1.42, 0)}))
    cost = whole(answer(1), answer(2), samples=samples).cost
    assert cost.cpu_seconds_per_1000_words == pytest.approx(0.42 / 42 * 1000)
    assert cost.broker_messages_per_second == pytest.approx(50 / 1.54, rel=0.01)


def test_takeovers_are_told() -> None:
    one = msgspec.structs.replace(answer(1), takeovers=(Takeover(2, 101.0, 7),), sends=3)
    lived = report.disturbance([one, answer(2)], Tally())
    assert (lived.takeovers, lived.taken_back, lived.sent_again) == (1, 7, 2)


def test_processes_of_a_bench_add_up() -> None:
    one, two = Tally(connections=1, closes={"1012": 1}), Tally(connections=2, closes={"1012": 2, "silent": 1})
    one.at(100.2).ends += 1
    two.at(100.9).ends += 2
    both = merged([harvest(answer(1), tally=one), harvest(answer(2), tally=two)])
    assert (len(both.answers), both.tally.connections) == (2, 3)
    assert both.tally.closes == {"1012": 3, "silent": 1}
    assert both.tally.seconds[100].ends == 3


def test_a_counter_is_summed_over_its_labels() -> None:
    page = (
        "# TYPE prosa_bus_published_total counter\n"
        'prosa_bus_published_total{channel="inbox"} 12.0\nprosa_bus_published_total{channel="jobs"} 3.0\n'
        "prosa_bus_published_created 9.0\n"
    )
    assert (total(page), total("# TYPE prosa_bus_published_total counter\n"), total("nothing 1.0\n")) == (15.0, 0, None)


# ── for people ──


def test_the_table_says_what_went_wrong() -> None:
    text = table(whole(answer(1, flaws=(Flaw.CORRUPTED,)), answer(2, fate=Fate.FAILED, code="no_worker")))
    assert "corrupted 1" in text
    assert "corrupted: seen" in text
    assert "no_worker" in text


def test_the_report_is_json_that_reads_back() -> None:
    made = whole(answer(1))
    assert msgspec.json.decode(msgspec.json.encode(made), type=Report) == made


def test_plots_are_documents_even_of_nothing() -> None:
    samples = (Sample(100.0, {"a & b": Used(1.0, 0)}), Sample(102.0, {"a & b": Used(1.4, 2**20)}))
    for brought in (harvest(answer(1), answer(2)), harvest()):
        for name, text in plots(PLAN, brought, samples).items():
            assert name.endswith(".svg")
            assert drawn(text).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_chart_keeps_its_lines_within_its_axes() -> None:
    points = [(0.0, 3.0), (5.0, 1000.0), (100_000.0, 0.0)]
    document = drawn(svg(Chart("t", "x", "y", [Line("one", points, filled=True)])))
    (line,) = document.iter("{http://www.w3.org/2000/svg}polyline")
    places = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    assert len(places) == 3
    assert all(64 <= x <= 692 and 44 <= y <= 312 for x, y in places)


def test_a_long_line_is_thinned_and_keeps_its_end() -> None:
    points = [(float(number), 1.0) for number in range(1, 100_001)]
    document = drawn(svg(Chart("t", "x", "y", [Line("one", points)])))
    (line,) = document.iter("{http://www.w3.org/2000/svg}polyline")
    places = line.attrib["points"].split()
    assert 100 < len(places) < 2000
    assert places[-1].startswith("692.0,")
