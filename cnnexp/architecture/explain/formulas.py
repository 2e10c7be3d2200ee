"""What we know about layer types beyond their signatures: what they do, what their parameters mean, what size leaves.

Texts are found by the type's name, where `#d` stands for 1d, 2d and 3d. A type without an entry has no text and no
formula; whoever asks has to cope with that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cnnexp.architecture.explain.window import (
    TRANSPOSED,
    Line,
    Shape,
    Values,
    names,
    number,
    plain,
    sides,
    transposed_lines,
    unfold_lines,
    unfold_words,
    window_lines,
    window_words,
)
from cnnexp.architecture.rules import spread

_FIELDS = {"1": "a sequence", "2": "an image", "3": "a volume"}
_NEGATIVE = "lets positive values pass and"

SUMMARIES: Mapping[str, str] = {
    "Conv#d": "Slides learned filters over {field}; each looks at all channels of its group and gives one channel.",
    "ConvTranspose#d": "Spreads every pixel of {field} over a learned window and adds up what overlaps: a convolution"
    " backwards, which makes things larger.",
    "MaxPool#d": "Keeps the largest value of every window that walks over {field}, in each channel by itself.",
    "AvgPool#d": "Takes the mean of every window that walks over {field}, in each channel by itself.",
    "LPPool#d": "Takes the p-norm of every window that walks over {field}; a large p comes near the maximum.",
    "AdaptiveAvgPool#d": "Takes means over windows laid out so that {field} of any size leaves with a fixed size.",
    "AdaptiveMaxPool#d": "Keeps maxima of windows laid out so that {field} of any size leaves with a fixed size.",
    "FractionalMaxPool#d": "Keeps the largest value of windows at random places, so that sizes shrink by any ratio.",
    "BatchNorm#d": "Brings every channel to mean 0 and variance 1 over the batch, then scales and shifts it by what is"
    " learned; later it uses the running statistics.",
    "SyncBatchNorm": "Works as batch normalisation whose statistics are taken over the batches of all processes.",
    "InstanceNorm#d": "Brings every channel of every sample to mean 0 and variance 1 by itself.",
    "GroupNorm": "Brings groups of channels to mean 0 and variance 1, each sample by itself.",
    "LayerNorm": "Brings the last dimensions of each sample to mean 0 and variance 1, then scales and shifts them.",
    "RMSNorm": "Divides the last dimensions of each sample by their root mean square, then scales every place.",
    "LocalResponseNorm": "Divides every value by a power of the squares in the neighbouring channels of its pixel.",
    "CrossMapLRN2d": "Does for images what LocalResponseNorm does, in an older form.",
    "CELU": f"{_NEGATIVE.capitalize()} bends negative ones smoothly towards −alpha, with slope 1 at zero.",
    "ELU": f"{_NEGATIVE.capitalize()} bends negative ones exponentially towards −alpha.",
    "GELU": "Weights every value by the share of a normal distribution that lies below it.",
    "GLU": "Splits a dimension in two halves and multiplies the first by the sigmoid of the second.",
    "Hardshrink": "Sets values between −lambd and lambd to zero and leaves all others.",
    "Hardsigmoid": "Draws the sigmoid with three straight lines: 0 up to −3, 1 from 3 on.",
    "Hardswish": "Multiplies every value by its Hardsigmoid: a cheap SiLU.",
    "Hardtanh": "Cuts values off below min_val and above max_val.",
    "LeakyReLU": f"{_NEGATIVE.capitalize()} multiplies negative ones by a small slope.",
    "LogSigmoid": "Takes the logarithm of the sigmoid.",
    "LogSoftmax": "Takes the logarithm of Softmax, computed so that it neither over- nor underflows.",
    "Mish": "Multiplies every value by the tanh of its Softplus: a smooth ReLU that dips below zero.",
    "PReLU": f"{_NEGATIVE.capitalize()} multiplies negative ones by a slope that is learned.",
    "RReLU": f"{_NEGATIVE.capitalize()} multiplies negative ones by a slope that is drawn anew in training.",
    "ReLU": f"{_NEGATIVE.capitalize()} sets negative ones to zero.",
    "ReLU6": "Sets negative values to zero and cuts off above 6.",
    "SELU": "Is an ELU whose fixed scale keeps mean 0 and variance 1 through many linear layers.",
    "SiLU": "Multiplies every value by its sigmoid; also called Swish.",
    "Sigmoid": "Squeezes every value between 0 and 1.",
    "Softmax": "Turns the values along a dimension into shares that are positive and add up to 1.",
    "Softmax2d": "Turns the channels at every pixel into shares that are positive and add up to 1.",
    "Softmin": "Is Softmax of the negated values: the smallest value gets the largest share.",
    "Softplus": "Is a smooth ReLU: always positive, and straight for large values.",
    "Softshrink": "Moves every value by lambd towards zero and stops there.",
    "Softsign": "Squeezes values between −1 and 1: x / (1 + |x|).",
    "Tanh": "Squeezes values between −1 and 1 with the hyperbolic tangent.",
    "Tanhshrink": "Subtracts from every value its hyperbolic tangent.",
    "Threshold": "Lets values above a threshold pass and replaces all others.",
    "CircularPad#d": "Puts a border around {field} in which it goes on at its other end.",
    "ConstantPad#d": "Puts a border of one value around {field}.",
    "ReflectionPad#d": "Puts a border around {field} in which it is mirrored at its edge.",
    "ReplicationPad#d": "Puts a border around {field} that repeats its edge.",
    "ZeroPad#d": "Puts a border of zeros around {field}.",
    "AlphaDropout": "Sets values at random to where SELU ends below and keeps mean and variance; only in training.",
    "FeatureAlphaDropout": "Is AlphaDropout for whole channels.",
    "Dropout": "Sets values at random to zero and scales the others up to make good for it; only in training.",
    "Dropout#d": "Sets whole channels of {field} at random to zero and scales the others up; only in training.",
    "Flatten": "Makes one dimension out of several; by default all but the batch.",
    "Unflatten": "Splits one dimension into several.",
    "Unfold": "Lays every window of an image out as one column: the first half of a convolution.",
    "Fold": "Puts columns of windows back in their places in an image and adds up what overlaps: Unfold backwards.",
    "PixelShuffle": "Makes images larger by laying out groups of channels as small blocks of pixels.",
    "PixelUnshuffle": "Makes images smaller by turning small blocks of pixels into channels; nothing is lost.",
    "ChannelShuffle": "Mixes the order of the channels so that groups see each other's results.",
    "Upsample": "Scales samples to another size by copying pixels or by computing values between them.",
    "UpsamplingBilinear2d": "Scales images bilinearly, corner pixels onto corner pixels.",
    "UpsamplingNearest2d": "Scales images by copying the nearest pixel.",
    "Identity": "Gives back what arrives; it takes any parameters and ignores them.",
    "Linear": "Makes every output a learned weighted sum of all inputs of the last dimension, plus a bias.",
    "TransformerEncoderLayer": "Lets the positions of a sequence attend to each other, then sends each through two"
    " linear layers, with residual connections and normalisation.",
    "StochasticDepth": "Sets its whole input to zero at random, for a batch or for single samples; only in training.",
    "SqueezeExcitation": "Weights every channel by a number that a small network computes from all channels' means.",
    "Permute": "Puts the dimensions into another order.",
    "FrozenBatchNorm#d": "Works as batch normalisation whose statistics, scale and shift never change.",
    "DropBlock#d": "Sets blocks of neighbouring pixels of {field} at random to zero; only in training.",
    "Conv2dNormActivation": "Is a convolution with a normalisation and an activation behind it.",
    "Conv3dNormActivation": "Is a convolution with a normalisation and an activation behind it.",
    "FeaturePyramidNetwork": "Joins feature maps of several sizes from the smallest to the largest.",
    "MLP": "Is a row of linear layers with activations and dropout.",
    "Slice": "Cuts a piece out of one dimension.",
    "Sequential": "Sends what arrives through layers one after another.",
    "Residual": "Adds what arrives, or what a shortcut makes of it, to what its layers make of it.",
    "Parallel": "Sends what arrives through several branches and merges what they give.",
    "Repeat": "Sends what arrives through several independent copies of the same layers.",
    "Unpool": "Pools, goes through layers, and puts the values back at the places that the pool took them from.",
}  # fmt: skip

_PLACES = "counted with the batch, which is 0"
_SPREAD_SLOPE = "slope of negative values in training is drawn from here"

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "in_channels": {"MLP": "size of the last dimension that arrives", "*": "channels that arrive"},
    "out_channels": {"*": "channels that leave"},
    "in_features": {"*": "size of the last dimension that arrives"},
    "out_features": {"*": "size of the last dimension that leaves"},
    "num_features": {"*": "channels that arrive"},
    "num_channels": {"*": "channels that arrive"},
    "num_groups": {"*": "groups of channels that are normalised together"},
    "normalized_shape": {"*": "sizes of the last dimensions, which are normalised together"},
    "kernel_size": {"ConvT*": "pixels that one pixel spreads over in each dimension",
                    "*": "pixels under the window in each dimension"},
    "stride": {"ConvT*": "pixels between the starts of two neighbouring windows in the output",
               "*Pool*": "pixels between the starts of two neighbouring windows; null is kernel_size",
               "*": "pixels between the starts of two neighbouring windows"},
    "padding": {"ConvT*": "pixels cut off at either end of what the windows fill",
                "Conv*": "pixels put before and behind each dimension; same keeps the size, valid puts none",
                "MaxPool*": "pixels of −∞ put before and behind each dimension; at most half of kernel_size",
                "AvgPool*": "zeros put before and behind each dimension; at most half of kernel_size",
                "Fold": "pixels cut off on each side of what the windows fill",
                "*Pad?d": "pixels on every side, or one number for each side, last dimension first: left, right, …;"
                          " a negative number crops, where the type allows it",
                "*": "pixels put before and behind each dimension"},
    "padding_mode": {"ConvT*": "must be zeros here", "*": "what stands in the padding"},
    "dilation": {"*": "step between the pixels of one window; 1 leaves no gaps"},
    "output_padding": {"*": "pixels added at the far end only, to choose between the sizes that a stride leaves open"},
    "groups": {"ChannelShuffle": "groups of channels that are dealt out in turn",
               "*": "parts of the channels that see only themselves"},
    "bias": {"*Norm*": "whether a learned number is added after scaling", "*": "whether a learned number is added"},
    "ceil_mode": {"*": "whether a last window counts that reaches beyond the end"},
    "count_include_pad": {"*": "whether the padding's zeros count in the mean"},
    "divisor_override": {"*": "what the sum of a window is divided by, instead of its number of pixels"},
    "return_indices": {"*": "must be false here: a layer gives one tensor"},
    "norm_type": {"*": "the exponent p of the norm"},
    "output_size": {"Fold": "height and width of the image that is put together",
                    "Adaptive*": "the size that leaves, along each dimension; null keeps what arrives",
                    "*": "the size that leaves, along each dimension"},
    "output_ratio": {"*": "the size that leaves as a share of what arrives, instead of output_size"},
    "eps": {"DropBlock*": "small number that keeps a division from failing",
            "*": "small number added before dividing, so that nothing is divided by zero"},
    "momentum": {"Instance*": "share of the newest batch in the running statistics",
                 "*": "share of the newest batch in the running statistics; null takes the plain mean of all batches"},
    "affine": {"*": "whether a scale and a shift are learned for each channel"},
    "elementwise_affine": {"*": "whether a factor is learned for every place that is normalised"},
    "track_running_stats": {"*": "whether statistics of training are kept and used when evaluating"},
    "process_group": {"*": "the processes that share statistics; null is all of them"},
    "size": {"Upsamp*": "the size that leaves, along each dimension, instead of scale_factor",
             "*": "neighbouring channels that count"},
    "alpha": {"*LRN*": "weight of the neighbours' squares", "LocalResponseNorm": "weight of the neighbours' squares",
              "*": "where negative values end: at −alpha"},
    "beta": {"Softplus": "how sharply the curve bends at zero", "*": "the power that is divided by"},
    "k": {"*": "number added to the neighbours' squares"},
    "p": {"StochasticDepth": "probability that the input is set to zero",
          "Dropout?d": "probability that a channel is set to zero", "FeatureA*": "probability that a channel drops",
          "DropBlock*": "probability that a pixel is set to zero", "*": "probability that a value is dropped"},
    "inplace": {"*": "whether what arrives is overwritten, which saves memory"},
    "approximate": {"*": "none computes the exact curve, tanh a cheaper one close to it"},
    "dim": {"GLU": f"the dimension that is halved, {_PLACES}", "Unflatten": f"the dimension that is split, {_PLACES}",
            "Slice": f"the dimension that is cut, {_PLACES}", "Parallel": f"the dimension that concat joins, {_PLACES}",
            "*": f"the dimension along which shares add up to 1, {_PLACES}"},
    "start_dim": {"*": f"first dimension that is flattened, {_PLACES}"},
    "end_dim": {"*": "last dimension that is flattened; −1 is the last of all"},
    "unflattened_size": {"*": "the sizes that it is split into; one may be −1 and follows from the others"},
    "lambd": {"*": "half the width of the range around zero that is flattened"},
    "min_val": {"*": "the smallest value that leaves"},
    "max_val": {"*": "the largest value that leaves"},
    "min_value": {"*": "old name of min_val"},
    "max_value": {"*": "old name of max_val"},
    "negative_slope": {"*": "what negative values are multiplied by"},
    "num_parameters": {"*": "slopes that are learned: 1, or one for each channel"},
    "init": {"*": "slope at the start"},
    "lower": {"*": f"lower bound: the {_SPREAD_SLOPE}"},
    "upper": {"*": f"upper bound: the {_SPREAD_SLOPE}"},
    "threshold": {"Softplus": "from where beta times the value is taken as straight", "*": "values must exceed this"},
    "value": {"Threshold": "what stands in for values that do not exceed the threshold", "*": "value of the border"},
    "upscale_factor": {"*": "by how much height and width grow"},
    "downscale_factor": {"*": "by how much height and width shrink"},
    "scale_factor": {"*": "by how much each dimension grows, instead of size"},
    "mode": {"StochasticDepth": "batch drops for all samples at once, row for each sample by itself",
             "*": "how values between pixels come about: nearest copies, linear, bilinear, trilinear and bicubic"
                  " compute them, area takes means"},
    "align_corners": {"*": "whether corner pixels land on corner pixels; for linear, bilinear, bicubic, trilinear"},
    "recompute_scale_factor": {"*": "whether the factor is taken anew from the rounded sizes"},
    "d_model": {"*": "numbers at each position: the last dimension"},
    "nhead": {"*": "attention heads; d_model must be divisible by it"},
    "dim_feedforward": {"*": "width between the two linear layers"},
    "dropout": {"*": "probability that a value is set to zero in training"},
    "activation": {"*": "function between the two linear layers"},
    "layer_norm_eps": {"*": "small number added before dividing in the normalisations"},
    "batch_first": {"*": "must be true here, where samples come first; false would attend across the batch"},
    "norm_first": {"*": "whether normalisation comes before attention and linear layers instead of behind them"},
    "device": {"*": "where weights are made; best left out"},
    "dtype": {"*": "type of the weights, such as float64"},
    "input_channels": {"*": "channels that arrive"},
    "squeeze_channels": {"*": "channels in the middle of the small network"},
    "scale_activation": {"*": "function that makes the weights of the channels"},
    "hidden_channels": {"*": "outputs of each linear layer, one after another"},
    "in_channels_list": {"*": "channels of each feature map"},
    "extra_blocks": {"*": "what comes behind the smallest feature map"},
    "norm_layer": {"*": "the normalisation"},
    "activation_layer": {"*": "the activation"},
    "dims": {"*": f"the dimensions in their new order, {_PLACES}"},
    "block_size": {"*": "pixels on each side of a block"},
    "start": {"*": "first place that is kept"},
    "stop": {"*": "first place that is not kept any more; null keeps all to the end"},
    "layers": {"*": "the layers inside, one after another"},
    "shortcut": {"*": "a layer or a list of layers for the way around; null hands on what arrives"},
    "branches": {"*": "the branches, each a layer or a list of layers"},
    "merge": {"*": "concat joins what the branches give, add and multiply combine it number by number"},
    "times": {"*": "how many copies"},
    "pool": {"*": "the max pool that goes in front"},
}  # fmt: skip


def summary(type_name: str) -> str:
    """One sentence on what a layer type does; empty for a type that is not known."""
    family = re.sub(r"[123]d$", "#d", type_name)
    text = SUMMARIES.get(type_name) or SUMMARIES.get(family, "")
    return text.format(field=_FIELDS.get(type_name[-2:-1], "")) if family in SUMMARIES else text


def meaning(type_name: str, parameter_name: str) -> str:
    """One short phrase on what a parameter of a layer type means; empty when it is not known."""
    texts = MEANINGS.get(parameter_name, {})
    return next((text for pattern, text in texts.items() if fnmatchcase(type_name, pattern)), "")


@dataclass(frozen=True)
class Formula:
    """How the output's shape follows from the input's.

    Arguments:
        words: the formula in general, line by line, for these parameters.
        lines: the formula filled in for every dimension, for these parameters and this input shape.
    """

    words: Callable[[Values], tuple[str, ...]]
    lines: Callable[[Values, Shape], tuple[Line, ...]]


def _sized_words(size: str, factor: str | None, values: Values) -> tuple[str, ...]:
    if factor and values.get(factor) is not None:
        return (f"out = ⌊in·{factor}⌋",)
    if factor is None:
        return f"out = {size}; null keeps in", "window i reaches from ⌊i·in / out⌋ up to ⌈(i + 1)·in / out⌉"
    return (f"out = {size}",)


def _sized_lines(size: str, factor: str | None, values: Values, shape: Shape) -> tuple[Line, ...]:
    """Dimensions that leave with a size that is given, or grow by a factor."""
    n = len(shape) - 1
    sizes, factors = spread(values.get(size), n), spread(values.get(factor) if factor else None, n)
    lines = [plain("channels", shape[0])]
    for name, before, wanted, by in zip(names(shape)[1:], shape[1:], sizes, factors, strict=True):
        scaled = by is not None
        text = f"⌊{before}·{number(by)}⌋" if scaled else ""
        after = math.floor(before * by) if scaled else before if wanted is None else wanted
        lines.append(Line(name, text or str(after), after))
    return tuple(lines)


def _fold_lines(values: Values, shape: Shape) -> tuple[Line, ...]:
    kernel, size = spread(values["kernel_size"], 2), spread(values["output_size"], 2)
    channels = Line("channels", f"{shape[0]} / ({kernel[0]}·{kernel[1]})", shape[0] // math.prod(kernel))
    return (channels, plain("height", size[0]), plain("width", size[1]))


def _shuffle_lines(values: Values, shape: Shape) -> tuple[Line, ...]:
    up, by = "upscale_factor" in values, values.get("upscale_factor") or values["downscale_factor"]
    change = (lambda n: (f"{n}·{by}", n * by)) if up else (lambda n: (f"{n} / {by}", n // by))
    channels = (f"{shape[0]} / ({by}·{by})", shape[0] // by**2) if up else (f"{shape[0]}·{by}·{by}", shape[0] * by**2)
    found = zip(names(shape), (channels, *map(change, shape[1:])), strict=True)
    return tuple(Line(name, text, value) for name, (text, value) in found)


def _pad_lines(n: int, values: Values, shape: Shape) -> tuple[Line, ...]:
    lead = len(shape) - n
    rows = zip(names(shape), shape, [(0, 0)] * lead + sides(values, n), strict=True)
    texts = [(name, f"{size} + {number(a)} + {number(b)}", size + a + b) for name, size, (a, b) in rows]
    return (*map(plain, names(shape)[:lead], shape[:lead]), *(Line(*text) for text in texts[lead:]))


def _numbered(texts: list[tuple[str, int]]) -> tuple[Line, ...]:
    return tuple(Line(f"dim {i}", text, value) for i, (text, value) in enumerate(texts, 1))


def _kept(shape: Shape) -> list[tuple[str, int]]:
    return [(str(size), size) for size in shape]


def _flatten_lines(values: Values, shape: Shape) -> tuple[Line, ...]:
    if values["start_dim"] % (len(shape) + 1) == 0:
        return _numbered(_kept(shape))  # the batch by itself, or the plan has refused it
    first, last = (d % (len(shape) + 1) - 1 for d in (values["start_dim"], values["end_dim"]))
    joined = ("·".join(map(str, shape[first : last + 1])), math.prod(shape[first : last + 1]))
    return _numbered([*_kept(shape[:first]), joined, *_kept(shape[last + 1 :])])


def _unflatten_lines(values: Values, shape: Shape) -> tuple[Line, ...]:
    place, sizes = values["dim"] % (len(shape) + 1) - 1, values["unflattened_size"]
    if place < 0:  # the batch, whose own size comes first
        return _numbered([*_kept(sizes[1:]), *_kept(shape)])
    known = math.prod(s for s in sizes if s != -1)
    split = [(f"{shape[place]} / {known}", shape[place] // known) if s == -1 else (str(s), s) for s in sizes]
    return _numbered([*_kept(shape[:place]), *split, *_kept(shape[place + 1 :])])


def _glu_lines(values: Values, shape: Shape) -> tuple[Line, ...]:
    place = values["dim"] % (len(shape) + 1) - 1
    return _numbered([(f"{s} / 2", s // 2) if i == place else (str(s), s) for i, s in enumerate(shape)])


def _slice_lines(values: Values, shape: Shape) -> tuple[Line, ...]:
    place = values["dim"] % (len(shape) + 1) - 1
    start, stop, _ = slice(values["start"], values["stop"]).indices(shape[place])
    cut = (f"{stop} − {start}", stop - start)
    return _numbered([cut if i == place else text for i, text in enumerate(_kept(shape))])


def _last(size: Callable[[Values], int]) -> Callable[[Values, Shape], tuple[Line, ...]]:
    return lambda values, shape: _numbered(_kept((*shape[:-1], size(values))))


def _sized(size: str, factor: str | None) -> Formula:
    return Formula(lambda v: _sized_words(size, factor, v), lambda v, shape: _sized_lines(size, factor, v, shape))


def _fixed(lines: Callable[[Values, Shape], tuple[Line, ...]], *words: str) -> Formula:
    return Formula(lambda values: words, lines)


def _padded(n: int) -> Formula:
    return _fixed(lambda v, shape: _pad_lines(n, v, shape), "out = in + padding before + padding behind")


_FORMULAS: Mapping[str, Formula] = {
    "ConvTranspose?d": _fixed(transposed_lines, f"out = {TRANSPOSED}"),
    **dict.fromkeys(("Conv?d", "MaxPool?d", "AvgPool?d", "LPPool?d"), Formula(window_words, window_lines)),
    "Adaptive*Pool?d": _sized("output_size", None),
    "FractionalMaxPool?d": _sized("output_size", "output_ratio"),
    "Upsampl*": _sized("size", "scale_factor"),
    "Unfold": Formula(unfold_words, unfold_lines),
    "Fold": _fixed(_fold_lines, "channels = in / (height·width of the window), height and width = output_size"),
    "PixelShuffle": _fixed(_shuffle_lines, "channels = in / upscale_factor², height and width = in·upscale_factor"),
    "PixelUnshuffle": _fixed(_shuffle_lines,
                             "channels = in·downscale_factor², height and width = in / downscale_factor"),
    **{f"*Pad{n}d": _padded(n) for n in (1, 2, 3)},
    "Flatten": _fixed(_flatten_lines, "out = product of the sizes from start_dim to end_dim"),
    "Unflatten": _fixed(_unflatten_lines, "the size of dim becomes the sizes of unflattened_size"),
    "Linear": _fixed(_last(lambda v: v["out_features"]), "last dimension = out_features; the others stay"),
    "MLP": _fixed(_last(lambda v: v["hidden_channels"][-1]), "last dimension = the last of hidden_channels"),
    "Permute": _fixed(lambda v, shape: _numbered(_kept(tuple((0, *shape)[d] for d in v["dims"][1:]))),
                      "dim i = the dimension that dims names in place i, counted from 0"),
    "Slice": _fixed(_slice_lines, "out = stop − start in the dimension dim, as far as it goes; the others stay"),
    "GLU": _fixed(_glu_lines, "out = in / 2 in the dimension dim; the others stay"),
}  # fmt: skip
_SHAPELESS = re.compile(r"Conv[23]dNormActivation|FeaturePyramidNetwork|Sequential|Residual|Parallel|Repeat|Unpool")


def formula(type_name: str) -> Formula | None:
    """How the shape that leaves a layer type follows; None when it stays as it is or nothing is known."""
    return next((found for pattern, found in _FORMULAS.items() if fnmatchcase(type_name, pattern)), None)


def keeps_shape(type_name: str) -> bool:
    """Whether a type is known to leave the shape as it is."""
    return bool(summary(type_name)) and formula(type_name) is None and not _SHAPELESS.fullmatch(type_name)
