"""Printed source: run by itself it makes the same network, and it reads as if a person had written it."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cnnexp
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan
from cnnexp.config import packaged

IMAGE = (3, 8, 8)
MODELS = sorted(file.stem for file in (Path(packaged()) / "model").glob("*.yaml"))
SMALL = 30_000_000


def typed(name: str, /, **params: Any) -> dict[str, Any]:
    return {"type": name, **params}


def conv(out_channels: Any = 4, kernel_size: Any = 1, **params: Any) -> dict[str, Any]:
    return typed("Conv2d", out_channels=out_channels, kernel_size=kernel_size, **params)


def repeat(times: Any, *layers: Any) -> dict[str, Any]:
    return typed("Repeat", times=times, layers=list(layers))


def parallel(*branches: Any, **more: Any) -> dict[str, Any]:
    return typed("Parallel", branches=list(branches), **more)


def block(*layers: Any, **params: Any) -> dict[str, Any]:
    return {"params": params, "layers": list(layers)}


def plan_of(*layers: Any, shape: tuple[int, ...] = IMAGE, **keys: Any) -> Plan:
    stack, problems = parse({**keys, "layers": list(layers)})
    plan, more = make_plan(stack, shape, *((keys["dtype"],) if "dtype" in keys else ()))
    assert [*problems, *more] == []
    return plan


def executed(text: str, seed: int, *allowed: str) -> nn.Sequential:
    """What the source leaves in `model`, in a namespace of its own in which only these libraries can be imported."""

    def importing(name: str, *rest: Any) -> Any:
        assert name.split(".")[0] in ("torch", "collections", "fnmatch", "__future__", *allowed), name
        return builtins.__import__(name, *rest)

    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.Import) or {alias.name for alias in node.names} == {"torch"}
    namespace: dict[str, Any] = {"__builtins__": {**vars(builtins), "__import__": importing}, "__name__": "printed"}
    torch.manual_seed(seed)
    exec(compile(text, "printed.py", "exec"), namespace)
    model: nn.Sequential = namespace["model"]
    return model


def same_network(plan: Plan, *allowed: str) -> str:
    """The source of a plan, after it was found to make the same network and to be fit to be read."""
    text = plan.source()
    built, model = plan.build(seed=11), executed(text, 11, *allowed)
    one, other = built.state_dict(), model.state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert repr(built) == repr(model)
    assert [p.requires_grad for p in built.parameters()] == [p.requires_grad for p in model.parameters()]
    assert max(map(len, text.splitlines())) <= 120
    assert not re.search(r"[ \t]\n|\n{4}|\t", text)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    defined = re.findall(r"^(?:class|def) (\w+)", text, re.M)
    assert len(defined) == len(set(defined))
    assert all(len(re.findall(rf"\b{name}\(", text)) > 1 for name in defined), "what is defined is used"
    tree = ast.parse(text)
    imported = {a.asname or a.name for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names}
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert imported <= used, "what is imported is used"
    return text


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_network_is_printed_as_it_is_built(name: str) -> None:
    plan = cnnexp.plan(name)
    if plan.totals.parameters < SMALL:
        same_network(plan, "torchvision")
    else:  # its source alone; its weights would fill the memory of a small machine twice
        ast.parse(plan.source())


UGLY = ["a'b", 'a"b', "a\\b", "class", "é ß", "a b", "$x"[1:], "model", "lambda", "{x}", "\U0001f600"]


@pytest.mark.parametrize("name", UGLY)
def test_children_may_be_called_almost_anything(name: str) -> None:
    layers = [
        conv(name=name),
        typed("Sequential", name=name + "2", layers=[conv(name=name)]),
        parallel(conv(name=name)),
    ]
    plan = plan_of(*layers, freeze=[name.replace("[", "[[]")], init=[{"match": name + "2", "bias": "zeros_"}])
    same_network(plan)


NAMES = [
    *("class", "nn", "model", "Residual2", "i", "_", "torch", "range", "def_", "lambda", "print", "Tensor", "größe"),
    *("fnmatchcase", "load_file", "OrderedDict", "module", "name", "weights", "self", "ops", "super", "None", "__x"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_block_may_be_called_almost_anything(name: str) -> None:
    body = block(conv(f"${name}x"), parallel("Identity", "ReLU"), **{f"{name}x": 3})
    layers = [
        repeat(3, name),
        typed(name, **{f"{name}x": 5}, name="odd"),
        typed("Residual", layers=[conv(20)], shortcut=conv(20)),
    ]
    init = [{"match": name, "weight": "xavier_normal_"}, {"match": "Conv2d", "bias": "zeros_"}]
    same_network(plan_of(*layers, blocks={name: body}, init=init, freeze=["odd*", "2*"]))


@pytest.mark.parametrize(
    "name", ["i", "_", "times", "in", "self", "nn", "class", "step", "kernel_size", "b", "model", "out"]
)
def test_a_parameter_may_be_called_almost_anything(name: str) -> None:
    body = block(
        repeat(2, parallel("Identity", conv(f"${name}"))), conv(f"${name}"), repeat(f"${name}", "ReLU"), **{name: 2}
    )
    layers = [typed("b", **{name: n}) for n in (1, 2, 3, 1, 1)]
    same_network(plan_of(*layers, blocks={"b": body}))


def test_uses_that_hold_other_layers_get_functions_of_their_own() -> None:
    acts = ["Tanh", None, typed("LeakyReLU", negative_slope=0.5), "ReLU", "Tanh"]
    blocks = {"b": block(conv(), "$act", act="ReLU"), "b_2": block(conv())}
    text = same_network(plan_of(*[typed("b", act=act) for act in acts], "b_2", blocks=blocks))
    assert re.findall(r"^def (\w+)", text, re.M) == ["b", "b_3", "b_4", "b_5", "b_2"]


CONV_NORM = block(conv("$out", "$k", padding="$p", bias=False), "BatchNorm2d", "$act", out="???", k=1, p=0, act="ReLU")
GROWING = block("BatchNorm2d", "ReLU", conv("$more"), more=2)
CASES: dict[str, dict[str, Any]] = {
    "a repeated block whose input grows": {
        "blocks": {"dense": block(parallel("Identity", typed("grow")),), "grow": GROWING},
        "layers": [repeat(4, "dense"), repeat(2, "dense"), repeat(1, "dense")],
    },
    "two sizes that grow": {
        "layers": [repeat(4, parallel("Identity", ["BatchNorm2d", conv(2), "BatchNorm2d"], conv(3)))],
    },
    "repetitions inside a repetition that both grow": {
        "layers": [repeat(3, repeat(2, parallel("Identity", conv(1))), parallel("Identity", conv(2)))],
    },
    "a first copy that differs": {"layers": [repeat(5, conv(8), "ReLU")]},
    "a block in a repetition in a block": {
        "blocks": {"cn": CONV_NORM, "stage": block(repeat("$n", typed("cn", out="$o")), o="???", n=2)},
        "layers": [
            typed("stage", o=4), typed("stage", o=8, n=3), typed("stage", o=8, n=1), repeat(2, typed("stage", o=2)),
        ],
    },
    "a growing repetition in a block of several sizes": {
        "blocks": {"dense": block(repeat("$n", parallel("Identity", conv("$g"))), n=2, g=1)},
        "layers": ["dense", typed("dense", n=3), typed("dense", g=4), typed("dense", n=1), repeat(2, "dense")],
    },
    "a block given blocks": {
        "blocks": {
            "cn": CONV_NORM,
            "res": block(typed("Residual", layers=["$a", "$a"], shortcut="$s"), a="???", s=None),
        },
        "layers": [
            typed("res", a=typed("cn", out=3)),
            typed("res", a=typed("res", a=typed("cn", out=3, act="Tanh"))),
            typed("res", a=typed("cn", out=5), s=typed("cn", out=5)),
            typed("res", a=typed("cn", out=6), s=[conv(6), "BatchNorm2d"]),
            repeat(2, typed("res", a=typed("cn", out=6, k=3, p=1))),
        ],
    },
    "activations as arguments": {
        "blocks": {"cn": CONV_NORM},
        "layers": [typed("cn", out=4, act=act) for act in ("ReLU", "Tanh", "ReLU", typed("ELU", alpha=0.5), None)],
    },
    "values of every kind": {
        "layers": [
            typed("Hardtanh", min_val=float("-inf"), max_val=6), typed("Identity", x=[1, [True, None]], y="a\nb"),
            typed("Identity", x=float("nan"), **{"in": "'\""}), typed("Identity", z=[float("inf")], w={"k": [1.5]}),
            typed("ZeroPad2d", padding=[1, 0, 1, 0]), typed("Upsample", scale_factor=[1.0, 2.0]),
            typed("LayerNorm", elementwise_affine=False), conv(2, [1, 1], padding="same"),
            typed("Slice", start=1), typed("Slice", dim=-1, stop=-1), "Softmax2d",
        ],
    },
    "unpooling, names and merging": {
        "layers": [
            typed("Unpool", pool=typed("MaxPool2d", kernel_size=2, ceil_mode=True), layers=[conv(3, name="c"), "ReLU"]),
            parallel(conv(2, name="a'"), ["Identity", conv(2, name="in")], merge="multiply"),
            parallel(conv(2), conv(2), dim=-1), typed("Residual", layers=["Tanh"]),
        ],
    },
    "rules of all kinds": {
        "blocks": {"cn": CONV_NORM},
        "layers": [
            conv(4, name="stem"), repeat(2, typed("cn", out=4)), "PReLU", "Flatten",
            typed("Linear", out_features=3), typed("Linear", out_features=3, name="head"),
        ],
        "init": [
            {"match": "Conv2d", "weight": typed("kaiming_normal_", mode="fan_out"), "bias": "zeros_"},
            {"match": ["Linear", "stem"], "weight": typed("trunc_normal_", std=0.02)},
            {"match": "cn", "bias": "ones_"}, {"match": "*", "bias": typed("uniform_", a=-1)},
            {"match": ["Conv2d", "Linear"], "weight": "orthogonal_"},
            {"match": "1.[01]", "bias": typed("constant_", val=2)},
            {"match": "PReLU", "weight": typed("constant_", val=0.1)}, {"match": "head", "weight": "eye_"},
        ],
        "freeze": ["stem", "BatchNorm2d", "1*", "head.weight", "cn"],
    },
    "a layer that holds layers": {
        "layers": ["Flatten", typed("Unflatten", dim=1, unflattened_size=[4, 48]),
                   typed("TransformerEncoderLayer", d_model=48, nhead=2, dim_feedforward=8)],
        "init": [{"match": "*out_proj", "weight": "zeros_"}, {"match": "Linear", "bias": "ones_"},
                 {"match": "*self_attn", "in_proj_bias": "ones_"}],
        "freeze": ["*norm1"],
    },
}  # fmt: skip


@pytest.mark.parametrize("model", CASES.values(), ids=CASES)
def test_a_network_is_printed_as_it_is_built(model: dict[str, Any]) -> None:
    same_network(plan_of(*model["layers"], **{k: v for k, v in model.items() if k != "layers"}))


def test_a_dtype_is_printed_as_torchs() -> None:
    plan = plan_of(conv(2, dtype="float64"), repeat(2, typed("BatchNorm2d", dtype="float64")), dtype="float64")
    assert "dtype=torch.float64" in same_network(plan)


def test_layers_of_torchvision_are_imported_from_there() -> None:
    text = same_network(plan_of(conv(8), "FrozenBatchNorm2d"), "torchvision")
    assert "from torchvision import ops" in text
    assert "torchvision" not in plan_of(conv(8)).source()


def test_repetitions_are_loops_and_blocks_are_functions() -> None:
    wider = repeat(6, parallel("Identity", conv(4)))
    layers = [repeat(3, "cn"), wider, typed("cn", out=8), repeat(20, conv(8)), typed("cn", out=8, name="last")]
    text = same_network(plan_of(*layers, blocks={"cn": {**CONV_NORM, "params": {**CONV_NORM["params"], "out": 3}}}))
    assert text[text.index("def cn") :] == FUNCTIONS


FUNCTIONS = """\
def cn(in_channels, out=8):
    return nn.Sequential(nn.Conv2d(in_channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


model = nn.Sequential(
    OrderedDict(
        [
            ("0", nn.Sequential(*[cn(3, out=3) for _ in range(3)])),
            (
                "1",
                nn.Sequential(
                    *[
                        Parallel({"0": nn.Identity(), "1": nn.Conv2d(3 + 4 * i, 4, 1)})
                        for i in range(6)
                    ],
                ),
            ),
            ("2", cn(27)),
            ("3", nn.Sequential(*[nn.Conv2d(8, 8, 1) for _ in range(20)])),
            ("last", cn(8)),
        ]
    )
)
"""


def test_a_title_cannot_break_out_of_the_docstring() -> None:
    plan = plan_of(conv(2))
    for title in ('a"""\nimport os', "a\\", '"', "\u2028x\r\n", ""):
        text = plan.source(title)
        assert executed(text, 0)[0].out_channels == 2
        assert len([n for n in ast.parse(text).body if isinstance(n, (ast.Import, ast.ImportFrom))]) == 1
