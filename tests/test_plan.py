"""What follows from a stack and an input shape: sizes, refusals in full, costs, weights, and what an output sees."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnexp.architecture.measures import Field
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan
from cnnexp.errors import Problem
from tests.layer_table import EVERY_ROW, Row, batch, by_hand

IMAGE = (3, 32, 32)


def typed(name: str, /, **params: Any) -> dict[str, Any]:
    return {"type": name, **params}


def conv(out_channels: int = 4, kernel_size: Any = 3, dimensions: int = 2, **params: Any) -> dict[str, Any]:
    return typed(f"Conv{dimensions}d", out_channels=out_channels, kernel_size=kernel_size, **params)


def attempt(layers: list[Any], shape: tuple[int, ...] = IMAGE, dtype: str = "float32") -> tuple[Plan, list[Problem]]:
    stack, problems = parse({"layers": layers})
    assert problems == []
    return make_plan(stack, shape, dtype)


def plan_of(*layers: Any, shape: tuple[int, ...] = IMAGE) -> Plan:
    plan, problems = attempt(list(layers), shape)
    assert problems == []
    assert plan.whole
    return plan


def printed(*layers: Any, shape: tuple[int, ...] = IMAGE, dtype: str = "float32") -> list[str]:
    return [str(problem).removeprefix("error: ") for problem in attempt(list(layers), shape, dtype)[1]]


class TestInference:
    def test_sizes_follow_from_what_arrives(self) -> None:
        norms = ["BatchNorm2d", "InstanceNorm2d", typed("GroupNorm", num_groups=2), "LayerNorm", "RMSNorm"]
        up = typed("ConvTranspose2d", out_channels=6, kernel_size=2, stride=2)
        plan = plan_of(conv(8, stride=2), *norms, up, "Flatten", typed("Linear", out_features=10), "BatchNorm1d")
        inferred = [layer.params for layer in plan.layers]
        assert inferred[0]["in_channels"] == 3
        assert [inferred[i]["num_features"] for i in (1, 2, 9)] == [8, 8, 10]
        assert inferred[3]["num_channels"] == inferred[6]["in_channels"] == 8
        assert inferred[4]["normalized_shape"] == inferred[5]["normalized_shape"] == (8, 15, 15)
        assert inferred[8]["in_features"] == 6 * 30 * 30
        assert plan.output_shape == (10,)

    def test_parameters_stand_in_the_order_of_the_signature(self) -> None:
        (layer,) = plan_of(typed("Conv2d", bias=False, kernel_size=3, out_channels=4)).layers
        assert list(layer.params) == ["in_channels", "out_channels", "kernel_size", "bias"]

    def test_a_right_size_may_be_written(self) -> None:
        (layer,) = plan_of(conv(in_channels=3)).layers
        assert layer.params["in_channels"] == 3

    def test_the_pass_goes_on_past_a_wrong_size(self) -> None:
        plan, problems = attempt([conv(in_channels=1), "Flatten", typed("Linear", in_features=7, out_features=2)])
        assert [p.path for p in problems] == [("layers", 0, "in_channels"), ("layers", 2, "in_features")]
        assert plan.layers[0].params["in_channels"] == 3
        assert plan.output_shape == (2,)
        assert plan.whole

    def test_the_plan_ends_before_the_layer_that_does_not_fit(self) -> None:
        plan, problems = attempt(["ReLU", typed("MaxPool2d", kernel_size=33), typed("Linear", out_features=2)])
        assert [layer.type for layer in plan.layers] == ["ReLU"]
        assert len(problems) == 1
        assert not plan.whole

    def test_a_plan_of_half_a_stack_is_not_whole(self) -> None:
        stack, _ = parse({"layers": ["ReLU", "Zebra"]})
        plan, problems = make_plan(stack, IMAGE)
        assert problems == []
        assert not plan.whole

    def test_momentum_null_is_torchs_cumulative_average_and_allowed(self) -> None:
        for name in ("BatchNorm2d", "SyncBatchNorm"):
            assert plan_of(typed(name, momentum=None)).output_shape == IMAGE

    @pytest.mark.parametrize("name", ["BatchNorm2d", "SyncBatchNorm"])
    def test_batch_norm_without_eps_is_refused_because_torch_refuses_it_on_the_first_batch(self, name: str) -> None:
        with pytest.raises(ValueError, match="eps must be positive"):
            by_hand(name, {"eps": 0}, IMAGE)(batch(IMAGE))
        stack, problems = parse({"layers": [typed(name, eps=0)]})
        (problem,) = problems or make_plan(stack, IMAGE)[1]
        assert "eps must be" in problem.message

    def test_a_window_larger_than_the_input_is_fine_where_ceil_mode_makes_it_so(self) -> None:
        pool = typed("MaxPool2d", kernel_size=2, ceil_mode=True)
        assert plan_of(pool, shape=(3, 1, 5)).output_shape == nn.MaxPool2d(2, ceil_mode=True)(torch.ones(3, 1, 5)).shape


SIZE = "leave {} out to have it inferred"
BATCH = "would merge or split the samples of a batch; dimension 0 is the batch\n  hint: count the dimensions from 1"
# fmt: off
REFUSED: list[tuple[list[Any], tuple[int, ...], list[str]]] = [
    ([conv(in_channels=1)], IMAGE, ["layers[0] Conv2d: in_channels (=1) must be 3, the size arriving from the input"
        " (3×32×32)\n  hint: leave in_channels out to have it inferred"]),
    (["ReLU", "Flatten", typed("Linear", in_features=9, out_features=2)], IMAGE, ["layers[2] Linear: in_features (=9)"
        " must be 3072, the size arriving from layers[1] Flatten (3×32×32)\n  hint: " + SIZE.format("in_features")]),
    (["Tanh", typed("BatchNorm2d", num_features=9)], IMAGE, ["layers[1] BatchNorm2d: num_features (=9) must be 3, the"
        " size arriving from layers[0] Tanh (3×32×32)\n  hint: " + SIZE.format("num_features")]),
    ([typed("LayerNorm", normalized_shape=[5, 5])], IMAGE, ["layers[0] LayerNorm: normalized_shape (=[5, 5]) must be"
        " [32, 32], the size arriving from the input (3×32×32)"]),
    ([conv(in_channels=4, kernel_size=33)], IMAGE, ["layers[0] Conv2d: in_channels (=4) must be 3, the size arriving"
        " from the input (3×32×32)\n  hint: " + SIZE.format("in_channels"),
        "layers[0] Conv2d: its 33×33 window is larger than the 32×32 that arrives"]),
    ([conv(groups=2)], IMAGE, ["layers[0] Conv2d: in_channels (=3, inferred) must be divisible by groups (=2)"]),
    ([typed("GroupNorm", num_groups=2)], IMAGE,
        ["layers[0] GroupNorm: num_channels (=3, inferred) must be divisible by num_groups (=2)"]),
    ([conv()], (32, 32), ["layers[0] Conv2d: takes channels×height×width, but 32×32 arrives from the input"
        "\n  hint: put an Unflatten before it"]),
    (["Flatten", typed("MaxPool2d", kernel_size=2)], IMAGE, ["layers[1] MaxPool2d: takes channels×height×width, but"
        " 3072 arrives from layers[0] Flatten\n  hint: put an Unflatten before it"]),
    ([conv(dimensions=1)], IMAGE, ["layers[0] Conv1d: takes channels×length, but 3×32×32 arrives from the input"
        "\n  hint: use Conv2d"]),
    (["BatchNorm1d"], IMAGE, ["layers[0] BatchNorm1d: takes channels×length, but 3×32×32 arrives from the input"
        "\n  hint: use BatchNorm2d"]),
    (["Softmax2d"], (3, 4, 5, 6), ["layers[0] Softmax2d: takes channels×height×width, but 3×4×5×6 arrives from the"
        " input"]),
    ([conv(dimensions=3)], (2, 3, 4, 5, 6), ["layers[0] Conv3d: takes channels×depth×height×width, but 2×3×4×5×6"
        " arrives from the input"]),
    ([conv(kernel_size=33)], IMAGE, ["layers[0] Conv2d: its 33×33 window is larger than the 32×32 that arrives"]),
    ([conv(kernel_size=3, dilation=3, padding=1)], (1, 4, 4), ["layers[0] Conv2d: its 7×7 window (spread by its"
        " dilation) is larger than the 4×4 that arrives, 6×6 with its padding"]),
    ([conv(kernel_size=5), typed("MaxPool2d", kernel_size=2), "ReLU", conv(kernel_size=[7, 3])], (1, 16, 14),
        ["layers[3] Conv2d: its 7×3 window is larger than the 6×5 that arrives\n  hint: the sizes on the way: 16×14 →"
        " 12×10 after layers[0] Conv2d → 6×5 after layers[1] MaxPool2d"]),
    ([typed("ZeroPad1d", padding=-1)], (1, 2), ["layers[0] ZeroPad1d: 1×2 arrives, and 1×0 would be left"]),
    (["Tanh", typed("FractionalMaxPool2d", kernel_size=2, output_ratio=0.1)], (1, 4, 4),
        ["layers[1] FractionalMaxPool2d: 1×4×4 arrives, and 1×0×0 would be left"]),
    ([typed("Flatten", start_dim=0)], IMAGE, [f"layers[0] Flatten: {BATCH}"]),
    ([typed("Flatten", start_dim=-4)], IMAGE, [f"layers[0] Flatten: {BATCH}"]),
    ([typed("Unflatten", dim=0, unflattened_size=[1, 2])], IMAGE, [f"layers[0] Unflatten: {BATCH}"]),
    ([typed("GLU", dim=0)], IMAGE, [f"layers[0] GLU: {BATCH}"]),
    ([typed("Flatten", start_dim=9)], IMAGE, ["layers[0] Flatten: start_dim must be between -4 and 3, not 9: batch and"
        " 3×32×32 arrive from the input"]),
    (["Flatten", typed("Softmax", dim=2)], IMAGE, ["layers[1] Softmax: dim must be between -2 and 1, not 2: batch and"
        " 3072 arrive from layers[0] Flatten"]),
    (["ReLU", conv(dtype="float64")], IMAGE, ["layers[1] Conv2d: has float64 weights, but float32 arrives"
        "\n  hint: for a network that is all float64 set trainer.precision=64-true and leave dtype out"]),
    (["Tanh", typed("PReLU", num_parameters=5)], IMAGE, ["layers[1] PReLU: torch refuses it for the 3×32×32 arriving"
        " from layers[0] Tanh: Mismatch of parameter numbers and input channel size"]),
    ([typed("Unflatten", dim=1, unflattened_size=[-1, -1])], IMAGE, ["layers[0] Unflatten: torch refuses it for the"
        " 3×32×32 arriving from the input: unflatten got an unexpected error: only one dimension can be inferred"]),
]
# fmt: on


@pytest.mark.parametrize(("layers", "shape", "texts"), REFUSED)
def test_what_does_not_fit_is_said_in_full(layers: list[Any], shape: tuple[int, ...], texts: list[str]) -> None:
    assert printed(*layers, shape=shape) == texts


def test_codes_and_paths_name_the_value_at_fault() -> None:
    found = {
        ("wrong-size", ("layers", 0, "in_channels")): [conv(in_channels=1)],
        ("bad-value", ("layers", 0, "groups")): [conv(groups=2)],
        ("wrong-dimensions", ("layers", 0)): ["BatchNorm3d"],
        ("bad-value", ("layers", 1, "end_dim")): [None, typed("Flatten", end_dim=4)],
        ("empty-shape", ("layers", 0, "kernel_size")): [conv(kernel_size=40)],
        ("batch-lost", ("layers", 0, "start_dim")): [typed("Flatten", start_dim=0)],
        ("wrong-dtype", ("layers", 0, "dtype")): [conv(dtype="float64")],
        ("refused-by-torch", ("layers", 1)): ["Tanh", typed("PixelShuffle", upscale_factor=2)],
    }
    for expected, layers in found.items():
        (problem,) = attempt(layers)[1]
        assert (problem.code, problem.path) == expected


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_the_dtype_of_the_weights_must_be_the_samples(dtype: str) -> None:
    layer = typed("Linear", out_features=2, dtype=dtype)
    assert printed(layer, shape=(3,), dtype=dtype) == []
    (problem,) = attempt([layer], (3,))[1]
    assert problem.message == f"layers[0] Linear: has {dtype} weights, but float32 arrives"
    assert dtype in (problem.hint or dtype)
    (problem,) = attempt([typed("Linear", out_features=2)], (3,), dtype)[1]
    assert problem.path == ("layers", 0)
    assert problem.message == f"layers[0] Linear: has float32 weights, but {dtype} arrives"


def test_a_network_that_is_converted_has_one_dtype_whatever_its_layers_say() -> None:
    stack, _ = parse({"layers": [conv(dtype="float16"), "BatchNorm2d"]})
    plan, problems = make_plan(stack, IMAGE, "float64", converted=True)
    assert problems == []
    assert plan.dtype == "float64"


def test_a_transposed_convolution_that_leaves_nothing_is_told_like_any_other() -> None:
    layer = typed("ConvTranspose1d", out_channels=2, kernel_size=1, padding=3)
    (problem,) = attempt([layer], (2, 3))[1]
    assert problem.code == "empty-shape"


@pytest.mark.parametrize("layer", [typed("Linear", out_features=2), typed("GroupNorm", num_groups=1), "SyncBatchNorm"])
def test_a_sample_that_is_a_single_number_is_a_problem_and_no_crash(layer: Any) -> None:
    assert len(attempt([layer], ())[1]) == 1


@pytest.fixture
def _patience() -> Iterator[None]:
    """Breaks off what takes longer than ten seconds."""

    def give_up(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_patience")
def test_a_huge_size_takes_no_time() -> None:
    plan = plan_of(typed("AdaptiveAvgPool2d", output_size=[10**12, 3]), shape=(1, 7, 7))
    assert plan.output_shape == (1, 10**12, 3)


class TestCosts:
    @EVERY_ROW
    def test_multiply_adds_are_what_torch_counts(self, row: Row) -> None:
        stack, _ = parse({"layers": [typed(row.type, **row.params)]})
        (layer,) = make_plan(stack, row.input_shape, row.dtype)[0].layers
        module = by_hand(row.type, row.params, row.input_shape)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(batch(row.input_shape, row.dtype))
        assert layer.multiply_adds == counter.get_total_flops() // 2 // 2

    def test_totals_are_the_sums_of_the_layers(self) -> None:
        plan = plan_of(conv(8, padding=1), "BatchNorm2d", "ReLU", "Flatten", typed("Linear", out_features=10))
        parameters = [8 * 3 * 9 + 8, 2 * 8, 0, 0, 8 * 32 * 32 * 10 + 10]
        multiply_adds = [8 * 3 * 9 * 32 * 32, 0, 0, 0, 8 * 32 * 32 * 10]
        assert [x.parameters for x in plan.layers] == parameters
        assert [x.multiply_adds for x in plan.layers] == multiply_adds
        assert (plan.totals.parameters, plan.totals.multiply_adds) == (sum(parameters), sum(multiply_adds))

    def test_the_plan_is_plain_data(self) -> None:
        plan = plan_of(conv(8, [3, 1]), typed("Flatten"), typed("Linear", out_features=2))
        data = json.loads(json.dumps(plan.as_dict()))
        assert data == plan.as_dict()
        assert (data["input_shape"], data["output_shape"], data["dtype"]) == ([3, 32, 32], [2], "float32")
        assert data["parameters"] == plan.totals.parameters
        first = data["layers"][0]
        assert first["params"] == {"in_channels": 3, "out_channels": 8, "kernel_size": [3, 1]}
        assert (first["receptive_field"], first["jump"], first["output_shape"]) == ([3, 1], [1.0, 1.0], [8, 30, 32])

    def test_the_table_shows_every_layer_and_the_totals(self) -> None:
        lines = plan_of(conv(8, name="stem"), "ReLU").table().splitlines()
        assert any(line.split() == ["input", "3×32×32"] for line in lines)
        row = next(line for line in lines if "stem" in line)
        assert row.split() == ["stem", "Conv2d(3,", "8,", "3)", "8×30×30", "224", "194,400", "3", "1"]
        assert lines[-1] == "224 parameters, 194,400 multiply-adds per sample"


def pool(kernel_size: Any, name: str = "MaxPool1d", **params: Any) -> dict[str, Any]:
    return typed(name, kernel_size=kernel_size, **params)


def line(out_channels: int = 1, kernel_size: int = 3, **params: Any) -> dict[str, Any]:
    return conv(out_channels, kernel_size, dimensions=1, **params)


def up(kernel_size: int, stride: int, **params: Any) -> dict[str, Any]:
    return typed("ConvTranspose1d", out_channels=1, kernel_size=kernel_size, stride=stride, **params)


TWICE = typed("Upsample", scale_factor=2)
LINEAR = typed("Upsample", scale_factor=2, mode="linear")
UNFLATTEN = typed("Unflatten", dim=1, unflattened_size=[1, 40])


class TestReceptiveField:
    """What an output sees is measured by what it turns into when one line of the input is not a number."""

    def seen(self, plan: Plan, dim: int) -> list[torch.Tensor]:
        """For each output position along a dimension, the input positions along it that reach it."""
        model, shape = plan.build().double().eval(), plan.input_shape
        samples = torch.ones(shape[dim], *shape, dtype=torch.float64)
        for i in range(shape[dim]):
            samples[i].select(dim, i).fill_(float("nan"))
        with torch.no_grad():
            reached = model(samples).isnan()
        reached = reached.movedim(dim + 1, 1).flatten(2).any(2)
        return [column.nonzero().flatten() for column in reached.T]

    def measured(self, plan: Plan) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """The largest extent of what an output sees, and the mean step between outputs that see as much."""
        sizes, jumps = [], []
        for dim in range(1, len(plan.input_shape)):
            spans = [(int(p.min()), int(p.max() - p.min()) + 1) if len(p) else (0, 0) for p in self.seen(plan, dim)]
            sizes.append(max(size for _, size in spans))
            inside = [(i, start) for i, (start, size) in enumerate(spans) if size == sizes[-1]]
            steps = max(1, inside[-1][0] - inside[0][0])
            jumps.append((inside[-1][1] - inside[0][1]) / steps)
        return tuple(sizes), tuple(jumps)

    def declared(self, plan: Plan) -> Field:
        field = plan.layers[-1].field
        assert field is not None
        return field

    @pytest.mark.parametrize(
        ("layers", "shape"),
        [
            (["ReLU"], (2, 9)),
            ([line(2, 5)], (1, 20)),
            ([line(kernel_size=3, dilation=4, padding=4)], (1, 40)),
            ([line(kernel_size=3, stride=2), "BatchNorm1d", "ReLU", line(2, 3), line(1, 3)], (1, 40)),
            ([pool(2), line(), pool(3, stride=2), line(kernel_size=4)], (1, 80)),
            ([pool(3, "AvgPool1d", stride=1), line(kernel_size=2, stride=3), pool(2, dilation=3, stride=1)], (1, 80)),
            ([pool(2, "LPPool1d", norm_type=2), typed("ZeroPad1d", padding=[2, 1]), line(padding="same")], (1, 40)),
            ([conv(2, [3, 5], stride=[2, 1]), pool([1, 2], "MaxPool2d"), conv(1, 3)], (2, 40, 36)),
            ([conv(1, 3, dilation=[2, 3]), pool(2, "AvgPool2d"), conv(1, [1, 3])], (1, 30, 40)),
            ([typed("PixelUnshuffle", downscale_factor=2), conv(1, 3)], (1, 20, 20)),
            ([conv(1, [1, 2, 3], 3, stride=[1, 2, 1]), pool([2, 1, 2], "MaxPool3d")], (1, 8, 12, 12)),
        ],
    )
    def test_convolutions_and_poolings_see_exactly_what_is_declared(
        self, layers: list[Any], shape: tuple[int, ...]
    ) -> None:
        plan = plan_of(*layers, shape=shape)
        assert (self.declared(plan).size, self.declared(plan).jump) == self.measured(plan)

    @pytest.mark.parametrize(
        ("layers", "shape"),
        [
            ([up(2, 2)], (1, 20)),
            ([up(4, 2, padding=1)], (1, 20)),
            ([up(3, 2), line()], (1, 20)),
            ([up(3, 3), pool(2, stride=1)], (1, 20)),
            ([TWICE, line()], (1, 20)),
            ([TWICE, line(kernel_size=2)], (1, 20)),
            ([LINEAR, line()], (1, 20)),
            ([pool(2), TWICE, line(kernel_size=2)], (1, 60)),
            ([typed("AdaptiveAvgPool1d", output_size=7)], (1, 20)),
            ([line(), typed("AdaptiveMaxPool1d", output_size=1)], (1, 20)),
            ([typed("PixelShuffle", upscale_factor=2), conv(1, 3)], (4, 9, 8)),
        ],
    )
    def test_layers_that_grow_or_adapt_see_exactly_what_is_declared(
        self, layers: list[Any], shape: tuple[int, ...]
    ) -> None:
        plan = plan_of(*layers, shape=shape)
        assert self.declared(plan).size == self.measured(plan)[0]

    @pytest.mark.parametrize(
        "layers",
        [
            [typed("AdaptiveAvgPool1d", output_size=16), line(kernel_size=2)],
            [up(3, 2, dilation=2), line()],
            [TWICE, pool(4), LINEAR, line(kernel_size=2)],
            [line(), pool(2), line(), up(2, 2), line()],
            [pool(2), line(), TWICE, line(), LINEAR, line()],
            [typed("GLU")],
            [typed("Linear", out_features=40)],
            ["Flatten", UNFLATTEN, line()],
            ["Flatten", typed("GLU"), typed("Unflatten", dim=1, unflattened_size=[1, 20])],
            ["Flatten", typed("Linear", out_features=40), UNFLATTEN, line()],
        ],
    )
    def test_no_output_sees_more_than_is_declared(self, layers: list[Any]) -> None:
        plan = plan_of(*layers, shape=(1, 40))
        field = plan.layers[-1].field
        assert field is None or field.size >= self.measured(plan)[0]

    def test_a_linear_layer_behind_a_flatten_sees_the_whole_image(self) -> None:
        plan = plan_of(conv(2), "Flatten", "ReLU", typed("Linear", out_features=2), "Tanh", shape=(1, 9, 7))
        assert [layer.field and layer.field.size for layer in plan.layers] == [(3, 3)] * 3 + [(9, 7)] * 2
        assert [layer.field and layer.field.jump for layer in plan.layers] == [(1, 1)] + [None] * 4

    def test_where_there_is_no_window_none_is_declared(self) -> None:
        unfold, flat = typed("Unfold", kernel_size=2), typed("Flatten", start_dim=2)
        assert [x.field for x in plan_of(unfold, "ReLU", shape=(1, 6, 6)).layers] == [None, None]
        assert plan_of(flat, shape=(1, 6, 6)).layers[0].field is None
        assert plan_of("ReLU", shape=(6,)).layers[0].field is None


def test_a_window_too_large_for_what_arrives_is_told_with_ceil_mode_too() -> None:
    entries = [{"type": "MaxPool2d", "kernel_size": 4, "stride": 2, "ceil_mode": True}]
    plan, problems = make_plan(parse({"layers": entries})[0], (1, 3, 3))
    assert problems == []
    assert plan.output_shape == tuple(nn.MaxPool2d(4, 2, ceil_mode=True)(torch.zeros(1, 1, 3, 3)).shape[1:])
    _, (problem,) = make_plan(parse({"layers": entries})[0], (1, 2, 3))
    assert problem.message == "layers[0] MaxPool2d: its 4×4 window is larger than the 2×3 that arrives"


def test_a_file_of_blocks_in_the_place_of_a_model_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from cnnexp.cli import main

    assert main(["check", "model=blocks/basic_block"]) == 2
    told = capsys.readouterr().err
    assert "a model needs a list 'layers'" in told
    assert (
        "hint: this is a file of blocks (basic_block, basic_stage); a model names it under defaults: [blocks: NAME]"
        in told
    )
    assert told.endswith("\n1 problem; nothing was run\n")
