"""Which runs are traced where there are very many."""

from uuid_utils.compat import uuid7

from prosa.adapters.otlp_traces import Share

RUNS = [uuid7() for _ in range(2_000)]


def held(share: Share) -> set[int]:
    return {number for number, run in enumerate(RUNS) if share.holds(run)}


def test_every_run_is_traced_while_few_spans_come() -> None:
    share = Share(200)
    for _ in range(3):
        assert all(share.holds(run) for run in RUNS[:200])
        assert share.next() == 1.0


def test_where_many_come_a_share_is_kept_that_fits() -> None:
    share = Share(200)
    held(share)
    assert share.next() == 0.1
    assert 130 < len(held(share)) < 270
    # As many are asked for as before: the share stays.
    assert share.next() == 0.1


def test_all_are_traced_again_when_it_is_over() -> None:
    share = Share(200)
    held(share)
    share.next()
    assert share.next() == 1.0
    assert len(held(share)) == len(RUNS)


def test_what_a_process_with_a_small_share_keeps_every_other_one_keeps() -> None:
    shares = [Share(most) for most in (20, 200, 1_000)]
    for share in shares:
        held(share)
        share.next()
    small, middle, large = (held(share) for share in shares)
    assert small < middle < large
