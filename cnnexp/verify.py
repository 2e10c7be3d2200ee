"""All that can be known before anything runs: every problem of a config at once, and the plan of its network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from cnnexp import settings
from cnnexp.config import Config
from cnnexp.config.locate import Locator
from cnnexp.errors import ConfigError, Path, Problem, key_path

if TYPE_CHECKING:
    from cnnexp.architecture.advice import Advice
    from cnnexp.architecture.plan import Plan, Use

_SHAPING = ("model", "data", "experiment")
_TORCH = (*_SHAPING, "task", "optimizer", "scheduler", "loss")
_GROUPS = (*settings.GROUPS, "views", "experiment")
_NOT_CHOSEN = (
    "unknown-choice",
    "outside-conf",
    "unreadable-file",
    "bad-yaml",
    "not-a-mapping",
    "bad-config",
    "bad-defaults",
)
_OVERRIDE = re.compile(r"^override '[+~]*([^=@']*)")
_ANCHORED = re.compile(r"^(\w+):[^\n#]*&", re.MULTILINE)
"""A variable that YAML itself can use elsewhere, through an alias."""
_Found = TypeVar("_Found")
_IN_FOLDER = re.compile(rf"(?:^|[/\\])({'|'.join(_GROUPS)})[/\\].*:\d+:\d+$")


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Arguments:
        config: the plain config with everything filled in.
        plan: the network up to the first layer that does not fit; None when it was not looked at.
        problems: every problem, located.
        locator: finds the places of advice.
    """

    config: dict[str, Any]
    plan: Plan | None
    problems: tuple[Problem, ...]
    locator: Locator | None = field(default=None, repr=False, compare=False)

    @cached_property
    def advice(self) -> tuple[Advice, ...]:
        """What is not wrong and yet hardly meant, located; told only where nothing is wrong."""
        if self.problems or self.plan is None or self.locator is None:
            return ()
        return tuple(self.locator.locate([replace(a, path=("model", *a.path)) for a in self.plan.advice]))

    def sound(self) -> Plan:
        """The plan of a config without problems.

        Raises:
            ConfigError: there are problems.
        """
        if self.problems or self.plan is None:
            raise ConfigError(self.problems)
        return self.plan

    def as_dict(self) -> dict[str, Any]:
        """The problems and the plan as plain data, for JSON."""
        problems, advice = [_as_dict(p) for p in self.problems], [_as_dict(a) for a in self.advice]
        return {"problems": problems, "advice": advice, "plan": self.plan.as_dict() if self.plan else None}


def _as_dict(told: Problem | Advice) -> dict[str, Any]:
    return {
        "code": told.code, "path": key_path(told.path), "message": told.message, "hint": told.hint, "where": told.where
    }  # fmt: skip


class Known:
    """What was found out about networks and what they meet, for configs that are checked at once, such as a sweep's."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Any] = {}

    def once(self, what: str, read: object, find: Callable[[], _Found]) -> _Found:
        """What is found from plain values; found a second time for other values only."""
        key = (what, repr(read))
        if key not in self._found:
            self._found[key] = find()
        found: _Found = self._found[key]
        return found


def verify(config: Config, known: Known | None = None) -> Verdict:
    """Check a composed config as far as it goes without data, Lightning or an accelerator.

    A mistake outside the network and its components is told without importing torch, unless the command also touches
    one of them. A network that is not the one asked for, or would be met by other data, is not planned.

    Arguments:
        config: the composed config.
        known: what the checks of other configs have found out, and this one adds to; the verdict is the same without.
    """
    values = settings.completed(config.values)
    lost = _unchosen(config)
    first = _first(config)
    told = _news(config, values, settings.check(values), lost)
    plan = None
    if not (first or told) or config.touches(*(key for key in _TORCH if key not in lost)):
        plan, found = _network(values, unused(config), lost.isdisjoint(_SHAPING), known or Known())
        told += _news(config, values, found, lost, told)
    return Verdict(settings.of_run(values), plan, (*first, *config.locator.locate(told)), config.locator)


def _unchosen(config: Config) -> set[str]:
    """The groups of which another file was composed than the one that was asked for."""
    lost = set()
    for problem in config.problems:
        place = problem.where or ""
        override, file = _OVERRIDE.match(place), _IN_FOLDER.search(place)
        group = override[1] if override else file[1] if file else "model"
        if problem.code in _NOT_CHOSEN or (override and group in _GROUPS):
            lost.add(group)
    return lost


def _first(config: Config) -> list[Problem]:
    """What composing told, without the references to a value that is told to be missing."""
    missing = {(p.where, key_path(p.path)) for p in config.problems if p.code == "missing-value"}
    return [
        p
        for p in config.problems
        if p.code != "bad-reference" or not any(p.where == at and key in p.message for at, key in missing)
    ]


def _news(
    config: Config, values: Mapping[str, Any], found: list[Problem], lost: set[str], told: Sequence[Problem] = ()
) -> list[Problem]:
    """The problems, located, without those of a value that is told of already, there or where it was referred to."""
    before = [p for p in (*config.problems, *told) if p.path]
    known = {p.path for p in before}
    seen = {(p.where, repr(_at(values, p.path))) for p in before if p.where}
    own = [p for p in found if p.path not in known and not lost.intersection(p.path[:1]) and not _beneath(p, known)]
    return [p for p in config.locator.locate(own) if (p.where, repr(_at(values, p.path))) not in seen]


def _beneath(problem: Problem, known: set[Path]) -> bool:
    """Whether the data could not be looked at, so that what it would have told is not missing but unknown."""
    return problem.path[:1] == ("data",) and ("data", "path") in known


def _at(values: Any, path: Path) -> Any:
    """The value at a key path; the path itself, which is no None, where there is none."""
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return path
    return values


def network(
    values: Mapping[str, Any], idle: Sequence[Path] = (), known: Known | None = None
) -> tuple[Plan, list[Problem]]:
    """The plan of a config's network, up to the first layer that does not fit, and all its problems.

    Arguments:
        values: a plain config; of it only `model`, `data.shape`, `loss`, `extensions` and `trainer.precision` are read.
        idle: the key paths of the model's variables that nothing refers to, as `unused` finds them.
        known: as `verify` takes it.
    """
    plan, problems = (known or Known()).once("network", _shaping(values), lambda: _planned(values))
    return replace(plan, use=_use(values, idle)) if plan.input_shape else plan, list(problems)


def _shaping(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values that `_planned` reads."""
    return values.get("extensions"), values.get("model"), _section(values, "data").get("shape"), _dtype(values)


def _planned(values: Mapping[str, Any]) -> tuple[Plan, list[Problem]]:
    from cnnexp.architecture import extensions
    from cnnexp.architecture.parsing import parse
    from cnnexp.architecture.plan import Plan
    from cnnexp.architecture.planning import make_plan

    modules, model, shape, dtype = _shaping(values)
    modules = modules or []
    foreign = extensions.load(modules) if isinstance(modules, list) else []  # what is no list is told elsewhere
    if foreign or not isinstance(modules, list):
        return Plan((), (), whole=False), foreign  # what their layers are called cannot be known
    stack, problems = parse(model)
    plan = Plan((), (), whole=False)
    if isinstance(shape, list) and shape and all(isinstance(s, int) and s > 0 for s in shape):
        plan, misfits = make_plan(stack, tuple(shape), *dtype)
        problems += misfits
    return plan, [replace(p, path=("model", *p.path)) for p in problems]


def _use(values: Mapping[str, Any], idle: Sequence[Path]) -> Use:
    """What advice asks about a network's config."""
    from cnnexp.architecture.plan import Use
    from cnnexp.training.catalogs import LOSSES

    entry = values.get("loss")
    name = entry.get("type") if isinstance(entry, Mapping) else entry
    trained = _section(values, "task").get("type") not in (None, "none")
    loss = LOSSES.find(name) if trained and isinstance(name, str) else None
    unwanted = _section(values, "model").get("no_advice")
    codes = tuple(map(str, unwanted)) if isinstance(unwanted, list) else ()
    return Use(loss.name if loss else None, tuple(idle), codes)


def unused(config: Config) -> tuple[Path, ...]:
    """The key paths of the model's variables that nothing refers to."""
    from cnnexp.architecture.advice import unused_variables

    raw = config.locator.raw
    if not (idle := unused_variables(raw.get("model"), raw)):
        return ()
    files = [source.file.read_text(encoding="utf-8") for source in config.locator.sources if source.file.is_file()]
    anchored = {name for text in files for name in _ANCHORED.findall(text)}
    return tuple(path for path in idle if path[0] not in anchored)


def _network(
    values: Mapping[str, Any], idle: Sequence[Path], planned: bool, known: Known
) -> tuple[Plan | None, list[Problem]]:
    """The plan and the problems of everything that the network meets in training; of its company alone unplanned."""
    plan, problems = network(values, idle, known) if planned else (None, [])
    if all(isinstance(values.get(group), Mapping) for group in ("task", "data")) and "optimizer" in values:
        whole = {"loss": None, "scheduler": None, **values}
        read = {key: whole[key] for key in ("task", "loss", "optimizer", "scheduler")}
        read["data"] = {key: whole["data"].get(key) for key in ("name", "num_classes")}
        shaping = _shaping(values) if planned else None
        problems += known.once("company", (read, shaping), lambda: _company(read, plan))
    return plan, problems


def _company(read: Mapping[str, Any], plan: Plan | None) -> list[Problem]:
    from cnnexp.training.check import check

    return check(read, plan if plan and plan.whole else None)


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    return section if isinstance(section, Mapping) else {}


def _dtype(values: Mapping[str, Any]) -> tuple[str, bool]:
    """The dtype of the samples, and whether a true precision converts the network to it."""
    precision = str(_section(values, "trainer").get("precision"))
    true = {"64-true": "float64", "64": "float64", "16-true": "float16", "bf16-true": "bfloat16"}
    return true.get(precision, "float32"), precision in true
