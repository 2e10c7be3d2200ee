"""All that can be known before anything runs: every problem of a config at once, and the plan of its network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnexp import settings
from cnnexp.config import Config
from cnnexp.errors import ConfigError, Path, Problem

if TYPE_CHECKING:
    from cnnexp.architecture.plan import Plan


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Arguments:
        config: the plain config with everything filled in.
        plan: the network up to the first layer that does not fit; None when it was not looked at.
        problems: every problem, located.
    """

    config: dict[str, Any]
    plan: Plan | None
    problems: tuple[Problem, ...]

    def sound(self) -> Plan:
        """The plan of a config without problems.

        Raises:
            ConfigError: there are problems.
        """
        if self.problems or self.plan is None:
            raise ConfigError(self.problems)
        return self.plan


def verify(config: Config) -> Verdict:
    """Check a composed config as far as it goes without data, Lightning or an accelerator.

    A mistake outside the network is told without importing torch, unless the command also touches the network.
    """
    values = settings.completed(config.values)
    known = {p.path for p in config.problems if p.path}
    found = [p for p in settings.check(values) if p.path not in known and not _beneath(p, known)]
    if (config.problems or found) and not config.touches("model", "data", "experiment", "task"):
        return Verdict(values, None, _all(config, found))
    plan, more = _network(values)
    return Verdict(values, plan, _all(config, [*found, *more]))


def _beneath(problem: Problem, known: set[Path]) -> bool:
    """Whether the data could not be looked at, so that what it would have told is not missing but unknown."""
    return problem.path[:1] == ("data",) and ("data", "path") in known


def _all(config: Config, found: list[Problem]) -> tuple[Problem, ...]:
    return (*config.problems, *config.locator.locate(found))


def network(values: Mapping[str, Any]) -> tuple[Plan, list[Problem]]:
    """The plan of a config's network, up to the first layer that does not fit, and all its problems.

    Arguments:
        values: a plain config; of it only `model`, `data.shape` and `trainer.precision` are read.
    """
    from cnnexp.architecture.plan import Plan, make_plan
    from cnnexp.architecture.stack import parse

    stack, problems = parse(values.get("model"))
    shape = _section(values, "data").get("shape")
    plan = Plan((), (), whole=False)
    if isinstance(shape, list) and shape and all(isinstance(s, int) and s > 0 for s in shape):
        plan, misfits = make_plan(stack, tuple(shape), *_dtype(values))
        problems += misfits
    return plan, [replace(p, path=("model", *p.path)) for p in problems]


def _network(values: Mapping[str, Any]) -> tuple[Plan, list[Problem]]:
    """The plan and the problems of everything that the network meets in training."""
    from cnnexp.training.check import check

    plan, problems = network(values)
    if all(isinstance(values.get(group), Mapping) for group in ("task", "data")) and "optimizer" in values:
        problems += check({"loss": None, "scheduler": None, **values}, plan if plan.whole else None)
    return plan, problems


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    return section if isinstance(section, Mapping) else {}


def _dtype(values: Mapping[str, Any]) -> tuple[str, bool]:
    """The dtype of the samples, and whether a true precision converts the network to it."""
    precision = str(_section(values, "trainer").get("precision"))
    true = {"64-true": "float64", "64": "float64", "16-true": "float16", "bf16-true": "bfloat16"}
    return true.get(precision, "float32"), precision in true
