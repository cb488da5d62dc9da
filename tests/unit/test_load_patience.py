"""How long people wait between two connections: as the page does."""

from prosa.load.patience import Patience


def test_waits_grow_and_stay_below_their_cap() -> None:
    patience = Patience()
    waits = [patience.seconds("OSError", lived=None, chance=1.0) for _ in range(7)]
    assert waits == [0.5, 1, 2, 4, 8, 15, 15]


def test_an_overload_waits_longer_and_counts_apart() -> None:
    patience = Patience()
    assert [patience.seconds(1006, lived=0.1, chance=1.0) for _ in range(4)] == [0.5, 1, 2, 4]
    assert [patience.seconds(why, lived=None, chance=1.0) for why in (1013, 503, 1013, 1013, 1013)] == [
        5,
        10,
        20,
        40,
        60,
    ]
    assert patience.seconds("silent", lived=0.1, chance=1.0) == 8


def test_who_was_connected_for_a_while_begins_anew() -> None:
    patience = Patience()
    for _ in range(3):
        patience.seconds(1013, lived=None, chance=1.0)
        patience.seconds(1006, lived=None, chance=1.0)
    assert patience.seconds(1006, lived=10.1, chance=1.0) == 0.5
    assert patience.seconds(1013, lived=None, chance=1.0) == 5


def test_a_gateway_that_goes_away_is_left_within_a_second() -> None:
    patience = Patience()
    patience.seconds(1006, lived=None, chance=1.0)
    assert patience.seconds(1012, lived=3.0, chance=0.4) == 0.4
    assert patience.seconds(1012, lived=None, chance=0.0) == 0.5
