"""How many jobs run at a time on this machine, and what each of them gets of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnexp.sweeps.settings import Settings


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time.

    Arguments:
        threads: how many threads each process of the job computes with.
        gpus: the GPUs that the job sees, as CUDA_VISIBLE_DEVICES names them; None for a job that uses none.
    """

    threads: int
    gpus: tuple[str, ...] | None = None


def slots(settings: Settings, configs: Sequence[Mapping[str, Any]], gpus: Sequence[str], cores: int) -> list[Slot]:
    """The slots for these jobs: as many as cores or GPUs allow, unless the settings say how many.

    Arguments:
        settings: the sweep's.
        configs: the configs of its jobs; all get the same kind of slot, so the largest decides.
        gpus: the names of the GPUs that jobs may use; empty where there are none or no job uses one.
        cores: the number of cores that this process may use.
    """
    width = max(_devices(config["trainer"], len(gpus)) for config in configs)
    if gpus:
        sets = [tuple(gpus[i : i + width]) for i in range(0, len(gpus) - width + 1, width)] or [tuple(gpus)]
        shared = [chosen for chosen in sets for _ in range(settings.jobs_per_gpu)]
        wanted = settings.slots or len(shared)
        chosen = [shared[i % len(shared)] for i in range(min(wanted, len(configs)))]
        return [Slot(settings.threads or max(1, cores // len(chosen)), one) for one in chosen]
    number = min(settings.slots or max(1, cores // (width * (settings.threads or 1))), len(configs))
    threads = settings.threads or max(1, cores // (number * width))
    return [Slot(threads)] * number


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The GPUs for these jobs, as CUDA_VISIBLE_DEVICES names them; none where no job would use one."""
    if all(config["trainer"].get("accelerator", "auto") not in ("auto", "gpu", "cuda") for config in configs):
        return []
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(i) for i in range(count)]


def _devices(trainer: Mapping[str, Any], gpus: int) -> int:
    """How many devices, and so processes, a job takes."""
    wanted = trainer.get("devices", "auto")
    if isinstance(wanted, list):
        return max(1, len(wanted))
    if str(wanted) == "-1":
        return max(1, gpus)
    return int(wanted) if str(wanted).isdigit() and int(wanted) > 0 else 1
