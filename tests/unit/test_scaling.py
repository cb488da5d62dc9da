"""What the next factor of ten needs: the arithmetic, the simulation against theory, and the page that shows both."""

import random

import pytest
import yaml

from benchmarks import scale
from benchmarks.simulation import Answers, Deployment, Outcome, Scaling, Simulation, erlang_c
from benchmarks.sizing import Limits, Machines, People, need
from tests.deployment import ROOT


def played(deployment: Deployment, rate: float, seconds: float, kills: tuple[float, ...] = ()) -> Outcome:
    return Simulation(deployment, lambda _: rate, most_rate=rate, seed=7).run(seconds, kills)


EXPONENTIAL = Answers(words_median=40, spread=-1, words_per_second=40)
ONE_SECOND = Answers(words_median=20, spread=0, words_per_second=20, added_seconds=0)


def test_the_page_shows_what_the_code_computes() -> None:
    page = scale.PAGE.read_text("utf-8")
    shown = scale.sizes()
    for table in (scale.sizes_table(shown), scale.strain_table(shown)):
        assert table in page, "run `python -m benchmarks scale`"
    assert set(scale.put(page, dict.fromkeys(scale.MARKS, "")).splitlines()) >= {
        f"<!-- {mark} -->" for mark in scale.MARKS
    }


def test_ten_times_the_users_are_ten_times_the_load() -> None:
    few, many = (need(users, scale.COSTS, People(), Machines(), Limits()) for users in (100_000, 1_000_000))
    for name in ("exchanges", "streams", "words", "sockets", "stored_bytes_a_day", "log_bytes"):
        assert getattr(many, name) == pytest.approx(10 * getattr(few, name)), name


def test_streams_at_once_follow_littles_law() -> None:
    found = need(100_000, scale.COSTS, People(), Machines(), Limits())
    assert found.streams == pytest.approx(found.exchanges * People().words / People().words_per_second)


def test_there_are_two_of_each_however_few_people_there_are() -> None:
    found = need(1, scale.COSTS, People(), Machines(), Limits())
    assert (found.gateways, found.workers) == (2, 2)


def test_frames_and_bulletins_never_exceed_what_happens() -> None:
    found = need(1_000, scale.COSTS, People(), Machines(), Limits())
    assert found.frames <= found.streams / Machines().tick_seconds
    assert found.bulletins <= 4 * found.exchanges * found.gateways


@pytest.mark.parametrize(("busy", "slack"), [(0.7, 0.1), (0.85, 0.1)])
def test_the_simulation_waits_as_long_as_erlang_says(busy: float, slack: float) -> None:
    waits = played(Deployment(workers=4, slots=4, answers=EXPONENTIAL), 16 * busy, 10_000).waits
    share, mean = erlang_c(16 * busy, 1.0, 16)
    assert sum(wait > 0 for wait in waits) / len(waits) == pytest.approx(share, rel=slack)
    assert sum(waits) / len(waits) == pytest.approx(mean, rel=2 * slack)


def test_erlang_of_one_slot_is_the_textbooks() -> None:
    assert erlang_c(0.5, 1.0, 1) == pytest.approx((0.5, 1.0))
    with pytest.raises(ValueError, match="never keep up"):
        erlang_c(2.0, 1.0, 2)


def test_the_mean_length_of_an_answer_is_what_is_drawn() -> None:
    dice = random.Random(1)  # noqa: S311 — a simulation
    for answers in (Answers(), EXPONENTIAL, ONE_SECOND):
        drawn = [answers.draw(dice) for _ in range(20_000)]
        assert sum(drawn) / len(drawn) == pytest.approx(answers.mean_seconds, rel=0.03)


def test_full_slots_answer_as_many_as_they_can_and_no_more() -> None:
    outcome = played(Deployment(workers=2, slots=5, answers=ONE_SECOND), 50, 100)
    assert outcome.answered == pytest.approx(1_000, abs=20)


def test_a_killed_workers_answers_go_on_elsewhere_and_none_is_lost() -> None:
    deployment = Deployment(workers=4, slots=20, answers=ONE_SECOND)
    hit = played(deployment, 20, 60, (10.0, 20.0, 30.0))
    assert len(hit.interrupted) > 3
    assert min(hit.interrupted) == pytest.approx(deployment.noticed_seconds)
    # Those of the last second are still being answered.
    assert len(hit.waits) - hit.answered == pytest.approx(20, abs=15)


def test_a_drained_worker_interrupts_nobody_and_a_killed_one_does() -> None:
    quick = Scaling(least=1, most=9, calm_seconds=10, look_seconds=5, start_seconds=1)
    for drain, interrupts in ((30.0, False), (0.0, True)):
        deployment = Deployment(workers=8, slots=4, answers=Answers(), scaling=quick, drain_seconds=drain)
        outcome = played(deployment, 1.0, 600)
        assert bool(outcome.interrupted) is interrupts
        assert outcome.history[-1][1] < 8


def test_a_queue_that_grows_old_brings_workers() -> None:
    rules = Scaling(least=1, most=9, start_seconds=1, look_seconds=5)
    alone, scaled = (
        played(Deployment(workers=1, slots=4, answers=ONE_SECOND, scaling=one), 20, 300) for one in (None, rules)
    )
    assert max(workers for _, workers, _, _ in scaled.history) >= 5
    assert (scaled.history[-1][3], scaled.wait(0.5)) < (1.0, alone.wait(0.5))


def test_the_rules_are_those_of_the_chart() -> None:
    values = yaml.safe_load((ROOT / "deploy/helm/prosa/values.yaml").read_text("utf-8"))
    chart = values["worker"]["autoscaling"]
    assert (scale.RULES.age_seconds, scale.RULES.calm_seconds) == (chart["queueSeconds"], chart["downAfterSeconds"])
    assert scale.RULES.look_seconds == values["keda"]["pollingSeconds"]
    templates = (ROOT / "deploy/helm/prosa/templates/worker.yaml").read_text("utf-8")
    assert f"mulf {scale.RULES.busy} " in templates
    behaviour = (ROOT / "deploy/helm/prosa/templates/_scaling.tpl").read_text("utf-8")
    assert f"value: 100, periodSeconds: {scale.RULES.up_seconds:.0f}" in behaviour
    assert f"value: 1, periodSeconds: {scale.RULES.down_seconds:.0f}" in behaviour
