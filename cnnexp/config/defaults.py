"""The `defaults` list of a config file, checked with positions; asked only when Hydra could not compose the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import yaml
from omegaconf import DictConfig

from cnnexp.config import reading
from cnnexp.errors import ConfigError, Problem, did_you_mean


def check(loader: Any, name: str, base: DictConfig | None) -> list[Problem]:
    """What keeps a config file from being composed, as far as the file itself shows it.

    Arguments:
        loader: Hydra's config loader.
        name: the file's name below the config folders, such as `experiment/mine`.
        base: the config that the file was to be merged into, to compare kinds of values with.
    """
    folders = [FilePath(s.path) for s in loader.get_sources() if s.scheme() == "file"]
    try:
        file = next((f for folder in folders if (f := folder / f"{name}.yaml").is_file()), None)
        node = reading.read(file) if file is not None else None
    except (ConfigError, OSError, ValueError):
        return []  # the file cannot even be read, which Hydra's source has told
    if file is None or not isinstance(node, yaml.MappingNode):
        return []
    problems: list[Problem] = []
    for key, value in node.value:
        if key.value == "defaults":
            problems += _defaults(loader, name, file, key, value)
        elif isinstance(value, yaml.SequenceNode) and base is not None and _is_mapping(base, key.value):
            text = f"'{key.value}' must be a mapping, not [{', '.join(_shown(v) for v in value.value)}]"
            problems.append(_at(file, key, "not-a-mapping", text))
    return problems


def _is_mapping(base: DictConfig, key: str) -> bool:
    return key in base and isinstance(base._get_node(key), DictConfig)


def _defaults(loader: Any, name: str, file: FilePath, key: yaml.Node, value: yaml.Node) -> Iterator[Problem]:
    if not isinstance(value, yaml.SequenceNode):
        yield _at(file, key, "bad-defaults", f"'defaults' must be a list, not {_shown(value)}")
        return
    for entry in value.value:
        if found := _entry(loader, name, entry):
            yield _at(file, entry, "bad-defaults", found)


def _entry(loader: Any, name: str, entry: yaml.Node) -> str | None:
    """What is wrong with one entry of a defaults list, or None."""
    own, _, stem = name.rpartition("/")
    if isinstance(entry, yaml.ScalarNode):
        if not entry.tag.endswith(":str"):
            return f"a default must be a name or 'group: name', not {_shown(entry)}"
        return None if entry.value == "_self_" else _option(loader, own, entry.value, stem)
    if not isinstance(entry, yaml.MappingNode) or len(entry.value) != 1:
        return f"a default must be a name or 'group: name', not {_shown(entry)}"
    key, value = entry.value[0]
    words = key.value.split()
    group = words[-1].partition("@")[0]
    full = group.lstrip("/") if group.startswith("/") else f"{own}/{group}".strip("/")
    options = loader.get_group_options(full)
    if not options:
        return f"there is no group '{full}'{did_you_mean(full, loader.list_groups(''))}"
    if "override" not in words and own and group.startswith("/") and "/" not in full:
        return f"'{full}' is chosen already; write override /{full}: {_shown(value)}"
    if not isinstance(value, yaml.ScalarNode) or value.tag.endswith(":null"):
        return None
    return _option(loader, full, value.value, None)


def _option(loader: Any, group: str, option: str, own: str | None) -> str | None:
    if ".." in option.split("/") or option.startswith("/"):
        return f"'{option}' lies outside the config folders"
    if option == own:
        return "the file names itself"
    folder, _, last = f"{group}/{option}".strip("/").rpartition("/")
    options = loader.get_group_options(folder)
    if last.partition("@")[0] in options or "${" in option:
        return None
    return f"there is no {group or 'config'} '{option}'{did_you_mean(option, options)}"


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _at(file: FilePath, node: yaml.Node, code: str, text: str) -> Problem:
    mark = node.start_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Problem(code, (), text, where=f"{reading.shown(file)}:{line}:{column}")
