"""What the libraries say while a run goes on: adverts left out, everything else in the run's log.txt."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def logged(file: Path | None) -> Iterator[None]:
    """Write everything that is logged inside the block into a file, where one is given."""
    if file is None:
        yield
        return
    handler = logging.FileHandler(file, encoding="utf-8")
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
