"""What an exception says about how a run ended."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from cnnexp.errors import Interrupted, RunError, reason, said

_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


@dataclass(frozen=True)
class Ending:
    """How a run ended before its end.

    Arguments:
        status: failed or interrupted.
        text: why, in one line.
        failure: the kind of failure in one word; None where a signal ended the run.
        signum: the signal; None where it failed.
    """

    status: str
    text: str
    failure: str | None = None
    signum: int | None = None


def ending(error: BaseException, asked: int | None) -> Ending:
    """What an exception that left the training means.

    Arguments:
        error: the exception.
        asked: the signal that came before, if one did.
    """
    if (signum := _signal(error, asked)) is not None:
        return Ending("interrupted", str(Interrupted(signum)), signum=signum)
    if isinstance(error, SystemExit):
        code = "" if error.code is None else repr(error.code)
        return Ending("failed", f"the run's code called sys.exit({code})", "exited")
    if isinstance(error, RunError):
        return Ending("failed", error.reason, getattr(error, "failure", "raised"))
    if _is_memory(error):
        return Ending("failed", f"out of memory: {reason(error)}", "memory")
    full = next((e for e in _chain(error) if isinstance(e, OSError) and e.errno in _NO_SPACE), None)
    if full is not None:
        return Ending("failed", unwritable(full), "disk")
    name, text = type(error).__name__, reason(error)
    return Ending("failed", name if text == name else f"{name}: {text}", "raised")


def unwritable(error: OSError) -> str:
    """What is said of a run whose files cannot be written."""
    return f"the run cannot be recorded: {(error.strerror or reason(error)).lower()}"


def _signal(error: BaseException, asked: int | None) -> int | None:
    if isinstance(error, Interrupted):
        return error.signum
    if isinstance(error, SIGTERMException):
        return int(signal.SIGTERM)
    # Lightning turns a KeyboardInterrupt into a SystemExit.
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        return asked or int(signal.SIGINT)
    return None


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in said(error).lower() for words in _NO_MEMORY)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__
