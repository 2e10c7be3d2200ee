"""Config files and overrides with one thing broken at random: refused with a place, or sound, and never a traceback."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cnnexp.cli import main
from cnnexp.config import packaged

pytestmark = pytest.mark.slow

GROUPS = ("trainer", "data", "task", "optimizer", "scheduler", "loss", "experiment")
BASES = {
    "model": [f.read_text(encoding="utf-8") for f in sorted((packaged() / "model").glob("*.yaml"))],
    "trainer": [(packaged() / "trainer/default.yaml").read_text(encoding="utf-8")],
    "data": [(packaged() / f"data/{n}.yaml").read_text(encoding="utf-8") for n in ("digits", "synthetic", "cifar10")],
    "task": [(packaged() / "task/classification.yaml").read_text(encoding="utf-8")],
    "optimizer": [f.read_text(encoding="utf-8") for f in sorted((packaged() / "optimizer").glob("*.yaml"))],
    "scheduler": [f.read_text(encoding="utf-8") for f in sorted((packaged() / "scheduler").glob("*.yaml"))],
    "loss": [f.read_text(encoding="utf-8") for f in sorted((packaged() / "loss").glob("*.yaml"))],
    "experiment": [f.read_text(encoding="utf-8") for f in sorted((packaged() / "experiment").glob("*.yaml"))],
}
PLACE = re.compile(r"^error: (\S+\.yaml:\d+:\d+|override '.*':) .", re.MULTILINE)
WRONG_VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 10**6, 10**12, 10**25, -(10**25), float("inf"), float("nan"), "", "x", "ReLU", "3", [], [1],
    [1, 2, 3], [[1]], {}, {"a": 1}, {"type": "ReLU"}, "${model.nope}", "${nope}", "${model}", "???", "${", "$x", "a.b",
]  # fmt: skip

mutated = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # the examples are short already, and shrinking one takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(scope="module", autouse=True)
def _working_folder() -> Iterator[None]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def check(group: str, text: str, *words: str) -> tuple[int, str]:
    """`cnnexp check group=mine` with this text in its file: exit code and standard error."""
    file = Path("conf", group, "mine.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        return run("check", f"{group}=mine", *words)
    finally:
        file.unlink()


def run(*words: str) -> tuple[int, str]:
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    return code, told.getvalue()


def assert_told(code: int, told: str) -> None:
    """Sound and silent, or refused with a place, in lines that a person can read."""
    assert code in (0, 2), told
    assert "Traceback" not in told
    if code == 0:
        assert told == ""
        return
    assert PLACE.search(told), told
    assert re.search(r"\n\d+ problems?; nothing was run\n$", told), told
    assert all(re.match(r"error: |  hint: |\d+ problem", line) for line in told.splitlines()), told


def spots(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The key paths of all values in a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [spot for key, value in items for spot in ((*path, key), *spots(value, (*path, key)))]


def parent(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        tree = tree[key]
    return tree


def set_value(tree: Any, path: tuple[Any, ...], draw: Callable[..., Any]) -> None:
    parent(tree, path)[path[-1]] = copy.deepcopy(draw(st.sampled_from(WRONG_VALUES)))


def drop(tree: Any, path: tuple[Any, ...], draw: Callable[..., Any]) -> None:
    del parent(tree, path)[path[-1]]


def misspell(tree: Any, path: tuple[Any, ...], draw: Callable[..., Any]) -> None:
    holder, key = parent(tree, path), path[-1]
    if isinstance(holder, dict):
        at = draw(st.integers(0, len(key) - 1))
        changed = draw(st.sampled_from([key[:at] + key[at + 1 :], key[:at] + "q" + key[at:], key.upper(), key + " "]))
        holder[changed] = holder.pop(key)
    elif isinstance(holder[key], str):
        holder[key] = holder[key] + "x"


def wrap(tree: Any, path: tuple[Any, ...], draw: Callable[..., Any]) -> None:
    holder = parent(tree, path)
    holder[path[-1]] = draw(
        st.sampled_from([[holder[path[-1]]], {"type": holder[path[-1]]}, {"layers": holder[path[-1]]}])
    )


def swap(tree: Any, path: tuple[Any, ...], draw: Callable[..., Any]) -> None:
    holder, other = parent(tree, path), draw(st.sampled_from(spots(tree)))
    there = parent(tree, other)
    if path[: len(other)] != other and other[: len(path)] != path:
        holder[path[-1]], there[other[-1]] = there[other[-1]], holder[path[-1]]


def repeat(tree: Any, path: tuple[Any, ...], draw: Callable[..., Any]) -> None:
    holder = parent(tree, path)
    if isinstance(holder, list):
        holder.insert(draw(st.integers(0, len(holder))), copy.deepcopy(holder[path[-1]]))


TREE_CHANGES = (set_value, drop, misspell, wrap, swap, repeat)


@st.composite
def changed_trees(draw: Callable[..., Any], group: str) -> str:
    """A shipped file with one to three of its values changed, dropped, misspelt, wrapped, swapped or repeated."""
    text = draw(st.sampled_from(BASES[group]))
    tree = yaml.safe_load(text)
    for _ in range(draw(st.integers(1, 3))):
        found = spots(tree)
        if found:
            draw(st.sampled_from(TREE_CHANGES))(tree, draw(st.sampled_from(found)), draw)
    head = "# @package _global_\n" if text.startswith("# @package") else ""
    flow = draw(st.sampled_from([None, False]))
    return head + yaml.safe_dump(tree, sort_keys=False, default_flow_style=flow, width=10_000)


@st.composite
def changed_texts(draw: Callable[..., Any], group: str) -> str:
    """A shipped file with brackets, quotes, colons or indentation lost, and lines doubled, cut or joined."""
    lines = draw(st.sampled_from(BASES[group])).splitlines()
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        cut = draw(st.integers(0, len(line)))
        lines[at : at + 1] = draw(
            st.sampled_from(
                [
                    [line, line], [], [line[:cut]], [line[cut:]], [line[:cut], line[cut:]], [f"  {line}"],
                    [f"\t{line}"],
                    [line.replace("}", "", 1)], [line.replace("{", "", 1)], [line.replace("]", "", 1)],
                    [line.replace('"', "")], [line.replace('"', "", 1)], [line.replace(":", "", 1)],
                    [line.replace(":", "::", 1)], [line.replace(": ", ":", 1)], [line.replace(",", "", 1)],
                    [line[:cut] + draw(st.sampled_from("{}[]:,&*!|>'\"%@`#-?~\x00\t $")) + line[cut:]],
                ]
            )
        )  # fmt: skip
        lines = lines or [""]
    return "\n".join(lines) + "\n"


@mutated
@given(text=st.one_of(changed_trees("model"), changed_texts("model")))
def test_a_mutated_model(text: str) -> None:
    assert_told(*check("model", text))


@pytest.mark.parametrize("group", GROUPS)
@settings(mutated, max_examples=12)
@given(data=st.data())
def test_another_mutated_file(group: str, data: st.DataObject) -> None:
    assert_told(*check(group, data.draw(st.one_of(changed_trees(group), changed_texts(group)))))


LAYERS = yaml.safe_load((packaged() / "model/net.yaml").read_text(encoding="utf-8"))["layers"]
MAPPINGS = [i for i, layer in enumerate(LAYERS) if isinstance(layer, dict)]
NEVER_A_NUMBER: list[Any] = [0, -1, 1.5, "x", "3", True, None, [], {}, [[1]], {"a": 1}]


@st.composite
def wrong_models(draw: Callable[..., Any]) -> str:
    """The network `net` with one mistake that cannot be right in any reading."""
    model = yaml.safe_load((packaged() / "model/net.yaml").read_text(encoding="utf-8"))
    layers, at = model["layers"], draw(st.sampled_from(MAPPINGS))
    size = next(k for k in ("kernel_size", "out_features") if k in layers[at])
    kind = draw(st.sampled_from(["value", "type", "unknown", "missing", "size", "entry", "shape", "doubled", "open"]))
    if kind == "value":
        layers[at][size] = draw(st.sampled_from(NEVER_A_NUMBER))
    elif kind == "type":
        layers[at]["type"] = layers[at]["type"] + draw(st.sampled_from(["x", "4d", "Loss", ".", " "])) + "q"
    elif kind == "unknown":
        layers[at][draw(st.from_regex(r"q[a-z]{3,8}", fullmatch=True))] = 1
    elif kind == "missing":
        del layers[at][size]
    elif kind == "size":
        name = "in_features" if size == "out_features" else "kernel_size"
        layers[at][name] = draw(st.integers(1000, 10**9))
    elif kind == "entry":
        layers.insert(draw(st.integers(0, len(layers))), draw(st.sampled_from([3, True, [], [1], {}, "Conv4d", 1.5])))
    elif kind == "shape":
        layers.insert(draw(st.integers(0, 5)), "Flatten")
    text = yaml.safe_dump(model, sort_keys=False, width=10_000)
    if kind == "doubled":
        text += "layers: []\n"
    return f"{text}extra: {{a: [1, 2\n" if kind == "open" else text


@settings(mutated, max_examples=20)
@given(text=wrong_models())
def test_a_model_that_cannot_be_right_is_always_refused_at_a_line_of_its_file(text: str) -> None:
    code, told = check("model", text)

    assert_told(code, told)
    assert code == 2
    assert re.search(r"^error: conf/model/mine\.yaml:\d+:\d+ ", told, re.MULTILINE), told


KEYS = ("model", "seed", "trainer.max_epochs", "model.layers.0.stride", "model.layers", "optimizer.lr", "data.shape")
odd_keys = st.text(st.sampled_from("abm.[]0+~@/:_-$ "), max_size=8)
odd_values = st.one_of(
    st.text(max_size=12),
    st.text(st.sampled_from("{}[](),:='\"\\$ ax1.-+~@?*"), max_size=12),
    st.sampled_from([str(v) for v in WRONG_VALUES]),
    st.integers(1, 400).map(lambda n: "[" * n + "]" * n),
    st.integers(1, 6000).map(lambda n: "9" * n),
)
overrides = st.one_of(
    st.builds("{}{}={}".format, st.sampled_from(["", "+", "++", "~"]), st.sampled_from(KEYS), odd_values),
    st.builds("{}={}".format, odd_keys, odd_values),
    st.integers(200, 5000).map(lambda n: "a" * n + "=1"),
    st.text(max_size=20),
).filter(lambda text: not text.startswith("-") and not text.startswith("hydra"))


@mutated
@given(override=overrides)
def test_a_random_override(override: str) -> None:
    code, told = run("check", "--", override)

    assert code in (0, 2), told
    assert "Traceback" not in told
    assert (code == 0) == (told == "")
    assert code == 0 or told.startswith("error: ")


@settings(mutated, max_examples=20)
@given(override=overrides)
def test_a_random_override_of_a_recorded_config(override: str) -> None:
    file = Path("recorded.yaml")
    if not file.exists():
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            assert main(["--cfg", "job", "--resolve"]) == 0
        file.write_text(shown.getvalue(), encoding="utf-8")
    code, told = run("check", "--from", "recorded.yaml", "--", override)

    assert code in (0, 2), told
    assert (code == 0) == (told == "")
