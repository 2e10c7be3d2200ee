"""Who works on a folder: a lock that the system takes back when its process is gone, however that ended."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from cnnexp.errors import ConfigError, Problem
from cnnexp.records import files


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder while the block runs, so that no other process works on it.

    A `.lock` file that a process left behind holds nothing.

    Arguments:
        folder: the folder of a run or of a sweep.

    Raises:
        ConfigError: another process holds it, or nothing can be written there.
    """
    # The lock empties its file, hence a second one that says who has it.
    lock, holder = FileLock(folder / ".lock", timeout=0), folder / ".lock.json"
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        lock.acquire()
        files.write(holder, json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}) + "\n")
    except Timeout:
        raise ConfigError([_held(folder, holder)]) from None
    except OSError as error:
        lock.release()
        text = f"nothing can be written in '{folder}': {(error.strerror or str(error)).lower()}"
        raise ConfigError([Problem("unwritable", (), text)]) from None
    try:
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def until_free(folder: Path, seconds: float) -> bool:
    """Wait until no process works on a folder, for so long at most; whether it is free."""
    try:
        with FileLock(folder / ".lock", timeout=seconds):
            return True
    except Timeout:
        return False


def _held(folder: Path, holder: Path) -> Problem:
    try:
        found = json.loads(holder.read_text(encoding="utf-8"))
        who = f"process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"  # which has just begun, or is about to end
    hint = "wait for it, or stop it with Ctrl-C; what it has reached is kept"
    return Problem("held", (), f"'{folder}' is held by {who}", hint)
