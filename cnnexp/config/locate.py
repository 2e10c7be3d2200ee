"""Where a value of the composed config was written: file, line and column, or the override that set it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any, ClassVar, Protocol, TypeVar

import yaml

from cnnexp.config import reading
from cnnexp.errors import Path, also_in

_USER = re.compile(r"^layers\[\d+\][^:]*(?=: )|^layers\[\d+\]")
_REFERENCE = re.compile(r"^\$\{([A-Za-z_][\w.\[\]]*)\}$")


class _Told(Protocol):
    """A Problem or a piece of advice."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def path(self) -> Path: ...
    @property
    def message(self) -> str: ...
    @property
    def where(self) -> str | None: ...


Told = TypeVar("Told", bound=_Told)


@dataclass(frozen=True)
class Source:
    """A YAML file that took part in the config, and the key path at which its content was put."""

    file: FilePath
    package: Path


def as_path(dotted: str) -> Path:
    """`model.layers.0.stride` and `model.layers[0].stride` as a key path."""
    parts = dotted.replace("[", ".").replace("]", "").split(".")
    return tuple(int(p) if p.isdigit() else p for p in parts if p)


@dataclass(frozen=True)
class Locator:
    """Finds the place of a key path; built once for each config and asked only when there is something to say.

    Arguments:
        sources: the files in the order in which they were merged, the last one winning.
        overrides: the key and the text of each command-line override, in order.
        raw: the composed config before interpolations were resolved, to follow `${model.stride}` to where it was set.
    """

    sources: Sequence[Source]
    overrides: Sequence[tuple[str, str]]
    raw: Mapping[str, Any]

    def locate(self, problems: Iterable[Told]) -> list[Told]:
        """The problems, or the advice, with their places filled in, in the order of the files they lie in."""
        placed = [p if p.where else replace(p, where=self.where(p.path)) for p in problems]
        return sorted(_merged(placed), key=lambda p: _order(p.where))

    def where(self, path: Path) -> str | None:
        """`file:line:column` of a key path or of its nearest written ancestor, or `override 'key=value'`."""
        for _ in range(8):
            target = self._reference(path)
            if target is None:
                break
            path = target
        for key, text in reversed(self.overrides):
            own = as_path(key)
            if own == path[: len(own)]:
                return f"override '{text}'"
        return self._in_files(path) or self._beneath(path)

    def _beneath(self, path: Path) -> str | None:
        """The override that set something below a path which no file holds."""
        below = (text for key, text in reversed(self.overrides) if path and as_path(key)[: len(path)] == path)
        return next((f"override '{text}'" for text in below), None)

    def _reference(self, path: Path) -> Path | None:
        """The key path that the value at `path`, or the value of an ancestor, refers to."""
        node: Any = self.raw
        for depth, part in enumerate(path):
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return None
            match = _REFERENCE.match(node) if isinstance(node, str) else None
            if match:
                target = as_path(match[1])
                return (*target, *path[depth + 1 :]) if self._exists(target) else None
        return None

    def _exists(self, path: Path) -> bool:
        node: Any = self.raw
        for part in path:
            try:
                node = node[part]
            except (KeyError, IndexError, TypeError):
                return False
        return True

    def _in_files(self, path: Path) -> str | None:
        lists = [i for i, part in enumerate(path) if isinstance(part, int)]
        owned = path[: lists[0]] if lists else None
        for length in range(len(path), 0, -1):
            for source in reversed(self.sources):
                # A list is replaced as a whole, so only the last file that has it can hold what lies inside it.
                if owned is not None and length > len(owned) and self._find(source, owned) is not None:
                    if mark := self._find(source, path[:length]):
                        return mark
                    break
                if (owned is None or length <= len(owned)) and (mark := self._find(source, path[:length])):
                    return mark
            for source in reversed(self.sources):
                if source.package == path[:length]:
                    return f"{reading.shown(source.file)}:1:1"
        return None

    def _find(self, source: Source, path: Path) -> str | None:
        if path[: len(source.package)] != source.package:
            return None
        node = reading.read(source.file)
        mark = None
        for part in path[len(source.package) :]:
            node, mark = _child(node, part)
            if mark is None:
                return None
        if mark is None:
            return None
        return f"{reading.shown(source.file)}:{mark.line + 1}:{mark.column + 1}"


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Mark | None]:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, item.start_mark
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark
        for key, value in node.value:
            if key.value == "<<":
                for inner in reading.merged(value):
                    found, mark = _child(inner, part)
                    if mark is not None:
                        return found, mark
    return None, None


def _merged(problems: Iterable[Told]) -> list[Told]:
    """One problem for what was written once and used several times, naming all the users."""
    groups: dict[tuple[str | None, str], list[Told]] = {}
    for problem in problems:
        groups.setdefault((problem.where, _USER.sub("", problem.message)), []).append(problem)
    merged = []
    for first, *others in groups.values():
        label = _USER.match(first.message)
        users = [m[0] for p in others if (m := _USER.match(p.message))]
        also = also_in(label[0], users) if label and first.where else ""
        merged += [replace(first, message=first.message + also)] if also or not others else [first, *others]
    return merged


def _order(where: str | None) -> tuple[str, int, int]:
    match = re.match(r"^(.*):(\d+):(\d+)$", where or "")
    return (match[1], int(match[2]), int(match[3])) if match else (where or "", 0, 0)
