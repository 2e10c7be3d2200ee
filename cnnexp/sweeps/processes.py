"""Where processes come from: a server that has imported what jobs need, or nowhere."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

_PR_SET_PDEATHSIG = 1  # of prctl(2)
ATTEMPTS = 6  # what kills one process, such as a want of memory, may well kill the next one


def context(start_method: str = "auto") -> BaseContext:
    """The way in which processes are begun: `auto` forks from a server where forking is safe."""
    method = ("forkserver" if sys.platform == "linux" else "spawn") if start_method == "auto" else start_method
    made = multiprocessing.get_context(method)
    if method == "forkserver":
        made.set_forkserver_preload(["cnnexp.sweeps.preload"])
    return made


def warm(made: BaseContext) -> None:
    """Let the fork server begin its imports while something else is done."""
    if made.get_start_method() != "forkserver":
        return
    if threading.current_thread() is not threading.main_thread():
        forkserver.ensure_running()
        return
    # What is ignored here is ignored in the server from its first moment; only there it has to be.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def start(made: BaseContext, target: Callable[..., None], args: tuple[Any, ...], name: str) -> BaseProcess:
    """A process that has begun; a fork server that was killed is begun again.

    Raises:
        OSError: the system gives no more processes.
    """
    for attempt in range(ATTEMPTS):
        process: BaseProcess = made.Process(target=target, args=args, name=name)  # type: ignore[attr-defined]
        try:
            process.start()
        except (EOFError, ConnectionError):
            if attempt == ATTEMPTS - 1:
                raise OSError("no process can be begun") from None
        else:
            break
    return process


def end_with_parent() -> None:
    """Let the kernel end this process as soon as the one that began it has ended, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
