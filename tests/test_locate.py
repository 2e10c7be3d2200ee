"""Every problem names the place where the value at fault was written: a line of a file, or the override that set it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cnnexp.cli import main
from cnnexp.config import packaged

MINE = "conf/model/mine.yaml"
EXPERIMENT = "conf/experiment/mine.yaml"
PACKAGED = f"{packaged()}"
HEAD = "# @package _global_\n"
LINEAR = "  - Flatten\n  - {type: Linear, out_features: 10}\n"
SOUND = f"layers:\n{LINEAR}"
CONV = '  - {type: Conv2d, out_channels: 4, kernel_size: 3, stride: "${model.stride}"}\n'

Check = Callable[..., list[str]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """The lines of what `cnnexp check` says to these files and overrides, without the count; it must refuse them."""
    monkeypatch.chdir(tmp_path)

    def run(files: Mapping[str, str], *words: str) -> list[str]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        assert main(["check", *words]) == 2
        return capsys.readouterr().err.splitlines()[:-1]

    return run


MODELS = {
    "block style": (
        f"layers:\n  - type: Conv2d\n    out_channels: 4\n    kernal_size: 3\n{LINEAR}",
        "4:5 layers[0] Conv2d: unknown parameter 'kernal_size'; did you mean 'kernel_size'?",
    ),
    "flow style": (
        f"layers:\n  - {{type: Conv2d, out_channels: 4, kernel_size: 3, stride: 0}}\n{LINEAR}",
        "2:53 layers[0] Conv2d: stride must be at least 1, not 0",
    ),
    "flow style over several lines": (
        f"layers:\n  - {{type: Conv2d, out_channels: 4,\n     kernel_size: 3,\n     stride: 0}}\n{LINEAR}",
        "4:6 layers[0] Conv2d: stride must be at least 1, not 0",
    ),
    "all of it in flow style": (
        "{layers: [Flatten, {type: Linear, out_features: 10, bias: 3}]}\n",
        "1:53 layers[1] Linear: bias must be true or false, not 3",
    ),
    "a list in flow style as a value": (
        f"layers:\n  - {{type: Conv2d, out_channels: 4, kernel_size: [3, 3, 3]}}\n{LINEAR}",
        "2:37 layers[0] Conv2d: kernel_size must be a whole number or a list of 2 whole numbers, not [3, 3, 3]",
    ),
    "a list in block style as a value": (
        f"layers:\n  - type: Conv2d\n    out_channels: 4\n    kernel_size:\n      - 3\n      - x\n{LINEAR}",
        "4:5 layers[0] Conv2d: kernel_size must be a whole number or a list of 2 whole numbers, not [3, 'x']",
    ),
    "a name alone": (
        f"layers:\n  - Foo\n{LINEAR}",
        "2:5 layers[0]: unknown layer type 'Foo'",
    ),
    "the name in a mapping": (
        f"layers:\n  - inplace: true\n    type: RELUU\n{LINEAR}",
        "3:5 layers[0]: unknown layer type 'RELUU'; did you mean 'ReLU'?",
    ),
    "an entry that is no layer": (
        f"layers:\n  - [ReLU]\n{LINEAR}",
        "2:5 layers[0] must be a layer type or a mapping with 'type', not ['ReLU']"
        "\n  hint: several layers in the place of one are written {type: Sequential, layers: [...]}",
    ),
    "a parameter that is missing": (
        f"layers:\n  - null\n  - {{type: Conv2d, out_channels: 4}}\n{LINEAR}",
        "3:5 layers[1] Conv2d: 'kernel_size' is missing (a whole number or a list of 2 whole numbers)",
    ),
    "a name that is no name": (
        "layers:\n  - Flatten\n  - {type: Linear, out_features: 10, name: a.b}\n",
        "3:38 layers[1] Linear: name must be a text without dots, not 'a.b'",
    ),
    "the list itself": ("a: 1\nlayers: []\n", "2:1 'layers' is empty: a network needs at least one layer"),
    "the list left empty": ("a: 1\nlayers:\n", "2:1 a model needs a list 'layers'"),
    "the list misspelt": ("a: 1\nlayer: [ReLU]\n", "2:1 a model needs a list 'layers'; is 'layer' meant to be it?"),
    "no list": ("a: 1\n", "1:1 a model needs a list 'layers'"),
    "an anchor that an alias repeats": (
        "base: &b {type: Linear, out_features: 0}\nlayers:\n  - Flatten\n  - *b\n",
        "1:25 layers[1] Linear: out_features must be at least 1, not 0",
    ),
    "a merged mapping": (
        "base: &b {type: Linear, out_features: 0}\nlayers:\n  - Flatten\n  - {<<: *b, bias: true}\n",
        "1:25 layers[1] Linear: out_features must be at least 1, not 0",
    ),
    "a variable": (
        f"padding: 1\nstride: 0\nlayers:\n{CONV}{LINEAR}",
        "2:1 layers[0] Conv2d: stride must be at least 1, not 0",
    ),
    "a variable used twice": (
        f"stride: 0\nlayers:\n{CONV}{CONV}{LINEAR}",
        "1:1 layers[0] Conv2d: stride must be at least 1, not 0 (also in layers[1] Conv2d)",
    ),
    "a variable of a variable": (
        f"a: ReLUU\nb: ${{model.a}}\nlayers:\n  - ${{model.b}}\n  - ${{model.a}}\n{LINEAR}",
        "1:1 layers[0]: unknown layer type 'ReLUU'; did you mean 'ReLU'? (also in layers[1])",
    ),
    "a key of a variable that is a mapping": (
        f"act: {{type: ReLU, inplaze: true}}\nlayers:\n  - ${{model.act}}\n  - ${{model.act}}\n{LINEAR}",
        "1:19 layers[0] ReLU: unknown parameter 'inplaze'; did you mean 'inplace'? (also in layers[1] ReLU)",
    ),
    "a variable that is no layer, used twice": (
        f"act: 3\nlayers:\n  - ${{model.act}}\n  - ${{model.act}}\n{LINEAR}",
        "1:1 layers[0] must be a layer type or a mapping with 'type', not 3 (also in layers[1])",
    ),
    "a variable inside a list": (
        f'k: 0\nlayers:\n  - {{type: Conv2d, out_channels: 4, kernel_size: ["${{model.k}}", 1]}}\n{LINEAR}',
        "3:37 layers[0] Conv2d: kernel_size must be at least 1, not [0, 1]",
    ),
}


@pytest.mark.parametrize(("text", "told"), MODELS.values(), ids=MODELS)
def test_a_problem_of_a_model_file(check: Check, text: str, told: str) -> None:
    assert check({MINE: text}, "model=mine") == f"error: {MINE}:{told}".splitlines()


def test_a_file_that_shadows_a_packaged_one(check: Check) -> None:
    told = check({"conf/model/tudui.yaml": "# mine\nlayers:\n  - Flaten\n"}, "model=tudui")

    assert told == ["error: conf/model/tudui.yaml:3:5 layers[0]: unknown layer type 'Flaten'; did you mean 'Flatten'?"]


def test_a_file_of_ones_own_that_builds_on_a_packaged_one(check: Check) -> None:
    told = check({MINE: "defaults: [net, _self_]\n\nstride: 0\n"}, "model=mine")

    assert told == [f"error: {MINE}:3:1 layers[0] Conv2d: stride must be at least 1, not 0 (also in layers[3] Conv2d)"]


def test_a_file_in_a_folder_of_the_command_line(check: Check) -> None:
    told = check({"more/model/mine.yaml": f"{SOUND}  - Foo\n"}, "model=mine", "--config-dir", "more")

    assert told == ["error: more/model/mine.yaml:4:5 layers[2]: unknown layer type 'Foo'"]


def test_an_experiment_that_replaces_the_layers(check: Check) -> None:
    layers = f"{HEAD}model:\n  layers:\n    - Flatten\n    - {{type: Linear, out_featurs: 10}}\n"

    assert check({EXPERIMENT: layers}, "experiment=mine") == [
        f"error: {EXPERIMENT}:5:22 layers[1] Linear: unknown parameter 'out_featurs'; did you mean 'out_features'?"
    ]


def test_an_experiment_that_changes_one_value_of_a_model(check: Check) -> None:
    told = check({EXPERIMENT: f"{HEAD}model:\n  stride: 0\n"}, "experiment=mine", "model=net")

    assert told == [
        f"error: {EXPERIMENT}:3:3 layers[0] Conv2d: stride must be at least 1, not 0 (also in layers[3] Conv2d)"
    ]


def test_the_later_of_two_experiments_changes_a_value_of_the_layers_of_the_first(check: Check) -> None:
    first = f"{HEAD}model:\n  layers:\n  {CONV}    - Flatten\n    - {{type: Linear, out_features: 10}}\n"
    files = {"conf/experiment/first.yaml": first, "conf/experiment/later.yaml": f"{HEAD}model: {{stride: 0}}\n"}

    assert check(files, "experiment=[first,later]") == [
        "error: conf/experiment/later.yaml:2:9 layers[0] Conv2d: stride must be at least 1, not 0"
    ]


def test_layers_of_the_first_experiment_when_the_later_one_leaves_them(check: Check) -> None:
    first = f"{HEAD}model:\n  layers: [Flaten]\n"
    files = {"conf/experiment/first.yaml": first, "conf/experiment/later.yaml": f"{HEAD}model: {{stride: 2}}\n"}

    assert check(files, "experiment=[first,later]") == [
        "error: conf/experiment/first.yaml:3:12 layers[0]: unknown layer type 'Flaten'; did you mean 'Flatten'?"
    ]


def test_a_shorter_list_hides_the_entries_of_the_longer_one(check: Check) -> None:
    told = check({EXPERIMENT: f"{HEAD}model:\n  layers: [Flatten]\n"}, "experiment=mine", "model=net")

    assert told == [
        f"error: {EXPERIMENT}:3:3 optimizer: the network has nothing to learn: no layer has parameters",
        f"error: {EXPERIMENT}:3:12 layers[0] Flatten: the network gives 3072 for each sample, but data 'digits'"
        " has 10 classes",
        "  hint: end in Flatten and a Linear with out_features 10; or set task=none to look at the network only",
    ]


OVERRIDES = {
    "a variable": (
        ("model.stride=0", "model=net"), "model.stride=0",
        "layers[0] Conv2d: stride must be at least 1, not 0 (also in layers[3] Conv2d)",
    ),
    "the later of two": (
        ("seed=1", "seed=x"), "seed=x", "seed must be a whole number, not 'x'",
    ),
    "a value of a list entry": (
        ("model.layers.0.stride=0",), "model.layers.0.stride=0", "layers[0] Conv2d: stride must be at least 1, not 0"
    ),
    "a list entry": (
        ("model.layers.9=Flaten",), "model.layers.9=Flaten",
        "layers[9]: unknown layer type 'Flaten'; did you mean 'Flatten'?",
    ),
    "a mapping in place of a text": (
        ("model.layers.9={type:Flatten,start:1}",), "model.layers.9={type:Flatten,start:1}",
        "layers[9] Flatten: unknown parameter 'start'; did you mean 'start_dim'?",
    ),
    "a mapping that is merged into a mapping": (
        ("model.layers.10={type:Linear,out_featurs:64}",), "model.layers.10={type:Linear,out_featurs:64}",
        "layers[10] Linear: unknown parameter 'out_featurs'; did you mean 'out_features'?",
    ),
    "a new value of a list entry": (
        ("+model.layers.10.name=a.b",), "+model.layers.10.name=a.b",
        "layers[10] Linear: name must be a text without dots, not 'a.b'",
    ),
    "a mapping as a variable": (
        ("model.activation={type:ReLU,inplaze:true}",), "model.activation={type:ReLU,inplaze:true}",
        "layers[1] ReLU: unknown parameter 'inplaze'; did you mean 'inplace'?"
        " (also in layers[4] ReLU, layers[7] ReLU)",
    ),
    "a text as a variable": (
        ("model.activation=relo",), "model.activation=relo",
        "layers[1]: unknown layer type 'relo'; did you mean 'ReLU'? (also in layers[4], layers[7])",
    ),
    "a number as a variable": (
        ("model.activation=3",), "model.activation=3",
        "layers[1] must be a layer type or a mapping with 'type', not 3 (also in layers[4], layers[7])",
    ),
    "the list of layers": (
        ("model.layers=[Flatten,Foo]",), "model.layers=[Flatten,Foo]", "layers[1]: unknown layer type 'Foo'"
    ),
    "null for the list of layers": (("model.layers=null",), "model.layers=null", "a model needs a list 'layers'"),
    "a window that does not fit": (
        ("model.layers.0.kernel_size=99",), "model.layers.0.kernel_size=99",
        "layers[0] Conv2d: its 99×99 window is larger than the 32×32 that arrives, 36×36 with its padding",
    ),
    "a key of a new mapping": (("+typo.x=1",), "+typo.x=1", "there is no key 'typo'"),
    "the type of a component": (
        ("optimizer.type=3",), "optimizer.type=3", "optimizer: 'type' must be a name, not 3"
    ),
    "a key that is deleted": (("~seed",), "~seed", "seed is missing"),
    "a group that is deleted": (("~logger",), "~logger", "the config has no 'logger'"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "override", "message"), OVERRIDES.values(), ids=OVERRIDES)
def test_a_value_of_the_command_line(check: Check, words: tuple[str, ...], override: str, message: str) -> None:
    told = check({}, *words)

    assert [line for line in told if line.startswith("error")] == [f"error: override '{override}': {message}"]


def test_an_override_beats_the_file(check: Check) -> None:
    files = {MINE: f"stride: 0\nlayers:\n{CONV}{LINEAR}"}

    assert check(files, "model=mine", "model.stride=-1") == [
        "error: override 'model.stride=-1': layers[0] Conv2d: stride must be at least 1, not -1"
    ]


def test_a_layer_that_a_variable_made_too_small_is_told_where_it_stands(check: Check) -> None:
    told = check({MINE: f"stride: 1\nlayers:\n{CONV}  - {{type: MaxPool2d, kernel_size: 8}}\n{LINEAR}"},
                 "model=mine", "model.stride=9")  # fmt: skip

    assert told == [
        f"error: {MINE}:4:23 layers[1] MaxPool2d: its 8×8 window is larger than the 4×4 that arrives",
        "  hint: the sizes on the way: 32×32 → 4×4 after layers[0] Conv2d",
    ]


def test_problems_stand_in_the_order_of_their_files(check: Check) -> None:
    files = {
        MINE: "layers:\n  - {type: Linear, out_features: 0, bias: 3}\n  - Foo\n",
        "conf/data/mine.yaml": "name: digits\nshape: [3, 32, 32]\nnum_classes: 10\nbatch_size: 0\nseed: 1\n",
    }

    assert check(files, "model=mine", "data=mine", "seed=x") == [
        "error: conf/data/mine.yaml:4:1 data.batch_size must be at least 1, not 0",
        "error: conf/data/mine.yaml:5:1 there is no key 'seed' in data",
        f"error: {MINE}:2:20 layers[0] Linear: out_features must be at least 1, not 0",
        f"error: {MINE}:2:37 layers[0] Linear: bias must be true or false, not 3",
        f"error: {MINE}:3:5 layers[1]: unknown layer type 'Foo'",
        "error: override 'seed=x': seed must be a whole number, not 'x'",
    ]


def test_keys_that_are_missing_are_located_in_the_file_that_should_have_them(check: Check) -> None:
    assert check({"conf/task/mine.yaml": "type: classification\nmode: max\nmetrics: {}\n"}, "task=mine") == [
        "error: conf/task/mine.yaml:1:1 task.monitor is missing"
    ]


def recorded(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["--cfg", "job", "--resolve"]) == 0
    return capsys.readouterr().out


def test_a_recorded_config(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    text = recorded(capsys).replace("kernel_size: 5", "kernel_size: 0", 1)
    line = text.splitlines().index("    kernel_size: 0") + 1

    assert check({"run/config.yaml": text}, "--from", "run/config.yaml") == [
        f"error: run/config.yaml:{line}:5 layers[0] Conv2d: kernel_size must be at least 1, not 0"
    ]


def test_an_override_of_a_recorded_config(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"run/config.yaml": recorded(capsys)}

    assert check(files, "--from", "run/config.yaml", "model.layers.0.stride=0") == [
        "error: override 'model.layers.0.stride=0': layers[0] Conv2d: stride must be at least 1, not 0"
    ]


def test_a_recorded_config_that_is_empty(check: Check) -> None:
    assert check({"run/config.yaml": "# nothing\n"}, "--from", "run/config.yaml") == [
        "error: run/config.yaml:1:1 a config must be a mapping"
    ]


def test_a_packaged_file_is_named_in_full(check: Check) -> None:
    told = check({}, "data.num_classes=12")

    assert told == [f"error: {PACKAGED}/data/digits.yaml:6:1 data.class_names has 10 names for 12 classes"]
