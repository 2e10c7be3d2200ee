"""What a command line and a study sweep, in Hydra's own words."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode

from cnnexp.config.compose import Composer
from cnnexp.config.loading import HYDRAS
from cnnexp.config.locate import as_path
from cnnexp.config.overrides import parse
from cnnexp.errors import ConfigError, Path, Problem, reason

_BASIC = (
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
)
_MOST = 10_000
"""Values of one key."""
_PARAMS = "hydra.sweeper.params"
_OTHERWISE = {
    "hydra.sweep": "outputs=DIR and sweep.name=NAME say where a sweep is recorded",
    "hydra.launcher": "sweep.slots, sweep.threads and their neighbours say how jobs are run",
    "hydra.sweeper": "sweep.grid, or several values on the command line, say what is swept",
}


@dataclass(frozen=True)
class Factor:
    """A key, and the overrides of which every point takes one.

    Arguments:
        key: the key or group, without `+` and the like.
        texts: the overrides, such as `model.stride=1` and `model.stride=2`.
        values: what each of them sets, as plain data.
        path: the key path in the config where it was written; empty for one of the command line.
        written: the override that it was written as, on the command line.
        replaced: the several values of this key that it took the place of, as messages say them.
    """

    key: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]
    path: Path = ()
    written: str = ""
    replaced: str = ""

    @property
    def where(self) -> str | None:
        """The place of a factor of the command line; None for one that has a key path."""
        return None if self.path else f"override '{self.written}'"

    @property
    def swept(self) -> bool:
        """Whether it differs from point to point."""
        return len(self.texts) > 1


def fixed(overrides: Sequence[str]) -> list[str]:
    """The overrides that give one value, which all points share; those that cannot be read are among them."""
    swept = {str(o.input_line) for o in parse(overrides)[0] if o.is_sweep_override()}
    return [text for text in overrides if text not in swept]


def factors(composer: Composer, overrides: Sequence[str], grid: Mapping[str, Any]) -> list[Factor]:
    """The factors of a sweep in order: those of a study, then those of the command line, which wins.

    Arguments:
        composer: knows the config files, which `glob` asks for.
        overrides: the command line's.
        grid: keys and their values: a list, or a text in Hydra's words.

    Raises:
        ConfigError: one of them cannot be read; holds every problem.
    """
    reader = _Reader(composer)
    problems = reader.problems
    found: dict[str, Factor] = {}
    for key, value in grid.items():
        if isinstance(value, Mapping):
            problems.append(_nested(key, value))
            continue
        values = value if isinstance(value, list) else [value]
        texts = [f"{key}={value}"] if isinstance(value, str) else [f"{key}={_text(v)}" for v in values]
        if not texts:
            problems.append(Problem("bad-value", ("sweep", "grid", key), f"sweep.grid: {key} has no value"))
            continue
        factor = reader.read(texts, ("sweep", "grid", key))
        found |= {factor.key: factor} if factor else {}
    for text in overrides:
        if factor := reader.read([text], ()):
            found[factor.key] = replace(factor, replaced=_replaced(found.get(factor.key)))
    if problems:
        raise ConfigError(problems)
    return list(found.values())


def _nested(key: str, value: Mapping[Any, Any]) -> Problem:
    """The problem of a mapping in a grid, where one writes whole keys."""
    path: Path = ("sweep", "grid", key)
    inner: Any = value
    while isinstance(inner, Mapping) and inner:
        part, inner = next(iter(inner.items()))
        path = (*path, part)
    text = f"sweep.grid: {key} holds a mapping, and wants the values of one key"
    return Problem(
        "bad-value", ("sweep", "grid", key), text, f"write whole keys: {'.'.join(map(str, path[2:]))}: [1, 2]"
    )


def _replaced(earlier: Factor | None) -> str:
    """How messages call the values that a later override takes the place of; empty where they were not several."""
    if earlier is None or not earlier.swept:
        return earlier.replaced if earlier else ""
    return f"what sweep.grid gives {earlier.key}" if earlier.path else earlier.written


class _Reader:
    """Reads overrides with Hydra's parser, and gathers what is wrong with them."""

    def __init__(self, composer: Composer) -> None:
        self._options = composer.loader.get_group_options
        self._parser = OverridesParser.create(config_loader=composer.loader)
        self.problems: list[Problem] = []

    def read(self, texts: Sequence[str], path: Path) -> Factor | None:
        """One factor of some override texts of the same key; None where one of them is wrong."""
        told = len(self.problems)
        parsed = [o for text in texts for o in self._parsed(text, path)]
        if len(self.problems) > told or not parsed:
            return None
        singles = [single for o in parsed for single in self._singles(o)]
        if not singles:
            self._tell("bad-override", texts[0], path, *self._empty(parsed[0]))
            return None
        if len(singles) > _MOST:
            self._tell("too-many-jobs", texts[0], path, f"has more than {_MOST:,} values")
            return None
        values = tuple(o.value() for o in singles)
        # What is deleted may be added anew: both hold, in their order.
        key = f"~{parsed[0].key_or_group}" if parsed[0].is_delete() else parsed[0].key_or_group
        return Factor(key, tuple(str(o.input_line) for o in singles), values, path, texts[0])

    def _parsed(self, text: str, path: Path) -> Iterator[Override]:
        problems = parse([text])[1]
        try:
            override = None if problems else self._parser.parse_overrides([text])[0]
        except HydraException as error:
            override = None
            self._tell("bad-override", text, path, f"cannot be read: {reason(error)}")
        for problem in problems:
            said = problem.message.removesuffix(" expecting <EOF>")
            self._tell(problem.code, text, path, said, None if path else problem.hint)
        if override is not None and override.is_interval_sweep():
            said = "interval(…) has no end of values; a grid wants single ones: 0.1,0.2 or range(1,5)"
            self._tell("bad-override", text, path, said)
        elif override is not None:
            yield override

    def _tell(self, code: str, text: str, path: Path, message: str, hint: str | None = None) -> None:
        """Add a problem: of an override, or of what a study says in its place."""
        told = f"sweep.grid: '{text}' {message}" if path else message
        self.problems.append(Problem(code, path, told, hint, None if path else f"override '{text}'"))

    def _empty(self, override: Override) -> tuple[str, str]:
        """Why an override sweeps no value at all, and the cure."""
        key = override.key_or_group
        if not isinstance(override.value(), Glob):
            return "has no value", f"write its values out: {key}=1,2"
        if not (known := self._options(key)):
            return (
                f"sweeps nothing: glob lists the files of a group, and {key} is none",
                f"write its values out: {key}=a,b",
            )
        return f"sweeps nothing: no file of the group {key} has such a name", f"there are {', '.join(known)}"

    def _singles(self, override: Override) -> list[Override]:
        if not override.is_sweep_override():
            return [override]
        key = override.get_key_element()
        found = list(itertools.islice(override.sweep_string_iterator(), _MOST + 1))
        texts = [text.lower() if text in ("True", "False") else text for text in found]  # as YAML writes them
        return (
            self._parser.parse_overrides([f"{key}={text}" for text in texts])
            if len(texts) <= _MOST
            else [override] * len(texts)
        )


def _text(value: Any) -> str:
    """A plain value as an override says it."""
    return str(Override._get_value_element_as_str(_quoted(value)))


def _quoted(value: Any) -> Any:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and not _OTHER.fullmatch(value) else QuotedString(value, Quote.single)
    if isinstance(value, Mapping):
        return {str(k): _quoted(v) for k, v in value.items()}
    return [_quoted(v) for v in value] if isinstance(value, list) else value


_PLAIN = re.compile(r"[A-Za-z_][\w.-]*")
_OTHER = re.compile(r"null|true|false|nan|inf", re.IGNORECASE)
"""Texts that Hydra would read as something else."""


def params(composer: Composer, overrides: Sequence[str]) -> dict[str, Any]:
    """What the config sweeps by Hydra's own `hydra.sweeper.params`.

    Raises:
        ConfigError: another launcher, sweeper or callback is named, whose class Hydra would construct, whatever it is;
            or a setting of Hydra's own sweeps, which has no effect here.
    """
    for text in overrides:
        key = ".".join(map(str, as_path(text.partition("=")[0].lstrip("+~").replace("/", "."))))
        own = next((k for k in _OTHERWISE if key == k or key.startswith(f"{k}.")), None)
        if own and key.startswith(_PARAMS):
            message, hint = f"{_PARAMS} is for a config file", "here, give the key its values: optimizer.lr=0.1,0.2"
            raise ConfigError([Problem("bad-sweep", (), message, hint, f"override '{text}'")])
        if own:
            message = f"{own} has no effect: sweeps are cnnexp's own"
            raise ConfigError([Problem("foreign-plugin", (), message, _OTHERWISE[own], f"override '{text}'")])
    chosen = [text for text in overrides if "." not in text.partition("=")[0] or "hydra." in text]
    try:
        hydra = composer.loader.load_configuration(composer.config_name, chosen, RunMode.MULTIRUN).hydra
    except (*HYDRAS, ConfigError):
        return {}  # what keeps the files from being composed is told of every point
    foreign = [
        (key, f"{key} is {name}, but sweeps are cnnexp's own", _OTHERWISE[key])
        for key in ("hydra.launcher", "hydra.sweeper")
        if (name := hydra[key.partition(".")[2]].get("_target_")) not in _BASIC
    ]
    if hydra.get("callbacks"):
        foreign.append(
            ("hydra.callbacks", f"hydra.callbacks names {', '.join(map(str, hydra.callbacks))}", "leave it out")
        )
    if foreign:
        raise ConfigError([Problem("foreign-plugin", as_path(key), text, hint) for key, text, hint in foreign])
    return {str(k): v for k, v in (hydra.sweeper.get("params") or {}).items()}
