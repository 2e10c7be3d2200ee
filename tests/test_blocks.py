"""Blocks: what `$name` stands for, what a use of a block is, and every mistake told where it was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

import cnnexp
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.planning import make_plan
from cnnexp.architecture.stack import Layer
from cnnexp.errors import ConfigError, Problem
from tests import by_hand

IMAGE = (3, 8, 8)
CONV_NORM: Mapping[str, Any] = {
    "params": {"out_channels": "???", "kernel_size": 1, "activation": "ReLU"},
    "layers": [
        {"type": "Conv2d", "out_channels": "$out_channels", "kernel_size": "$kernel_size", "bias": False},
        "BatchNorm2d",
        "$activation",
    ],
}


def typed(name: str, /, **params: Any) -> dict[str, Any]:
    return {"type": name, **params}


def model_of(*layers: Any, **blocks: Any) -> dict[str, Any]:
    return {"blocks": blocks, "layers": list(layers)}


def block(*layers: Any, **params: Any) -> dict[str, Any]:
    return {"params": params, "layers": list(layers)}


def problems_of(model: Mapping[str, Any]) -> list[Problem]:
    stack, problems = parse(model)
    plan, more = make_plan(stack, IMAGE)
    assert plan.whole or [*problems, *more], "what is not whole must be told"
    return [*problems, *more]


def told(model: Mapping[str, Any]) -> list[str]:
    return [str(problem).removeprefix("error: ") for problem in problems_of(model)]


def tree(layers: tuple[Layer, ...]) -> list[Any]:
    return [
        (x.block or x.component.name, x.name, tree(x.children)) if x.children else (x.component.name, x.name)
        for x in layers
    ]


def read(model: Mapping[str, Any]) -> tuple[Layer, ...]:
    stack, problems = parse(model)
    assert problems == []
    assert make_plan(stack, IMAGE)[1] == []
    return stack.layers


class TestWhatAUseIs:
    def test_it_is_one_sequential_of_what_the_block_holds(self) -> None:
        model = model_of(typed("conv_norm", out_channels=4, name="stem"), conv_norm=CONV_NORM)
        (layer,) = read(model)
        assert tree((layer,)) == [("conv_norm", "stem", [("Conv2d", "0"), ("BatchNorm2d", "1"), ("ReLU", "2")])]
        assert dict(layer.params) == {"out_channels": 4, "kernel_size": 1, "activation": "ReLU"}
        built = cnnexp.plan(model, input_shape=IMAGE).build(seed=0)
        module, _ = by_hand.network(model, IMAGE)
        module.load_state_dict(built.state_dict())
        x = torch.randn(2, *IMAGE)
        assert torch.equal(built.eval()(x), module.eval()(x))

    @pytest.mark.parametrize("written", ["conv_norm", "ConvNorm", "CONV-NORM", "convnorm"])
    def test_case_and_underscores_do_not_matter(self, written: str) -> None:
        (layer,) = read(model_of(typed(written, out_channels=4), conv_norm=CONV_NORM))
        assert layer.block == "conv_norm"

    def test_without_parameters_its_name_alone_is_a_use(self) -> None:
        assert tree(read(model_of("twice", "twice", twice={"layers": ["ReLU", None, "Tanh"]}))) == [
            ("twice", "0", [("ReLU", "0"), ("Tanh", "1")]),
            ("twice", "1", [("ReLU", "0"), ("Tanh", "1")]),
        ]

    def test_a_name_stands_for_any_value_anywhere(self) -> None:
        body = block(
            {"type": "$kind", "kernel_size": ["$k", "$k"], "name": "$called"},
            "$one",
            typed("Sequential", layers="$many"),
            typed("Repeat", times="$k", layers=["$one"]),
            typed("Parallel", branches=["$one", "$many"], merge="$merge", dim="$k"),
            typed("Residual", layers=["Tanh"], shortcut="$many"),
            typed("Residual", layers=["Tanh"], shortcut="$nothing"),
            "$nothing",
            kind="???", k="???", called="???", one="???", many="???", merge="???", nothing="???",
        )  # fmt: skip
        use = typed(
            "all", kind="MaxPool2d", k=1, called="first", one=typed("LeakyReLU", negative_slope=0.5),
            many=["Tanh", None, "ReLU"], merge="concat", nothing=None,
        )  # fmt: skip
        row = [("Tanh", "0"), ("ReLU", "1")]
        assert tree(read(model_of(use, all=body))) == [
            (
                "all",
                "0",
                [
                    ("MaxPool2d", "first"),
                    ("LeakyReLU", "1"),
                    ("Sequential", "2", row),
                    ("Repeat", "3", [("LeakyReLU", "0")]),
                    ("Parallel", "4", [("LeakyReLU", "0"), ("Sequential", "1", row)]),
                    ("Residual", "5", [("Sequential", "layers", [("Tanh", "0")]), ("Sequential", "shortcut", row)]),
                    ("Residual", "6", [("Sequential", "layers", [("Tanh", "0")])]),
                ],
            )
        ]

    def test_the_whole_list_of_a_block_may_be_a_parameter(self) -> None:
        model = model_of(typed("row", layers=["ReLU", "Tanh"]), row={"params": {"layers": "???"}, "layers": "$layers"})
        assert tree(read(model)) == [("row", "0", [("ReLU", "0"), ("Tanh", "1")])]

    def test_a_default_may_be_another_parameter_in_any_order(self) -> None:
        body = block(typed("MaxPool2d", kernel_size="$c", stride="$a"), a="$b", b="$c", c=2)
        (use, other) = read(model_of("chain", typed("chain", b=1), chain=body))
        assert [dict(x.children[0].params) for x in (use, other)] == [
            {"kernel_size": 2, "stride": 2},
            {"kernel_size": 2, "stride": 1},
        ]

    def test_what_a_user_writes_is_read_where_the_user_stands(self) -> None:
        use = typed("inner", size="$size")
        blocks = {
            "inner": block(typed("MaxPool2d", kernel_size="$size"), size=1),
            "outer": block(use, "inner", "$last", size=2, last=use),
        }
        (outer,) = read(model_of(typed("outer", size=1, last=typed("inner", size=2)), **blocks))
        assert [x.children[0].params["kernel_size"] for x in outer.children] == [1, 1, 2]

    def test_a_use_may_be_given_a_layer_that_uses_the_same_block(self) -> None:
        level = block(typed("Residual", layers=["$below"]), below="ReLU")
        model = model_of(typed("level", below=typed("level", below="level")), level=level)
        assert sum(x.block == "level" for layer in read(model) for x in layer.walk()) == 3

    def test_null_takes_a_shared_block_away(self) -> None:
        assert told(model_of("gone", gone=None, other={"layers": ["ReLU"]})) == ["layers[0]: unknown layer type 'gone'"]

    def test_what_is_not_used_is_not_read_but_must_be_a_block(self) -> None:
        assert told(model_of("ReLU", broken={"layers": ["Foo", "$nothing", "broken"]})) == []
        assert told(model_of("ReLU", broken={"layer": ["ReLU"]})) == [
            "block 'broken': there is no key 'layer'; did you mean 'layers'?"
        ]

    def test_from_python_all_problems_are_raised(self) -> None:
        with pytest.raises(ConfigError) as error:
            cnnexp.plan(model_of("conv_norm", typed("conv_norm", out_channel=0), conv_norm=CONV_NORM))
        assert [p.path for p in error.value.problems] == [
            ("model", "layers", 0),
            ("model", "layers", 1, "out_channel"),
            ("model", "layers", 1, "out_channel"),
        ]


# fmt: off
DEFINITIONS: list[tuple[Any, list[str]]] = [
    (5, ["'blocks' must be a mapping of names to blocks, not 5"]),
    (["x"], ["'blocks' must be a mapping of names to blocks, not ['x']"]),
    ({"x": 3}, ["block 'x' must be a mapping with a list 'layers', not 3"]),
    ({"x": ["ReLU"]}, ["block 'x' must be a mapping with a list 'layers', not ['ReLU']"]),
    ({"x": {}}, ["block 'x': 'layers' must be a list, not null"]),
    ({"x": {"layers": None}}, ["block 'x': 'layers' must be a list, not null"]),
    ({"x": {"layers": "ReLU"}}, ["block 'x': 'layers' must be a list, not 'ReLU'"]),
    ({"x": {"layers": ["ReLU"], "param": {}}}, ["block 'x': there is no key 'param'; did you mean 'params'?"]),
    ({"x": {"layers": ["ReLU"], "params": ["a"]}},
        ["block 'x': 'params' must be a mapping of names to defaults, not ['a']"
         "\n  hint: write ??? where every user must give a value"]),
    ({"x": {"layers": ["ReLU"], "params": {"type": 1}}},
        ["block 'x': 'type' cannot be the name of a parameter\n  hint: take a word other than type and name"]),
    ({"x": {"layers": ["ReLU"], "params": {3: 1, "a b": 2}}},
        ["block 'x': '3' cannot be the name of a parameter\n  hint: take a word other than type and name",
         "block 'x': 'a b' cannot be the name of a parameter\n  hint: take a word other than type and name"]),
    ({"conv2D": {"layers": ["ReLU"]}},
        ["block 'conv2D': the name is taken by the layer type Conv2d\n  hint: choose another name"]),
    ({"residual": {"layers": ["ReLU"]}},
        ["block 'residual': the name is taken by the layer type Residual\n  hint: choose another name"]),
    ({"a_b": {"layers": ["ReLU"]}, "AB": {"layers": ["ReLU"]}},
        ["block 'AB': the name is taken by block 'a_b'\n  hint: choose another name"]),
    ({3: {"layers": ["ReLU"]}}, ["block '3': a block's name must be a word of letters, digits and underscores"]),
    ({"a b": {"layers": ["ReLU"]}}, ["block 'a b': a block's name must be a word of letters, digits and underscores"]),
    ({"a²": {"layers": ["ReLU"]}}, ["block 'a²': a block's name must be a word of letters, digits and underscores"]),
    ({"$x": {"layers": ["ReLU"]}}, ["block '$x': a block's name must be a word of letters, digits and underscores"]),
]

USES: list[tuple[list[Any], dict[str, Any], list[str]]] = [
    (["b"], {"b": block("ReLU", c="???")}, ["layers[0] b: 'c' is missing"]),
    ([typed("b", d=1)], {"b": block("ReLU", c="???")},
        ["layers[0] b: unknown parameter 'd'\n  hint: b takes c", "layers[0] b: 'c' is missing"]),
    ([typed("b", d=1)], {"b": block("ReLU")}, ["layers[0] b: unknown parameter 'd'\n  hint: b takes no parameters"]),
    ([typed("b", chanels=1)], {"b": block("ReLU", channels="???")},
        ["layers[0] b: unknown parameter 'chanels'; did you mean 'channels'?"]),
    ([typed("b", layers=[])], {"b": block("ReLU", c=1)},
        ["layers[0] b: unknown parameter 'layers'\n  hint: b takes c"]),
    (["b"], {"b": block("$x")},
        ["layers[0] b › layers[0]: block 'b' has no parameter 'x'\n  hint: list it under the block's 'params'"]),
    (["b"], {"b": block("$activatio", activation="ReLU")},
        ["layers[0] b › layers[0]: block 'b' has no parameter 'activatio'; did you mean 'activation'?"]),
    (["b"], {"b": block("$zebra", activation="ReLU")},
        ["layers[0] b › layers[0]: block 'b' has no parameter 'zebra'\n  hint: it has activation"]),
    (["$x"], {}, ["layers[0]: $x stands for the parameter of a block, and no block is here"
        "\n  hint: a variable of the model is written ${model.x}"]),
    ([typed("MaxPool2d", kernel_size=[1, "$k"])], {},
        ["layers[0]: $k stands for the parameter of a block, and no block is here"
         "\n  hint: a variable of the model is written ${model.k}"]),
    ([typed("b", c="$out")], {"b": block("ReLU", c=1)},
        ["layers[0] b: $out stands for the parameter of a block, and no block is here"
         "\n  hint: a variable of the model is written ${model.out}"]),
    (["b"], {"b": block("ReLU", c="$d")}, ["layers[0] b: block 'b' has no parameter 'd'\n  hint: it has c"]),
    (["b"], {"b": block("ReLU", c="$c")}, ["layers[0] b: $c stands for itself"]),
    (["b"], {"b": block("ReLU", c="$d", d="$e", e="$c")}, ["layers[0] b: $d stands for itself"]),
    (["b"], {"b": block("ReLU", c=["$d"], d=["$c"])},
        ["layers[0] b: holds values more than 100 deep, names spelt out"]),
    (["b"], {"b": block("b")}, ["layers[0] b › layers[0] b: a block cannot use itself: b → b"]),
    (["b"], {"b": block("c"), "c": block(typed("Residual", layers=["d"])), "d": block("b")},
        ["layers[0] b › layers[0] c › layers[0] Residual › layers[0] d › layers[0] b: a block cannot use itself:"
         " b → c → d → b"]),
    (["x"], {"x": block("b"), "b": block(typed("c", y="$z"), z="b"), "c": block("$y", y="???")},
        ["layers[0] x › layers[0] b › layers[0] c › layers[0] b: a block cannot use itself: b → b"]),
    ([typed("b", a=["ReLU"])], {"b": block("$a", a="???")},
        ["layers[0] b › layers[0] must be a layer type or a mapping with 'type', not ['ReLU']"
         "\n  hint: several layers in the place of one are written {type: Sequential, layers: [...]}"]),
    (["b"], {"b": block(None)}, ["layers[0] b: 'layers' is empty\n  hint: Identity stands for no layer at all"]),
    (["b"], {"b": block()}, ["layers[0] b: 'layers' is empty\n  hint: Identity stands for no layer at all"]),
    (["b"], {"b": block("$a", a=None)},
        ["layers[0] b: 'layers' is empty\n  hint: Identity stands for no layer at all"]),
    (["b"], {"b": {"layers": "$a", "params": {"a": 3}}}, ["layers[0] b: 'layers' must be a list, not 3"]),
    ([typed("b", name="1")], {"b": block("ReLU")},
        ["layers[0] b: name '1': whole numbers are the names of entries without a name of their own"
         "\n  hint: choose another name"]),
    ([typed("b", name="x"), typed("b", name="x")], {"b": block("ReLU")},
        ["layers[1] b: the name 'x' is taken by layers[0]\n  hint: choose another name"]),
    (["b"], {"b": block(typed("ReLU", name="$n"), n="a.b")},
        ["layers[0] b › layers[0] ReLU: name must be a text without dots, not 'a.b'"]),
    (["b"], {"b": block({"type": "$a", "inplace": True}, a={"type": "ReLU"})},
        ["layers[0] b › layers[0]: 'type' must be a name, not a mapping"
         "\n  hint: write the layer type as 'type: Name'"]),
    (["bb"], {"bbb": block("ReLU")}, ["layers[0]: unknown layer type 'bb'; did you mean 'bbb'?"]),
]
# fmt: on


@pytest.mark.parametrize(("blocks", "texts"), DEFINITIONS)
def test_a_wrong_definition_is_said_in_full_once_and_not_again_at_its_uses(blocks: Any, texts: list[str]) -> None:
    names = [name for name in blocks if isinstance(name, str)] if isinstance(blocks, Mapping) else []
    used = [n for n in names if n.lower() not in ("conv2d", "residual", "ab", "a_b", "$x")]
    assert told({"blocks": blocks, "layers": ["ReLU", *used]}) == texts


@pytest.mark.parametrize(("layers", "blocks", "texts"), USES)
def test_a_wrong_use_is_said_in_full(layers: list[Any], blocks: dict[str, Any], texts: list[str]) -> None:
    assert told({"blocks": blocks, "layers": layers}) == texts


def test_a_bad_value_lies_where_it_was_written() -> None:
    inner = block(typed("MaxPool2d", kernel_size="$k", stride=["$s", 1]), k=0, s=0)
    outer = block(typed("inner", k="$k", s=1), "inner", k=0)
    found = problems_of(model_of(typed("outer", k=-1), "outer", inner=inner, outer=outer))
    assert [(p.path, p.message.rpartition(": ")[2]) for p in found] == [
        (("layers", 0, "k"), "kernel_size must be at least 1, not -1"),
        (("blocks", "inner", "params", "k"), "kernel_size must be at least 1, not 0"),
        (("blocks", "inner", "layers", 0, "stride"), "stride must be at least 1, not [0, 1]"),
        (("blocks", "outer", "params", "k"), "kernel_size must be at least 1, not 0"),
        (("blocks", "inner", "params", "k"), "kernel_size must be at least 1, not 0"),
        (("blocks", "inner", "layers", 0, "stride"), "stride must be at least 1, not [0, 1]"),
    ]


def test_what_a_shape_says_about_a_value_lies_where_it_was_written() -> None:
    body = block(typed("Conv2d", in_channels="$i", out_channels=4, kernel_size="$k", groups="$g"), i=3, k=1, g=1)
    model = model_of(typed("b", k=9), typed("b", g=2, i=4), typed("b", i=7), b=body)
    assert [(p.code, p.path) for p in problems_of(model_of(typed("b", i=7), typed("b", k=9, i=4), b=body))] == [
        ("wrong-size", ("layers", 0, "i")),
        ("empty-shape", ("layers", 1, "k")),
    ]
    assert [(p.code, p.path) for p in problems_of(model)] == [("empty-shape", ("layers", 0, "k"))]


def test_what_joins_branches_is_told_where_the_branches_were_written() -> None:
    body = block(
        typed("Residual", layers=["$inner"], shortcut="$shortcut"),
        typed("Repeat", times="$times", layers=["Tanh"]),
        typed("Parallel", branches=["Identity", "$branch"], merge="$merge", dim="$dim"),
        typed("Unpool", pool="$pool", layers=["ReLU"]),
        inner="Tanh", shortcut=None, times=2, branch="Tanh", merge="add", dim=1, pool=typed("MaxPool2d", kernel_size=2),
    )  # fmt: skip
    wide = typed("Conv2d", out_channels=8, kernel_size=1)
    uses = {
        "shortcut": ("cannot-merge", wide),
        "times": ("bad-value", 0),
        "branch": ("cannot-merge", [wide]),
        "merge": ("bad-value", "sum"),
        "pool": ("bad-value", "ReLU"),
    }
    for name, (code, value) in uses.items():
        model = model_of(typed("b", **{name: value}), b=body)
        assert [(p.code, p.path) for p in problems_of(model)] == [(code, ("layers", 0, name))], name
    model = model_of(typed("b", dim=9, merge="concat"), b=body)
    assert [(p.code, p.path) for p in problems_of(model)] == [("bad-value", ("layers", 0, "dim"))]
