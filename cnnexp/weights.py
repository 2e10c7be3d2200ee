"""Weights from a file: tensors by name, and nothing else is ever read from it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnexp.errors import CnnexpError, reason

_FOREIGN = re.compile(r"[Uu]nsupported (?:global: GLOBAL|GLOBAL|class) (\S+)")


class UnreadableWeights(CnnexpError):
    """A file is not there, damaged, or holds something other than tensors."""


def file(source: str) -> Path:
    """The file that a source stands for: of a run, its best checkpoint."""
    path = Path(source)
    try:
        path = path.expanduser()
    except RuntimeError:  # there is no such user
        return path
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
    tensors = _safetensors(path) if path.suffix == ".safetensors" else _in_network(_torchs(path))
    if not tensors:
        raise UnreadableWeights(f"'{path}' holds no weights")
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_complex() or tensor.is_quantized:
            raise UnreadableWeights(f"'{path}' holds {name}, which is no plain tensor of real numbers")
    return tensors


def _torchs(path: Path) -> Any:
    """What torch saved in a file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch comments on the pickle protocol of a file that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails anywhere inside torch
        foreign = _FOREIGN.search(str(error))
        state = f"holds more than tensors ({foreign[1]})" if foreign else "is damaged, or holds more than tensors"
        raise UnreadableWeights(f"'{path}' {state}") from None


def _in_network(found: Any) -> dict[str, Tensor]:
    """The tensors by their names in the network; Lightning keeps it as the attribute `model` of its module."""
    saved = isinstance(found, Mapping) and "state_dict" in found
    state = found["state_dict"] if saved else found
    tensors = {str(k): v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, Mapping) else {}
    own = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")} if saved else {}
    return own or tensors


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise UnreadableWeights(f"'{path}' is no safetensors file: {reason(error)}") from None
