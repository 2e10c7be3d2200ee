"""Every rule of advice, with the full text of what it says."""

from __future__ import annotations

from typing import Any

import pytest

from cnnexp.architecture.advice import RULES
from tests.advising import DEPTHWISE, IMAGE, MAX, MORE, POOLED, UP, WIDEN, Shape, conv, linear, told

POSITIVE: dict[str, tuple[list[Any], Shape, str | None, str]] = {
    "a bias before a batch norm": (
        [conv(padding=1), "BatchNorm2d"],
        IMAGE,
        None,
        "[bias-before-norm] layers[0] Conv2d: its bias is taken away again by layers[1] BatchNorm2d, which subtracts "
        "the mean of every channel -> set bias: false",
    ),
    "a bias before a pool before a batch norm": (
        [conv(padding=1), MAX, "BatchNorm2d"],
        IMAGE,
        None,
        "[bias-before-norm] layers[0] Conv2d: its bias is taken away again by layers[2] BatchNorm2d, which subtracts "
        "the mean of every channel -> set bias: false",
    ),
    "a bias of a linear layer before a batch norm": (
        [linear(), "BatchNorm1d"],
        (20,),
        None,
        "[bias-before-norm] layers[0] Linear: its bias is taken away again by layers[1] BatchNorm1d, which subtracts "
        "the mean of every feature -> set bias: false",
    ),
    "a softmax before cross entropy": (
        [linear(), {"type": "Softmax", "dim": 1}],
        (20,),
        "CrossEntropyLoss",
        "[softmax-before-cross-entropy] layers[1] Softmax: CrossEntropyLoss applies log-softmax itself; with 10 "
        "probabilities in place of scores the loss of a sample cannot fall below 1.46 -> take it out; the class of "
        "the largest score is the class of the largest probability",
    ),
    "a log-softmax before cross entropy": (
        [linear(), {"type": "LogSoftmax", "dim": -1}],
        (20,),
        "CrossEntropyLoss",
        "[softmax-before-cross-entropy] layers[1] LogSoftmax: CrossEntropyLoss applies log-softmax itself, and doing "
        "it twice changes nothing -> take it out; the class of the largest score is the class of the largest "
        "probability",
    ),
    "a softmax with NLLLoss": (
        [linear(), {"type": "Softmax", "dim": 1}],
        (20,),
        "NLLLoss",
        "[softmax-without-log] layers[1] Softmax: NLLLoss takes logarithms of probabilities, and Softmax gives "
        "probabilities -> write LogSoftmax with dim: 1 in its place",
    ),
    "scores with NLLLoss": (
        [linear()],
        (20,),
        "NLLLoss",
        "[no-log-softmax] layers[0] Linear: NLLLoss takes logarithms of probabilities, and no LogSoftmax makes them of "
        "what leaves it -> end the network in {type: LogSoftmax, dim: 1}, or take CrossEntropyLoss",
    ),
    "a sigmoid with a loss of scores": (
        [linear(), "Sigmoid"],
        (20,),
        "BCEWithLogitsLoss",
        "[sigmoid-before-logits-loss] layers[1] Sigmoid: BCEWithLogitsLoss applies a sigmoid itself; for a class that "
        "is absent its loss cannot fall below 0.69 -> take it out",
    ),
    "a softmax without dim": (
        [linear(), "Softmax"],
        (20,),
        None,
        "[softmax-without-dim] layers[1] Softmax: without dim torch takes a guess, here dimension 1, and warns -> "
        "write dim: 1, which is the first dimension of a sample",
    ),
    "a softmax whose guess is the batch": (
        ["Softmax"],
        (4, 5),
        None,
        "[softmax-without-dim] layers[0] Softmax: without dim torch takes a guess, here dimension 0, the samples of "
        "the batch, and warns -> write dim: 1, which is the first dimension of a sample",
    ),
    "a softmax over the batch": (
        [linear(), {"type": "Softmax", "dim": -2}],
        (20,),
        None,
        "[mixed-samples] layers[1] Softmax: dimension 0 is the batch: the samples of a batch share the probability of "
        "1 among them -> write dim: 1, which is the first dimension of a sample",
    ),
    "a transformer without batch_first": (
        [{"type": "TransformerEncoderLayer", "d_model": 8, "nhead": 2, "dropout": 0.0}],
        (6, 8),
        None,
        "[mixed-samples] layers[0] TransformerEncoderLayer: without batch_first it takes the batch for the sequence of "
        "6, so samples attend to others -> set batch_first: true",
    ),
    "a transformer of vectors": (
        [{"type": "TransformerEncoderLayer", "d_model": 8, "nhead": 2, "dropout": 0.0, "batch_first": True}],
        (8,),
        None,
        "[mixed-samples] layers[0] TransformerEncoderLayer: takes a batch of vectors for one sequence, so every sample "
        "attends to the others -> give it sequences, for instance with an Unflatten before it",
    ),
    "two linear layers": (
        [linear(64), "Identity", {"type": "Dropout", "p": 0.5}, linear(10)],
        (64,),
        None,
        "[one-layer] layers[0] Linear: with layers[3] Linear behind it and no activation between, the two are one "
        "linear layer (64 → 10): 4,810 parameters do what 650 can -> put an activation between them, or take one of "
        "them out",
    ),
    "a pointwise convolution behind another": (
        [conv(8, 3), conv(4, 1)],
        (2, 32, 32),
        None,
        f"[one-layer] {MORE} 3×3 convolution (2 → 4 channels): 188 parameters do what 76 can -> put an activation "
        "between them, or take one of them out",
    ),
    "a pointwise convolution before another": (
        [conv(8, 1, bias=False), conv(4, 3, padding=1)],
        (2, 32, 32),
        None,
        f"[one-layer] {MORE} 3×3 convolution (2 → 4 channels): 308 parameters do what 76 can -> put an activation "
        "between them, or take one of them out",
    ),
    "a depthwise convolution at the end": (
        [conv(32), "ReLU", DEPTHWISE, "ReLU"],
        IMAGE,
        None,
        "[depthwise-alone] layers[2] Conv2d: is depthwise (32 groups for 32 channels), and no layer behind it mixes "
        "them -> put a convolution with kernel_size: 1 behind it, which mixes the channels",
    ),
    "a depthwise convolution after another": (
        [conv(32), "ReLU", DEPTHWISE, "BatchNorm2d", "ReLU", DEPTHWISE, "ReLU", WIDEN],
        IMAGE,
        None,
        "[depthwise-alone] layers[2] Conv2d: is depthwise (32 groups for 32 channels), and layers[5] Conv2d filters "
        "every channel by itself again before any layer mixes them -> put a convolution with kernel_size: 1 behind "
        "it, which mixes the channels",
    ),
    "four sigmoids": (
        [x for _ in range(4) for x in (linear(8), "Sigmoid")] + [linear(2)],
        (8,),
        None,
        "[saturating-stack] layers[1] Sigmoid: is the first of 4 saturating activations with no normalisation between "
        "them: each hands back a quarter of a gradient at the most, all together 1/256 -> use ReLU, or put a "
        "normalisation before each of them",
    ),
    "four tanhs": (
        [x for _ in range(4) for x in (linear(8), "Tanh")] + [linear(2)],
        (8,),
        None,
        "[saturating-stack] layers[1] Tanh: is the first of 4 saturating activations with no normalisation between "
        "them: a gradient shrinks in each of them that saturates -> use ReLU, or put a normalisation before each of "
        "them",
    ),
    "an activation before a max pool": (
        [conv(padding=1), "ReLU", MAX],
        IMAGE,
        None,
        "[activation-before-max-pool] layers[2] MaxPool2d: in front of layers[1] ReLU it would give the same, and ReLU "
        "would work on 2,048 numbers in place of 8,192, 1/4 of the work -> write MaxPool2d before ReLU",
    ),
    "dropout before a batch norm": (
        [conv(bias=False), {"type": "Dropout", "p": 0.2}, "BatchNorm2d"],
        IMAGE,
        None,
        "[dropout-before-norm] layers[1] Dropout: in training it makes the variance that layers[2] BatchNorm2d "
        "remembers at least 1.25 times as large as it is in evaluation -> put it behind BatchNorm2d",
    ),
    "ReLU after a sigmoid": (
        ["Sigmoid", MAX, "ReLU"],
        IMAGE,
        None,
        "[idle-activation] layers[2] ReLU: changes nothing: layers[0] Sigmoid gives no number outside of 0 to 1 -> "
        "take it out",
    ),
    "ReLU twice": (
        ["ReLU", "ReLU"],
        IMAGE,
        None,
        "[idle-activation] layers[1] ReLU: changes nothing: layers[0] ReLU gives no number below 0 -> take it out",
    ),
    "a pool that leaves rows out": (
        [{"type": "MaxPool2d", "kernel_size": 3}],
        IMAGE,
        None,
        "[rows-left-out] layers[0] MaxPool2d: its windows never reach the last 2 of 32 rows and 2 of 32 columns -> "
        "set ceil_mode: true",
    ),
    "a convolution that leaves a column out": (
        [conv(kernel=3, stride=2)],
        (3, 31, 32),
        None,
        "[rows-left-out] layers[0] Conv2d: its windows never reach the last of 32 columns -> set padding: [0, 1]",
    ),
    "a convolution that leaves positions out": (
        [{"type": "Conv1d", "out_channels": 4, "kernel_size": 4, "stride": 4}],
        (2, 31),
        None,
        "[rows-left-out] layers[0] Conv1d: its windows never reach the last 3 of 31 positions -> set padding: 1",
    ),
    "a field that is too small": (
        [conv(), "ReLU", conv(), *POOLED, linear()],
        IMAGE,
        None,
        "[small-field] layers[4] AdaptiveAvgPool2d: what it pools sees 5×5 of the 32×32 input at a time, less than "
        "half in each direction, so no part of the network sees a whole object -> let more layers, strides or "
        "dilation stand before it; or a Flatten in its place",
    ),
    "a field that is too large for what is left of the picture": (
        [*([conv(4, 3, stride=2, padding=1), "ReLU"] * 4), *POOLED, linear(2)],
        (3, 7, 7),
        None,
        "[large-field] layers[6] Conv2d: one of its outputs sees 31×31, 4 times the 7×7 input: only 1×1 is left for "
        "its 3×3 window, the rest is padding -> use fewer strides and pools before it, or larger inputs",
    ),
    "a field that is too large by its depth": (
        [*([conv(2, 3, padding=1), "ReLU"] * 20), *POOLED, linear(2)],
        (2, 8, 8),
        None,
        "[large-field] layers[38] Conv2d: one of its outputs sees 41×41, 5 times the 8×8 input: layers before it see "
        "all of the input already -> use fewer layers or smaller windows, unless the depth itself is wanted",
    ),
    "a padding that whole windows fit into": (
        [conv(kernel=1, padding=1)],
        IMAGE,
        None,
        "[padding-beyond-half] layers[0] Conv2d: its padding (1) is more than half of its 1×1 window, so 132 of its "
        "1,156 windows see nothing but zeros -> set padding: 0 or less",
    ),
    "a padding beyond half of the window": (
        [conv(kernel=(3, 5), padding=(1, 3))],
        IMAGE,
        None,
        "[padding-beyond-half] layers[0] Conv2d: its padding ([1, 3]) is more than half of its 3×5 window, so its "
        "outermost windows see more zeros than input -> set padding: [1, 2] or less",
    ),
    "a padding mode without padding": (
        [conv(padding=0, padding_mode="reflect")],
        IMAGE,
        None,
        "[dead-padding-mode] layers[0] Conv2d: padding_mode reflect has no effect: padding is 0 -> set a padding, or "
        "take padding_mode out",
    ),
    "a padding mode where padding is left out": (
        [conv(padding_mode="circular")],
        IMAGE,
        None,
        "[dead-padding-mode] layers[0] Conv2d: padding_mode circular has no effect: padding is 0 when it is left out "
        "-> set a padding, or take padding_mode out",
    ),
    "a checkerboard": (
        [UP],
        IMAGE,
        None,
        "[checkerboard] layers[0] ConvTranspose2d: its kernel_size (3) is no multiple of its stride (2): each of its "
        "outputs is the sum of 1 to 4 windows, which shows as a checkerboard -> set kernel_size: 4; with padding: 1 "
        "it makes sizes exactly 2-fold",
    ),
    "a checkerboard by dilation": (
        [{**UP, "kernel_size": 4, "dilation": 2}],
        IMAGE,
        None,
        "[checkerboard] layers[0] ConvTranspose2d: its dilation (2) and its stride (2) have a divisor in common: each "
        "of its outputs is the sum of 0 to 16 windows, which shows as a checkerboard -> set dilation: 1",
    ),
    "a heavy layer": (
        [conv(), "ReLU", "Flatten", linear(64), "ReLU", linear()],
        IMAGE,
        None,
        "[heavy-layer] layers[3] Linear: holds 460,864 of the network's 461,738 parameters, 99 % -> pool the 8×30×30 "
        "before Flatten, or give it fewer out_features",
    ),
    "a heavy layer of vectors": (
        [linear(64), "ReLU", linear(2)],
        (100,),
        None,
        "[heavy-layer] layers[0] Linear: holds 6,464 of the network's 6,594 parameters, 98 % -> give it fewer outputs, "
        "or the others more",
    ),
}


@pytest.mark.parametrize("case", POSITIVE)
def test_what_is_told(case: str) -> None:
    layers, shape, loss, expected = POSITIVE[case]
    assert expected in told(layers, shape, loss)


def test_every_rule_is_told_of_somewhere() -> None:
    assert {text[1:].partition("]")[0] for *_, text in POSITIVE.values()} | {"unused-variable"} == set(RULES)
