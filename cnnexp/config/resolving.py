"""References and plain values: what is written as `${model.stride}` replaced by what stands there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnnexp.errors import Path, Problem, key_path, reason

_SIMPLE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}", re.ASCII)
_ABSENT: Any = object()


def resolve(
    raw: Mapping[str, Any], config: DictConfig, root: Mapping[str, Any], path: Path = ()
) -> tuple[dict[str, Any], list[Problem]]:
    """Plain values with all references replaced, no part of them shared with what went in.

    Arguments:
        raw: the values before references are resolved.
        config: the same in OmegaConf, which resolves what is not simply the name of a plain value.
        root: the whole config before references are resolved.
        path: the key path of `raw` in it.

    Returns:
        the values, with null for every one that could not be resolved, and the problems of those.
    """
    resolver = _Resolver(root)
    values = resolver.plain(raw, config, path)
    # What refers to a broken reference is broken as well; the first one is where the mistake is.
    first = {p.message.partition(": ")[2] or p.message: p for p in reversed(resolver.problems)}
    return values, list(first.values())[::-1]


class _Resolver:
    """Resolves what refers to something in `root`; gathers the problems."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.problems: list[Problem] = []

    def plain(self, raw: Any, node: Any, path: Path) -> Any:
        """A mapping or a list, which is `node` in OmegaConf, with plain values."""
        values = {}
        for key, value in raw.items() if isinstance(raw, Mapping) else enumerate(raw):
            name = key if isinstance(key, (str, int)) else str(key)
            if isinstance(value, (Mapping, list)):
                values[name] = self.plain(value, node._get_node(key), (*path, name))
            elif _refers(value):
                found = self._looked_up(value)
                values[name] = self._asked(node, key, (*path, name)) if found is _ABSENT else found
            else:
                values[name] = value
        return values if isinstance(raw, Mapping) else list(values.values())

    def _looked_up(self, text: str) -> Any:
        """The value that a text names, where it is a plain one; asking OmegaConf takes a hundred times longer."""
        match = _SIMPLE.fullmatch(text)
        node: Any = self.root if match else _ABSENT
        for part in match[1].split(".") if match else ():
            if isinstance(node, Mapping):
                node = node.get(part, _ABSENT)
            else:
                node = (
                    node[int(part)] if isinstance(node, list) and part.isdigit() and int(part) < len(node) else _ABSENT
                )
        return _ABSENT if node is _ABSENT or _refers_inside(node) else deepcopy(node)

    def _asked(self, parent: DictConfig | ListConfig, key: Any, path: Path) -> Any:
        """The value that OmegaConf makes of a reference."""
        try:
            if OmegaConf.is_missing(parent, key):
                return "???" if _of_block(path) else self._missing(path)
            value = parent[key]
            if isinstance(value, (DictConfig, ListConfig)):
                return self.plain(OmegaConf.to_container(value, resolve=False), value, path)
        except OmegaConfBaseException as error:
            said = reason(error)
            hint = "references are written from the top: ${model.stride}" if "not found" in said else None
            self.problems.append(Problem("bad-reference", path, f"{key_path(path)}: {said}", hint))
            return None
        except RecursionError:
            self.problems.append(Problem("bad-reference", path, f"{key_path(path)}: refers to itself"))
            return None
        return value

    def _missing(self, path: Path) -> None:
        text = f"{key_path(path)} must be given"
        cure = f"add {'.'.join(map(str, path))}=… to the command"
        self.problems.append(Problem("missing-value", path, text, cure))


def _refers(value: Any) -> bool:
    """Whether a value is a text with a reference, or stands for one that must be given."""
    return isinstance(value, str) and ("${" in value or value == "???")


def _refers_inside(value: Any) -> bool:
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return _refers(value) or any(map(_refers_inside, inside))


def _of_block(path: Path) -> bool:
    """Whether a value is the default of a block's parameter, where `???` says that every user must give it."""
    return path[:1] == ("model",) and path[-2:-1] == ("params",)
