"""How weights begin: drawn by rules, loaded from files, frozen; and everything that can be wrong with a rule."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cnnexp
from cnnexp.architecture.initialize import INITIALISERS
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan
from cnnexp.cli import main
from cnnexp.errors import ConfigError, Problem

IMAGE = (3, 6, 6)


def typed(name: str, /, **params: Any) -> dict[str, Any]:
    return {"type": name, **params}


def conv(out_channels: int = 4, **params: Any) -> dict[str, Any]:
    return typed("Conv2d", out_channels=out_channels, kernel_size=3, padding=1, **params)


def linear(out_features: int = 5, **params: Any) -> dict[str, Any]:
    return typed("Linear", out_features=out_features, **params)


LAYERS = [conv(name="stem"), "BatchNorm2d", "ReLU", typed("pair", name="body"), "Flatten", linear(name="head")]
BLOCKS = {"pair": {"layers": [conv(bias=False), "BatchNorm2d", typed("Residual", layers=[conv(4)])]}}
NAMES = [
    *("stem.weight", "stem.bias", "1.weight", "1.bias", "body.0.weight", "body.1.weight", "body.1.bias"),
    *("body.2.layers.0.weight", "body.2.layers.0.bias", "head.weight", "head.bias"),
]


def attempt(init: Any = None, freeze: Any = None, layers: Any = None) -> tuple[Plan, list[Problem]]:
    stack, problems = parse({"blocks": BLOCKS, "layers": layers or LAYERS, "init": init, "freeze": freeze})
    plan, more = make_plan(stack, IMAGE)
    assert plan.whole
    return plan, [*problems, *more]


def planned(init: Any = None, freeze: Any = None, layers: Any = None) -> Plan:
    plan, problems = attempt(init, freeze, layers)
    assert problems == []
    return plan


def told(init: Any = None, freeze: Any = None, layers: Any = None) -> list[str]:
    return [str(problem).removeprefix("error: ") for problem in attempt(init, freeze, layers)[1]]


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


PARAMS: Mapping[str, dict[str, Any]] = {
    "constant_": {"val": 0.5},
    "uniform_": {"a": -1, "b": 2.0},
    "normal_": {"mean": 1.0, "std": 0.1},
    "trunc_normal_": {"std": 0.02},
    "sparse_": {"sparsity": 0.3, "std": 0.1},
    "kaiming_normal_": {"mode": "fan_out", "nonlinearity": "relu"},
    "kaiming_uniform_": {"a": 0.2, "nonlinearity": "leaky_relu"},
    "xavier_uniform_": {"gain": 2},
    "orthogonal_": {"gain": 0.5},
    "dirac_": {"groups": 2},
}


class TestDrawing:
    @pytest.mark.parametrize("name", INITIALISERS.entries)
    def test_a_rule_does_what_a_loop_by_hand_does(self, name: str) -> None:
        plain = {"eye_": linear(), "sparse_": linear()}.get(name, conv())
        layers = [plain, plain, "Flatten", linear()] if plain["type"] == "Conv2d" else ["Flatten", plain, plain]
        kind = getattr(nn, plain["type"])
        for params in ({}, PARAMS.get(name, {})):
            if name in ("constant_", "sparse_") and not params:
                continue
            plan = planned([{"match": kind.__name__, "weight": {"type": name, **params}}], layers=layers)
            torch.manual_seed(7)
            model = nn.Sequential(*(layer.build() for layer in plan.layers))
            for module in model.modules():
                if isinstance(module, kind):
                    getattr(nn.init, name)(module.weight, **params)
            assert same(plan.build(seed=7), model)
            assert same(printed(plan, 7), model)

    def test_every_function_of_torch_that_fills_is_known(self) -> None:
        functions = {n for n, f in inspect.getmembers(nn.init, inspect.isfunction) if n[0] != "_" and n[-1] == "_"}
        assert set(INITIALISERS.entries) == functions
        assert len(functions) > 12

    def test_the_last_rule_counts_and_the_order_is_the_models(self) -> None:
        biases = {"*": "zeros_", "Conv2d": "ones_", "stem": typed("constant_", val=3)}
        biases = {"*": "zeros_", "Conv2d": "ones_", "stem": typed("constant_", val=3)}
        rules = [{"match": match, "bias": bias} for match, bias in biases.items()]
        model = planned(rules).build(seed=0)
        values = {n: p.flatten()[0].item() for n, p in model.named_parameters() if n.endswith("bias")}
        assert values == {"stem.bias": 3, "1.bias": 0, "body.1.bias": 0, "body.2.layers.0.bias": 1, "head.bias": 0}

    @pytest.mark.parametrize(
        ("match", "touched"),
        [
            ("Conv2d", ["stem", "body.0", "body.2.layers.0"]),
            ("conv_2d", ["stem", "body.0", "body.2.layers.0"]),
            ("stem", ["stem"]),
            ("pair", ["body.0", "body.1", "body.2.layers.0"]),
            ("body", ["body.0", "body.1", "body.2.layers.0"]),
            ("body.*", ["body.0", "body.1", "body.2.layers.0"]),
            ("body.2", ["body.2.layers.0"]),
            ("Residual", ["body.2.layers.0"]),
            ("*.0", ["body.0", "body.2.layers.0"]),
            ("?", ["1"]),
            ("[sh]*", ["stem", "head"]),
            (["Linear", "st*"], ["stem", "head"]),
            (["head", "Linear", "*"], ["stem", "1", "body.0", "body.1", "body.2.layers.0", "head"]),
        ],
    )
    def test_what_a_pattern_matches(self, match: Any, touched: list[str]) -> None:
        (step,) = planned([{"match": match, "weight": "ones_"}]).start.steps
        assert step.names == tuple(f"{name}.weight" for name in touched)

    def test_weights_that_a_layer_has_not_are_passed_over(self) -> None:
        (step,) = planned([{"match": "Conv2d", "bias": "zeros_", "weight": "ones_"}]).start.steps
        assert step.names == (
            "stem.bias", "stem.weight", "body.0.weight", "body.2.layers.0.bias", "body.2.layers.0.weight"
        )  # fmt: skip

    def test_planning_draws_nothing(self) -> None:
        before = torch.get_rng_state()
        planned([{"match": "Linear", "weight": typed("sparse_", sparsity=0.5)}, {"match": "Linear", "bias": "normal_"}])
        assert torch.equal(torch.get_rng_state(), before)

    def test_the_rules_are_plain_data(self) -> None:
        plan = planned([{"match": "head", "weight": typed("normal_", std=0.1)}], ["stem"])
        data = json.loads(json.dumps(plan.as_dict()))
        assert data["init"] == [{"match": ["head"], "weight": "normal_", "weights": ["head.weight"]}]
        assert data["freeze"] == [{"match": "stem", "weights": ["stem.weight", "stem.bias"]}]
        assert "init" not in planned().as_dict()


class TestFreezing:
    @pytest.mark.parametrize(
        ("freeze", "frozen"),
        [
            (None, []),
            ([], []),
            ("stem", NAMES[:2]),
            (["stem", "head"], [*NAMES[:2], *NAMES[9:]]),
            (["BatchNorm2d"], ["1.weight", "1.bias", "body.1.weight", "body.1.bias"]),
            (["pair"], NAMES[4:9]),
            (["body.[01]"], NAMES[4:7]),
            (["*bias"], [n for n in NAMES if n.endswith("bias")]),
            (["stem.bias"], ["stem.bias"]),
            (["*", "stem"], NAMES),
        ],
    )
    def test_what_matches_does_not_learn(self, freeze: Any, frozen: list[str]) -> None:
        plan = planned(freeze=freeze)
        for model in (plan.build(seed=1), printed(plan, 1)):
            assert [n for n, p in model.named_parameters() if not p.requires_grad] == frozen
        assert list(plan.start.frozen) == frozen


def printed(plan: Plan, seed: int) -> nn.Module:
    namespace: dict[str, Any] = {}
    torch.manual_seed(seed)
    exec(plan.source(), namespace)
    model: nn.Module = namespace["model"]
    return model


SAYS = "it needs a weight with an initialiser, or 'from' with a file\n  hint: such as weight: kaiming_normal_"
MEANT = "hint: match the layers that it is meant for"
FANS = "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
# fmt: off
RULES: list[tuple[Any, list[str]]] = [
    (3, ["'init' must be a list of rules, not 3"]),
    ({"match": "*"}, ["'init' must be a list of rules, not a mapping"]),
    (["zeros_"], ["init[0] must be a mapping with 'match' and a weight or 'from', not 'zeros_'"
        "\n  hint: such as {match: Conv2d, weight: kaiming_normal_}"]),
    ([None, {"match": "stem"}], [f"init[1] says nothing: {SAYS}"]),
    ([{"weight": "zeros_"}],
        ["init[0]: 'match' is missing (a layer type, or the name of a layer with * for any text)"]),
    ([{"match": [], "weight": "zeros_"}], ["init[0]: must be a layer type, a name or a list of them, not []"]),
    ([{"match": 0, "weight": "zeros_"}], ["init[0]: must be a layer type, a name or a list of them, not 0"]),
    ([{"match": "stem", "weight": None}],
        ["init[0] weight must be an initialiser or a mapping with 'type', not null"]),
    ([{"match": "stem", "weight": 0}], ["init[0] weight must be an initialiser or a mapping with 'type', not 0"]),
    ([{"match": "stem", "weight": "kaimin_normal_"}],
        ["init[0] weight: unknown initialiser 'kaimin_normal_'; did you mean 'kaiming_normal_'?"]),
    ([{"match": "stem", "weight": "constant_"}], ["init[0] weight constant_: 'val' is missing (a number)"]),
    ([{"match": "stem", "weight": typed("normal_", sdt=1)}],
        ["init[0] weight normal_: unknown parameter 'sdt'; did you mean 'std'?"]),
    ([{"match": "stem", "weight": typed("normal_", std=-1)}],
        ["init[0] weight normal_: std must be at least 0, not -1"]),
    ([{"match": "stem", "weight": typed("trunc_normal_", std=0)}],
        ["init[0] weight trunc_normal_: std must be greater than 0, not 0"]),
    ([{"match": "stem", "weight": typed("trunc_normal_", mean=9)}],
        ["init[0] weight trunc_normal_: mean (=9) must be within two std of the range from a (=-2.0) to b (=2.0)"]),
    ([{"match": "stem", "weight": typed("uniform_", a=2)}],
        ["init[0] weight uniform_: b (=1.0) must be at least a (=2)"]),
    ([{"match": "stem", "weight": typed("kaiming_normal_", mode="fan")}],
        ["init[0] weight kaiming_normal_: mode must be one of fan_in, fan_out, not 'fan'"]),
    ([{"match": "Conv3d", "weight": "zeros_"}], ["init[0]: no layer matches 'Conv3d'; did you mean 'Conv2d'?"]),
    ([{"match": ["stem", "zebra*"], "weight": "zeros_"}], ["init[0]: no layer matches 'zebra*'"]),
    ([{"match": "stem", "wieght": "zeros_"}],
        ["init[0]: no layer that matches has a weight 'wieght'; did you mean 'weight'?"]),
    ([{"match": "ReLU", "weight": "zeros_"}], ["init[0]: no layer that matches has a weight 'weight'"]),
    ([{"match": "stem", "running_mean": "zeros_"}], ["init[0]: no layer that matches has a weight 'running_mean'"]),
    ([{"match": "*", "weight": "kaiming_normal_"}],
        [f"init[0] weight: kaiming_normal_ does not work on 1.weight (4): {FANS}; nor on 1 more\n  {MEANT}"]),
    ([{"match": "stem", "bias": "xavier_uniform_"}],
        [f"init[0] bias: xavier_uniform_ does not work on stem.bias (4): {FANS}\n  {MEANT}"]),
    ([{"match": "stem", "weight": "eye_"}],
        ["init[0] weight: eye_ does not work on stem.weight (4×3×3×3): Only tensors with 2 dimensions are supported"
         f"\n  {MEANT}"]),
    ([{"match": "stem", "weight": typed("dirac_", groups=3)}],
        [f"init[0] weight: dirac_ does not work on stem.weight (4×3×3×3): dim 0 must be divisible by groups"
         f"\n  {MEANT}"]),
    ([{"match": "stem", "from": 3}], ["init[0]: from must be a file or the folder of a run, not 3"]),
    ([{"match": "stem", "from": None}], ["init[0]: from must be a file or the folder of a run, not null"]),
    ([{"match": "stem", "from": "x.pt", "weight": "zeros_"}],
        ["init[0]: weights are loaded or drawn, not both: 'weight' stands beside 'from'"
         "\n  hint: make two rules of it; the last one counts"]),
    ([{"from": "nowhere.pt"}], ["init[0]: there is no file 'nowhere.pt'"]),
    ([{"from": "~nobody.here/x.pt"}], ["init[0]: there is no file '~nobody.here/x.pt'"]),
]
# fmt: on


@pytest.mark.parametrize(("init", "texts"), RULES)
def test_a_wrong_rule_is_said_in_full(init: Any, texts: list[str]) -> None:
    assert told(init) == texts


@pytest.mark.parametrize(
    ("freeze", "text"),
    [
        (3, "freeze: must be a layer type, a name or a list of them, not 3"),
        (["stem", ""], "freeze: must be a layer type, a name or a list of them, not ''"),
        ("stm", "freeze: no layer matches 'stm'; did you mean 'stem'?"),
        ("ReLU", "freeze: no layer with weights matches 'ReLU'"),
    ],
)
def test_a_wrong_pattern_of_freeze_is_said_in_full(freeze: Any, text: str) -> None:
    assert told(freeze=freeze) == [text]


DIGITS = """\
layers:
  - {type: Conv2d, name: stem, out_channels: 4, kernel_size: 3, stride: 4}
  - ReLU
  - Flatten
  - {type: Linear, name: head, out_features: 10}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "model").mkdir(parents=True)
    return tmp_path


def test_problems_with_rules_lie_in_their_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "init:\n  - {match: stem, weight: {type: normal_, std: -1}}\nfreeze: 3\n"
    (folder / "conf/model/mine.yaml").write_text(f"{DIGITS}{rules}")
    assert main(["check", "model=mine"]) == 2
    assert capsys.readouterr().err.splitlines()[:-1] == [
        "error: conf/model/mine.yaml:7:43 init[0] weight normal_: std must be at least 0, not -1",
        "error: conf/model/mine.yaml:8:1 freeze: must be a layer type, a name or a list of them, not 3",
    ]


def test_patterns_that_match_nothing_lie_in_their_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "init:\n  - {match: Conv3d, weight: zeros_}\nfreeze: [stem, haed]\n"
    (folder / "conf/model/mine.yaml").write_text(f"{DIGITS}{rules}")
    assert main(["check", "model=mine"]) == 2
    assert capsys.readouterr().err.splitlines()[:-1] == [
        "error: conf/model/mine.yaml:7:6 init[0]: no layer matches 'Conv3d'; did you mean 'Conv2d'?",
        "error: conf/model/mine.yaml:8:16 freeze: no layer matches 'haed'; did you mean 'head'?",
    ]


def test_a_network_of_which_nothing_learns_is_a_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "conf/model/mine.yaml").write_text(f'{DIGITS}freeze: ["*"]\n')
    assert main(["check", "model=mine"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == (
        "error: conf/model/mine.yaml:6:1 optimizer: the network has nothing to learn: freeze matches every weight"
    )


def test_check_as_json_names_the_weights_that_are_touched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = "init: [{match: stem, bias: zeros_}]\nfreeze: [stem]\n"
    (folder / "conf/model/mine.yaml").write_text(f"{DIGITS}{rules}")
    assert main(["check", "model=mine", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["init"] == [{"match": ["stem"], "bias": "zeros_", "weights": ["stem.bias"]}]
    assert plan["freeze"] == [{"match": "stem", "weights": ["stem.weight", "stem.bias"]}]


@pytest.mark.slow
def test_weights_travel_from_run_to_run_and_what_is_frozen_stays(folder: Path) -> None:
    (folder / "conf/model/first.yaml").write_text(DIGITS)
    first = cnnexp.train(["model=first", "trainer=smoke", "loss.weight=[1,1,1,1,1,2,1,1,1,1]"])
    source = f"init: [{{from: {first.path}}}]\nfreeze: [stem]\n"
    (folder / "conf/model/second.yaml").write_text(f"{DIGITS}{source}")
    second = cnnexp.train(["model=second", "trainer=smoke", "optimizer.weight_decay=0.5"])
    before, after = (run.load_model().state_dict() for run in (first, second))
    assert {key for key in before if torch.equal(before[key], after[key])} == {"stem.weight", "stem.bias"}
    record = json.loads((second.path / "run.json").read_text())
    assert "stem.weight" in json.dumps(record)
    shutil.rmtree(first.path)
    assert all(torch.equal(value, after[key]) for key, value in second.load_model().state_dict().items())
    with pytest.raises(ConfigError, match="there is no file"):
        cnnexp.train(["model=second", "trainer=smoke"])
