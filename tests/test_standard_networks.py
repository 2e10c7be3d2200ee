"""The standard networks are those of torchvision, or of a module written by hand: weights, results, costs, training."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import cnnexp
from cnnexp.architecture.plan import Plan
from cnnexp.cli import main
from cnnexp.config import Composer
from cnnexp.data.sets import load
from cnnexp.verify import verify

slow = pytest.mark.slow
CLASSES = 10
LARGE = (3, 224, 224)
UNEVEN = (3, 77, 90)  # sizes at which it shows whether a pool keeps the last column


def theirs(name: str) -> nn.Module:
    """A network of torchvision's, with weights as it draws them."""
    settings = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
    module: nn.Module = torchvision.models.get_model(name, weights=None, **settings)
    return module


def multiply_adds(module: nn.Module, batch: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(batch)
    return int(counter.get_total_flops()) // 2 // len(batch)


def stirred(module: nn.Module) -> nn.Module:
    """Batch norms that do something: other statistics and other factors than those that they start with."""
    generator = torch.Generator().manual_seed(0)
    ranges = {"weight": (0.7, 1.1), "bias": (-0.2, 0.2), "running_mean": (-0.2, 0.2), "running_var": (0.7, 1.5)}
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            for name, tensor in norm.state_dict().items():
                if name in ranges:
                    tensor.uniform_(*ranges[name], generator=generator)
    return module


def spread(tensor: Tensor) -> tuple[float, float]:
    """The standard deviation, and how far from zero the values are in units of it: 0.80 if normal, 0.87 if uniform."""
    return tensor.std().item(), (tensor.abs().mean() / tensor.std()).item()


def assert_the_same(ours: nn.Module, other: nn.Module, shape: tuple[int, ...]) -> None:
    """Another module gives the same results once it has our tensors, taken over in order: in evaluation, in training
    with the same random choices, and its running statistics are the same afterwards."""
    mine, target = stirred(ours).state_dict(), other.state_dict()
    assert [tuple(t.shape) for t in mine.values()] == [tuple(t.shape) for t in target.values()]
    parameters = dict(ours.named_parameters())
    taken = (tensor if key in parameters else tensor.clone() for key, tensor in mine.items())
    other.load_state_dict(dict(zip(target, taken, strict=True)), assign=True)
    batch = 10 * torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))  # large: ReLU6 has work to do
    for training in (False, True):
        results = []
        for module in (ours.train(training), other.train(training)):
            torch.manual_seed(2)
            with torch.no_grad():
                results.append(module(batch))
        assert results[1].std() > 1e-3, "the comparison means nothing when all results are alike"
        torch.testing.assert_close(*results, rtol=0, atol=1e-5)
    for tensor, expected in zip(ours.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(tensor, expected)


TORCHVISION = [
    pytest.param("alexnet", marks=slow),
    pytest.param("vgg11", marks=slow),
    pytest.param("vgg16_bn", marks=slow),
    "resnet18",
    pytest.param("resnet50", marks=slow),
    "mobilenet_v2",
    "squeezenet1_1",
    pytest.param("densenet121", marks=slow),
    pytest.param("googlenet", marks=slow),
    pytest.param("efficientnet_b0", marks=slow),
]


@pytest.fixture(scope="module", params=TORCHVISION)
def planned(request: pytest.FixtureRequest) -> tuple[str, Plan]:
    return request.param, cnnexp.plan(request.param, input_shape=LARGE, num_classes=1000)


class TestAgainstTorchvision:
    def test_as_many_parameters_as_published(self, planned: tuple[str, Plan]) -> None:
        name, plan = planned
        published = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta["num_params"]
        assert plan.totals.parameters == published
        assert plan.output_shape == (1000,)

    @slow
    def test_as_many_multiply_adds(self, planned: tuple[str, Plan]) -> None:
        name, plan = planned
        with torch.device("meta"):
            assert plan.totals.multiply_adds == multiply_adds(theirs(name), torch.empty(1, *LARGE))

    @slow
    def test_the_same_results_with_the_same_weights(self, planned: tuple[str, Plan]) -> None:
        name, plan = planned
        with torch.device("meta"):
            other = theirs(name)
        assert_the_same(plan.build(seed=0), other, UNEVEN)

    @slow
    def test_weights_are_drawn_from_the_same_distributions(self, planned: tuple[str, Plan]) -> None:
        name, plan = planned
        with torch.random.fork_rng():
            torch.manual_seed(0)
            other = theirs(name)
        for mine, their in zip(plan.build(seed=0).parameters(), other.parameters(), strict=True):
            ours, expected = (tensor.detach().flatten()[:100_000] for tensor in (mine, their))
            if (expected == expected[0]).all():
                assert torch.equal(ours, expected)
            elif len(expected) > 5000:
                assert spread(ours) == pytest.approx(spread(expected), rel=0.05)
                assert ours.mean().item() == pytest.approx(expected.mean().item(), abs=0.1 * spread(expected)[0])


@slow
def test_the_weights_of_alexnet_have_torchvisions_names() -> None:
    with torch.device("meta"):
        assert list(cnnexp.plan("alexnet").build().state_dict()) == list(theirs("alexnet").state_dict())


def conv_bn(
    before: int, after: int, kernel: int = 3, stride: int = 1, padding: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


class Block(nn.Module):
    """Two convolutions and their shortcut, as in the ResNet paper's option B."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 1 if before == after else 2
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.project = stride == 2
        if self.project:
            self.conv0 = nn.Conv2d(before, after, 1, stride, bias=False)
            self.bn0 = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (self.bn0(self.conv0(x)) if self.project else x))


def resnet20() -> nn.Module:
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    blocks = (Block(before, after) for before, after in itertools.pairwise(widths))
    return nn.Sequential(conv_bn(3, 16), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 64)
        self.down = nn.ModuleList(self.pair(a, b) for a, b in itertools.pairwise(widths))
        self.middle = self.pair(64, 128)
        self.up = nn.ModuleList()
        for width in (64, 32, 16):
            self.up.append(nn.ConvTranspose2d(2 * width, width, 2, 2))
            self.up.append(self.pair(2 * width, width))
        self.scores = nn.Conv2d(16, CLASSES, 1)

    @staticmethod
    def pair(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(conv_bn(before, after), conv_bn(after, after))

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for pair in self.down:
            x = pair(x)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for i in range(0, 6, 2):
            x = self.up[i + 1](torch.cat([kept.pop(), self.up[i](x)], 1))
        scores: Tensor = self.scores(x)
        return scores


class SegNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        stages = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
        self.down = nn.ModuleList(self.stage(widths) for widths in stages)
        self.up = nn.ModuleList(self.stage(widths[::-1]) for widths in stages[:0:-1])
        self.last = conv_bn(64, 64)
        self.scores = nn.Conv2d(64, CLASSES, 3, padding=1)

    @staticmethod
    def stage(widths: tuple[int, ...]) -> nn.Sequential:
        return nn.Sequential(*(conv_bn(a, b) for a, b in itertools.pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        places = []
        for stage in self.down:
            x, indices = F.max_pool2d(stage(x), 2, return_indices=True)
            places.append(indices)
        for stage in self.up:
            x = stage(F.max_unpool2d(x, places.pop(), [2, 2]))
        scores: Tensor = self.scores(self.last(F.max_unpool2d(x, places.pop(), [2, 2])))
        return scores


def lenet5() -> nn.Module:
    first = (nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2))
    second = (nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2))
    third = (nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten())
    return nn.Sequential(*first, *second, *third, nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, CLASSES))


def autoencoder() -> nn.Module:
    down = [layer for a, b in ((3, 32), (32, 64), (64, 8)) for layer in (nn.Conv2d(a, b, 4, 2, 1), nn.ReLU())]
    up = [layer for a, b in ((8, 64), (64, 32), (32, 3)) for layer in (nn.ConvTranspose2d(a, b, 4, 2, 1), nn.ReLU())]
    return nn.Sequential(*down, *up[:-1])


def separable() -> nn.Module:
    steps = ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1))
    pairs = (
        nn.Sequential(conv_bn(a, a, stride=stride, groups=a), conv_bn(a, b, kernel=1, padding=0))
        for a, b, stride in steps
    )
    return nn.Sequential(conv_bn(3, 32), *pairs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, CLASSES))


def dilated() -> nn.Module:
    convolutions = (conv_bn(3 if d == 1 else 32, 32, padding=d, dilation=d) for d in (1, 2, 4, 8))
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES))


def sequence() -> nn.Module:
    def stage(before: int, after: int, kernel: int) -> nn.Sequential:
        convolution = nn.Conv1d(before, after, kernel, padding=kernel // 2)
        return nn.Sequential(convolution, nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(2))

    stages = (stage(3, 32, 7), stage(32, 64, 5), stage(64, 64, 3))
    return nn.Sequential(*stages, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def volume() -> nn.Module:
    def stage(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv3d(before, after, 3, padding=1), nn.BatchNorm3d(after), nn.ReLU(), nn.MaxPool3d(2))

    stages = (stage(1, 16), stage(16, 32), stage(32, 64))
    return nn.Sequential(*stages, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, CLASSES))


@dataclass(frozen=True)
class ByHand:
    module: Callable[[], nn.Module]
    shape: tuple[int, ...]  # of the samples of the data that the file chooses
    leaving: tuple[int, ...] = (CLASSES,)


IMAGE = (3, 32, 32)
BY_HAND = {
    "lenet5": ByHand(lenet5, (1, 32, 32)),
    "resnet20_cifar": ByHand(resnet20, IMAGE),
    "unet": ByHand(UNet, IMAGE, (CLASSES, 32, 32)),
    "segnet": ByHand(SegNet, IMAGE, (CLASSES, 32, 32)),
    "conv_autoencoder": ByHand(autoencoder, IMAGE, IMAGE),
    "depthwise_separable": ByHand(separable, IMAGE),
    "dilated": ByHand(dilated, IMAGE),
    "conv1d_sequence": ByHand(sequence, (3, 128)),
    "conv3d_volume": ByHand(volume, (1, 16, 16, 16)),
}


@slow
@pytest.mark.parametrize("name", BY_HAND)
def test_the_network_is_the_one_written_by_hand(name: str) -> None:
    plan, expected = cnnexp.plan(name), BY_HAND[name]
    assert (plan.input_shape, plan.output_shape) == (expected.shape, expected.leaving)
    module = expected.module()
    assert plan.totals.parameters == sum(p.numel() for p in module.parameters())
    assert plan.totals.multiply_adds == multiply_adds(module, torch.randn(2, *expected.shape))
    assert_the_same(plan.build(seed=0), module, expected.shape)


def test_published_numbers_of_parameters() -> None:
    counts = {name: cnnexp.plan(name).totals.parameters for name in ("lenet5", "resnet20_cifar", "segnet")}
    assert counts["lenet5"] == 61_706
    assert round(counts["resnet20_cifar"] / 1e6, 2) == 0.27
    assert round(counts["segnet"] / 1e6, 1) == 29.4


def test_an_output_of_the_dilated_network_sees_31_pixels() -> None:
    field = cnnexp.plan("dilated").layers[3].field
    assert field is not None
    assert field.size == (31, 31)


NAMES = [*TORCHVISION, *BY_HAND]


@slow
@pytest.mark.parametrize("name", NAMES)
def test_check_accepts_the_network_on_the_data_it_chooses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"model={name}"]) == 0
    assert "parameters" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["digits_32", "digits_64", "sequences", "volumes"])
def test_the_samples_have_the_shape_that_the_data_file_says(file: str) -> None:
    data = Composer().compose([f"data={file}"]).values["data"]
    assert list(load(data).train.images.shape[1:]) == data["shape"]


@slow
@pytest.mark.parametrize("name", NAMES)
def test_a_step_down_the_gradient_lowers_the_loss_and_every_parameter_has_a_part_in_it(name: str) -> None:
    plan = cnnexp.plan(name, input_shape=BY_HAND[name].shape if name in BY_HAND else (3, 64, 64))
    model = plan.build(seed=0).train()
    generator = torch.Generator().manual_seed(2)
    batch = torch.randn(4, *plan.input_shape, generator=generator)
    target = torch.randint(plan.output_shape[0], (4, *plan.output_shape[1:]), generator=generator)

    def loss() -> Tensor:
        torch.manual_seed(3)  # the same choice of what dropout leaves out
        return F.cross_entropy(model(batch), target)

    before, parameters = loss(), dict(model.named_parameters())
    found = torch.autograd.grad(before, list(parameters.values()), allow_unused=True)
    gradients = {key: gradient for key, gradient in zip(parameters, found, strict=True) if gradient is not None}
    assert [key for key in parameters if key not in gradients or not gradients[key].any()] == []
    size = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    with torch.no_grad():
        for key, gradient in gradients.items():
            parameters[key].sub_(1e-4 * gradient / size)
        assert loss() < before


@cache
def as_it_is_shipped(name: str) -> dict[str, Any]:
    return cnnexp.plan(name).as_dict()


@slow
@pytest.mark.parametrize(
    ("name", "variable", "gone", "there"),
    [
        ("lenet5", "model.activation=ReLU", "Tanh", "ReLU"),
        ("lenet5", "model.pool=MaxPool2d", "AvgPool2d", "MaxPool2d"),
        ("alexnet", "model.activation=GELU", "ReLU", "GELU"),
        ("alexnet", "model.dropout=0", None, "Dropout"),
        ("vgg11", "model.activation=GELU", "ReLU", "GELU"),
        ("vgg11", "model.dropout=0.1", None, "Dropout"),
        ("vgg16_bn", "model.activation=GELU", "ReLU", "GELU"),
        ("vgg16_bn", "model.dropout=0.1", None, "Dropout"),
        ("resnet18", "model.activation=SiLU", "ReLU", "SiLU"),
        ("resnet20_cifar", "model.activation=SiLU", "ReLU", "SiLU"),
        ("resnet20_cifar", "model.blocks.basic_block.params.activation=SiLU", None, "SiLU"),
        ("resnet50", "model.activation=SiLU", "ReLU", "SiLU"),
        ("mobilenet_v2", "model.activation=Hardswish", "ReLU6", "Hardswish"),
        ("mobilenet_v2", "model.dropout=0.5", None, "Dropout"),
        ("squeezenet1_1", "model.activation=ELU", "ReLU", "ELU"),
        ("squeezenet1_1", "model.dropout=0", None, "Dropout"),
        pytest.param("densenet121", "model.activation=SiLU", "ReLU", "SiLU", marks=slow),
        pytest.param("densenet121", "model.growth=12", None, "ReLU", marks=slow),
        pytest.param("densenet121", "model.bottleneck=64", None, "ReLU", marks=slow),
        ("googlenet", "model.activation=SiLU", "ReLU", "SiLU"),
        ("googlenet", "model.dropout=0.4", None, "Dropout"),
        ("efficientnet_b0", "model.activation=ReLU", "SiLU", "ReLU"),
        ("efficientnet_b0", "model.dropout=0.4", None, "Dropout"),
        ("unet", "model.activation=ELU", "ReLU", "ELU"),
        ("segnet", "model.activation=ELU", "ReLU", "ELU"),
        ("conv_autoencoder", "model.activation=Tanh", "ReLU", "Tanh"),
        ("conv_autoencoder", "model.code=4", None, "ReLU"),
        ("depthwise_separable", "model.activation=ReLU6", "ReLU", "ReLU6"),
        ("dilated", "model.activation=SiLU", "ReLU", "SiLU"),
        ("dilated", "model.channels=8", None, "ReLU"),
        ("conv1d_sequence", "model.activation={type: LeakyReLU, negative_slope: 0.2}", "ReLU", "LeakyReLU"),
        ("conv3d_volume", "model.activation=null", "ReLU", "Conv3d"),
    ],
)
def test_the_variables_of_a_network_change_it(name: str, variable: str, gone: str | None, there: str) -> None:
    verdict = verify(Composer().compose([f"model={name}", variable]))
    assert not verdict.problems
    assert verdict.plan is not None
    types = {layer.type for _, _, layer in verdict.plan.walk()}
    assert gone not in types
    assert there in types
    assert verdict.plan.as_dict() != as_it_is_shipped(name)
