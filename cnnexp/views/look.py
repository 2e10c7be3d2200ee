"""What every layer of a network makes of a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from cnnexp.architecture.plan import Plan


@dataclass(frozen=True)
class Seen:
    """The output of one layer.

    Arguments:
        name: its dotted name in the nn.Sequential, such as `3.body.1`; `input` for the batch itself.
        type: its type, such as `Conv2d`, or the name of the block that it is a use of.
        output: (samples, *sample shape), on the CPU, float.
    """

    name: str
    type: str
    output: Tensor


def look(model: nn.Sequential, plan: Plan, batch: Tensor, samples: int | None = None) -> list[Seen]:
    """The batch and the output of every planned layer, composites and what stands inside them, in the plan's order.

    The network works as it does when it is used: in eval mode, without gradients. The mode of every module, the
    statistics of norms and torch's generators are afterwards as they were. The children are called one by one, so
    that a network that was compiled in place is not compiled again.

    Arguments:
        model: the network that the plan builds, trained or not, on any device.
        plan: its plan.
        batch: (n, *sample shape), as the network gets it.
        samples: of how many samples the outputs are kept; all of them when None.
    """
    device = next((t.device for t in chain(model.parameters(), model.buffers())), batch.device)
    outputs: dict[str, Tensor] = {}
    modules = [(name, model.get_submodule(name)) for _, name, _ in plan.walk()]
    modes = [(module, module.training) for module in model.modules()]
    hooks = [module.register_forward_hook(_keep(outputs, name, samples)) for name, module in modules]
    try:
        model.eval()
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            x = batch.to(device, copy=True)  # the first layer may work in place
            for child in model:
                x = child(x)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    found = [Seen(name, layer.type, outputs[name]) for _, name, layer in plan.walk() if name in outputs]
    return [Seen("input", "", _copied(batch, samples)), *found]


def _keep(outputs: dict[str, Tensor], name: str, samples: int | None) -> Callable[[nn.Module, Any, Any], None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output  # a pool that also tells where its maxima were
        outputs[name] = _copied(first, samples)

    return hook


def _copied(output: Tensor, samples: int | None) -> Tensor:
    """A copy that a layer which works in place cannot reach."""
    return output.detach()[:samples].to("cpu", torch.float32, copy=True, memory_format=torch.contiguous_format)
