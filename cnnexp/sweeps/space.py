"""The space of a sweep: factors, zipped or crossed, without the excluded points, seeds as a factor of their own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cnnexp import settings as keys
from cnnexp.config import Composer, Config
from cnnexp.config.locate import as_path
from cnnexp.config.overrides import parse, where
from cnnexp.config.sweeping import Factor, factors, fixed, params
from cnnexp.errors import ConfigError, Problem, did_you_mean
from cnnexp.sweeps.settings import Settings, read

_MOST = 1_000_000


@dataclass(frozen=True)
class Coordinates:
    """One point of a space, before it is composed.

    Arguments:
        number: its place in the order of the sweep, from 0.
        overrides: what composes it.
        changed: the texts of the values that differ from point to point, by key.
    """

    number: int
    overrides: tuple[str, ...]
    changed: Mapping[str, str]

    @property
    def name(self) -> str:
        """The values that differ, as messages say them: `model.stride=2 seed=1`."""
        return " ".join(f"{key}={text}" for key, text in self.changed.items())


@dataclass(frozen=True)
class Space:
    """All points of a sweep.

    Arguments:
        settings: how it is made and run.
        points: in order; the last factor varies fastest.
        idle: the rules of `sweep.exclude` that left out no point, by index.
        places: where an override of a study was written, as a key path.
    """

    settings: Settings
    points: tuple[Coordinates, ...]
    idle: tuple[int, ...]
    places: Mapping[str, tuple[str | int, ...]]


def space(composer: Composer, overrides: Sequence[str]) -> Space:
    """The space that a command line and its study span.

    Raises:
        ConfigError: nothing is swept, too much is, or something about it is wrong; holds every problem.
    """
    hydras = params(composer, fixed(overrides))
    frame, settings = _frame(composer, overrides)
    grid = {**hydras, **settings.grid}
    try:
        found = factors(composer, overrides, grid)
    except ConfigError as error:
        raise ConfigError(frame.locator.locate(error.problems)) from None
    seed = frame.values.get("seed")
    if isinstance(settings.seeds, int) and settings.seeds > settings.max_jobs:
        raise ConfigError(frame.locator.locate([_too_many(settings.seeds, settings)]))
    if settings.seeds is not None:
        found = [f for f in found if f.key != "seed" or f.swept]
        found.append(_seeds(settings.seeds, seed if isinstance(seed, int) else 0))
    problems = [*_misused(found), *_zip_problems(settings, found), *_repeated(settings, found)]
    if problems:
        raise ConfigError(frame.locator.locate(problems))
    axes = _axes(settings, found)
    if (size := math.prod(len(axis) for axis in axes)) > max(_MOST, settings.max_jobs):
        raise ConfigError(frame.locator.locate([_too_many(size, settings)]))
    exclusion = _Exclusion(composer, settings.exclude, found, frame)
    points = _points(axes, exclusion)
    if wrong := list(exclusion.problems()):
        raise ConfigError(frame.locator.locate(wrong))
    if len(points) > settings.max_jobs:
        raise ConfigError(frame.locator.locate([_too_many(len(points), settings)]))
    if not points:
        text = "sweep.exclude leaves out every point"
        raise ConfigError(frame.locator.locate([Problem("nothing-swept", ("sweep", "exclude"), text)]))
    idle = tuple(i for i in range(len(settings.exclude)) if i not in exclusion.used)
    return Space(settings, points, idle, {text: f.path for f in found if f.path for text in f.texts})


def _frame(composer: Composer, overrides: Sequence[str]) -> tuple[Config, Settings]:
    """The config that all points share, and its sweep section.

    Raises:
        ConfigError: nothing can be composed, or the section is wrong.
    """
    frame = composer.compose(fixed(overrides))
    section = frame.values.get("sweep") or {}
    about = [p for p in frame.problems if p.path[:1] == ("sweep",) or "sweep" in (p.where or "")]
    problems = [*(_told(problem, overrides) for problem in about), *frame.locator.locate(keys.check_sweep(section))]
    settings, wrong = read({}) if problems else read(section)
    if problems or wrong:
        raise ConfigError([*problems, *frame.locator.locate(wrong)])
    return frame, settings


def _told(problem: Problem, overrides: Sequence[str]) -> Problem:
    """What a key of the section wants, where OmegaConf only says which kinds it cannot merge."""
    if problem.message.startswith("Cannot merge"):
        for override in parse(overrides)[0]:
            group, *inner = as_path(override.key_or_group)
            if where(override) == problem.where and group == "sweep" and len(inner) == 1:
                found = keys.check_sweep({inner[0]: override.value()})
                return replace(found[0], where=problem.where) if found else problem
    return problem


def _seeds(seeds: int | tuple[int, ...], first: int) -> Factor:
    chosen = tuple(range(first, first + seeds)) if isinstance(seeds, int) else seeds
    return Factor("seed", tuple(f"seed={s}" for s in chosen), chosen, ("sweep", "seeds"))


def _misused(found: Sequence[Factor]) -> Iterator[Problem]:
    """What cannot be swept, and the sweep in which nothing is."""
    for factor in found:
        if factor.swept and (factor.key == "sweep" or factor.key.startswith("sweep.")):
            text = f"{factor.key} says how the sweep is made; it cannot be swept itself"
            yield Problem("bad-sweep", factor.path, text, where=factor.where)
        if factor.swept and factor.key.partition(".")[0] == "hydra":
            text = f"{factor.key} says how the command works and changes no run; it cannot be swept"
            yield Problem("bad-sweep", factor.path, text, where=factor.where)
        if factor.swept and factor.key == "outputs":
            text = "a sweep is recorded in one folder: outputs cannot be swept"
            yield Problem("bad-sweep", factor.path, text, where=factor.where)
    seeds = [f for f in found if f.key == "seed"]
    if any(not f.texts for f in seeds):
        yield Problem("bad-value", ("sweep", "seeds"), "sweep.seeds must be at least 1, or null", None)
    elif len(seeds) > 1:
        yield Problem("bad-sweep", ("sweep", "seeds"), "the seeds are named twice: by seed=… and by sweep.seeds")
    if any(f.swept or f.path == ("sweep", "seeds") for f in found):
        return
    replaced = [f for f in found if f.replaced]
    for factor in replaced:
        text = f"nothing is swept: this single value took the place of {factor.replaced}"
        yield Problem("nothing-swept", (), text, f"leave it out, or give {factor.key} several values", factor.where)
    if not replaced:
        text = "nothing is swept: --multirun wants several values for a key"
        yield Problem("nothing-swept", (), text, "for example --multirun model.activation=relu,sigmoid")


def _zip_problems(settings: Settings, found: Sequence[Factor]) -> Iterator[Problem]:
    by_key = {f.key: f for f in found}
    seen: set[str] = set()
    for group in settings.zip:
        path = ("sweep", "zip")
        for key in group:
            if key not in by_key:
                swept = [f.key for f in found if f.swept]
                yield Problem("bad-zip", path, f"sweep.zip names {key}, which is not swept{did_you_mean(key, swept)}")
            elif key in seen:
                yield Problem("bad-zip", path, f"sweep.zip names {key} twice")
            seen.add(key)
        sizes = {key: len(by_key[key].texts) for key in group if key in by_key}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{key} {count}" for key, count in sizes.items())
            text = f"sweep.zip takes values together, but their numbers differ: {told}"
            yield Problem("bad-zip", path, text, "give each of these keys as many values as the others")


def _repeated(settings: Settings, found: Sequence[Factor]) -> Iterator[Problem]:
    """Values that stand twice, which would run the same job twice."""
    zipped = {key for group in settings.zip for key in group}
    for factor in found:
        twice = [text for i, text in enumerate(factor.texts) if text in factor.texts[:i]]
        if twice and factor.key not in zipped and factor.path != ("sweep", "seeds"):
            value = twice[0].partition("=")[2]
            text = f"{factor.key} holds {value} twice"
            hint = "take one of them out; sweep.seeds repeats a point"
            yield Problem("repeated-value", factor.path, text, hint, factor.where)
    if isinstance(settings.seeds, tuple) and len(set(settings.seeds)) < len(settings.seeds):
        yield Problem("repeated-value", ("sweep", "seeds"), "sweep.seeds names a seed twice")
    for group in settings.zip:
        together = list(zip(*(factor.texts for factor in found if factor.key in group), strict=False))
        if again := [one for i, one in enumerate(together) if one in together[:i]]:
            text = f"sweep.zip puts the same values together twice: {' '.join(again[0])}"
            yield Problem("repeated-value", ("sweep", "zip"), text)


def _too_many(size: int, settings: Settings) -> Problem:
    text = f"the grid has {size:,} points, more than sweep.max_jobs ({settings.max_jobs:,})"
    return Problem("too-many-jobs", ("sweep", "max_jobs"), text, f"if they are all meant: sweep.max_jobs={size}")


@dataclass(frozen=True)
class _Choice:
    """What one step along an axis brings: overrides, values by key, and the texts of those that are swept."""

    texts: tuple[str, ...]
    values: Mapping[str, Any]
    changed: Mapping[str, str]


def _axes(settings: Settings, found: Sequence[Factor]) -> list[list[_Choice]]:
    """The factors, those that go together made into one, at the place of the first."""
    axes: list[list[_Choice]] = []
    done: set[str] = set()
    for factor in found:
        if factor.key in done:
            continue
        keys_ = next((group for group in settings.zip if factor.key in group), (factor.key,))
        together = [f for f in found if f.key in keys_]
        done |= set(keys_)
        axes.append(
            [
                _Choice(
                    tuple(f.texts[i] for f in together),
                    {f.key: f.values[i] for f in together},
                    {f.key: f.texts[i].partition("=")[2] for f in together if f.swept or f.path == ("sweep", "seeds")},
                )
                for i in range(len(factor.texts))
            ]
        )
    return axes


@dataclass(frozen=True)
class _Rule:
    """A rule of `sweep.exclude`.

    Arguments:
        number: its place in the list.
        swept: what it asks of the factors' own values.
        rest: what it asks of keys that a point has from elsewhere, which may be a group that is swept.
    """

    number: int
    swept: Mapping[str, Any]
    rest: Mapping[str, Any]


class _Exclusion:
    """Decides which points `sweep.exclude` leaves out.

    Arguments:
        composer: composes a point where a rule asks for more than the factors' own values.
        rules: the rules, in order.
        found: the factors.
        frame: the config that all points share.
    """

    def __init__(
        self, composer: Composer, rules: Sequence[Mapping[str, Any]], found: Sequence[Factor], frame: Config
    ) -> None:
        self._composer, self._known, self._frame = composer, {f.key for f in found}, frame
        self._groups = any(f.key in frame.choices for f in found if f.swept)
        self._seen: dict[tuple[int, str], bool] = {}
        self.rules = [
            _Rule(
                i,
                {key: wanted for key, wanted in rule.items() if key in self._known},
                {key: wanted for key, wanted in rule.items() if key not in self._known},
            )
            for i, rule in enumerate(rules)
        ]
        self.used: set[int] = set()

    def hits(self, values: Mapping[str, Any], texts: tuple[str, ...]) -> bool:
        """Whether some rule leaves out the point with these values, which these overrides compose."""
        near = [rule for rule in self.rules if all(_meets(values[k], w) for k, w in rule.swept.items())]
        config = self._composed(texts) if any(rule.rest for rule in near) else None
        hit = [rule.number for rule in near if not rule.rest or (config and self._holds(rule, config))]
        self.used.update(hit)
        return bool(hit)

    def problems(self) -> Iterator[Problem]:
        """The keys of rules that no point has; ask when all points were looked at."""
        for rule in self.rules:
            for key in rule.rest:
                known = self._seen.get((rule.number, key), self._groups or _value(self._frame, key)[0])
                if not known:
                    near = did_you_mean(key, self._known)
                    text = f"sweep.exclude[{rule.number}] names {key}, which is no key of the config{near}"
                    yield Problem("unknown-key", ("sweep", "exclude", rule.number), text)

    def _composed(self, texts: tuple[str, ...]) -> Config | None:
        try:
            config = self._composer.compose(texts)
        except ConfigError:
            return None  # what is wrong with a point is told when all are checked
        return None if config.problems else config

    def _holds(self, rule: _Rule, config: Config) -> bool:
        found = {key: _value(config, key) for key in rule.rest}
        for key, (there, _) in found.items():
            self._seen[rule.number, key] = there or self._seen.get((rule.number, key), False)
        return all(there and _meets(value, rule.rest[key]) for key, (there, value) in found.items())


def _value(config: Config, key: str) -> tuple[bool, Any]:
    if key in config.choices:
        return True, config.choices[key]
    node: Any = config.values
    for part in as_path(key):
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return False, None
    return True, node


def _meets(value: Any, wanted: Any) -> bool:
    return bool(value == wanted) or (isinstance(wanted, list) and not isinstance(value, list) and value in wanted)


def _points(axes: Sequence[Sequence[_Choice]], exclusion: _Exclusion) -> tuple[Coordinates, ...]:
    """The points that no rule leaves out."""
    points: list[Coordinates] = []
    for choices in itertools.product(*axes):
        values = {key: value for choice in choices for key, value in choice.values.items()}
        texts = tuple(text for choice in choices for text in choice.texts)
        if not exclusion.hits(values, texts):
            changed = {key: text for choice in choices for key, text in choice.changed.items()}
            points.append(Coordinates(len(points), texts, changed))
    return tuple(points)
