"""A YAML file is looked at before anything is built from it; whatever is wrong with it is one line with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cnnexp.cli import main
from cnnexp.config import reading
from cnnexp.errors import ConfigError

pytestmark = pytest.mark.slow

MINE = "conf/model/mine.yaml"
SOUND = "layers:\n  - Flatten\n  - {type: Linear, out_features: 10}\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 7)
)
COMMA = "close the bracket, or put the comma that is missing"
INDENT = "check the indentation and the colon of this line and the one before"

Check = Callable[[str | bytes], tuple[int, str, str]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """`cnnexp check model=mine` with this text in conf/model/mine.yaml: exit code, standard error, standard output."""
    monkeypatch.chdir(tmp_path)

    def run(text: str | bytes) -> tuple[int, str, str]:
        file = tmp_path / MINE
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        code = main(["check", "model=mine"])
        out, err = capsys.readouterr()
        return code, err, out

    return run


def one_problem(place: str, message: str, hint: str | None = None) -> str:
    cure = f"\n  hint: {hint}" if hint else ""
    return f"error: {MINE}:{place} {message}{cure}\n1 problem; nothing was run\n"


def quoted(reference: str) -> tuple[str, str]:
    return f"{reference} must be quoted inside {{…}} and […]", f'write "{reference}"'


LIMITS = {
    "more than a mebibyte": (f"# {'x' * (1 << 20)}\n{SOUND}", "1:1", "the file is larger than 1 MiB", None),
    "2,000 lists in each other": (
        f"layers: {'[' * 2000}{']' * 2000}\n", "1:40", "nested deeper than 32 levels", None
    ),
    "2,000 mappings in each other": (
        f"layers: {'{a: ' * 2000}{'}' * 2000}\n", "1:133", "nested deeper than 32 levels", None
    ),
    "2,000 lists never closed": (f"layers: {'[' * 2000}\n", "1:40", "nested deeper than 32 levels", None),
    "2,000 lists in block style": (f"{'- ' * 2000}x\n", "1:65", "nested deeper than 32 levels", None),
    "an alias bomb of 7 levels": (BOMB, "5:10", "the file holds more than 10000 values", None),
    "more than 10,000 values": (
        "layers:\n" + "  - ReLU\n" * 10_001, "9999:5", "the file holds more than 10000 values", None
    ),
    "more than 100 aliases": (
        f"v: &v 1\nw: [{', '.join(['*v'] * 101)}]\n{SOUND}", "2:405", "the file holds more than 100 aliases", None
    ),
    "an alias inside its own anchor": (
        f"a: &a [*a]\n{SOUND}", "1:8", "the alias '*a' stands inside what it stands for", None
    ),
}  # fmt: skip

FORBIDDEN = {
    "a tag that runs code": (
        'layers: !!python/object/apply:os.system ["echo"]\n', "1:9",
        "the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed: a config is plain data", None,
    ),
    "a tag on a value": (
        "layers: !!str 3\n", "1:9", "the tag 'tag:yaml.org,2002:str' is not allowed: a config is plain data", None
    ),
    "a tag of one's own": (
        "layers: !mine {a: 1}\n", "1:9", "the tag '!mine' is not allowed: a config is plain data", None
    ),
    "a key twice at the top": (
        "layers: [ReLU]\nlayers: [Flatten]\n", "2:1",
        "the key 'layers' stands here a second time; the first is in line 1", "keep one of them",
    ),
    "a key twice in a layer": (
        "layers:\n  - {type: Linear, out_features: 10, out_features: 11}\n", "2:38",
        "the key 'out_features' stands here a second time; the first is in line 2", "keep one of them",
    ),
    "a list as a key": (
        f"? [a, b]\n: 1\n{SOUND}", "1:3", "a key must be a single text, not a list or a mapping", None
    ),
    "null as a key": (f"null: 2\n{SOUND}", "1:1", "a key must be a single text, not null", None),
    "two documents": (f"{SOUND}---\n{SOUND}", "4:1", "a second document begins here",
        "write one document for each file"),
    "Latin-1": (b"layers:\n  - caf\xe9\n", "2:1", "the file is not UTF-8 text", "save it as UTF-8"),
    "UTF-16": (b"\xff\xfe" + SOUND.encode("utf-16-le"), "1:1", "the file is not UTF-8 text", "save it as UTF-8"),
    "a merge with a number": (
        f"<<: 3\n{SOUND}", "1:1", "'<<' merges a mapping or a list of mappings into this one, not '3'", None
    ),
}  # fmt: skip

SYNTAX = {
    "a tab for the indentation": ("layers:\n\t- Flatten\n", "2:1", "the line is indented with a tab",
        "indent with spaces"),
    "a tab further down": (
        "layers:\n  - Flatten\n\t- ReLU\n", "3:1", "the line is indented with a tab", "indent with spaces"
    ),
    "a bracket never closed in a layer": (
        "layers:\n  - {type: Conv2d, out_channels: 4\n  - Flatten\n", "4:1",
        "not valid YAML: did not find expected ',' or '}' while parsing a flow mapping", COMMA,
    ),
    "a bracket never closed": (
        "layers: [Flatten, ReLU\n", "2:1",
        "not valid YAML: did not find expected ',' or ']' while parsing a flow sequence", COMMA,
    ),
    "a comma too many": (
        "layers: [ReLU,,]\n", "1:15",
        "not valid YAML: did not find expected node content while parsing a flow node", None
    ),
    "a double quote never closed": (
        'layers:\n  - "Flatten\n  - ReLU\n', "2:5", "not valid YAML: the quote that opens here is never closed", None
    ),
    "a single quote never closed": (
        "layers:\n  - 'Flatten\n  - ReLU\n", "2:5", "not valid YAML: the quote that opens here is never closed", None
    ),
    "an entry out of line": (
        "layers:\n  - Flatten\n - ReLU\n", "3:2",
        "not valid YAML: did not find expected key while parsing a block mapping", INDENT,
    ),
    "two colons in a line": (
        "a: b: c\n", "1:5", "not valid YAML: mapping values are not allowed in this context", INDENT
    ),
    "an at sign": (
        "layers: @x\n", "1:9",
        "not valid YAML: found character that cannot start any token while scanning for the next token",
        "put the value in quotes",
    ),
    "an alias of nothing": ("layers:\n  - *nope\n", "2:5", "not valid YAML: found undefined alias", None),
    "an escape that does not exist": (
        'a: "\\q"\n', "1:5", "not valid YAML: found unknown escape character while parsing a quoted scalar", None
    ),
    "a control character": (
        "a: 1\nb: x\x00\n", "2:5", "not valid YAML: the control character #x0000 is not allowed", None
    ),
    "a reference never closed": (
        f"a: ${{model.b\n{SOUND}", "1:4", "the reference '${model.b' cannot be read",
        "references are written ${model.stride}"
    ),
    "a quoted reference never closed": (
        f'a: 1\nb: "${{model.a"\n{SOUND}', "2:4", "the reference '${model.a' cannot be read",
        "references are written ${model.stride}",
    ),
}  # fmt: skip

UNQUOTED = {
    "last in a mapping": ("layers:\n  - {type: Flatten, start_dim: ${model.a}}\n", "2:32", *quoted("${model.a}")),
    "first in a mapping": ("layers:\n  - {start_dim: ${model.a}, type: Flatten}\n", "2:17", *quoted("${model.a}")),
    "last in a list": ("layers: [Flatten, ${model.a}]\n", "1:19", *quoted("${model.a}")),
    "first in a list": ("layers: [${model.a}, Flatten]\n", "1:10", *quoted("${model.a}")),
    "in a list in a mapping": ("layers:\n  - {kernel_size: [3, ${model.a}]}\n", "2:23", *quoted("${model.a}")),
    "after a quoted one": ('layers: ["${model.a}", ${model.b}]\n', "1:24", *quoted("${model.b}")),
    "in a mapping of several lines": (
        "layers:\n  - {type: Conv2d,\n     stride: ${model.a},\n     kernel_size: 3}\n", "3:14", *quoted("${model.a}")
    ),
    "in a list of several lines": ("layers: [\n  Flatten,\n  ${model.a},\n]\n", "3:3", *quoted("${model.a}")),
    "a value that must be given": ("blocks: {a: {params: {x: ???}}}\n", "1:26", *quoted("???")),
    "of another key": ("layers: [Flatten, ${data.num_classes}]\n", "1:19", *quoted("${data.num_classes}")),
    "with a resolver": ("a: [${oc.env:HOME}]\n", "1:5", *quoted("${oc.env:HOME}")),
}  # fmt: skip

KINDS = {
    "a list": ("- Flatten\n", "1:1", "a config file must be a mapping, not a list", None),
    "a list below a comment": ("# mine\n\n  - Flatten\n", "3:3", "a config file must be a mapping, not a list", None),
    "a number": ("3\n", "1:1", "a config file must be a mapping, not '3'", None),
    "a text": ("hello\n", "1:1", "a config file must be a mapping, not 'hello'", None),
    "null": ("null\n", "1:1", "a config file must be a mapping, not 'null'", None),
    "empty": ("", "1:1", "a model needs a list 'layers'", None),
    "only a comment": ("# nothing yet\n", "1:1", "a model needs a list 'layers'", None),
    "an empty mapping": ("{}\n", "1:1", "a model needs a list 'layers'", None),
}  # fmt: skip

ROWS = {**LIMITS, **FORBIDDEN, **SYNTAX, **UNQUOTED, **KINDS}


@pytest.mark.parametrize(("text", "place", "message", "hint"), ROWS.values(), ids=ROWS)
def test_what_is_wrong_with_a_file_is_one_located_problem(
    check: Check, text: str | bytes, place: str, message: str, hint: str | None
) -> None:
    code, told, _ = check(text)

    assert told == one_problem(place, message, hint)
    assert code == 2


HARMLESS = {
    "as it is": SOUND,
    "an anchor and its alias": "base: &b {type: Linear, out_features: 10}\nlayers:\n  - Flatten\n  - *b\n",
    "a merged mapping": "base: &b {type: Linear, out_features: 10}\nlayers:\n  - Flatten\n  - {<<: *b, bias: false}\n",
    "exactly 100 aliases": f"v: &v 1\nw: [{', '.join(['*v'] * 100)}]\n{SOUND}",
    "the same key in two layers": f"{SOUND}  - {{type: Linear, out_features: 10}}\n",
    "a byte order mark": b"\xef\xbb\xbf" + SOUND.encode(),
    "Windows line ends": SOUND.replace("\n", "\r\n"),
    "one marked document": f"---\n{SOUND}",
    "umlauts in a comment": f"# für später\n{SOUND}",
    "block style references": "n: 10\nlayers:\n  - Flatten\n  - type: Linear\n    out_features: ${model.n}\n",
    "quoted references": 'n: 10\nlayers: [Flatten, {type: Linear, out_features: "${model.n}"}]\n',
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_harmless_files_pass(check: Check, text: str | bytes) -> None:
    code, told, out = check(text)

    assert told == ""
    assert code == 0
    assert "parameters" in out


@pytest.mark.parametrize("group", ["data", "task", "loss", "optimizer", "scheduler", "trainer", "logger", "experiment"])
def test_every_group_is_looked_at(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "conf" / group / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("a: [!!python/name:os.system '']\n")

    assert main(["check", f"{group}=mine"]) == 2

    assert capsys.readouterr().err == (
        f"error: conf/{group}/mine.yaml:1:5 the tag 'tag:yaml.org,2002:python/name:os.system' is not allowed:"
        " a config is plain data\n1 problem; nothing was run\n"
    )


def test_a_file_that_another_file_names_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/model").mkdir(parents=True)
    (tmp_path / "conf/model/base.yaml").write_text("layers: [Flatten\n")
    (tmp_path / "conf/model/mine.yaml").write_text("defaults: [base, _self_]\n")

    assert main(["check", "model=mine"]) == 2

    assert capsys.readouterr().err == (
        "error: conf/model/base.yaml:2:1 not valid YAML: did not find expected ',' or ']'"
        f" while parsing a flow sequence\n  hint: {COMMA}\n1 problem; nothing was run\n"
    )


@pytest.mark.parametrize(("text", "place", "message", "hint"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_recorded_config_is_looked_at(
    text: str | bytes,
    place: str,
    message: str,
    hint: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / MINE
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)

    assert main(["check", "--from", MINE]) == 2

    assert capsys.readouterr().err == one_problem(place, message, hint)


def test_a_folder_in_place_of_a_file_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()

    with pytest.raises(
        ConfigError, match=r"^error: folder cannot be read: Is a directory\n1 problem; nothing was run$"
    ):
        reading.read(Path("folder"))


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 1\n")
    first = reading.read(file)
    file.write_text("a: 1\nb: 2\n")
    second = reading.read(file)

    assert first is not None
    assert second is not None
    assert (len(first.value), len(second.value)) == (1, 2)


def test_a_file_is_named_from_the_working_directory_where_it_lies_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()

    assert reading.shown(tmp_path / "sub" / "a.yaml") == "sub/a.yaml"
    monkeypatch.chdir(tmp_path / "sub")
    assert reading.shown(tmp_path / "a.yaml") == str(tmp_path.resolve() / "a.yaml")
