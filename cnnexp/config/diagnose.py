"""Why Hydra refused to compose: each override looked at by itself, with the nearest name that exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from cnnexp.config.locate import as_path
from cnnexp.errors import ConfigError, Problem, did_you_mean, key_path, reason

HYDRAS = (HydraException, OmegaConfBaseException, ValueError, AttributeError)
"""What Hydra raises for mistakes in configs and overrides."""


def explain(loader: Any, config_name: str, texts: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Sort the overrides into those that compose and those that do not.

    Arguments:
        loader: Hydra's config loader.
        config_name: the primary config.
        texts: the overrides as they were written.

    Returns:
        the overrides to go on with, and a located problem for each of the others.

    Raises:
        ConfigError: the config files themselves cannot be composed.
    """
    parsed, problems = _parse(texts)
    chosen: list[Override] = []
    for override in parsed:
        if found := _bad_choice(loader, override) or _bad_form(override):
            problems.append(found)
        elif _is_group(loader, override):
            chosen.append(override)
    asked = chosen
    base, chosen = _compose(loader, config_name, asked, problems)
    bad = {p.where for p in problems}
    good: list[str] = []
    for override in parsed:
        text = str(override.input_line)
        if _where(override) in bad or override in asked:
            good += [text] if override in chosen else []
            continue
        text, found = _value(base, override)
        if found is None:
            found = _refused(loader, config_name, [str(o.input_line) for o in chosen], text, override)
        if found:
            problems.append(found)
        else:
            good.append(text)
    return good, problems


def _parse(texts: Sequence[str]) -> tuple[list[Override], list[Problem]]:
    parser, parsed, problems = OverridesParser.create(), [], []
    for text in texts:
        try:
            parsed.append(parser.parse_override(text))
        except HydraException as error:
            if "=" not in text and not text.startswith("~"):
                message, hint = "an override is written key=value", None
            else:
                message, hint = (
                    f"cannot be read: {reason(error)}",
                    f"quote it for the shell and for Hydra: '{text.partition('=')[0]}=\"{text.partition('=')[2]}\"'",
                )
            problems.append(Problem("bad-override", (), message, hint, f"override '{text}'"))
    return parsed, problems


def _where(override: Override) -> str:
    return f"override '{override.input_line}'"


def _is_group(loader: Any, override: Override) -> bool:
    return bool(loader.get_group_options(override.key_or_group))


def _groups(loader: Any) -> list[str]:
    return [g for g in loader.list_groups("") if g != "hydra"]


def _bad_choice(loader: Any, override: Override) -> Problem | None:
    """The problem of an override that chooses what does not exist, or names no group and no key."""
    options = loader.get_group_options(override.key_or_group)
    if not options or override.is_delete() or override.is_sweep_override():
        return None
    value = override.value()
    names = value if isinstance(value, list) else [value]
    for name in names:
        if name is None or name in options:
            continue
        if not isinstance(name, str):
            text = f"'{override.key_or_group}' is chosen by name: {', '.join(options)}"
            return Problem("unknown-choice", (), text, where=_where(override))
        if ".." in name.split("/") or name.startswith("/"):
            text = f"'{name}' lies outside the config folders"
            return Problem(
                "outside-conf", (), text, "copy the file into conf/ and name it from there", _where(override)
            )
        if any(name == f"{folder}/{option}" for folder, option in _nested(loader, override.key_or_group, name)):
            continue
        text = f"there is no {override.key_or_group} '{name}'{did_you_mean(name, options)}"
        return Problem("unknown-choice", (), text, f"choose one of {', '.join(options)}", _where(override))
    return None


def _nested(loader: Any, group: str, name: str) -> list[tuple[str, str]]:
    folder, _, _ = name.rpartition("/")
    return [(folder, option) for option in loader.get_group_options(f"{group}/{folder}")] if folder else []


def _bad_form(override: Override) -> Problem | None:
    text = str(override.input_line)
    if override.is_delete() and any(isinstance(p, int) for p in as_path(override.key_or_group)):
        message = "an entry of a list cannot be deleted from the command line"
        return Problem(
            "bad-override", (), message, f"set it to null to leave it out: {text.lstrip('~')}=null", _where(override)
        )
    if override.is_sweep_override():
        return Problem(
            "sweep-without-multirun",
            (),
            "several values need --multirun",
            "or quote the value to mean one text",
            _where(override),
        )
    return None


def _compose(
    loader: Any, config_name: str, chosen: list[Override], problems: list[Problem]
) -> tuple[DictConfig, list[Override]]:
    """The config of the chosen files, and the choices that could be composed; the others become problems.

    Raises:
        ConfigError: the files cannot be composed even without the choices.
    """
    kept: list[Override] = []
    config = _load(loader, config_name, kept, problems)
    for override in chosen:
        try:
            config = _load(loader, config_name, [*kept, override], [])
        except ConfigError as error:
            problems += [p if p.where else replace(p, where=_where(override)) for p in error.problems]
        else:
            kept.append(override)
    return config, kept


def _load(loader: Any, config_name: str, chosen: list[Override], problems: list[Problem]) -> DictConfig:
    texts = [str(o.input_line) for o in chosen]
    try:
        config: DictConfig = loader.load_configuration(config_name, texts, run_mode=RunMode.RUN)
    except ConfigError as own:
        raise ConfigError([*problems, *own.problems]) from None
    except HYDRAS as error:
        raise ConfigError([*problems, Problem("bad-config", (), reason(error.__cause__ or error))]) from None
    return config


def _value(base: DictConfig, override: Override) -> tuple[str, Problem | None]:
    """The override as Hydra should get it, and the problem of a key that does not exist."""
    text, path = str(override.input_line), as_path(override.key_or_group)
    node: Any = base
    for depth, part in enumerate(path):
        below = _child(node, part)
        if below is not _ABSENT:
            node = below
            continue
        last = depth == len(path) - 1
        open_to_more = override.is_add() or (isinstance(node, DictConfig) and "type" in node)
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
            return text, Problem("unknown-key", path, message, where=_where(override))
        message = f"there is no key '{part}'{place}{did_you_mean(str(part), known)}"
        hint = f"the keys there are {', '.join(known)}" if known and "did you mean" not in message else None
        return text, Problem("unknown-key", path, message, hint, _where(override))
    return text, None


_ABSENT: Any = object()


def _child(node: Any, part: str | int) -> Any:
    try:
        if isinstance(node, DictConfig):
            return node._get_node(part) if part in node else _ABSENT
        if isinstance(node, ListConfig):
            return node._get_node(part) if isinstance(part, int) and part < len(node) else _ABSENT
    except OmegaConfBaseException:
        return _ABSENT
    return _ABSENT


def _refused(loader: Any, config_name: str, chosen: list[str], text: str, override: Override) -> Problem | None:
    """The problem of an override that Hydra refuses although its key exists."""
    try:
        loader.load_configuration(config_name, [*chosen, text], run_mode=RunMode.RUN)
    except HYDRAS as error:
        return Problem("bad-override", (), reason(error.__cause__ or error), where=_where(override))
    return None
