"""Which memory layout is faster for a network: asked of the machine, by a few steps of each."""

from __future__ import annotations

import copy
import time

import torch
from torch import nn

_STEPS = 4
_CLEAR = 0.95


def choose(model: nn.Module, shape: tuple[int, ...], batch_size: int, device: torch.device) -> str:
    """`channels_last` where it is clearly faster for training steps of this network, else `contiguous_format`.

    The network's weights and torch's random numbers are left as they were.

    Arguments:
        model: the network.
        shape: the sample shape without the batch.
        batch_size: samples in a batch.
        device: where the training will run.
    """
    convolves = any(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in model.modules())
    if len(shape) != 3 or not convolves or device.type not in ("cpu", "cuda"):
        return "contiguous_format"
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        layouts = (torch.contiguous_format, torch.channels_last)
        trials = [_trial(model, shape, batch_size, device, layout) for layout in layouts]
        plain, last = (min(times) for times in zip(*[(_time(t) for t in trials) for _ in range(_STEPS)], strict=True))
    return "channels_last" if last < plain * _CLEAR else "contiguous_format"


def _trial(
    model: nn.Module, shape: tuple[int, ...], batch_size: int, device: torch.device, layout: torch.memory_format
) -> tuple[nn.Module, torch.Tensor]:
    network = copy.deepcopy(model).to(device=device, memory_format=layout).train()  # type: ignore[call-overload]
    batch = torch.randn((batch_size, *shape), device=device).to(memory_format=layout)
    _time((network, batch))  # the first step allocates
    return network, batch


def _time(trial: tuple[nn.Module, torch.Tensor]) -> float:
    network, batch = trial
    _wait(batch.device)
    began = time.perf_counter()
    network(batch).float().square().mean().backward()
    _wait(batch.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
