"""Laws for any stack on any small input: what is planned is what torch does, and what is refused torch refuses."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan
from cnnexp.architecture.stack import Layer
from cnnexp.errors import Problem
from tests import by_hand as hand
from tests.layer_table import by_hand

pytestmark = pytest.mark.slow

Case = tuple[list[dict[str, Any]], tuple[int, ...]]
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sizes(n: int, least: int = 1, most: int = 3) -> st.SearchStrategy[Any]:
    one = st.integers(least, most)
    return one | st.lists(one, min_size=n, max_size=n)


def entry(name: str, /, **params: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A layer of this type in which every parameter named `maybe_…` may be left out."""
    required = {k: v for k, v in params.items() if not k.startswith("maybe_")}
    optional = {k.removeprefix("maybe_"): v for k, v in params.items() if k.startswith("maybe_")}
    return st.fixed_dictionaries({"type": st.just(name), **required}, optional=optional)


def windows(n: int) -> list[st.SearchStrategy[dict[str, Any]]]:
    channels, window = st.integers(1, 4), sizes(n, most=4)
    modes = st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"])
    step = {"maybe_stride": sizes(n), "maybe_dilation": sizes(n, most=2), "maybe_padding": sizes(n, least=0)}
    plain = {"maybe_stride": sizes(n), "maybe_padding": sizes(n, least=0, most=2), "maybe_ceil_mode": st.booleans()}
    named = {**step, "maybe_padding": sizes(n, least=0) | st.sampled_from(["same", "valid"])}
    common = {"out_channels": channels, "kernel_size": window, "maybe_groups": st.integers(1, 2)}
    common |= {"maybe_in_channels": channels, "maybe_bias": st.booleans()}
    return [
        entry(f"Conv{n}d", **common, **named, maybe_padding_mode=modes),
        entry(f"ConvTranspose{n}d", **common, **step, maybe_output_padding=sizes(n, least=0, most=1)),
        entry(f"MaxPool{n}d", kernel_size=window, **plain, maybe_dilation=sizes(n, most=2)),
        entry(f"AvgPool{n}d", kernel_size=window, **plain, maybe_count_include_pad=st.booleans()),
        entry(f"LPPool{n}d", norm_type=st.just(2), kernel_size=window, maybe_stride=sizes(n)),
        entry(f"AdaptiveAvgPool{n}d", output_size=sizes(n)),
        entry(f"AdaptiveMaxPool{n}d", output_size=sizes(n)),
    ]


def others(n: int) -> list[st.SearchStrategy[dict[str, Any]]]:
    inplace, probability = st.booleans(), st.floats(0, 1)
    pads = st.integers(-1, 2) | st.lists(st.integers(-1, 2), min_size=2 * n, max_size=2 * n)
    factor = {"scale_factor": st.sampled_from([0.4, 1.5, 2])}
    return [
        st.sampled_from(["ReLU", "Tanh", "SiLU", "PReLU", "Sigmoid", "Identity"]).map(lambda name: {"type": name}),
        entry("LeakyReLU", maybe_negative_slope=st.floats(0, 1), maybe_inplace=inplace),
        entry("Dropout", maybe_p=probability, maybe_inplace=inplace),
        entry(f"Dropout{n}d", maybe_p=probability),
        entry(f"BatchNorm{n}d", maybe_momentum=st.none() | probability, maybe_eps=st.sampled_from([0, 1e-3])),
        entry(f"InstanceNorm{n}d", maybe_affine=st.booleans(), maybe_num_features=st.integers(1, 4)),
        entry("GroupNorm", num_groups=st.integers(1, 2), maybe_num_channels=st.integers(1, 4)),
        entry("LayerNorm", maybe_elementwise_affine=st.booleans()),
        entry(f"ZeroPad{n}d", padding=pads),
        entry(f"ReflectionPad{n}d", padding=pads),
        entry("Upsample", **factor, maybe_mode=st.sampled_from(["nearest", "linear", "bilinear", "trilinear", "area"])),
        entry("Upsample", size=sizes(n, most=5)),
    ]


@st.composite
def networks(draw: st.DrawFn) -> Case:
    n = draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 4)), *draw(st.lists(st.integers(1, 5 if n == 3 else 8), min_size=n, max_size=n)))
    layers = draw(st.lists(st.one_of(*windows(n), *others(n)), min_size=1, max_size=4))
    if draw(st.booleans()):
        layers += [{"type": "Flatten"}, draw(entry("Linear", out_features=st.integers(1, 4), maybe_bias=st.booleans()))]
        layers += draw(st.lists(entry("BatchNorm1d") | entry(f"MaxPool{n}d", kernel_size=st.just(1)), max_size=1))
    names = draw(st.lists(st.none() | st.text("abc_é \"'", min_size=1), min_size=len(layers), max_size=len(layers)))
    seen = set[str]()
    for layer, name in zip(layers, names, strict=True):
        if name and name not in seen:
            layer["name"] = name
            seen.add(name)
    return layers, shape


def planned(case: Case) -> tuple[Plan, list[Problem]]:
    stack, problems = parse({"layers": case[0]})
    plan, more = make_plan(stack, case[1])
    return plan, [*problems, *more]


def by_torch(case: Case) -> Iterator[tuple[int, ...] | Exception]:
    """The sample shape behind each layer by hand on the CPU, up to the first that torch refuses or warns about."""
    layers, shape = case
    samples = torch.randn(2, *shape)
    for layer in layers:
        params = {key: value for key, value in layer.items() if key not in ("type", "name")}
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths")
                samples = by_hand(layer["type"], params, tuple(samples.shape[1:]))(samples)
        except Exception as error:  # torch refuses in many ways, and its warnings are errors here
            yield error
            return
        yield tuple(samples.shape[1:])


def deliberately_stricter(problem: Problem, before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether a stack must not take a layer although torch would.

    torch lets tensors without elements pass, and takes samples without a batch dimension, so that one dimension too
    few is read as a batch that is missing.
    """
    if problem.code == "empty-shape":
        return 0 in after
    return problem.code == "wrong-dimensions" and len(before) != int(problem.message.split(":")[0][-2]) + 1


@few
@given(networks())
def test_planned_shapes_are_torchs_and_what_is_refused_torch_refuses(case: Case) -> None:
    plan, problems = planned(case)
    real = list(by_torch(case))
    shapes = [case[1], *real]
    first = min((int(p.path[1]) for p in problems), default=len(case[0]))
    event(f"refused: {problems[0].code}" if problems else "fits")
    assert [layer.output_shape for layer in plan.layers][:first] == real[:first]
    if first < len(case[0]):
        refusal = real[first]
        at_fault = [p for p in problems if p.path[1] == first]
        assert isinstance(refusal, Exception) or any(
            deliberately_stricter(p, shapes[first], refusal) for p in at_fault
        ), (at_fault, refusal)


@few
@given(networks())
def test_a_stack_comes_back_from_its_yaml(case: Case) -> None:
    stack, _ = parse({"layers": case[0]})
    again, problems = parse(yaml.safe_load(yaml.safe_dump(stack.as_dict())))
    assert problems == [] or not stack.layers
    assert [(x.component.name, x.params, x.name) for x in again.layers] == [
        (x.component.name, x.params, x.name) for x in stack.layers
    ]


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.state_dict())


@few
@given(networks(), st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_weights_built_or_printed(case: Case, seed: int) -> None:
    plan, _ = planned(case)
    before = torch.get_rng_state()
    one, other = tensors(plan.build(seed)), tensors(plan.build(seed))
    assert torch.equal(torch.get_rng_state(), before)
    namespace: dict[str, Any] = {}
    torch.manual_seed(seed)
    exec(plan.source(), namespace)
    printed = tensors(namespace["model"])
    assert list(one) == list(other) == list(printed)
    assert all(torch.equal(one[key], other[key]) and torch.equal(one[key], printed[key]) for key in one)


BLOCKS: Mapping[str, Any] = {
    "conv_norm": {
        "params": {"out_channels": 2, "kernel_size": 1, "padding": 0, "bias": True, "activation": "ReLU"},
        "layers": [
            {"type": "Conv2d", "bias": "$bias"} | {k: f"${k}" for k in ("out_channels", "kernel_size", "padding")},
            "BatchNorm2d",
            "$activation",
        ],
    },
    "around": {
        "params": {"inner": "???", "shortcut": None, "last": "$inner"},
        "layers": [{"type": "Residual", "layers": ["$inner"], "shortcut": "$shortcut"}, "$last"],
    },
    "again": {
        "params": {"inner": "???", "times": 2},
        "layers": [{"type": "Repeat", "times": "$times", "layers": ["$inner", {"type": "conv_norm", "name": "in"}]}],
    },
    "joined": {
        "params": {"branches": "???", "merge": "concat"},
        "layers": [{"type": "Parallel", "branches": "$branches", "merge": "$merge"}],
    },
    "listed": {"params": {"layers": "???"}, "layers": "$layers"},
}

SIMPLE = st.one_of(
    entry("Conv2d", out_channels=st.integers(1, 3), kernel_size=st.just(1), maybe_bias=st.booleans()),
    entry("Conv2d", out_channels=st.integers(2, 3), kernel_size=st.just(3), padding=st.just(1)),
    entry("conv_norm", maybe_out_channels=st.integers(1, 3), maybe_bias=st.booleans()),
    entry("conv_norm", kernel_size=st.just(3), padding=st.just(1), activation=st.sampled_from([None, "Tanh"])),
    entry("MaxPool2d", kernel_size=st.integers(1, 2), maybe_ceil_mode=st.booleans()),
    entry("Slice", maybe_start=st.integers(0, 1)),
    st.sampled_from(["BatchNorm2d", "Tanh", "Identity", None]),
)


@st.composite
def rows(draw: st.DrawFn, depth: int, most: int = 3) -> list[Any]:
    """A list of entries, some of them with a name, at least one of them not null."""
    listed = [draw(trees(depth)) for _ in range(draw(st.integers(1, most)))]
    names = draw(st.permutations([None, None, "a", "in"]))
    named = [{**e, "name": n} if isinstance(e, dict) and n else e for e, n in zip(listed, names, strict=False)]
    return named if any(named) else ["Identity"]


@st.composite
def trees(draw: st.DrawFn, depth: int) -> Any:
    """An entry, or null."""
    if depth == 0 or draw(st.booleans()):
        return draw(SIMPLE)
    one, row = trees(depth - 1), rows(depth - 1, most=2)
    several, some = st.none() | one | row, one.map(lambda e: e or "Identity")
    merge, dim = st.sampled_from(["concat", "concat", "add", "multiply"]), st.sampled_from([1, 1, 2, -1])
    pool = entry("MaxPool2d", kernel_size=st.integers(1, 2), maybe_ceil_mode=st.booleans())
    kinds: list[st.SearchStrategy[Any]] = [
        entry("Sequential", layers=row),
        entry("Residual", layers=row, maybe_shortcut=several),
        entry("Parallel", branches=row | st.lists(row, min_size=1, max_size=2), maybe_merge=merge, dim=dim),
        entry("Repeat", times=st.integers(1, 3), layers=row),
        entry("Unpool", pool=pool, layers=row),
        entry("around", inner=some, maybe_shortcut=several, maybe_last=one),
        entry("again", inner=one, maybe_times=st.integers(1, 2)),
        entry("joined", branches=row, maybe_merge=merge),
        entry("listed", layers=row),
    ]
    return draw(draw(st.sampled_from(kinds)))


Tree = tuple[dict[str, Any], tuple[int, ...]]


@st.composite
def deep(draw: st.DrawFn) -> Tree:
    layers = draw(rows(2))
    return {"blocks": BLOCKS, "layers": layers}, (draw(st.integers(1, 3)), *draw(st.tuples(*[st.integers(1, 4)] * 2)))


def understood(tree: Tree) -> tuple[Plan, list[Problem]]:
    stack, problems = parse(tree[0])
    plan, more = make_plan(stack, tree[1])
    return plan, [*problems, *more]


def really(model: nn.Module, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """The sample shapes that enter and leave every module when a batch really goes through, by the modules' names."""
    seen = {}

    def watch(name: str, module: nn.Module) -> None:
        def note(_: nn.Module, args: tuple[Tensor], out: Tensor | tuple[Tensor, Tensor]) -> None:
            leaving = out[0] if isinstance(out, tuple) else out
            seen[name] = (tuple(args[0].shape[1:]), tuple(leaving.shape[1:]))

        module.register_forward_hook(note)

    for name, module in model.named_modules():
        if name:
            watch(name, module)
    model.eval()(torch.randn(2, *shape))
    return seen


def by_torch_alone(tree: Tree) -> nn.Module | None:
    try:
        return hand.network(*tree)[0]
    except Exception:  # torch refuses in many ways
        return None


@few
@given(deep(), st.integers(0, 2**32 - 1))
def test_a_tree_of_layers_is_the_network_that_one_would_write_by_hand(tree: Tree, seed: int) -> None:
    plan, problems = understood(tree)
    event("refused" if problems else "fits")
    if problems:
        stricter = any(p.code == "cannot-merge" for p in problems)  # torch would broadcast the sum of a Residual
        assert stricter or by_torch_alone(tree) is None, problems
        return
    module, leaving = hand.network(*tree)
    model = plan.build(seed)
    assert plan.output_shape == leaving
    module.load_state_dict(model.state_dict())
    assert list(module.state_dict()) == list(model.state_dict())
    x = torch.randn(2, *tree[1])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert torch.equal(model.eval()(x), module.eval()(x))
    # the counter saw both networks, counts 2 for each multiplication, and there were 2 samples
    assert plan.totals.multiply_adds == counter.get_total_flops() // 2 // 2 // 2
    assert plan.totals.parameters == sum(p.numel() for p in model.parameters())
    planned = {name: (layer.input_shape, layer.output_shape) for _, name, layer in plan.walk()}
    assert planned == really(model, tree[1])
    assert list(planned) == [name for name, _ in model.named_modules() if name]


@few
@given(deep(), st.integers(0, 2**32 - 1))
@pytest.mark.slow
def test_a_tree_of_layers_is_printed_as_it_is_built(tree: Tree, seed: int) -> None:
    plan, problems = understood(tree)
    if problems:
        return
    model, again = plan.build(seed), plan.build(seed)
    namespace: dict[str, Any] = {}
    torch.manual_seed(seed)
    exec(plan.source(), namespace)
    one, other, printed = tensors(model), tensors(again), tensors(namespace["model"])
    assert list(one) == list(other) == list(printed)
    assert all(torch.equal(one[key], other[key]) and torch.equal(one[key], printed[key]) for key in one)
    assert repr(model) == repr(namespace["model"])


Seen = tuple[str, Mapping[str, Any], str, str | None, tuple[Any, ...]]


def seen(layers: tuple[Layer, ...]) -> tuple[Seen, ...]:
    return tuple((x.component.name, dict(x.params), x.name, x.block, seen(x.children)) for x in layers)


@few
@given(deep())
@pytest.mark.slow
def test_a_tree_of_layers_comes_back_from_its_yaml(tree: Tree) -> None:
    stack, problems = parse(tree[0])
    if problems:
        return
    again, more = parse(yaml.safe_load(yaml.safe_dump(stack.as_dict())))
    assert more == []
    assert seen(again.layers) == seen(stack.layers)
