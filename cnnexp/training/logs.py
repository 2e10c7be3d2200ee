"""What the libraries say while a run goes on: adverts left out, everything else in the run's log.txt."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ADVERTS = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
)
_WATCHED = ("cnnexp", "pytorch_lightning", "py.warnings")


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's adverts and tips, and with nothing else left out."""
    chatter = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    level = chatter.level
    chatter.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in _ADVERTS:
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            chatter.setLevel(level)


class _File(logging.FileHandler):
    """A log that is cut short on a full disk, and says nothing of it in the middle of a run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Lose the line."""

    def close(self) -> None:
        """Close the file, with or without its last lines."""
        with suppress(OSError):
            super().close()


@contextmanager
def logged(file: Path | None) -> Iterator[None]:
    """Write everything that is logged inside the block into a file, where one is given."""
    if file is None:
        yield
        return
    try:
        handler = _File(file, encoding="utf-8")
    except OSError:  # the run itself will tell that nothing can be written
        yield
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    own = logging.getLogger("cnnexp")
    level = own.level
    own.setLevel(min(level or logging.INFO, logging.INFO))
    for name in _WATCHED:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in _WATCHED:
            logging.getLogger(name).removeHandler(handler)
        own.setLevel(level)
        handler.close()
