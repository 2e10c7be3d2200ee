"""Compose a config with Hydra: every mistake a located Problem, every value plain data."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from cnnexp.config import reading
from cnnexp.config.diagnose import apply, explain
from cnnexp.config.loading import HYDRAS, Loaded, Loader, of_hydra
from cnnexp.config.locate import Locator, Source, as_path
from cnnexp.config.resolving import resolve
from cnnexp.data.look import look
from cnnexp.errors import ConfigError, Problem, reason

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    """A composed config.

    Arguments:
        values: plain dicts, lists and scalars, with every interpolation resolved.
        locator: finds the place of a key path.
        overrides: the command-line overrides as they were written.
        problems: what is wrong with the overrides; the values are those without the wrong ones.
        choices: the file that each group came from, such as `{"model": "tudui"}`.
        verbose: whether `hydra.verbose` asks for debug messages.
    """

    values: dict[str, Any]
    locator: Locator
    overrides: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    choices: dict[str, str] = field(default_factory=dict)
    verbose: bool = False

    def touches(self, *keys: str) -> bool:
        """Whether the command line chooses or sets one of these top-level keys or something inside it."""
        return any(as_path(key)[:1] and as_path(key)[0] in keys for key, _ in _keys(self.overrides))


def packaged() -> FilePath:
    """The folder of cnnexp's own config files: inside the installed package, or beside it in a checkout."""
    here = FilePath(__file__).resolve().parents[1]
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


class _CheckedSource(FileConfigSource):
    """Hydra's reader of config files, behind our look at the event stream."""

    def load_config(self, config_path: str) -> ConfigResult:
        name = self._normalize_file_name(config_path)
        if FilePath(name).is_absolute() or ".." in FilePath(name).parts:
            text = f"'{config_path}' lies outside the config folders"
            raise ConfigError([Problem("outside-conf", (), text, "copy the file into conf/ and name it from there")])
        file = FilePath(self.path) / name
        if file.is_file():
            node = reading.read(file)
            if node is not None and not isinstance(node, yaml.MappingNode):
                mark = node.start_mark
                place = f"{reading.shown(file)}:{mark.line + 1}:{mark.column + 1}"
                kind = "a list" if isinstance(node, yaml.SequenceNode) else f"'{node.value}'"
                raise ConfigError(
                    [Problem("not-a-mapping", (), f"a config file must be a mapping, not {kind}", where=place)]
                )
        return super().load_config(config_path)


class Composer:
    """Composes configs from the packaged `conf/`, the working directory's `conf/` (which goes first) and `config_dir`.

    Arguments:
        config_name: the primary config.
        config_dir: one more folder to search, after the others.
        first: a folder to search before all others.
    """

    def __init__(
        self, config_name: str = "config", config_dir: str | None = None, first: FilePath | None = None
    ) -> None:
        self.config_name = config_name
        Plugins.instance()  # registers Hydra's own sources, one of which ours stands in for
        SourcesRegistry.instance().types["file"] = _CheckedSource
        search_path = create_config_search_path(str(packaged()))
        own = FilePath.cwd() / "conf"
        for folder in (own, first):
            if folder is not None and folder.is_dir() and folder.resolve() != packaged().resolve():
                search_path.prepend("cnnexp", f"file://{folder.resolve()}", SearchPathQuery(provider="main"))
        if config_dir is not None:
            extra = FilePath(config_dir).resolve()
            if not extra.is_dir():
                raise ConfigError([Problem("no-folder", (), f"--config-dir: there is no folder '{config_dir}'")])
            search_path.prepend("command-line", f"file://{extra}", SearchPathQuery(provider="schema"))
        GlobalHydra.instance().clear()
        self.hydra = Hydra.create_main_hydra2("cnnexp", search_path)
        self.loader = self.hydra.config_loader
        self._files = Loader(self.loader, config_name)

    def compose(self, overrides: Sequence[str] = ()) -> Config:
        """The config for these overrides.

        Returns:
            the config; its `problems` tell what was wrong with single overrides, which were left out.

        Raises:
            ConfigError: nothing could be composed at all.
        """
        texts = tuple(overrides)
        used, problems = list(texts), list[Problem]()
        try:
            loaded = self._files.load(used)
        except (*HYDRAS, ConfigError):
            log.debug("composing failed", exc_info=True)
            used, problems = explain(self._files, texts)
            try:
                loaded = self._files.load(used)
            except HYDRAS as again:
                unexplained = [] if problems else [Problem("bad-config", (), reason(again))]
                raise ConfigError([*problems, *unexplained]) from None
        return _config(loaded, self._settings(texts), texts, problems)

    def _settings(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """The overrides that set a value; one that chooses a file is located in that file."""
        return [(key, text) for key, text in _keys(texts) if text.startswith("~") or not self._is_group(key)]

    def _is_group(self, key: str) -> bool:
        try:
            return bool(self._files.options(key.replace(".", "/")))
        except (OSError, ValueError):  # no name that a file could have
            return False


def load_file(file: str | FilePath, overrides: Sequence[str] = ()) -> Config:
    """A config from one file, such as a run's config.yaml, with `key=value` overrides on top.

    Raises:
        ConfigError: the file or an override cannot be read.
    """
    path = FilePath(file)
    node = reading.read(path)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError([_no_mapping("a config", path)])
    loaded = OmegaConf.load(path)
    assert isinstance(loaded, DictConfig)
    OmegaConf.set_struct(loaded, True)
    problems = apply(loaded, overrides)
    composed = Loaded(loaded, [Source(path, ())], *of_hydra(loaded))
    return _config(composed, _keys(overrides), tuple(overrides), problems)


def _no_mapping(what: str, file: FilePath) -> Problem:
    return Problem("not-a-mapping", (), f"{what} must be a mapping", where=f"{reading.shown(file)}:1:1")


def _config(
    loaded: Loaded, settings: Sequence[tuple[str, str]], texts: tuple[str, ...], problems: Sequence[Problem]
) -> Config:
    """Fill in what the data set knows about itself, resolve all references, and gather what is wrong."""
    raw = _raw(loaded.config)
    whole, known = raw, list[Problem]()
    section = raw.get("data")
    if isinstance(section, dict):
        filled, known = look(resolve(section, loaded.config["data"], raw, ("data",))[0])
        for key, value in filled.items():
            OmegaConf.update(loaded.config, f"data.{key}", value, force_add=True)
        whole = {**raw, "data": {**section, **filled}}
    values, broken = resolve(whole, loaded.config, whole)
    locator = Locator(loaded.sources, settings, raw)
    told = (*problems, *locator.locate([*broken, *known]))
    return Config(values, locator, texts, told, loaded.choices, loaded.verbose)


def of_model(model: Mapping[str, Any] | FilePath, data: Mapping[str, Any]) -> Config:
    """A config that holds a network and its data alone.

    Arguments:
        model: the model mapping, or a YAML file that holds it.
        data: the plain data section that `${data.…}` refers to.

    Raises:
        ConfigError: the file cannot be read.
    """
    sources = [Source(model, ("model",))] if isinstance(model, FilePath) else []
    if isinstance(model, FilePath):
        node = reading.read(model)
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError([_no_mapping("a model", model)])
        model = {str(k): v for k, v in OmegaConf.load(model).items() if k != "defaults"}
    composed = OmegaConf.create({"data": dict(data), "model": dict(model)})
    return _config(Loaded(composed, sources, {}, False), [], (), [])


def _keys(overrides: Sequence[str]) -> list[tuple[str, str]]:
    return [(text.partition("=")[0].lstrip("+~").split("@")[0].replace("/", "."), text) for text in overrides]


def _raw(composed: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    return {str(k): v for k, v in plain.items()}


def choices(composer: Composer) -> Iterator[tuple[str, list[str]]]:
    """Every group that a person can choose from, with its options."""
    for group in composer.loader.list_groups(""):
        if group != "hydra":
            yield group, composer.loader.get_group_options(group)
