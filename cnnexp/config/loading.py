"""Hydra's loading without its cost: files are merged once for each set of choices, and then values are set in copies.

Which files are merged follows from the choices alone. The other overrides set values in what was merged, one after
another; so that is kept, and Hydra sets the values of every further set of overrides in a copy of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, TypeVar

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, ValueNode, flag_override
from omegaconf.errors import OmegaConfBaseException

from cnnexp.config.locate import Source, as_path
from cnnexp.errors import ConfigError

HYDRAS = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    RecursionError,
    OSError,
)
"""What Hydra raises for mistakes in configs and overrides."""

_UNUSUAL = re.compile(r"\$\{[^}]*(\$\{|hydra)|^[+~]*hydra($|=|@|\.searchpath|.*\$\{)")
"""A reference to Hydra's own settings, or one that is put together and may become one; or an override that takes all of
these settings, or the folders to search, or refers to what another override may set."""

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Loaded:
    """What Hydra composed.

    Arguments:
        config: all of it but Hydra's own settings, which are there only where a value refers to them.
        sources: the files in the order in which they were merged.
        choices: the file that each group came from, such as `{"model": "tudui"}`.
        verbose: whether `hydra.verbose` asks for debug messages.
    """

    config: DictConfig
    sources: Sequence[Source]
    choices: dict[str, str]
    verbose: bool


@dataclass(frozen=True)
class _Merged:
    """A config before values are set, of which only copies are given away.

    Arguments:
        whole: the config with Hydra's own settings.
        bare: the config without them; None where a value refers to them, or where they name more folders to search.
        choices: as in `Loaded`.
        verbose: as in `Loaded`.
    """

    whole: DictConfig
    bare: DictConfig | None
    choices: dict[str, str]
    verbose: bool


class Loader:
    """Loads configs as Hydra does, and reads the config folders only once.

    Arguments:
        hydras: Hydra's own loader.
        config_name: the primary config.
    """

    def __init__(self, hydras: Any, config_name: str) -> None:
        self.hydras = hydras
        self.config_name = config_name
        self._parser = OverridesParser.create()
        self._kept: dict[tuple[str, ...], Any] = {}

    def load(self, texts: Sequence[str]) -> Loaded:
        """The config for these overrides, which is the caller's own.

        Raises:
            HYDRAS: what Hydra's own loader raises.
            ConfigError: a file is refused before Hydra reads it.
        """
        choosing, setting = self._split(texts)
        merged = self._merged(choosing) if choosing is not None else None
        if choosing is None or merged is None or (merged.bare is None and setting):
            choosing, setting = list(texts), []
            merged = self._merge(choosing)
        config = _copy(merged.whole if merged.bare is None else merged.bare)
        ConfigLoaderImpl._apply_overrides_to_config(setting, config)
        return Loaded(config, _Sources(self, choosing), dict(merged.choices), merged.verbose)

    def chosen(self, texts: Sequence[str]) -> DictConfig:
        """The config for overrides that only choose files, with Hydra's own settings. Raises as `load` does."""
        return _copy(self._merged(texts).whole)

    def sources(self, texts: Sequence[str]) -> list[Source]:
        """The files that these overrides choose, in the order in which they are merged."""
        return self._once("sources", texts, self._find)

    def options(self, group: str) -> list[str]:
        """The names of the files in a group; none where there is no such group."""
        return self._once("options", [group], lambda _: self.hydras.repository.get_group_options(group))

    def _merged(self, texts: Sequence[str]) -> _Merged:
        return self._once("merged", texts, self._merge)

    def _once(self, what: str, texts: Sequence[str], make: Callable[[Sequence[str]], _Made]) -> _Made:
        """What is made of these texts; a mistake in them is kept as well and raised again."""
        key = (what, *texts)
        if key not in self._kept:
            try:
                self._kept[key] = make(texts)
            except (*HYDRAS, ConfigError) as error:
                self._kept[key] = error
        made: _Made | Exception = self._kept[key]
        if isinstance(made, Exception):
            raise made.with_traceback(None)
        return made

    def _split(self, texts: Sequence[str]) -> tuple[list[str] | None, list[Override]]:
        """The overrides that the merging depends on, None where it may depend on all; and those that set values."""
        parsed = [
            self._once("parsed", [text], lambda one: self._parser.parse_overrides(list(one)))[0] for text in texts
        ]
        ConfigLoaderImpl.validate_sweep_overrides_legal(parsed, RunMode.RUN, from_shell=True)
        choosing: list[str] = []
        setting: list[Override] = []
        for override in parsed:
            text = str(override.input_line)
            if _UNUSUAL.search(text):
                return None, []
            if override.is_hydra_override() or self._chooses(override):
                choosing.append(text)
            else:
                setting.append(override)
        return choosing, setting

    def _chooses(self, override: Override) -> bool:
        """Whether an override chooses files, as Hydra tells it from one that sets the values of a group."""
        exists = self.hydras.repository.group_exists
        group = self._once("group", [override.key_or_group], lambda key: bool(exists(key[0])))
        return group and not isinstance(override.value(), dict)

    def _merge(self, texts: Sequence[str]) -> _Merged:
        config = self.hydras.load_configuration(self.config_name, list(texts), run_mode=RunMode.RUN)
        choices, verbose = of_hydra(config)
        whole = _copy(config)
        with flag_override(config, ["struct", "readonly"], False):
            own = OmegaConf.to_container(config.pop("hydra"), resolve=False)
        assert isinstance(own, dict)
        if (
            own["searchpath"]
            or "${" in str(own.get("verbose"))
            or any(_UNUSUAL.search(text) for text in _texts(config))
        ):
            return _Merged(whole, None, choices, verbose)
        return _Merged(whole, config, choices, verbose)

    def _find(self, texts: Sequence[str]) -> list[Source]:
        folders = [FilePath(source.path) for source in self.hydras.get_sources() if source.scheme() == "file"]
        found = []
        for entry in self.hydras.compute_defaults_list(self.config_name, list(texts), RunMode.RUN).defaults:
            candidates = [folder / f"{entry.config_path}.yaml" for folder in folders]
            file = next((c for c in candidates if c.is_file()), None)
            if file is not None:
                found.append(Source(file, as_path(entry.package or "")))
        return found


class _Sources(Sequence[Source]):
    """The files of a config in merge order; Hydra is asked for them only when a place is wanted."""

    def __init__(self, loader: Loader, texts: Sequence[str]) -> None:
        self._loader = loader
        self._texts = texts

    def __len__(self) -> int:
        return len(self._loader.sources(self._texts))

    def __getitem__(self, index: Any) -> Any:
        return self._loader.sources(self._texts)[index]


def _copy(config: DictConfig) -> DictConfig:
    """A whole config of its own. OmegaConf's deep copy takes ten times longer, and a sweep pays it at every point."""
    copied: DictConfig = _copied(config, None)
    return copied


def _copied(node: Any, parent: Any) -> Any:
    if not isinstance(node, (DictConfig, ListConfig, ValueNode)):
        return node  # what stands in the place of a missing or an interpolated container
    new = object.__new__(type(node))
    metadata = object.__new__(type(node._metadata))
    metadata.__dict__.update(node._metadata.__dict__)
    metadata.flags = None if metadata.flags is None else dict(metadata.flags)
    new.__dict__.update(node.__dict__, _metadata=metadata, _parent=parent, _flags_cache=None)
    if not isinstance(node, ValueNode):
        content = node.__dict__["_content"]
        inner: Any = content
        if isinstance(content, dict):
            inner = {key: _copied(value, new) for key, value in content.items()}
        elif isinstance(content, list):
            inner = [_copied(value, new) for value in content]
        new.__dict__["_content"] = inner
    return new


def of_hydra(config: DictConfig) -> tuple[dict[str, str], bool]:
    """The choices of a run, and whether `hydra.verbose` is set, of a config with Hydra's own settings."""
    chosen = OmegaConf.select(config, "hydra.runtime.choices") or {}
    of_a_run = {k: v for k, v in chosen.items() if "/" not in str(k) and k not in ("sweep", "show") and v is not None}
    choices = {str(k): str(v) for k, v in of_a_run.items()}
    return choices, bool(OmegaConf.select(config, "hydra.verbose"))


def _texts(node: DictConfig | ListConfig) -> Iterator[str]:
    """Every text in a config, before references are resolved."""
    plain: list[Any] = [OmegaConf.to_container(node, resolve=False)]
    while plain:
        value = plain.pop()
        if isinstance(value, str):
            yield value
        plain += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
