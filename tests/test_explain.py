"""What is said about layer types: held to torch itself, to sizes worked out by hand, and to pictures checked by eye."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from cnnexp.architecture import explain as room
from cnnexp.architecture.catalog import LAYERS, wide
from cnnexp.architecture.composites import COMPOSITES
from cnnexp.architecture.explain import catalogue, example_input, explain, formulas, meaning, summary, window
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.planning import make_plan
from cnnexp.components import Component
from tests.layer_table import EVERY_ROW, Row, by_hand

SIGNS = str.maketrans({"⌊": "math.floor(", "⌋": ")", "⌈": "math.ceil(", "⌉": ")", "·": "*", "−": "-"})


def text_of(name: str, shape: tuple[int, ...] | None, **params: Any) -> str:
    text, problems = explain(LAYERS.entries[name], params, shape)
    assert problems == []
    return text


def section(text: str, start: str) -> str:
    """The paragraph of a text that begins with these words."""
    (found,) = [part for part in text.split("\n\n") if part.startswith(start)]
    return found


def values_of(row: Row) -> dict[str, Any]:
    """All parameters of a row, with those that follow from its input."""
    stack, _ = parse({"layers": [{"type": row.type, **row.params}]})
    plan, problems = make_plan(stack, row.input_shape, row.dtype)
    assert problems == []
    defaults = {name: p.default for name, p in LAYERS.entries[row.type].parameters.items()}
    return defaults | dict(plan.layers[0].params)


class TestKnowledge:
    @pytest.mark.parametrize("name", [*wide().entries, *COMPOSITES.entries])
    def test_every_type_and_every_parameter_has_its_words(self, name: str) -> None:
        component = wide().find(name) or COMPOSITES.entries[name]
        assert re.fullmatch(r"[A-Z].*[^.]\.", summary(name))
        assert "{" not in summary(name)
        assert [p for p in component.parameters if not meaning(name, p)] == []

    def test_the_dimensions_have_their_own_words(self) -> None:
        for n, field in ((1, "a sequence"), (2, "an image"), (3, "a volume")):
            assert summary(f"ReflectionPad{n}d") == f"Puts a border around {field} in which it is mirrored at its edge."

    def test_the_same_parameter_means_what_it_means_there(self) -> None:
        assert meaning("Conv2d", "stride") == "pixels between the starts of two neighbouring windows"
        assert meaning("ConvTranspose2d", "padding") == "pixels cut off at either end of what the windows fill"
        assert meaning("GLU", "dim") == "the dimension that is halved, counted with the batch, which is 0"

    def test_what_is_not_known_has_no_words(self) -> None:
        assert (summary("Telescope"), meaning("Conv2d", "colour"), formulas.formula("Telescope")) == ("", "", None)
        assert not formulas.keeps_shape("Telescope")

    @pytest.mark.parametrize("name", LAYERS.entries)
    def test_every_layer_type_has_a_formula_or_keeps_the_shape(self, name: str) -> None:
        assert (formulas.formula(name) is not None) != formulas.keeps_shape(name)


class TestFormulas:
    @EVERY_ROW
    def test_the_filled_in_formula_gives_the_shape_of_the_plan(self, row: Row) -> None:
        formula = formulas.formula(row.type)
        if formula is None:
            assert row.output_shape == row.input_shape
            return
        lines = formula.lines(values_of(row), row.input_shape)
        assert tuple(line.value for line in lines if not line.inner) == row.output_shape
        for line in lines:
            assert eval(line.text.translate(SIGNS), {"math": math}) == line.value, line.text
        assert all(formula.words(values_of(row)))

    @settings(deadline=None)
    @given(st.fixed_dictionaries({name: st.integers(1, 5) for name in ("kernel_size", "stride", "dilation")}),
           st.integers(0, 2), st.integers(1, 20), st.booleans())  # fmt: skip
    def test_windows_are_counted_as_torch_does(self, drawn: dict[str, int], pad: int, size: int, ceil: bool) -> None:
        params = {**drawn, "padding": pad, "ceil_mode": ceil}
        assume(drawn["kernel_size"] >= 2 * pad and size > drawn["dilation"] * (drawn["kernel_size"] - 1))
        row = Row("MaxPool1d", params, (1, size), ())
        lines = formulas.formula("MaxPool1d").lines(values_of(row), (1, size))  # type: ignore[union-attr]
        assert lines[1].value == nn.MaxPool1d(**params)(torch.zeros(1, 1, size)).shape[-1]

    def test_a_batch_that_is_flattened_or_split_by_itself_leaves_the_shape(self) -> None:
        flat = Row("Flatten", {"start_dim": 0, "end_dim": 0}, (3, 4), (3, 4))
        split = Row("Unflatten", {"dim": 0, "unflattened_size": [-1, 1]}, (3, 4), (1, 3, 4))
        for row in (flat, split):
            self.test_the_filled_in_formula_gives_the_shape_of_the_plan(row)


def walk_of(name: str, size: int, **params: Any) -> tuple[window.Walk, torch.Tensor]:
    """The walk along a sequence, and what torch's layer of ones makes of every pixel alone: pixels × outputs."""
    arguments = {"in_channels": 1, "out_channels": 1, "bias": False} if name.startswith("Conv") else {}
    layer = getattr(nn, name)(**arguments, **params)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.fill_(1)
        outputs = layer(torch.eye(size)[:, None])[:, 0]
    values = {k: p.default for k, p in LAYERS.entries[name].parameters.items()} | params
    (walk,) = window.walks(name, values, (1, size), (outputs.shape[1],))
    return walk, outputs


def counted(walk: window.Walk, size: int) -> torch.Tensor:
    """How often each pixel stands in each window: pixels × windows."""
    found = torch.zeros(size, len(walk.windows))
    for index, places in enumerate(walk.windows):
        for source in map(walk.source, places):
            if source is not None:
                found[source, index] += 1
    return found


NUMBERS = {"size": st.integers(1, 12), "kernel_size": st.integers(1, 4), "stride": st.integers(1, 5)}
DILATED = NUMBERS | {"dilation": st.integers(1, 3)}
MODES = st.sampled_from(["zeros", "reflect", "replicate", "circular"])
PADDINGS = st.integers(0, 3) | st.sampled_from(["same", "valid"])


class TestWalks:
    @settings(deadline=None)
    @given(st.fixed_dictionaries(DILATED | {"padding": PADDINGS, "padding_mode": MODES}))
    @pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
    def test_a_convolution_sees_the_pixels_that_its_windows_stand_on(self, drawn: dict[str, Any]) -> None:
        size, padding, reach = drawn["size"], drawn["padding"], drawn["dilation"] * (drawn["kernel_size"] - 1)
        if padding == "same":
            drawn["stride"] = 1
        outside = {"same": (reach + 1) // 2, "valid": 0}.get(padding, padding)
        assume(size > outside and size + (reach if padding == "same" else 2 * outside) > reach)
        walk, seen = walk_of("Conv1d", **drawn)
        assert torch.equal(counted(walk, size), seen)
        assert walk.missing() == [i for i in range(size) if not seen[i].any()]

    @settings(deadline=None)
    @given(st.sampled_from(["MaxPool1d", "AvgPool1d"]), st.fixed_dictionaries(NUMBERS | {"ceil_mode": st.booleans()}))
    def test_a_pool_sees_the_pixels_that_its_windows_stand_on(self, name: str, drawn: dict[str, Any]) -> None:
        assume(drawn["size"] >= drawn["kernel_size"])
        for padding in range(drawn["kernel_size"] // 2 + 1):
            walk, seen = walk_of(name, padding=padding, **drawn)
            assert torch.equal(counted(walk, drawn["size"]) > 0, seen > 0)

    @settings(deadline=None)
    @given(st.integers(1, 12), st.integers(1, 8))
    def test_an_adaptive_pool_sees_the_pixels_of_its_windows(self, size: int, count: int) -> None:
        walk, seen = walk_of("AdaptiveAvgPool1d", size, output_size=count)
        assert torch.equal(counted(walk, size) > 0, seen > 0)

    @settings(deadline=None)
    @given(st.fixed_dictionaries(DILATED | {"padding": st.integers(0, 2), "output_padding": st.integers(0, 2)}))
    def test_a_transposed_convolution_spreads_inputs_to_where_they_are_drawn(self, drawn: dict[str, Any]) -> None:
        assume(drawn["output_padding"] < max(drawn["stride"], drawn["dilation"]))
        full = (drawn["size"] - 1) * drawn["stride"] + drawn["dilation"] * (drawn["kernel_size"] - 1) + 1
        assume(full + drawn["output_padding"] > 2 * drawn["padding"])
        walk, reached = walk_of("ConvTranspose1d", **drawn)
        assert torch.equal(counted(walk, reached.shape[1]), reached.T)
        assert walk.missing() == [i for i in range(reached.shape[1]) if not reached[:, i].any()]

    @pytest.mark.parametrize("kind", ["Reflection", "Replication", "Circular", "Zero"])
    @pytest.mark.parametrize("padding", [[2, 1], [0, 3], [-1, 2], [1, -2]])
    def test_a_border_holds_what_torch_puts_there(self, kind: str, padding: list[int]) -> None:
        padding = [abs(p) for p in padding] if kind == "Circular" else padding  # torch crops no circle
        row = getattr(nn, f"{kind}Pad1d")(tuple(padding))(torch.arange(5.0)[None, None])[0, 0]
        (walk,) = window.walks(f"{kind}Pad1d", {"padding": padding}, (1, 5), (len(row),))
        labels = [walk.label(position) for position in range(-padding[0], 5 + padding[1])]
        assert [float(label.lstrip("x")) for label in labels] == row.tolist()

    def test_the_windows_of_other_dimensions_and_types(self) -> None:
        values = {"padding": [1, 2, 0, 3]}  # left, right, top, bottom
        found = window.walks("ZeroPad2d", values, (2, 4, 5), (7, 8))
        assert [walk.outside for walk in found] == [(0, 3), (1, 2)]
        assert window.walks("FractionalMaxPool2d", {"kernel_size": 2, "output_size": 3}, (1, 6, 6), (3, 3)) == ()
        assert window.walks("AdaptiveAvgPool1d", {"output_size": 1}, (1, 10_001), (1,)) == ()
        assert window.walks("ZeroPad1d", {"padding": 10**12}, (1, 5), (5 + 2 * 10**12,)) == ()

    @settings(deadline=None)
    @given(st.fixed_dictionaries(NUMBERS | {"size": st.integers(1, 300)}), st.integers(0, 9), st.integers(40, 120))
    def test_a_picture_is_never_wider_than_asked(self, drawn: dict[str, int], before: int, width: int) -> None:
        size, kernel, stride = drawn["size"], drawn["kernel_size"] ** 3, drawn["stride"] ** 2
        count = max(1, (size + 2 * before - kernel) // stride + 1)
        places = tuple(range(i * stride - before, i * stride - before + kernel) for i in range(count))
        lines = window.picture(window.Walk(size, places, (before, before), "0"), width).splitlines()
        rows = [line for line in lines if not line.startswith("No window")]
        assert max(map(len, rows)) <= width
        assert {line.count("■") for line in rows if line.startswith("out") and "│" in line} <= {kernel}


# An input's shape, a layer and the paragraph with its picture.
PICTURES = """\
1,32 {type: Conv1d, out_channels: 1, kernel_size: 3, stride: 2, padding: 1}
The windows along length
          0   │ x0  x1  x2  x3  x4  x5  … x29 x30 x31 │ 0
  out 0   ■   │ ■   ■                                 │
  out 1       │     ■   ■   ■                         │
  out 2       │             ■   ■   ■                 │
       ⋮
  out 15      │                           ■   ■   ■   │
  Beyond the bars stand zeros.

1,6 {type: Conv1d, out_channels: 1, kernel_size: 3, dilation: 2, padding: 2, padding_mode: reflect}
The windows along length
         x2 x1 │ x0 x1 x2 x3 x4 x5 │ x4 x3
  out 0  ■  ·  │ ■  ·  ■           │
  out 1     ■  │ ·  ■  ·  ■        │
  out 2        │ ■  ·  ■  ·  ■     │
  out 3        │    ■  ·  ■  ·  ■  │
  out 4        │       ■  ·  ■  ·  │ ■
  out 5        │          ■  ·  ■  │ ·  ■
  Beyond the bars the pixels are mirrored at the edge pixel.
  · is passed over by dilation.

2,9,9 {type: MaxPool2d, kernel_size: 3, stride: 3, padding: 1}
The windows along height and width
         −∞ │ x0 x1 x2 x3 x4 x5 x6 x7 x8 │ −∞
  out 0  ■  │ ■  ■                       │
  out 1     │       ■  ■  ■              │
  out 2     │                ■  ■  ■     │
  Beyond the bars stands −∞, which is never the largest.
  No window covers x8.

1,6,7 {type: MaxPool2d, kernel_size: 3, stride: 2, ceil_mode: true}
The windows along height
         │ x0 x1 x2 x3 x4 x5 │ –
  out 0  │ ■  ■  ■           │
  out 1  │       ■  ■  ■     │
  out 2  │             ■  ■  │ ■
  The last window reaches beyond the end and is cut there.

3,224,224 {type: Conv2d, out_channels: 64, kernel_size: 7, stride: 2, padding: 3}
The windows along height and width
           0 0 0 │ x0  x2  x4  x6  … x219 x223 │ 0 0 0
  out 0    ■ ■ ■ │ ■ ■ ■ ■                     │
  out 1        ■ │ ■ ■ ■ ■ ■ ■                 │
  out 2          │   ■ ■ ■ ■ ■ ■ ■             │
        ⋮
  out 111        │                   ■ ■ ■ ■ ■ │ ■ ■
  Beyond the bars stand zeros.

3,224,224 {type: Conv2d, out_channels: 1, kernel_size: 41, padding: 20}
The windows along height and width
  out 0    0 … x20
  out 1    0 … x21
  out 223  x203 … 0
  Beyond the bars stand zeros.

1,4 {type: ConvTranspose1d, out_channels: 1, kernel_size: 1, stride: 2, padding: 1, output_padding: 1}
How inputs x spread over outputs y along length
      –  │ y0 y1 y2 y3 y4 y5 │
  x0  ■  │                   │
  x1     │    ■              │
  x2     │          ■        │
  x3     │                ■  │
  What falls beyond the bars is cut off.
  No input reaches y0, y2, y4.

1,5 {type: ConstantPad1d, padding: [-1, 2], value: -0.5}
The border along length
  x1   x2   x3   x4   │ −0.5 −0.5
  Beyond the bars stands −0.5."""


@pytest.mark.parametrize("case", PICTURES.split("\n\n"))
def test_a_picture(case: str) -> None:
    first, picture = case.split("\n", 1)
    shape, entry = first.split(" ", 1)
    params = yaml.safe_load(entry)
    text = text_of(params.pop("type"), tuple(map(int, shape.split(","))), **params)
    assert section(text, picture.splitlines()[0]) == picture


class TestExplaining:
    def test_a_layer_without_parameters_in_full(self) -> None:
        words = "Tanh: squeezes values between −1 and 1 with the hyperbolic tangent.\n\nIt takes no parameters."
        numbers = "For an input of 3\n  output         3\n  parameters     0\n  multiply-adds  0"
        assert text_of("Tanh", (3,)) == f"{words}\n\nThe shape stays as it is.\n\n{numbers}"

    def test_without_an_input_shape_there_are_no_numbers(self) -> None:
        text = text_of("Conv2d", None, padding="same")
        assert text.endswith("Output size\n  out = in\n  dilation·(kernel_size − 1) pixels of padding keep the size")

    def test_numbers_of_a_convolution(self) -> None:
        text = text_of("Conv2d", (3, 32, 32), stride=2, padding=1, groups=3)
        assert section(text, "For an input") == (
            "For an input of 3×32×32 with stride=2, padding=1, groups=3 (examples:\n"
            "out_channels=9, kernel_size=3)\n"
            "  channels       9\n"
            "  height, width  ⌊(32 + 2·1 − 1·(3 − 1) − 1) / 2⌋ + 1 = 16\n"
            "  output         9×16×16\n"
            "  parameters     90\n"  # 9 filters of 1×3×3 and 9 biases
            "  multiply-adds  20,736"  # 16·16·9·9
        )

    @EVERY_ROW
    def test_every_row_gives_shape_and_cost_in_80_columns(self, row: Row) -> None:
        text = text_of(row.type, row.input_shape, **row.params)
        learned = sum(p.numel() for p in by_hand(row.type, row.params, row.input_shape).parameters())
        shape = "×".join(map(str, row.output_shape))
        assert re.search(rf"\n  output +{shape}\n  parameters +{learned:,}\n  multiply-adds +[\d,]+(\n\n|$)", text)
        assert max(map(len, text.splitlines())) <= 80

    @pytest.mark.parametrize("name", sorted({*wide().entries} - {"FeaturePyramidNetwork"}))
    def test_every_type_has_examples_that_fit(self, name: str) -> None:
        component = wide().entries[name]
        shape = example_input(component)
        text, problems = explain(component, {}, shape)
        assert problems == []
        assert f"For an input of {'×'.join(map(str, shape))}" in text
        for parameter in room._needed(component):
            assert re.search(rf"\(examples?: [^)]*\b{parameter}=", text.replace("\n", " "))
        assert max(map(len, text.splitlines())) <= 80
        assert text.splitlines()[0].startswith(f"{name}: ")

    @pytest.mark.parametrize("channels", range(1, 14))
    def test_examples_follow_the_input(self, channels: int) -> None:
        for name in ("GroupNorm", "ChannelShuffle", "Unflatten", "Conv2d"):
            text_of(name, (channels, 5, 6))
        for name in ("TransformerEncoderLayer", "Fold"):
            text_of(name, (4, channels))
        text_of("MaxPool1d", (channels, 30), padding=channels)
        text_of("Conv2d", (channels, 7, 7), groups=channels)

    def test_what_is_wrong_comes_back_as_problems(self) -> None:
        text, problems = explain(LAYERS.entries["Conv2d"], {"strid": 2, "padding": -1}, (3, 8, 8))
        assert [(p.code, p.path, str(p)) for p in problems] == [
            ("unknown-parameter", ("strid",), "error: Conv2d: unknown parameter 'strid'; did you mean 'stride'?"),
            ("bad-value", ("padding",), "error: Conv2d: padding must be at least 0, not -1"),
        ]
        assert ("padding_mode" in text, "Output size" in text) == (True, False)

    def test_an_input_that_does_not_fit_is_a_problem(self) -> None:
        text, problems = explain(LAYERS.entries["Conv2d"], {}, (3, 8))
        expected = "error: Conv2d: takes channels×height×width, but 3×8 arrives from the input"
        assert [(p.path, str(p)) for p in problems] == [((), f"{expected}\n  hint: put an Unflatten before it")]
        assert text.endswith("stride⌋ + 1")

    @pytest.mark.parametrize("key", ["type", "name"])
    def test_words_of_the_grammar_are_no_parameters(self, key: str) -> None:
        assert explain(LAYERS.entries["ReLU"], {key: "Tanh"}, (3,))[1][0].path == (key,)

    def test_a_type_that_nobody_knows_has_its_parameters_and_its_shape(self) -> None:
        class Scale(nn.Module):
            def __init__(self, factor: float, times: int = 2) -> None: ...

        expected = """\
Scale

 parameter   default    value            meaning
 ───────────────────────────────────────────────────────
 factor      required   a number
 times       2          a whole number   how many copies"""
        text, problems = explain(Component("Scale", Scale), {}, (3, 4))
        assert (text, problems) == (expected, [])

    def test_composites_show_what_stands_inside(self) -> None:
        residual = COMPOSITES.entries["Residual"]
        text, problems = explain(residual, {}, (3, 8, 8))
        assert (text.split(",")[0], problems) == ("Residual: adds what arrives", [])
        assert " shortcut    null       a layer or a list of" in text
        text, problems = explain(residual, {"layers": ["ReLU"]}, (3, 8, 8))
        numbers = "  output         3×8×8\n  parameters     0\n  multiply-adds  0"
        assert section(text, "For an input") == f"For an input of 3×8×8 with layers=['ReLU']\n{numbers}"


class TestCatalogue:
    def test_every_type_has_its_line_under_its_kind(self) -> None:
        lines = catalogue().splitlines()
        indented = [line.split()[0] for line in lines if re.match(r" {3}\w", line)]
        assert sorted(indented) == sorted([*wide().entries, *COMPOSITES.entries])
        headings = [line[1:-1] for line in lines if re.fullmatch(r" \w+:", line)]
        assert headings[:5] == ["convolutions", "pools", "normalisations", "activations", "dropout"]
        assert headings[5:] == ["padding", "reshaping", "resizing", "linear", "others", "composites"]
        activations = catalogue().split(" activations:\n")[1].split(" dropout:\n")[0].split()
        assert {"LeakyReLU", "GLU", "Softmax"} < {*activations} < {*wide().entries} | {"threshold,", "value"}
        assert max(map(len, lines)) <= 80

    def test_a_line_says_what_must_be_given_and_what_is_inferred(self) -> None:
        lines = [" ".join(line.split()) for line in catalogue().splitlines()]
        assert "Conv2d out_channels, kernel_size (in_channels)" in lines
        assert "FractionalMaxPool2d kernel_size, output_ratio or output_size" in lines

    def test_refused_types_stand_below_with_their_reason(self) -> None:
        refused = catalogue().split("\n\n")[1]
        assert [refused.replace(",", " ").split().count(name) for name in wide().refused] == [1] * len(wide().refused)
        assert refused.startswith("These cannot stand in a stack:\n  it is a loss")
        assert "\n  it takes several inputs, and a stack passes one tensor from layer to layer\n      " in refused
        assert "  a parameter must be a module, which YAML cannot hold\n      TransformerEncoder" in refused
