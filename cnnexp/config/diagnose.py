"""Why Hydra refused to compose: each override looked at by itself, with the nearest name that exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from cnnexp.config import defaults
from cnnexp.config.loading import HYDRAS, Loader
from cnnexp.config.locate import as_path
from cnnexp.config.overrides import form, parse, where
from cnnexp.errors import ConfigError, Path, Problem, did_you_mean, key_path, reason


def explain(loader: Loader, texts: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Sort the overrides into those that compose and those that do not.

    Arguments:
        loader: loads the config.
        texts: the overrides as they were written.

    Returns:
        the overrides to go on with, and a located problem for each of the others.

    Raises:
        ConfigError: the config files themselves cannot be composed.
    """
    parsed, problems = parse(texts)
    chosen: list[Override] = []
    for override in parsed:
        if found := _bad_choice(loader, override) or form(override):
            problems.append(found)
        elif _is_group(loader, override) and not isinstance(override.value(), dict):
            chosen.append(override)
    asked = chosen
    base, chosen = _compose(loader, asked, problems)
    bad = {p.where for p in problems}
    good: list[str] = []
    values: dict[str, Override] = {}
    for override in parsed:
        text = str(override.input_line)
        if where(override) in bad or override in asked:
            good += [text] if override in chosen else []
            continue
        text, found = _value(base, override)
        if found:
            problems.append(found)
        else:
            good.append(text)
            values[text] = override
    if _composes(loader, good):
        return good, problems
    choices = [str(o.input_line) for o in chosen]
    for text, override in values.items():
        if found := _refused(loader, choices, text, override):
            problems.append(found)
            good.remove(text)
    return good, problems


def _composes(loader: Loader, texts: list[str]) -> bool:
    try:
        loader.load(texts)
    except HYDRAS:
        return False
    return True


def _is_group(loader: Loader, override: Override) -> bool:
    return bool(loader.options(override.key_or_group))


def _bad_choice(loader: Loader, override: Override) -> Problem | None:
    """The problem of an override that chooses what does not exist, or names no group and no key."""
    options = loader.options(override.key_or_group)
    if not options or override.is_delete() or override.is_sweep_override():
        return None
    value = override.value()
    names = value if isinstance(value, list) else [value]
    if isinstance(value, dict):
        return None  # values of the group, not a choice
    for name in names:
        if isinstance(name, str) and name in options:
            continue
        if not isinstance(name, str):
            text = f"'{override.key_or_group}' is chosen by name: {', '.join(options)}"
            return Problem("unknown-choice", (), text, where=where(override))
        if ".." in name.split("/") or name.startswith("/"):
            text = f"'{name}' lies outside the config folders"
            return Problem("outside-conf", (), text, "copy the file into conf/ and name it from there", where(override))
        if any(name == f"{folder}/{option}" for folder, option in _nested(loader, override.key_or_group, name)):
            continue
        text = f"there is no {override.key_or_group} '{name}'{did_you_mean(name, options)}"
        return Problem("unknown-choice", (), text, f"choose one of {', '.join(options)}", where(override))
    return None


def _nested(loader: Loader, group: str, name: str) -> list[tuple[str, str]]:
    folder, _, _ = name.rpartition("/")
    return [(folder, option) for option in loader.options(f"{group}/{folder}")] if folder else []


def _compose(loader: Loader, chosen: list[Override], problems: list[Problem]) -> tuple[DictConfig, list[Override]]:
    """The config of the chosen files, and the choices that could be composed; the others become problems.

    Raises:
        ConfigError: the files cannot be composed even without the choices.
    """
    kept: list[Override] = []
    try:
        config = _load(loader, kept, problems)
    except ConfigError as error:
        told = defaults.check(loader.hydras, loader.config_name, None)
        raise ConfigError([*problems, *told] if told else error.problems) from None
    for override in chosen:
        try:
            config = _load(loader, [*kept, override], [])
        except ConfigError as error:
            value = override.value()
            names = value if isinstance(value, list) else [value]
            told = [p for n in names for p in defaults.check(loader.hydras, f"{override.key_or_group}/{n}", config)]
            problems += told or [p if p.where else replace(p, where=where(override)) for p in error.problems]
        else:
            kept.append(override)
    return config, kept


def _load(loader: Loader, chosen: list[Override], problems: list[Problem]) -> DictConfig:
    texts = [str(o.input_line) for o in chosen]
    try:
        config = loader.chosen(texts)
    except ConfigError as own:
        raise ConfigError([*problems, *own.problems]) from None
    except HYDRAS as error:
        raise ConfigError([*problems, Problem("bad-config", (), reason(error.__cause__ or error))]) from None
    return config


def _value(base: DictConfig, override: Override) -> tuple[str, Problem | None]:
    """The override as Hydra should get it, and the problem of a key that does not exist."""
    text, path = str(override.input_line), as_path(override.key_or_group)
    node: Any = base
    if found := _unknown_inside(base, override, path):
        return text, found
    for depth, part in enumerate(path):
        below = _child(node, part)
        if below is not _ABSENT:
            node = below
            continue
        last = depth == len(path) - 1
        word = path[:depth] == ("model",) and part in _WORDS
        open_to_more = override.is_add() or word or (isinstance(node, DictConfig) and "type" in node)
        if isinstance(node, DictConfig) and last and depth and open_to_more and not override.is_delete():
            # A component's parameters are checked against its own signature, so any of them may be set.
            return text if override.is_add() else f"+{text}", None
        known = [str(k) for k in node] if isinstance(node, DictConfig) else []
        known = [k for k in known if k != "hydra"]
        place = f" in {key_path(path[:depth])}" if depth else ""
        if isinstance(node, ListConfig):
            message = (
                f"there is no entry {part} in {key_path(path[:depth])}, which has {len(node)} (0 to {len(node) - 1})"
            )
            return text, Problem("unknown-key", path, message, where=where(override))
        message = f"there is no key '{part}'{place}{did_you_mean(str(part), known)}"
        hint = f"the keys there are {', '.join(known)}" if known and "did you mean" not in message else None
        return text, Problem("unknown-key", path, message, hint, where(override))
    merges = isinstance(node, DictConfig) and _has(node, "type") and not override.is_delete()
    return f"++{text.lstrip('+')}" if merges and isinstance(override.value(), dict) else text, None


def _unknown_inside(base: DictConfig, override: Override, path: Path) -> Problem | None:
    """The problem of a mapping that is merged into a section and brings a key which the section has not."""
    node: Any = base
    for part in path:
        node = _child(node, part)
    if (
        override.is_add()
        or override.is_delete()
        or not isinstance(node, DictConfig)
        or _has(node, "type")
        or node._is_none()
    ):
        return None
    value = override.value()
    unknown = [str(k) for k in value if not _has(node, k)] if isinstance(value, dict) else []
    if not unknown or path[:1] == ("model",):
        return None
    message = f"there is no key '{unknown[0]}' in {key_path(path)}{did_you_mean(unknown[0], map(str, node))}"
    return Problem("unknown-key", path, message, where=where(override))


_ABSENT: Any = object()
_WORDS = ("blocks", "init", "freeze", "no_advice")
"""What a model mapping may hold beside its variables and layers, so that it may be set where it is not written yet."""


def _has(node: DictConfig, key: Any) -> bool:
    return key in node.keys()  # noqa: SIM118  (a key whose value is ??? is not "in" the node itself)


def _child(node: Any, part: str | int) -> Any:
    try:
        if isinstance(node, DictConfig):
            return node._get_node(part) if _has(node, part) else _ABSENT
        if isinstance(node, ListConfig):
            return node._get_node(part) if isinstance(part, int) and part < len(node) else _ABSENT
    except OmegaConfBaseException:
        return _ABSENT
    return _ABSENT


def _refused(loader: Loader, chosen: list[str], text: str, override: Override) -> Problem | None:
    """The problem of an override that Hydra refuses although its key exists."""
    try:
        loader.load([*chosen, text])
    except HYDRAS as error:
        return Problem("bad-override", (), reason(error.__cause__ or error), where=where(override))
    return None


def apply(config: DictConfig, texts: Sequence[str]) -> list[Problem]:
    """Apply overrides to a config that was read from one file; returns the problems of those that cannot be."""
    parsed, problems = parse(texts)
    for override in parsed:
        found = form(override)
        text = str(override.input_line)
        if found is None:
            text, found = _value(config, override)
        if found is None:
            try:
                ConfigLoaderImpl._apply_overrides_to_config(parse([text])[0], config)
            except HYDRAS as error:
                found = Problem("bad-override", (), reason(error.__cause__ or error), where=where(override))
        problems += [found] if found else []
    return problems
