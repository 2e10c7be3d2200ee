"""What other processes are told to do: the launcher's side, which imports nothing of what they need for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from cnnexp.sweeps.slots import Slot


@dataclass(frozen=True)
class Order:
    """A run to be trained.

    Arguments:
        folder: the folder of the run, with its config.
        slot: what the job may use of the machine.
        memory: its memory limit in bytes; None without one.
    """

    folder: str
    slot: Slot
    memory: int | None


def work(order: Order, channel: Connection) -> None:
    """See `child.work`."""
    from cnnexp.sweeps import child

    child.work(order, channel)


def look(configs: Sequence[Mapping[str, Any]], channel: Connection) -> None:
    """See `child.look`."""
    from cnnexp.sweeps import child

    child.look(configs, channel)
