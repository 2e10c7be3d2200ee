"""From samples as they are stored to what a network gets: which are held out, and pixels as normalised floats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cnnexp.data.look import held_out
from cnnexp.data.sets import DataSet, Samples


@dataclass(frozen=True)
class Split:
    """What is trained on, what is held out of it for validation, and what is tested on."""

    train: Samples
    val: Samples
    test: Samples


def split(dataset: DataSet, data: Mapping[str, Any], seed: int) -> Split:
    """Hold samples out for validation.

    Arguments:
        dataset: the samples.
        data: the checked `data` section of a config.
        seed: decides which samples are held out.
    """
    order = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(seed))
    kept = held_out(len(dataset.train), data["validation"])
    # The order in the file is kept, so that an unshuffled run sees the samples as a hand-written loop would.
    train = dataset.train.take(order[kept:].sort().values) if kept else dataset.train
    return Split(train, dataset.train.take(order[:kept].sort().values), dataset.test)


class Normalise:
    """Makes pixels floats between 0 and 1, and normalises them.

    Arguments:
        data: the checked `data` section of a config.
        dtype: the dtype of what a network gets, such as torch.float32 or `float32`.
    """

    def __init__(self, data: Mapping[str, Any], dtype: torch.dtype | str) -> None:
        self.dtype: torch.dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        self._plain = data["mean"] is None and data["std"] is None
        self._mean = self._statistics(data["mean"], 0.0, len(data["shape"]))
        self._std = self._statistics(data["std"], 1.0, len(data["shape"]))

    def _statistics(self, value: Any, default: float, axes: int) -> Tensor:
        numbers = torch.as_tensor(default if value is None else value, dtype=self.dtype).reshape(-1)
        return numbers.reshape(1, -1, *(1,) * (axes - 1))

    def __call__(self, images: Tensor, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
        """(n, *shape) uint8 or floats as the floats that a network gets, on the same device."""
        floats = images.to(self.dtype, memory_format=layout)
        if images.dtype == torch.uint8:
            floats = floats.div_(255)
        if self._plain:
            return floats
        self._mean, self._std = self._mean.to(floats.device), self._std.to(floats.device)
        if images.dtype == torch.uint8:
            return floats.sub_(self._mean).div_(self._std)
        return (floats - self._mean) / self._std
