"""Ctrl-C and SIGTERM, remembered until the work is at a point where it can save what it has."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cnnexp.errors import Interrupted


class Signals:
    """Remembers that a signal asked to stop."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self._pressed = False

    @contextmanager
    def watched(self) -> Iterator[Signals]:
        """Catch Ctrl-C and SIGTERM inside the block; a second one interrupts at once, and what it ends is not disturbed
        by further ones."""
        if threading.current_thread() is not threading.main_thread():
            yield self  # only the main thread may set handlers
            return
        before = {s: signal.signal(s, self._remember) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _remember(self, signum: int, frame: object) -> None:
        if self.asked is None:
            self.asked = signum
        elif not self._pressed:
            self._pressed = True
            raise KeyboardInterrupt

    def obey(self) -> None:
        """Stop here if a signal came.

        Raises:
            Interrupted: one came.
        """
        if self.asked is not None:
            raise Interrupted(self.asked)
