"""Checkpoints that are whole or absent, hold plain data only, and are checked when they are read.

Each has a file beside it in the format of `sha256sum`, with the hash of the checkpoint and that of the one before it,
which is kept as NAME.previous.ckpt and takes over when a check fails.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning.plugins.io import CheckpointIO
from torch import Tensor

from cnnexp.errors import RunError
from cnnexp.records import files

log = logging.getLogger(__name__)


def save(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint in one step, with its hash; the one that was there becomes NAME.previous.ckpt.

    At every moment at least one file of the pair is whole and its hash is known, so that a kill costs one step at most.

    Raises:
        TypeError: the checkpoint holds more than plain values and tensors.
        OSError: it cannot be written; what was there is untouched.
    """
    buffer = io.BytesIO()
    torch.save(_plain(checkpoint, "checkpoint"), buffer)
    data = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    kept, old = next(((file, h) for file in (path, _previous(path)) if (h := _whole(file, path))), (None, None))
    lines = [f"{hashlib.sha256(data).hexdigest()}  {path.name}"] + ([f"{old}  {_previous(path).name}"] if old else [])
    fresh = path.with_name(f"{path.name}.new")
    files.write(fresh, data)
    files.write(_sums(path), "\n".join(lines) + "\n")
    if kept == path:
        path.replace(_previous(path))
    fresh.replace(path)
    files.sync_folder(path.parent)


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint; where it is not what was written, the previous one with a warning.

    Raises:
        RunError: there is none, or none that is whole.
    """
    for candidate in (path, _previous(path)):
        if candidate.is_file() and (found := _read(candidate, path, map_location)) is not None:
            if candidate != path:
                log.warning("%s is damaged or missing; %s is used in its place", path, candidate.name)
            return found
    raise RunError(f"there is no checkpoint '{path}'" if not path.exists() else f"the checkpoint '{path}' is damaged")


def taken(path: Path) -> Path:
    """The file that `load` takes: the checkpoint, or the previous one where that is not what was written."""
    return next((file for file in (path, _previous(path)) if _whole(file, path) is not None), path)


def _whole(file: Path, path: Path) -> str | None:
    """The hash of a file that `load` would take; None for one that is damaged or not there."""
    if not file.is_file():
        return None
    digest, known = hashlib.sha256(file.read_bytes()).hexdigest(), _hashes(path).values()
    return digest if digest in known or not known else None


def _read(file: Path, path: Path, map_location: Any) -> dict[str, Any] | None:
    data = file.read_bytes()
    known = _hashes(path)
    # While a new checkpoint is being put in place, the file may still be the previous one: any known hash will do.
    if known and hashlib.sha256(data).hexdigest() not in known.values():
        return None
    try:
        loaded = torch.load(io.BytesIO(data), map_location=map_location, weights_only=True)
    except Exception as error:  # torch raises a dozen types for a file that is cut short or no checkpoint
        log.debug("cannot read %s: %s", file, error)
        return None
    return loaded if isinstance(loaded, dict) else None


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _sums(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _hashes(path: Path) -> dict[str, str]:
    try:
        lines = _sums(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    parts = (line.partition("  ") for line in lines)
    return {name: digest for digest, _, name in parts if len(digest) == 64 and name}


def _plain(value: Any, where: str) -> Any:
    """The value with only what `weights_only=True` loads: dicts, lists, tuples, tensors, numbers, texts."""
    if value is None or isinstance(value, (bool, int, float, str)):
        # A subclass (numpy's float64, an enum) would need its class to be loaded.
        return next((kind(value) for kind in (bool, int, float, str) if isinstance(value, kind)), None)
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {_plain(k, where): _plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, (torch.dtype, torch.device, Path)):
        return str(value)
    raise TypeError(f"{where} is a {type(value).__name__}; a checkpoint holds plain values and tensors only")


class SafeCheckpointIO(CheckpointIO):
    """Lightning's door to `save` and `load`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """See `save`."""
        save(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """See `load`; only plain data is ever read, whatever `weights_only` says."""
        return load(Path(path), map_location or "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint and all that lies beside it."""
        for file in (Path(path), _previous(Path(path)), _sums(Path(path))):
            file.unlink(missing_ok=True)
