"""What a stranger's config files must not do: read the environment, reach outside the folder, steer Hydra itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from pathlib import PureWindowsPath
from typing import Any

import yaml

from cnnexp.config import reading
from cnnexp.config.locate import Locator, Source
from cnnexp.errors import Path, Problem, key_path

_PATHS: Sequence[Path] = (
    ("outputs",),
    ("checkpoint",),
    ("data", "root"),
    ("data", "path"),
    ("trainer", "default_root_dir"),
)


def check(locator: Locator, values: Mapping[str, Any], trusted: FilePath) -> list[Problem]:
    """Every problem of files that are not trusted; what the command line sets is the user's own word.

    Arguments:
        locator: of the composed config.
        values: its plain values.
        trusted: the folder of the packaged config files.
    """
    found = [*_extensions(values), *_resolvers(locator.raw, ()), *_outside(values), *_hydra(locator.sources, trusted)]
    placed = locator.locate(found)
    return [p for p in placed if not (p.where or "").startswith("override")]


def _extensions(values: Mapping[str, Any]) -> Iterator[Problem]:
    if values.get("extensions"):
        text = "extensions imports Python modules, which --untrusted does not allow"
        yield Problem("untrusted", ("extensions",), text, "set it on the command line to say that you want it")


def _resolvers(value: Any, path: Path) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _resolvers(below, (*path, key if isinstance(key, int) else str(key)))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from _resolvers(below, (*path, i))
    elif isinstance(value, str) and "${" in value and ":" in value.partition("${")[2].partition("}")[0]:
        text = f"{key_path(path)}: {value} calls a resolver, which --untrusted does not allow"
        yield Problem("untrusted", path, text, "write the value itself")


def _outside(values: Mapping[str, Any]) -> Iterator[Problem]:
    model = values.get("model")
    rules = model.get("init") if isinstance(model, Mapping) else None
    loaded = [("model", "init", i, "from") for i in range(len(rules))] if isinstance(rules, list) else []
    for path in (*_PATHS, *loaded):
        value = _at(values, path)
        if not isinstance(value, str):
            continue
        absolute = FilePath(value).is_absolute() or PureWindowsPath(value).is_absolute() or value.startswith("~")
        if absolute or ".." in FilePath(value).parts:
            text = f"{key_path(path)} (='{value}') leads outside the folder, which --untrusted does not allow"
            yield Problem("untrusted", path, text, "set it on the command line to say that you want it")


def _at(values: Any, path: Path) -> Any:
    """The value at a key path, or None where there is none."""
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return None
    return values


def _hydra(sources: Sequence[Source], trusted: FilePath) -> Iterator[Problem]:
    for source in sources:
        if source.file.resolve().is_relative_to(trusted.resolve()):
            continue
        node = reading.read(source.file)
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        for key in keys:
            if key.value == "hydra" or source.package[:1] == ("hydra",):
                mark = key.start_mark
                place = f"{reading.shown(source.file)}:{mark.line + 1}:{mark.column + 1}"
                text = "the file sets Hydra itself, which --untrusted does not allow"
                yield Problem("untrusted", ("hydra",), text, where=place)
