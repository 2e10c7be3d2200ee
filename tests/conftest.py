"""The quick suite (`-m "not slow"`) runs a part of every long table of cases; the whole suite runs all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_WHOLLY_SLOW = re.compile(r"^pytestmark = (\[\s*)?pytest\.mark\.slow", re.MULTILINE)
_LONG = 6
_EVERY = 16


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a file that the quick suite leaves out as a whole."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    return True if _WHOLLY_SLOW.search(collection_path.read_text(encoding="utf-8")) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow all but each sixteenth case of a test with many, or all but each n-th where it says `one_in(n)`."""
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for table in tables.values():
        said = table[0].get_closest_marker("one_in")
        every = said.args[0] if said else _EVERY
        if len(table) > _LONG or said:
            for item in (x for i, x in enumerate(table) if i % every):
                item.add_marker("slow")
