"""From a module back to YAML: what is read builds the same network, and what cannot be said is told in words."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
import torchvision
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import cnnexp
from cnnexp.architecture.importer import Imported, copy_weights, difference, from_module
from cnnexp.architecture.importer.writing import text
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan
from tests.layer_table import EVERY_ROW, Row, by_hand

slow = pytest.mark.slow
few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SHIPPED = sorted(file.stem for file in Path("conf/model").glob("*.yaml"))


def samples(*shape: int) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))


def stirred(module: nn.Module) -> nn.Module:
    """Batch norms with other statistics and factors than those that they start with."""
    generator = torch.Generator().manual_seed(4)
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            for tensor in norm.state_dict().values():
                if tensor.is_floating_point():
                    tensor.uniform_(0.5, 1.5, generator=generator)
    return module


def tensors(module: nn.Module) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {key: (tuple(t.shape), t.dtype) for key, t in module.state_dict().items()}


def said(module: nn.Module, sample: Tensor | None = None) -> Imported:
    found = from_module(module, sample)
    assert found.unsaid == ()
    return found


def assert_imported(module: nn.Module, shape: tuple[int, ...], with_sample: bool = True) -> dict[str, Any]:
    """The mapping of a module, after the network that it builds has given the same results with the same tensors."""
    batch = samples(*shape)
    found = said(stirred(module), batch if with_sample else None)
    again = yaml.safe_load(text(found.model))
    assert again == found.model
    built = cnnexp.plan(again, input_shape=shape).build(seed=0)
    copy_weights(module, built, found.weights)
    assert sorted(map(repr, tensors(module).values())) == sorted(map(repr, tensors(built).values()))
    with torch.no_grad():
        assert built.eval()(batch.clone()).std() > 1e-3, "the comparison means nothing when all results are alike"
    assert difference(module, built, batch) <= 1e-5
    return found.model


class TestLayers:
    @EVERY_ROW
    def test_every_layer_with_every_parameter_is_read_back(self, row: Row) -> None:
        module = nn.Sequential(by_hand(row.type, row.params, row.input_shape))
        stack, problems = parse(said(module).model)
        plan, more = make_plan(stack, row.input_shape, row.dtype)
        assert [*problems, *more] == []
        built = plan.build(seed=0)
        assert repr(built) == repr(module)
        assert tensors(built) == tensors(module)

    @pytest.mark.parametrize(
        ("layer", "entry"),
        [
            (nn.Conv2d(3, 8, 3), {"type": "Conv2d", "out_channels": 8, "kernel_size": 3}),
            (
                nn.Conv2d(4, 8, (3, 5), padding=(1, 2), groups=2, bias=False),
                {
                    "type": "Conv2d",
                    "out_channels": 8,
                    "kernel_size": [3, 5],
                    "padding": [1, 2],
                    "groups": 2,
                    "bias": False,
                },
            ),
            (
                nn.Conv2d(3, 3, 3, padding="same", padding_mode="reflect", dtype=torch.float64),
                {
                    "type": "Conv2d",
                    "out_channels": 3,
                    "kernel_size": 3,
                    "padding": "same",
                    "padding_mode": "reflect",
                    "dtype": "float64",
                },
            ),
            (nn.BatchNorm2d(3), "BatchNorm2d"),
            (nn.BatchNorm2d(3, momentum=None), {"type": "BatchNorm2d", "momentum": None}),
            (nn.BatchNorm1d(3, affine=False), {"type": "BatchNorm1d", "affine": False}),
            (nn.MaxPool2d(2, 2), {"type": "MaxPool2d", "kernel_size": 2}),
            (nn.Upsample(scale_factor=2), {"type": "Upsample", "scale_factor": 2}),
            (nn.PReLU(3, init=0.1), {"type": "PReLU", "num_parameters": 3, "init": 0.1}),
            (nn.LayerNorm(8), {"type": "LayerNorm", "normalized_shape": 8}),
            (nn.ConstantPad2d((1, 1, 1, 1), 0.5), {"type": "ConstantPad2d", "padding": 1, "value": 0.5}),
            (nn.Softmax(), "Softmax"),
            (torchvision.ops.StochasticDepth(0.2, "row"), {"type": "StochasticDepth", "p": 0.2, "mode": "row"}),
            (torchvision.ops.Permute([0, 2, 1]), {"type": "Permute", "dims": [0, 2, 1]}),
            (torchvision.ops.FrozenBatchNorm2d(3), "FrozenBatchNorm2d"),
            (
                torchvision.ops.SqueezeExcitation(8, 2),
                {"type": "SqueezeExcitation", "squeeze_channels": 2},
            ),
            (
                nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True),
                {
                    "type": "TransformerEncoderLayer",
                    "d_model": 8,
                    "nhead": 2,
                    "dim_feedforward": 16,
                    "activation": "gelu",
                    "batch_first": True,
                },
            ),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
    )
    def test_only_what_says_something_is_written(self, layer: nn.Module, entry: Any) -> None:
        assert said(nn.Sequential(layer)).model == {"layers": [entry]}
        assert said(layer).model == {"layers": [entry]}

    def test_activations_of_their_own_take_a_squeeze_and_excitation_apart(self) -> None:
        module = nn.Sequential(torchvision.ops.SqueezeExcitation(4, 2, nn.SiLU, nn.Hardsigmoid))
        squeeze = {"type": "Conv2d", "name": "fc1", "out_channels": 2, "kernel_size": 1}
        excite = {"type": "Conv2d", "name": "fc2", "out_channels": 4, "kernel_size": 1}
        branch = [{"type": "AdaptiveAvgPool2d", "output_size": 1}, squeeze, "SiLU", excite, "Hardsigmoid"]
        assert assert_imported(module, (4, 6, 6)) == {
            "layers": [{"type": "Parallel", "merge": "multiply", "branches": ["Identity", branch]}]
        }


class TestSequentials:
    def test_names_and_nesting_stay(self) -> None:
        features = nn.Sequential()
        features.add_module("conv", nn.Conv2d(3, 4, 3))
        features.add_module("relu", nn.ReLU())
        module = nn.Sequential()
        module.add_module("features", features)
        module.append(nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 5)))
        found = said(module)
        assert found.model == {
            "layers": [
                {
                    "type": "Sequential",
                    "name": "features",
                    "layers": [
                        {"type": "Conv2d", "name": "conv", "out_channels": 4, "kernel_size": 3},
                        {"type": "ReLU", "name": "relu"},
                    ],
                },
                {"type": "Sequential", "layers": ["Flatten", {"type": "Linear", "out_features": 5}]},
            ]
        }
        assert found.weights == {"features.conv": "features.conv", "1.1": "1.1"}
        assert tensors(cnnexp.plan(found.model, input_shape=(3, 8, 8)).build()) == tensors(module)

    def test_a_ready_made_sequential_of_torchvision_is_one(self) -> None:
        module = nn.Sequential(torchvision.ops.Conv2dNormActivation(3, 4), nn.Identity())
        convolution = {"type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1, "bias": False}
        inside = [convolution, "BatchNorm2d", {"type": "ReLU", "inplace": True}]
        assert said(module).model == {"layers": [{"type": "Sequential", "layers": inside}, "Identity"]}

    def test_a_layer_without_weights_may_stand_there_twice(self) -> None:
        relu = nn.ReLU()
        module = nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 2), relu)
        linear = {"type": "Linear", "out_features": 3}
        assert said(module).model["layers"] == [linear, "ReLU", {**linear, "out_features": 2}, "ReLU"]

    @pytest.mark.parametrize("name", [pytest.param(n, marks=slow) if n not in ("net", "unet") else n for n in SHIPPED])
    @pytest.mark.slow
    def test_every_shipped_network_comes_back_also_from_stand_alone_source(self, name: str) -> None:
        plan = cnnexp.plan(name)
        scope: dict[str, Any] = {}
        with torch.device("meta"):  # only names, types and shapes are compared
            exec(plan.source(), scope)
            modules = (plan.build(seed=0), scope["model"])
        for module in modules:
            found = said(module)
            with torch.device("meta"):
                built = cnnexp.plan(found.model, input_shape=plan.input_shape).build(seed=0)
            assert repr(built) == repr(module)
            assert tensors(built) == tensors(module)
            assert all(new == old for new, old in found.weights.items())


def tutorial() -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 6, 5)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 12)
            self.fc2 = nn.Linear(12, 10)
            self.drop = nn.Dropout2d(0.25)

        def forward(self, x: Tensor) -> Tensor:
            x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
            x = self.drop(F.max_pool2d(torch.relu_(self.conv2(x)), 2))
            x = torch.flatten(x, 1)
            x = F.dropout(F.relu(self.fc1(x)), training=self.training)
            return F.log_softmax(self.fc2(x), dim=1)

    return Net()


class BasicBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        return F.relu(out)


def small_resnet() -> nn.Module:
    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, padding=1)
            self.layer1 = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 8, 2))
            self.linear = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            out = F.avg_pool2d(self.layer1(F.relu(self.stem(x))), 4)
            return self.linear(out.view(out.size(0), -1))

    return ResNet()


class DoubleConv(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.Conv2d(after, after, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.double_conv(x)


class Up(nn.Module):
    def __init__(self, before: int, after: int, pads: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(before, before // 2, 2, 2)
        self.conv = DoubleConv(before, after)
        self.pads = pads

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        small = self.up(small)
        if self.pads:
            high, wide = large.size(2) - small.size(2), large.size(3) - small.size(3)
            small = F.pad(small, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
        return self.conv(torch.cat([large, small], dim=1))


class UNet(nn.Module):
    def __init__(self, pads: bool = False) -> None:
        super().__init__()
        self.inc = DoubleConv(1, 4)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(4, 8))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(8, 16))
        self.up1 = Up(16, 8, pads)
        self.up2 = Up(8, 4, pads)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.inc(x)
        x2 = self.down1(x1)
        return self.out(self.up2(self.up1(self.down2(x2), x2), x1))


class Forward(nn.Module):
    """Modules `a`, `b`, … and a forward that is given as a function of them."""

    def __init__(self, forward: Callable[[Any, Any], Any], *modules: nn.Module) -> None:
        super().__init__()
        for name, module in zip("abcdefgh", modules, strict=False):
            self.add_module(name, module)
        self.does = forward

    def forward(self, x: Tensor) -> Any:
        return self.does(self, x)


def conv(before: int, after: int, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(before, after, size, padding=size // 2)


def grown(m: Any, x: Any) -> Any:
    pieces = list(m.a(x).chunk(2, 1))
    pieces.extend(layer(pieces[-1]) for layer in (m.b, m.c))
    return torch.cat(pieces, 1)


def dense(m: Any, x: Any) -> Any:
    features = [x]
    for layer in (m.a, m.b, m.c):
        features.append(F.relu(layer(torch.cat(features, 1))))
    return torch.cat(features, 1)


def aggregated(m: Any, x: Any) -> Any:
    features = [x]
    for layer in (m.a, m.b, m.c):
        features.append(layer(features[-1]))
    return torch.cat(features, 1)


def unpooled(m: Any, x: Any) -> Any:
    outer = x.size()
    x, places = m.b(m.a(x))
    y, inner = F.max_pool2d(x, 2, 2, return_indices=True)
    x = F.max_unpool2d(m.c(y), inner, 2, 2, output_size=x.size())
    return m.e(m.d(x, places, output_size=outer))


def shuffled(m: Any, x: Any) -> Any:
    n, channels, height, width = x.size()
    y = x.view(n, 2, channels // 2, height, width).transpose(1, 2).contiguous()
    return m.a(y.view(n, -1, height, width))


def activated(m: Any, x: Any) -> Any:
    for name in (
        "elu",
        "selu",
        "celu",
        "silu",
        "mish",
        "gelu",
        "hardswish",
        "hardsigmoid",
        "relu6",
        "softsign",
        "tanh",
    ):
        x = getattr(F, name)(x) + x
    x = F.leaky_relu(x, 0.2) + F.softplus(x, beta=2) + F.hardtanh(x, -2, 2) + x.sigmoid() + x.clamp(0, 3)
    return F.softmin(F.glu(F.threshold(F.logsigmoid(x), -3, -2), dim=2), dim=1) + x.relu_().mean((2, 3), keepdim=True)


def squeezed(m: Any, x: Any) -> Any:
    n, channels, _, _ = x.size()
    y = F.adaptive_avg_pool2d(x, 1).view(n, channels)
    y = m.b(F.relu(m.a(y))).sigmoid().view(n, channels, 1, 1)
    return x * y.expand_as(x)


def reshaped(m: Any, x: Any) -> Any:
    x = m.a(x).view(-1, 4, 3, 3)
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = F.pixel_shuffle(F.pad(x, (1, 1, 0, 2), mode="reflect"), 2)
    return x.permute(0, 2, 3, 1).transpose(1, 3).contiguous().reshape(x.shape[0], -1)


def cut(m: Any, x: Any) -> Any:
    one, two = torch.split(m.a(x), [2, 4], dim=1)
    x = torch.cat((m.b(one), two.narrow(2, 1, 4)[:, :, :, 1:5]), dim=2)
    return F.max_pool2d(x[:, 1:, ..., ::1], 2).amax((2, 3)).unsqueeze(1).squeeze(2).flatten(1)


def patches(m: Any, x: Any) -> Any:
    x = m.b(m.a(x).flatten(2).transpose(1, 2))
    return m.c(x.mean(dim=1))


def pyramid(m: Any, x: Any) -> Any:
    whole = F.interpolate(m.c(F.adaptive_avg_pool2d(x, 1)), size=x.shape[-2:], mode="nearest")
    return torch.cat([m.a(x), m.b(x), whole], dim=1)


FORWARDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], bool]] = {
    "tutorial": (tutorial, (3, 32, 32), False),
    "resnet": (small_resnet, (3, 8, 8), False),
    "unet": (UNet, (1, 16, 16), False),
    "unet that pads": (lambda: UNet(pads=True), (1, 18, 18), True),
    "swish": (
        lambda: Forward(lambda m, x: x * x.sigmoid()),
        (3, 4),
        False,
    ),
    "fixed view": (
        lambda: Forward(lambda m, x: m.b(m.a(x).view(-1, 4 * 16)), conv(3, 4), nn.Linear(64, 2)),
        (3, 4, 4),
        False,
    ),
    "squeeze and excitation": (lambda: Forward(squeezed, nn.Linear(4, 2), nn.Linear(2, 4)), (4, 5, 5), False),
    "dense": (lambda: Forward(dense, conv(3, 2), conv(5, 2), conv(7, 2)), (3, 4, 4), False),
    "one-shot aggregation": (lambda: Forward(aggregated, conv(3, 2), conv(2, 2), conv(2, 2)), (3, 4, 4), False),
    "pieces": (lambda: Forward(grown, conv(3, 4), conv(2, 2), conv(2, 2)), (3, 4, 4), True),
    "cut": (lambda: Forward(cut, conv(3, 6), nn.Conv2d(2, 4, 3, (1, 1), (1, 0))), (3, 6, 6), False),
    "unpool": (
        lambda: Forward(
            unpooled, conv(2, 4), nn.MaxPool2d(2, return_indices=True), conv(4, 4), nn.MaxUnpool2d(2), conv(4, 2)
        ),
        (2, 9, 9),
        False,
    ),
    "shuffle": (lambda: Forward(shuffled, conv(4, 4)), (4, 3, 3), True),
    "activations": (lambda: Forward(activated), (3, 4, 6), False),
    "reshaped": (lambda: Forward(reshaped, nn.Linear(5, 36)), (5,), True),
    "patches": (
        lambda: Forward(
            patches,
            nn.Conv2d(3, 8, 4, 4),
            nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
            nn.Linear(8, 3),
        ),
        (3, 8, 8),
        True,
    ),
    "pyramid": (lambda: Forward(pyramid, conv(3, 2, 1), conv(3, 2), conv(3, 2, 1)), (3, 6, 5), True),
    "three terms": (
        lambda: Forward(lambda m, x: sum([m.b(x), m.a(x), x]), conv(3, 3), conv(3, 3, 1)),
        (3, 4, 4),
        False,
    ),
    "nested sums": (
        lambda: Forward(lambda m, x: x + m.b(m.a(x) + x) + m.c(x), conv(3, 3), conv(3, 3), conv(3, 3)),
        (3, 4, 4),
        False,
    ),
    "strided slices": (
        lambda: Forward(lambda m, x: m.a(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1)), nn.Conv2d(2, 4, 3, 2, 1)),
        (2, 8, 8),
        False,
    ),
    "one dimension": (
        lambda: Forward(
            lambda m, x: m.b(F.max_pool1d(F.pad(m.a(x), (1, 2)), 2).mean(-1)), nn.Conv1d(2, 4, 5), nn.Linear(4, 3)
        ),
        (2, 20),
        False,
    ),
    "three dimensions": (
        lambda: Forward(
            lambda m, x: m.b(F.adaptive_avg_pool3d(F.elu(m.a(x)), 1).squeeze(-1).squeeze(-1).squeeze(-1)),
            nn.Conv3d(1, 4, 3),
            nn.Linear(4, 3),
        ),
        (1, 5, 6, 7),
        False,
    ),
}


class TestForwards:
    @pytest.mark.one_in(8)
    @pytest.mark.parametrize("name", FORWARDS)
    def test_a_forward_is_followed(self, name: str) -> None:
        torch.manual_seed(0)
        build, shape, needs_sample = FORWARDS[name]
        module = build()
        mapping = assert_imported(module, shape)
        if not needs_sample:
            assert from_module(module).unsaid == ()
        assert "Identity" not in [e for e in mapping["layers"] if isinstance(e, str)]

    def test_the_mapping_of_the_tutorial_network(self) -> None:
        assert said(tutorial()).model == {
            "layers": [
                {"type": "Conv2d", "name": "conv1", "out_channels": 6, "kernel_size": 5},
                "ReLU",
                {"type": "MaxPool2d", "kernel_size": [2, 2]},
                {"type": "Conv2d", "name": "conv2", "out_channels": 16, "kernel_size": 5},
                {"type": "ReLU", "inplace": True},
                {"type": "MaxPool2d", "kernel_size": 2},
                {"type": "Dropout2d", "p": 0.25},
                "Flatten",
                {"type": "Linear", "name": "fc1", "out_features": 12},
                "ReLU",
                "Dropout",
                {"type": "Linear", "name": "fc2", "out_features": 10},
                {"type": "LogSoftmax", "dim": 1},
            ]
        }

    def test_the_mapping_of_a_residual_network(self) -> None:
        convolution = {"type": "Conv2d", "out_channels": 8, "kernel_size": 3, "padding": 1, "bias": False}
        layer1 = said(small_resnet()).model["layers"][2]
        assert layer1["name"] == "layer1"
        assert layer1["layers"][2:] == [
            {
                "type": "Residual",
                "layers": [
                    {**convolution, "name": "conv1", "stride": 2},
                    {"type": "BatchNorm2d", "name": "bn1"},
                    "ReLU",
                    {**convolution, "name": "conv2"},
                    {"type": "BatchNorm2d", "name": "bn2"},
                ],
                "shortcut": [
                    {"type": "Conv2d", "out_channels": 8, "kernel_size": 1, "stride": 2, "bias": False},
                    "BatchNorm2d",
                ],
            },
            "ReLU",
        ]

    def test_terms_keep_the_order_in_which_the_module_lists_their_weights(self) -> None:
        module = Forward(lambda m, x: m.b(x) + torch.relu(m.a(x)), conv(3, 3), conv(3, 3, 1))
        assert list(said(module).weights) == ["0.layers.a", "0.shortcut"]
        module = Forward(lambda m, x: torch.relu(m.b(x)) + m.a(x), conv(3, 3), conv(3, 3, 1))
        assert list(said(module).weights) == ["0.a", "0.1.b"]

    def test_a_module_is_left_as_it_was(self) -> None:
        module = small_resnet()
        module.layer1.eval()
        modes = [m.training for m in module.modules()]
        before = {key: t.clone() for key, t in module.state_dict().items()}
        state = torch.get_rng_state()
        said(module, samples(3, 8, 8))
        assert [m.training for m in module.modules()] == modes
        assert all(torch.equal(t, before[key]) for key, t in module.state_dict().items())
        assert torch.equal(torch.get_rng_state(), state)
        assert not any(m._forward_pre_hooks for m in module.modules())

    def test_optional_inputs_have_their_defaults(self) -> None:
        class Optional(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fc = nn.Linear(3, 2)

            def forward(self, x: Tensor, mode: str = "plain", sizes: tuple[int, ...] = (1, 2), mask: Any = None) -> Any:
                return self.fc(x) if mode == "plain" and len(sizes) == 2 and mask is None else x

        assert said(Optional()).model == {"layers": [{"type": "Linear", "name": "fc", "out_features": 2}]}

    def test_a_strangers_class_of_the_same_name_is_not_taken_for_ours(self) -> None:
        class Residual(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.Sequential(conv(3, 3), nn.ReLU())
                self.shortcut = conv(3, 3, 1)

            def forward(self, x: Tensor) -> Tensor:
                return F.relu(self.layers(x) + self.shortcut(x))

        assert assert_imported(nn.Sequential(Residual()), (3, 4, 4))["layers"][1] == "ReLU"

    def test_results_that_differ_are_seen(self) -> None:
        one, other = nn.Sequential(nn.ReLU()), nn.Sequential(nn.Tanh())
        assert difference(one, other, torch.full((2, 3), 5.0)) == pytest.approx(5 - math.tanh(5))
        assert difference(one, nn.Sequential(nn.Flatten()), torch.ones(2, 3, 4)) == math.inf


TORCHVISION: dict[str, dict[str, Any]] = {
    "alexnet": {},
    "densenet121": {},
    "efficientnet_b0": {},
    "googlenet": {"aux_logits": False, "init_weights": False, "transform_input": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
    "mnasnet0_5": {},
    "mobilenet_v2": {},
    "mobilenet_v3_small": {},
    "regnet_y_400mf": {},
    "resnet18": {},
    "resnet50": {},
    "resnext50_32x4d": {},
    "shufflenet_v2_x0_5": {},
    "squeezenet1_1": {},
    "vgg11": {"init_weights": False},
}


class TestTorchvision:
    @slow
    @pytest.mark.parametrize("name", TORCHVISION)
    def test_a_network_of_torchvision_is_read(self, name: str) -> None:
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the weights of googlenet, which are drawn another way one day
            module = torchvision.models.get_model(name, weights=None, num_classes=7, **TORCHVISION[name])
        size = 96 if name == "inception_v3" else 64
        model = assert_imported(module, (3, size, size))
        order = list(dict.fromkeys(key.rpartition(".")[0] for key in module.state_dict()))
        found = list(from_module(module, samples(3, size, size)).weights.values())
        assert [key for key in order if any(key == f or key.startswith(f"{f}.") for f in found)] == order
        assert "out_features: 7" in text(model) or "out_channels: 7" in text(model)

    @slow
    def test_what_convnext_has_beyond_the_language_is_named(self) -> None:
        unsaid = from_module(torchvision.models.convnext_tiny(), samples(3, 32, 32)).unsaid
        scales = [f"features.{i}.{j}" for i, n in ((1, 3), (3, 3), (5, 9), (7, 3)) for j in range(n)]
        assert {u for u in unsaid if "layer_scale" in u} == {
            f"{place}: forward uses the tensor 'layer_scale' by itself, outside a layer" for place in scales
        }
        assert unsaid[0] == "features.0.1: forward calls F.layer_norm"


def hooked() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 3))
    module[0].register_forward_hook(lambda m, args, out: out * 2)
    return module


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    return module


def replaced() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 3))
    module[0].forward = torch.relu
    return module


def changed() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 3))
    module[0].weight = nn.Parameter(torch.ones(3, 4))
    return module


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no way\nat all")


def criss_cross(m: Any, x: Any) -> Any:
    one = m.a(x)
    two = m.b(one)
    return m.c(one + two) + m.d(two) + one


UNSAID: list[tuple[Callable[[], nn.Module], list[str]]] = [
    (nn.Sequential, ["the module does nothing: it has no layers"]),
    (Two, ["forward takes 2 inputs (x, y), and a stack passes one tensor"]),
    (
        lambda: nn.Sequential(nn.ReLU(), Branches()),
        ["1: forward decides by the values or the sizes of a tensor, so that it is not one fixed graph"],
    ),
    (
        lambda: Forward(lambda m, x: torch.cat([row * 2 for row in x])),
        ["forward counts or goes through the elements of a tensor"],
    ),
    (lambda: nn.Sequential(Fails()), ["0: forward cannot be followed without running it (no way)"]),
    (
        lambda: nn.Sequential(Scaled(), nn.Sequential(nn.ReLU(), Scaled())),
        [
            "0: forward uses the tensor 'scale' by itself, outside a layer",
            "1.1: forward uses the tensor 'scale' by itself, outside a layer",
        ],
    ),
    (
        lambda: Forward(lambda m, x: torch.einsum("bi,bi->bi", 2 * m.a(x) + 1, x), nn.Linear(3, 3)),
        ["forward multiplies by the number 2", "forward adds the number 1", "forward calls torch.einsum"],
    ),
    (lambda: Forward(lambda m, x: x.detach()), ["forward calls x.detach()"]),
    (lambda: Forward(lambda m, x: (x, x)), ["forward gives several tensors, and a stack passes one tensor"]),
    (lambda: Forward(lambda m, x: {"out": x}), ["forward gives a dict, and a stack passes one tensor"]),
    (lambda: Forward(lambda m, x: 3), ["forward gives no tensor, and a stack passes one tensor"]),
    (
        lambda: Forward(lambda m, x: torch.flatten(x)),
        ["forward flattens the batch too (torch.flatten without start_dim)"],
    ),
    (lambda: Forward(lambda m, x: torch.cat([x, x])), ["forward concatenates along the batch (torch.cat without dim)"]),
    (
        lambda: Forward(lambda m, x: F.dropout(x)),
        ["forward calls F.dropout so that it goes on in eval mode (training=self.training is meant)"],
    ),
    (
        lambda: Forward(lambda m, x: m.a(x) if m.training else x, nn.ReLU()),
        ["forward does something else while training than in eval mode: only then it calls a"],
    ),
    (
        lambda: Forward(lambda m, x: m.a(m.a(x)), nn.Linear(3, 3)),
        ["a: it is called more than once, and no two layers of a config share weights"],
    ),
    (
        lambda: Forward(criss_cross, *(nn.Linear(3, 3) for _ in range(4))),
        ["b: what it gives goes to several places that are not branches inside one another"],
    ),
    (tied, ["1: it has the weights of 0, and no two layers of a config share weights"]),
    (hooked, ["0: it has hooks, which change what goes in or comes out"]),
    (replaced, ["0: its forward was replaced after it was built"]),
    (changed, ["0: no parameters of Linear make this layer; was it changed after it was built?"]),
    (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 3))),
        ["0: its weights are computed from others by a parametrization"],
    ),
    (
        lambda: nn.Sequential(nn.MaxPool2d(2, return_indices=True)),
        ["0: it gives the places of the maxima as well, and a stack passes one tensor"],
    ),
    (
        lambda: Forward(lambda m, x: m.a(x)[0], nn.LSTM(3, 4)),
        [
            "a: LSTM cannot stand in a config: a recurrent module hands on a state beside its output, and a stack "
            "passes one tensor from layer to layer",
            "forward picks elements by their indices",
        ],
    ),
    (
        lambda: Forward(lambda m, x: m.a(x), nn.ReLU(), nn.Linear(2, 2)),
        ["b: its weights are never used in eval mode"],
    ),
    (
        lambda: Forward(lambda m, x: torch.cat(list(x.chunk(2, 1)), 1)),
        ["forward calls x.chunk() where sizes must be known; give a sample"],
    ),
]


class TestInPlace:
    def test_what_is_used_again_is_what_was_made_of_it(self) -> None:
        module = Forward(lambda m, x: m.b(F.relu_(m.a(x))) + m.a(x), conv(3, 3), conv(3, 3))
        assert from_module(module).unsaid == (
            "a: it is called more than once, and no two layers of a config share weights",
        )

        def before(m: Any, x: Any) -> Any:
            y = m.a(x)
            return m.b(F.relu_(y)) + y

        module = Forward(before, conv(3, 3), conv(3, 3))
        layers = assert_imported(module, (3, 4, 4))["layers"]
        assert layers[1:] == [
            {"type": "ReLU", "inplace": True},
            {"type": "Residual", "layers": [layers[0] | {"name": "b"}]},
        ]

    def test_a_branch_leaves_alone_what_others_start_from(self) -> None:
        def after(m: Any, x: Any) -> Any:
            y = m.a(x)
            return m.b(y) + F.relu_(y)

        module = Forward(after, conv(3, 3), nn.Sequential(conv(3, 3), nn.ReLU()))
        assert assert_imported(module, (3, 4, 4))["layers"][1]["branches"][1] == "ReLU"

    def test_a_block_that_overwrites_its_input_is_named(self) -> None:
        module = Forward(lambda m, x: m.b(m.a(x)) + x, nn.ReLU(), nn.Sequential(nn.ReLU(True), conv(3, 3)))
        assert assert_imported(module, (3, 4, 4))["layers"][0]["type"] == "Residual"

        def twice(m: Any, x: Any) -> Any:
            y = m.a(x)
            return m.b(y) + y

        module = Forward(twice, conv(3, 3), nn.Sequential(nn.ReLU(True), conv(3, 3)))
        assert from_module(module).unsaid == ("b: it works in place on a tensor that is used again",)


class TestWhatCannotBeSaid:
    @pytest.mark.parametrize(("build", "sentences"), UNSAID)
    def test_it_is_named_in_a_sentence(self, build: Callable[[], nn.Module], sentences: list[str]) -> None:
        assert list(from_module(build()).unsaid) == sentences

    def test_a_sample_that_does_not_fit_is_a_sentence_too(self) -> None:
        (sentence,) = from_module(nn.Sequential(nn.Linear(3, 3)), torch.ones(2, 4)).unsaid
        assert sentence.startswith("the module does not take the sample: ")
        assert "mat1 and mat2 shapes cannot be multiplied" in sentence


# ---------------------------------------------------------------------- laws
PLAIN = st.sampled_from(
    [
        "ReLU",
        "Tanh",
        "BatchNorm2d",
        {"type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
        {"type": "Conv2d", "out_channels": 4, "kernel_size": 1, "groups": 2, "bias": False},
        {"type": "AvgPool2d", "kernel_size": 3, "stride": 1, "padding": 1},
        {"type": "Slice", "dim": 2, "start": 0},
        {"type": "ChannelShuffle", "groups": 2},
    ]
)
NARROW = {"type": "Conv2d", "out_channels": 4, "kernel_size": 1}


def composites(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    entries = st.lists(inner, min_size=1, max_size=3)
    slot = inner | entries
    merge = st.sampled_from(["add", "multiply"])
    several = st.lists(slot, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda layers: {"type": "Sequential", "layers": layers}, entries),
        st.builds(lambda layers: {"type": "Residual", "layers": layers}, entries),
        st.builds(lambda layers, shortcut: {"type": "Residual", "layers": layers, "shortcut": shortcut}, entries, slot),
        st.builds(lambda merge, slots: {"type": "Parallel", "merge": merge, "branches": slots}, merge, several),
        st.builds(lambda s: {"type": "Sequential", "layers": [{"type": "Parallel", "branches": s}, NARROW]}, several),
        st.builds(
            lambda layers: {"type": "Unpool", "pool": {"type": "MaxPool2d", "kernel_size": 1}, "layers": layers},
            entries,
        ),
        st.builds(lambda layers, n: {"type": "Repeat", "times": n, "layers": layers}, entries, st.integers(1, 2)),
    )


NETWORKS = st.lists(st.recursive(PLAIN, composites, max_leaves=8), min_size=1, max_size=3)


@slow
@given(NETWORKS)
@few
def test_whatever_a_mapping_builds_is_read_back(layers: list[Any]) -> None:
    module = cnnexp.plan({"layers": layers}, input_shape=(4, 6, 6)).build(seed=0)
    found = said(module)
    again = cnnexp.plan(found.model, input_shape=(4, 6, 6)).build(seed=1)
    assert repr(again) == repr(module)
    assert list(again.state_dict()) == list(module.state_dict())
    assert all(new == old for new, old in found.weights.items())
    copy_weights(module, again, found.weights)
    assert difference(module, again, samples(4, 6, 6)) == 0


Tree = tuple[Any, ...]


class Program(nn.Module):
    """A forward that computes a tree of sums, products and concatenations by itself, without any composite."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        self.tree = self.place(tree)

    def place(self, tree: Tree) -> Tree:
        """The tree with the numbers of its own convolutions in place of their channels."""
        kind, *inside = tree
        if kind == "conv":
            self.convs.append(nn.Conv2d(inside[0], 4, 1))
            return ("conv", len(self.convs) - 1)
        if kind == "cat":
            parts = [self.place(t) for t in inside]
            self.convs.append(nn.Conv2d(4 * len(parts), 4, 1))
            return ("cat", len(self.convs) - 1, *parts)
        return (kind, *map(self.place, inside))

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self.tree, x)

    def compute(self, tree: Tree, x: Tensor) -> Tensor:
        kind, *inside = tree
        if kind in ("x", "conv"):
            return x if kind == "x" else self.convs[inside[0]](x)
        if kind == "then":
            for part in inside:
                x = self.compute(part, x)
            return torch.tanh(x)
        if kind == "cat":
            number, *inside = inside
            return self.convs[number](torch.cat([self.compute(part, x) for part in inside], dim=1))
        first, *others = [self.compute(part, x) for part in inside]
        for other in others:
            first = first + other if kind == "add" else first * other
        return first


def trees(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.builds(lambda kind, parts: (kind, *parts), st.sampled_from(["then", "add", "mul", "cat"]), several)


@slow
@given(st.recursive(st.sampled_from([("x",), ("conv", 4)]), trees, max_leaves=10))
@few
def test_whatever_nests_in_a_forward_is_found(tree: Tree) -> None:
    torch.manual_seed(0)
    module = Program(("then", ("conv", 4), tree))
    found = said(module)
    built = cnnexp.plan(found.model, input_shape=(4, 3, 3)).build(seed=0)
    copy_weights(module, built, found.weights)
    assert sorted(found.weights.values()) == sorted(f"convs.{i}" for i in range(len(module.convs)))
    assert difference(module, built, samples(4, 3, 3)) <= 1e-5


# ---------------------------------------------------------------------- YAML
class TestWritten:
    def test_a_model_reads_as_a_person_would_write_it(self) -> None:
        model = {
            "layers": [
                {"type": "Conv2d", "name": "stem", "out_channels": 8, "kernel_size": [3, 5], "bias": False},
                {"type": "BatchNorm2d", "eps": 1e-05, "momentum": None},
                "${model.activation}",
                {
                    "type": "Residual",
                    "name": "on",
                    "layers": ["ReLU", {"type": "Conv2d", "out_channels": 8, "kernel_size": 1}],
                    "shortcut": {"type": "Conv2d", "out_channels": 8, "kernel_size": 1},
                },
                {
                    "type": "Parallel",
                    "merge": "add",
                    "branches": ["Identity", ["Tanh", {"type": "Sequential", "layers": ["ReLU"]}]],
                },
                {"type": "Linear", "out_features": "${data.num_classes}"},
            ],
            "activation": "ReLU",
            "init": [
                {"match": "features*", "weight": {"type": "kaiming_normal_", "mode": "fan_out"}, "bias": "zeros_"}
            ],
        }
        assert (
            text(model, "A network.\nOf nothing much.")
            == """\
# A network.
# Of nothing much.
activation: ReLU
layers:
  - {type: Conv2d, name: stem, out_channels: 8, kernel_size: [3, 5], bias: false}
  - {type: BatchNorm2d, eps: 1.0e-5, momentum: null}
  - ${model.activation}
  - type: Residual
    name: "on"
    layers:
      - ReLU
      - {type: Conv2d, out_channels: 8, kernel_size: 1}
    shortcut: {type: Conv2d, out_channels: 8, kernel_size: 1}
  - type: Parallel
    merge: add
    branches:
      - Identity
      - - Tanh
        - type: Sequential
          layers:
            - ReLU
  - {type: Linear, out_features: "${data.num_classes}"}
init:
  - {match: features*, weight: {type: kaiming_normal_, mode: fan_out}, bias: zeros_}
"""
        )

    WORDS = (
        "on",
        "No",
        "null",
        "1",
        "1e5",
        "1e-3",
        "0x1f",
        "1_000",
        "~",
        "",
        " a",
        "a: b",
        "- a",
        "#",
        "${a.b}",
        "NaN",
    )

    @pytest.mark.parametrize(
        "word", [*WORDS, ".inf", "y", "é\u2028\x85\x00\ufeff😀", "2020-01-01", "???", "<<", "a b #c"]
    )
    def test_a_text_stays_a_text(self, word: str) -> None:
        written = text({"a": word, "b": [word], "c": {"d": word}, "layers": [word, [word], {"type": word}]})
        expected = {"a": word, "b": [word], "c": {"d": word}, "layers": [word, [word], {"type": word}]}
        assert yaml.safe_load(written) == expected
        assert plain(written) == expected


def plain(written: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(written), resolve=False)


WORD = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(lambda s: "${" not in s)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORD | st.just("${data.num_classes}")
VALUE = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORD | st.sampled_from(["layers", "branches"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(WORD | st.sampled_from(["layers", "blocks"]), VALUE, max_size=4), WORD)
@settings(max_examples=100, deadline=None)
def test_any_mapping_reads_back_as_it_was(model: dict[str, Any], comment: str) -> None:
    written = text(model)
    assert yaml.safe_load(written) == model
    assert plain(written) == model


def test_a_plan_is_what_the_caller_gets() -> None:
    assert isinstance(cnnexp.plan(said(tutorial()).model, input_shape=(3, 32, 32)), Plan)
