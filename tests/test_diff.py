"""What changed between two networks: whole tables, and laws over random pairs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from cnnexp.architecture.diff import Comparison, Row, compare
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan
from cnnexp.config import Composer
from cnnexp.verify import verify

pytestmark = pytest.mark.slow

NAMES = ("old", "new")


def plan(*layers: Any, shape: tuple[int, ...] = (3, 8, 8), **model: Any) -> Plan:
    stack, wrong = parse({**model, "layers": list(layers)})
    planned, more = make_plan(stack, shape)
    assert not [*wrong, *more]
    return planned


def shipped(*overrides: str) -> Plan:
    verdict = verify(Composer().compose(list(overrides)))
    return verdict.sound()


def conv(channels: int, kernel: Any = 3, **more: Any) -> dict[str, Any]:
    return {"type": "Conv2d", "out_channels": channels, "kernel_size": kernel, **more}


def linear(features: int, **more: Any) -> dict[str, Any]:
    return {"type": "Linear", "out_features": features, **more}


def residual(*layers: Any, **more: Any) -> dict[str, Any]:
    return {"type": "Residual", "layers": list(layers), **more}


def parallel(*branches: Any, **more: Any) -> dict[str, Any]:
    return {"type": "Parallel", "branches": list(branches), **more}


def rows(found: Comparison) -> list[tuple[str, str | None, str | None]]:
    """Status and names of every row that is not equal."""
    return [(r.status, *(s and s.name for s in (r.old, r.new))) for r in found.rows if r.status != "equal"]


def edits(row: Row) -> dict[str, tuple[Any, Any]]:
    return {edit.name: (edit.old, edit.new) for edit in row.edits}


def only(found: Comparison) -> Row:
    """The one row that is not equal."""
    (row,) = (row for row in found.rows if row.status != "equal")
    return row


def test_the_same_network_is_the_same() -> None:
    found = compare(shipped("model=tudui"), shipped("model=tudui"))
    assert found.same
    assert found.text(("tudui", "mine")) == (
        "tudui and mine have the same layers: 9 layers, 145,578 parameters, 12,354,176 multiply-adds per sample"
    )


def test_a_parameter_an_added_layer_and_what_follows() -> None:
    old = plan(conv(8), "ReLU", {"type": "MaxPool2d", "kernel_size": 2}, "Flatten", linear(4))
    new = plan(conv(8, 5), "BatchNorm2d", "ReLU", {"type": "MaxPool2d", "kernel_size": 2}, "Flatten", linear(4))
    text = """\
lenet → lenet_bn
     layer   type          what differs          output          parameters      ±   multiply-adds        ±
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────
             input                               3×8×8
 ~   0       Conv2d        kernel_size 3 → 5     8×6×6 → 8×4×4    224 → 608   +384   7,776 → 9,600   +1,824
 +   1       BatchNorm2d                         8×4×4                   16    +16
 ↓   1 → 2   ReLU                                8×6×6 → 8×4×4
 ↓   2 → 3   MaxPool2d                           8×3×3 → 8×2×2
 ↓   3 → 4   Flatten                             72 → 32
 ↓   4 → 5   Linear        in_features 72 → 32   4                292 → 132   −160       288 → 128     −160

~ 1 changed, ↓ 4 follow from what is above, + 1 only in lenet_bn

output         4
parameters     516 → 756 (+240, +46.5 %)
multiply-adds  8,064 → 9,728 (+1,664, +20.6 %)"""
    assert compare(old, new).text(("lenet", "lenet_bn")) == text


def test_tudui_with_another_padding_and_an_activation() -> None:
    mine = shipped("model=tudui", "model.padding_mode=reflect", "model.activation=ReLU")
    text = """\
tudui → mine
     layer   type               what differs                   output     parameters   ±   multiply-adds   ±
 ───────────────────────────────────────────────────────────────────────────────────────────────────────────
             input                                             3×32×32
 ~   0       Conv2d             padding_mode zeros → reflect   32×32×32        2,432           2,457,600
 +   1       ReLU                                              32×32×32
             … 1 equal layer
 ~   2 → 3   Conv2d             padding_mode zeros → reflect   32×16×16       25,632           6,553,600
 +   4       ReLU                                              32×16×16
             … 1 equal layer
 ~   4 → 6   Conv2d             padding_mode zeros → reflect   64×8×8         51,264           3,276,800
 +   7       ReLU                                              64×8×8
             … 4 equal layers

~ 3 changed, + 3 only in mine, 6 equal

output         10
parameters     145,578 (the same)
multiply-adds  12,354,176 (the same)"""
    assert compare(shipped("model=tudui"), mine).text(("tudui", "mine")) == text


def test_a_shortcut_is_put_around_layers() -> None:
    old = plan(conv(8, padding=1), "BatchNorm2d", "ReLU", "Flatten", linear(4), shape=(8, 6, 6))
    new = plan(residual(conv(8, padding=1), "BatchNorm2d"), "ReLU", "Flatten", linear(4, name="fc"), shape=(8, 6, 6))
    text = """\
old → new
     layer                    type               what differs   output   parameters   ±   multiply-adds   ±
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────
                              input                             8×6×6
 +   0                        Residual                          8×6×6
     0 … 3 → 0.layers.0 … 2   … 4 equal layers
 ~   4 → fc                   Linear             name 4 → fc    4             1,156               1,152

~ 1 changed, + 1 only in new, 4 equal

output         4
parameters     1,756 (the same)
multiply-adds  21,888 (the same)"""
    assert compare(old, new).text(NAMES) == text


def test_a_whole_composite_is_told_in_one_line() -> None:
    block = residual(conv(4, padding=1, bias=False), "BatchNorm2d", "ReLU", shortcut=conv(4, 1))
    more = parallel("Identity", [conv(2, 1), "Tanh"], merge="concat")
    text = """\
old → new
     layer   type               what differs    output   parameters      ±   multiply-adds         ±
 ───────────────────────────────────────────────────────────────────────────────────────────────────
             input                              3×8×8
             … 4 equal layers
 +   1       Parallel           with 3 layers   6×8×8            10    +10             512      +512
 +   2       Residual           with 4 layers   4×8×8           252   +252          15,360   +15,360
             … 1 equal layer

+ 7 only in new, 5 equal

output         4×8×8
parameters     132 → 394 (+262, +198.5 %)
multiply-adds  7,680 → 23,552 (+15,872, +206.7 %)"""
    assert compare(plan(block, "ReLU"), plan(block, more, block, "ReLU")).text(NAMES) == text


def test_the_names_of_a_group_are_told_where_its_layers_are_equal() -> None:
    layers = [conv(8), "ReLU", "Flatten"]
    old, new = plan(*layers, linear(4)), plan({"type": "Sequential", "name": "features", "layers": layers}, linear(4))
    found = compare(old, new)
    assert not found.same
    text = """\
old → new
    layer                    type               what differs   output   parameters   ±   multiply-adds   ±
 ─────────────────────────────────────────────────────────────────────────────────────────────────────────
                             input                             3×8×8
    0 … 3 → features.0 … 1   … 4 equal layers

4 equal

output         4
parameters     1,380 (the same)
multiply-adds  8,928 (the same)"""
    assert found.text(NAMES) == text


def test_another_sample_changes_sizes_and_no_layer() -> None:
    text = """\
old → new
     layer   type      what differs            output           parameters      ±   multiply-adds        ±
 ─────────────────────────────────────────────────────────────────────────────────────────────────────────
             input                             3×8×8 → 1×6×6
 ↓   0       Conv2d    in_channels 3 → 1       8×6×6 → 8×4×4      224 → 80   −144   7,776 → 1,152   −6,624
 ↓   1       Flatten                           288 → 128
 ↓   2       Linear    in_features 288 → 128   4               1,156 → 516   −640     1,152 → 512     −640

↓ 3 follow from what is above

output         4
parameters     1,380 → 596 (−784, −56.8 %)
multiply-adds  8,928 → 1,664 (−7,264, −81.4 %)"""
    layers = [conv(8), "Flatten", linear(4)]
    assert compare(plan(*layers), plan(*layers, shape=(1, 6, 6))).text(NAMES) == text


def test_resnet18_and_resnet50() -> None:
    found = compare(shipped("model=resnet18"), shipped("model=resnet50"))
    told = found.text(("resnet18", "resnet50"))
    assert told.endswith(
        """\

~ 11 changed, ↓ 20 follow from what is above, + 98 only in resnet50, 30 equal

output         10
parameters     11,181,642 → 23,528,522 (+12,346,880, +110.4 %)
multiply-adds  37,016,576 → 83,431,424 (+46,414,848, +125.4 %)"""
    )
    counted = Counter(row.status for row in found.rows if not row.composite)
    assert counted["removed"] == 0  # every layer of the smaller network has its partner
    kept = {r.old.name: r.new.name for r in found.rows if r.old and r.new}
    assert kept["conv1"] == "conv1"
    assert kept["fc"] == "fc"
    # The first 3×3 convolution that halves the picture is the 3×3 convolution that halves it in the bottleneck.
    assert kept["layer2.0.0.layers.0"] == "layer2.0.0.layers.3"
    assert kept["layer3.0.0.shortcut.0"] == "layer3.0.0.shortcut.0"
    new_blocks = [line.split()[1] for line in told.splitlines() if "with 8 layers" in line]
    assert new_blocks == [
        *("layer1.1.0.0", "layer2.1.1.0", "layer2.1.2.0"),
        *("layer3.1.1.0", "layer3.1.2.0", "layer3.1.3.0", "layer3.1.4.0", "layer4.1.1.0"),
    ]


def test_a_layer_keeps_its_partner_when_a_parameter_changes() -> None:
    row = only(compare(plan(conv(4), "ReLU"), plan(conv(4, padding_mode="reflect"), "ReLU")))
    assert row.status == "changed"
    assert edits(row) == {"padding_mode": ("zeros", "reflect")}


def test_the_nearest_of_several_layers_is_the_partner() -> None:
    found = compare(plan(conv(4, padding=1), conv(9, 5)), plan(conv(4, padding=1), conv(6, padding=1), conv(9, 5)))
    assert rows(found) == [("added", None, "1"), ("follows", "1", "2")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (conv(4, 3), conv(4, [3, 3])),
        (conv(4), conv(4, stride=1, padding=0, dilation=[1, 1])),
        ({"type": "MaxPool2d", "kernel_size": 2}, {"type": "MaxPool2d", "kernel_size": 2, "stride": 2}),
        ({"type": "Dropout", "p": 1}, {"type": "Dropout", "p": 1.0}),
        (conv(4), conv(4, in_channels=3)),
        (conv(4), {**conv(4), "type": "conv2d"}),
    ],
)
def test_two_ways_of_writing_a_layer_are_the_same(one: Any, other: Any) -> None:
    assert compare(plan(one), plan(other)).same


def test_a_size_that_is_chosen_is_an_edit() -> None:
    norm = {"type": "LayerNorm"}
    row = only(compare(plan(norm), plan({**norm, "normalized_shape": [8, 8]})))
    assert (row.status, edits(row)) == ("changed", {"normalized_shape": ([3, 8, 8], [8, 8])})
    found = compare(plan(conv(4), norm), plan(conv(5), norm))
    assert [r.status for r in found.rows] == ["changed", "follows"]
    assert {e.name: (e.old, e.new) for e in found.rows[1].consequences} == {"normalized_shape": ([4, 6, 6], [5, 6, 6])}


def test_a_layer_takes_the_place_of_another_of_its_kind() -> None:
    pool, mean = (
        {"type": f"{kind}Pool2d", "kernel_size": 2, "ceil_mode": c} for kind, c in (("Max", 0 > 1), ("Avg", 1 > 0))
    )
    row = only(compare(plan(pool), plan(mean)))
    assert (row.status, edits(row)) == ("replaced", {"type": ("MaxPool2d", "AvgPool2d"), "ceil_mode": (False, True)})
    row = only(compare(plan("BatchNorm2d"), plan({"type": "GroupNorm", "num_groups": 1})))
    assert row.status == "replaced"
    assert rows(compare(plan("ReLU"), plan("Flatten"))) == [("removed", "0", None), ("added", None, "0")]


def test_a_name_is_an_edit() -> None:
    row = only(compare(plan({"type": "ReLU", "name": "act"}), plan({"type": "ReLU", "name": "relu"})))
    assert (row.status, edits(row)) == ("changed", {"name": ("act", "relu")})


def test_parameters_of_composites_and_their_branches() -> None:
    branches = ["Identity", [conv(3, padding=1), "ReLU"]]
    old, new = (plan(parallel(*branches, *more, merge=m)) for m, more in (("concat", []), ("add", ["Tanh"])))
    found = compare(old, new)
    assert rows(found) == [("changed", "0", "0"), ("added", None, "0.2")]
    assert edits(found.rows[0]) == {"merge": ("concat", "add")}
    shortcut = compare(plan(residual("ReLU")), plan(residual("ReLU", shortcut="Identity")))
    assert rows(shortcut) == [("added", None, "0.shortcut")]


def test_layers_do_not_find_partners_across_composites() -> None:
    """A layer that leaves a composite while the composite stays is another one."""
    old = plan(residual(conv(3, padding=1), "BatchNorm2d"), "ReLU")
    new = plan(residual(conv(3, padding=1)), "BatchNorm2d", "ReLU")
    assert rows(compare(old, new)) == [("removed", "0.layers.1", None), ("added", None, "1")]


def test_repetitions_and_blocks_only_group_layers() -> None:
    once = [conv(3, padding=1), "ReLU"]
    blocks = {"pair": {"layers": once}}
    flat = plan(*once, *once)
    for grouped in (plan({"type": "Repeat", "times": 2, "layers": once}), plan("pair", "pair", blocks=blocks)):
        assert [row.status for row in compare(flat, grouped).rows] == ["equal"] * 4
    more = compare(flat, plan({"type": "Repeat", "times": 3, "layers": once}))
    assert Counter(row.status for row in more.rows) == {"equal": 4, "added": 2}


def test_the_dtype_of_the_samples() -> None:
    stack, _ = parse({"layers": ["ReLU"]})
    old, new = (make_plan(stack, (3,), dtype)[0] for dtype in ("float32", "float64"))
    found = compare(old, new)
    assert not found.same
    (line,) = (line for line in found.text(NAMES).splitlines() if "input" in line)
    assert line.split() == ["input", "dtype", "float32", "→", "float64", "3"]


def test_as_plain_data() -> None:
    told = compare(plan(conv(4), "ReLU", "Flatten"), plan(conv(4, 1), "Tanh")).as_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    layers = told.pop("layers")
    assert told == {
        "same": False,
        "dtype": ["float32", "float32"],
        "input_shape": [[3, 8, 8], [3, 8, 8]],
        "output_shape": [[144], [4, 8, 8]],
        "parameters": [112, 16],
        "multiply_adds": [3888, 768],
    }
    assert layers[0] == {
        "status": "changed",
        "name": ["0", "0"],
        "type": ["Conv2d", "Conv2d"],
        "edits": {"kernel_size": [3, 1]},
        "consequences": {},
        "input_shape": [[3, 8, 8], [3, 8, 8]],
        "output_shape": [[4, 6, 6], [4, 8, 8]],
        "parameters": [112, 16],
        "multiply_adds": [3888, 768],
    }
    assert [(r["status"], r["name"], r["type"]) for r in layers[1:]] == [
        ("replaced", ["1", "1"], ["ReLU", "Tanh"]),
        ("removed", ["2", None], ["Flatten", None]),
    ]


def test_long_networks_are_aligned_as_short_ones_are() -> None:
    layers = [linear(2 + n % 3) for n in range(700)]
    found = compare(plan(*layers, shape=(4,)), plan("ReLU", *layers[:300], "Tanh", *layers[301:], "ReLU", shape=(4,)))
    kinds = Counter(row.status for row in found.rows)
    assert kinds["removed"] == 1
    assert kinds["added"] == 3
    assert kinds["equal"] + kinds["follows"] == 699


small = st.sampled_from(
    [
        *(conv(3, padding=1), conv(3, padding=1, bias=False), conv(3, 1), conv(4, 1), conv(4, 1, name="given")),
        *("ReLU", "Tanh", "BatchNorm2d", {"type": "Dropout", "p": 0.1}, {"type": "Dropout", "p": 0.2}, "Identity"),
    ]
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=1, max_size=3).map(named_once)
    return st.one_of(
        lists.map(lambda layers: {"type": "Sequential", "layers": layers}),
        lists.map(lambda layers: parallel("Identity", layers)),
        lists.map(lambda layers: residual(*layers, conv(2, 1), shortcut=conv(2, 1))),
        lists.map(lambda layers: {"type": "Repeat", "times": 2, "layers": layers}),
    )


def named_once(layers: Sequence[Any]) -> list[Any]:
    """The layers, of which only the first that has a name keeps it."""
    kept, seen = [], False
    for layer in layers:
        named = isinstance(layer, Mapping) and "name" in layer
        kept.append({k: v for k, v in layer.items() if k != "name"} if named and seen else layer)
        seen |= named
    return kept


stacks = st.lists(st.recursive(small, nested, max_leaves=4), min_size=1, max_size=5).map(named_once)
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
OTHER = {"removed": "added", "added": "removed"}


def planned(layers: list[Any]) -> Plan:
    return plan(*layers, shape=(3, 4, 4))


@pytest.mark.slow
@few
@given(stacks)
def test_a_network_is_the_same_as_itself(layers: list[Any]) -> None:
    found = compare(planned(layers), planned(layers))
    assert found.same
    assert all(row.status == "equal" for row in found.rows)


@pytest.mark.slow
@few
@given(stacks, stacks)
def test_every_layer_of_both_is_told_once_and_in_order(one: list[Any], other: list[Any]) -> None:
    old, new = planned(one), planned(other)
    found = compare(old, new)
    for network, spots in ((old, [r.old for r in found.rows]), (new, [r.new for r in found.rows])):
        names = [s.name for s in spots if s]
        groups = {name for _, name, x in network.walk() if x.component.name in ("Sequential", "Repeat")}
        assert names == [name for _, name, _ in network.walk() if name not in groups]
    event(f"{sum(r.old is not None and r.new is not None for r in found.rows)} partners")


@pytest.mark.slow
@few
@given(stacks, stacks)
def test_the_other_way_round_everything_is_turned_round(one: list[Any], other: list[Any]) -> None:
    there, back = compare(planned(one), planned(other)), compare(planned(other), planned(one))
    turned = [
        (
            OTHER.get(r.status, r.status),
            r.new and r.new.name,
            r.old and r.old.name,
            {k: v[::-1] for k, v in edits(r).items()},
        )
        for r in there.rows
    ]
    told = [(r.status, r.old and r.old.name, r.new and r.new.name, edits(r)) for r in back.rows]
    assert sorted(map(str, turned)) == sorted(map(str, told))
    assert there.same == back.same


@pytest.mark.slow
@few
@given(stacks, stacks)
def test_the_differences_of_the_layers_add_up_to_that_of_the_networks(one: list[Any], other: list[Any]) -> None:
    old, new = planned(one), planned(other)
    found = compare(old, new)
    for value in ("parameters", "multiply_adds"):
        sums = [sum(numbers) for numbers in zip(*(row.cost(value) for row in found.rows), strict=True)]
        assert sums == [getattr(old.totals, value), getattr(new.totals, value)]


@pytest.mark.slow
@few
@given(stacks, stacks)
def test_a_partner_without_edits_is_the_same_module_but_for_its_sizes(one: list[Any], other: list[Any]) -> None:
    for row in compare(planned(one), planned(other)).rows:
        if row.status in ("equal", "follows") and row.old and row.new and not row.composite:
            modules = [spot.layer.build() for spot in (row.old, row.new)]
            assert type(modules[0]) is type(modules[1])
            if row.status == "equal":
                assert repr(modules[0]) == repr(modules[1])
                assert row.old.layer.output_shape == row.new.layer.output_shape
