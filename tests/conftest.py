"""For every tier: which tests are told apart by what they cost."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks the model that ships is marked so: it takes seconds, and `make check` leaves it to `make test`."""
    for item in items:
        if item.path.name == "test_engine_local.py" or "[local" in item.name:
            item.add_marker("real_model")
