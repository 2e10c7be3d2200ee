"""Where advice is found, how it is told, located and switched off, and what the shipped networks get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cnnexp
from cnnexp.architecture.advice import RULES, Advice, advise, unknown_codes, unused_variables
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.planning import make_plan
from cnnexp.config import Composer
from cnnexp.errors import Problem
from tests.advising import DEPTHWISE, MAX, codes, conv, linear, planned, told

BLOCK = {"block": {"layers": [conv(8, padding=1), "BatchNorm2d", "ReLU"]}}


def test_a_flow_goes_through_everything_that_groups_layers() -> None:
    layers = [
        {"type": "Sequential", "layers": [{"type": "Sequential", "layers": ["BatchNorm2d", conv(8)]}]},
        {"type": "Repeat", "times": 2, "layers": ["BatchNorm2d", conv(8)]},
    ]
    assert told(layers) == [
        "[bias-before-norm] layers[0] Sequential › layers[0] Sequential › layers[1] Conv2d: its bias is taken away "
        "again by layers[1] Repeat › layers[0] BatchNorm2d, which subtracts the mean of every channel -> set bias: "
        "false",
        "[bias-before-norm] layers[1] Repeat › layers[1] Conv2d: its bias is taken away again by layers[1] Repeat "
        "(copy 2) › layers[0] BatchNorm2d, which subtracts the mean of every channel -> set bias: false",
    ]


def test_a_branch_is_a_flow_of_its_own() -> None:
    residual = {
        "type": "Residual",
        "layers": ["BatchNorm2d", conv(3, padding=1)],
        "shortcut": [conv(3, 1), "BatchNorm2d"],
    }
    assert told([conv(3, padding=1), residual, "BatchNorm2d"]) == [
        "[bias-before-norm] layers[1] Residual › shortcut[0] Conv2d: its bias is taken away again by shortcut[1] "
        "BatchNorm2d, which subtracts the mean of every channel -> set bias: false"
    ]


def test_what_a_block_was_written_with_once_is_told_once() -> None:
    layers = [{"type": "block"}, {"type": "Repeat", "times": 3, "layers": ["block"]}, *(["block"] * 14)]
    assert told(layers, blocks=BLOCK) == [
        "[bias-before-norm] layers[0] block › layers[0] Conv2d: its bias is taken away again by layers[1] BatchNorm2d, "
        "which subtracts the mean of every channel (also in layers[1] Repeat › layers[0] block, "
        "layers[2] block, layers[3] block and 12 more) -> set bias: false"
    ]


def test_copies_are_told_of_once_with_the_numbers_of_the_first() -> None:
    layers = [{"type": "Repeat", "times": 3, "layers": [{"type": "AvgPool2d", "kernel_size": 2}]}]
    assert told(layers, (3, 31, 32)) == [
        "[rows-left-out] layers[0] Repeat › layers[0] AvgPool2d: its windows never reach the last of 31 rows -> "
        "set ceil_mode: true"
    ]


SQUEEZE = [{"type": "AdaptiveAvgPool2d", "output_size": 1}, conv(8, 1), "ReLU", conv(32, 1), "Sigmoid"]


def test_weights_for_channels_do_not_mix_them() -> None:
    gate = {"type": "Parallel", "merge": "multiply", "branches": ["Identity", SQUEEZE]}
    shape = (32, 8, 8)
    assert codes([DEPTHWISE, gate, "ReLU"], shape) == ["depthwise-alone"]
    assert codes([DEPTHWISE, gate, conv(16, 1)], shape) == []
    assert codes([{"type": "Residual", "layers": [DEPTHWISE, "ReLU"]}, conv(16, 1)], shape) == []
    assert codes([{"type": "Residual", "layers": [DEPTHWISE, "ReLU"]}, "ReLU"], shape) == ["depthwise-alone"]
    aside = {"type": "Parallel", "merge": "add", "branches": ["Identity", conv(32, 1)]}
    assert codes([DEPTHWISE, aside, "ReLU"], shape) == []


def test_rows_that_a_pool_leaves_out_before_it_is_undone() -> None:
    entry = {"type": "Unpool", "pool": {"type": "MaxPool2d", "kernel_size": 2}, "layers": ["Sigmoid"]}
    assert told([entry], (3, 7, 8)) == [
        "[rows-left-out] layers[0] Unpool › pool MaxPool2d: its windows never reach the last of 7 rows -> "
        "set ceil_mode: true"
    ]
    cured = {**entry, "pool": {**entry["pool"], "ceil_mode": True}}
    assert told([cured], (3, 7, 8)) == []
    assert planned([cured], (3, 7, 8)).build()(torch.rand(2, 3, 7, 8)).shape == (2, 3, 7, 8)


def test_advice_has_the_path_of_the_parameter_or_of_the_layer() -> None:
    plan = planned([conv(padding=0, padding_mode="reflect"), "BatchNorm2d", conv(bias=True), "BatchNorm2d"])
    assert [(a.code, a.path) for a in advise(plan)] == [
        ("bias-before-norm", ("layers", 0)),
        ("dead-padding-mode", ("layers", 0, "padding_mode")),
        ("bias-before-norm", ("layers", 2, "bias")),
    ]


def test_codes_can_be_switched_off() -> None:
    plan = planned([conv(), "BatchNorm2d", "ReLU", MAX])
    assert [a.code for a in advise(plan)] == ["bias-before-norm", "activation-before-max-pool"]
    assert [a.code for a in advise(plan, off=["bias-before-norm"])] == ["activation-before-max-pool"]
    assert advise(plan, off=["Bias_Before_Norm", "activation-before-max-pool", 3]) == ()  # type: ignore[list-item]
    assert advise(plan, unused=[("a",)], off=list(RULES)) == ()


def test_unknown_codes_are_problems() -> None:
    known = ", ".join(RULES)
    assert unknown_codes(None) == []
    assert unknown_codes(["bias-before-norm", "Heavy_Layer"]) == []
    assert unknown_codes(["bias-befor-norm", 3, "xyz"]) == [
        Problem(
            "unknown-advice",
            ("no_advice", 0),
            "no_advice[0]: there is no advice 'bias-befor-norm'; did you mean 'bias-before-norm'?",
        ),
        Problem("unknown-advice", ("no_advice", 1), "no_advice[1]: there is no advice 3", f"there is {known}"),
        Problem("unknown-advice", ("no_advice", 2), "no_advice[2]: there is no advice 'xyz'", f"there is {known}"),
    ]
    assert unknown_codes("heavy-layers") == [
        Problem(
            "not-a-list",
            ("no_advice",),
            "'no_advice' must be a list of codes, not 'heavy-layers'",
            "write no_advice: [heavy-layer]",
        )
    ]


def test_every_rule_can_be_listed() -> None:
    for code, rule in RULES.items():
        assert code == rule.code
        assert rule.why
        assert rule.cure
        assert "\n" not in rule.why + rule.cure
        assert code == code.lower().strip()


def test_nothing_is_said_of_a_network_that_does_not_fit() -> None:
    plan = replace(planned([conv(), "BatchNorm2d"]), whole=False)
    assert advise(plan) == ()
    assert [a.code for a in advise(plan, unused=[("a",)])] == ["unused-variable"]


# Variables.

UNUSED: dict[str, tuple[dict[str, Any], list[tuple[str, ...]]]] = {
    "nothing refers to it": ({"a": 1, "layers": ["ReLU"]}, [("a",)]),
    "a layer refers to it": ({"a": "ReLU", "layers": ["${model.a}"]}, []),
    "in brackets": ({"a": "ReLU", "layers": ["${model[a]}"]}, []),
    "inside a longer text": ({"a": "2", "layers": [{"type": "MaxPool${model.a}d"}]}, []),
    "another variable refers to it": ({"a": 1, "b": "${.a}", "layers": ["${model.b}"]}, []),
    "from below": ({"a": 1, "layers": [{"type": "Conv2d", "stride": "${...a}"}]}, []),
    "from below, but not as far up": ({"a": 1, "layers": [{"type": "Conv2d", "stride": "${..a}"}]}, [("a",)]),
    "a part of it": ({"a": {"b": 1}, "layers": ["${model.a.b}"]}, []),
    "one of that name elsewhere": ({"a": 1, "layers": ["${data.a}"]}, [("a",)]),
    "one that its name begins with": ({"ab": 1, "a": 2, "layers": ["${model.ab}"]}, [("a",)]),
    "a resolver": ({"a": 1, "layers": ["${oc.select:model.a,3}"]}, []),
    "a name that is put together": ({"a": 1, "b": "a", "layers": ["${model.${model.b}}"]}, []),
    "the whole model": ({"a": 1, "layers": ["ReLU"], "b": "${model}"}, []),
    "the words of the language": (
        {"layers": ["ReLU"], "blocks": {}, "init": [], "freeze": [], "no_advice": [], "defaults": []},
        [],
    ),
    "a block refers to it": ({"a": "ReLU", "blocks": {"b": {"layers": ["${model.a}"]}}, "layers": ["b"]}, []),
    "a parameter that its block uses": ({"blocks": {"b": {"params": {"k": 1}, "layers": [{"x": ["$k"]}]}}}, []),
    "a parameter that a default uses": ({"blocks": {"b": {"params": {"k": 1, "l": "$k"}, "layers": ["$l"]}}}, []),
    "a parameter that a variable uses": (
        {"a": "$k", "blocks": {"b": {"params": {"k": "ReLU"}, "layers": ["${model.a}"]}}},
        [],
    ),
    "a parameter that nothing uses": (
        {"blocks": {"b": {"params": {"k": 1}, "layers": ["ReLU", "$key"]}, "c": {"layers": ["$k"]}, "d": None}},
        [("blocks", "b", "params", "k")],
    ),
    "no mappings": ({"blocks": ["b"], "layers": 3}, []),
}


@pytest.mark.parametrize("case", UNUSED)
def test_unused_variables(case: str) -> None:
    model, expected = UNUSED[case]
    assert unused_variables(model, {"model": model}) == expected


def test_variables_that_are_used_elsewhere() -> None:
    model = {"a": 1, "b": 2, "c": 3, "layers": ["ReLU"]}
    raw = {"model": model, "trainer": {"max_epochs": "${model.a}", "x": "${..model.b}"}}
    assert unused_variables(model, raw) == [("c",)]
    assert unused_variables(model, raw, anchored=["c"]) == []
    assert unused_variables(None, raw) == []


def test_what_is_said_of_unused_variables() -> None:
    plan = planned(["ReLU"])
    first, second = advise(plan, unused=[("dropout",), ("blocks", "b", "params", "k")])
    assert str(first) == (
        "advice: [unused-variable] variable 'dropout': nothing refers to it, so changing it changes nothing\n"
        "  hint: take it out, or write ${model.dropout} where its value belongs"
    )
    assert str(second) == (
        "advice: [unused-variable] block 'b': its layers do not use its parameter 'k'\n"
        "  hint: take it out, or write $k where its value belongs"
    )


# Places.

MINE = """\
width: 8
dropout: 0.5
blocks:
  half:
    params: {out_channels: "???", dilation: 1}
    layers:
      - {type: Conv2d, out_channels: $out_channels, kernel_size: 3, padding: 1}
      - BatchNorm2d
      - ReLU
      - {type: MaxPool2d, kernel_size: 2}
act: {type: Softmax, dim: 1}
layers:
  - {type: half, out_channels: "${model.width}"}
  - {type: Repeat, times: 3, layers: [{type: half, out_channels: 16}]}
  - Flatten
  - {type: Linear, out_features: 10}
  - ${model.act}
"""


def test_advice_is_located_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "conf/model/mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(MINE)
    config = Composer().compose(["model=mine", "data.shape=[3,36,36]", "+model.more=1"])
    plan = cnnexp.plan(file, (3, 36, 36))
    unused = unused_variables(config.locator.raw["model"], config.locator.raw)
    found = [replace(a, path=("model", *a.path)) for a in advise(plan, "CrossEntropyLoss", unused)]
    located = config.locator.locate(found)  # type: ignore[arg-type]
    assert all(isinstance(advice, Advice) for advice in located)
    assert [str(advice).splitlines()[0] for advice in located] == [
        "advice: conf/model/mine.yaml:2:1 [unused-variable] variable 'dropout': nothing refers to it, so changing it "
        "changes nothing",
        "advice: conf/model/mine.yaml:5:35 [unused-variable] block 'half': its layers do not use its parameter "
        "'dilation'",
        "advice: conf/model/mine.yaml:7:9 [bias-before-norm] layers[0] half › layers[0] Conv2d: its bias is taken away "
        "again by layers[1] BatchNorm2d, which subtracts the mean of every channel (also in layers[1] Repeat › "
        "layers[0] half)",
        "advice: conf/model/mine.yaml:10:9 [activation-before-max-pool] layers[0] half › layers[3] MaxPool2d: in front "
        "of layers[2] ReLU it would give the same, and ReLU would work on 2,592 numbers in place of 10,368, 1/4 of the "
        "work (also in layers[1] Repeat › layers[0] half)",
        "advice: conf/model/mine.yaml:10:9 [rows-left-out] layers[1] Repeat (copy 2) › layers[0] half › layers[3] "
        "MaxPool2d: its windows never reach the last of 9 rows and of 9 columns",
        "advice: conf/model/mine.yaml:11:1 [softmax-before-cross-entropy] layers[4] Softmax: CrossEntropyLoss applies "
        "log-softmax itself; with 10 probabilities in place of scores the loss of a sample cannot fall below 1.46",
        "advice: override '+model.more=1': [unused-variable] variable 'more': nothing refers to it, so changing it "
        "changes nothing",
    ]


# The networks that come with the project.

SHIPPED = {
    "alexnet": {"activation-before-max-pool": 3},
    "conv1d_sequence": {"activation-before-max-pool": 1, "bias-before-norm": 1, "small-field": 1},
    "conv_autoencoder": {},
    "densenet121": {"activation-before-max-pool": 1, "large-field": 1},
    "depthwise_separable": {},
    "dilated": {},
    "googlenet": {"activation-before-max-pool": 1, "large-field": 1},
    "lenet5": {"saturating-stack": 1},
    "mlp_softmax": {"softmax-before-cross-entropy": 1},
    "mobilenet_v2": {"large-field": 1},
    "net": {"activation-before-max-pool": 2},
    "resnet20_cifar": {},
    "resnet50": {"activation-before-max-pool": 1, "large-field": 1},
    "single_pool": {"rows-left-out": 1},
    "tudui": {"one-layer": 1},
    "unet": {},
    "vgg16_bn": {"activation-before-max-pool": 1, "bias-before-norm": 1, "large-field": 1},
}


@pytest.mark.one_in(6)
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks_get_little_advice(name: str) -> None:
    found = [a.code for a in advise(cnnexp.plan(name), "CrossEntropyLoss")]
    assert {code: found.count(code) for code in sorted(set(found))} == SHIPPED[name]


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50", "densenet121", "vgg11", "squeezenet1_1"])
def test_networks_for_large_pictures_see_no_more_than_these(name: str) -> None:
    found = {a.code for a in advise(cnnexp.plan(name, (3, 224, 224), 1000), "CrossEntropyLoss")}
    assert found <= {"activation-before-max-pool", "rows-left-out"}


ENTRIES = st.recursive(
    st.sampled_from(
        [
            "ReLU",
            "Sigmoid",
            "Softmax",
            "Identity",
            "Flatten",
            "Dropout",
            "BatchNorm2d",
            conv(4, 3, padding=1),
            MAX,
            linear(4),
        ]
    ),
    lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
        lambda layers: st.sampled_from(
            [
                {"type": "Sequential", "layers": layers},
                {"type": "Residual", "layers": layers},
                {"type": "Parallel", "branches": [*layers, layers]},
                {"type": "Repeat", "times": 2, "layers": layers},
            ]
        )
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=5), st.sampled_from([None, "CrossEntropyLoss", "NLLLoss"]))
def test_advice_can_be_given_on_any_network(layers: list[Any], loss: str | None) -> None:
    stack, _ = parse({"layers": layers})
    plan, _ = make_plan(stack, (4, 8, 8))
    found = advise(plan, loss)
    labels = {layer.label for _, _, layer in plan.walk()}
    assert all(a.message.partition(": ")[0] in labels and a.code in RULES and a.hint for a in found)
    assert len({(a.code, a.path) for a in found}) == len(found)


def test_advice_on_a_value_that_came_through_a_name_is_located_where_it_was_written() -> None:
    blocks = {"one": {"params": {"bias": True}, "layers": [{**conv(4, 3), "bias": "$bias"}, "BatchNorm2d"]}}
    stack, _ = parse({"blocks": blocks, "layers": ["one", {"type": "one", "bias": True, "name": "other"}]})
    plan, _ = make_plan(stack, (3, 8, 8))
    assert [a.path for a in advise(plan) if a.code == "bias-before-norm"] == [
        ("blocks", "one", "params", "bias"),
        ("layers", 1, "bias"),
    ]
