"""The verbs that explain and translate: layers, schema, code --from-python, check --against and --advice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

import cnnexp
from cnnexp.cli import main

NETS = """\
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5)
        self.fc = nn.Linear(6 * 14 * 14, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        return self.fc(torch.flatten(x, 1))


class Einsum(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return torch.einsum("ij,kj->ik", self.fc(x), self.fc.weight)


class Excite(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return x * torch.sigmoid(self.fc(x.mean([2, 3])))[:, :, None, None]


small = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
half = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
half[0].requires_grad_(False)
half[2].bias.requires_grad_(False)
number = 3


def broken():
    raise ValueError("out of paper")
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of networks in the working folder, under a name of its own."""
    monkeypatch.chdir(tmp_path)
    name = f"nets_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(NETS)
    return name


class TestLayers:
    def test_the_catalogue_lists_every_type(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["layers"]) == 0
        printed = capsys.readouterr().out.split()
        assert {"Conv2d", "Slice", "StochasticDepth", "Linear", "Softmax"} <= set(printed)

    def test_a_type_is_explained_for_an_input(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["layers", "conv2d", "--input", "3,32,32", "stride=2", "out_channels=4", "kernel_size=5"]) == 0
        printed = capsys.readouterr().out
        real = nn.Conv2d(3, 4, 5, stride=2)
        height = real(torch.zeros(1, 3, 32, 32)).shape[2]
        assert f"output         4×{height}×{height}" in printed
        assert f"parameters     {sum(p.numel() for p in real.parameters())}" in printed

    @pytest.mark.parametrize("value", ["1e-3", "1.0e-3", "0.001"])
    def test_a_number_is_read_as_in_a_config(self, value: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["layers", "BatchNorm2d", f"eps={value}"]) == 0
        assert "with eps=0.001" in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["Residual", "Parallel", "Repeat", "Unpool", "Sequential", "Permute", "mlp"])
    def test_composites_and_torchvisions_layers_are_explained(
        self, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["layers", name]) == 0
        assert "required" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["con2d"], "error: layers: unknown layer type 'con2d'; did you mean 'Conv2d'?"),
            (["conv2d", "stride=0"], "error: Conv2d: stride must be at least 1, not 0"),
            (["conv2d", "strid=2"], "error: Conv2d: unknown parameter 'strid'; did you mean 'stride'?"),
            (["conv2d", "stride"], "error: 'stride' is no parameter; one is written key=value"),
            (["conv2d", "stride=[1"], "error: 'stride=[1': the value is no YAML"),
            (
                ["conv2d", "--input", "3,x"],
                "error: --input must be sizes such as 3,32,32 (channels, height, width), not '3,x'",
            ),
            (
                ["conv2d", "--input", "0,8,8"],
                "error: --input must be sizes such as 3,32,32 (channels, height, width), not '0,8,8'",
            ),
            (
                ["FeaturePyramidNetwork"],
                "error: layers: FeaturePyramidNetwork cannot be used here: it takes several tensors at once, and a "
                "stack passes one tensor from layer to layer",
            ),
        ],
    )
    def test_a_mistake_is_one_line(self, words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["layers", *words]) == 2
        assert capsys.readouterr().err == f"{told}\n1 problem; nothing was run\n"


@pytest.mark.parametrize("option", [[], ["model"], ["blocks"]])
def test_the_schema_is_json(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", *option]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"] == "http://json-schema.org/draft-07/schema#"


class TestFromPython:
    def test_the_yaml_of_a_module_builds_the_same_network(
        self, nets: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["code", "--from-python", f"{nets}:Net"]) == 0
        printed = capsys.readouterr().out
        file = tmp_path / "net.yaml"
        file.write_text(printed)
        plan = cnnexp.plan(file, input_shape=(3, 32, 32))
        assert [layer.type for layer in plan.layers] == ["Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear"]
        assert plan.totals.parameters == 3 * 6 * 25 + 6 + 6 * 14 * 14 * 10 + 10

    def test_the_input_decides_where_it_is_given(self, nets: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["code", "--from-python", f"{nets}:small", "--input", "4"]) == 0
        assert yaml.safe_load(capsys.readouterr().out) == {
            "layers": [{"type": "Linear", "out_features": 8}, "ReLU", {"type": "Linear", "out_features": 2}]
        }

    def test_what_does_not_learn_is_frozen(self, nets: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["code", "--from-python", f"{nets}:half", "--input", "4"]) == 0
        model = yaml.safe_load(capsys.readouterr().out)
        built = cnnexp.plan(model, input_shape=(4,)).build()
        assert {name for name, p in built.named_parameters() if p.requires_grad} == {"2.weight"}

    def test_axes_that_an_index_adds_are_said(self, nets: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["code", "--from-python", f"{nets}:Excite", "--input", "3,8,8"]) == 0
        (join,) = yaml.safe_load(capsys.readouterr().out)["layers"]
        assert (join["type"], join["merge"]) == ("Parallel", "multiply")

    @pytest.mark.parametrize(
        ("what", "told"),
        [
            ("nets_nowhere:Net", "error: --from-python: there is no module 'nets_nowhere'"),
            ("{}:Nett", "error: --from-python: '{}' has no 'Nett'; did you mean 'Net'?"),
            ("{}", "error: --from-python must be module:object, such as torchvision.models:resnet18, not '{}'"),
            ("{}:number", "error: {}:number: it is no torch.nn.Module but of type int"),
            ("{}:broken", "error: --from-python: calling '{}:broken' failed: ValueError: out of paper"),
            ("{}:Einsum", "error: {}:Einsum: forward calls torch.einsum"),
        ],
    )
    def test_what_cannot_be_read_is_one_line(
        self, what: str, told: str, nets: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["code", "--from-python", what.format(nets), "--input", "4"]) == 2
        assert capsys.readouterr().err == f"{told.format(nets)}\n1 problem; nothing was run\n"


class TestAgainst:
    def test_what_two_networks_have_otherwise_is_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", "model=net", "--against", "tudui"]) == 0
        printed = capsys.readouterr().out
        one, other = (cnnexp.plan(name).totals for name in ("tudui", "net"))
        assert printed.startswith("tudui → net\n")
        assert f"{one.parameters:,} → {other.parameters:,}" in printed
        assert f"{one.multiply_adds:,} → {other.multiply_adds:,}" in printed

    def test_values_of_the_model_are_not_meant_for_the_other(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", "model.activation=relu", "--against", "tudui", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        added = [row["type"][1] for row in told["layers"] if row["type"][0] is None]
        assert added == ["ReLU"] * 3

    def test_an_override_can_be_the_other(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", "model.activation=relu", "--against", "model.activation=Tanh"]) == 0
        assert capsys.readouterr().out.count("Tanh → ReLU") == 3

    def test_the_same_network_is_the_same(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", "--against", "tudui"]) == 0
        assert "have the same layers" in capsys.readouterr().out

    def test_a_network_that_does_not_fit_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", "--against", "nett"]) == 2
        assert "did you mean 'net'?" in capsys.readouterr().err


class TestAdvice:
    def test_check_gives_advice_with_its_place_and_does_not_refuse(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        file = tmp_path / "conf" / "model" / "mine.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(
            "width: 4\n"
            "layers:\n"
            "  - {type: Conv2d, out_channels: 4, kernel_size: 3}\n"
            "  - BatchNorm2d\n"
            "  - Flatten\n"
            '  - {type: Linear, out_features: "${data.num_classes}"}\n'
        )
        assert main(["check", "model=mine"]) == 0
        told = capsys.readouterr().out.partition("\n\nadvice: ")[2]
        assert told.startswith(
            "conf/model/mine.yaml:1:1 [unused-variable] variable 'width': nothing refers to it, so changing it "
            "changes nothing\n"
            "  hint: take it out, or write ${model.width} where its value belongs\n"
            "advice: conf/model/mine.yaml:3:5 [bias-before-norm] layers[0] Conv2d: its bias is taken away again by "
            "layers[1] BatchNorm2d, which subtracts the mean of every channel\n"
            "  hint: set bias: false\n"
            "advice: conf/model/mine.yaml:6:5 [heavy-layer] layers[3] Linear: "
        )
        assert main(["check", "model=mine", "+model.no_advice=[bias-before-norm, unused_variable]", "--json"]) == 0
        assert [a["code"] for a in json.loads(capsys.readouterr().out)["advice"]] == ["heavy-layer"]

    def test_an_alias_of_yaml_is_a_use(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        file = tmp_path / "conf" / "model" / "mine.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(
            "size: &size 3\nlayers:\n  - {type: Conv2d, out_channels: 4, kernel_size: *size, bias: false}\n  - ReLU\n"
        )
        assert main(["check", "model=mine", "task=none"]) == 0
        assert "unused-variable" not in capsys.readouterr().out

    def test_the_list_names_every_code(self, capsys: pytest.CaptureFixture[str]) -> None:
        from cnnexp.architecture.advice import RULES

        assert main(["check", "--advice"]) == 0
        assert set(RULES) <= set(capsys.readouterr().out.splitlines())

    def test_a_code_that_there_is_not_is_a_problem(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", "+model.no_advice=[onelayr]"]) == 2
        assert capsys.readouterr().err == (
            "error: override '+model.no_advice=[onelayr]': no_advice[0]: there is no advice 'onelayr'; did you mean "
            "'one-layer'?\n1 problem; nothing was run\n"
        )

    def test_a_plan_gives_advice_too(self) -> None:
        plan = cnnexp.plan("tudui")
        assert [a.code for a in plan.advice] == ["one-layer"]
