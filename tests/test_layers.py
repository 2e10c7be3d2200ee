"""Every layer type of the catalogue, held to the torch layer that a person would write by hand."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from cnnexp.architecture.catalog import LAYERS
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan
from tests.layer_table import EVERY_ROW, ROWS, Row, batch, by_hand


def plan_of(row: Row) -> Plan:
    stack, problems = parse({"layers": [{"type": row.type, **row.params}]})
    plan, more = make_plan(stack, row.input_shape, row.dtype)
    assert [*problems, *more] == []
    return plan


def hand(row: Row) -> nn.Module:
    return by_hand(row.type, row.params, row.input_shape)


def after_seed(module: nn.Module, samples: Tensor) -> Tensor:
    torch.manual_seed(1)
    output: Tensor = module(samples.clone())  # a clone, because a layer may work in place
    return output


def assert_same_state(one: nn.Module, other: nn.Module, ignoring: str = "") -> None:
    state = {key.removeprefix(ignoring): value for key, value in one.state_dict().items()}
    assert list(state) == list(other.state_dict())
    for key, value in other.state_dict().items():
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value), key


@EVERY_ROW
def test_the_planned_shape_is_the_shape_that_torch_gives(row: Row) -> None:
    with torch.no_grad():
        output = hand(row)(batch(row.input_shape, row.dtype))
    assert tuple(output.shape) == (2, *row.output_shape)
    assert str(output.dtype) == f"torch.{row.dtype}"
    plan = plan_of(row)
    (layer,) = plan.layers
    assert (layer.input_shape, layer.output_shape) == (row.input_shape, row.output_shape)
    assert (plan.input_shape, plan.output_shape) == (row.input_shape, row.output_shape)


@EVERY_ROW
def test_the_built_layer_is_the_layer_by_hand(row: Row) -> None:
    torch.manual_seed(7)
    expected = hand(row)
    torch.manual_seed(7)
    built = plan_of(row).build()
    assert repr(built[0]) == repr(expected)
    assert type(built[0]) is type(expected)
    assert_same_state(built, expected, ignoring="0.")
    samples = batch(row.input_shape, row.dtype)
    assert torch.equal(after_seed(built, samples), after_seed(expected, samples))
    assert_same_state(built, expected, ignoring="0.")  # running statistics have moved alike
    assert torch.equal(after_seed(built.eval(), samples), after_seed(expected.eval(), samples))


@EVERY_ROW
def test_the_plan_counts_what_is_learned(row: Row) -> None:
    assert plan_of(row).layers[0].parameters == sum(p.numel() for p in hand(row).parameters())


@EVERY_ROW
def test_gradients_flow_back_through_the_built_layer(row: Row) -> None:
    built = plan_of(row).build()
    samples = batch(row.input_shape, row.dtype).requires_grad_()
    built(samples * 1).sum().backward()
    assert samples.grad is not None
    assert samples.grad.shape == samples.shape
    assert samples.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in built.parameters() if p.requires_grad)


@EVERY_ROW
def test_the_printed_source_stands_alone(row: Row) -> None:
    plan = plan_of(row)
    namespace: dict[str, Any] = {}
    exec(plan.source(), namespace)
    built, printed = plan.build(), namespace["model"]
    assert repr(printed) == repr(built)
    assert list(printed.state_dict()) == list(built.state_dict())
    printed.load_state_dict(built.state_dict())
    assert_same_state(printed, built)
    samples = batch(row.input_shape, row.dtype)
    assert torch.equal(after_seed(printed, samples), after_seed(built, samples))


@EVERY_ROW
def test_a_row_is_plain_yaml_and_survives_it(row: Row) -> None:
    entry = {"type": row.type, **row.params}
    assert yaml.safe_load(yaml.safe_dump(entry)) == entry
    stack, _ = parse({"layers": [entry]})
    again, problems = parse(yaml.safe_load(yaml.safe_dump(stack.as_dict())))
    assert problems == []
    assert [(x.component.name, x.params, x.name) for x in again.layers] == [
        (x.component.name, x.params, x.name) for x in stack.layers
    ]


def test_the_table_has_a_row_for_every_layer_type() -> None:
    assert {row.type for row in ROWS} == set(LAYERS.entries)


def test_the_table_has_three_rows_for_every_convolution_and_pooling() -> None:
    rows = Counter(row.type for row in ROWS)
    wanted = [name for name in LAYERS.entries if name.startswith("Conv") or "Pool" in name]
    assert len(wanted) >= 23
    assert [name for name in wanted if rows[name] < 3] == []


@pytest.mark.parametrize("name", LAYERS.entries)
def test_the_table_uses_every_parameter(name: str) -> None:
    used = {parameter for row in ROWS if row.type == name for parameter in row.params}
    assert set(LAYERS.entries[name].parameters) - used == set()


class TestWholeNetworks:
    ENTRIES: tuple[Any, ...] = (
        {"type": "Conv2d", "out_channels": 4, "kernel_size": 3},
        "BatchNorm2d",
        {"type": "PReLU", "init": 0.1},
        {"type": "Conv2d", "out_channels": 6, "kernel_size": 3, "groups": 2},
        "Flatten",
        {"type": "Linear", "out_features": 3},
    )

    def plan(self, *entries: Any) -> Plan:
        stack, problems = parse({"layers": list(entries or self.ENTRIES)})
        plan, more = make_plan(stack, (3, 8, 8))
        assert [*problems, *more] == []
        return plan

    def hand(self) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.PReLU(init=0.1),
            nn.Conv2d(4, 6, 3, groups=2),
            nn.Flatten(),
            nn.Linear(6 * 4 * 4, 3),
        )

    def test_a_seed_gives_the_weights_of_the_layers_by_hand(self) -> None:
        torch.manual_seed(5)
        expected = self.hand()
        assert_same_state(self.plan().build(5), expected)
        assert_same_state(self.plan().build(5), expected)
        assert not torch.equal(self.plan().build(6)[0].weight, expected[0].weight)
        torch.manual_seed(5)
        assert_same_state(self.plan().build(), expected)

    def test_building_with_a_seed_leaves_the_global_generators_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reseeded: list[int] = []
        monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded.append)
        before = torch.get_rng_state()
        self.plan().build(5)
        assert torch.equal(torch.get_rng_state(), before)
        assert reseeded == []

    @pytest.mark.parametrize("names", [["stem", None, "act"], ['a "b"', "back\\slash", "new\nline", "ünï'", "class"]])
    def test_the_source_draws_the_same_weights_under_the_same_names(self, names: list[str | None]) -> None:
        entries = [{"type": "BatchNorm2d", "name": name} for name in names]
        plan = self.plan(*entries, {"type": "Conv2d", "out_channels": 4, "kernel_size": [3, 1]})
        namespace: dict[str, Any] = {}
        torch.manual_seed(5)
        exec(plan.source("A 'test'"), namespace)
        assert_same_state(namespace["model"], plan.build(5))
        assert [name for name, _ in plan.build().named_children()] == [
            name or str(index) for index, name in enumerate([*names, None])
        ]

    def test_whatever_identity_was_given_the_source_runs(self) -> None:
        plan = self.plan({"type": "Identity", "two words": 1, "class": [2], "nan": float("nan"), "dtype": "none"})
        namespace: dict[str, Any] = {}
        exec(plan.source(), namespace)
        assert repr(namespace["model"]) == repr(plan.build())


def test_a_circular_padding_that_is_accepted_cuts_and_goes_on_at_the_other_end() -> None:
    """torch itself hands on memory that nobody has written where a cut leaves less than the padding asks for."""
    accepted = 0
    for size, before, behind in product(range(1, 6), range(-4, 6), range(-4, 6)):
        stack, _ = parse({"layers": [{"type": "CircularPad1d", "padding": [before, behind]}]})
        _, problems = make_plan(stack, (2, size))
        if problems:
            continue
        accepted += 1
        x = torch.rand(3, 2, size)
        kept = x[..., max(-before, 0) : size - max(-behind, 0)]
        around = range(-max(before, 0), kept.shape[-1] + max(behind, 0))
        expected = kept[..., [i % kept.shape[-1] for i in around]]
        assert torch.equal(nn.CircularPad1d((before, behind))(x), expected)
    assert accepted > 100
