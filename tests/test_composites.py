"""Layers inside layers: the modules that come out of them, inputs that are needed twice, and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from cnnexp.architecture.composites import COMPOSITES, MOST
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan
from cnnexp.errors import Problem
from tests import by_hand

IMAGE = (3, 8, 8)


def typed(name: str, /, **params: Any) -> dict[str, Any]:
    return {"type": name, **params}


def conv(out_channels: int = 3, kernel_size: int = 1, **params: Any) -> dict[str, Any]:
    return typed("Conv2d", out_channels=out_channels, kernel_size=kernel_size, **params)


def pool(kernel_size: Any = 2, dimensions: int = 2, **params: Any) -> dict[str, Any]:
    return typed(f"MaxPool{dimensions}d", kernel_size=kernel_size, **params)


def residual(*layers: Any, **more: Any) -> dict[str, Any]:
    return typed("Residual", layers=list(layers), **more)


def parallel(*branches: Any, **more: Any) -> dict[str, Any]:
    return typed("Parallel", branches=list(branches), **more)


def repeat(times: Any, *layers: Any) -> dict[str, Any]:
    return typed("Repeat", times=times, layers=list(layers))


def unpool(*layers: Any, by: Any = None) -> dict[str, Any]:
    return typed("Unpool", pool=by or pool(), layers=list(layers))


def attempt(layers: list[Any], shape: tuple[int, ...] = IMAGE, **keys: Any) -> tuple[Plan, list[Problem]]:
    stack, problems = parse({**keys, "layers": layers})
    plan, more = make_plan(stack, shape)
    assert plan.whole or [*problems, *more], "what is not whole must be told"
    return plan, [*problems, *more]


def plan_of(*layers: Any, shape: tuple[int, ...] = IMAGE) -> Plan:
    plan, problems = attempt(list(layers), shape)
    assert problems == []
    return plan


def told(*layers: Any, shape: tuple[int, ...] = IMAGE) -> list[str]:
    return [str(problem).removeprefix("error: ") for problem in attempt(list(layers), shape)[1]]


class TestWhatIsBuilt:
    @pytest.mark.parametrize(
        ("layers", "shape", "keys"),
        [
            ([residual(conv(), "ReLU")], IMAGE, ["0.layers.0.weight", "0.layers.0.bias"]),
            (
                [residual(conv(4, bias=False), shortcut=conv(4, bias=False))],
                IMAGE,
                ["0.layers.0.weight", "0.shortcut.weight"],
            ),
            (
                [residual(conv(4, bias=False), shortcut=[conv(4, bias=False)], name="r")],
                IMAGE,
                ["r.layers.0.weight", "r.shortcut.0.weight"],
            ),
            (
                [parallel(conv(4, bias=False, name="one"), ["ReLU", conv(1, bias=False)], "Identity")],
                IMAGE,
                ["0.one.weight", "0.1.1.weight"],
            ),
            ([repeat(2, conv(4, bias=False))], IMAGE, ["0.0.weight", "0.1.weight"]),
            ([repeat(2, conv(4, bias=False, name="c"))], IMAGE, ["0.0.c.weight", "0.1.c.weight"]),
            ([repeat(2, "ReLU", conv(4, bias=False))], IMAGE, ["0.0.1.weight", "0.1.1.weight"]),
            (
                [repeat(2, typed("Sequential", layers=[conv(4, bias=False)]))],
                IMAGE,
                ["0.0.0.weight", "0.1.0.weight"],
            ),
            ([repeat(2, None, conv(4, bias=False), None)], IMAGE, ["0.0.weight", "0.1.weight"]),
            ([repeat(2, parallel("Identity", conv(2, bias=False)))], IMAGE, ["0.0.1.weight", "0.1.1.weight"]),
            ([unpool(conv(bias=False, name="c"))], IMAGE, ["0.layers.c.weight"]),
            ([unpool("ReLU", by=pool(3, stride=2, padding=1))], (3, 7, 9), []),
            ([unpool("Tanh", by=pool(2, 1, ceil_mode=True))], (2, 5), []),
            ([unpool("Tanh", by=pool([1, 2, 3], 3))], (2, 3, 4, 7), []),
            ([unpool(unpool("Tanh"))], (1, 5, 7), []),
            ([residual(residual(conv(kernel_size=3, padding=1, bias=False)))], IMAGE, ["0.layers.0.layers.0.weight"]),
            (
                [parallel(conv(4, bias=False), conv(1, bias=False), merge="multiply")],
                IMAGE,
                ["0.0.weight", "0.1.weight"],
            ),
            ([parallel("Identity", pool([1, 2], stride=1), dim=-1)], IMAGE, []),
            ([parallel("Identity", "Tanh", merge="add", dim=9)], IMAGE, []),
        ],
    )
    def test_it_is_what_one_would_write_by_hand(
        self, layers: list[Any], shape: tuple[int, ...], keys: list[str]
    ) -> None:
        plan = plan_of(*layers, shape=shape)
        model = plan.build(seed=0).eval()
        module, leaving = by_hand.network({"layers": layers}, shape)
        module.load_state_dict(model.state_dict())
        x = torch.randn(2, *shape)
        assert list(model.state_dict()) == list(module.state_dict()) == keys
        assert torch.equal(model(x), module.eval()(x))
        assert plan.output_shape == leaving

    def test_copies_are_independent_and_their_sizes_are_their_own(self) -> None:
        plan = plan_of(repeat(3, parallel("Identity", conv(2))))
        copies = plan.layers[0].children
        assert [copy.output_shape[0] for copy in copies] == [5, 7, 9]
        assert [copy.children[1].params["in_channels"] for copy in copies] == [3, 5, 7]
        first, second = (plan_of(repeat(2, conv())).build(0).get_parameter(f"0.{n}.weight") for n in (0, 1))
        assert not torch.equal(first, second)

    def test_a_branch_of_nothing_but_names_is_called_as_asked(self) -> None:
        (layer,) = plan_of(parallel(typed("ReLU", name="left"), ["Tanh"], typed("Tanh", name="right"))).layers
        assert [child.name for child in layer.children] == ["left", "1", "right"]

    def test_null_is_left_out_everywhere(self) -> None:
        layers = [
            typed("Sequential", layers=[None, "ReLU", None]),
            residual(None, "ReLU", shortcut=None),
            residual("ReLU", shortcut=[None, "Tanh"]),
            parallel(None, "ReLU", [None, "Tanh"]),
            repeat(2, None, "ReLU"),
            unpool(None, "ReLU"),
        ]
        plan = plan_of(*layers)
        assert [[child.name for child in layer.children] for layer in plan.layers] == [
            ["0"], ["layers"], ["layers", "shortcut"], ["0", "1"], ["0", "1"], ["pool", "layers"]
        ]  # fmt: skip

    def test_walk_gives_exactly_the_modules_and_the_text_shows_what_they_are(self) -> None:
        plan = plan_of(residual(conv(), shortcut=["Identity"]), parallel("Tanh", "ReLU", dim=2), unpool("ReLU"))
        model = plan.build(0)
        assert [name for _, name, _ in plan.walk()] == [name for name, _ in model.named_modules() if name]
        assert "Parallel(\n    merge=concat, dim=2" in repr(model)
        assert type(model.get_submodule("0.shortcut")) is nn.Sequential


INPLACE = typed("ReLU", inplace=True)


class TestInputsThatAreNeededTwice:
    @pytest.mark.parametrize(
        "entry",
        [
            residual(INPLACE),
            residual(INPLACE, conv()),
            residual("Identity", INPLACE),
            residual(typed("Dropout", p=0.0), INPLACE),
            residual("AlphaDropout", INPLACE),
            residual(typed("StochasticDepth", p=0.5, mode="row"), INPLACE),
            residual(typed("Permute", dims=[0, 1, 3, 2]), INPLACE, typed("Permute", dims=[0, 1, 3, 2])),
            residual(typed("Sequential", layers=[typed("Sequential", layers=[INPLACE])]), conv()),
            residual(repeat(2, INPLACE)),
            residual(conv(), shortcut=INPLACE),
            residual(conv(), shortcut=["Identity", INPLACE]),
            residual(parallel(INPLACE), conv()),
            residual(parallel("Identity", merge="add"), INPLACE),
            parallel("Identity", INPLACE),
            parallel(INPLACE, conv()),
            parallel(["Flatten", typed("Unflatten", dim=1, unflattened_size=[3, 8, 8]), INPLACE], "Tanh"),
        ],
    )
    def test_a_layer_that_works_in_place_on_one_is_refused(self, entry: Any) -> None:
        (problem,) = attempt([entry])[1]
        assert problem.code == "overwritten"
        assert problem.path[-1] == "inplace"
        assert problem.message.endswith(
            f": inplace must be false here: layers[0] {entry['type']} needs the same input once more"
        )

    @pytest.mark.parametrize(
        "entry",
        [
            residual(conv(), INPLACE),
            residual("BatchNorm2d", INPLACE, conv(), INPLACE),
            residual(residual(conv()), INPLACE),
            residual(parallel(conv(1), conv(2)), INPLACE),
            residual(unpool("Tanh"), INPLACE),
            residual(unpool(INPLACE)),
            residual(conv(), shortcut=["BatchNorm2d", INPLACE]),
            residual(repeat(2, conv(), INPLACE)),
            parallel(INPLACE),
            parallel([INPLACE, conv()], merge="add"),
            typed("Sequential", layers=[INPLACE, residual(conv())]),
        ],
    )
    def test_where_it_is_harmless_it_is_allowed(self, entry: Any) -> None:
        model = plan_of(conv(), entry).build(seed=0).eval()
        spared = plan_of(conv(), _without_inplace(entry)).build(seed=0).eval()
        x = torch.randn(2, *IMAGE)
        assert torch.equal(model(x), spared(x))
        model.train()(x).sum().backward()


def _without_inplace(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: False if k == "inplace" else _without_inplace(v) for k, v in value.items()}
    return [_without_inplace(v) for v in value] if isinstance(value, list) else value


class TestLimits:
    TOO_MANY = f"the network has more than {MOST:,} layers, blocks and repetitions spelt out"

    def test_copies_of_copies_are_counted_before_they_are_made(self) -> None:
        assert told(repeat(MOST, repeat(MOST, repeat(MOST, "ReLU")))) == [self.TOO_MANY]
        assert told(repeat(200, parallel("ReLU", repeat(100, "Tanh")))) == [self.TOO_MANY]

    @pytest.mark.slow
    def test_blocks_that_double_one_another_are_counted_while_they_are_read(self) -> None:
        blocks: dict[str, Any] = {f"b{n}": {"layers": [f"b{n + 1}"] * 2} for n in range(60)}
        blocks["b60"] = {"layers": ["ReLU"]}
        assert [p.message for p in attempt(["b0"], blocks=blocks)[1]] == [self.TOO_MANY]

    def test_values_that_double_one_another_are_not_spelt_out(self) -> None:
        blocks: dict[str, Any] = {
            f"b{n}": {"params": {"x": "???"}, "layers": [typed(f"b{n + 1}", x=["$x", "$x"])]} for n in range(40)
        }
        blocks["b40"] = {"params": {"x": "???"}, "layers": ["ReLU"]}
        (problem,) = attempt([typed("b0", x=1)], blocks=blocks)[1]
        assert (problem.code, problem.message) == (
            "too-large", "layers[0] b0: has more than 10,000 values, names spelt out"
        )  # fmt: skip

    @pytest.mark.parametrize("kind", ["blocks", "layers"])
    def test_layers_that_stand_too_deep_are_a_problem_and_no_crash(self, kind: str) -> None:
        entry: Any = "ReLU"
        for _ in range(200):
            entry = residual(entry)
        blocks: dict[str, Any] = {f"b{n}": {"layers": ["Tanh", f"b{n + 1}"]} for n in range(500)}
        blocks["b500"] = {"layers": ["ReLU"]}
        found = attempt([entry] if kind == "layers" else ["b0"], blocks=blocks)[1]
        name = "Residual" if kind == "layers" else "b0"
        text = f"layers[0] {name}: more than 64 layers stand inside one another"
        assert {(p.code, p.message) for p in found} == {("too-deep", text)}

    def test_as_deep_as_it_may_be_everything_still_works(self) -> None:
        entry: Any = conv(bias=False)
        for _ in range(21):
            entry = residual(typed("Sequential", layers=[repeat(1, entry)]))
        plan = plan_of(entry)
        model = plan.build(seed=0)
        namespace: dict[str, Any] = {}
        exec(plan.source(), namespace)
        assert list(namespace["model"].state_dict()) == list(model.state_dict())
        assert model(torch.randn(1, *IMAGE)).shape[1:] == plan.output_shape

    def test_hundreds_of_copies_become_one_loop(self) -> None:
        text = plan_of(repeat(300, parallel("Identity", conv(1))), shape=(1, 1, 1)).source()
        assert "for i in range(300)" in text


def test_every_composite_is_tested_here() -> None:
    assert set(COMPOSITES.entries) == {"Sequential", "Residual", "Parallel", "Repeat", "Unpool"}
