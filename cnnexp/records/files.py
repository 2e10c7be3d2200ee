"""Files that are complete or absent: written beside their destination, synced, renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write(path: Path, content: str | bytes) -> None:
    """Put `content` at `path` in one step: whoever reads it finds the old file or the new one, never a part.

    Raises:
        OSError: it cannot be written; what was at `path` is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    replace(path, lambda file: file.write(data))


def replace(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """As `write`, with a function that writes into the open temporary file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
