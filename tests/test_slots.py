"""How many jobs run at a time, and what each of them gets of the machine."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cnnexp.cli.live import Board, Lines
from cnnexp.sweeps.pool import End
from cnnexp.sweeps.settings import Settings
from cnnexp.sweeps.slots import Slot, slots
from cnnexp.sweeps.study import Job, Study


def jobs(number: int, **trainer: Any) -> list[dict[str, Any]]:
    return [{"trainer": trainer}] * number


ON_CORES = [
    (Settings(), jobs(8), 4, [Slot(1)] * 4),
    (Settings(), jobs(3), 4, [Slot(1)] * 3),
    (Settings(), jobs(1), 4, [Slot(4)]),
    (Settings(), jobs(2), 8, [Slot(4)] * 2),
    (Settings(slots=2), jobs(8), 8, [Slot(4)] * 2),
    (Settings(slots=5), jobs(8), 2, [Slot(1)] * 5),
    (Settings(threads=2), jobs(8), 8, [Slot(2)] * 4),
    (Settings(threads=3, slots=1), jobs(8), 8, [Slot(3)]),
    (Settings(), jobs(8, devices=2), 8, [Slot(1)] * 4),
    (Settings(), jobs(8, devices="2"), 2, [Slot(1)]),
    (Settings(), jobs(8, devices=[0, 1, 2]), 8, [Slot(1)] * 2),
    (Settings(), jobs(8, devices=4), 2, [Slot(1)]),
    (Settings(), jobs(8, devices="auto"), 2, [Slot(1)] * 2),
    (Settings(), [*jobs(3), *jobs(1, devices=2)], 4, [Slot(1)] * 2),
]


@pytest.mark.parametrize(("settings", "configs", "cores", "expected"), ON_CORES)
def test_cores_are_shared_out(settings: Settings, configs: list[Any], cores: int, expected: list[Slot]) -> None:
    assert slots(settings, configs, [], cores) == expected


ON_GPUS = [
    (Settings(), jobs(8), ["0", "1"], [Slot(4, ("0",)), Slot(4, ("1",))]),
    (Settings(), jobs(1), ["0", "1"], [Slot(8, ("0",))]),
    (Settings(jobs_per_gpu=2), jobs(8), ["4", "7"], [Slot(2, (g,)) for g in ("4", "4", "7", "7")]),
    (Settings(slots=1), jobs(8), ["0", "1"], [Slot(8, ("0",))]),
    (Settings(slots=3), jobs(8), ["0", "1"], [Slot(2, ("0",)), Slot(2, ("1",)), Slot(2, ("0",))]),
    (Settings(), jobs(8, devices=2), ["0", "1", "2", "3", "4"], [Slot(4, ("0", "1")), Slot(4, ("2", "3"))]),
    (Settings(), jobs(8, devices=-1), ["0", "1"], [Slot(8, ("0", "1"))]),
    (Settings(threads=3), jobs(8), ["0"], [Slot(3, ("0",))]),
]


@pytest.mark.parametrize(("settings", "configs", "gpus", "expected"), ON_GPUS)
def test_gpus_are_shared_out(settings: Settings, configs: list[Any], gpus: list[str], expected: list[Slot]) -> None:
    assert slots(settings, configs, gpus, 8) == expected


def a_job(number: int, value: str) -> Job:
    return Job(number, f"{number}_activation={value}", (), {"model.activation": value}, {}, "", {})


def told(kind: type[Lines], terminal: bool) -> tuple[str, str]:
    """What is told of a sweep with a good, a failing and a waiting job: while it goes on, and what is left of it."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    study = Study(Path("outputs/sweeps/a"), ())
    one, two, three = (a_job(i, v) for i, v in enumerate(("relu", "tanh", "[b]")))
    with kind(study, 4, 2, console) as watcher:
        watcher.began(one, 1)
        watcher.began(two, 1)
        watcher.moved(one, {"epoch": 2, "epochs": 8, "step": 40, "share": 0.25, "values": {"train_loss": 0.5}})
        watcher.tick()
        between = out.getvalue()
        watcher.ended(one, End("completed", None, False, {"test_accuracy": 0.875, "val_loss": 1.0}, 12.34))
        watcher.ended(two, End("failed", "killed", True))
        watcher.began(two, 2)
        watcher.ended(three, End("failed", "it [b]burst[/b]"))
        watcher.tick()
    return between, out.getvalue()


LINES = [
    "[1/4] completed 0 activation=relu  test accuracy 0.8750  12.3 s",
    "[1/4] failed    1 activation=tanh: killed; it will be tried again",
    "[1/4] again     1 activation=tanh",
    "[2/4] failed    2 activation=[b]: it [b]burst[/b]",
    "      log: outputs/sweeps/a/2_activation=[b]/log.txt",
]


def test_without_a_terminal_there_are_plain_lines() -> None:
    between, whole = told(Lines, terminal=False)
    assert between == ""
    assert "\x1b" not in whole
    assert [line for line in whole.splitlines() if "tanh/log.txt" not in line] == LINES


def test_a_terminal_shows_what_runs_how_far_and_how_long_still() -> None:
    between, whole = told(Board, terminal=True)
    assert "0 activation=relu" in between
    assert "epoch 2/8" in between
    assert "train loss 0.5000" in between
    assert "0 completed · 2 running · 2 waiting" in between
    assert "1 completed · 1 running · 1 waiting · 1 failed · about " in whole
    assert all(line in whole for line in LINES)
