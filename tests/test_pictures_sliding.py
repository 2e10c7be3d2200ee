"""The window that walks, as a picture: held to what torch's layers make of single pixels and of padded images."""

from __future__ import annotations

import io
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from cnnexp.architecture.catalog import LAYERS
from cnnexp.architecture.parsing import parse
from cnnexp.architecture.planning import make_plan
from cnnexp.cli import main
from cnnexp.pictures import film as films
from cnnexp.pictures import sliding, walking
from cnnexp.pictures.film import Film
from cnnexp.pictures.scene import Box, Scene, Words
from cnnexp.pictures.scene import Path as Line

pytestmark = pytest.mark.slow

SVG = "{http://www.w3.org/2000/svg}"


def filmed(name: str, shape: tuple[int, ...], **params: Any) -> tuple[Film, walking.Tour]:
    """The film of a layer; a convolution has one channel."""
    own = {"out_channels": 1, "bias": False} if name.startswith("Conv") else {}
    stack, problems = parse({"layers": [{"type": name, **own, **params}]})
    assert problems == []
    plan, problems = make_plan(stack, shape, "float32")
    assert problems == []
    tour = walking.tour(plan.layers[0])
    assert tour is not None
    return sliding.sliding(plan.layers[0], tour), tour


def layer_of(name: str, **params: Any) -> nn.Module:
    """torch's own layer, with a kernel of ones."""
    own = {"in_channels": 1, "out_channels": 1, "bias": False} if name.startswith("Conv") else {}
    layer: nn.Module = getattr(nn, name)(**own, **params).double()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.fill_(1)
    return layer


def places(scene: Scene, style: str, pattern: str = r"row (-?\d+), column (-?\d+)") -> list[tuple[int, int]]:
    """The positions that boxes of a look say they stand for."""
    tips = [re.fullmatch(pattern, s.tip) for s in scene.shapes if isinstance(s, Box) and s.style == style]
    return [(int(tip[1]), int(tip[2])) for tip in tips if tip]


def reached(layer: nn.Module, size: tuple[int, int]) -> Tensor:
    """What the layer makes of every pixel alone: pixels × output rows × output columns."""
    one = torch.eye(size[0] * size[1], dtype=torch.float64).reshape(-1, 1, *size)
    with torch.no_grad():
        found: Tensor = layer(one)
    return found[:, 0].reshape(size[0], size[1], *found.shape[2:]) != 0


def seen(film: Film, step: int) -> tuple[tuple[int, int], set[tuple[int, int]]]:
    """The output at a step, and the pixels that the picture says it depends on."""
    scene = film.frame(step)
    (output,) = places(scene, "now", r"output row (\d+), column (\d+)")
    sources = places(scene, "source", r"source row (\d+), column (\d+)")
    return output, {*places(scene, "window-cell"), *sources}


def written(scene: Scene, *styles: str) -> list[list[str]]:
    """The texts on the topmost cells of a plane, row by row."""
    words = {(round(w.x), round(w.y / 3)): w.text for w in scene.shapes if isinstance(w, Words)}
    cells: dict[tuple[float, float], str] = {}
    for box in (s for s in scene.shapes if isinstance(s, Box) and s.width == s.height == sliding.CELL):
        if box.style in styles:
            x, y = box.x + box.width / 2, box.y + box.height / 2
            texts = [t for (at, down), t in words.items() if at == round(x) and abs(3 * down - y) < 10]
            cells[box.y, box.x] = texts[-1] if texts else ""
    rows = sorted({y for y, _ in cells})
    return [[text for (at, _), text in sorted(cells.items()) if at == y] for y in rows]


def check_sight(name: str, size: tuple[int, int], **params: Any) -> None:
    """Every step stands at its output, and takes the pixels that torch's output depends on."""
    film, tour = filmed(name, (1, *size), **params)
    truth = reached(layer_of(name, **params), size)
    assert tuple(truth.shape[2:]) == tour.count
    steps = [seen(film, step) for step in range(film.steps)]
    assert [output for output, _ in steps] == sliding.chosen(tour.count)
    for (i, j), pixels in steps:
        assert pixels == {(r, c) for r, c in truth[:, :, i, j].nonzero().tolist()}


def check_values(name: str, size: tuple[int, int], **params: Any) -> None:
    """In the end every output has the number that torch makes of the input's numbers."""
    film, _ = filmed(name, (1, *size), **params)
    grid = torch.tensor(walking.numbers(*size), dtype=torch.float64)
    expected = layer_of(name, **params)(grid[None, None])[0, 0].tolist()
    found = written(film.frame(film.steps - 1), "done", "now")
    assert [[float(text) for text in row] for row in found] == [
        [pytest.approx(value, abs=0.051) for value in row] for row in expected
    ]


WINDOWS = [
    ("Conv2d", (5, 7), {"kernel_size": 3}),
    ("Conv2d", (7, 6), {"kernel_size": [2, 3], "stride": [2, 1], "padding": [1, 2]}),
    ("Conv2d", (7, 7), {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2, "padding_mode": "circular"}),
    ("Conv2d", (5, 5), {"kernel_size": 3, "padding": 2, "padding_mode": "reflect"}),
    ("Conv2d", (4, 5), {"kernel_size": 3, "padding": "same", "padding_mode": "replicate"}),
    ("MaxPool2d", (7, 7), {"kernel_size": 3, "ceil_mode": True}),
    ("MaxPool2d", (7, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}),
    ("AvgPool2d", (7, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("AvgPool2d", (6, 7), {"kernel_size": 2, "padding": 1, "count_include_pad": False}),
    ("AvgPool2d", (6, 6), {"kernel_size": 2, "divisor_override": 3}),
    ("AdaptiveAvgPool2d", (7, 5), {"output_size": [3, 2]}),
    ("AdaptiveMaxPool2d", (5, 7), {"output_size": 4}),
    ("LPPool2d", (7, 7), {"norm_type": 2, "kernel_size": 3, "ceil_mode": True}),
    ("LPPool2d", (6, 6), {"norm_type": 1.5, "kernel_size": 2, "stride": 1}),
    ("LPPool2d", (6, 6), {"norm_type": 1000, "kernel_size": 2}),
    ("ReflectionPad2d", (5, 4), {"padding": [1, 2, 3, 0]}),
    ("CircularPad2d", (4, 4), {"padding": 1}),
    ("ZeroPad2d", (4, 5), {"padding": [-1, 1, 0, 2]}),
    ("CircularPad2d", (5, 5), {"padding": -1}),
    ("ConstantPad2d", (3, 3), {"padding": 1, "value": 7}),
]


class TestWindows:
    @pytest.mark.parametrize(("name", "size", "params"), WINDOWS, ids=str)
    def test_the_numbers_are_torchs(self, name: str, size: tuple[int, int], params: dict[str, Any]) -> None:
        check_values(name, size, **params)

    @pytest.mark.parametrize(("name", "size", "params"), WINDOWS[:-1], ids=str)
    def test_the_windows_are_torchs(self, name: str, size: tuple[int, int], params: dict[str, Any]) -> None:
        check_sight(name, size, **params)

    @settings(deadline=None, max_examples=15)
    @given(
        st.fixed_dictionaries({k: st.tuples(st.integers(1, 3), st.integers(1, 3)) for k in ("kernel_size", "stride")}),
        st.tuples(st.integers(1, 2), st.integers(1, 2)),
        st.tuples(st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.integers(3, 6), st.integers(3, 6)),
        st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    )
    def test_convolutions_of_every_kind(
        self,
        drawn: dict[str, Any],
        spread: tuple[int, int],
        padding: tuple[int, int],
        size: tuple[int, int],
        mode: str,
    ) -> None:
        sizes = zip(size, padding, spread, drawn["kernel_size"], strict=True)
        assume(all(p < s and s + 2 * p > d * (k - 1) for s, p, d, k in sizes))
        params = {**drawn, "dilation": spread, "padding": padding, "padding_mode": mode}
        check_sight("Conv2d", size, **params)
        check_values("Conv2d", size, **params)

    @pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "zeros"])
    def test_what_stands_in_the_padding_is_what_torch_puts_there(self, mode: str) -> None:
        film, _ = filmed("Conv2d", (1, 5, 6), kernel_size=3, padding=[1, 2], padding_mode=mode)
        grid = torch.tensor(walking.numbers(5, 6), dtype=torch.float64)[None, None]
        padded = functional.pad(grid, (2, 2, 1, 1), mode.replace("zeros", "constant"))[0, 0]
        first = film.still
        found = written(first, "cell", "pad")
        assert [[int(text) for text in row] for row in found] == padded.tolist()

    @pytest.mark.parametrize(
        ("name", "padding", "more"),
        [
            ("CircularPad2d", [-1, -1, -1, -1], {}),
            ("CircularPad2d", [2, -3, -1, 1], {}),
            ("ZeroPad2d", [-2, -1, 0, -1], {}),
            ("ConstantPad2d", [2, -2, -1, 1], {"value": 1.5}),
            ("ReplicationPad2d", [-1, 2, 1, -3], {}),
        ],
    )
    def test_negative_padding_cuts_off_pixels_that_are_seen(
        self, name: str, padding: list[int], more: dict[str, Any]
    ) -> None:
        film, _ = filmed(name, (1, 5, 5), padding=padding, **more)
        ground = film.still
        place = torch.arange(1.0, 26).reshape(1, 1, 5, 5)
        kept = functional.pad(place, [min(0, side) for side in padding])
        cut = [str(n) for row, line in enumerate(walking.numbers(5, 5)) for column, n in enumerate(line)
               if 5 * row + column + 1 not in kept]  # fmt: skip
        assert [text for row in written(ground, "beyond") for text in row] == cut
        grid = torch.tensor(walking.numbers(5, 5), dtype=torch.float64)[None, None]
        expected = layer_of(name, padding=padding, **more)(grid)[0, 0].tolist()
        assert [[float(text) for text in row] for row in written(ground, "cell", "pad")] == expected
        styles = {(w.x, w.y): w.style for w in ground.shapes if isinstance(w, Words)}
        cells = [s for s in ground.shapes if isinstance(s, Box) and s.width == sliding.CELL]
        for box in (b for b in cells if b.style == "beyond"):
            inks = {style for (x, y), style in styles.items() if box.x < x < box.x + box.width
                    and box.y < y < box.y + box.height}  # fmt: skip
            assert inks == {"muted"}
        (edge,) = [s for s in ground.shapes if isinstance(s, Box) and s.style == "edge"]
        inside = [b for b in cells if edge.x <= b.x < edge.x + edge.width and edge.y <= b.y < edge.y + edge.height]
        assert len(inside) == 25
        texts = [s.text for s in ground.shapes if isinstance(s, Words)]
        assert "cut off by negative padding" in texts

    def test_the_frame_keeps_clear_of_the_arrow_and_the_caption(self) -> None:
        for padding in (-1, [2, -2, -1, 1], [-4, 0, 0, -4]):
            film, _ = filmed("ZeroPad2d", (1, 5, 5), padding=padding)
            scene = film.frame(0)
            (edge,) = [s for s in scene.shapes if isinstance(s, Box) and s.style == "edge"]
            caption = next(s for s in scene.shapes if isinstance(s, Words) and s.text.startswith("step 1"))
            assert caption.bounds[1] > edge.y + edge.height
            for line in (s for s in scene.shapes if isinstance(s, Line) and s.style == "flow"):
                assert line.bounds[0] > edge.x + edge.width

    @pytest.mark.parametrize(
        ("name", "params", "rounded"),
        [
            ("AvgPool2d", {"kernel_size": 3}, True),
            ("AvgPool2d", {"kernel_size": 2, "divisor_override": 2}, False),
            ("LPPool2d", {"norm_type": 2, "kernel_size": 3}, True),
            ("LPPool2d", {"norm_type": 3, "kernel_size": 1}, False),
            ("MaxPool2d", {"kernel_size": 3}, False),
            ("ConstantPad2d", {"padding": 1, "value": 0.25}, True),
            ("ConstantPad2d", {"padding": 1, "value": 0.1}, False),
            ("Unfold", {"kernel_size": 3}, False),
        ],
    )
    def test_the_legend_says_where_numbers_are_rounded(self, name: str, params: dict[str, Any], rounded: bool) -> None:
        film, _ = filmed(name, (1, 7, 7), **params)
        texts = [s.text for s in film.still.shapes if isinstance(s, Words)]
        assert ("the output, rounded" in texts) == rounded
        assert ("the output" in texts) != rounded

    def test_a_number_rounded_to_a_whole_one_shows_it(self) -> None:
        film, _ = filmed("LPPool2d", (1, 7, 7), norm_type=2, kernel_size=3, ceil_mode=True)
        grid = torch.tensor(walking.numbers(7, 7), dtype=torch.float64)[None, None]
        truth = layer_of("LPPool2d", norm_type=2, kernel_size=3, ceil_mode=True)(grid)[0, 0]
        found = [text for row in written(film.frame(film.steps - 1), "done", "now") for text in row]
        for text, value in zip(found, truth.flatten().tolist(), strict=True):
            assert ("." in text) == (abs(value - round(value)) > 1e-9)

    def test_parameters_are_told_in_words(self) -> None:
        def told(name: str, **params: Any) -> list[str]:
            film, _ = filmed(name, (1, *(6,) * int(name[-2])), **params)
            return [s.text for s in film.still.shapes if isinstance(s, Words)]

        assert "padding left 2, right -2, top -1, bottom 1" in told("ZeroPad2d", padding=[2, -2, -1, 1])
        assert "padding left 1, right 0" in told("ReflectionPad1d", padding=[1, 0])
        assert "padding left 1, right 2, top 3, bottom 0, front 1, back 1" in told(
            "ReplicationPad3d", padding=[1, 2, 3, 0, 1, 1]
        )
        assert "padding -1" in told("ZeroPad2d", padding=-1)
        texts = told("AvgPool2d", kernel_size=2, padding=1, count_include_pad=False)
        assert {"kernel 2×2, padding 1, mean without padding", "padding: not counted in the mean"} <= {*texts}

    def test_a_sequence_is_a_row(self) -> None:
        film, tour = filmed("Conv1d", (1, 9), kernel_size=3, stride=2, padding=1, padding_mode="reflect")
        truth = layer_of("Conv1d", kernel_size=3, stride=2, padding=1, padding_mode="reflect")
        grid = torch.tensor(walking.numbers(1, 9), dtype=torch.float64)
        assert tour.count == (1, 5)
        (row,) = written(film.frame(4), "done", "now")
        assert [float(text) for text in row] == truth(grid[None])[0, 0].tolist()

    def test_a_volume_is_a_slice(self) -> None:
        film, tour = filmed("MaxPool3d", (1, 4, 6, 6), kernel_size=[2, 3, 2])
        assert tour.count == (2, 3)
        texts = [s.text for s in film.still.shapes if isinstance(s, Words)]
        assert "One slice of the depth is drawn; the windows walk along the depth as well (2 of them)." in texts

    def test_unfold_makes_columns(self) -> None:
        film, _ = filmed("Unfold", (1, 5, 5), kernel_size=3, stride=2)
        columns = nn.Unfold(3, stride=2)(torch.arange(1.0, 26).reshape(1, 1, 5, 5))[0].int()
        for step in range(columns.shape[1]):
            pixels = sorted(5 * r + c + 1 for r, c in places(film.frame(step), "window-cell"))
            assert pixels == columns[:, step].tolist()


class TestSpreading:
    def check(self, size: tuple[int, int], **params: Any) -> None:
        film, tour = filmed("ConvTranspose2d", (1, *size), **params)
        layer = layer_of("ConvTranspose2d", **params)
        truth = reached(layer, size)
        assert (tour.down.size, tour.across.size) == tuple(truth.shape[2:])
        assert film.steps == size[0] * size[1]
        for step in range(film.steps):
            scene = film.frame(step)
            ((i, j),) = places(scene, "now", r"input row (\d+), column (\d+)")
            assert (i, j) == divmod(step, size[1])
            assert set(places(scene, "window-cell")) == {(r, c) for r, c in truth[i, j].nonzero().tolist()}
        grid = torch.tensor(walking.numbers(*size), dtype=torch.float64)
        expected = layer(grid[None, None])[0, 0]
        found = written(film.frame(film.steps - 1), "empty", "stamp-1", "stamp-2", "stamp-3", "stamp-4", "window-cell")
        assert [[float(text or 0) for text in row] for row in found] == expected.tolist()

    @pytest.mark.parametrize(
        "params",
        [
            {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
            {"kernel_size": 2, "stride": 3},
            {"kernel_size": [3, 2], "stride": [1, 2], "dilation": [2, 1]},
        ],
        ids=str,
    )
    def test_inputs_spread_and_add_up_as_in_torch(self, params: dict[str, Any]) -> None:
        self.check((3, 2), **params)

    @settings(deadline=None, max_examples=15)
    @given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(1, 2), st.integers(0, 1))
    def test_any(self, kernel: int, stride: int, padding: int, dilation: int, more: int) -> None:
        assume(more < max(stride, dilation) and 2 * stride + dilation * (kernel - 1) + 1 + more > 2 * padding)
        self.check((3, 3), kernel_size=kernel, stride=stride, padding=padding, dilation=dilation, output_padding=more)


class TestFilm:
    def test_many_windows_are_passed_over_and_their_outputs_are_there(self) -> None:
        check_values("Conv2d", (14, 14), kernel_size=1)
        film, _ = filmed("Conv2d", (1, 14, 14), kernel_size=1)
        assert film.steps <= sliding.STEPS
        assert seen(film, film.steps - 1)[0] == (13, 13)
        assert seen(film, 1)[0] == (0, 1)

    @pytest.mark.parametrize(("name", "size", "params"), WINDOWS[2:6:3], ids=str)
    def test_the_gif_has_a_frame_for_every_step(self, name: str, size: tuple[int, int], params: dict[str, Any]) -> None:
        film, _ = filmed(name, (1, *size), **params)
        content = films.animation(film)
        assert len(content) < 1_000_000
        with Image.open(io.BytesIO(content)) as image:
            assert image.n_frames == film.steps
            assert image.info["loop"] == 0
            times = []
            for step in range(film.steps):
                image.seek(step)
                times.append(image.info["duration"])
        assert times[:-1] == [500] * (film.steps - 1)
        assert times[-1] > 2000

    def test_the_svg_runs_nothing_and_stands_still_on_wish(self) -> None:
        film, _ = filmed("Conv2d", (1, 5, 5), kernel_size=3, padding=1)
        text = films.moving(film)
        root = ElementTree.fromstring(text)
        assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
            *["svg", "g", "title", "desc", "style", "rect", "path", "text"]
        }
        outside = re.sub(r"@media \(prefers-reduced-motion: no-preference\)\{[^{}]*\{[^}]*\}\}", "", text)
        assert "animation:" in text
        assert "animation:" not in outside
        assert len(text) < 500_000

    def test_the_svg_shows_what_stands_at_each_step(self) -> None:
        film, _ = filmed("Conv2d", (1, 5, 5), kernel_size=3, padding=1, stride=2)
        text = films.moving(film)
        root = ElementTree.fromstring(text)
        (seconds,) = set(re.findall(r"animation:\S+ ([\d.]+)s step-end infinite", text))
        rules = dict(re.findall(r"@keyframes (\S+?)\{((?:[\d.]+%\{visibility:\w+\})+)\}", text))
        for step in range(film.steps):
            share = 100 * (0.5 * step + 0.25) / float(seconds)
            tips = []
            for group in root.iter(f"{SVG}g"):
                frames = re.findall(r"([\d.]+)%\{visibility:(\w+)\}", rules[group.attrib["class"]])
                if [look for at, look in frames if float(at) <= share][-1] == "visible":
                    tips += [title.text for title in group.iter(f"{SVG}title")]
            expected = [s.tip for s in film.frame(step).shapes if isinstance(s, Box) and s.tip]
            assert sorted(map(str, tips)) == sorted(expected)

    def test_outputs_are_filled_one_by_one_and_stay(self) -> None:
        film, _ = filmed("MaxPool2d", (1, 4, 4), kernel_size=2)
        for step in range(film.steps):
            done = [s for s in film.frame(step).shapes if isinstance(s, Box) and s.style == "done"]
            assert len({(box.x, box.y) for box in done}) == step + 1

    def test_nothing_leaves_the_picture(self) -> None:
        for name, size, params in WINDOWS:
            film, _ = filmed(name, (1, *size), **params)
            for step in film.keys:
                scene = film.frame(step)
                for shape in scene.shapes:
                    left, top, right, bottom = shape.bounds
                    assert left >= 0
                    assert top >= 0
                    assert right <= scene.width
                    assert bottom <= scene.height

    @pytest.mark.slow
    @pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
    def test_a_browser_shows_every_step_at_its_time(self, tmp_path: Path) -> None:
        from playwright.sync_api import sync_playwright

        film, _ = filmed("Conv2d", (1, 5, 5), kernel_size=3, padding=1, stride=2)
        file = tmp_path / "conv.svg"
        file.write_text(films.moving(film), encoding="utf-8")
        at = "t => document.getAnimations().forEach(a => { a.pause(); a.currentTime = t })"
        tips = """() => [...document.querySelectorAll('rect > title')]
            .filter(e => getComputedStyle(e.parentElement).visibility == 'visible').map(e => e.textContent)"""
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(reduced_motion="no-preference")
            page.goto(file.as_uri())
            for step in [0, 1, film.steps // 2, film.steps - 1]:
                page.evaluate(at, 500 * step + 250)
                expected = [s.tip for s in film.frame(step).shapes if isinstance(s, Box) and s.tip]
                assert sorted(page.evaluate(tips)) == sorted(expected)
            still = browser.new_page(reduced_motion="reduce")
            still.goto(file.as_uri())
            expected = [s.tip for s in film.frame(film.steps - 1).shapes if isinstance(s, Box) and s.tip]
            assert sorted(still.evaluate(tips)) == sorted(expected)
            browser.close()


class TestCommand:
    @pytest.mark.parametrize("suffix", [".svg", ".gif", ".png"])
    def test_files(self, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / f"conv{suffix}"
        assert main(["layers", "Conv2d", "--picture", str(file), "kernel_size=3", "stride=2", "--input", "1,7,7"]) == 0
        out, err = capsys.readouterr()
        assert "For an input of 1×7×7 with kernel_size=3, stride=2" in out
        assert err == f"{file}\n"
        if suffix == ".svg":
            assert ElementTree.parse(file).getroot().findtext(f"{SVG}title")
            return
        with Image.open(file) as image:
            assert image.format == suffix[1:].upper()
            assert getattr(image, "n_frames", 1) == {".gif": 9, ".png": 1}[suffix]
            assert min(image.size) > 300

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["ReLU"], "--picture: ReLU has no window that walks from place to place, so nothing moves"),
            (["Residual"], "--picture: Residual has no window that walks from place to place, so nothing moves"),
            (["FractionalMaxPool2d"],
             "--picture: FractionalMaxPool2d has no window that walks from place to place, so nothing moves"),
            (["Conv2d", "--input", "3,32,32"], "--picture: 32×32 pixels arrive, and at most 14×14 are drawn"),
            (["ConvTranspose1d", "stride=30"], "--picture: 1×63 cells would be drawn, and at most 24×24 are"),
            ([], "--picture needs a layer type: cnnexp layers Conv2d --picture conv.svg"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_drawn(
        self, words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "a.svg"
        assert main(["layers", *words, "--picture", str(file)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.splitlines()[0] == f"error: {expected}"
        assert not file.exists()

    def test_the_hint_for_what_is_too_large_fits_every_layer(self, capsys: pytest.CaptureFixture[str]) -> None:
        for words in (["Conv1d", "--input", "1,15"], ["AdaptiveAvgPool2d", "output_size=100"]):
            assert main(["layers", *words, "--picture", "a.svg"]) == 2
            hint = "  hint: smaller numbers show the same: the input's, after --input, or the layer's"
            assert capsys.readouterr().err.splitlines()[1] == hint

    def test_other_files(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["layers", "Conv2d", "--picture", "a.html"]) == 2
        assert capsys.readouterr().err.splitlines()[0] == "error: --picture: a.html must end in .svg, .gif or .png"
        (tmp_path / "d.svg").mkdir()
        assert main(["layers", "Conv2d", "--picture", str(tmp_path / "d.svg")]) == 2
        assert capsys.readouterr().err.splitlines()[-2] == "  hint: choose another place"

    @pytest.mark.parametrize("words", [["layers", "Conv2d"], ["check", "model=mlp"]])
    def test_a_folder_that_is_not_there_is_refused_before_anything_is_told(
        self, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").touch()
        for folder in (tmp_path / "no", tmp_path / "file", tmp_path / ("n" * 300)):
            gone = folder / "a.svg"
            assert main([*words, "--picture", str(gone)]) == 2
            out, err = capsys.readouterr()
            assert out == ""
            assert err.splitlines()[:2] == [
                f"error: --picture: {gone} cannot be written: there is no folder {folder}",
                "  hint: choose a folder that is there, or make it",
            ]

    @pytest.mark.parametrize("name", [n for n in LAYERS.entries if re.match(r"Conv|\w+Pool\dd|Unfold|\w+Pad\dd", n)])
    def test_every_type_has_an_example_or_says_why_not(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / "a.svg"
        code = main(["layers", name, "--picture", str(file)])
        assert (code, file.exists()) == ((2, False) if name.startswith("Fractional") else (0, True))
