"""A user's own layers: declared by a decorator, named by a config, checked like torch's own."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import cnnexp
from cnnexp.architecture import catalog
from cnnexp.cli import main

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
USE = ["model=squeeze", "extensions=[squeeze_layers]"]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test declares and imports is gone after it."""
    monkeypatch.setattr(catalog, "_declared", {})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name in ("squeeze_layers", "broken_layers", "mine") or name.startswith("pack"):
            del sys.modules[name]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(EXAMPLES, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_the_example_fits_and_infers(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *USE]) == 0
    printed = capsys.readouterr().out
    assert "SqueezeExcite(32)" in printed
    own = sys.modules["squeeze_layers"].SqueezeExcite(32)
    (row,) = [line for line in printed.splitlines() if "SqueezeExcite" in line]
    assert f" {sum(p.numel() for p in own.parameters()):,} " in row


def test_the_source_imports_the_layer(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["code", *USE]) == 0
    source = capsys.readouterr().out
    assert "from squeeze_layers import SqueezeExcite\n" in source
    scope: dict[str, Any] = {}
    exec(source, scope)  # the printed source is what is under test
    assert scope["model"](torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.slow
def test_the_example_trains_and_its_run_loads(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])  # as the installed command finds it
    run = cnnexp.train([*USE, "trainer=smoke"])
    assert run.config["extensions"] == ["squeeze_layers"]
    assert type(run.load_model("last")[3]).__name__ == "SqueezeExcite"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["model.reduction=0"],
            "error: override 'model.reduction=0': layers[3] SqueezeExcite: reduction must be at least 1, not 0",
        ),
        (
            ["model.layers.3={type: squeeze_excite, channels: 7}"],
            "error: override 'model.layers.3={type: squeeze_excite, channels: 7}': layers[3] SqueezeExcite: channels "
            "(=7) must be 32, the size arriving from layers[2] ReLU (32×32×32)\n"
            "  hint: leave channels out to have it inferred",
        ),
        (
            ["model.layers.3.reducton=2"],
            "error: there is no key",
        ),
        (
            ["+model.layers.3.reducton=2"],
            "error: override '+model.layers.3.reducton=2': layers[3] SqueezeExcite: unknown parameter 'reducton'; "
            "did you mean 'reduction'?",
        ),
        (
            ["model.layers.3.type=SqueezeExcit"],
            "error: override 'model.layers.3.type=SqueezeExcit': layers[3]: unknown layer type 'SqueezeExcit'; "
            "did you mean 'SqueezeExcite'?",
        ),
    ],
)
def test_its_mistakes_are_told_like_those_of_torchs_layers(
    words: list[str], told: str, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *USE, *words]) == 2
    assert told.replace("error: there is no key", "reducton") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            "[nowhere]",
            "error: override 'extensions=[nowhere]': extensions: there is no module 'nowhere'\n"
            "  hint: it must lie in the working folder or be installed\n",
        ),
        (
            "[broken_layers]",
            "error: override 'extensions=[broken_layers]': extensions: importing 'broken_layers' failed: "
            "ValueError: out of paper\n",
        ),
        (
            "[script_layers]",
            "error: override 'extensions=[script_layers]': extensions: importing 'script_layers' failed: "
            "it calls sys.exit(0)\n  hint: put what is a script behind: if __name__ == '__main__':\n",
        ),
        (
            "['os; rm']",
            "error: override 'extensions=['os; rm']': extensions: 'os; rm' is not the name of a Python module\n"
            "  hint: write it as in an import: my_package.layers\n",
        ),
        (
            "squeeze_layers",
            "error: override 'extensions=squeeze_layers': extensions must be a list of texts, not 'squeeze_layers'\n",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(
    value: str, told: str, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (example / "broken_layers.py").write_text("raise ValueError('out of paper')\n")
    (example / "script_layers.py").write_text("import sys\nsys.exit(0)\n")
    assert main(["check", "model=squeeze", f"extensions={value}"]) == 2
    assert capsys.readouterr().err == f"{told}1 problem; nothing was run\n"


def test_what_a_module_prints_is_no_part_of_the_json(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example / "loud_layers.py").write_text("print('hello')\n")
    assert main(["check", "--json", "model=mlp", "extensions=[loud_layers]"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)
    assert told.err == "hello\n"


def test_a_strangers_file_imports_nothing(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = example / "conf" / "experiment" / "theirs.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\nextensions: [squeeze_layers]\n")
    assert main(["check", "model=tudui", "experiment=theirs", "--untrusted"]) == 2
    assert capsys.readouterr().err == (
        "error: conf/experiment/theirs.yaml:2:1 extensions imports Python modules, which --untrusted does not allow\n"
        "  hint: set it on the command line to say that you want it\n1 problem; nothing was run\n"
    )
    assert "squeeze_layers" not in sys.modules


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


def test_a_class_declared_in_python_is_known_at_once() -> None:
    assert cnnexp.layer(Doubled) is Doubled
    model = cnnexp.plan({"layers": ["doubled"]}, input_shape=(3, 4)).build()
    assert torch.equal(model(torch.ones(2, 3, 4)), torch.full((2, 3, 4), 2.0))
    cnnexp.layer(Doubled)  # as a reloaded module does


@pytest.mark.parametrize(
    ("declare", "error", "said"),
    [
        (lambda: cnnexp.layer(int), TypeError, "@cnnexp.layer wants a subclass of torch.nn.Module, not <class 'int'>"),
        (
            lambda: cnnexp.layer(Two),
            TypeError,
            "Two cannot be a layer: it takes 2 inputs (x, y), and a stack passes one tensor from layer to layer",
        ),
        (lambda: cnnexp.layer(infer={"width": 0})(Doubled), TypeError, "Doubled has no parameter 'width'; it has none"),
        (
            lambda: cnnexp.layer(type("ReLU", (Doubled,), {})),
            ValueError,
            "the name ReLU is taken by another layer type",
        ),
        (
            lambda: cnnexp.layer(type("Residual", (Doubled,), {})),
            ValueError,
            "the name Residual is taken by another layer type",
        ),
    ],
)
def test_what_cannot_be_a_layer_is_said_where_it_is_declared(declare: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        declare()
    assert str(raised.value) == said


class TestTorchvision:
    @pytest.mark.parametrize(
        ("entry", "shape", "after"),
        [
            ({"type": "StochasticDepth", "p": 0.2, "mode": "row"}, (3, 4, 4), (3, 4, 4)),
            ({"type": "permute", "dims": [0, 2, 3, 1]}, (3, 4, 5), (4, 5, 3)),
            ({"type": "SqueezeExcitation", "squeeze_channels": 2}, (8, 4, 4), (8, 4, 4)),
            ({"type": "FrozenBatchNorm2d"}, (3, 4, 4), (3, 4, 4)),
            ({"type": "DropBlock2d", "p": 0.1, "block_size": 3}, (3, 4, 4), (3, 4, 4)),
            ({"type": "Conv2dNormActivation", "out_channels": 6, "stride": 2}, (3, 8, 8), (6, 4, 4)),
            ({"type": "MLP", "hidden_channels": [8, 4]}, (3, 6), (3, 4)),
        ],
    )
    def test_its_layers_stand_in_a_stack(
        self, entry: dict[str, Any], shape: tuple[int, ...], after: tuple[int, ...]
    ) -> None:
        plan = cnnexp.plan({"layers": [entry]}, input_shape=shape)
        assert plan.output_shape == after
        model = plan.build(0)
        assert model(torch.randn(2, *shape)).shape == (2, *after)
        scope: dict[str, Any] = {}
        torch.manual_seed(0)
        exec(plan.source(), scope)
        assert repr(scope["model"]) == repr(model)
        again = plan.build(0).state_dict()
        assert all(torch.equal(value, again[key]) for key, value in scope["model"].state_dict().items())

    @pytest.mark.parametrize(
        ("entry", "told"),
        [
            (
                {"type": "Permute", "dims": [1, 0, 2]},
                "error: layers[0] Permute: dims must begin with 0, the batch, not be [1, 0, 2]\n"
                "  hint: count the sample's dimensions from 1",
            ),
            (
                {"type": "DeformConv2d", "out_channels": 2, "kernel_size": 3},
                "error: layers[0]: DeformConv2d cannot be used here: it takes 2 inputs (input, offset), and a stack "
                "passes one tensor from layer to layer",
            ),
            (
                {"type": "StochasticDept", "p": 0.1},
                "error: layers[0]: unknown layer type 'StochasticDept'; did you mean 'StochasticDepth'?",
            ),
            (
                {"type": "SqueezeExcitation", "input_channels": 4, "squeeze_channels": 2},
                "error: layers[0] SqueezeExcitation: input_channels (=4) must be 3, the size arriving from the input "
                "(3×4×4)\n  hint: leave input_channels out to have it inferred",
            ),
        ],
    )
    def test_their_mistakes_are_told(self, entry: dict[str, Any], told: str) -> None:
        with pytest.raises(cnnexp.ConfigError) as raised:
            cnnexp.plan({"layers": [entry]}, input_shape=(3, 4, 4))
        assert str(raised.value) == f"{told}\n1 problem; nothing was run"


@pytest.mark.parametrize("where", ["/somewhere/a.ckpt", "../a.ckpt", "~/a.safetensors"])
def test_a_strangers_file_loads_no_weights_from_elsewhere(
    where: str, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = example / "conf" / "model" / "theirs.yaml"
    file.write_text(f"layers:\n  - Flatten\n  - {{type: Linear, out_features: 10}}\ninit:\n  - {{from: {where}}}\n")
    assert main(["check", "model=theirs", "--untrusted"]) == 2
    assert capsys.readouterr().err.startswith(
        f"error: conf/model/theirs.yaml:5:6 model.init[0].from (='{where}') leads outside the folder, which "
        "--untrusted does not allow\n"
    )
