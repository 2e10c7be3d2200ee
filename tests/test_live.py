"""The live table of a sweep on terminals of different widths."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from cnnexp.cli.live import Board
from cnnexp.sweeps.study import Job, Study

PADDING = {"model.padding_mode": "circular", "model.activation": "ReLU", "seed": "1"}
HALF = f"{'━' * 10}{' ' * 10}"  # without colours, what is to come is not drawn
NONE = " " * 20


def job(number: int, changed: dict[str, str]) -> Job:
    return Job(number, str(number), (), changed, {}, "", {})


def drawn(monkeypatch: pytest.MonkeyPatch, width: int, jobs: list[Job]) -> list[str]:
    """The lines of the table when jobs ran for a minute and a quarter and are in epoch 12 of 20; the last begins."""
    now = [1000.0]
    monkeypatch.setattr("cnnexp.cli.live.time", SimpleNamespace(monotonic=lambda: now[0]))
    out = io.StringIO()
    console = Console(width=width, file=out, force_terminal=True, color_system=None)
    with Board(Study(Path("a"), ()), len(jobs), 2, console) as board:
        for one in jobs:
            board.began(one, 1)
        for one in jobs[:-1]:
            told = {"epoch": 12, "epochs": 20, "share": 0.5, "values": {"train_accuracy": 0.875}}
            board.moved(one, told)
        now[0] += 75
        out.truncate(0)
        board.tick()
        text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue()).lstrip("\0")
    return [line.rstrip() for line in text.replace("\r", "").splitlines() if line.strip()]


JOBS = [job(23, PADDING), job(24, {**PADDING, "seed": "2"}), job(25, {**PADDING, "model.padding_mode": "zeros"})]


@pytest.mark.parametrize(
    ("width", "rows"),
    [
        (
            140,
            [
                f"23 padding_mode=circular activation=ReLU seed=1  {HALF}  epoch 12/20  train accuracy 0.8750  1:15  "
                "1:15 left",
                f"24 padding_mode=circular activation=ReLU seed=2  {HALF}  epoch 12/20  train accuracy 0.8750  1:15  "
                "1:15 left",
                f"25 padding_mode=zeros activation=ReLU seed=1     {NONE}  starting                            1:15",
            ],
        ),
        (
            120,
            [
                f"23 padding_mode=circular activation=ReLU seed=1  {HALF}  epoch 12/20  1:15  1:15 left",
                f"24 padding_mode=circular activation=ReLU seed=2  {HALF}  epoch 12/20  1:15  1:15 left",
                f"25 padding_mode=zeros activation=ReLU seed=1     {NONE}  starting     1:15",
            ],
        ),
        (
            96,
            [
                f"23 circular ReLU 1  {HALF}  epoch 12/20  train accuracy 0.8750  1:15  1:15 left",
                f"24 circular ReLU 2  {HALF}  epoch 12/20  train accuracy 0.8750  1:15  1:15 left",
                f"25 zeros ReLU 1     {NONE}  starting                            1:15",
            ],
        ),
        (
            80,
            [
                f"23 circular ReLU 1  {HALF}  epoch 12/20  1:15  1:15 left",
                f"24 circular ReLU 2  {HALF}  epoch 12/20  1:15  1:15 left",
                f"25 zeros ReLU 1     {NONE}  starting     1:15",
            ],
        ),
        (
            60,
            [
                "23 circular ReLU 1  epoch 12/20  1:15  1:15 left",
                "24 circular ReLU 2  epoch 12/20  1:15  1:15 left",
                "25 zeros ReLU 1     starting     1:15",
            ],
        ),
        (
            40,
            [
                "23 circul…  epoch 12/20  1:15  1:15 left",
                "24 circul…  epoch 12/20  1:15  1:15 left",
                "25 zeros …  starting     1:15",
            ],
        ),
    ],
)
def test_only_titles_are_cut_where_a_terminal_is_narrow(
    monkeypatch: pytest.MonkeyPatch, width: int, rows: list[str]
) -> None:
    lines = drawn(monkeypatch, width, JOBS)
    assert lines[:3] == rows
    assert lines[3] == "0 completed · 3 running · 0 waiting"
    assert max(map(len, lines)) <= width


def test_names_of_keys_stay_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = drawn(monkeypatch, 80, [job(2, {"model.h": "9"}), job(3, {"model.h": "[b]"})])
    assert rows[0] == f"2 h=9    {HALF}  epoch 12/20  1:15  1:15 left"
    assert rows[1] == f"3 h=[b]  {NONE}  starting     1:15", "a title is no markup"


def test_wide_letters_count_for_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = drawn(monkeypatch, 40, [job(2, {"data.name": "数字数字数"}), job(3, {"data.name": "x"})])
    assert rows[0] == "2 数字数 …  epoch 12/20  1:15  1:15 left"


@pytest.mark.parametrize("width", [1, 8, 20])
def test_a_terminal_without_room_for_anything_breaks_nothing(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    assert drawn(monkeypatch, width, JOBS)
