"""A loss that is not a number stops the run, with the step and the layer at which it began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cnnexp.errors import RunError


class NotFinite(RunError):
    """The loss of a training step is NaN or infinite."""

    failure = "not-finite"


class FiniteWatch:
    """Looks at every loss, without making a GPU wait for the answer more often than it must.

    Arguments:
        every: after how many steps the answer is read. 1 reads it at every step, before the weights are touched.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._first: Tensor | None = None

    def see(self, loss: Tensor, step: int, origin: Callable[[], str]) -> None:
        """Look at one loss.

        Arguments:
            loss: a single number.
            step: the number of the step, from 0.
            origin: says which layer's output first was not finite; called only when the loss is not.

        Raises:
            NotFinite: this loss, or one since the last reading, is NaN or infinite.
        """
        if self.every == 1:
            if not torch.isfinite(loss):
                raise NotFinite(f"the loss is {loss.item()} at step {step}: {origin()}")
            return
        here = torch.where(torch.isfinite(loss.detach()), -1, step)
        self._first = here if self._first is None else torch.where(self._first < 0, here, self._first)
        if (step + 1) % self.every == 0:
            first, self._first = int(self._first), None
            if first >= 0:
                later = f"; noticed at step {step}, when " if first < step else ": "
                raise NotFinite(f"the loss is not finite since step {first}{later}{origin()}")


def first_not_finite(model: nn.Sequential, batch: Tensor) -> str:
    """Where values stop being finite on the way of a batch through a network, as a clause of a sentence.

    Arguments:
        model: the network.
        batch: (batch, *sample shape), as the network got it.
    """
    if not torch.isfinite(batch).all():
        return "the batch itself holds values that are not finite"
    found: list[str] = []

    def look(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def after(layer: nn.Module, _: tuple[Any, ...], out: Any) -> None:
            if not found and isinstance(out, Tensor) and not torch.isfinite(out).all():
                found.append(_origin(name, layer))

        return after

    # A layer inside another one gives its output before that one does.
    hooks = [layer.register_forward_hook(look(name)) for name, layer in model.named_modules() if name]
    try:
        with torch.no_grad():
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else "the outputs of all layers are finite, so the loss itself overflowed"


def _origin(name: str, layer: nn.Module) -> str:
    bad = any(not torch.isfinite(p).all() for p in layer.parameters())
    weights = ", whose weights are not finite," if bad else ""
    return f"the output of layer {name} ({type(layer).__name__}){weights} is the first that is not finite"
