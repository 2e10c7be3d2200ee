"""Samples in memory as a LightningDataModule: a batch is one indexed read, made into floats on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from cnnexp.data.look import too_large
from cnnexp.data.prepare import Normalise, split
from cnnexp.data.sets import DataSet, Samples
from cnnexp.errors import ConfigError

Batch = tuple[Tensor, Tensor]

_GPU_BYTES = 4 << 30
"""Sets up to this size are kept on the GPU that trains on them."""


class _Reader(Dataset[Batch]):
    """Samples behind torch's Dataset interface; the loader asks for a whole batch at once."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        where = torch.as_tensor(indices, device=self.samples.labels.device)
        return self.samples.images[where], self.samples.labels[where]


def _spread(seed: int) -> int:
    """A seed far from those of its neighbours: the sampler adds the epoch to it, and no two runs may share an order."""
    return int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(seed)))


def _as_it_is(batch: Any) -> Any:
    return batch


class DataModule(LightningDataModule):
    """Train, validation and test loaders over a data set in memory.

    Arguments:
        dataset: the samples.
        data: the checked `data` section of a config.
        seed: decides which samples are held out for validation, and their order in every epoch.
        dtype: the dtype of the batches.

    Raises:
        ConfigError: a batch is larger than the training set.
    """

    def __init__(
        self,
        dataset: DataSet,
        data: Mapping[str, Any],
        seed: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.settings, self.seed = dict(data), seed
        self._layout = torch.contiguous_format
        if problems := too_large(data, len(dataset.train)):
            raise ConfigError(problems)
        parts = split(dataset, data, seed)
        self.train, self.validation, self.test = parts.train, parts.val, parts.test
        self._normalise = Normalise(data, dtype)

    def use_layout(self, memory_format: str) -> None:
        """Give batches of images in this memory format: `channels_last` or `contiguous_format`."""
        self._layout = getattr(torch, memory_format)

    def setup(self, stage: str) -> None:
        """Move the samples to the device that trains on them, where that is a GPU with room for them."""
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        if device.type != "cuda":
            return
        for name in ("train", "validation", "test"):
            samples: Samples = getattr(self, name)
            if samples.images.nbytes <= _GPU_BYTES:
                setattr(self, name, Samples(samples.images.to(device), samples.labels.to(device)))

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches to train on, in an order that follows from the seed and the number of the epoch."""
        reader = _Reader(self.train)
        world = (self.trainer.world_size, self.trainer.global_rank) if self.trainer is not None else (1, 0)
        order: DistributedSampler[Batch] = DistributedSampler(
            reader, num_replicas=world[0], rank=world[1], shuffle=self.settings["shuffle"], seed=_spread(self.seed)
        )
        return DataLoader(
            reader,
            batch_size=self.settings["batch_size"],
            sampler=order,
            drop_last=self.settings["drop_last"],
            collate_fn=_as_it_is,
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of what is held out, in order."""
        return self._in_order(self.validation)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test set, in order."""
        return self._in_order(self.test)

    def _in_order(self, samples: Samples) -> DataLoader[Batch]:
        # Nothing is learned from these batches, so they may be larger; the figures are the same.
        size = max(self.settings["batch_size"], 256)
        return DataLoader(_Reader(samples), batch_size=size, collate_fn=_as_it_is)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Pixels as floats between 0 and 1, normalised, in the memory format of the network."""
        images, labels = batch
        layout = self._layout if images.dim() == 4 else torch.contiguous_format
        return self._normalise(images, layout), labels


def counted(loader: DataLoader[Batch]) -> int:
    """How many of the samples that a loader gives in order count, from the first one on.

    Where processes share the samples, the sampler fills up to equal shares with samples that another process has.
    """
    dataset, sampler = loader.dataset, loader.sampler
    assert isinstance(dataset, _Reader)
    if isinstance(sampler, DistributedSampler):
        return len(range(sampler.rank, len(dataset), sampler.num_replicas))
    return len(dataset)
