"""What is made beside a training must never end it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from cnnexp.errors import reason


class Tolerance:
    """Goes on without what cannot be made, and says so once for each thing.

    Arguments:
        log: where it is said.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: set[str] = set()

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Make `what` inside the block, or not; a Ctrl-C still ends it."""
        try:
            yield
        except Exception as error:  # a full disk, too little memory, a layer of one's own: none is worth a training
            if what not in self._said:
                self._said.add(what)
                self._log.warning("%s could not be made: %s: %s", what, type(error).__name__, reason(error))
