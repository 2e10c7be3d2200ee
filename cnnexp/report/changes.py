"""What was changed from run to run: told by a sweep, else found by comparing choices and configs."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from typing import Any

import yaml

from cnnexp.records import Run
from cnnexp.records.record import _NOT_IDENTITY, _NOT_IDENTITY_TRAINER

Key = tuple[str, ...]

_MISSING = object()
_NO_CHANGE = {
    *((key,) for key in ("seed", *_NOT_IDENTITY)),
    *(("data", key) for key in ("root", "download")),
    *(("trainer", key) for key in _NOT_IDENTITY_TRAINER),
}
_ONE_VALUE = ("model", "blocks")  # a part of the architecture, as its layers are
_SHORT = 24
_LONG, _DEEPEST = 20_000, 500  # characters that are read as they are; brackets in brackets that end the C parser

# libyaml's parser is eight times as fast, and a long table reads hundreds of configs.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Known:
    """A run and its config, which is read when it is first asked for.

    Arguments:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def config(self) -> Mapping[str, Any] | None:
        """The resolved config; None where it is missing or broken."""
        try:
            text = (self.run.path / "config.yaml").read_text(encoding="utf-8")
            if len(text) > _LONG and _depth(text) > _DEEPEST:
                return None
            loaded = yaml.load(text, _Loader)  # noqa: S506  # both loaders are safe ones
            _canonical(loaded)  # neither holds itself nor has keys that cannot be compared
        except (OSError, TypeError, ValueError, RecursionError, yaml.YAMLError):
            return None
        return loaded if isinstance(loaded, Mapping) else None

    def mapping(self, field: str) -> Mapping[str, Any]:
        """A field of `run.json` that is a mapping; an empty one where it is not."""
        value = self.run.fields.get(field)
        return value if isinstance(value, Mapping) else {}


def _depth(text: str) -> int:
    """How many collections of a YAML text stand in one another at most."""
    depth = deepest = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        deepest = max(deepest, depth)
    return deepest


@dataclass(frozen=True)
class Point:
    """Where a run stands among others; runs of the same point differ in nothing but the seed.

    Arguments:
        changed: the value of each column, as text.
        apart: what else tells it from others; only where its config is missing.
    """

    changed: tuple[str, ...]
    apart: tuple[str, ...] = ()


Points = tuple[tuple[str, ...], list[Point]]


def is_sweep(runs: Sequence[Known]) -> bool:
    """Whether all runs belong to one sweep, which says itself what it changed."""
    told = all(isinstance(known.run.fields.get("changed"), Mapping) for known in runs)
    return told and len({known.run.path.parent for known in runs}) == 1


def points(runs: Sequence[Known]) -> Points:
    """What was changed.

    Arguments:
        runs: the runs, in the order in which their values are named.

    Returns:
        the names of the columns, and the point of every run.
    """
    return _swept(runs) if is_sweep(runs) else _compared(runs)


def _swept(runs: Sequence[Known]) -> Points:
    told = [known.mapping("changed") for known in runs]
    columns = tuple(dict.fromkeys(key for changed in told for key in changed if key != "seed"))
    return columns, [Point(tuple(str(changed.get(key, "")) for key in columns)) for changed in told]


def _compared(runs: Sequence[Known]) -> Points:
    choices = [_choices(known) for known in runs]
    groups = [
        group
        for group in dict.fromkeys(g for chosen in choices for g in chosen)
        if len({chosen.get(group) for chosen in choices if chosen}) > 1
    ]
    whole = [i for i, known in enumerate(runs) if known.config is not None]
    flat = {i: dict(_flat(runs[i].config or {}, ())) for i in whole}
    keys = _differing(flat, choices, groups)
    texts = {key: _texts(key, [flat[i].get(key, _MISSING) for i in whole]) for key in keys}
    columns = (*groups, *(".".join(key) for key in keys))
    found = []
    for i, known in enumerate(runs):
        own = [choices[i].get(group, "") for group in groups]
        if i in flat:
            found.append(Point((*own, *(texts[key][_canonical(flat[i].get(key, _MISSING))] for key in keys))))
        else:
            given = _overrides(known)
            apart = ("no config", *map(repr, sorted(choices[i].items())), *map(repr, sorted(given.items())))
            found.append(Point((*own, *(given.get(".".join(key), "") for key in keys)), apart))
    return columns, found


def _differing(
    flat: Mapping[int, Mapping[Key, Any]], choices: Sequence[Mapping[str, str]], groups: list[str]
) -> list[Key]:
    """The keys that differ between runs and that nothing else explains.

    A key is explained by another choice for its group. A list mostly follows from other values (its layers from
    `${model.activation}`), so it is explained by every choice and by the values of its own group and of the data.
    """
    keys = list(dict.fromkeys(key for values in flat.values() for key in values))
    cells = {key: [_canonical(flat[i].get(key, _MISSING)) for i in flat] for key in keys}
    nested = {key for key in keys if any(isinstance(values.get(key), (list, Mapping)) for values in flat.values())}

    def chosen(*names: str) -> list[Hashable]:
        return [tuple(choices[i].get(name, "") for name in names) for i in flat]

    plain = [
        key
        for key in keys
        if key not in nested and _varies(cells[key], chosen(*([key[0]] if key[0] in groups else [])))
    ]

    def explained(key: Key) -> list[Hashable]:
        near = [cells[other] for other in plain if other[0] in (key[0], "data")]
        return list(zip(chosen(*groups), *near, strict=True))

    return [key for key in keys if key in plain or (key in nested and _varies(cells[key], explained(key)))]


def _varies(values: Sequence[str], kinds: Sequence[Hashable]) -> bool:
    """Whether two runs of the same kind have different values."""
    first: dict[Hashable, str] = {}
    return any(first.setdefault(kind, value) != value for value, kind in zip(values, kinds, strict=True))


def _flat(values: Mapping[str, Any], path: Key) -> Iterator[tuple[Key, Any]]:
    for name, value in values.items():
        key = (*path, str(name))
        if key in _NO_CHANGE:
            continue
        if isinstance(value, Mapping) and value and key != _ONE_VALUE:
            yield from _flat(value, key)
        else:
            yield key, value


def _choices(known: Known) -> dict[str, str]:
    return {str(k): str(v) for k, v in known.mapping("choices").items() if (k,) not in _NO_CHANGE}


def _overrides(known: Known) -> dict[str, str]:
    """The values that the command line of a run gave."""
    told = known.run.fields.get("overrides")
    pairs = (str(text).lstrip("+~").partition("=") for text in (told if isinstance(told, list) else ()))
    return {key: value for key, _, value in pairs if tuple(key.split(".")) not in _NO_CHANGE}


def _canonical(value: Any) -> str:
    return "" if value is _MISSING else json.dumps(value, sort_keys=True, default=str)


def _texts(key: Key, values: Sequence[Any]) -> dict[str, str]:
    """How each value of a column is shown, by its canonical text; different values are never shown alike."""
    texts: dict[str, str] = {}
    for value in values:
        if (canonical := _canonical(value)) not in texts:
            text = _shown(key, value)
            taken = {*texts.values()}
            names = chain([text], (f"{text} #{n}" for n in count(2)))
            texts[canonical] = next(name for name in names if name not in taken)
    return texts


def _shown(key: Key, value: Any) -> str:
    if value is _MISSING:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON would say Infinity, which nobody has written
    text = json.dumps(value, ensure_ascii=False, default=str)
    if not isinstance(value, (list, Mapping)) or len(text) <= _SHORT:
        return text
    unit = key[-1] if key[-1] in ("layers", "blocks") else "values"
    return f"{len(value)} {unit}" if len(value) > 1 else f"1 {unit[:-1]}"
