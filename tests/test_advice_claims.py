"""What advice claims, tried out on torch itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnnexp.architecture.advice import advise
from tests.advising import DEPTHWISE, MAX, UP, WIDEN, Shape, codes, conv, linear, planned, told

pytestmark = pytest.mark.slow

NORMS = [
    ("BatchNorm2d", {}, True),
    ("InstanceNorm2d", {}, True),
    ("GroupNorm", {"num_groups": 6}, True),
    ("GroupNorm", {"num_groups": 3}, False),
    ("GroupNorm", {"num_groups": 1}, False),
    ("LayerNorm", {"normalized_shape": [7, 7]}, True),
    ("LayerNorm", {"normalized_shape": 7}, True),
    ("LayerNorm", {}, False),
    ("RMSNorm", {"normalized_shape": [7, 7]}, False),
]


@pytest.mark.parametrize(("name", "params", "gone"), NORMS, ids=[f"{n} {p}" for n, p, _ in NORMS])
@pytest.mark.parametrize("entry", [conv(6), {**UP, "out_channels": 6, "stride": 1}], ids=["convolution", "transposed"])
def test_a_bias_is_told_of_exactly_where_the_norm_takes_it_away(
    entry: dict[str, Any], name: str, params: dict[str, Any], gone: bool
) -> None:
    shape = (3, 9, 9) if entry["type"] == "Conv2d" else (3, 5, 5)
    plan = planned([entry, {"type": name, **params}], shape)
    model, batch = plan.build(seed=0), torch.randn(5, *shape)
    before = model(batch)
    with torch.no_grad():
        model[0].bias += torch.randn(6)
    assert torch.allclose(before, model(batch), atol=1e-5) is gone
    assert ("bias-before-norm" in [a.code for a in advise(plan)]) is gone


def floor(loss: nn.Module, squash: nn.Module, target: Tensor) -> float:
    """The smallest loss of a sample that an optimizer finds by moving the scores freely."""
    scores = torch.zeros(1, 10, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        value = loss(squash(scores), target)
        value.backward()
        optimizer.step()
    return float(value.detach())


def test_the_losses_that_cannot_be_undercut() -> None:
    assert floor(nn.CrossEntropyLoss(), nn.Softmax(1), torch.tensor([3])) == pytest.approx(1.46, abs=0.005)
    assert floor(nn.BCEWithLogitsLoss(), nn.Sigmoid(), torch.zeros(1, 10)) == pytest.approx(0.69, abs=0.005)
    assert floor(nn.CrossEntropyLoss(), nn.Identity(), torch.tensor([3])) < 0.01


def test_log_softmax_twice_changes_nothing() -> None:
    scores = torch.randn(4, 10)
    once = scores.log_softmax(1)
    assert torch.allclose(once, once.log_softmax(1), atol=1e-6)


MIXING: list[tuple[list[Any], Shape]] = [
    ([linear(), {"type": "Softmax", "dim": -2}], (20,)),
    (["Softmax"], (4, 5)),
    ([{"type": "TransformerEncoderLayer", "d_model": 8, "nhead": 2}], (6, 8)),
    ([{"type": "TransformerEncoderLayer", "d_model": 8, "nhead": 2, "batch_first": True}], (8,)),
]


@pytest.mark.parametrize(("layers", "shape"), MIXING, ids=str)
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_a_sample_depends_on_the_others_where_samples_are_mixed(layers: list[Any], shape: Shape) -> None:
    assert {"mixed-samples", "softmax-without-dim"} & set(codes(layers, shape))
    model = planned(layers, shape).build(seed=0).eval()
    batch = torch.randn(3, *shape)
    other = torch.cat([batch[:1], torch.randn(2, *shape)])
    assert not torch.allclose(model(batch)[0], model(other)[0], atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3).flatmap(lambda k: st.tuples(st.just(k), st.integers(0, k))),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from(["zeros", "reflect", "circular"]),
)
def test_convolutions_that_are_one_are_one(window: tuple[int, int], stride: int, bias: bool, mode: str) -> None:
    kernel, padding = window
    padding = min(padding, 2)
    other = conv(5, kernel, stride=stride, padding=padding, padding_mode=mode)
    for pair in ([conv(6, 1, bias=bias), other], [other, conv(4, 1, bias=bias)]):
        plan = planned(pair, (4, 9, 9))
        if "one-layer" not in [a.code for a in advise(plan)]:
            continue
        model = plan.build(seed=0).double()
        first, second = (m.weight for m in model)
        weight = torch.einsum("omhw,mikl->oihwkl", second, first).flatten(-4).unflatten(-1, (kernel, kernel))
        one = nn.Conv2d(4, weight.shape[0], kernel, stride, padding, padding_mode=mode).double()
        inner, outer = (torch.zeros(len(m.weight)).double() if m.bias is None else m.bias for m in model)
        with torch.no_grad():
            one.weight.copy_(weight)
            one.bias.copy_(second.sum((2, 3)) @ inner + outer)
        batch = torch.randn(2, 4, 9, 9, dtype=torch.float64)
        assert torch.allclose(model(batch), one(batch), atol=1e-9)


def moved_channels(model: nn.Module, shape: Shape) -> Tensor:
    """Which output channels change with the first input channel."""
    batch = torch.randn(1, *shape)
    other = batch.clone()
    other[:, 0] += 1
    return (model(batch) - model(other)).abs().amax((0, 2, 3)) > 1e-6


def test_channels_stay_apart_behind_a_depthwise_convolution_alone() -> None:
    alone = planned([DEPTHWISE, "Sigmoid", DEPTHWISE], (32, 8, 8))
    assert "depthwise-alone" in [a.code for a in advise(alone)]
    assert moved_channels(alone.build(seed=0), (32, 8, 8)).sum() == 1
    mixed = planned([DEPTHWISE, "Sigmoid", WIDEN], (32, 8, 8))
    assert moved_channels(mixed.build(seed=0), (32, 8, 8)).sum() == 32


def test_four_sigmoids_hand_back_a_256th_of_a_gradient_at_most() -> None:
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(4):
        y = torch.sigmoid(y - y.detach())  # at 0, where it is steepest
    y.backward()
    assert x.grad is not None
    assert float(x.grad) == pytest.approx(1 / 256)


RISING = [
    "ReLU",
    "ReLU6",
    "Sigmoid",
    "Hardsigmoid",
    "LogSigmoid",
    "Tanh",
    "Softsign",
    "Softplus",
    "ELU",
    "SELU",
    "CELU",
    "Hardtanh",
    "LeakyReLU",
]
POOLS = [
    {"type": "MaxPool2d", "kernel_size": 2},
    {"type": "MaxPool2d", "kernel_size": 3, "stride": 2, "padding": 1},
    {"type": "MaxPool2d", "kernel_size": 2, "dilation": 3, "ceil_mode": True},
    {"type": "AdaptiveMaxPool2d", "output_size": 3},
]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("name", [*RISING, "GELU", "SiLU", "Mish", "Hardswish", "Softshrink", "Tanhshrink"])
def test_an_activation_changes_places_with_a_max_pool_only_where_the_result_is_the_same(
    name: str, pool: dict[str, Any]
) -> None:
    batch = 3 * torch.randn(4, 3, 11, 11)
    results = [planned(pair, (3, 11, 11)).build()(batch) for pair in ([name, pool], [pool, name])]
    if "activation-before-max-pool" in codes([name, pool], (3, 11, 11)):
        assert torch.allclose(*results, atol=1e-6)
    else:
        assert name not in RISING


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_makes_the_remembered_variance_as_many_times_larger(p: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(p), nn.BatchNorm1d(3, momentum=None))
    batch = torch.randn(200_000, 3)
    model(batch)
    assert isinstance(model[1].running_var, Tensor)
    assert torch.allclose(model[1].running_var, batch.var(0) / (1 - p), rtol=0.03)


IDLE = ["ReLU", "ReLU6", "Sigmoid", "Hardsigmoid", "Softplus", "Softmax2d", "Tanh", "Softsign"]


@pytest.mark.parametrize("between", ["Identity", MAX, {"type": "AdaptiveAvgPool2d", "output_size": 3}], ids=str)
@pytest.mark.parametrize("before", [*IDLE, "GELU", "LogSigmoid"])
@pytest.mark.parametrize("after", ["ReLU", "ReLU6", "LeakyReLU", "ELU", "CELU", "PReLU", "RReLU", "Hardtanh"])
def test_an_activation_is_idle_exactly_where_it_changes_nothing(before: str, after: str, between: Any) -> None:
    batch = 20 * torch.randn(3, 3, 8, 8)
    model = planned([before, between, after], (3, 8, 8)).build().eval()
    idle = "idle-activation" in codes([before, between, after], (3, 8, 8))
    unchanged = torch.equal(model(batch), model[:2](batch))
    assert unchanged or not idle
    assert idle == unchanged or between != "Identity"


@st.composite
def walks(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    kernel = draw(st.integers(1, 5))
    entry: dict[str, Any] = {
        "type": draw(st.sampled_from(["Conv1d", "MaxPool1d", "AvgPool1d"])),
        "kernel_size": kernel,
        "stride": draw(st.integers(1, 6)),
        "padding": draw(st.integers(0, kernel // 2)),
    }
    if entry["type"] == "Conv1d":
        entry |= {"out_channels": 1, "dilation": draw(st.integers(1, 2))}
    else:
        entry |= {"ceil_mode": draw(st.booleans())}
    return entry, draw(st.integers(11, 30))


def unread(model: nn.Module, length: int) -> int:
    """How many positions at the end have no gradient, for inputs of which each can be the largest."""
    seen = torch.zeros(length)
    for at in range(length):
        batch = torch.full((1, 1, length), 0.1)
        batch[..., at] = 1.0
        batch.requires_grad_()
        (gradient,) = torch.autograd.grad(model(batch).sum(), batch)
        seen[at] = gradient[0, 0, at].abs()
    return length - 1 - int(seen.nonzero().max())


@settings(max_examples=100, deadline=None)
@given(walks())
def test_the_last_positions_have_no_gradient_exactly_where_they_are_left_out(walk: tuple[dict[str, Any], int]) -> None:
    entry, length = walk
    plan = planned([entry], (1, length))
    model = plan.build(seed=0)
    if entry["type"] == "Conv1d":
        with torch.no_grad():
            model[0].weight.fill_(1.0)
    lost = unread(model, length)
    found = [a for a in advise(plan) if a.code == "rows-left-out"]
    if entry.get("dilation", 1) > 1:  # then there may be positions that lie within windows and are unread as well
        assert all(lost >= int(re.findall(r"last (?:(\d+) )?of", a.message)[0] or 1) for a in found)
        return
    assert bool(found) is (lost > max(0, entry["stride"] - entry["kernel_size"]))
    for advice in found:
        many = f"{lost} of " if lost > 1 else "of "
        name = f"layers[0] {entry['type']}"
        assert advice.message == f"{name}: its windows never reach the last {many}{length} positions"
        cure = advice.hint.removeprefix("set ").split(": ")
        if len(cure) == 2:
            cured = planned([{**entry, cure[0]: True if cure[1] == "true" else int(cure[1])}], (1, length))
            assert "rows-left-out" not in [a.code for a in advise(cured)]


def test_the_windows_that_see_only_zeros_are_counted() -> None:
    model = nn.Conv2d(1, 1, (1, 3), padding=(2, 3), dilation=(1, 2), bias=False)
    nn.init.ones_(model.weight)
    blind = int((model(torch.ones(1, 1, 5, 6)) == 0).sum())
    layers = [conv(1, (1, 3), padding=(2, 3), dilation=(1, 2))]
    (text,) = told(layers, (1, 5, 6))
    assert f"so {blind} of its 72 windows see nothing but zeros" in text


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 2, 1), (4, 2, 1), (5, 3, 1), (4, 2, 2), (4, 2, 3), (1, 2, 1)]
)
def test_the_sums_of_a_checkerboard(kernel: int, stride: int, dilation: int) -> None:
    model = nn.ConvTranspose2d(1, 1, kernel, stride, dilation=dilation, bias=False)
    nn.init.ones_(model.weight)
    inner = model(torch.ones(1, 1, 30, 30))[..., 20:-20, 20:-20]
    few, many = int(inner.min()), int(inner.max())
    entry = {**UP, "kernel_size": kernel, "stride": stride, "dilation": dilation}
    found = [a.message for a in advise(planned([entry])) if a.code == "checkerboard"]
    assert [f"is the sum of {few} to {many} windows" in text for text in found] == ([True] if few < many else [])


def test_a_padding_mode_is_dead_where_nothing_is_padded() -> None:
    batch = torch.randn(2, 3, 8, 8)
    models = [planned([conv(padding_mode=mode)], (3, 8, 8)).build(seed=0) for mode in ("zeros", "reflect")]
    assert torch.equal(*(model(batch) for model in models))
