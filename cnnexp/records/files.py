"""Files that are complete or absent: written beside their destination, synced, renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write(path: Path, content: str | bytes, synced: bool = True) -> None:
    """Put `content` at `path` in one step: whoever reads it finds the old file or the new one, never a part.

    Arguments:
        path: the file.
        content: what it will hold.
        synced: whether it must survive a power cut, which takes some milliseconds.

    Raises:
        OSError: it cannot be written; what was at `path` is untouched.
    """
    # Names of files, which are in what libraries say as well, may be no UTF-8.
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    replace(path, lambda file: file.write(data), synced)


def replace(path: Path, fill: Callable[[BinaryIO], object], synced: bool = True) -> None:
    """As `write`, with a function that writes into the open temporary file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            fill(file)
            if synced:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if synced:
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
