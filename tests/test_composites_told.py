"""The full text of everything that can be wrong with layers inside layers, and where it is told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from cnnexp.architecture.composites import MOST
from tests.test_composites import IMAGE, attempt, conv, parallel, pool, repeat, residual, told, typed, unpool

EMPTY = "is empty\n  hint: Identity stands for no layer at all"
MUST = "and the two must be equal to be added"
# fmt: off
PARSED: list[tuple[Any, list[str]]] = [
    ("Residual", ["layers[0] Residual: 'layers' is missing"]),
    ("Parallel", ["layers[0] Parallel: 'branches' is missing"]),
    ("Unpool", ["layers[0] Unpool: 'pool' is missing", "layers[0] Unpool: 'layers' is missing"]),
    (typed("Repeat", layers=["ReLU"]), ["layers[0] Repeat: 'times' is missing (a whole number)"]),
    (typed("Repeat", times=2), ["layers[0] Repeat: 'layers' is missing"]),
    (typed("Sequential"), ["layers[0] Sequential: 'layers' is missing"]),
    (typed("Sequential", layers=[]), [f"layers[0] Sequential: 'layers' {EMPTY}"]),
    (typed("Sequential", layers=[None]), [f"layers[0] Sequential: 'layers' {EMPTY}"]),
    (typed("Sequential", layers="ReLU"), ["layers[0] Sequential: 'layers' must be a list, not 'ReLU'"
        "\n  hint: one entry makes a list as well: layers: [...]"]),
    (typed("Sequential", layers={"type": "ReLU"}), ["layers[0] Sequential: 'layers' must be a list, not a mapping"
        "\n  hint: one entry makes a list as well: layers: [...]"]),
    (typed("Sequential", layers=None), ["layers[0] Sequential: 'layers' must be a list, not null"]),
    (parallel(), [f"layers[0] Parallel: 'branches' {EMPTY}"]),
    (parallel(None, None), [f"layers[0] Parallel: 'branches' {EMPTY}"]),
    (parallel(["ReLU"], [None]), [f"layers[0] Parallel › branches[1] {EMPTY}"]),
    (parallel(["ReLU"], []), [f"layers[0] Parallel › branches[1] {EMPTY}"]),
    (typed("Parallel", branches=7), ["layers[0] Parallel: 'branches' must be a list, not 7"]),
    (residual("ReLU", shortcut=[]), [f"layers[0] Residual › shortcut {EMPTY}"]),
    (residual("ReLU", shortcut=[None]), [f"layers[0] Residual › shortcut {EMPTY}"]),
    (residual("ReLU", shortcut=3),
        ["layers[0] Residual › shortcut must be a layer type or a mapping with 'type', not 3"]),
    (residual("ReLU", shortcut=typed("ReLU", name="x")),
        ["layers[0] Residual › shortcut ReLU: is called 'shortcut' here and can have no other name"
         "\n  hint: leave name out"]),
    (residual(["ReLU"]),
        ["layers[0] Residual › layers[0] must be a layer type or a mapping with 'type', not ['ReLU']"
         "\n  hint: several layers in the place of one are written {type: Sequential, layers: [...]}"]),
    (residual("ReLU", shotcut="ReLU"), ["layers[0] Residual: unknown parameter 'shotcut'; did you mean 'shortcut'?"]),
    (typed("Residual", layer=["ReLU"]), ["layers[0] Residual: unknown parameter 'layer'; did you mean 'layers'?"]),
    (typed("Repeat", tims=2, layers=["ReLU"]), ["layers[0] Repeat: unknown parameter 'tims'; did you mean 'times'?"]),
    (residual("ReLU", zebra=1),
        ["layers[0] Residual: unknown parameter 'zebra'\n  hint: Residual takes layers, shortcut"]),
    (parallel("ReLU", zebra=1),
        ["layers[0] Parallel: unknown parameter 'zebra'\n  hint: Parallel takes branches, merge, dim"]),
    (parallel("ReLU", merge="sum"), ["layers[0] Parallel: merge must be one of concat, add, multiply, not 'sum'"]),
    (parallel("ReLU", merge=3), ["layers[0] Parallel: merge must be a text, not 3"]),
    (parallel("ReLU", dim="1"),
        ["layers[0] Parallel: dim must be a whole number, not '1'\n  hint: write 1, without quotes"]),
    (parallel("ReLU", dim=True), ["layers[0] Parallel: dim must be a whole number, not true"]),
    (repeat(0, "ReLU"), [f"layers[0] Repeat: times must be between 1 and {MOST}, not 0"]),
    (repeat(10**9, "ReLU"), [f"layers[0] Repeat: times must be between 1 and {MOST}, not 1000000000"]),
    (repeat("3", "ReLU"),
        ["layers[0] Repeat: times must be a whole number, not '3'\n  hint: write 3, without quotes"]),
    (repeat(2.0, "ReLU"), ["layers[0] Repeat: times must be a whole number, not 2.0"]),
    (unpool("ReLU", by="ReLU"),
        ["layers[0] Unpool › pool ReLU: only MaxPool1d, MaxPool2d and MaxPool3d remember where their values came"
         " from"]),
    (unpool("ReLU", by=typed("AdaptiveMaxPool2d", output_size=1)),
        ["layers[0] Unpool › pool AdaptiveMaxPool2d: only MaxPool1d, MaxPool2d and MaxPool3d remember where their"
         " values came from"]),
    (unpool("ReLU", by=pool(dilation=2)),
        ["layers[0] Unpool › pool MaxPool2d: dilation must be 1 where the pool is undone, not 2"]),
    (unpool("ReLU", by=pool(return_indices=True)),
        ["layers[0] Unpool › pool MaxPool2d: return_indices must be false here: with it the layer gives a pair, and a"
         " stack passes one tensor"]),
    (unpool("ReLU", by=[pool()]),
        ["layers[0] Unpool › pool must be a layer type or a mapping with 'type', not [a mapping]"
         "\n  hint: several layers in the place of one are written {type: Sequential, layers: [...]}"]),
    (unpool("ReLU", by=residual("ReLU")),
        ["layers[0] Unpool › pool Residual: only MaxPool1d, MaxPool2d and MaxPool3d remember where their values came"
         " from"]),
    (typed("Unpool", pool=None, layers=["ReLU"]),
        ["layers[0] Unpool › pool must be a layer type or a mapping with 'type', not null"]),
    (parallel(typed("ReLU", name="a"), typed("Tanh", name="a")),
        ["layers[0] Parallel › branches[1] Tanh: the name 'a' is taken by layers[0] Parallel › branches[0]"
         "\n  hint: choose another name"]),
    (parallel(typed("ReLU", name="merge")),
        ["layers[0] Parallel › branches[0] ReLU: the name 'merge' is taken by Parallel itself"
         "\n  hint: choose another name"]),
    (parallel(typed("ReLU", name="dim")),
        ["layers[0] Parallel › branches[0] ReLU: the name 'dim' is taken by Parallel itself"
         "\n  hint: choose another name"]),
    (residual(typed("ReLU", name="1"), typed("Tanh", name="a.b")),
        ["layers[0] Residual › layers[0] ReLU: name '1': whole numbers are the names of entries "
         "without a name of their own"
         "\n  hint: choose another name",
         "layers[0] Residual › layers[1] Tanh: name must be a text without dots, not 'a.b'"]),
    ("Residul", ["layers[0]: unknown layer type 'Residul'; did you mean 'Residual'?"]),
    (typed("Paralel", branches=[]), ["layers[0]: unknown layer type 'Paralel'; did you mean 'Parallel'?"]),
]
# fmt: on


@pytest.mark.parametrize(("entry", "texts"), PARSED)
def test_what_cannot_be_understood_is_said_in_full(entry: Any, texts: list[str]) -> None:
    assert told(entry) == texts


MERGED = "hint: dimension 0 is the batch"
# fmt: off
MISFITS: list[tuple[Any, tuple[int, ...], list[str]]] = [
    (residual(conv(8)), IMAGE, [f"layers[0] Residual: the layers give 8×8×8, but 3×8×8 arrives, {MUST}"
        "\n  hint: give it a shortcut: {type: Conv2d, out_channels: 8, kernel_size: 1}"]),
    (residual(conv(8, 3, stride=2, padding=1)), IMAGE,
        [f"layers[0] Residual: the layers give 8×4×4, but 3×8×8 arrives, {MUST}"
         "\n  hint: give it a shortcut: {type: Conv2d, out_channels: 8, kernel_size: 1, stride: 2}"]),
    (residual(conv(3, 8, stride=8)), (3, 9, 10),
        [f"layers[0] Residual: the layers give 3×1×1, but 3×9×10 arrives, {MUST}"
        "\n  hint: give it a shortcut: {type: Conv2d, out_channels: 3, kernel_size: 1, stride: 10}"]),
    (residual(conv(3, 3)), IMAGE, [f"layers[0] Residual: the layers give 3×6×6, but 3×8×8 arrives, {MUST}"]),
    (residual(conv(3, 3, padding=3)), IMAGE,
        [f"layers[0] Residual: the layers give 3×12×12, but 3×8×8 arrives, {MUST}"]),
    (residual(typed("Conv1d", out_channels=4, kernel_size=2, stride=2)), (2, 8),
        [f"layers[0] Residual: the layers give 4×4, but 2×8 arrives, {MUST}"
         "\n  hint: give it a shortcut: {type: Conv1d, out_channels: 4, kernel_size: 1, stride: 2}"]),
    (residual(typed("Conv3d", out_channels=4, kernel_size=1)), (2, 4, 4, 4),
        [f"layers[0] Residual: the layers give 4×4×4×4, but 2×4×4×4 arrives, {MUST}"
         "\n  hint: give it a shortcut: {type: Conv3d, out_channels: 4, kernel_size: 1}"]),
    (residual("Flatten"), IMAGE, [f"layers[0] Residual: the layers give 192, but 3×8×8 arrives, {MUST}"]),
    (residual(typed("Linear", out_features=2)), (5,),
        [f"layers[0] Residual: the layers give 2, but 5 arrives, {MUST}"]),
    (residual(conv(8), shortcut=conv(4)), IMAGE,
        [f"layers[0] Residual: the layers give 8×8×8, but the shortcut gives 4×8×8, {MUST}"
         "\n  hint: a shortcut that fits: {type: Conv2d, out_channels: 8, kernel_size: 1}"]),
    (residual(conv(8, stride=2), shortcut=["Identity", conv(8)]), IMAGE,
        [f"layers[0] Residual: the layers give 8×4×4, but the shortcut gives 8×8×8, {MUST}"
         "\n  hint: a shortcut that fits: {type: Conv2d, out_channels: 8, kernel_size: 1, stride: 2}"]),
    (residual(conv(1)), IMAGE, [f"layers[0] Residual: the layers give 1×8×8, but 3×8×8 arrives, {MUST}"
        "\n  hint: give it a shortcut: {type: Conv2d, out_channels: 1, kernel_size: 1}"]),
    (parallel(conv(2), conv(3, 3)), IMAGE,
        ["layers[0] Parallel: branches[0] Conv2d gives 2×8×8, but branches[1] Conv2d gives 3×6×6; to be concatenated"
         " along dimension 1 they must agree in all others"]),
    (parallel(conv(2), conv(3), dim=-1), IMAGE,
        ["layers[0] Parallel: branches[0] Conv2d gives 2×8×8, but branches[1] Conv2d gives 3×8×8; to be concatenated"
         " along dimension -1 they must agree in all others"]),
    (parallel("Identity", [conv(), "Flatten"]), IMAGE,
        ["layers[0] Parallel: branches[0] Identity gives 3×8×8, but branches[1] gives 192; to be concatenated along"
         " dimension 1 they must agree in all others"]),
    (parallel(conv(2), conv(3), merge="add"), IMAGE,
        ["layers[0] Parallel: branches[0] Conv2d gives 2×8×8, but branches[1] Conv2d gives 3×8×8; to be added their"
         " sizes must be equal, or 1"]),
    (parallel(conv(1), conv(2), conv(3), merge="multiply"), IMAGE,
        ["layers[0] Parallel: branches[1] Conv2d gives 2×8×8, but branches[2] Conv2d gives 3×8×8; to be multiplied "
         "their sizes must be equal, or 1"]),
    (parallel(conv(), conv(), dim=0), IMAGE,
        [f"layers[0] Parallel: dim must be between 1 and 3, not 0: batch and 3×8×8 are joined\n  {MERGED}"]),
    (parallel(conv(), conv(), dim=-4), IMAGE,
        [f"layers[0] Parallel: dim must be between 1 and 3, not -4: batch and 3×8×8 are joined\n  {MERGED}"]),
    (parallel(conv(), conv(), dim=4), IMAGE,
        [f"layers[0] Parallel: dim must be between 1 and 3, not 4: batch and 3×8×8 are joined\n  {MERGED}"]),
    (unpool(conv(kernel_size=3)), IMAGE,
        ["layers[0] Unpool: the pool gives 3×4×4, but the layers make 3×2×2 of it; the pool remembers one place for"
         " each of its own values"]),
    (unpool(conv(5)), IMAGE,
        ["layers[0] Unpool: the pool gives 3×4×4, but the layers make 5×4×4 of it; the pool remembers one place for"
         " each of its own values"]),
    (unpool("ReLU", by=pool(9)), IMAGE,
        ["layers[0] Unpool › pool MaxPool2d: its 9×9 window is larger than the 8×8 that arrives"]),
    (repeat(4, conv(8, in_channels=3)), IMAGE,
        ["layers[0] Repeat (copy 2) › layers[0] Conv2d: in_channels (=3) must be 8, the size arriving from layers[0]"
         " Repeat › layers[0] Conv2d (8×8×8)\n  hint: leave in_channels out to have it inferred"]),
    (repeat(4, conv(3, 3), conv(3, 3)), IMAGE,
        ["layers[0] Repeat (copy 2) › layers[1] Conv2d: its 3×3 window is larger than the 2×2 that arrives"
         "\n  hint: the sizes on the way: 8×8 → 4×4 after layers[0] Repeat → 2×2 after layers[0] Repeat (copy 2) ›"
         " layers[0] Conv2d"]),
    (repeat(3, residual(conv(3), conv(4))), IMAGE,
        [f"layers[0] Repeat › layers[0] Residual: the layers give 4×8×8, but 3×8×8 arrives, {MUST}"
         "\n  hint: give it a shortcut: {type: Conv2d, out_channels: 4, kernel_size: 1}"]),
]
# fmt: on


@pytest.mark.parametrize(("entry", "shape", "texts"), MISFITS)
def test_what_does_not_fit_is_said_in_full(entry: Any, shape: tuple[int, ...], texts: list[str]) -> None:
    assert told(entry, shape=shape) == texts


@pytest.mark.parametrize(("entry", "shape"), [(entry, shape) for entry, shape, texts in MISFITS if "{" in texts[0]])
def test_the_shortcut_that_is_proposed_fits(entry: Any, shape: tuple[int, ...]) -> None:
    texts = told(entry, shape=shape)
    shortcut = yaml.safe_load(texts[0].partition("hint: ")[2].partition(": ")[2])
    inner = entry["layers"][0] if entry["type"] == "Repeat" else entry
    assert told({**inner, "shortcut": shortcut}, shape=shape) == []


class TestSeveralProblemsAtOnce:
    def test_every_branch_is_read_and_planned(self) -> None:
        layers = [
            parallel("Foo", ["ReLU", typed("Conv2d", out_channels=0)], residual("Bar")),
            residual(typed("ReLU", inplaze=1), shortcut="Baz"),
            "Qux",
        ]
        assert [p.path for p in attempt(layers)[1]] == [
            ("layers", 0, "branches", 0, "type"),
            ("layers", 0, "branches", 1, 1, "out_channels"),
            ("layers", 0, "branches", 1, 1),
            ("layers", 0, "branches", 2, "layers", 0, "type"),
            ("layers", 1, "layers", 0, "inplaze"),
            ("layers", 1, "shortcut", "type"),
            ("layers", 2, "type"),
        ]

    def test_what_does_not_fit_is_found_in_all_branches(self) -> None:
        layers = [parallel(conv(kernel_size=9), [conv(2, in_channels=5), pool(10)], "Tanh")]
        assert [p.path for p in attempt(layers)[1]] == [
            ("layers", 0, "branches", 0, "kernel_size"),
            ("layers", 0, "branches", 1, 0, "in_channels"),
            ("layers", 0, "branches", 1, 1, "kernel_size"),
        ]

    def test_the_pass_goes_on_behind_a_sum_that_does_not_fit(self) -> None:
        layers = [residual(conv(8)), conv(2, in_channels=3), pool(9)]
        assert [(p.code, p.path) for p in attempt(layers)[1]] == [
            ("cannot-merge", ("layers", 0)),
            ("wrong-size", ("layers", 1, "in_channels")),
            ("empty-shape", ("layers", 2, "kernel_size")),
        ]

    def test_different_problems_of_different_copies_are_all_told_once(self) -> None:
        layers = [repeat(5, conv(3, 3, in_channels=4), conv(4, groups=2, in_channels=4))]
        assert [p.path[-2:] for p in attempt(layers)[1]] == [(0, "in_channels"), (1, "in_channels")]

    def test_problems_lie_where_they_were_written(self) -> None:
        found = {
            ("cannot-merge", ("layers", 0)): residual(conv(8)),
            ("cannot-merge", ("layers", 0, "shortcut")): residual(conv(8), shortcut=conv(4)),
            ("cannot-merge", ("layers", 0, "branches", 2)): parallel("Tanh", None, pool()),
            ("bad-value", ("layers", 0, "dim")): parallel("Tanh", "Tanh", dim=5),
            ("cannot-merge", ("layers", 0, "layers")): unpool(conv(7)),
            ("bad-value", ("layers", 0, "pool", "dilation")): unpool("ReLU", by=pool(dilation=2)),
            ("no-layers", ("layers", 0, "branches", 1)): parallel("Tanh", []),
            ("bad-name", ("layers", 0, "branches", 0, "name")): parallel(typed("ReLU", name="dim")),
            ("overwritten", ("layers", 0, "shortcut", 0, "inplace")): residual(
                "Tanh", shortcut=[typed("ReLU", inplace=True)]
            ),
        }
        for expected, entry in found.items():
            assert [(p.code, p.path) for p in attempt([entry])[1]] == [expected]
