"""What only this machine and the data can tell of a checked config, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnexp.errors import Problem
from cnnexp.training import metrics, trainer


def unready(config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a checked config that Lightning, its metrics and this machine have with it."""
    return [*trainer.check(config), *_trainable(config), *_metrics(config)]


def _trainable(config: Mapping[str, Any]) -> list[Problem]:
    if config["task"]["type"] != "none":
        return []
    text = "task=none: this network is to be looked at (check, code), and there is nothing to train it for"
    hint = "choose task=classification, with a network that ends in class scores"
    return [Problem("no-task", ("task", "type"), text, hint)]


def _metrics(config: Mapping[str, Any]) -> list[Problem]:
    if config["task"]["type"] == "none":
        return []
    return metrics.check(config["task"]["metrics"], config["data"]["num_classes"])
