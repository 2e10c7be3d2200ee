"""Reading the list of layers: what counts as which layer, and the full text of everything that can be wrong with it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from torch import nn

from cnnexp.architecture.catalog import LAYERS
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.stack import Stack
from cnnexp.errors import Problem

CONV: Mapping[str, Any] = {"type": "Conv2d", "out_channels": 4, "kernel_size": 3}


def stack_of(*entries: Any) -> Stack:
    stack, problems = parse({"layers": list(entries)})
    assert problems == []
    assert stack.whole
    return stack


def problems_of(*entries: Any) -> list[Problem]:
    stack, problems = parse({"layers": list(entries)})
    assert len(stack.layers) < len(entries) or stack.whole
    return problems


def typed(name: str, /, **params: Any) -> dict[str, Any]:
    return {"type": name, **params}


class TestWhatCountsAsALayer:
    @pytest.mark.parametrize(
        "written", ["MaxPool2d", "maxpool2d", "MAXPOOL2D", "max_pool2d", "max_pool_2d", "Max-Pool2d"]
    )
    def test_case_and_underscores_do_not_matter(self, written: str) -> None:
        (layer,) = stack_of(typed(written, kernel_size=2)).layers
        assert layer.component.cls is nn.MaxPool2d
        assert layer.label == "layers[0] MaxPool2d"

    def test_a_name_alone_is_a_layer_with_its_defaults(self) -> None:
        text, mapping = stack_of("ReLU", {"type": "ReLU"}).layers
        assert text.component is mapping.component
        assert dict(text.params) == dict(mapping.params) == {}

    def test_lists_become_tuples_and_nothing_is_added(self) -> None:
        (layer,) = stack_of({**CONV, "kernel_size": [3, 5]}).layers
        assert dict(layer.params) == {"out_channels": 4, "kernel_size": (3, 5)}

    def test_other_keys_of_the_model_are_the_authors(self) -> None:
        stack, problems = parse({"width": 8, 3: "x", "layers": ["ReLU"]})
        assert problems == []
        assert len(stack.layers) == 1

    def test_null_entries_are_left_out_and_names_count_what_is_left(self) -> None:
        layers = stack_of(None, "ReLU", None, "Tanh").layers
        assert [x.component.name for x in layers] == ["ReLU", "Tanh"]
        assert [x.name for x in layers] == ["0", "1"]
        assert [x.path for x in layers] == [("layers", 1), ("layers", 3)]
        assert [x.label for x in layers] == ["layers[1] ReLU", "layers[3] Tanh"]

    def test_a_name_names_the_child_and_is_no_parameter(self) -> None:
        layers = stack_of(typed("ReLU", name="first"), "Tanh", typed("ReLU", name=None, inplace=True)).layers
        assert [x.name for x in layers] == ["first", "1", "2"]
        assert [dict(x.params) for x in layers] == [{}, {}, {"inplace": True}]

    def test_identity_takes_anything_as_torch_does(self) -> None:
        (layer,) = stack_of(typed("Identity", size=[1, 2], words="x")).layers
        assert dict(layer.params) == {"size": (1, 2), "words": "x"}

    def test_a_stack_comes_back_from_its_yaml(self) -> None:
        stack = stack_of(typed("conv_2d", name="stem", out_channels=4, kernel_size=[3, 1]), None, "ReLU")
        written = stack.as_dict()
        assert written == {
            "layers": [typed("Conv2d", name="stem", out_channels=4, kernel_size=[3, 1]), {"type": "ReLU"}]
        }
        again = stack_of(*yaml.safe_load(yaml.safe_dump(written))["layers"])
        assert [(x.component, x.params, x.name) for x in again.layers] == [
            (x.component, x.params, x.name) for x in stack.layers
        ]

    def test_every_module_of_torch_is_a_layer_type_or_refused_with_a_reason(self) -> None:
        modules = {
            name
            for name, cls in inspect.getmembers(nn, inspect.isclass)
            if issubclass(cls, nn.Module) and cls not in (nn.Module, nn.Sequential)
        }
        assert len(modules) > 150
        assert set(LAYERS.entries) - {"Slice"} | set(LAYERS.refused) == modules
        assert set(LAYERS.entries) & set(LAYERS.refused) == set()
        assert all(reason and not reason.endswith(".") for reason in LAYERS.refused.values())


class TestTheListItself:
    @pytest.mark.parametrize(
        ("model", "code", "path", "message"),
        [
            (None, "not-a-mapping", (), "a model must be a mapping with a list 'layers', not null"),
            ([CONV], "not-a-mapping", (), "a model must be a mapping with a list 'layers', not [a mapping]"),
            ("net", "not-a-mapping", (), "a model must be a mapping with a list 'layers', not 'net'"),
            ({}, "no-layers", (), "a model needs a list 'layers'"),
            ({"width": 3}, "no-layers", (), "a model needs a list 'layers'"),
            ({"layer": ["ReLU"]}, "no-layers", ("layer",), "a model needs a list 'layers'; is 'layer' meant to be it?"),
            (
                {"Layers": ["ReLU"]},
                "no-layers",
                ("Layers",),
                "a model needs a list 'layers'; is 'Layers' meant to be it?",
            ),
            ({"layers": None}, "no-layers", ("layers",), "a model needs a list 'layers'"),
            ({"layers": "ReLU"}, "no-layers", ("layers",), "'layers' must be a list, not 'ReLU'"),
            ({"layers": {"0": "ReLU"}}, "no-layers", ("layers",), "'layers' must be a list, not a mapping"),
            ({"layers": 3}, "no-layers", ("layers",), "'layers' must be a list, not 3"),
            ({"layers": []}, "no-layers", ("layers",), "'layers' is empty: a network needs at least one layer"),
            ({"layers": [None]}, "no-layers", ("layers",), "'layers' is empty: a network needs at least one layer"),
        ],
    )
    def test_a_model_without_a_list_of_layers(self, model: Any, code: str, path: tuple[str, ...], message: str) -> None:
        stack, problems = parse(model)
        assert problems == [Problem(code, path, message)]
        assert stack == Stack((), whole=False)

    def test_all_problems_of_all_layers_are_found_at_once(self) -> None:
        stack, problems = parse(
            {
                "layers": [
                    {**CONV, "kernel_size": 0, "stride": 0, "zebra": 1},
                    typed("MaxPool2d"),
                    7,
                    None,
                    typed("ReLU", inplace="no", name="a.b"),
                    "LSTM",
                    "Sequental",
                ]
            }
        )
        assert [(p.code, p.path) for p in problems] == [
            ("bad-value", ("layers", 0, "kernel_size")),
            ("bad-value", ("layers", 0, "stride")),
            ("unknown-parameter", ("layers", 0, "zebra")),
            ("missing-parameter", ("layers", 1)),
            ("not-a-component", ("layers", 2)),
            ("bad-value", ("layers", 4, "inplace")),
            ("bad-name", ("layers", 4, "name")),
            ("refused-type", ("layers", 5, "type")),
            ("unknown-type", ("layers", 6, "type")),
        ]
        assert stack == Stack((), whole=False)

    def test_the_stack_ends_before_the_first_layer_that_cannot_be_understood(self) -> None:
        stack, problems = parse({"layers": ["ReLU", {**CONV, "kernel_size": 0}, "Tanh"]})
        assert [x.component.name for x in stack.layers] == ["ReLU"]
        assert not stack.whole
        assert len(problems) == 1

    def test_a_slip_that_leaves_no_doubt_does_not_end_the_stack(self) -> None:
        stack, problems = parse({"layers": [typed("Conv2d", out_chanels=4, kernel_size=3, bias="no"), "Tanh"]})
        assert len(problems) == 2
        assert stack.whole
        assert dict(stack.layers[0].params) == {"kernel_size": 3, "out_channels": 4}


WHOLE = "a whole number or a list of 2 whole numbers"
KEEPS = "give the padding as a number; half the kernel size keeps the size before the stride"

# fmt: off
NO_LAYER = [
    (7, "not-a-component", "layers[0] must be a layer type or a mapping with 'type', not 7"),
    (True, "not-a-component", "layers[0] must be a layer type or a mapping with 'type', not true"),
    (["ReLU"], "not-a-component", "layers[0] must be a layer type or a mapping with 'type', not ['ReLU']"
        "\n  hint: several layers in the place of one are written {type: Sequential, layers: [...]}"),
    ({}, "missing-type", "layers[0]: 'type' is missing\n  hint: write the layer type as 'type: Name'"),
    ({"name": "x"}, "missing-type", "layers[0]: 'type' is missing\n  hint: write the layer type as 'type: Name'"),
    ({"type": 3}, "missing-type",
        "layers[0]: 'type' must be a name, not 3\n  hint: write the layer type as 'type: Name'"),
    ("Con2d", "unknown-type", "layers[0]: unknown layer type 'Con2d'; did you mean 'Conv2d'?"),
    ("max_pol_2d", "unknown-type", "layers[0]: unknown layer type 'max_pol_2d'; did you mean 'MaxPool2d'?"),
    ("Zebra", "unknown-type", "layers[0]: unknown layer type 'Zebra'"),
    ("", "unknown-type", "layers[0]: unknown layer type ''"),
]

REFUSED = [
    ("gru_cell", "GRUCell", "a recurrent module hands on a state beside its output, and {one}"),
    ("LSTM", "LSTM", "a recurrent module hands on a state beside its output, and {one}"),
    ("L1Loss", "L1Loss", "it is a loss, which compares an output with a target; write it under 'loss'"),
    ("LazyConv2d", "LazyConv2d", "write Conv2d, whose sizes may be left out and are inferred before anything runs"),
    ("embedding", "Embedding", "it looks up whole-number indices, and a stack passes on real numbers"),
    ("DataParallel", "DataParallel",
        "it is a container of other modules, not a layer; Sequential, Residual and Parallel hold other layers"),
    ("Bilinear", "Bilinear", "it takes 2 inputs (input1, input2), and {one}"),
    ("MultiheadAttention", "MultiheadAttention", "it takes 3 inputs (query, key, value), and {one}"),
    ("TransformerEncoder", "TransformerEncoder",
        "its parameter 'encoder_layer' must be a module, which YAML cannot hold"),
]

UNKNOWN = [
    ("zebra", typed("ReLU", zebra=1), "unknown parameter 'zebra'\n  hint: ReLU takes inplace"),
    ("zebra", typed("Threshold", zebra=1, threshold=1, value=0),
        "unknown parameter 'zebra'\n  hint: Threshold takes threshold, value, inplace"),
    ("zebra", typed("Sigmoid", zebra=1), "unknown parameter 'zebra'\n  hint: Sigmoid takes no parameters"),
    ("3", {"type": "ReLU", 3: 4}, "unknown parameter '3'\n  hint: ReLU takes inplace"),
    ("startdim", typed("Flatten", startdim=1), "unknown parameter 'startdim'; did you mean 'start_dim'?"),
    ("out_feature", typed("Linear", out_feature=1), "unknown parameter 'out_feature'; did you mean 'out_features'?"),
    ("Stride", {**CONV, "Stride": 1}, "unknown parameter 'Stride'; did you mean 'stride'?"),
]

MISSING = [
    (typed("Conv2d", out_channels=4), f"'kernel_size' is missing ({WHOLE})"),
    (typed("Linear"), "'out_features' is missing (a whole number)"),
    (typed("Unflatten", dim=1), "'unflattened_size' is missing (a list of whole numbers)"),
    (typed("ConstantPad1d", padding=1), "'value' is missing (a number)"),
    (typed("AvgPool1d", stride=1), "'kernel_size' is missing (a whole number or a list of 1 whole number)"),
]

# The parameter at fault, the entry, and what is printed about it.
VALUES = [
    ("bias", {**CONV, "bias": "false"}, "bias must be true or false, not 'false'\n  hint: write false, without quotes"),
    ("bias", {**CONV, "bias": 0}, "bias must be true or false, not 0"),
    ("inplace", typed("ReLU", inplace="no"),
        "inplace must be true or false, not 'no'\n  hint: write false, without quotes"),
    ("inplace", typed("ReLU", inplace="On"),
        "inplace must be true or false, not 'On'\n  hint: write true, without quotes"),
    ("inplace", typed("ReLU", inplace=None), "inplace must be true or false, not null"),
    ("kernel_size", {**CONV, "kernel_size": "3"},
        f"kernel_size must be {WHOLE}, not '3'\n  hint: write 3, without quotes"),
    ("kernel_size", {**CONV, "kernel_size": True}, f"kernel_size must be {WHOLE}, not true"),
    ("kernel_size", {**CONV, "kernel_size": 2.5}, f"kernel_size must be {WHOLE}, not 2.5"),
    ("kernel_size", {**CONV, "kernel_size": None}, f"kernel_size must be {WHOLE}, not null"),
    ("kernel_size", {**CONV, "kernel_size": {"h": 3}}, f"kernel_size must be {WHOLE}, not a mapping"),
    ("kernel_size", {**CONV, "kernel_size": [3]}, f"kernel_size must be {WHOLE}, not [3]"),
    ("kernel_size", {**CONV, "kernel_size": [3, "x"]}, f"kernel_size must be {WHOLE}, not [3, 'x']"),
    ("kernel_size", {**CONV, "kernel_size": 0}, "kernel_size must be at least 1, not 0"),
    ("kernel_size", {**CONV, "kernel_size": [3, 0]}, "kernel_size must be at least 1, not [3, 0]"),
    ("dilation", {**CONV, "dilation": 0}, "dilation must be at least 1, not 0"),
    ("stride", {**CONV, "stride": 0}, "stride must be at least 1, not 0"),
    ("out_channels", {**CONV, "out_channels": 0}, "out_channels must be at least 1, not 0"),
    ("padding", {**CONV, "padding": -1}, "padding must be at least 0, not -1"),
    ("padding", {**CONV, "padding": "sane"}, "padding must be one of valid, same, not 'sane'"),
    ("padding", {**CONV, "padding": "same", "stride": 2},
        f"padding 'same' works only with stride 1, not 2\n  hint: {KEEPS}"),
    ("padding", {**CONV, "padding": "same", "stride": [1, 2]},
        f"padding 'same' works only with stride 1, not [1, 2]\n  hint: {KEEPS}"),
    ("padding_mode", {**CONV, "padding_mode": "mirror"},
        "padding_mode must be one of zeros, reflect, replicate, circular, not 'mirror'"),
    ("groups", {**CONV, "groups": 0}, "groups must be at least 1, not 0"),
    ("groups", {**CONV, "groups": 3}, "out_channels (=4) must be divisible by groups (=3)"),
    ("groups", {**CONV, "in_channels": 3, "groups": 2}, "in_channels (=3) must be divisible by groups (=2)"),
    ("num_groups", typed("GroupNorm", num_groups=2, num_channels=3),
        "num_channels (=3) must be divisible by num_groups (=2)"),
    ("dtype", {**CONV, "dtype": "double"}, "dtype must be one of float16, bfloat16, float32, float64, not 'double'"),
    ("device", {**CONV, "device": "gpu"},
        "device must be cpu, mps, cuda or cuda:N, not 'gpu'\n  hint: leave device out; the trainer places the network"),
    ("kernel_size", typed("MaxPool2d", kernel_size=[2]),
        "kernel_size must be one value or a list of 2, one per dimension, not [2]"),
    ("output_size", typed("AdaptiveAvgPool1d", output_size=[1, 2]),
        "output_size must be one value or a list of 1, one per dimension, not [1, 2]"),
    ("padding", typed("ZeroPad2d", padding=[1, 2]),
        "padding must be a whole number or a list of 4 whole numbers, not [1, 2]"),
    ("padding", typed("MaxPool2d", kernel_size=2, padding=2), "padding (=2) must be at most half of kernel_size (=2)"),
    ("padding", typed("AvgPool2d", kernel_size=[4, 3], padding=[2, 2]),
        "padding (=[2, 2]) must be at most half of kernel_size (=[4, 3])"),
    ("padding", typed("MaxPool1d", kernel_size=3, dilation=2, padding=2),
        "padding (=2) must be at most half of kernel_size (=3)"),
    ("return_indices", typed("MaxPool1d", kernel_size=2, return_indices=True),
        "return_indices must be false here: with it the layer gives a pair, and a stack passes one tensor"),
    ("return_indices", typed("MaxPool1d", kernel_size=2, return_indices="x"),
        "return_indices must be true or false, not 'x'"),
    ("output_padding", typed("ConvTranspose2d", out_channels=4, kernel_size=3, output_padding=1),
        "output_padding (=1) must be smaller than stride (=1) or dilation (=1)"),
    ("padding_mode", typed("ConvTranspose2d", out_channels=4, kernel_size=3, padding_mode="reflect"),
        "padding_mode must be zeros in a transposed convolution, not 'reflect'"),
    ("p", typed("Dropout", p=1.5), "p must be between 0 and 1, not 1.5"),
    ("p", typed("Dropout", p="0.5"), "p must be a number, not '0.5'\n  hint: write 0.5, without quotes"),
    ("norm_type", typed("LPPool2d", norm_type=0, kernel_size=2), "norm_type must be greater than 0, not 0"),
    ("approximate", typed("GELU", approximate="tan"), "approximate must be one of none, tanh, not 'tan'"),
    ("scale_factor", typed("Upsample"), "exactly one of size and scale_factor must be given; neither is"),
    ("scale_factor", typed("Upsample", size=2, scale_factor=2),
        "exactly one of size and scale_factor must be given; both are"),
    ("output_ratio", typed("FractionalMaxPool2d", kernel_size=2),
        "exactly one of output_size and output_ratio must be given; neither is"),
    ("output_ratio", typed("FractionalMaxPool2d", kernel_size=2, output_ratio=1),
        "output_ratio must be less than 1, not 1"),
]

NAMES = [
    ("a.b", "name must be a text without dots, not 'a.b'"),
    ("", "name must be a text without dots, not ''"),
    (3, "name must be a text without dots, not 3"),
    (True, "name must be a text without dots, not true"),
    (["a"], "name must be a text without dots, not ['a']"),
    ("1", "name '1': whole numbers are the names of entries without a name of their own\n  hint: choose another name"),
    ("forward", "the name 'forward' is taken by nn.Sequential itself\n  hint: choose another name"),
]
# fmt: on


def only(entry: Any, code: str, *path: str) -> str:
    """What is printed about the one problem of a stack of this one entry."""
    (problem,) = problems_of(entry)
    assert (problem.code, problem.path) == (code, ("layers", 0, *path))
    return str(problem)


@pytest.mark.parametrize(("entry", "code", "text"), NO_LAYER)
def test_an_entry_that_is_no_layer(entry: Any, code: str, text: str) -> None:
    at_type = code == "unknown-type" or entry == {"type": 3}
    assert only(entry, code, *(["type"] if at_type else [])) == f"error: {text}"


@pytest.mark.parametrize(("written", "name", "reason"), REFUSED)
def test_a_type_that_torch_has_and_a_stack_cannot_take(written: str, name: str, reason: str) -> None:
    reason = reason.format(one="a stack passes one tensor from layer to layer")
    text = f"error: layers[0]: {name} cannot be used here: {reason}"
    assert only(typed(written, zebra=1), "refused-type", "type") == text


@pytest.mark.parametrize(("parameter", "entry", "text"), UNKNOWN)
def test_a_parameter_that_the_type_does_not_have(parameter: str, entry: dict[Any, Any], text: str) -> None:
    assert only(entry, "unknown-parameter", parameter) == f"error: layers[0] {entry['type']}: {text}"


@pytest.mark.parametrize(("entry", "text"), MISSING)
def test_a_parameter_that_is_missing(entry: dict[str, Any], text: str) -> None:
    assert only(entry, "missing-parameter") == f"error: layers[0] {entry['type']}: {text}"


@pytest.mark.parametrize(("parameter", "entry", "text"), VALUES)
def test_a_value_that_its_parameter_cannot_take(parameter: str, entry: dict[str, Any], text: str) -> None:
    assert only(entry, "bad-value", parameter) == f"error: layers[0] {entry['type']}: {text}"


@pytest.mark.parametrize(("name", "text"), NAMES)
def test_a_name_that_no_child_can_have(name: Any, text: str) -> None:
    assert only(typed("ReLU", name=name), "bad-name", "name") == f"error: layers[0] ReLU: {text}"


def test_a_name_can_be_taken_only_once() -> None:
    problems = problems_of(typed("ReLU", name="act"), "Tanh", typed("ReLU", name="act"))
    text = "layers[2] ReLU: the name 'act' is taken by layers[0]"
    assert problems == [Problem("bad-name", ("layers", 2, "name"), text, "choose another name")]


@pytest.mark.parametrize("name", [n for n in dir(nn.Sequential()) if "." not in n])
def test_every_name_that_sequential_needs_itself_is_refused(name: str) -> None:
    assert [p.code for p in problems_of(typed("ReLU", name=name))] == ["bad-name"]


def test_a_suggested_parameter_is_not_also_reported_missing() -> None:
    (problem,) = problems_of(typed("Linear", outfeatures=3))
    assert problem.message == "layers[0] Linear: unknown parameter 'outfeatures'; did you mean 'out_features'?"


@pytest.mark.parametrize(("name", "reason"), LAYERS.refused.items())
def test_every_refused_type_is_refused_by_name_with_its_reason(name: str, reason: str) -> None:
    (problem,) = problems_of(name)
    assert problem.message == f"layers[0]: {name} cannot be used here: {reason}"


def test_a_reason_never_points_to_a_type_that_is_refused_itself() -> None:
    meant = [m[1] for reason in LAYERS.refused.values() if (m := re.match(r"write (\w+),", reason))]
    assert meant
    assert set(meant) <= set(LAYERS.entries)
