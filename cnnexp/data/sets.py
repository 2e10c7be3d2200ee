"""The data sets, each a function from its settings to samples in memory."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import urllib.error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from cnnexp.data.look import held_out, read_arrays
from cnnexp.errors import ConfigError, Problem, reason


@dataclass(frozen=True)
class Samples:
    """Samples and their classes.

    Arguments:
        images: (n, *shape), uint8 pixels from 0 to 255, or float32 values that are taken as they are.
        labels: (n,), int64, from 0 up.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> Samples:
        """The samples at these indices."""
        return Samples(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class DataSet:
    """A data set in memory: what is trained and validated on, and what is tested on."""

    train: Samples
    test: Samples

    def fingerprint(self) -> str:
        """A SHA-256 over all samples and labels: the same data have the same one, wherever they came from."""
        digest = hashlib.sha256()
        for tensor in (self.train.images, self.train.labels, self.test.images, self.test.labels):
            digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


def load(data: Mapping[str, Any]) -> DataSet:
    """Load a data set, downloading it once where it is not there.

    Arguments:
        data: the checked `data` section of a config.

    Raises:
        ConfigError: the files are not there and cannot be downloaded, or are not what they should be.
    """
    try:
        return _LOADERS[data["name"]](data)
    except (RuntimeError, MemoryError, TypeError, OverflowError) as error:
        text = f"data '{data['name']}' cannot be held in memory: {reason(error)}"
        raise ConfigError([Problem("too-large", ("data", "name"), text)]) from None


def _digits(data: Mapping[str, Any]) -> DataSet:
    """The test part of the UCI optical recognition of handwritten digits (see DIGITS.md), split once and for all."""
    with np.load(Path(__file__).parent / "digits.npz", allow_pickle=False) as file:
        images, labels = torch.from_numpy(file["images"]), torch.from_numpy(file["labels"]).long()
    channels, height, width = data["shape"]
    grey = images.float()[:, None] * (255 / 16)
    shown = torch.nn.functional.interpolate(grey, size=(height, width), mode="bilinear", align_corners=False)
    pixels = shown.round().to(torch.uint8).expand(-1, channels, -1, -1).contiguous()
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    every = Samples(pixels, labels)
    return DataSet(every.take(order[360:]), every.take(order[:360]))


def _synthetic(data: Mapping[str, Any]) -> DataSet:
    """One random pattern for each class, mixed with noise."""
    generator = torch.Generator().manual_seed(0)
    shape, classes, noise = tuple(data["shape"]), data["num_classes"], data["noise"]
    patterns = torch.rand((classes, *shape), generator=generator)

    def draw(n: int) -> Samples:
        labels = torch.arange(n) % classes
        mixed = (1 - noise) * patterns[labels] + noise * torch.rand((n, *shape), generator=generator)
        return Samples((mixed * 255).round().to(torch.uint8), labels)

    return DataSet(draw(data["samples"]), draw(max(1, data["samples"] // 4)))


def _arrays(data: Mapping[str, Any]) -> DataSet:
    found = read_arrays(data["path"])
    if isinstance(found, Problem):
        raise ConfigError([found])
    x, y, x_test, y_test = found
    train = _samples(x, y)
    if x_test is not None and y_test is not None:
        return DataSet(train, _samples(x_test, y_test))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(y)))
    test = held_out(len(y), 0.2)
    return DataSet(train.take(order[test:]), train.take(order[:test]))


def _samples(x: np.ndarray, y: np.ndarray) -> Samples:
    images = torch.from_numpy(x if x.dtype == np.uint8 else x.astype(np.float32))
    return Samples(images, torch.from_numpy(y.astype(np.int64)))


def _torchvision(data: Mapping[str, Any]) -> DataSet:
    """A set of torchvision's, from its own files in `data.root`."""
    import torchvision.datasets as sets  # costs more than a second, and the shipped data do not need it

    root, name = Path(data["root"]).expanduser(), data["name"]
    if name in ("cifar10", "cifar100"):
        cls = sets.CIFAR10 if name == "cifar10" else sets.CIFAR100
        parts = [cls(root, train=train, download=data["download"]) for train in (True, False)]
        return DataSet(
            *(
                Samples(torch.from_numpy(p.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(p.targets))
                for p in parts
            )
        )
    if name in ("mnist", "fashion_mnist"):
        cls = sets.MNIST if name == "mnist" else sets.FashionMNIST
        parts = [cls(root, train=train, download=data["download"]) for train in (True, False)]
        return DataSet(*(Samples(p.data[:, None].contiguous(), p.targets.long()) for p in parts))
    halves = [sets.SVHN(root, split=split, download=data["download"]) for split in ("train", "test")]
    return DataSet(
        *(Samples(torch.from_numpy(np.ascontiguousarray(p.data)), torch.from_numpy(p.labels)) for p in halves)
    )


def _downloaded(data: Mapping[str, Any]) -> DataSet:
    root, name = Path(data["root"]).expanduser(), data["name"]
    own = [root / folder for folder in _FOLDERS[name]]
    made = [p for p in (*reversed(own), root, *root.parents) if not p.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Several runs that start together download once; what the library prints is progress, not output.
        with FileLock(root / f".{name}.lock"), contextlib.redirect_stdout(sys.stderr):
            try:
                found = _torchvision(data)
            finally:
                # While it is held: whoever waits for this file sees that it is gone and takes a new one.
                (root / f".{name}.lock").unlink(missing_ok=True)
    except ImportError as error:
        text = f"data '{name}' needs {error.name}, which is not installed"
        raise ConfigError([Problem("not-installed", ("data", "name"), text, f"pip install 'cnnexp[{name}]'")]) from None
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _absent(
            name, root, f"it could not be downloaded ({getattr(error, 'reason', None) or reason(error)})"
        ) from None
    except Exception as error:  # a file that was unpacked by half raises a dozen types
        raise _absent(name, root, _why(error, data["download"])) from None
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # not empty, or not there
                folder.rmdir()
    return found


_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "cifar10": ("cifar-10-batches-py",),
    "cifar100": ("cifar-100-python",),
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "svhn": (),
}
"""The folders that torchvision makes; those that a failed download leaves empty are taken away again."""


def _why(error: Exception, download: bool) -> str:
    last = (str(error).strip().splitlines() or [""])[-1].rstrip(".")  # MNIST's mirrors: the cause comes last
    if last.startswith("<urlopen error"):
        return f"it could not be downloaded ({last.removeprefix('<urlopen error ').removesuffix('>')})"
    if isinstance(error, RuntimeError) and "not found" in last.lower():
        return last if download else "download is false"
    return reason(error) if isinstance(error, OSError) else f"a file is damaged ({reason(error)})"


def _absent(name: str, root: Path, why: str) -> ConfigError:
    text = f"data '{name}' is not in '{os.fspath(root)}': {why}"
    hint = f"put its original files into '{os.fspath(root)}', or choose data=digits, which needs no network"
    return ConfigError([Problem("no-data", ("data", "name"), text, hint)])


_LOADERS: Mapping[str, Callable[[Mapping[str, Any]], DataSet]] = {
    "digits": _digits,
    "synthetic": _synthetic,
    "arrays": _arrays,
    **dict.fromkeys(("cifar10", "cifar100", "mnist", "fashion_mnist", "svhn"), _downloaded),
}
