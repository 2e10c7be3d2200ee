"""Weights from a file: tensors by name, and nothing else is ever read from it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from cnnexp.errors import CnnexpError, reason


class UnreadableWeights(CnnexpError):
    """A file is not there, damaged, or holds something other than tensors."""


def file(source: str) -> Path:
    """The file that a source stands for: of a run, its best checkpoint."""
    path = Path(source).expanduser()
    return path / "checkpoints" / "best.ckpt" if path.is_dir() else path


def read(source: str) -> dict[str, Tensor]:
    """The tensors of a run's best checkpoint, a checkpoint or a safetensors file, by the names in their network.

    Arguments:
        source: the folder of a run, or a .safetensors, .ckpt, .pt or .pth file.

    Raises:
        UnreadableWeights: it is not there, damaged, or holds more than plain tensors.
    """
    path = file(source)
    if not path.is_file():
        raise UnreadableWeights(f"there is no file '{path}'")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UnreadableWeights(f"'{path}' is damaged or holds more than tensors: {reason(error)[:120]}") from None
    state = found.get("state_dict", found) if isinstance(found, Mapping) else {}
    # Lightning keeps the network as the attribute `model` of its module.
    tensors = {str(k).removeprefix("model."): v for k, v in state.items() if isinstance(v, Tensor)}
    if not tensors:
        raise UnreadableWeights(f"'{path}' holds no weights")
    return tensors


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise UnreadableWeights(f"'{path}' is no safetensors file: {reason(error)}") from None
