"""The lanes of `make test` leave no test out, and run none twice."""

from collections import Counter
from pathlib import Path

from tools.lanes import ROOT, TIERS, lanes


def test_every_file_of_tests_is_in_one_lane() -> None:
    asked = [word for run in lanes().values() for word in run if word.startswith("tests/")]
    assert {tier for tier in asked if not tier.endswith(".py")} == set(TIERS)
    system = Counter(word for word in asked if word.endswith(".py"))
    assert set(system.values()) == {1}
    there = {str(path.relative_to(ROOT)) for path in Path(ROOT / "tests").rglob("test_*.py")}
    reached = {name for name in there if name in system or name.startswith(tuple(f"{tier}/" for tier in TIERS))}
    assert there == reached
