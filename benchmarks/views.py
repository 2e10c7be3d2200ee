"""What views cost: the same training with them and without, by turns, and the time that they take themselves.

python benchmarks/views.py [rounds [override ...]]

The ratios are those of whole trainings in one memory layout, in which the noise of the machine is seen too; which of
the two comes first changes from round to round. The last columns add up the time that is spent in the views, the
confusion matrix and the comparison in TensorBoard, as a share of the rest. What is drawn at the end costs the same
however short a training is, so that a training of a second or two may spend more than the promised share.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

import cnnexp
from cnnexp.training import fit
from cnnexp.training.evaluation import Predictions
from cnnexp.training.views import Views
from cnnexp.views import hparams

TRAININGS: tuple[tuple[str, ...], ...] = (
    ("model=tudui",),
    ("model=net",),
    ("model=resnet20_cifar",),
    ("model=mlp",),
)
PROMISED = 0.02


@dataclass
class Spent:
    """Seconds of the processor and of the clock on the wall."""

    process: float = 0.0
    wall: float = 0.0


def timed(work: Callable[..., Any], spent: Spent) -> Callable[..., Any]:
    """The same work; what it takes is added up."""

    def run(*arguments: Any, **more: Any) -> Any:
        process, wall = time.process_time(), time.perf_counter()
        try:
            return work(*arguments, **more)
        finally:
            spent.process += time.process_time() - process
            spent.wall += time.perf_counter() - wall

    return run


def watch(spent: Spent) -> None:
    """Add up what everything takes that belongs to the views."""
    hooks = {
        Views: (
            *("on_train_start", "on_train_epoch_start", "on_train_batch_end", "on_train_epoch_end", "on_train_end"),
            "finish",
        ),
        Predictions: ("on_validation_batch_end", "on_validation_end", "on_test_batch_end", "on_test_end", "write"),
    }
    for cls, names in hooks.items():
        for name in names:
            setattr(cls, name, timed(getattr(cls, name), spent))
    fit.hparams.write = hparams.write = timed(hparams.write, spent)


def train(overrides: Sequence[str], folder: str) -> Spent:
    """One training from beginning to end."""
    spent = Spent()
    own = [f"outputs={folder}", "trainer.enable_progress_bar=false", "memory_format=contiguous_format"]
    timed(cnnexp.train, spent)([*own, *overrides])
    return spent


def median(values: Sequence[Spent]) -> Spent:
    """The medians of both times."""
    return Spent(statistics.median(v.process for v in values), statistics.median(v.wall for v in values))


def measure(overrides: Sequence[str], rounds: int, inside: Spent, folder: str) -> None:
    """Train by turns with views and without, and print a line."""
    train([*overrides, "trainer.max_epochs=1"], folder)  # imports and first allocations do not count
    with_views, without, shares = list[Spent](), list[Spent](), list[Spent]()

    def watched() -> None:
        inside.process = inside.wall = 0.0
        all_of_it = train(overrides, folder)
        rest = Spent(all_of_it.process - inside.process, all_of_it.wall - inside.wall)
        with_views.append(all_of_it)
        shares.append(Spent(inside.process / rest.process, inside.wall / rest.wall))

    def plain() -> None:
        without.append(train([*overrides, "views=none"], folder))

    for i in range(rounds):
        for one in (watched, plain) if i % 2 else (plain, watched):
            one()
    a, b, share = median(with_views), median(without), median(shares)
    what = " ".join(overrides)
    print(
        f"{what:40}{a.process:9.2f} s{b.process:9.2f} s{a.process / b.process:8.3f}{a.wall / b.wall:8.3f}"
        f"{share.process:12.2%}{share.wall:8.2%}{'' if share.wall <= PROMISED else '  more than promised'}"
    )


def main(rounds: int, trainings: Sequence[Sequence[str]]) -> None:
    """Measure everything and print the table."""
    print(f"{torch.get_num_threads()} threads, {os.cpu_count()} cores, torch {torch.__version__}, {rounds} rounds\n")
    print(f"{'':40}{'with':>11}{'without':>11}{'ratio':>8}{'wall':>8}{'views alone':>12}{'wall':>8}")
    inside = Spent()
    watch(inside)
    with tempfile.TemporaryDirectory() as folder:
        for overrides in trainings:
            measure(overrides, rounds, inside, folder)


if __name__ == "__main__":
    given = tuple(sys.argv[2:])
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3, (given,) if given else TRAININGS)
