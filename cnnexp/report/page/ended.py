"""The runs that failed, those with the same reason together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cnnexp.report.analysis import Failure
from cnnexp.report.page import reading

_LOGS = 12
_LINES = 25


@dataclass(frozen=True)
class Ended:
    """Runs that ended for the same reason.

    Arguments:
        reason: why.
        kind: the kind of the failure in one word; often empty.
        titles: what the runs are called.
        log: the end of the log of the first.
    """

    reason: str
    kind: str
    titles: tuple[str, ...]
    log: str | None


def ended(failures: Sequence[Failure]) -> list[Ended]:
    """The failures by their reason, the most frequent first."""
    groups: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((failure.reason, failure.kind), []).append(failure)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return [
        Ended(
            reason=reason,
            kind=kind,
            titles=tuple(f"{f.title} ({f.run.path.name})" if f.title != f.run.path.name else f.title for f in of),
            log=reading.tail(of[0].log, _LINES) if place < _LOGS and of[0].log else None,
        )
        for place, ((reason, kind), of) in enumerate(ordered)
    ]
