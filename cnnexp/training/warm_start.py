"""A run that starts from the weights of another."""

from __future__ import annotations

from pathlib import Path

import torch

from cnnexp.errors import ConfigError, Problem, RunError
from cnnexp.training import checkpoints


def warm_start(model: torch.nn.Sequential, path: str) -> None:
    """Put the weights of a checkpoint into a network.

    Raises:
        ConfigError: it cannot be read, or its weights have other names or shapes than the network's.
    """
    where = ("checkpoint",)
    try:
        found = checkpoints.load(Path(path).expanduser())
    except RunError as error:
        raise ConfigError([Problem("bad-checkpoint", where, f"checkpoint: {error}")]) from None
    weights = found.get("state_dict", found)
    weights = {k.removeprefix("model."): v for k, v in weights.items() if isinstance(v, torch.Tensor)}
    own = model.state_dict()
    differences = [f"{k} is missing" for k in own if k not in weights]
    differences += [f"{k} is not in the network" for k in weights if k not in own]
    differences += [
        f"{k} is {tuple(weights[k].shape)}, not {tuple(v.shape)}"
        for k, v in own.items()
        if k in weights and weights[k].shape != v.shape
    ]
    if differences:
        shown = "; ".join(differences[:3]) + (f"; and {len(differences) - 3} more" if len(differences) > 3 else "")
        text = f"checkpoint: '{path}' is from another network: {shown}"
        raise ConfigError(
            [Problem("bad-checkpoint", where, text, "choose the model that the checkpoint was made with")]
        )
    model.load_state_dict(weights)
