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
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnnexp.config import reading
from cnnexp.config.diagnose import HYDRAS, apply, explain
from cnnexp.config.locate import Locator, Source, as_path
from cnnexp.data.look import look
from cnnexp.errors import ConfigError, Path, Problem, key_path, reason

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

    def compose(self, overrides: Sequence[str] = (), mode: RunMode = RunMode.RUN) -> Config:
        """The config for these overrides.

        Returns:
            the config; its `problems` tell what was wrong with single overrides, which were left out.

        Raises:
            ConfigError: nothing could be composed at all.
        """
        texts = tuple(overrides)
        used, problems = list(texts), list[Problem]()
        try:
            composed = self._load(used, mode)
        except (*HYDRAS, ConfigError):
            log.debug("composing failed", exc_info=True)
            used, problems = explain(self.loader, self.config_name, texts)
            try:
                composed = self._load(used, mode)
            except HYDRAS as again:
                unexplained = [] if problems else [Problem("bad-config", (), reason(again))]
                raise ConfigError([*problems, *unexplained]) from None
        locator = Locator(self._sources(used, mode), self._settings(texts), _raw(composed))
        return _config(composed, locator, texts, problems)

    def _load(self, overrides: list[str], mode: RunMode) -> DictConfig:
        return self.loader.load_configuration(self.config_name, overrides, run_mode=mode)

    def _settings(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """The overrides that set a value; one that chooses a file is located in that file."""
        return [(key, text) for key, text in _keys(texts) if text.startswith("~") or not self._is_group(key)]

    def _is_group(self, key: str) -> bool:
        try:
            return bool(self.loader.get_group_options(key.replace(".", "/")))
        except (OSError, ValueError):  # no name that a file could have
            return False

    def _sources(self, overrides: list[str], mode: RunMode) -> Sequence[Source]:
        return _LazySources(self.loader, self.config_name, overrides, mode)


class _LazySources(Sequence[Source]):
    """The files of a config in merge order; Hydra is asked for them only when a place is wanted."""

    def __init__(self, loader: Any, name: str, overrides: list[str], mode: RunMode) -> None:
        self._arguments = (loader, name, overrides, mode)
        self._found: list[Source] | None = None

    def _list(self) -> list[Source]:
        if self._found is None:
            loader, name, overrides, mode = self._arguments
            defaults = loader.compute_defaults_list(name, overrides, mode)
            folders = [FilePath(s.path) for s in loader.get_sources() if s.scheme() == "file"]
            self._found = []
            for entry in defaults.defaults:
                candidates = [folder / f"{entry.config_path}.yaml" for folder in folders]
                file = next((c for c in candidates if c.is_file()), None)
                if file is not None:
                    self._found.append(Source(file, as_path(entry.package or "")))
        return self._found

    def __len__(self) -> int:
        return len(self._list())

    def __getitem__(self, index: Any) -> Any:
        return self._list()[index]


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
    locator = Locator([Source(path, ())], _keys(overrides), _raw(loaded))
    return _config(loaded, locator, tuple(overrides), problems)


def _no_mapping(what: str, file: FilePath) -> Problem:
    return Problem("not-a-mapping", (), f"{what} must be a mapping", where=f"{reading.shown(file)}:1:1")


def _config(composed: DictConfig, locator: Locator, texts: tuple[str, ...], problems: list[Problem]) -> Config:
    """Fill in what the data set knows about itself, resolve all references, and gather what is wrong."""
    known: list[Problem] = []
    section = composed._get_node("data") if "data" in composed else None
    if isinstance(section, DictConfig):
        filled, known = look({str(k): _plain(section, k, ("data", str(k)), []) for k in section})
        for key, value in filled.items():
            OmegaConf.update(composed, f"data.{key}", value, force_add=True)
    chosen = OmegaConf.select(composed, "hydra.runtime.choices") or {}
    choices = {str(k): str(v) for k, v in chosen.items() if "/" not in str(k) and v is not None}
    verbose = bool(OmegaConf.select(composed, "hydra.verbose"))
    values, broken = _resolve(composed)
    return Config(values, locator, texts, (*problems, *locator.locate([*broken, *known])), choices, verbose)


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
    return _config(composed, Locator(sources, [], _raw(composed)), (), [])


def _keys(overrides: Sequence[str]) -> list[tuple[str, str]]:
    return [(text.partition("=")[0].lstrip("+~").split("@")[0].replace("/", "."), text) for text in overrides]


def _raw(composed: DictConfig) -> Mapping[str, Any]:
    plain = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    return {str(k): v for k, v in plain.items()}


def _resolve(composed: DictConfig) -> tuple[dict[str, Any], list[Problem]]:
    """The plain values, with null for every value that could not be resolved, and the problems of those."""
    problems: list[Problem] = []
    values = {str(key): _plain(composed, key, (str(key),), problems) for key in composed if key != "hydra"}
    # What refers to a broken reference is broken as well; the first one is where the mistake is.
    return values, list({p.message.partition(": ")[2] or p.message: p for p in reversed(problems)}.values())[::-1]


def _plain(parent: DictConfig | ListConfig, key: Any, path: Path, problems: list[Problem]) -> Any:
    try:
        if OmegaConf.is_missing(parent, key) and _of_block(path):
            return "???"
        if OmegaConf.is_missing(parent, key):
            text = f"{key_path(path)} must be given"
            problems.append(Problem("missing-value", path, text, f"add {'.'.join(map(str, path))}=… to the command"))
            return None
        value = parent[key]
    except OmegaConfBaseException as error:
        said = reason(error)
        problems.append(Problem("bad-reference", path, f"{key_path(path)}: {said}", _reference_hint(said)))
        return None
    except RecursionError:
        problems.append(Problem("bad-reference", path, f"{key_path(path)}: refers to itself"))
        return None
    if isinstance(value, DictConfig):
        return {
            k if isinstance(k, (str, int)) else str(k): _plain(value, k, (*path, _name(k)), problems) for k in value
        }
    if isinstance(value, ListConfig):
        return [_plain(value, i, (*path, i), problems) for i in range(len(value))]
    return value


def _of_block(path: Path) -> bool:
    """Whether a value is the default of a block's parameter, where `???` says that every user must give it."""
    return path[:1] == ("model",) and path[-2:-1] == ("params",)


def _name(key: object) -> str | int:
    return key if isinstance(key, int) else str(key)


def _reference_hint(said: str) -> str | None:
    return "references are written from the top: ${model.stride}" if "not found" in said else None


def choices(composer: Composer) -> Iterator[tuple[str, list[str]]]:
    """Every group that a person can choose from, with its options."""
    for group in composer.loader.list_groups(""):
        if group != "hydra":
            yield group, composer.loader.get_group_options(group)
