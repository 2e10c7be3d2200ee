"""A user's own layers: importable modules that a config names under `extensions`, and the decorator that they use.

    # my_layers.py
    @cnnexp.layer(infer={"channels": 0}, rules={"reduction": {"least": 1}})
    class Squeeze(nn.Module): ...

Nothing else in a config imports anything.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, TypeVar

from torch import nn

from cnnexp.architecture import catalog
from cnnexp.components import Component
from cnnexp.errors import Path, Problem, reason
from cnnexp.kinds import Rule

Class = TypeVar("Class", bound=type)
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def layer(
    cls: Any = None, *, infer: Mapping[str, int] | None = None, rules: Mapping[str, Mapping[str, Any]] | None = None
) -> Any:
    """Declare a class of your own as a layer type that YAML may name; use it bare or with arguments.

    Arguments:
        cls: a subclass of `torch.nn.Module` whose forward takes one tensor (batch, …) and gives one.
        infer: sizes that may be left out in YAML: `{"channels": 0}` fills the parameter `channels` with the sample's
            size along axis 0 (the channels); -1 stands for the last axis. A written size is compared with it.
        rules: bounds and choices of parameters in the words of `cnnexp.kinds.Rule`: least, most, above, below or
            choices.

    Raises:
        TypeError: it is no such class, or names a parameter that its constructor has not.
        ValueError: another layer type has this name.
    """

    def declare(own: Class) -> Class:
        _accept(own, infer or {}, rules or {})
        catalog.declare(own, dict(infer or {}), {name: Rule(**rule) for name, rule in (rules or {}).items()})
        return own

    return declare if cls is None else declare(cls)


def _accept(cls: Any, infer: Mapping[str, int], rules: Mapping[str, Any]) -> None:
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"@cnnexp.layer wants a subclass of torch.nn.Module, not {cls!r}")
    if why := catalog.refusal(cls.__name__, cls):
        raise TypeError(f"{cls.__name__} cannot be a layer: {why}")
    parameters = Component(cls.__name__, cls).parameters
    for name in (*infer, *rules):
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise TypeError(f"{cls.__name__} has no parameter '{name}'; it has {known}")
    if catalog.taken(cls):
        raise ValueError(f"the name {cls.__name__} is taken by another layer type")


def load(modules: Sequence[Any]) -> list[Problem]:
    """Import the modules that a config names, so that their decorators run; the working folder is searched as well.

    Returns:
        a problem for each that cannot be imported.
    """
    here = str(FilePath.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        return [p for i, name in enumerate(modules) for p in _import(i, name)]
    finally:
        if added:
            sys.path.remove(here)


def _import(index: int, name: Any) -> Iterator[Problem]:
    path: Path = ("extensions", index)
    if not isinstance(name, str) or not _MODULE.fullmatch(name):
        text = f"extensions: '{name}' is not the name of a Python module"
        yield Problem("bad-extension", path, text, "write it as in an import: my_package.layers")
        return
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a module prints is no part of a table or of JSON
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            text = f"extensions: there is no module '{name}'"
            yield Problem("bad-extension", path, text, "it must lie in the working folder or be installed")
            return
        yield Problem("bad-extension", path, f"extensions: importing '{name}' failed: {reason(error)}")
    except SystemExit as error:
        code = "" if error.code is None else repr(error.code)
        text = f"extensions: importing '{name}' failed: it calls sys.exit({code})"
        yield Problem("bad-extension", path, text, "put what is a script behind: if __name__ == '__main__':")
    except Exception as error:  # a user's module may raise anything
        said = f"{type(error).__name__}: {reason(error)}"
        yield Problem("bad-extension", path, f"extensions: importing '{name}' failed: {said}")
