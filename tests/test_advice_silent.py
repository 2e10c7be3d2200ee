"""Every rule of advice, where it has nothing to say: what looks alike and is as it should be."""

from __future__ import annotations

from typing import Any

import pytest

from cnnexp.architecture.advice import RULES
from tests.advising import DEPTHWISE, IMAGE, MAX, POOLED, UP, WIDEN, Shape, codes, conv, linear

NEGATIVE: dict[str, tuple[str, list[Any], Shape, str | None]] = {
    "no bias": ("bias-before-norm", [conv(bias=False), "BatchNorm2d"], IMAGE, None),
    "an activation before the norm": ("bias-before-norm", [conv(), "ReLU", "BatchNorm2d"], IMAGE, None),
    "dropout before the norm": ("bias-before-norm", [conv(), "Dropout", "BatchNorm2d"], IMAGE, None),
    "groups of several channels": ("bias-before-norm", [conv(8), {"type": "GroupNorm", "num_groups": 4}], IMAGE, None),
    "a norm over all": ("bias-before-norm", [conv(8), "LayerNorm"], IMAGE, None),
    "a norm that subtracts nothing": (
        "bias-before-norm",
        [conv(8), {"type": "LocalResponseNorm", "size": 3}],
        IMAGE,
        None,
    ),
    "a linear layer along positions": ("bias-before-norm", [linear(), "BatchNorm1d"], (4, 20), None),
    "statistics that stand still": (
        "bias-before-norm",
        [conv(), {"type": "BatchNorm2d", "momentum": 0.0}],
        IMAGE,
        None,
    ),
    "softmax without a loss": ("softmax-before-cross-entropy", [linear(), {"type": "Softmax", "dim": 1}], (20,), None),
    "softmax inside": (
        "softmax-before-cross-entropy",
        [linear(), {"type": "Softmax", "dim": 1}, linear()],
        (20,),
        "CrossEntropyLoss",
    ),
    "softmax along another dimension": (
        "softmax-before-cross-entropy",
        [{"type": "Softmax", "dim": 2}],
        (4, 20),
        "CrossEntropyLoss",
    ),
    "log-softmax with NLLLoss": ("softmax-without-log", [{"type": "LogSoftmax", "dim": 1}], (20,), "NLLLoss"),
    "log-softmax before a Flatten": (
        "no-log-softmax",
        [conv(10, 1), {"type": "AdaptiveAvgPool2d", "output_size": 1}, {"type": "LogSoftmax", "dim": 1}, "Flatten"],
        IMAGE,
        "NLLLoss",
    ),
    "softmax, which is told of already": ("no-log-softmax", [{"type": "Softmax", "dim": 1}], (20,), "NLLLoss"),
    "scores with cross entropy": ("no-log-softmax", [linear()], (20,), "CrossEntropyLoss"),
    "a sigmoid with a loss of probabilities": ("sigmoid-before-logits-loss", ["Sigmoid"], (20,), "BCELoss"),
    "a softmax with dim": ("softmax-without-dim", [{"type": "Softmax", "dim": 1}], (20,), None),
    "a softmax over a sample": ("mixed-samples", [{"type": "Softmax", "dim": -1}], (20,), None),
    "a softmax of images": ("mixed-samples", ["Softmax2d"], IMAGE, None),
    "a transformer with batch_first": (
        "mixed-samples",
        [{"type": "TransformerEncoderLayer", "d_model": 8, "nhead": 2, "batch_first": True}],
        (6, 8),
        None,
    ),
    "an activation between linear layers": ("one-layer", [linear(64), "ReLU", linear(10)], (64,), None),
    "a narrow middle between linear layers": ("one-layer", [linear(4), linear(64)], (64,), None),
    "a Flatten that flattens": ("one-layer", [linear(64), "Flatten", linear(10)], (4, 64), None),
    "a depthwise separable pair": ("one-layer", [conv(32, groups=32), conv(64, 1)], (32, 16, 16), None),
    "a narrow middle between convolutions": ("one-layer", [conv(4, 1), conv(64, 3)], (64, 16, 16), None),
    "two large windows": ("one-layer", [conv(8, 3), conv(8, 3)], IMAGE, None),
    "zeros around what a bias has moved": ("one-layer", [conv(8, 1), conv(8, 3, padding=1)], IMAGE, None),
    "a depthwise separable convolution": ("depthwise-alone", [conv(32), "ReLU", DEPTHWISE, "ReLU", WIDEN], IMAGE, None),
    "a scale for every channel": (
        "depthwise-alone",
        [conv(32), "ReLU", {"type": "Residual", "layers": ["BatchNorm2d", conv(32, 1, groups=32, bias=False)]}],
        IMAGE,
        None,
    ),
    "a depthwise convolution in two strips": (
        "depthwise-alone",
        [conv(32, (1, 3), groups=32), conv(32, (3, 1), groups=32), WIDEN],
        (32, 16, 16),
        None,
    ),
    "linear layers behind a depthwise convolution": (
        "depthwise-alone",
        [DEPTHWISE, *POOLED, linear()],
        (32, 16, 16),
        None,
    ),
    "one channel": ("depthwise-alone", [conv(1, groups=1)], (1, 16, 16), None),
    "three sigmoids and one at the end": (
        "saturating-stack",
        [x for _ in range(4) for x in (linear(8), "Sigmoid")],
        (8,),
        None,
    ),
    "norms between sigmoids": (
        "saturating-stack",
        [x for _ in range(6) for x in (linear(8), "BatchNorm1d", "Sigmoid")] + [linear()],
        (8,),
        None,
    ),
    "shortcuts around sigmoids": (
        "saturating-stack",
        [{"type": "Residual", "layers": [linear(8), "Sigmoid"]} for _ in range(6)] + [linear()],
        (8,),
        None,
    ),
    "an activation that falls": ("activation-before-max-pool", ["GELU", MAX], IMAGE, None),
    "an activation before an average": (
        "activation-before-max-pool",
        ["ReLU", {**MAX, "type": "AvgPool2d"}],
        IMAGE,
        None,
    ),
    "a pool that keeps the size": (
        "activation-before-max-pool",
        ["ReLU", {"type": "MaxPool2d", "kernel_size": 3, "stride": 1, "padding": 1}],
        IMAGE,
        None,
    ),
    "a leaky activation with a falling side": (
        "activation-before-max-pool",
        [{"type": "LeakyReLU", "negative_slope": -1.0}, MAX],
        IMAGE,
        None,
    ),
    "dropout behind a batch norm": ("dropout-before-norm", ["BatchNorm2d", "Dropout"], IMAGE, None),
    "dropout of nothing": ("dropout-before-norm", [{"type": "Dropout", "p": 0.0}, "BatchNorm2d"], IMAGE, None),
    "dropout before a norm of samples": ("dropout-before-norm", ["Dropout", "LayerNorm"], IMAGE, None),
    "dropout that keeps the variance": ("dropout-before-norm", ["AlphaDropout", "BatchNorm2d"], IMAGE, None),
    "ReLU after tanh": ("idle-activation", ["Tanh", "ReLU"], IMAGE, None),
    "ReLU6 after ReLU": ("idle-activation", ["ReLU", "ReLU6"], IMAGE, None),
    "ReLU after a sum of powers": (
        "idle-activation",
        ["Sigmoid", {"type": "LPPool2d", "norm_type": 1, "kernel_size": 2}, "ReLU6"],
        IMAGE,
        None,
    ),
    "a pool with ceil_mode": (
        "rows-left-out",
        [{"type": "MaxPool2d", "kernel_size": 3, "ceil_mode": True}],
        IMAGE,
        None,
    ),
    "padding alone that is left over": ("rows-left-out", [conv(kernel=3, stride=2, padding=1)], IMAGE, None),
    "rows that lie between windows everywhere": ("rows-left-out", [conv(kernel=1, stride=2)], IMAGE, None),
    "a field of half the input": ("small-field", [conv(kernel=16), *POOLED, linear()], IMAGE, None),
    "linear layers that see all positions": ("small-field", [conv(), "ReLU", "Flatten", linear()], IMAGE, None),
    "weights for channels": (
        "small-field",
        [
            {"type": "Parallel", "merge": "multiply", "branches": ["Identity", [conv(3, 1), *POOLED[:2], "Sigmoid"]]},
            conv(kernel=31),
            *POOLED,
            linear(),
        ],
        IMAGE,
        None,
    ),
    "a network that gives images": (
        "small-field",
        [conv(), {"type": "AdaptiveAvgPool2d", "output_size": 1}],
        IMAGE,
        None,
    ),
    "a picture that is left large enough": (
        "large-field",
        [*([conv(4, 3, stride=2, padding=1), "ReLU"] * 3), *POOLED, linear(2)],
        IMAGE,
        None,
    ),
    "half of the window": ("padding-beyond-half", [conv(kernel=4, padding=2)], IMAGE, None),
    "half of a spread window": ("padding-beyond-half", [conv(kernel=3, padding=4, dilation=4)], IMAGE, None),
    "a padding of what is there": ("padding-beyond-half", [conv(padding=2, padding_mode="circular")], IMAGE, None),
    "a padding mode that pads": ("dead-padding-mode", [conv(padding=1, padding_mode="reflect")], IMAGE, None),
    "the same size": ("dead-padding-mode", [conv(padding="same", padding_mode="reflect")], IMAGE, None),
    "the usual padding mode": ("dead-padding-mode", [conv(padding=0, padding_mode="zeros")], IMAGE, None),
    "a kernel twice the stride": ("checkerboard", [{**UP, "kernel_size": 4}], IMAGE, None),
    "no stride": ("checkerboard", [{**UP, "stride": 1}], IMAGE, None),
    "a single layer that learns": ("heavy-layer", ["Flatten", linear(), "BatchNorm1d"], IMAGE, None),
    "layers of a size": ("heavy-layer", [linear(20), "ReLU", linear(20)], (20,), None),
}


@pytest.mark.parametrize("case", NEGATIVE)
def test_what_is_not_told(case: str) -> None:
    code, layers, shape, loss = NEGATIVE[case]
    assert code not in codes(layers, shape, loss)


def test_every_rule_is_silent_somewhere() -> None:
    assert {code for code, *_ in NEGATIVE.values()} | {"unused-variable"} == set(RULES)
