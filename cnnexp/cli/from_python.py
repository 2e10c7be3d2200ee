"""`code --from-python module:object`: the YAML of a network that was written in Python, checked by running both."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnexp.cli.arguments import bad_option
from cnnexp.cli.listing import shape
from cnnexp.errors import ConfigError, did_you_mean, reason


def from_python(arguments: argparse.Namespace) -> int:
    """Print the YAML of a module; what the layer language cannot say goes to standard error."""
    from cnnexp.architecture import importer
    from cnnexp.architecture.importer import writing

    name = arguments.from_python
    with _here():
        module = _module(name)
    sizes = shape(arguments.input) or _shape_of_data(arguments)
    imported, problems = importer.checked(module, sizes)
    if problems:
        raise ConfigError([replace(p, message=f"{name}: {p.message}") for p in problems])
    for text in imported.unsaid:
        print(f"not said: {text}", file=sys.stderr)
    origin = f"{name}, for samples of {'×'.join(map(str, sizes))}. How its weights begin is not read."
    comment = "\n".join([origin, *imported.unsaid])
    print(writing.text(imported.model, comment), end="")
    return 0


@contextlib.contextmanager
def _here() -> Iterator[None]:
    """The working folder among those that modules are imported from."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))


def _module(name: str) -> Any:
    """The network that `module:object` names, or that the class or function of this name gives."""
    place, colon, attribute = name.partition(":")
    if not colon or not attribute:
        raise bad_option(f"--from-python must be module:object, such as torchvision.models:resnet18, not '{name}'")
    try:
        found: Any = importlib.import_module(place)
    except ModuleNotFoundError as error:
        text = (
            f"--from-python: there is no module '{place}'"
            if error.name == place
            else _failed("importing", place, error)
        )
        raise bad_option(text) from None
    except Exception as error:  # a user's module may raise anything
        raise bad_option(_failed("importing", place, error)) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise bad_option(f"--from-python: '{place}' has no '{attribute}'{did_you_mean(part, dir(found))}")
        found = getattr(found, part)
    if inspect.isclass(found) or (callable(found) and not hasattr(found, "state_dict")):
        try:
            found = found()
        except Exception as error:  # so may what it names
            raise bad_option(_failed("calling", name, error)) from None
    return found


def _failed(what: str, name: str, error: Exception) -> str:
    return f"--from-python: {what} '{name}' failed: {type(error).__name__}: {reason(error)}"


def _shape_of_data(arguments: argparse.Namespace) -> tuple[int, ...]:
    """The sample shape of the data that the command chooses."""
    from cnnexp.config import Composer

    config = Composer(arguments.config_name, arguments.config_dir).compose(arguments.overrides)
    if config.problems:
        raise ConfigError(config.problems)
    return tuple(config.values["data"]["shape"])
