"""Advice about the end of a network and its loss, and about dimensions that are the batch."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import nn

from cnnexp.architecture.advice.flow import Finding, Network, Rule, does_nothing, is_a, value
from cnnexp.architecture.plan import PlannedLayer

_SOFTMAXES = (nn.Softmax, nn.LogSoftmax, nn.Softmin)
_FIRST = "write dim: 1, which is the first dimension of a sample"


def _ends_in(network: Network) -> PlannedLayer | None:
    """The last layer of the network that does something to its values."""
    layers = network.steps[0].flow.layers if network.steps else ()
    return next((x for x in reversed(layers) if not does_nothing(x) and not _flattens_one(x)), None)


def _flattens_one(layer: PlannedLayer) -> bool:
    return is_a(layer, nn.Flatten) and layer.input_shape[:1] == layer.output_shape


def _softmax_twice(network: Network) -> Iterator[Finding]:
    last = _ends_in(network)
    if network.loss != "CrossEntropyLoss" or last is None or not _over_classes(last):
        return
    hint = "take it out; the class of the largest score is the class of the largest probability"
    if is_a(last, nn.LogSoftmax):
        yield Finding(last, "CrossEntropyLoss applies log-softmax itself, and doing it twice changes nothing", hint)
        return
    classes = last.input_shape[0]
    least = math.log(math.e + classes - 1) - 1
    text = f"CrossEntropyLoss applies log-softmax itself; with {classes} probabilities in place of scores"
    yield Finding(last, f"{text} the loss of a sample cannot fall below {least:.2f}", hint)


def _over_classes(layer: PlannedLayer) -> bool:
    return is_a(layer, nn.Softmax2d) or (is_a(layer, *_SOFTMAXES) and _dim_of(layer) == 1)


def _softmax_without_log(network: Network) -> Iterator[Finding]:
    last = _ends_in(network)
    if network.loss in ("NLLLoss", "KLDivLoss") and last and is_a(last, nn.Softmax, nn.Softmin, nn.Softmax2d):
        text = f"{network.loss} takes logarithms of probabilities, and {last.type} gives probabilities"
        yield Finding(last, text, "write LogSoftmax with dim: 1 in its place")


def _no_log_softmax(network: Network) -> Iterator[Finding]:
    last = _ends_in(network)
    if network.loss not in ("NLLLoss", "KLDivLoss") or last is None or last.composite:
        return
    known = last.component.cls.__module__.startswith("torch.nn.")
    if known and not any(is_a(x.layer, *_SOFTMAXES, nn.Softmax2d, nn.LogSigmoid) for x in network.steps):
        text = f"{network.loss} takes logarithms of probabilities, and no LogSoftmax makes them of what leaves it"
        yield Finding(last, text, "end the network in {type: LogSoftmax, dim: 1}, or take CrossEntropyLoss")


def _sigmoid_twice(network: Network) -> Iterator[Finding]:
    last = _ends_in(network)
    if network.loss in ("BCEWithLogitsLoss", "MultiLabelSoftMarginLoss") and is_a(last, nn.Sigmoid) and last:
        least = math.log(2)
        text = f"{network.loss} applies a sigmoid itself; for a class that is absent its loss cannot fall below"
        yield Finding(last, f"{text} {least:.2f}", "take it out")


def _dim_of(layer: PlannedLayer) -> int:
    """The dimension that a softmax works along, counted with the batch; torch's guess where none is written."""
    rank = len(layer.input_shape) + 1
    dim = value(layer, "dim")
    return (0 if rank in (1, 3) else 1) if dim is None else int(dim) % rank


def _softmax_without_dim(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        layer = step.layer
        if is_a(layer, *_SOFTMAXES) and value(layer, "dim") is None:
            guess = _dim_of(layer)
            batch = ", the samples of the batch" if guess == 0 else ""
            text = f"without dim torch takes a guess, here dimension {guess}{batch}, and warns"
            yield Finding(layer, text, _FIRST)


def _mixed_samples(network: Network) -> Iterator[Finding]:
    for step in network.steps:
        layer, shape = step.layer, step.layer.input_shape
        if is_a(layer, *_SOFTMAXES) and value(layer, "dim") is not None and _dim_of(layer) == 0:
            text = "dimension 0 is the batch: the samples of a batch share the probability of 1 among them"
            yield Finding(layer, text, _FIRST, "dim")
        elif is_a(layer, nn.TransformerEncoderLayer) and len(shape) == 1:
            text = "takes a batch of vectors for one sequence, so every sample attends to the others"
            yield Finding(layer, text, "give it sequences, for instance with an Unflatten before it")
        elif is_a(layer, nn.TransformerEncoderLayer) and not value(layer, "batch_first"):
            text = f"without batch_first it takes the batch for the sequence of {shape[0]}, so samples attend to others"
            yield Finding(layer, text, "set batch_first: true", "batch_first")


RULES = (
    Rule(
        "softmax-before-cross-entropy",
        "CrossEntropyLoss applies log-softmax itself and takes scores, not probabilities",
        "take the softmax out",
        _softmax_twice,
    ),
    Rule(
        "softmax-without-log",
        "NLLLoss and KLDivLoss take logarithms of probabilities, and a softmax gives probabilities",
        "LogSoftmax in its place",
        _softmax_without_log,
    ),
    Rule(
        "no-log-softmax",
        "NLLLoss and KLDivLoss take logarithms of probabilities, and nothing in the network makes them",
        "LogSoftmax at the end, or CrossEntropyLoss",
        _no_log_softmax,
    ),
    Rule(
        "sigmoid-before-logits-loss",
        "BCEWithLogitsLoss and MultiLabelSoftMarginLoss apply a sigmoid themselves",
        "take the sigmoid out",
        _sigmoid_twice,
    ),
    Rule(
        "softmax-without-dim",
        "torch guesses the dimension of a softmax that has none, sometimes the batch",
        "dim: 1",
        _softmax_without_dim,
    ),
    Rule(
        "mixed-samples",
        "a layer takes the batch for a dimension of the sample, so what one sample gives depends on the others",
        "dim: 1 for a softmax, batch_first: true for a transformer",
        _mixed_samples,
    ),
)
"""The rules about outputs and the batch, in the order in which they are listed."""
