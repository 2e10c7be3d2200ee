"""Where an interrupted run goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnexp.data.sets import DataSet
from cnnexp.errors import ConfigError, Problem, RunError
from cnnexp.training import checkpoints

log = logging.getLogger(__name__)
_ANEW = "begin anew: cnnexp train --from {}/config.yaml"


@dataclass(frozen=True)
class Place:
    """What a checkpoint says about how far its run is.

    Arguments:
        checkpoint: the file.
        epoch: the epoch in which it goes on, from 0.
        batch: the next batch of that epoch, from 0.
        step: how many optimizer steps are done.
        finished: whether the training is over, so that the test is all that is missing.
        ledger: what the ledger has to know.
    """

    checkpoint: Path
    epoch: int
    batch: int
    step: int
    finished: bool
    ledger: dict[str, Any]

    def __str__(self) -> str:
        return "resuming at the test" if self.finished else f"resuming at epoch {self.epoch + 1}, step {self.step + 1}"


def place(folder: Path) -> Place | None:
    """Where the run in a folder goes on; None where it has no checkpoint that is whole and begins at the beginning."""
    file = folder / "checkpoints" / "last.ckpt"
    try:
        found = checkpoints.load(file)
    except RunError as error:
        if file.exists():
            log.warning("%s, so the run begins at the beginning", error)
        return None
    try:
        loops, callbacks = found["loops"]["fit_loop"], found["callbacks"]
        return Place(
            file,
            loops["epoch_progress"]["current"]["completed"],
            loops["epoch_loop.batch_progress"]["current"]["completed"],
            found["global_step"],
            next(state["finished"] for key, state in callbacks.items() if key.startswith("Keeper")),
            callbacks["Ledger"],
        )
    except (KeyError, TypeError, StopIteration):
        text = f"'{file}' was written by a version of cnnexp that could not go on with a run"
        raise ConfigError([Problem("old-checkpoint", (), text, _ANEW.format(folder))]) from None


def differences(fields: Mapping[str, Any], config_hash: str, libraries: Mapping[str, str]) -> list[str]:
    """Why a run that goes on may not end as it would have, in one line each.

    Arguments:
        fields: its `run.json`.
        config_hash: the identity of its config as it is now.
        libraries: the versions as they are now.
    """
    then = fields.get("versions") or {}
    changed = [f"{k} was {v} and is {libraries.get(k)}" for k, v in then.items() if libraries.get(k) != v]
    if fields.get("config_hash") not in (None, config_hash):
        changed.append("config.yaml was changed")
    return [f"{text}: the run may not end as it would have" for text in changed]


def check_data(folder: Path, fields: Mapping[str, Any], dataset: DataSet) -> None:
    """Refuse to go on with other data.

    Arguments:
        folder: the run's folder.
        fields: its `run.json`.
        dataset: the samples as they are now.

    Raises:
        ConfigError: they are not those that the run began with.
    """
    then = fields.get("data_fingerprint")
    if then is not None and then != dataset.fingerprint():
        text = f"the data have changed since '{folder}' began, so it cannot go on as it would have"
        raise ConfigError([Problem("changed-data", (), text, _ANEW.format(folder))])
