"""Networks drawn: every layer is there, nothing lies over anything else, and nothing in it can be executed."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from cnnexp.architecture.parsing import parse
from cnnexp.architecture.plan import Plan
from cnnexp.architecture.planning import make_plan
from cnnexp.cli import main
from cnnexp.config import Composer, packaged
from cnnexp.pictures import lettering, page, raster, svg
from cnnexp.pictures.folding import fold
from cnnexp.pictures.network import network
from cnnexp.pictures.scene import Bounds, Box, Scene, Words
from cnnexp.pictures.scene import Path as Line
from cnnexp.verify import verify

pytestmark = pytest.mark.slow

SVG = "{http://www.w3.org/2000/svg}"
NETWORKS = sorted(file.stem for file in (packaged() / "model").glob("*.yaml"))


def planned(layers: list[Any], shape: tuple[int, ...] = (3, 32, 32)) -> Plan:
    stack, problems = parse({"layers": layers})
    assert problems == []
    plan, problems = make_plan(stack, shape, "float32")
    assert problems == []
    return plan


@cache
def shipped(name: str) -> Plan:
    plan = verify(Composer().compose([f"model={name}"])).plan
    assert plan is not None
    return plan


@cache
def drawn(name: str) -> Scene:
    return network(shipped(name), name)


def names_of(plan: Plan) -> list[str]:
    """All dotted names, without the Sequentials that the key `layers` of a Residual or an Unpool stands for."""
    return sorted(name for _, name, layer in plan.walk() if (layer.name, layer.path[-1]) != ("layers", "layers"))


def told(scene: Scene) -> list[str]:
    """The names that the picture tells when it is pointed at."""
    root = ElementTree.fromstring(svg.paint(scene))
    tips = [rect.findtext(f"{SVG}title") or "" for rect in root.iter(f"{SVG}rect")]
    firsts = [block.split("\n")[0] for tip in tips if tip for block in tip.split("\n\n")]
    return sorted(name for line in firsts if not line.startswith(("input:", "output:")) for name in line.split(", "))


def overlapping(a: Sequence[Bounds], b: Sequence[Bounds]) -> np.ndarray:
    """Which of some rectangles lie over which of others."""
    first, second = np.reshape(a, (-1, 1, 4)), np.reshape(b, (1, -1, 4))
    return np.all((first[..., :2] < second[..., 2:] - 0.01) & (second[..., :2] < first[..., 2:] - 0.01), axis=-1)


def holding(a: Sequence[Bounds], b: Sequence[Bounds]) -> np.ndarray:
    """Which of some rectangles hold which of others wholly."""
    outer, inner = np.reshape(a, (-1, 1, 4)), np.reshape(b, (1, -1, 4))
    return np.all((outer[..., :2] <= inner[..., :2] + 0.01) & (inner[..., 2:] <= outer[..., 2:] + 0.01), axis=-1)


def check_order(scene: Scene) -> None:
    """Nothing leaves the picture, no layer or text lies over another one, and frames hold what they hold."""
    boxes = [s for s in scene.shapes if isinstance(s, Box)]
    layers = [box.bounds for box in boxes if box.style == "hit"]
    frames = [box.bounds for box in boxes if box.style.startswith("frame")]
    words = [s.bounds for s in scene.shapes if isinstance(s, Words)]
    lines = [s for s in scene.shapes if isinstance(s, Line) and s.style in ("flow", "skip", "places")]
    pieces = [Line(pair, "").bounds for line in lines for pair in pairwise(line.points)]
    assert holding([(0.0, 0.0, scene.width, scene.height)], [s.bounds for s in scene.shapes]).all()
    for same in (layers, words):
        assert overlapping(same, same).sum() == len(same)
    if frames:
        nested = holding(frames, frames)
        assert not (overlapping(frames, frames) & ~nested & ~nested.T).any()
        assert not (overlapping(frames, layers) & ~holding(frames, layers)).any()
        assert not (overlapping(frames, words) & ~holding(frames, words)).any()
    assert not (overlapping(layers, words) & ~holding(layers, words)).any()
    assert not overlapping(pieces, words).any()


class TestShipped:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_every_layer_is_told_and_the_file_needs_nothing_else(self, name: str) -> None:
        assert told(drawn(name)) == names_of(shipped(name))
        check_order(drawn(name))
        text = svg.paint(drawn(name))
        assert len(text) < 2_000_000
        root = ElementTree.fromstring(text)
        assert root.findtext(f"{SVG}title") == name
        assert f"{shipped(name).totals.parameters:,} parameters" in (root.findtext(f"{SVG}desc") or "")
        assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
            "svg",
            "title",
            "desc",
            "style",
            "rect",
            "path",
            "text",
        }
        assert "url(" not in text
        assert "@import" not in text

    def test_the_numbers_are_those_of_the_network(self) -> None:
        plan = shipped("tudui")
        learned = sum(p.numel() for p in plan.build().parameters())
        texts = [s.text for s in drawn("tudui").shapes if isinstance(s, Words)]
        assert any(f"{learned:,} parameters" in text for text in texts)
        for expected in ("kernel 5×5, padding 2", "32×32×32", "0 · Conv2d", "2,432 params", "sees 5×5", "6 · Flatten"):
            assert expected in texts

    def test_twice_the_pixels_are_one_step_higher(self) -> None:
        fronts = {
            s.style: s for s in drawn("tudui").shapes if isinstance(s, Box) and s.style in ("convolution", "pool")
        }
        assert set(fronts) == {"convolution", "pool"}
        heights = [
            s.height for s in drawn("tudui").shapes if isinstance(s, Box) and s.height > 20 and s.style == "pool"
        ]
        assert len(heights) == 3  # at 16, 8 and 4 pixels
        steps = [a - b for a, b in pairwise(heights)]
        assert steps[0] > 0
        assert steps[0] == pytest.approx(steps[1])

    def test_copies_are_drawn_once(self) -> None:
        texts = [s.text for s in drawn("densenet121").shapes if isinstance(s, Words)]
        assert [text for text in texts if "×24" in text] == ["8 · dense › Parallel  ×24"]
        parts = [part for top in fold(shipped("densenet121").layers) for part in top.walk()]
        copies = [name for part in parts for name in part.names]
        assert sorted(copies) == sorted(name for _, name, _ in shipped("densenet121").walk())
        assert sum(layer.parameters for part in parts for layer in part.copies if not layer.composite) == sum(
            p.numel() for p in shipped("densenet121").build().parameters()
        )


CONV = {"type": "Conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1}
LEAVES = st.sampled_from(
    [CONV, "ReLU", "BatchNorm2d", {"type": "Dropout", "p": 0.25}, "Identity", "GELU", {**CONV, "name": "卷积" * 9},
     {"type": "AvgPool2d", "kernel_size": 3, "stride": 1, "padding": 1}]
)  # fmt: skip


def _composites(layers: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[list[Any]]:
    def unnamed(found: list[Any]) -> list[Any]:
        return [{k: v for k, v in x.items() if k != "name"} if isinstance(x, dict) else x for x in found]

    same = layers.map(unnamed).map(lambda found: [*found, CONV])
    return st.lists(
        LEAVES.map(lambda x: unnamed([x])[0])
        | st.builds(lambda inside: {"type": "Sequential", "layers": inside}, same)
        | st.builds(lambda inside, n: {"type": "Repeat", "times": n, "layers": inside}, same, st.integers(1, 4))
        | st.builds(lambda a: {"type": "Sequential", "layers": [CONV, {"type": "Residual", "layers": a}]}, same)
        | st.builds(lambda a, b: {"type": "Residual", "layers": a, "shortcut": b}, same, same)
        | st.builds(
            lambda bs, merge: {"type": "Parallel", "merge": merge, "branches": bs},
            st.lists(same | st.just("Identity"), min_size=1, max_size=3).map(lambda bs: [[CONV], *bs][: len(bs)]),
            st.just("concat"),
        )
        | st.builds(
            lambda a: {"type": "Unpool", "pool": {"type": "MaxPool2d", "kernel_size": 2}, "layers": a},
            same.map(lambda found: [*found, {"type": "Conv2d", "out_channels": 4, "kernel_size": 1}]),
        ),
        min_size=1,
        max_size=5,
    )


NETS = st.recursive(
    st.lists(LEAVES.filter(lambda x: "卷积" not in str(x)), min_size=1, max_size=3), _composites, max_leaves=6
)


class TestAnyNetwork:
    def test_a_shortcut_like_its_body_is_no_copy_of_it(self) -> None:
        stack, _ = parse({"layers": [CONV, {"type": "Residual", "layers": [CONV, CONV], "shortcut": [CONV, CONV]}]})
        plan, _ = make_plan(stack, (3, 16, 16), "float32")
        assert told(network(plan, "twins")) == names_of(plan)

    @settings(deadline=None, max_examples=30)
    @given(NETS)
    def test_every_layer_is_told_once_and_nothing_lies_over_anything_else(self, layers: list[Any]) -> None:
        stack, problems = parse({"layers": [CONV, *layers]})
        assert problems == []
        plan, problems = make_plan(stack, (3, 16, 16), "float32")
        assume(not problems)  # an Unpool needs as many channels as its pool has
        scene = network(plan, "网络")
        assert told(scene) == names_of(plan)
        check_order(scene)

    @pytest.mark.parametrize(
        ("layers", "shape"),
        [
            (["ReLU"], (3, 8, 8)),
            (["ReLU"], (5,)),
            ([{"type": "Conv1d", "out_channels": 2000, "kernel_size": 3}], (1, 100_000)),
            ([{"type": "Conv3d", "out_channels": 4, "kernel_size": 3}, "Flatten"], (1, 8, 30, 1000)),
            ([{"type": "AdaptiveAvgPool2d", "output_size": 1}], (1, 1, 4096)),
            ([{"type": "TransformerEncoderLayer", "nhead": 4, "batch_first": True}] * 3, (16, 32)),
            (["Flatten", *[{"type": "Linear", "out_features": 10**6, "bias": False}]], (1, 3, 3)),
            ([{"type": "Linear", "name": "long" * 30, "out_features": 3}], (4,)),
        ],
        ids=str,
    )
    def test_shapes_of_every_kind(self, layers: list[Any], shape: tuple[int, ...]) -> None:
        layers = [{**x, "d_model": 32} if "nhead" in x else x for x in layers]
        plan = planned(layers, shape)
        scene = network(plan, "net")
        check_order(scene)
        assert told(scene) == names_of(plan)
        assert scene.height < 1000

    def test_equal_layers_stand_once(self) -> None:
        scene = network(planned([CONV, *[{"type": "Linear", "out_features": 32}] * 5]), "net")
        texts = [s.text for s in scene.shapes if isinstance(s, Words)]
        assert "1–5  ×5" in texts
        assert len([text for text in texts if text.endswith("· Linear")]) == 1

    def test_a_smaller_picture_is_no_copy(self) -> None:
        halves = planned([{"type": "AvgPool2d", "kernel_size": 2}] * 3)
        assert [part.times for part in fold(halves.layers)] == [1, 1, 1]


EVIL = "<script>alert(1)</script>"


class TestNames:
    @pytest.mark.parametrize("name", [EVIL, "第一层卷积", "Größe & <b>", '"onload="alert(1)', "层" * 200])
    def test_names_do_no_harm(self, name: str) -> None:
        plan = planned([{**CONV, "name": name}, {"type": "Residual", "name": f"{name}2", "layers": ["ReLU"]}])
        scene = network(plan, name)
        check_order(scene)
        root = ElementTree.fromstring(svg.paint(scene))
        assert not [e for e in root.iter() if "script" in e.tag or any(key.startswith("on") for key in e.attrib)]
        assert root.findtext(f"{SVG}title") == name
        assert {name, f"{name}2"} <= set(told(scene))
        image = raster.paint(scene)
        assert image.size == (round(scene.width * 2), round(scene.height * 2))
        rows = Rows()
        rows.feed(page.page(plan, name))
        assert "script" not in rows.tags
        assert rows.cells[12] == name  # the first layer, after the row of the input

    def test_letters_that_the_font_lacks_are_drawn_all_the_same(self) -> None:
        def dark(text: str) -> int:
            scene = Scene(200, 40, "", "", (Words(10, 30, text, 20),))
            return sum(value < 128 for value in raster.paint(scene).convert("L").get_flattened_data())

        for text in ("漢", "×", "→", "−", "∞", "é", "⌊"):
            assert dark(text) > 10, text
        assert dark(" ") == 0
        assert lettering.width("漢字", 10) >= 20

    def test_a_text_that_is_cut_says_so(self) -> None:
        short = lettering.shortened("a long name of a layer", 10, 60)
        assert short.endswith("…")
        assert lettering.width(short, 10) <= 60
        assert lettering.shortened("short", 10, 60) == "short"


class Rows(HTMLParser):
    """The cells of a page's table, its tags and its title."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open = tag in ("td", "th")
        self.cells += [""] * self.open

    def handle_endtag(self, tag: str) -> None:
        self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            self.cells[-1] += data


class TestCommand:
    def test_svg(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "net.svg"
        assert main(["check", "model=lenet5", "--picture", str(file)]) == 0
        out, err = capsys.readouterr()
        assert "parameters" in out
        assert err.splitlines()[-1] == str(file)
        assert told(network(shipped("lenet5"), "")) == names_of(shipped("lenet5"))
        assert "lenet5 for " in (ElementTree.parse(file).getroot().findtext(f"{SVG}title") or "")

    def test_png(self, tmp_path: Path) -> None:
        file = tmp_path / "net.PNG"
        assert main(["check", "model=mlp", "--picture", str(file)]) == 0
        with Image.open(file) as image:
            assert image.format == "PNG"
            scene = drawn("mlp")
            assert image.size[1] == round(scene.height * 2)
            assert len(image.getcolors(1 << 24)) > 50

    def test_html_has_the_layers_as_a_table(self, tmp_path: Path) -> None:
        file = tmp_path / "net.html"
        assert main(["check", "model=unet", "--picture", str(file)]) == 0
        rows = Rows()
        rows.feed(file.read_text(encoding="utf-8"))
        plan = shipped("unet")
        walked = [*plan.walk()]
        assert len(rows.cells) == 6 * (2 + len(walked))
        assert rows.cells[12::6] == [name for _, name, _ in walked]
        learned = sum(int(text.replace(",", "")) for text in rows.cells[15::6] if text)
        assert learned == sum(p.numel() for p in plan.build().parameters())
        assert not rows.tags & {"script", "link", "iframe", "img"}

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["--picture", "net.pdf"], "error: --picture: net.pdf must end in .svg, .png or .html"),
            (["--picture", "a.svg", "--json"], "error: --picture draws one network; it does not go with --json"),
            (["--picture", "a.svg", "-m"], "error: --picture draws one network; it does not go with --multirun"),
            (
                ["--picture", "no/such/a.svg", "model=mlp"],
                "error: --picture: no/such/a.svg cannot be written: there is no folder no/such\n"
                "  hint: choose a folder that is there, or make it",
            ),
        ],
    )
    def test_what_cannot_be_drawn(
        self, words: list[str], expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        assert main(["check", *words]) == 2
        assert capsys.readouterr().err == f"{expected}\n1 problem; nothing was run\n"
        assert [*tmp_path.iterdir()] == []

    def test_a_wrong_config_is_not_drawn(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "net.svg"
        assert main(["check", "model=mlp", "optimizer.lr=-1", "--picture", str(file)]) == 2
        assert not file.exists()
        assert "1 problem" in capsys.readouterr().err


def test_the_picture_is_as_wide_as_it_says() -> None:
    scene = drawn("resnet18")
    found = re.search(r'width="([\d.]+)" height="([\d.]+)" viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.paint(scene))
    assert found
    assert found[1] == found[3]
    assert math.isclose(float(found[4]), scene.height, abs_tol=0.1)
