"""For every tier: which tests are told apart by what they cost, tests many times in a row, and what was measured."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from statistics import median

import pytest

Measured = Callable[[str, float], None]

Figures = defaultdict[str, list[float]]

FIGURES = pytest.StashKey[Figures]()
ROUND = re.compile(r"-?round \d+(?=])")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--times", type=int, default=1, help="Run each test so often in a row, and print how often it passed."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures(list)


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    times = metafunc.config.getoption("times")
    if times > 1:
        metafunc.fixturenames.append("again")
        metafunc.parametrize("again", range(times), ids=[f"round {number}" for number in range(1, times + 1)])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks the model that ships is marked so: it takes seconds, and `make check` leaves it to `make test`."""
    for item in items:
        if item.path.name == "test_engine_local.py" or "[local" in item.name:
            item.add_marker("real_model")


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Note a figure under a name, to be printed behind the tests."""
    figures = request.config.stash[FIGURES]
    return lambda name, value: figures[name].append(value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash[FIGURES]
    if figures:
        terminalreporter.section("measured")
    for name, values in sorted(figures.items()):
        line = f"{name}: median {median(values):.2f}, worst {max(values):.2f}, of {len(values)}"
        terminalreporter.write_line(line)
    if config.getoption("times") > 1:
        _tell_rounds(terminalreporter)


def _tell_rounds(terminalreporter: pytest.TerminalReporter) -> None:
    """A table of tests and how often they passed."""
    rounds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            rounds[ROUND.sub("", report.nodeid).removesuffix("[]")][outcome] += 1
    terminalreporter.section("rounds passed")
    for name, counts in rounds.items():
        mark = "" if counts["passed"] == counts.total() else "   FAILED"
        terminalreporter.write_line(f"{counts['passed']:3} of {counts.total():<3} {name.rpartition('/')[2]}{mark}")
