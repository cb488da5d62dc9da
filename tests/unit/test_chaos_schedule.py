"""The schedule of a siege: the same from the same seed, what was asked for, and never everybody at once."""

from collections import Counter
from collections.abc import Iterable

import pytest

from prosa.chaos.schedule import (
    CUT_SECONDS,
    RECOVERY_SECONDS,
    RESTARTS,
    SERVICES,
    TAIL_SECONDS,
    Deed,
    Fault,
    Manner,
    Wish,
    schedule,
)
from prosa.cluster.supervise import Role
from prosa.core.policy import Limits

WHOLE = Wish(
    seconds=300,
    cuts={Role.DATABASE: 2, Role.BROKER: 2},
    restarts={"broker": 1, "broker-wiped": 1, "database": 1, "database-immediate": 3},
    kill=(Role.WORKER, Role.GATEWAY),
    freeze=(Role.WORKER, Role.GATEWAY),
)
HASTY = Wish(seconds=60, every=2.0, cuts={Role.DATABASE: 2}, restarts={}, workers=2)
SEEDS = range(40)
LEASE = Limits().lease_seconds


def of(faults: Iterable[Fault], deed: Deed) -> list[Fault]:
    return [fault for fault in faults if fault.deed is deed]


def test_the_same_seed_gives_the_same_schedule_and_another_one_another() -> None:
    assert schedule(WHOLE, 7) == schedule(WHOLE, 7)
    assert len({schedule(WHOLE, seed) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_restarts_and_cuts_are_as_many_as_were_asked_for(seed: int) -> None:
    faults = schedule(WHOLE, seed)
    restarts = Counter((fault.role, fault.manner) for fault in of(faults, Deed.RESTART))
    assert restarts == {RESTARTS[name]: count for name, count in WHOLE.restarts.items()}
    cuts = of(faults, Deed.CUT)
    assert Counter(fault.service for fault in cuts) == WHOLE.cuts
    for service in SERVICES:
        manners = {fault.manner for fault in cuts if fault.service is service}
        assert manners == {Manner.BLACK_HOLE, Manner.RESET}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kill_or_a_freeze_comes_about_every_so_many_seconds(seed: int) -> None:
    faults = schedule(WHOLE, seed)
    ticks = [fault.at for fault in faults if fault.deed in (Deed.KILL, Deed.FREEZE)]
    assert 24 <= len(ticks) <= 28
    assert all(abs(at - 10 * round(at / 10)) <= 2.01 for at in ticks)
    done = Counter((fault.deed, fault.role) for fault in faults if fault.deed in (Deed.KILL, Deed.FREEZE))
    assert set(done) == {(deed, role) for deed in (Deed.KILL, Deed.FREEZE) for role in (Role.WORKER, Role.GATEWAY)}
    assert min(done.values()) >= 5


@pytest.mark.parametrize("seed", SEEDS)
def test_workers_are_frozen_past_their_lease_and_within_it(seed: int) -> None:
    frozen = [fault.seconds for fault in of(schedule(WHOLE, seed), Deed.FREEZE) if fault.role is Role.WORKER]
    assert min(frozen) < LEASE < max(frozen)
    assert all(1 <= seconds <= 8 for seconds in frozen)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wish", [WHOLE, HASTY], ids=["whole", "hasty"])
def test_one_process_of_each_role_is_always_left_alone(wish: Wish, seed: int) -> None:
    faults = [fault for fault in schedule(wish, seed) if fault.role not in SERVICES]
    for one in faults:
        ailing = {
            other.name for other in faults if other.role is one.role and other.at <= one.at < other.at + other.seconds
        }
        assert len(ailing | {one.name}) < len(wish.names(one.role))


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_hit_before_it_has_recovered(seed: int) -> None:
    faults = [fault for fault in schedule(WHOLE, seed) if fault.role not in SERVICES]
    for one in faults:
        for other in faults:
            if one is not other and one.name == other.name:
                assert abs(one.at - other.at) >= RECOVERY_SECONDS


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("seconds", [12.0, 30.0, 300.0])
def test_the_last_fault_leaves_time_to_recover(seconds: float, seed: int) -> None:
    wish = Wish(seconds=seconds, every=4, cuts={Role.BROKER: 1}, restarts={"broker": 1, "database": 1, "worker": 1})
    last = max(fault.at + fault.seconds for fault in schedule(wish, seed))
    assert last <= seconds - min(TAIL_SECONDS, seconds / 3) + 0.1


def test_only_what_is_named_is_done() -> None:
    wish = Wish(seconds=120, kill=(Role.WORKER,), freeze=())
    assert {(fault.deed, fault.role) for fault in schedule(wish, 1)} == {(Deed.KILL, Role.WORKER)}
    assert schedule(Wish(seconds=120, kill=(), freeze=()), 1) == ()


def test_a_single_process_may_be_hit_as_well() -> None:
    wish = Wish(seconds=120, workers=1, gateways=1)
    assert {fault.name for fault in schedule(wish, 1)} == {"worker-1", "gateway-1"}


def test_people_read_what_is_done_to_whom() -> None:
    fault = Fault(at=1, deed=Deed.CUT, role=Role.WORKER, name="worker-2", manner=Manner.RESET, service=Role.BROKER)
    assert fault.sentence() == "cut worker-2 from the broker for 0.0 s, reset"
    wiped = Fault(at=1, deed=Deed.RESTART, role=Role.BROKER, name="broker", manner=Manner.WIPED, seconds=1.5)
    assert wiped.sentence() == "restart the broker, wiped, 1.5 s away"
    kill = Fault(at=1, deed=Deed.KILL, role=Role.WORKER, name="worker-1")
    assert kill.sentence() == "kill worker-1"
    assert CUT_SECONDS[0] > LEASE
