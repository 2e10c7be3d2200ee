"""Every point of a sweep composed and checked before the first one runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cnnexp import tables
from cnnexp.config import Composer, Config
from cnnexp.errors import ConfigError, Problem
from cnnexp.records.record import identity
from cnnexp.sweeps.space import Coordinates, Space
from cnnexp.verify import Known, Verdict, verify

_NAMED = 5


@dataclass(frozen=True)
class Point:
    """A point of a sweep, composed and checked.

    Arguments:
        at: its number, its overrides, and what of them differs from point to point.
        config: the composed config.
        verdict: what the check found.
    """

    at: Coordinates
    config: Config
    verdict: Verdict

    @property
    def identity(self) -> str:
        """The hash of what its run computes."""
        return identity(self.verdict.config)


def inspect(composer: Composer, space: Space) -> Iterator[Point]:
    """The points of a space, each composed and checked once."""
    known = Known()
    for at in space.points:
        config = composer.compose(at.overrides)
        yield Point(at, config, _placed(verify(config, known), space, config))


def _placed(verdict: Verdict, space: Space, config: Config) -> Verdict:
    """The verdict with the problems of a study's values located in the study."""
    places = {f"override '{text}'": path for text, path in space.places.items()}
    told = [
        replace(p, where=config.locator.where(places[p.where])) if p.where in places else p for p in verdict.problems
    ]
    return replace(verdict, problems=tuple(told)) if verdict.problems else verdict


def problems(points: Sequence[Point], of: int | None = None) -> list[Problem]:
    """What is wrong with some point: every problem once, with the points that have it.

    Arguments:
        points: those that are told of.
        of: how many points the sweep has; as many as these when None.
    """
    whole = len(points) if of is None else of
    having: dict[Problem, list[str]] = {}
    for point in points:
        for problem in point.verdict.problems:
            having.setdefault(problem, []).append(point.at.name)
    told = []
    for problem, names in having.items():
        more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
        users = "every point" if len(names) == whole > 1 else "; ".join([*names[:_NAMED], *more])
        told.append(replace(problem, message=f"{problem.message} [{users}]"))
    return told


def sound(points: Sequence[Point], skip_invalid: bool) -> list[Point]:
    """The points that can run.

    Arguments:
        points: all points of a sweep.
        skip_invalid: whether the sweep goes on without the others.

    Raises:
        ConfigError: some point cannot run and none may be left out, or none can run; holds every problem.
    """
    good = [point for point in points if not point.verdict.problems]
    if len(good) < len(points) and not (skip_invalid and good):
        raise ConfigError(problems(points))
    return good


def table(points: Sequence[Point]) -> str:
    """The grid as a table: the values that differ, the size of the network, what comes out, and the verdict."""
    columns = list(dict.fromkeys(key for point in points for key in point.at.changed))
    grid = tables.grid()
    grid.add_column("#", justify="right")
    for heading in (*headings(columns).values(), "output", "verdict"):
        grid.add_column(heading, overflow="fold")
    for heading in ("parameters", "multiply-adds"):
        grid.add_column(heading, justify="right")
    for point in points:
        plan, wrong = point.verdict.plan, point.verdict.problems
        whole = plan if plan is not None and plan.whole and not wrong else None
        grid.add_row(
            str(point.at.number),
            *(point.at.changed.get(key, "") for key in columns),
            "×".join(map(str, whole.output_shape)) if whole else "",
            _verdict(wrong),
            f"{whole.totals.parameters:,}" if whole else "",
            f"{whole.totals.multiply_adds:,}" if whole else "",
        )
    return tables.text(grid)


def _verdict(wrong: Sequence[Problem]) -> str:
    return "fits" if not wrong else wrong[0].code if len(wrong) == 1 else f"{wrong[0].code} and {len(wrong) - 1} more"


def headings(columns: Sequence[str]) -> Mapping[str, str]:
    """Each key's last part, where that names no other column; else the whole key."""
    short = [key.rpartition(".")[2] for key in columns]
    return {key: name if short.count(name) == 1 else key for key, name in zip(columns, short, strict=True)}
