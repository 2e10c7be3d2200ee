"""The quick suite (`-m "not slow"`) runs a third of every long table of cases; the whole suite runs all of them."""

from __future__ import annotations

import pytest

_LONG = 12
_EVERY = 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow all but every third case of a test with many, unless it says itself which of its cases are."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for table in cases.values():
        if len(table) > _LONG and not any(item.get_closest_marker("slow") for item in table):
            for index, item in enumerate(table):
                if index % _EVERY:
                    item.add_marker("slow")
