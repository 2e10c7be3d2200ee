"""Declare, check, train, sweep and compare convolutional networks from YAML.

    plan = cnnexp.plan("tudui")                              a shape-checked network
    model = plan.build(seed=0)                               as an nn.Sequential
    run = cnnexp.train(["model=tudui", "data=digits"])       trained and recorded
    cnnexp.runs("outputs")                                   what was recorded
    @cnnexp.layer                                            declares a class of your own as a layer type

Importing cnnexp imports neither torch nor Lightning; what needs them imports them when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnnexp.errors import ConfigError, RunError
from cnnexp.version import __version__

if TYPE_CHECKING:
    from cnnexp.api import Run, plan, runs, train
    from cnnexp.architecture.extensions import layer

__all__ = ["ConfigError", "Run", "RunError", "__version__", "layer", "plan", "runs", "train"]


def __getattr__(name: str) -> Any:
    if name == "layer":
        return getattr(import_module("cnnexp.architecture.extensions"), name)
    if name in __all__:
        return getattr(import_module("cnnexp.api"), name)
    raise AttributeError(f"module 'cnnexp' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
