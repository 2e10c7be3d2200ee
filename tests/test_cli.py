"""The command line: verbs and flags, what goes to which stream, exit codes, and what is not imported."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from cnnexp.cli import main
from cnnexp.config import packaged
from cnnexp.errors import Interrupted
from cnnexp.version import __version__

SOUND = "layers:\n  - Flatten\n  - {type: Linear, out_features: 10}\n"
MINE = {"conf/model/mine.yaml": SOUND}
VERBS = "there are train, check, code, show, runs, report, resume, layers, schema"
OPTIONS = "cnnexp --help lists the options"


class Said(NamedTuple):
    code: int
    out: str
    err: str


Cnnexp = Callable[..., Said]


@pytest.fixture
def cnnexp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cnnexp:
    """The command in an empty working folder, with these files in it."""
    monkeypatch.chdir(tmp_path)
    # Hydra's --info and hydra.verbose set up the root logger for the one process they expect to be in.
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    monkeypatch.setattr(logging.root, "level", logging.root.level)

    def run(*words: str, files: Mapping[str, str] | None = None) -> Said:
        for name, text in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        code = main(words)
        return Said(code, *capsys.readouterr())

    return run


def refused(message: str, hint: str | None = None) -> Said:
    cure = f"\n  hint: {hint}" if hint else ""
    return Said(2, "", f"error: {message}{cure}\n1 problem; nothing was run\n")


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], ["check", "--help"], ["check", "-h", "modell=x"], ["runs", "-h"]]
)
def test_help_names_every_verb_choice_and_option(cnnexp: Cnnexp, words: list[str]) -> None:
    said = cnnexp(*words, files=MINE)

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"cnnexp {__version__}: declare, check, train, sweep and compare")
    for verb in ("train", "check", "code", "runs"):
        assert f"\n  {verb:8}" in said.out
    for folder in [f for f in packaged().iterdir() if f.is_dir()]:
        assert f"\n  {folder.name:12}" in said.out
    for option in ("--multirun", "--from FILE", "--json", "--cfg job", "--info", "--config-dir DIR", "--config-name"):
        assert option in said.out
    assert "mine, mlp" in said.out, "a file of one's own is a choice"


def test_version(cnnexp: Cnnexp) -> None:
    assert cnnexp("--version") == Said(0, f"cnnexp {__version__}\n", "")


WRONG = {
    "a verb that is misspelt": (
        ["chek"], "there is no command 'chek'; did you mean 'check'?", f"{VERBS}; an override is written key=value"
    ),
    "a verb that does not exist": (
        ["frobnicate"], "there is no command 'frobnicate'", f"{VERBS}; an override is written key=value"
    ),
    "no verb at all": ([""], "there is no command ''", f"{VERBS}; an override is written key=value"),
    "a flag": (["check", "--jsn"], "unrecognized arguments: --jsn", OPTIONS),
    "a flag of another verb": (["show", "--json"], "unrecognized arguments: --json", OPTIONS),
    "a flag without a verb": (["--nope"], "unrecognized arguments: --nope", OPTIONS),
    "half a flag": (["check", "--js"], "unrecognized arguments: --js", OPTIONS),
    "a flag without its value": (["check", "--cfg"], "argument --cfg/-c: expected one argument", OPTIONS),
    "a second folder": (["runs", "a", "b"], "unrecognized arguments: b", OPTIONS),
    "nothing to resume": (
        ["resume"], "resume needs the folder of a run or of a sweep", "cnnexp runs lists them"
    ),
    "a verb after the verb": (
        ["train", "check"], "'check' is a command, and a command stands first", "cnnexp check …"
    ),
    "a verb after a flag": (["--run", "check"], "'check' is a command, and a command stands first", "cnnexp check …"),
    "a folder that does not exist": (
        ["check", "--config-dir", "nope"], "--config-dir: there is no folder 'nope'", None
    ),
    "a file that does not exist": (
        ["--from", "nope.yaml"], "nope.yaml cannot be read: No such file or directory", None
    ),
    "a file that is a folder": (["check", "--from", "."], ". cannot be read: Is a directory", None),
    "a sweep from a file": (
        ["--from", "a.yaml", "-m"], "--from repeats one run; it does not go with --multirun", None
    ),
    "a sweep of nothing": (
        ["--multirun"], "nothing is swept: --multirun wants several values for a key",
        "for example --multirun model.activation=relu,sigmoid",
    ),
    "a sweep of one": (
        ["check", "-m", "seed=1"], "nothing is swept: --multirun wants several values for a key",
        "for example --multirun model.activation=relu,sigmoid",
    ),
    "a package that does not exist": (
        ["--cfg", "job", "--package", "nope"], "--package: there is nothing at 'nope' in the config", None
    ),
    "a config that is misspelt": (
        ["check", "-cn", "confg"], "--config-name: there is no config 'confg'; did you mean 'config'?", None
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "message", "hint"), WRONG.values(), ids=WRONG)
def test_a_command_that_is_wrong(cnnexp: Cnnexp, words: list[str], message: str, hint: str | None) -> None:
    assert cnnexp(*words) == refused(message, hint)


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP"), (99, "signal 99")],
)
def test_a_signal_has_a_name(number: int, name: str) -> None:
    assert str(Interrupted(number)) == f"interrupted by {name}"
    assert str(Interrupted(number, Path("a"))) == f"interrupted by {name}; recorded in a"


@pytest.mark.parametrize("verb", ["test", "predict", "export"])
def test_a_verb_that_is_yet_to_come(cnnexp: Cnnexp, verb: str) -> None:
    assert cnnexp(verb) == refused(f"the command '{verb}' is not part of this version", VERBS)


def test_the_composed_config(cnnexp: Cnnexp) -> None:
    said = cnnexp("--cfg", "job", "model=net", "seed=7")

    assert (said.code, said.err) == (0, "")
    config = yaml.safe_load(said.out)
    assert (config["seed"], config["model"]["layers"][-1]["out_features"]) == (7, "${data.num_classes}")


@pytest.mark.slow
def test_the_composed_config_with_its_references_resolved(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "--cfg", "job", "--resolve", "model=net")

    assert yaml.safe_load(said.out)["model"]["layers"][-1]["out_features"] == 10


@pytest.mark.parametrize("flag", [["--cfg", "job"], ["--info", "defaults"], ["--info", "config"]])
def test_a_config_that_cannot_be_shown(cnnexp: Cnnexp, flag: list[str]) -> None:
    assert cnnexp(*flag, "modell=x") == refused("override 'modell=x': there is no key 'modell'; did you mean 'model'?")


@pytest.mark.parametrize("flag", [["--cfg", "job"], ["--info", "defaults"], ["--info", "config"]])
def test_a_sweep_has_no_single_config_to_show(cnnexp: Cnnexp, flag: list[str]) -> None:
    said = cnnexp("--multirun", *flag, "model=net,tudui")

    assert (said.code, said.out) == (2, "")
    assert said.err == (
        f"error: {flag[0]} shows one config; it does not go with --multirun\n1 problem; nothing was run\n"
    )


def test_how_the_config_was_put_together(cnnexp: Cnnexp) -> None:
    said = cnnexp("--info", "defaults", "model=net")

    assert (said.code, said.err) == (0, "")
    assert "| model/net " in said.out
    assert "| trainer/default " in said.out


def test_a_file_in_the_working_folder_is_a_choice(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "model=mine", files=MINE)

    assert (said.code, said.err) == (0, "")
    assert "Linear(3072, 10)" in said.out
    assert said.out.endswith("30,730 parameters, 30,720 multiply-adds per sample\n")


def test_a_folder_of_the_command_line_goes_after_the_working_folder(cnnexp: Cnnexp) -> None:
    other = "layers: [Flatten, {type: Linear, out_features: 10, bias: false}]\n"
    files = {**MINE, "more/model/mine.yaml": other, "more/model/other.yaml": other}

    assert "30,730 parameters" in cnnexp("check", "model=mine", "--config-dir", "more", files=files).out
    assert "30,720 parameters" in cnnexp("check", "model=other", "--config-dir", "more").out


@pytest.mark.slow
def test_another_primary_config(cnnexp: Cnnexp) -> None:
    text = "defaults:\n  - config\n  - override model: net\n  - _self_\nseed: 7\n"
    said = cnnexp("--cfg", "job", "-cn", "mine", files={"conf/mine.yaml": text})

    assert (said.code, said.err) == (0, "")
    assert yaml.safe_load(said.out)["seed"] == 7


def test_a_primary_config_without_self_is_no_reason_for_a_warning(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "-cn", "mine", files={"conf/mine.yaml": "defaults:\n  - config\nseed: 7\n"})

    assert (said.code, said.err) == (0, "")


def test_check_as_json(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "--json", "model=mine", files=MINE)
    told = json.loads(said.out)

    assert (said.code, said.err, told["problems"]) == (0, "", [])
    assert (told["plan"]["parameters"], told["plan"]["output_shape"]) == (30_730, [10])


def test_problems_as_json(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "--json", "model=mine", files={"conf/model/mine.yaml": SOUND.replace("out_", "ot_")})

    assert (said.code, said.err) == (2, "")
    assert json.loads(said.out)["problems"] == [
        {
            "code": "unknown-parameter",
            "path": "model.layers[1].ot_features",
            "message": "layers[1] Linear: unknown parameter 'ot_features'; did you mean 'out_features'?",
            "hint": None,
            "where": "conf/model/mine.yaml:3:20",
        }
    ]


@pytest.mark.parametrize("files", [{"conf/model/mine.yaml": "layers: [\n"}, {"conf/model/mine.yaml": "- a\n"}])
def test_problems_of_a_file_that_cannot_be_read_as_json(cnnexp: Cnnexp, files: dict[str, str]) -> None:
    said = cnnexp("check", "--json", "model=mine", files=files)

    assert (said.code, said.err) == (2, "")
    assert [p["where"].partition(":")[0] for p in json.loads(said.out)["problems"]] == ["conf/model/mine.yaml"]


def test_a_value_that_cannot_be_is_told_once(cnnexp: Cnnexp) -> None:
    text = "width: ${model.wdth}\n" + SOUND.replace("10}", '"${model.width}"}')
    said = cnnexp("check", "--json", "model=mine", "data.batch_size=???", files={"conf/model/mine.yaml": text})

    told = [(p["code"], p["path"]) for p in json.loads(said.out)["problems"]]
    assert told == [("bad-reference", "model.width"), ("missing-value", "data.batch_size")]


def test_all_problems_at_once(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "--json", "modell=x", "optimizer.momentun=0.9", "optimizer.lr=-1", "seed=x")

    told = {p["where"] for p in json.loads(said.out)["problems"]}
    assert told == {f"override '{o}'" for o in ("modell=x", "optimizer.momentun=0.9", "optimizer.lr=-1", "seed=x")}


def test_options_and_overrides_may_come_in_any_order(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "seed=1", "--json", "model=mine", files=MINE)

    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)["plan"]["parameters"] == 30_730


def test_check_shows_the_table_up_to_the_layer_that_failed(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "model=tudui", "model.stride=9")

    assert said.code == 2
    assert said.err == (
        f"error: {packaged()}/model/tudui.yaml:8:25 layers[5] MaxPool2d:"
        " its 2×2 window is larger than the 1×1 that arrives\n"
        "  hint: the sizes on the way: 32×32 → 4×4 after layers[0] Conv2d → 2×2 after layers[2] MaxPool2d"
        " → 1×1 after layers[3] Conv2d\n1 problem; nothing was run\n"
    )
    assert said.out.count("Conv2d(") == 2
    assert said.out.count("MaxPool2d(") == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", [["model=tudi"], ["model=broken"]])
def test_check_shows_no_table_of_another_network_than_the_one_asked_for(cnnexp: Cnnexp, words: list[str]) -> None:
    said = cnnexp("check", *words, files={"conf/model/broken.yaml": "layers: [\n"})

    assert (said.code, said.out) == (2, "")


def test_a_network_for_another_number_of_classes(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "model=mine", "data=cifar100", files=MINE)

    assert said.code == 2
    assert said.err == (
        "error: conf/model/mine.yaml:3:20 layers[1] Linear: out_features (=10) must be 100,"
        " the number of classes of data 'cifar100'\n"
        '  hint: write out_features: "${data.num_classes}"\n1 problem; nothing was run\n'
    )
    assert "Linear(3072, 10)" in said.out


@pytest.mark.slow
def test_check_of_a_sweep(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "--multirun", "model=mine", "model.layers.1.bias=true,false", "seed=1,2", files=MINE)

    assert (said.code, said.err) == (0, "")
    heading, _, *rows = said.out.splitlines()
    assert heading.split() == ["#", "bias", "seed", "output", "verdict", "parameters", "multiply-adds"]
    assert [row.split() for row in rows] == [
        [str(number), bias, seed, "10", "fits", parameters, "30,720"]
        for number, (bias, seed, parameters) in enumerate(
            (bias, seed, parameters) for bias, parameters in (("true", "30,730"), ("false", "30,720")) for seed in "12"
        )
    ]


@pytest.mark.slow
def test_check_of_a_sweep_as_json(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "--json", "-m", "model=mine", "model.layers.1.bias=true,false", files=MINE)

    assert [point["plan"]["parameters"] for point in json.loads(said.out)] == [30_730, 30_720]


@pytest.mark.slow
def test_every_point_of_a_sweep_that_cannot_be_is_told(cnnexp: Cnnexp) -> None:
    said = cnnexp("check", "--multirun", "model=mine", "model.layers.1.out_features=9,10,11", "seed=1,2", files=MINE)

    assert said.code == 2
    assert [row.split()[3:] for row in said.out.splitlines()[2:]] == [
        *[["wrong-classes"]] * 2,
        *[["10", "fits", "30,730", "30,720"]] * 2,
        *[["wrong-classes"]] * 2,
    ]
    assert (
        said.err
        == "".join(
            f"error: override 'model.layers.1.out_features={n}': layers[1] Linear: out_features (={n}) must be 10,"
            f" the number of classes of data 'digits'"
            f" [model.layers.1.out_features={n} seed=1; model.layers.1.out_features={n} seed=2]\n"
            '  hint: write out_features: "${data.num_classes}"\n'
            for n in (9, 11)
        )
        + "2 problems; 4 of 6 points cannot run; nothing was run\n"
    )


def test_the_source_of_a_network(cnnexp: Cnnexp) -> None:
    said = cnnexp("code", "model=mine", files=MINE)

    assert (said.code, said.err) == (0, "")
    assert said.out == (
        '"""mine for digits: 3×32×32 in, 10 out."""\n\nfrom torch import nn\n\nmodel = nn.Sequential(\n'
        "    nn.Flatten(),\n    nn.Linear(3072, 10),\n)\n"
    )


@pytest.mark.parametrize("verb", [[], ["train"], ["code"], ["--multirun"]])
def test_what_is_refused_leaves_no_trace(cnnexp: Cnnexp, tmp_path: Path, verb: list[str]) -> None:
    said = cnnexp(*verb, "model.layers.0.stride=0", *(["seed=1,2"] if "--multirun" in verb else []))

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: override 'model.layers.0.stride=0': layers[0] Conv2d: stride must be at least 1")
    assert list(tmp_path.iterdir()) == []


def test_no_runs(cnnexp: Cnnexp) -> None:
    assert cnnexp("runs") == Said(0, "no runs in outputs\n", "")
    assert cnnexp("runs", "--json") == Said(0, "[]\n", "")


RECORDS = {
    "sweeps/a": (["sweeps/a/sweep.json", "sweeps/b/sweep.json"], "sweeps"),
    "sweeps/b": (["sweeps/b/sweep.json", "sweeps/a/sweep.json", "sweeps/.c/sweep.json"], "sweeps"),
    "runs/it's": (["runs/it's/run.json", "sweeps/a/sweep.json", "sweeps/a/0_x/run.json"], "."),
    "in/sweeps/a": (["in/sweeps/a/sweep.json", "in/sweeps/a/0_x/run.json"], "in"),
}


@pytest.mark.parametrize("newest", RECORDS)
def test_resume_names_the_newest_in_a_folder(cnnexp: Cnnexp, tmp_path: Path, newest: str) -> None:
    written, folder = RECORDS[newest]
    for age, name in enumerate(written):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    hint = f"cnnexp runs lists the runs there are; the newest in this folder: cnnexp resume {shlex.quote(newest)}"
    assert cnnexp("resume", folder) == refused(f"'{folder}' holds no run: there is no run.json in it", hint)


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_resume_of_a_folder_without_any_record(cnnexp: Cnnexp, tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    text = f"'{folder}' holds no run: there is no run.json in it"
    assert cnnexp("resume", folder) == refused(text, "cnnexp runs lists the runs there are")


def test_each_run_on_a_line_of_its_own(cnnexp: Cnnexp, tmp_path: Path) -> None:
    for seed in (1, 2):
        folder = tmp_path / "outputs" / "runs" / f"run-{seed}"
        folder.mkdir(parents=True)
        record = {"status": "completed", "seed": seed, "monitor": "val_loss", "mode": "min", "best": {"val_loss": 0.5}}
        (folder / "run.json").write_text(json.dumps(record))

    together, apart = cnnexp("runs").out.splitlines(), cnnexp("runs", "--each").out.splitlines()

    assert [len(lines) for lines in (together, apart)] == [3, 4]
    assert [line.split()[0] for line in apart[2:]] == ["outputs/runs/run-1", "outputs/runs/run-2"]


def test_the_traceback_of_a_mistake_on_demand(cnnexp: Cnnexp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNEXP_TRACEBACK", "1")
    said = cnnexp("code", "seed=x")

    assert said.code == 2
    assert said.err.startswith("Traceback (most recent call last):\n")
    assert said.err.endswith(
        "error: override 'seed=x': seed must be a whole number, not 'x'\n1 problem; nothing was run\n"
    )


def process(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


def test_completion_in_the_shell() -> None:
    line = "cnnexp model=tu"
    done = process("-m", "cnnexp", "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))

    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["model=tudui"], "")


_LOOK = """
import json, sys
from cnnexp.cli import main
for words in json.loads(sys.argv[1]):
    code = main(words)
    heavy = ("torch", "torch._dynamo", "pytorch_lightning", "torchmetrics", "torchvision")
    print("\\nimported:", code, *(m for m in heavy if m in sys.modules), "by", *words)
"""
LIGHT = {
    "nothing": {
        "--help": "0",
        "--version": "0",
        "runs": "0",
        "--cfg job": "0",
        "modell=x": "2",
        "trainer.max_epoch=3": "2",
        "check +typo=1": "2",
    },
    "torch alone": {
        "check model=net": "0 torch",
        "check model=googlenet": "0 torch",
        "check model=densenet121": "0 torch",
        "code model=mlp": "0 torch",
        "check --multirun seed=1,2": "0 torch",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("what", LIGHT)
def test_what_commands_do_not_import(what: str) -> None:
    """One after another in one process, so that the first that imports more is seen."""
    done = process("-c", _LOOK, json.dumps([words.split() for words in LIGHT[what]]))

    said = [line for line in done.stdout.splitlines() if line.startswith("imported: ")]
    assert said == [f"imported: {imported} by {words}" for words, imported in LIGHT[what].items()]
