"""The state machine of a run."""

import pytest

from prosa.core.policy import CRASHES_IN_A_ROW, CRASHES_IN_ALL, Crashes, Limits, crashed, eta, redispatch_after
from prosa.core.run import ENDED, RunState, Step, after


@pytest.mark.parametrize("state", sorted(ENDED))
@pytest.mark.parametrize("step", list(Step))
def test_nothing_happens_to_a_run_that_is_over(state: RunState, step: Step) -> None:
    assert after(state, step) is None


def test_only_a_claimed_run_can_be_completed() -> None:
    assert [state for state in RunState if after(state, Step.COMPLETE)] == [RunState.RUNNING]


def test_every_unfinished_state_can_be_stopped_and_failed() -> None:
    for state in set(RunState) - ENDED:
        assert after(state, Step.STOP) is RunState.STOPPED
        assert after(state, Step.FAIL) is RunState.FAILED


def test_a_released_run_goes_back_to_its_queue() -> None:
    assert after(RunState.RUNNING, Step.RELEASE) is RunState.QUEUED


def test_the_third_worker_lost_in_a_row_ends_the_run() -> None:
    crashes = Crashes()
    for _ in range(CRASHES_IN_A_ROW - 1):
        crashes, failure = crashed(crashes)
        assert failure is None
    _, failure = crashed(crashes)
    assert failure is not None
    assert failure.code == "worker_lost"


def test_the_tenth_worker_lost_in_all_ends_the_run_even_with_progress_between() -> None:
    _, failure = crashed(Crashes(row=0, total=CRASHES_IN_ALL - 1))
    assert failure is not None


def test_a_run_is_dispatched_again_after_twice_the_time_each_time_up_to_a_bound() -> None:
    limits = Limits()
    assert [redispatch_after(n, limits) for n in (1, 2, 3, 6, 50)] == [2, 4, 8, 64, 64]


def test_the_estimate_is_left_out_where_nothing_is_known() -> None:
    assert eta(3, 4, None) is None
    assert eta(3, 0, 2.0) is None
    assert eta(4, 2, 3.0) == 6.0
