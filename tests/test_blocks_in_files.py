"""Blocks in files, shared files, experiments and overrides: every problem at the line that it was written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

import cnnexp
from cnnexp.cli import main

pytestmark = pytest.mark.slow

Check = Callable[..., list[str]]
MINE = "conf/model/mine.yaml"
END = "  - Flatten\n  - {type: Linear, out_features: 10}\n"
BLOCKS = """\
blocks:
  conv:
    params: {out: "???", size: 3, act: ReLU}
    layers:
      - {type: Conv2d, out_channels: $out, kernel_size: $size}
      - $act
layers:
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """The lines of what `cnnexp check` says to these files and overrides, without the count."""
    monkeypatch.chdir(tmp_path)

    def run(files: Mapping[str, str], *words: str) -> list[str]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        code = main(["check", *words])
        lines = capsys.readouterr().err.splitlines()
        assert code == (2 if lines else 0)
        return lines[:-1]

    return run


# fmt: off
PLACES = {
    "a missing parameter": ("  - conv\n", ["8:5 layers[0] conv: 'out' is missing"]),
    "an unknown parameter": ("  - {type: conv, out: 4, sizes: 3}\n",
        ["8:26 layers[0] conv: unknown parameter 'sizes'; did you mean 'size'?"]),
    "a value of a use": ("  - {type: conv, out: 4, size: 0}\n",
        ["8:26 layers[0] conv › layers[0] Conv2d: kernel_size must be at least 1, not 0"]),
    "a layer that a use gives": ("  - {type: conv, out: 4, act: {type: ReLU, inplaze: true}}\n",
        ["8:44 layers[0] conv › layers[1] ReLU: unknown parameter 'inplaze'; did you mean 'inplace'?"]),
    "a window that does not fit": ("  - {type: conv, out: 4}\n  - {type: conv, out: 4, size: 99}\n",
        ["9:26 layers[1] conv › layers[0] Conv2d: its 99×99 window is larger than the 30×30 that arrives",
         "  hint: the sizes on the way: 32×32 → 30×30 after layers[0] conv"]),
}
# fmt: on


@pytest.mark.parametrize(("text", "lines"), PLACES.values(), ids=PLACES)
def test_the_place_of_a_problem_with_a_use(check: Check, text: str, lines: list[str]) -> None:
    first, *more = lines
    assert check({MINE: f"{BLOCKS}{text}{END}"}, "model=mine") == [f"error: {MINE}:{first}", *more]


@pytest.mark.parametrize(
    ("mistake", "place", "message"),
    [
        ("act: RELUU}", "3:35", "layers[1]: unknown layer type 'RELUU'; did you mean 'ReLU'?"),
        ("kernel_size: 0}", "5:44", "layers[0] Conv2d: kernel_size must be at least 1, not 0"),
    ],
)
def test_a_mistake_in_a_block_is_told_once_for_all_its_uses(
    check: Check, mistake: str, place: str, message: str
) -> None:
    written = {"act: RELUU}": "act: ReLU}", "kernel_size: 0}": "kernel_size: $size}"}[mistake]
    uses = "  - {type: conv, out: 4}\n" * 5
    (line,) = check({MINE: f"{BLOCKS.replace(written, mistake)}{uses}{END}"}, "model=mine")
    others = "layers[1] conv, layers[2] conv, layers[3] conv and 1 more"
    assert line == f"error: {MINE}:{place} layers[0] conv › {message} (also in {others})"


SHARED = "conf/model/blocks/shared.yaml"


def shared() -> str:
    return "\n".join(line[2:] for line in BLOCKS.splitlines()[1:-1]) + "\n"


def test_a_shared_file_of_blocks_is_used_and_is_told_where_it_is_wrong(check: Check) -> None:
    mine = f"defaults: [blocks: shared]\nlayers:\n  - {{type: conv, out: 4}}\n{END}"
    assert check({SHARED: shared(), MINE: mine}, "model=mine") == []
    wrong = shared().replace("$size}", "0}")
    assert check({SHARED: wrong, MINE: mine}, "model=mine") == [
        f"error: {SHARED}:4:42 layers[0] conv › layers[0] Conv2d: kernel_size must be at least 1, not 0"
    ]


def test_a_model_may_change_a_default_of_a_shared_block(check: Check) -> None:
    text = "defaults: [blocks: shared, _self_]\nblocks: {conv: {params: {size: 0}}}\nlayers: [{type: conv, out: 4}]\n"
    (line, *_) = check({SHARED: shared(), MINE: text}, "model=mine")
    assert line == f"error: {MINE}:2:26 layers[0] conv › layers[0] Conv2d: kernel_size must be at least 1, not 0"


@pytest.mark.parametrize(
    "word",
    ["model.blocks.conv.params.size=0", "model.blocks.conv.layers.0.kernel_size=0", "model.layers.0.size=0"],
)
def test_a_value_of_the_command_line(check: Check, word: str) -> None:
    text = f"{BLOCKS}  - {{type: conv, out: 4, size: 3}}\n{END}" if "layers.0.s" in word else None
    text = text or f"{BLOCKS}  - {{type: conv, out: 4}}\n{END}"
    assert check({MINE: text}, "model=mine", word) == [
        f"error: override '{word}': layers[0] conv › layers[0] Conv2d: kernel_size must be at least 1, not 0"
    ]


def test_an_experiment_changes_a_block(check: Check) -> None:
    files = {
        MINE: f"{BLOCKS}  - {{type: conv, out: 4}}\n{END}",
        "conf/experiment/mine.yaml": "# @package _global_\nmodel:\n  blocks: {conv: {params: {size: 0}}}\n",
    }
    assert check(files, "experiment=mine", "model=mine") == [
        "error: conf/experiment/mine.yaml:3:28 layers[0] conv › layers[0] Conv2d: kernel_size must be at least 1, not 0"
    ]


def test_a_variable_that_reaches_a_layer_through_a_block_lies_where_it_is_set(check: Check) -> None:
    text = f'width: 0\n{BLOCKS}  - {{type: conv, out: "${{model.width}}"}}\n{END}'
    assert check({MINE: text}, "model=mine") == [
        f"error: {MINE}:1:1 layers[0] conv › layers[0] Conv2d: out_channels must be at least 1, not 0"
    ]


def test_question_marks_of_a_block_are_no_missing_values_but_others_are(check: Check) -> None:
    assert check({MINE: f"{BLOCKS}  - {{type: conv, out: 4}}\n{END}"}, "model=mine") == []
    (line, *_) = check({MINE: f'{BLOCKS}  - {{type: conv, out: "???"}}\n{END}'}, "model=mine")
    assert line.startswith(f"error: {MINE}:8:18 ")


def test_a_recorded_config_holds_the_blocks(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert check({MINE: f"{BLOCKS}  - {{type: conv, out: 4}}\n{END}"}, "model=mine") == []
    assert main(["--cfg", "job", "--resolve", "model=mine"]) == 0
    text = capsys.readouterr().out
    assert check({"run/config.yaml": text}, "--from", "run/config.yaml") == []
    line = text.splitlines().index("        size: 3") + 1
    assert check(
        {"run/config.yaml": text.replace("        size: 3", "        size: 0")}, "--from", "run/config.yaml"
    ) == [f"error: run/config.yaml:{line}:9 layers[0] conv › layers[0] Conv2d: kernel_size must be at least 1, not 0"]


def test_a_trained_network_with_blocks_is_found_again(check: Check, tmp_path: Path) -> None:
    assert check({MINE: f"{BLOCKS}  - {{type: conv, out: 4}}\n{END}"}, "model=mine") == []
    run = cnnexp.train(["model=mine", "trainer=smoke"])
    model = run.load_model()
    assert list(model.state_dict()) == ["0.0.weight", "0.0.bias", "2.weight", "2.bias"]
    assert main(["check", "--from", str(run.path / "config.yaml")]) == 0
    assert main(["--from", str(run.path / "config.yaml")]) == 0
    first, second = (r.load_model().state_dict() for r in cnnexp.runs(tmp_path / "outputs"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_misspelt_key_whose_value_came_through_a_name_is_told_once_at_the_key(check: Check) -> None:
    body = BLOCKS.replace("kernel_size: $size", "kernal_size: $size")
    uses = "  - {type: conv, out: 4, size: 3}\n  - {type: conv, out: 4, size: 5}\n"
    assert check({MINE: f"{body}{uses}{END}"}, "model=mine") == [
        f"error: {MINE}:5:44 layers[0] conv › layers[0] Conv2d: unknown parameter 'kernal_size'; did you mean "
        "'kernel_size'? (also in layers[1] conv)"
    ]
