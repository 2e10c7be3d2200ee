"""Which cases of a long table the quick suite runs: a sample of them. The whole suite runs all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def sampled(cases: Iterable[Any], every: int, ids: Sequence[str] | None = None) -> list[Any]:
    """The cases as parameters of a test, all but one in `every` marked as slow."""
    found = []
    for index, case in enumerate(cases):
        values = case.values if isinstance(case, type(pytest.param())) else case if isinstance(case, tuple) else (case,)
        marks = list(getattr(case, "marks", ())) + ([pytest.mark.slow] if index % every else [])
        own = getattr(case, "id", None) or (ids[index] if ids else None)
        found.append(pytest.param(*values, marks=marks, id=own))
    return found
