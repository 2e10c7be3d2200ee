"""Every shipped network: it plans without a problem, and its source is the network one would write by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cnnexp
from cnnexp.cli import main
from cnnexp.config import packaged


def tudui() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1024, 64),
        nn.Linear(64, 10),
    )


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


def mnist_cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


BY_HAND = {
    "tudui": (tudui, (3, 32, 32)),
    "net": (net, (3, 32, 32)),
    "mnist_cnn": (mnist_cnn, (1, 28, 28)),
    "mlp": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)),
        (1, 28, 28),
    ),
    "mlp_softmax": (
        lambda: nn.Sequential(
            nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.Softmax(dim=1)
        ),
        (128,),
    ),
    "conv_block": (
        lambda: nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        (3, 32, 32),
    ),
    "single_conv": (lambda: nn.Sequential(nn.Conv2d(3, 6, kernel_size=3)), (3, 32, 32)),
    "single_pool": (lambda: nn.Sequential(nn.MaxPool2d(kernel_size=3, ceil_mode=False)), (3, 32, 32)),
    "single_activation": (lambda: nn.Sequential(nn.Sigmoid()), (3, 32, 32)),
}

NAMES = sorted(BY_HAND)


@pytest.mark.parametrize("name", NAMES)
def test_the_source_is_the_network_written_by_hand(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    by_hand, shape = BY_HAND[name]
    assert main(["code", f"model={name}"]) == 0
    scope: dict[str, Any] = {}
    exec(capsys.readouterr().out, scope)  # the printed source is what is under test
    printed, written = scope["model"], by_hand()
    assert repr(printed) == repr(written)
    assert list(printed.state_dict()) == list(written.state_dict())
    written.load_state_dict(printed.state_dict())
    batch = torch.randn(2, *shape)
    assert torch.equal(printed.eval()(batch), written.eval()(batch))


@pytest.mark.parametrize("name", NAMES)
def test_building_with_a_seed_draws_the_weights_that_torch_would_draw_by_hand(name: str) -> None:
    built = cnnexp.plan(name).build(seed=3)
    torch.manual_seed(3)
    for ours, theirs in zip(built.parameters(), BY_HAND[name][0]().parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_check_accepts_the_network_on_the_data_it_chooses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"model={name}"]) == 0
    assert "parameters" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variable", "values"),
    [
        ("tudui", "activation", ["relu", "Sigmoid", "{type: LeakyReLU, negative_slope: 0.2}", "null"]),
        ("tudui", "padding_mode", ["zeros", "reflect", "replicate", "circular"]),
        ("tudui", "stride", ["1"]),
        ("net", "activation", ["Tanh", "null"]),
        ("net", "padding_mode", ["circular"]),
        ("mnist_cnn", "activation", ["gelu"]),
        ("mnist_cnn", "padding_mode", ["reflect"]),
        ("mnist_cnn", "stride", ["2"]),
        ("mlp", "activation", ["elu"]),
        ("mlp_softmax", "activation", ["silu"]),
        ("conv_block", "activation", ["Hardswish"]),
        ("conv_block", "padding_mode", ["replicate"]),
        ("conv_block", "stride", ["2"]),
        ("single_conv", "stride", ["2", "[1, 2]"]),
        ("single_conv", "padding_mode", ["reflect"]),
        ("single_pool", "ceil_mode", ["true"]),
        ("single_pool", "stride", ["1"]),
        ("single_activation", "activation", ["ReLU", "softplus"]),
    ],
)
def test_the_variables_of_a_network_change_it(name: str, variable: str, values: list[str]) -> None:
    from cnnexp.config import Composer
    from cnnexp.verify import verify

    for value in values:
        verdict = verify(Composer().compose([f"model={name}", f"model.{variable}={value}"]))
        assert not verdict.problems, (name, variable, value)


def test_every_variable_is_used() -> None:
    for file in (packaged() / "model").glob("*.yaml"):
        text = Path(file).read_text(encoding="utf-8")
        for line in text.splitlines():
            key = line.partition(":")[0]
            if key.isidentifier() and key not in ("layers", "defaults", "blocks", "init", "freeze"):
                assert f"${{model.{key}}}" in text, f"{file.name}: {key}"
