"""A job's own process: it trains one run in its folder and can take nothing else down with it.

The fork server imports this module once, with all that a job needs, so that a job costs a fork and not an import.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import parent_process
from pathlib import Path
from typing import Any

import cnnexp.__main__ as entry
from cnnexp.config import load_file
from cnnexp.data.module import DataModule
from cnnexp.data.sets import load as load_data
from cnnexp.errors import ConfigError, Interrupted, RunError
from cnnexp.records import load
from cnnexp.records.lock import until_free
from cnnexp.sweeps.orders import Order
from cnnexp.sweeps.processes import end_with_parent
from cnnexp.sweeps.slots import Slot
from cnnexp.training import fit
from cnnexp.training.logs import quiet
from cnnexp.training.ready import unready
from cnnexp.verify import verify

_PATIENCE = 15.0


def work(order: Order, channel: Connection) -> None:
    """Train one run; tell how far it is, and at last how it ended.

    Arguments:
        order: what to do.
        channel: gets dicts: what `fit.run` reports, and at last `{"status": …, "error": …}`.
    """
    _alone(order)
    folder = Path(order.folder).absolute()  # its code may go to another one
    ended: dict[str, Any]
    try:
        _train(folder, channel)
        ended = {"status": "completed", "error": None}
    except Interrupted as error:
        ended = {"status": "interrupted", "error": error.reason, "signal": error.signum}
    except RunError as error:
        ended = {"status": "failed", "error": error.reason}
    except ConfigError as error:
        ended = {"status": "failed", "error": "; ".join(p.message for p in error.problems)}
    channel.send(ended)


def _train(folder: Path, channel: Connection) -> None:
    until_free(folder, _PATIENCE)  # a job of a launcher that was killed may be about to end
    # Lightning starts a run's further processes with the same words.
    sys.modules["__main__"] = entry
    sys.argv = [str(entry.__file__), "train", "--from", str(folder / "config.yaml")]
    config = load_file(folder / "config.yaml")
    verdict = verify(config)
    fields = load(folder).fields
    job = fit.Job(
        verdict.config,
        verdict.sound(),
        folder.name,
        choices=fields["choices"],
        overrides=fields["overrides"],
        command=fields["command"],
        root=folder.parent,
        folder=folder,
    )
    fit.run(job, report=channel.send)


def _alone(order: Order) -> None:
    """Become a process of its own: its own group, output, share of the machine, and an end when the launcher ends."""
    os.setsid()
    end_with_parent()
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    log = os.open(Path(order.folder) / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _take(order.slot)
    if order.memory is not None and order.slot.gpus is None:
        _fence(order.memory)


def _end_with_launcher() -> None:
    launcher = parent_process()
    if launcher is not None:
        wait([launcher.sentinel])
        os.killpg(0, signal.SIGKILL)


def _take(slot: Slot) -> None:
    import torch

    os.environ["OMP_NUM_THREADS"] = str(slot.threads)  # for the further processes of ddp
    torch.set_num_threads(slot.threads)
    if slot.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(slot.gpus)


def _fence(memory: int) -> None:
    """Refuse the job more memory than its limit on top of what it begins with.

    The launcher looks at the memory in use now and then; this is for the allocation that is larger than what is left of
    the machine.
    """
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE") if _PROC else 0
    resource.setrlimit(resource.RLIMIT_DATA, (min(used + memory, _LARGEST), resource.RLIM_INFINITY))


_PROC = Path("/proc/self/statm").exists()
_LARGEST = 2**62
"""The largest limit that every system takes."""


def look(configs: Sequence[Mapping[str, Any]], channel: Connection) -> None:
    """Send the list of problems that this machine and the data have with each config."""
    os.setsid()
    with quiet():
        for config in configs:
            try:
                problems = unready(config)
                if not problems:
                    DataModule(load_data(config["data"]), config["data"], config["seed"])
            except ConfigError as error:
                problems = list(error.problems)
            channel.send(problems)
