"""Sweeps as a person runs them: what a job does to itself, and what is done to the sweep, harms nothing else."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import psutil
import pytest
import torch

from tests.sweeping import (
    FAST,
    JOBS,
    Command,
    Said,
    alive,
    cnnexp,
    disturb,
    figures,
    furnish,
    records,
    sweep_folder,
    weights,
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with a network that makes trouble on demand."""
    furnish(tmp_path)
    return tmp_path


def outcomes(work: Path) -> dict[str, tuple[str, str | None]]:
    """Status and error of every job of the only sweep, by what was changed."""
    found = records(sweep_folder(work))
    return {" ".join(r["changed"].values()): (r["status"], r.get("error")) for r in found.values()}


def remaining(work: Path) -> list[psutil.Process]:
    """The processes of a sweep that do not end after its launcher has."""
    left: list[psutil.Process] = psutil.wait_procs(alive(work), timeout=30)[1]
    return left


def test_what_a_job_does_to_itself_is_recorded_and_harms_no_other(work: Path) -> None:
    told = cnnexp(
        work, "--multirun", *FAST, "model.kind=nothing,raises,exits,kills,hoards,prints,interrupts",
        "sweep.memory_limit=1GiB",
        real=True,
    )  # fmt: skip
    assert told.code == 1
    found = outcomes(work)
    memory = found.pop("hoards")
    assert memory[0] == "failed"
    assert re.fullmatch(
        r"out of memory: (it used [\d.]+ GiB, its|.*; its) limit is 1 GiB \(sweep.memory_limit\)", str(memory[1])
    )
    assert found == {
        "nothing": ("completed", None),
        "prints": ("completed", None),
        "raises": ("failed", "the run failed: RuntimeError: as it was told"),
        "exits": ("failed", "the run's code called sys.exit(3)"),
        "kills": ("failed", "killed by SIGKILL: by hand, or by the system for want of memory (2 times)"),
        "interrupts": ("failed", "interrupted by SIGINT: by hand, or by its own code"),
    }
    errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
    logs = [line.rpartition("log: ")[2] for line in errors]
    assert [re.sub(r":.*", "", line.removeprefix("error: ")) for line in errors] == [
        "1 kind=raises", "2 kind=exits", "3 kind=kills", "4 kind=hoards", "6 kind=interrupts",
    ]  # fmt: skip
    assert all((work / log).is_file() for log in logs)
    assert "RuntimeError: as it was told" in (work / logs[0]).read_text()
    printed = next(sweep_folder(work).glob("*prints")) / "log.txt"
    assert {"to the output", "to the errors"} <= set(printed.read_text().splitlines())
    assert remaining(work) == []


def test_odd_ends_of_a_job_are_told_and_harm_no_other(work: Path) -> None:
    told = cnnexp(work, "--multirun", *FAST, "model.kind=signals,misnames,stops,mutters,goes")
    assert told.code == 1
    assert "Traceback" not in told.err
    assert outcomes(work) == {
        "signals": ("failed", f"crashed with signal {signal.SIGRTMIN + 6}; the log shows where"),
        "misnames": ("failed", "the run failed: ValueError: there is no caf\\udce9"),
        "stops": ("failed", "the run failed: Stop: as it was told"),
        "mutters": ("failed", "the run failed: Mute"),
        "goes": ("completed", None),
    }
    gone = next(sweep_folder(work).glob("*goes"))
    assert {"metrics.csv", "evaluation.json", "checkpoints"} <= {f.name for f in gone.iterdir()}
    assert records(sweep_folder(work))["4_kind=goes"]["metrics"]


def test_a_sweep_goes_on_when_nothing_can_be_told(work: Path) -> None:
    """Standard error is a full disk."""
    words = [sys.executable, "-m", "cnnexp", "--multirun", *FAST, "model.kind=nothing,raises", "trainer.max_epochs=1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(work)}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=full, check=False)
    assert done.returncode == 1
    assert b"nothing" in done.stdout
    assert set(outcomes(work).values()) == {
        ("completed", None),
        ("failed", "the run failed: RuntimeError: as it was told"),
    }
    assert json.loads((sweep_folder(work) / "sweep.json").read_text())["status"] == "failed"


def test_crashes_limits_and_a_full_disk_are_told_apart(work: Path) -> None:
    kinds = "model.kind=quits,crashes,grabs,hangs,fills,kills_once"
    told = cnnexp(work, "--multirun", *FAST, kinds, "sweep.memory_limit=2GiB", "sweep.time_limit=8")
    assert told.code == 1
    found = outcomes(work)
    assert found["quits"] == ("failed", "its process ended with exit code 5 before the run was over")
    assert found["crashes"] == ("failed", "crashed with SIGSEGV; the log shows where")
    assert found["hangs"] == ("failed", "longer than its time limit of 8 s (sweep.time_limit)")
    assert found["kills_once"] == ("completed", None)
    assert found["grabs"][0] == "failed"
    assert str(found["grabs"][1]).startswith("out of memory: ")
    assert str(found["grabs"][1]).endswith("; its limit is 2 GiB (sweep.memory_limit)")
    assert found["fills"] == ("failed", "the run cannot be recorded: no space left on device")
    log = next(sweep_folder(work).glob("*crashes")) / "log.txt"
    assert "in crashes" in log.read_text()  # the line of Python that crashed
    attempts = records(sweep_folder(work))["5_kind=kills_once"]["attempts"]
    assert [a["outcome"] for a in attempts] == ["failed", "completed"]
    assert remaining(work) == []


def test_the_table_at_the_end_is_the_mean_over_the_seeds(work: Path) -> None:
    words = ["optimizer.lr=0.01,0.001", "sweep.seeds=3", "sweep.name=rates"]
    told = cnnexp(work, "--multirun", *FAST, *words)
    assert told.code == 0, told.err
    folder = sweep_folder(work)
    assert folder.name.endswith("_rates")
    runs = records(folder).values()
    rows = {row["optimizer.lr"]: row for row in csv.DictReader((folder / "table.csv").read_text().splitlines())}
    for rate, row in rows.items():
        values = [r["best"]["val_accuracy"] for r in runs if r["changed"]["optimizer.lr"] == rate]
        assert len(values) == int(row["n"]) == 3
        assert float(row["val_accuracy_mean"]) == pytest.approx(statistics.mean(values))
        assert float(row["val_accuracy_sd"]) == pytest.approx(statistics.stdev(values))
    means = [float(row["val_accuracy_mean"]) for row in rows.values()]
    assert means == sorted(means, reverse=True)
    assert json.loads((folder / "table.json").read_text())["rows"]
    assert told.out == cnnexp(work, "runs", str(folder)).out
    assert "±" in told.out


def test_a_job_is_the_run_that_the_command_alone_would_make(work: Path) -> None:
    assert cnnexp(work, "--multirun", *FAST, "seed=3,4", "sweep.threads=1").code == 0
    assert cnnexp(work, *FAST, "seed=4").code == 0
    (alone,) = (work / "outputs" / "runs").iterdir()
    job = sweep_folder(work) / "1_seed=4"
    ours, theirs = (json.loads((folder / "run.json").read_text()) for folder in (job, alone))
    for key in ("metrics", "best", "config_hash", "data_fingerprint", "parameters", "choices"):
        assert ours[key] == theirs[key]
    assert (job / "config.yaml").read_text() == (alone / "config.yaml").read_text()
    weights = [torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for f in (job, alone)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])


def test_what_this_machine_cannot_run_is_refused_as_a_whole_or_left_out(work: Path) -> None:
    words = ["--multirun", *FAST, "trainer.accelerator=mps,cpu"]
    told = cnnexp(work, *words)
    assert told == Said(
        2,
        "",
        "error: override 'trainer.accelerator=mps': trainer.accelerator is mps, "
        "but torch finds no mps on this machine; "
        "use trainer.accelerator=cpu, or auto to take a GPU where there is one "
        "[trainer.accelerator=mps]\n1 problem; nothing was run\n",
    )
    assert not (work / "outputs").exists()
    told = cnnexp(work, *words, "sweep.skip_invalid=true", "trainer.max_epochs=1")
    assert told.code == 0
    assert "[trainer.accelerator=mps]" in told.err
    assert outcomes(work) == {"cpu": ("completed", None)}


def test_points_that_do_not_fit_are_left_out_where_that_is_asked_for(work: Path) -> None:
    words = ["--multirun", *FAST, "+model.layers.2.bias=true,maybe", "trainer.max_epochs=1", "seed=1,2"]
    refused = cnnexp(work, *words)
    assert refused.code == 2
    assert not (work / "outputs").exists()
    told = cnnexp(work, *words, "sweep.skip_invalid=true")
    assert told.code == 0
    dropped = ["model.layers.2.bias=maybe seed=1", "model.layers.2.bias=maybe seed=2"]
    assert f"[{'; '.join(dropped)}]" in told.err
    assert "2 of 4 points" in told.err
    assert outcomes(work) == {"true 1": ("completed", None), "true 2": ("completed", None)}
    assert json.loads((sweep_folder(work) / "sweep.json").read_text())["dropped"] == dropped


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_what_runs_and_resume_does_the_rest(number: int, code: int, work: Path) -> None:
    words = [*FAST, "seed=1,2,3,4", "trainer.max_epochs=6", "sweep.slots=2", "sweep.threads=1"]
    process = Command(work, "--multirun", *words)
    wait_for(process, work, lambda found: any(len(rows) > 2 for rows in found.values()))
    process.signal(number)
    told = process.said()
    assert told.code == code
    folder = sweep_folder(work).relative_to(work)
    stopping = r"^stopping: the (running job saves what it has|2 running jobs save what they have); another Ctrl-C"
    assert len(re.findall(stopping, told.err, re.MULTILINE)) == 1
    assert f"go on with: cnnexp resume {folder}" in told.err
    assert json.loads((work / folder / "sweep.json").read_text())["status"] == "interrupted"
    statuses = {r["status"] for r in records(work / folder).values()}
    assert statuses <= {"completed", "interrupted"}
    assert "interrupted" in statuses
    assert remaining(work) == []
    again = cnnexp(work, "resume", str(folder))
    assert again.code == 0, again.err
    assert {r["status"] for r in records(work / folder).values()} == {"completed"}
    assert any(len(r["attempts"]) == 2 and r["attempts"][1]["from_step"] > 0 for r in records(work / folder).values())
    done = cnnexp(work, "resume", str(folder))
    assert (done.code, done.out) == (0, again.out)
    assert done.err.startswith("all 4 jobs are completed; nothing to do\n")


def test_a_sweep_whose_end_was_not_written_is_completed_by_resume(work: Path) -> None:
    assert cnnexp(work, "--multirun", *FAST, "seed=1,2", "trainer.max_epochs=1").code == 0
    folder = sweep_folder(work)
    told = json.loads((folder / "sweep.json").read_text())
    (folder / "sweep.json").write_text(json.dumps({**told, "status": "running", "finished": None}))
    assert cnnexp(work, "resume", str(folder.relative_to(work))).code == 0
    again = json.loads((folder / "sweep.json").read_text())
    assert (again["status"], bool(again["finished"])) == ("completed", True)


def wait_for(process: Command, work: Path, met: Callable[[dict[str, list[str]]], bool]) -> None:
    """Wait until the lines of the jobs' metrics.csv meet a condition, while the sweep goes on."""
    sweeps = work / "outputs" / "sweeps"
    while process.wait(0.05) is None:
        files = sweeps.glob("*/*/metrics.csv") if sweeps.exists() else ()
        if met({f.parent.name: f.read_text().splitlines()[1:] for f in files}):
            return
    raise AssertionError(f"the sweep ended before that: {process.said()}")


def test_a_sweep_is_held_by_one_process(work: Path) -> None:
    process = Command(work, "--multirun", *FAST, "seed=1,2,3,4", "trainer.max_epochs=20")
    wait_for(process, work, bool)
    folder = sweep_folder(work).relative_to(work)
    second = cnnexp(work, "resume", str(folder))
    assert second.code == 2
    told = rf"error: '{folder}' is held by process {process.pid} on \S+ since \S+\n  hint: .*\n1 problem; .*\n"
    assert re.fullmatch(told, second.err)
    process.signal(signal.SIGINT)
    assert process.said().code == 130


def test_sweeps_of_the_same_second_have_folders_of_their_own(work: Path) -> None:
    words = ["--multirun", *FAST, "seed=1,2", "trainer.max_epochs=1"]
    for process in [Command(work, *words) for _ in range(2)]:
        assert process.said().code == 0
    folders = list((work / "outputs" / "sweeps").glob("[!.]*"))
    assert len(folders) == 2
    for folder in folders:
        assert {r["status"] for r in records(folder).values()} == {"completed"}


def test_a_changed_space_is_refused_with_the_difference(work: Path) -> None:
    assert cnnexp(work, "--multirun", *FAST, "model.kind=raises,nothing", "trainer.max_epochs=1").code == 1
    folder = sweep_folder(work).relative_to(work)
    file = work / "conf" / "model" / "trouble.yaml"
    text = file.read_text()
    file.write_text(text.replace("out_features: 16", "out_features: 17"))
    told = cnnexp(work, "resume", str(folder))
    assert told == Said(
        2,
        "",
        f"error: '{folder}' cannot be resumed, since it would be another sweep now: "
        "model.layers[2].out_features was 16 and is 17\n"
        "  hint: put the config files back as they were, or start a new sweep; the runs of this one stay\n"
        "1 problem; nothing was run\n",
    )
    file.write_text(text)
    assert cnnexp(work, "resume", str(folder), "trainer.max_epochs=3").err == (
        "error: a sweep goes on as it was: 'trainer.max_epochs=3' cannot be changed\n"
        "  hint: only settings of the launch can: sweep.slots, sweep.retries, …\n"
        "1 problem; nothing was run\n"
    )
    assert cnnexp(work, "resume", str(folder), "sweep.slots=1").code == 1
    found = records(work / folder)
    assert {name: len(r["attempts"]) for name, r in found.items()} == {"0_kind=raises": 2, "1_kind=nothing": 1}


def test_ddp_inside_a_sweep_trains_each_job_once_on_its_ranks(work: Path) -> None:
    words = ["model=mlp", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "seed=1,2"]
    told = cnnexp(work, "--multirun", *words, "trainer.max_epochs=1", "logger=none", real=True)
    assert told.code == 0, told.err
    found = records(sweep_folder(work))
    assert {name: (r["status"], len(r["attempts"])) for name, r in found.items()} == {
        "0_seed=1": ("completed", 1),
        "1_seed=2": ("completed", 1),
    }
    assert not (work / "outputs" / "runs").exists()
    alone = cnnexp(work, *words[:-1], "seed=2", "trainer.max_epochs=1", "logger=none", real=True)
    assert alone.code == 0
    (run,) = (work / "outputs" / "runs").iterdir()
    assert json.loads((run / "run.json").read_text())["metrics"] == found["1_seed=2"]["metrics"]
    assert remaining(work) == []


def test_nothing_outlives_a_launcher_that_is_killed(work: Path) -> None:
    process = Command(work, "--multirun", *FAST, "seed=1,2,3,4", "trainer.max_epochs=200", real=True)
    wait_for(process, work, lambda found: len(found) == 2)
    left = [one for one in alive(work) if one.pid != process.pid]
    assert len(left) >= 3  # the fork server and two jobs
    process.signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert psutil.wait_procs(left, timeout=30)[1] == []


def test_a_fresh_process_for_each_job_does_the_same(work: Path) -> None:
    told = cnnexp(
        work, "--multirun", *FAST, "model.kind=nothing,kills", "sweep.start_method=spawn", "sweep.retries=0", real=True
    )
    assert told.code == 1
    assert outcomes(work) == {
        "nothing": ("completed", None),
        "kills": ("failed", "killed by SIGKILL: by hand, or by the system for want of memory"),
    }


def test_fifty_kills_lose_nothing_and_run_no_completed_job_again(work: Path) -> None:
    """Launchers and workers, killed at random moments and resumed until all is done: the same as undisturbed."""
    assert cnnexp(work, *JOBS).code == 0
    random, kills = Random(4), Counter[str]()
    while kills.total() < 50:
        other = work / f"disturbed-{kills.total()}"
        other.mkdir()
        furnish(other)
        disturb(other, random, kills)
        assert {r["status"] for r in records(sweep_folder(other)).values()} == {"completed"}
        assert figures(sweep_folder(other)) == figures(sweep_folder(work))
        assert weights(sweep_folder(other)) == weights(sweep_folder(work))
    assert min(kills["launcher"], kills["worker"]) > 10, kills


@pytest.mark.parametrize("content", ["oops", "{", "[]", "{}"])
def test_a_damaged_record_costs_its_own_job_and_nothing_else(content: str, work: Path) -> None:
    words = [*FAST, "model.kind=nothing,raises", "seed=1,2", "trainer.max_epochs=1"]
    assert cnnexp(work, "--multirun", *words).code == 1
    folder = sweep_folder(work).relative_to(work)
    (work / folder / "0_kind=nothing_seed=1" / "run.json").write_text(content)
    (work / folder / "2_kind=raises_seed=1" / "config.yaml").write_text("[")
    told = cnnexp(work, "resume", str(folder))
    assert told.code == 1
    assert outcomes(work) == {
        "nothing 1": ("completed", None),
        "nothing 2": ("completed", None),
        "raises 1": ("failed", "the run failed: RuntimeError: as it was told"),
        "raises 2": ("failed", "the run failed: RuntimeError: as it was told"),
    }
    assert len(records(work / folder)["1_kind=nothing_seed=2"]["attempts"]) == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("sweep.json", "{}", "'{}/sweep.json' is damaged, so the sweep cannot be resumed"),
        ("sweep.json", "[", "'{}/sweep.json' is damaged, so the sweep cannot be resumed"),
        ("sweep.json", None, "'{}' holds no sweep: sweep.json: no such file or directory"),
        ("jobs.json", "[]", "'{}/jobs.json' is damaged, so the sweep cannot be resumed"),
        ("jobs.json", "[1]", "'{}/jobs.json' is damaged, so the sweep cannot be resumed"),
    ],
)
def test_a_damaged_sweep_is_told_in_one_line(name: str, content: str | None, said: str, work: Path) -> None:
    folder = work / "sweep"
    folder.mkdir()
    fields = {"overrides": [], "config_name": "config", "config_dir": None, "dropped": [], "command": ""}
    (folder / "sweep.json").write_text(json.dumps(fields))
    (folder / "jobs.json").write_text("[]")
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    told = cnnexp(work, "resume", "sweep")
    assert told.code == 2
    assert told.err.startswith(f"error: {said.format(folder)}\n  hint: ")
    assert told.err.endswith("1 problem; nothing was run\n")


def test_a_sweep_is_resumed_from_any_folder(work: Path) -> None:
    assert cnnexp(work, "--multirun", *FAST, "model.kind=raises,nothing", "trainer.max_epochs=1").code == 1
    elsewhere = work / "elsewhere"
    elsewhere.mkdir()
    told = cnnexp(elsewhere, "resume", str(sweep_folder(work)))
    assert told.code == 1
    assert told.err.startswith(f"note: in {work}, where the sweep was started\n")
    assert [len(r["attempts"]) for r in records(sweep_folder(work)).values()] == [2, 1]


def test_a_second_signal_ends_all_at_once_and_is_recorded(work: Path) -> None:
    process = Command(work, "--multirun", *FAST, "model.kind=hangs", "seed=1,2", "sweep.slots=2")
    while len(list(work.glob("hangs-*"))) < 2:
        assert process.wait(0.05) is None
    process.signal(signal.SIGINT)
    process.wait_until_told("stopping: the 2 running jobs save what they have; another Ctrl-C ends them at once\n")
    process.signal(signal.SIGINT)
    process.wait(0.01)
    process.signal(signal.SIGINT)  # a third one must not disturb what the second one ends
    assert process.said().code == 130
    assert remaining(work) == []
    assert set(outcomes(work).values()) == {("interrupted", "killed with the sweep")}


def test_ctrl_c_in_a_terminal_before_the_first_job_is_one_line(work: Path) -> None:
    """It goes to all processes of the terminal, also to the fork server, which is in the midst of its imports."""
    process = Command(work, "--multirun", *FAST, "seed=1,2", real=True)
    while not any("forkserver" in " ".join(one.cmdline()) for one in alive(work)):
        assert process.wait(0.02) is None
    process.wait(0.5)
    os.killpg(process.pid, signal.SIGINT)
    told = process.said()
    assert (told.code, told.out, told.err) == (130, "", "error: interrupted by Ctrl-C\n")
    assert remaining(work) == []


def test_an_import_that_ctrl_c_cuts_in_two_is_no_mistake_of_the_config(work: Path) -> None:
    text = "import signal\nopen('begun', 'w').close()\ntry:\n    signal.pause()\n"
    (work / "slow.py").write_text(f"{text}except KeyboardInterrupt:\n    raise ImportError('half of it') from None\n")
    process = Command(work, "model=mlp", "extensions=[slow]", real=True)
    while not (work / "begun").exists():
        assert process.wait(0.02) is None
    process.signal(signal.SIGINT)
    assert process.said() == Said(130, "", "error: interrupted by Ctrl-C\n")


def test_what_this_machine_lacks_is_told_before_a_sweep_goes_on(work: Path) -> None:
    assert cnnexp(work, "--multirun", *FAST, "model.kind=raises,nothing", "trainer.max_epochs=1").code == 1
    (work / "trouble.py").unlink()
    before = records(sweep_folder(work))
    told = cnnexp(work, "resume", str(sweep_folder(work)))
    assert told.code == 2
    assert told.err.endswith("1 problem; nothing was run\n")
    assert "'trouble'" in told.err
    assert records(sweep_folder(work)) == before


def test_a_stranger_stays_a_stranger_when_resumed(work: Path) -> None:
    file = work / "conf" / "model" / "mine.yaml"
    file.write_text("width: 8\nlayers: [Flatten, {type: Linear, out_features: 10}]\n")
    words = ["model=mine", "seed=1,2", "trainer.max_epochs=1", "logger=none"]
    assert cnnexp(work, "--multirun", "--untrusted", *words).code == 0
    file.write_text(file.read_text().replace("8", "${oc.env:HOME}"))
    told = cnnexp(work, "resume", str(sweep_folder(work)))
    assert told.code == 2
    assert "oc.env" in told.err.splitlines()[0]
    assert str(Path.home()) not in told.err


def test_nobody_need_look(work: Path) -> None:
    command = f"{sys.executable} -m cnnexp --multirun {' '.join(FAST)} model.kind=nothing,raises 'trainer.max_epochs=1'"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(work)}
    for name, ending in (("closed", ">&- 2>&-"), ("left", "2>&1 | true; exit ${PIPESTATUS[0]}")):
        words = ["bash", "-c", f"{command} outputs={name} {ending}"]
        assert subprocess.run(words, cwd=work, env=environment, check=False).returncode == 1
        (folder,) = (work / name / "sweeps").glob("[!.]*")
        assert [r["status"] for r in records(folder).values()] == ["completed", "failed"]
        assert json.loads((folder / "sweep.json").read_text())["status"] == "failed"


def test_a_job_whose_end_cannot_be_written_is_no_success(work: Path) -> None:
    told = cnnexp(work, "--multirun", *FAST, "model.kind=nothing,blocks", "trainer.max_epochs=1")
    assert told.code == 1
    folder = sweep_folder(work).relative_to(work)
    log = f"{folder}/1_kind=blocks/log.txt"
    assert f"error: 1 kind=blocks: how it ended could not be written; log: {log}" in told.err.splitlines()
    assert outcomes(work) == {"nothing": ("completed", None)}
    assert json.loads((work / folder / "sweep.json").read_text())["status"] == "failed"


def test_what_the_fork_server_does_without_can_be_imported_by_a_job() -> None:
    """scipy.signal is a second's work that no job needs, and whole for one that asks for it."""
    told = "import sys; import cnnexp.sweeps.preload; print('scipy.signal' in sys.modules); "
    told += "import scipy.signal; print(scipy.signal.windows.hamming(3)[1])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False", "1.0"]
