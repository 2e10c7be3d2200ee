"""`code --from-python module:object`: the YAML of a network that was written in Python, checked by running both."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnexp.cli.arguments import bad_option
from cnnexp.cli.listing import shape
from cnnexp.errors import CnnexpError, ConfigError, Problem, did_you_mean, reason

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cnnexp.architecture.importer import Imported

_CLOSE = 1e-5
"""How far the results of the two networks may lie apart, measured by the largest value of the first."""


def from_python(arguments: argparse.Namespace) -> int:
    """Print the YAML of a module; what the layer language cannot say goes to standard error."""
    import torch

    from cnnexp.architecture import importer, written

    name = arguments.from_python
    with _here():
        module = _module(name)
    sizes = shape(arguments.input) or _shape_of_data(arguments)
    sample = torch.randn(2, *sizes, generator=torch.Generator().manual_seed(0))
    imported = importer.from_module(module, sample)
    if not imported.model:
        raise ConfigError([Problem("cannot-say", (), f"{name}: {text}") for text in imported.unsaid])
    _same(name, module, imported, sample)
    for text in imported.unsaid:
        print(f"not said: {text}", file=sys.stderr)
    comment = "\n".join([f"{name}, for samples of {'×'.join(map(str, sizes))}.", *imported.unsaid])
    print(written.text(imported.model, comment), end="")
    return 0


@contextlib.contextmanager
def _here() -> Iterator[None]:
    """The working folder among those that modules are imported from."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path.remove(str(Path.cwd()))


def _module(name: str) -> nn.Module:
    """The network that `module:object` names, or that the function of this name gives."""
    from torch import nn

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
    if callable(found) and not isinstance(found, nn.Module):
        try:
            found = found()
        except Exception as error:  # so may what it names
            raise bad_option(_failed("calling", name, error)) from None
    if not isinstance(found, nn.Module):
        raise bad_option(f"--from-python: '{name}' is no torch.nn.Module but of type {type(found).__name__}")
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


def _same(name: str, module: nn.Module, imported: Imported, sample: Tensor) -> None:
    """Make sure that the YAML builds a network with the same weights and the same results."""
    import torch

    from cnnexp.api import plan
    from cnnexp.architecture import importer
    from cnnexp.architecture.modules.tracing import in_mode

    try:
        built = plan(imported.model, input_shape=tuple(sample.shape[1:])).build(seed=0)
    except ConfigError as error:
        problems = [
            Problem(p.code, p.path, f"{name}: the YAML of it does not fit: {p.message}") for p in error.problems
        ]
        raise ConfigError(problems) from None
    importer.copy_weights(module, built, imported.weights)
    with in_mode(module, training=False), torch.no_grad():
        size = max(1.0, float(module(sample.clone()).abs().max()))
    apart = importer.difference(module, built, sample)
    if not apart <= _CLOSE * size:
        raise CnnexpError(
            f"{name}: the YAML of it gives other results (they differ by {apart:.2g}); nothing was printed"
        )
