"""Runs compared: what changed, what each configuration reached over its seeds, best first, on paper and in files."""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from cnnexp import report
from cnnexp.cli import listing, main
from cnnexp.records import Run
from cnnexp.report import Figure, Ranking

SWEEP = Path("outputs/sweeps/2026-03-04_12-00-00")


def job(number: int, value: Any = 0.5, /, status: str = "completed", **more: Any) -> Run:
    """A sweep's job, as its record tells it; `changed` holds what it was given."""
    changed = {k: str(v) for k, v in more.pop("changed", {}).items()}
    fields = {
        "status": status,
        "started": f"2026-03-04T12:{number // 60 % 60:02}:{number % 60:02}+00:00",
        "monitor": "val_accuracy",
        "mode": "max",
        "changed": changed,
        "sweep": {"number": number},
        "seed": int(changed.get("seed", 0)),
        "best": {"epoch": 1, "val_accuracy": value},
        "metrics": {"val_accuracy": 0.1, "test_accuracy": value, "test_loss": 0.25},
        "parameters": 1234567,
        "multiply_adds": 2345678,
        "seconds": 10.0 + number,
        **more,
    }
    return Run(SWEEP / "_".join([str(number), *(f"{k}={v}" for k, v in changed.items())]), fields)


CONFIG: dict[str, Any] = {
    "seed": 0,
    "outputs": "outputs",
    "memory_format": "auto",
    "compile": False,
    "data": {"name": "digits", "root": "data", "mean": [0.1, 0.2, 0.3], "batch_size": 64},
    "task": {"type": "classification", "monitor": "val_accuracy", "mode": "max"},
    "model": {"activation": "relu", "layers": ["Flatten", {"type": "Linear", "out_features": 300}, "relu"]},
    "optimizer": {"type": "Adam", "lr": 0.001, "betas": [0.9, 0.999]},
    "scheduler": {"type": None},
    "trainer": {"max_epochs": 3, "log_every_n_steps": 50},
    "logger": {"type": "none"},
}
CHOICES = {"data": "digits", "model": "mlp", "optimizer": "adam", "logger": "none"}


def single(root: Path, name: str, changes: Mapping[str, Any] | None = None, /, **fields: Any) -> Run:
    """A run of its own in a folder, with these values of its config changed; None leaves out the config."""
    path = root / name
    path.mkdir(parents=True)
    if changes is not None:
        config = json.loads(json.dumps(CONFIG))
        for key, value in changes.items():
            *before, last = key.split(".")
            inner = config
            for part in before:
                inner = inner.setdefault(part, {})
            inner[last] = value
        (path / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    best = {"val_accuracy": 0.5, "val_loss": 0.5}
    told = {"status": "completed", "started": f"2026-03-04T12:00:{len(list(root.iterdir())):02}+00:00"}
    return Run(path, {**told, "choices": CHOICES, "best": best, **fields})


def names(ranking: Ranking) -> list[list[str]]:
    return [[run.path.name for run in row.runs] for row in ranking.rows]


def cells(line: str) -> list[str]:
    return re.split(r"  +", line.strip())


class TestFigures:
    def test_means_and_deviations_are_those_of_numpy(self) -> None:
        reached = {"relu": [0.91, 0.97, 0.93], "tanh": [0.95, 0.96, 0.955], "gelu": [0.2]}
        jobs = [
            job(i, value, changed={"model.activation": name, "seed": seed})
            for i, (name, seed, value) in enumerate((n, s, v) for n, of in reached.items() for s, v in enumerate(of))
        ]
        ranking = report.rank(jobs)
        assert (ranking.columns, ranking.metric, ranking.mode) == (("model.activation",), "val_accuracy", "max")
        assert [row.changed["model.activation"] for row in ranking.rows] == ["tanh", "relu", "gelu"]
        for row in ranking.rows:
            values = reached[row.changed["model.activation"]]
            assert row.value is not None
            assert row.seconds is not None
            assert (row.value.n, len(row.runs)) == (len(values), len(values))
            assert row.value.mean == pytest.approx(np.mean(values), rel=1e-14)
            assert row.value == row.tested["test_accuracy"]
            if len(values) > 1:
                assert row.value.sd == pytest.approx(np.std(values, ddof=1), rel=1e-14)
                assert row.tested["test_loss"] == Figure(0.25, 0.0, len(values))
            else:
                assert row.value.sd is None
            assert row.seconds.mean == pytest.approx(np.mean([run.fields["seconds"] for run in row.runs]))
            assert (row.parameters, row.multiply_adds) == (1234567, 2345678)

    def test_the_monitored_value_is_that_of_the_best_epoch(self) -> None:
        assert report.rank([job(0, 0.75)]).rows[0].value == Figure(0.75, None, 1)

    def test_less_is_better_where_the_mode_says_so(self) -> None:
        jobs = [job(i, v, mode="min", changed={"lr": i}) for i, v in enumerate((0.3, 0.1, 0.2))]
        assert [row.changed["lr"] for row in report.rank(jobs).rows] == ["1", "2", "0"]

    def test_equal_configurations_keep_the_order_of_their_start(self) -> None:
        jobs = [job(i, 0.5, changed={"lr": i}) for i in range(12)]
        assert [row.changed["lr"] for row in report.rank(jobs[::-1]).rows] == [str(i) for i in range(12)]

    @pytest.mark.parametrize("value", [math.nan, "nan", "inf", math.inf, None, True, [1], "fast", {"a": 1}])
    def test_what_is_no_finite_number_is_no_figure_but_the_run_is_shown(self, value: Any) -> None:
        jobs = [job(0, value, changed={"lr": 1, "seed": 0}), job(1, 0.5, changed={"lr": 1, "seed": 1})]
        (row,) = report.rank(jobs).rows
        assert (row.value, row.counts["completed"], len(row.runs)) == (Figure(0.5, None, 1), 2, 2)
        (alone,) = report.rank(jobs[:1]).rows
        assert (alone.value, "test_accuracy" in alone.tested) == (None, False)
        assert " 1/2 " in report.table(report.rank(jobs))

    def test_only_completed_runs_have_figures_and_the_others_come_last(self) -> None:
        jobs = [
            job(0, 0.99, "failed", changed={"lr": 1}),
            job(1, 0.5, changed={"lr": 2}),
            job(2, "nan", changed={"lr": 3}),
            job(3, 0.9, "running", changed={"lr": 4}),
            job(4, 0.6, changed={"lr": 5}),
            job(5, 0.9, "interrupted", changed={"lr": 5}),
        ]
        ranking = report.rank(jobs)
        assert [row.changed["lr"] for row in ranking.rows] == ["5", "2", "3", "1", "4"]
        assert dict(ranking.rows[0].counts) == {"completed": 1, "failed": 0, "interrupted": 1, "running": 0}
        assert [row.value and row.value.mean for row in ranking.rows] == [0.6, 0.5, None, None, None]

    def test_all_failed(self) -> None:
        ranking = report.rank([job(i, status="failed", best=None, metrics=None, changed={"lr": i}) for i in (2, 0, 1)])
        assert [row.changed["lr"] for row in ranking.rows] == ["0", "1", "2"]
        heading, _, first, *_ = report.table(ranking).splitlines()
        assert cells(heading)[:6] == ["#", "run", "lr", "val accuracy", "n", "status"]
        assert cells(first)[:4] == ["0", "0", "0/1", "failed"]

    def test_nothing_to_rank(self) -> None:
        assert report.rankings([]) == []
        assert report.rank([]).rows == ()
        assert cells(report.table(report.rank([])).splitlines()[0])[:2] == ["#", "run"]

    def test_only_the_seed_was_swept(self) -> None:
        ranking = report.rank([job(i, 0.1 * i, changed={"seed": i}) for i in range(3)])
        assert ranking.columns == ()
        assert [len(row.runs) for row in ranking.rows] == [3]

    def test_columns_are_in_the_order_of_the_first_job(self) -> None:
        jobs = [job(1, changed={"b": 1, "a": 1}), job(0, changed={"a": 2, "b": 1}), job(2, changed={"c": 1})]
        ranking = report.rank(jobs)
        assert ranking.columns == ("a", "b", "c")
        assert {tuple(row.changed.values()) for row in ranking.rows} == {("1", "1", ""), ("2", "1", ""), ("", "", "1")}


class TestMonitors:
    def test_each_metric_has_a_table_and_that_of_most_runs_is_first(self) -> None:
        jobs = [job(0), job(1, monitor="val_loss", mode="min"), job(2, monitor="val_loss", mode="max"), job(3)]
        found = report.rankings(jobs)
        assert [(r.metric, r.mode, len(r.rows[0].runs)) for r in found] == [
            ("val_accuracy", "max", 2),
            ("val_loss", "max", 1),
            ("val_loss", "min", 1),
        ]

    def test_older_records_leave_it_to_the_config(self, tmp_path: Path) -> None:
        runs = [single(tmp_path, "a", {}), single(tmp_path, "b", {"task.monitor": "val_loss", "task.mode": "min"})]
        assert [(r.metric, r.mode) for r in report.rankings(runs)] == [("val_accuracy", "max"), ("val_loss", "min")]

    def test_a_run_that_does_not_say_stands_in_the_first_table(self, tmp_path: Path) -> None:
        runs = [single(tmp_path, "a", {}), single(tmp_path, "b", None, status="failed", best=None)]
        (ranking,) = report.rankings(runs)
        assert names(ranking) == [["a"], ["b"]]

    def test_no_run_says_what_it_monitored(self, tmp_path: Path) -> None:
        (ranking,) = report.rankings([Run(tmp_path / "a", {"status": "failed"}), Run(tmp_path / "b", {})])
        assert (ranking.metric, names(ranking)) == (None, [["a", "b"]])
        report.write(tmp_path, ranking)
        assert cells(report.table(ranking).splitlines()[2])[:3] == ["a +1", "0/2", "failed 1, None 1"]


class TestChanges:
    """What differs between runs that no sweep started."""

    def columns(self, root: Path, *changes: Mapping[str, Any], **fields: Sequence[Any]) -> tuple[str, ...]:
        runs = [
            single(root, str(i), values, **{k: of[i] for k, of in fields.items()}) for i, values in enumerate(changes)
        ]
        ranking = report.rank(runs)
        assert sorted(map(len, names(ranking))) == [1] * len(runs)
        return ranking.columns

    def test_a_value_is_a_column(self, tmp_path: Path) -> None:
        assert self.columns(tmp_path, {"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}) == ("optimizer.lr",)

    def test_values_are_shown_as_they_are_written(self, tmp_path: Path) -> None:
        given = [0.001, "0.001", None, True, [0.5, 1], {}, {"a": None}, "学习率", ""]
        runs = [single(tmp_path, str(i), {"optimizer.lr": value}) for i, value in enumerate(given)]
        runs.append(single(tmp_path, "missing", {"optimizer": {"type": "Adam"}}))
        ranking = report.rank(runs)
        shown = [row.changed["optimizer.lr"] for row in ranking.rows]
        assert shown == ["0.001", "0.001 #2", "null", "true", "[0.5, 1]", "{}", "", "学习率", " #2", ""]

    def test_infinity_is_shown_as_a_sweep_calls_it(self, tmp_path: Path) -> None:
        rates = {math.inf: "inf", -math.inf: "-inf", math.nan: "nan", 0.1: "0.1"}
        runs = [single(tmp_path, str(i), {"optimizer.lr": rate}) for i, rate in enumerate(rates)]
        assert [row.changed["optimizer.lr"] for row in report.rank(runs).rows] == list(rates.values())

    def test_different_values_are_never_shown_alike(self, tmp_path: Path) -> None:
        given = ["1 #2", "1", 1, "1 #3"]
        runs = [single(tmp_path, str(i), {"optimizer.lr": value}) for i, value in enumerate(given)]
        shown = [row.changed["optimizer.lr"] for row in report.rank(runs).rows]
        assert shown == ["1 #2", "1", "1 #3", "1 #3 #2"]

    def test_runs_that_differ_in_seeds_paths_and_display_are_one_row(self, tmp_path: Path) -> None:
        changes: list[dict[str, Any]] = [
            {},
            {"seed": 1},
            {"outputs": "elsewhere"},
            {"logger.type": "tensorboard"},
            {"memory_format": "channels_last"},
            {"compile": True},
            {"data.root": "elsewhere"},
            {"trainer.log_every_n_steps": 1},
            {"trainer.enable_progress_bar": False},
        ]
        runs = [
            single(tmp_path, str(i), values, choices={**CHOICES, "logger": str(i)}) for i, values in enumerate(changes)
        ]
        ranking = report.rank(runs)
        assert (ranking.columns, [len(row.runs) for row in ranking.rows]) == ((), [len(changes)])

    def test_another_choice_explains_what_differs_in_its_group(self, tmp_path: Path) -> None:
        sgd = {"optimizer": {"type": "SGD", "lr": 0.1}}
        choices = [CHOICES, {**CHOICES, "optimizer": "sgd"}]
        assert self.columns(tmp_path / "a", {}, sgd, choices=choices) == ("optimizer",)
        third = {"optimizer": {"type": "SGD", "lr": 0.2}}
        assert self.columns(tmp_path / "b", {}, sgd, third, choices=[*choices, choices[1]]) == (
            "optimizer",
            "optimizer.lr",
        )

    def test_layers_that_follow_from_another_value_are_no_column(self, tmp_path: Path) -> None:
        tanh = {"model.activation": "tanh", "model.layers": [*CONFIG["model"]["layers"][:2], "tanh"]}
        assert self.columns(tmp_path, {}, tanh) == ("model.activation",)

    def test_layers_do_not_follow_from_a_rate(self, tmp_path: Path) -> None:
        other = {"optimizer.lr": 0.1, "model.layers": ["Flatten"]}
        assert self.columns(tmp_path, {}, other) == ("model.layers", "optimizer.lr")

    def test_runs_that_differ_in_layers_alone_are_different_rows(self, tmp_path: Path) -> None:
        layers = [{"type": "Linear", "out_features": n} for n in range(12)]
        given = [layers, [*layers[:11], "ReLU"], layers[:11]]
        runs = [
            single(tmp_path, f"{i}{s}", {"model.layers": g, "seed": s}) for i, g in enumerate(given) for s in (0, 1)
        ]
        ranking = report.rank(runs)
        assert [row.changed["model.layers"] for row in ranking.rows] == ["12 layers", "12 layers #2", "11 layers"]
        assert names(ranking) == [["00", "01"], ["10", "11"], ["20", "21"]]

    def test_blocks_are_one_value(self, tmp_path: Path) -> None:
        blocks = {"conv": {"params": {"activation": "relu"}, "layers": ["Conv2d", "BatchNorm2d"]}}
        runs = [single(tmp_path, "a", {}), single(tmp_path, "b", {"model.blocks": blocks})]
        ranking = report.rank(runs)
        assert (ranking.columns, ranking.rows[1].changed) == (("model.blocks",), {"model.blocks": "1 block"})

    def test_without_a_config_the_record_alone_is_asked(self, tmp_path: Path) -> None:
        told = {"overrides": ["optimizer.lr=0.1", "seed=1"], "monitor": "val_accuracy", "mode": "max"}
        runs = [
            single(tmp_path, "a", {"optimizer.lr": 0.1}),
            single(tmp_path, "b", {"optimizer.lr": 0.2}),
            single(tmp_path, "c", None, **told),
            single(tmp_path, "d", None, **{**told, "overrides": ["optimizer.lr=0.1", "seed=2"]}),
            single(tmp_path, "e", None, **{**told, "overrides": ["seed=2"]}),
        ]
        ranking = report.rank(runs)
        assert names(ranking) == [["a"], ["b"], ["c", "d"], ["e"]]
        assert [row.changed["optimizer.lr"] for row in ranking.rows] == ["0.1", "0.2", "0.1", ""]

    @pytest.mark.parametrize("content", [b"", b"[1, 2]", b"{a: ", b"\xff\xfe\x00", b"a: &x [*x]\nb: !!python/none 1"])
    def test_a_broken_config_is_no_config(self, content: bytes, tmp_path: Path) -> None:
        runs = [single(tmp_path, "a", {}), single(tmp_path, "b", {})]
        (runs[1].path / "config.yaml").write_bytes(content)
        assert names(report.rank(runs)) == [["a"], ["b"]]

    @pytest.mark.parametrize(
        "fields", [{"choices": 3, "overrides": 4, "best": 5, "metrics": [], "sweep": 1, "started": 9}]
    )
    def test_strange_records_are_shown(self, fields: dict[str, Any], tmp_path: Path) -> None:
        runs = [single(tmp_path, "a", {}), single(tmp_path, "b", {}, parameters="?", seconds="?", **fields)]
        assert sorted(n for row in names(report.rank(runs)) for n in row) == ["a", "b"]
        report.table(report.rank(runs))

    def test_two_sweeps_are_compared_by_their_configs(self, tmp_path: Path) -> None:
        runs = [
            single(tmp_path / "s1", "0", {"optimizer.lr": 0.1}, changed={"seed": "0"}, sweep={"number": 0}),
            single(tmp_path / "s2", "0", {"optimizer.lr": 0.2}, changed={"seed": "0"}, sweep={"number": 0}),
        ]
        assert report.rank(runs).columns == ("optimizer.lr",)


VALUES = st.floats(width=32, allow_nan=True, allow_infinity=True) | st.sampled_from(["nan", None])
JOBS = st.lists(
    st.tuples(
        st.sampled_from(["relu", "tanh", "<b>"]),
        st.sampled_from([1, 2]),
        VALUES,
        st.sampled_from(["completed", "completed", "failed", "running", "interrupted"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(JOBS, st.sampled_from(["min", "max"]), st.randoms(use_true_random=False))
def test_any_ranking_holds_every_run_once_and_knows_no_order(
    drawn: list[tuple[str, int, Any, str]], mode: str, order: random.Random
) -> None:
    runs = [
        job(i, value, status, mode=mode, changed={"model.activation": name, "optimizer.lr": rate, "seed": i})
        for i, (name, rate, value, status) in enumerate(drawn)
    ]
    ranking = report.rank(runs)
    shuffled = order.sample(runs, len(runs))
    assert report.rank(shuffled) == ranking
    assert report.rankings(shuffled) == [ranking]
    assert sorted(n for row in names(ranking) for n in row) == sorted(run.path.name for run in runs)
    assert len(ranking.rows) == len({(name, rate) for name, rate, *_ in drawn})
    means = []
    for row in ranking.rows:
        assert sum(row.counts.values()) == len(row.runs)
        found = [run.fields["best"]["val_accuracy"] for run in row.runs if run.status == "completed"]
        figures = [float(value) for value in found if value is not None and math.isfinite(float(value))]
        assert (row.value is None) == (not figures)
        if row.value is not None:
            assert min(figures) <= row.value.mean <= max(figures)
            assert row.value.n == len(figures)
            means.append(row.value.mean)
    assert means == sorted(means, reverse=mode == "max")
    assert all(row.value is None for row in ranking.rows[len(means) :])
    report.table(ranking)


RATES = st.sampled_from([0.1, 0.2, None])
LAYERS = st.sampled_from([["Flatten"], ["Flatten", "ReLU"], [{"type": "Linear", "out_features": n} for n in range(9)]])
DIFFERENCES = st.fixed_dictionaries(
    {"choice": st.sampled_from(["adam", "sgd"]), "seed": st.integers(0, 2)},
    optional={
        "optimizer.lr": RATES,
        "optimizer.betas": st.sampled_from([[0.9, 0.99], [0.8, 0.9]]),
        "model.layers": LAYERS,
        "model.width": st.integers(1, 2),
        "model.blocks": st.sampled_from([{}, {"a": {"layers": ["ReLU"]}}, {"a": {"layers": ["Tanh"]}}]),
        "trainer.max_epochs": st.sampled_from([3, 4]),
        "data.root": st.sampled_from(["data", "elsewhere"]),
    },
)


@settings(max_examples=25, deadline=None)
@given(st.lists(DIFFERENCES, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_runs_share_a_row_when_they_differ_in_the_seed_alone(drawn: list[dict[str, Any]], order: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for i, values in enumerate(drawn):
            changes = {key: value for key, value in values.items() if key != "choice"}
            choices = {**CHOICES, "optimizer": values["choice"]}
            runs.append(single(Path(folder), str(i), changes, choices=choices))
        ranking = report.rank(runs)
        assert report.rank(order.sample(runs, len(runs))) == ranking
        same: dict[str, list[str]] = {}
        for run in runs:
            config = run.config
            del config["seed"], config["data"]["root"]
            same.setdefault(json.dumps([run.fields["choices"], config], sort_keys=True), []).append(run.path.name)
    assert sorted(names(ranking)) == sorted(same.values())
    shown = [tuple(row.changed.values()) for row in ranking.rows]
    assert len(set(shown)) == len(shown)
    for column in ranking.columns:
        assert len({row.changed[column] for row in ranking.rows}) > 1


class TestTable:
    def test_a_configuration_is_a_row(self) -> None:
        jobs = [
            job(i, v, changed={"optimizer.lr": rate, "seed": i}, metrics={})
            for i, (rate, v) in enumerate([(0.1, 0.9), (0.1, 0.95), (0.01, 0.99)])
        ]
        heading, _, first, second = report.table(report.rank(jobs)).splitlines()
        assert cells(heading) == ["#", "run", "lr", "val accuracy", "n", "parameters", "multiply-adds", "seconds"]
        rest = ["1,234,567", "2.3 M"]
        assert cells(first) == ["1", "2", "0.01", "0.9900", "1", *rest, "12.0"]
        assert cells(second) == ["2", "0,1", "0.1", "0.9250 ± 0.0354", "2", *rest, "10.5"]
        for title, number in (("val accuracy", "0.9900"), ("parameters", "1,234,567"), ("seconds", "12.0")):
            assert heading.index(title) + len(title) == first.index(number) + len(number)

    def test_the_same_seed_again_is_no_other_seed(self) -> None:
        jobs = [job(i, v, changed={"seed": s}) for i, (v, s) in enumerate([(0.5, 0), (0.7, 0), (0.9, 1)])]
        (row,) = report.rank(jobs).rows
        assert row.value == Figure(0.8, pytest.approx(0.1414213562), 2)
        assert (row.seeds, len(row.runs)) == (2, 3)

    def test_what_did_not_complete_is_counted(self) -> None:
        jobs = [job(i, status=s, changed={"seed": i}, metrics={}) for i, s in enumerate(["completed"] * 2 + ["failed"])]
        heading, _, row = report.table(report.rank(jobs)).splitlines()
        assert cells(heading)[3:5] == ["n", "status"]
        assert cells(row)[3:5] == ["2/3", "completed 2, failed 1"]

    @pytest.mark.parametrize(
        ("keys", "headings"),
        [
            (["optimizer.lr", "model"], ["lr", "model"]),
            (["loss.x", "model.x"], ["loss.x", "model.x"]),
            (["model.layers.0", "trainer.n"], ["model.layers.0", "trainer.n"]),
        ],
    )
    def test_a_heading_is_the_last_part_of_a_key_where_that_is_clear(
        self, keys: list[str], headings: list[str]
    ) -> None:
        ranking = report.rank([job(0, changed=dict.fromkeys(keys, 1), metrics={})])
        assert cells(report.table(ranking).splitlines()[0])[2:4] == headings

    def test_many_columns_have_narrow_headings(self, tmp_path: Path) -> None:
        keys = [f"trainer.limit_{name}_batches" for name in ("train", "val", "test", "predict")]
        runs = [single(tmp_path, f"2026-03-04_12-00-0{i}_mlp_digits", dict.fromkeys(keys, i)) for i in range(2)]
        lines = report.table(report.rank(runs)).splitlines()
        assert max(map(cell_len, lines)) <= 100
        assert " ".join(lines[0].split()) == "limit_ limit_ limit_ limit_"

    @pytest.mark.parametrize("value", ["<b>", "[red]a[/red]", "学习率", "a b", "{type: Adam}"])
    def test_a_value_is_shown_as_it_is(self, value: str) -> None:
        ranking = report.rank([job(0, changed={"x": value}, metrics={})])
        assert cells(report.table(ranking).splitlines()[2])[2] == value

    def test_what_a_terminal_would_obey_is_written_out(self) -> None:
        text = report.table(report.rank([job(0, changed={"x": "a\nb\x1b[31mc\u202e"})]))
        assert r"a\nb\x1b[31mc\u202e" in text

    @pytest.mark.parametrize(
        ("count", "text"),
        [(0, "0"), (999, "999"), (1000, "1.0 k"), (999949, "999.9 k"), (999950, "1.0 M"), (10**16, "10000.0 T")],
    )
    def test_multiply_adds_are_short(self, count: int, text: str) -> None:
        ranking = report.rank([job(0, multiply_adds=count, metrics={})])
        assert cells(report.table(ranking).splitlines()[2])[-2] == text

    def test_a_usual_sweep_fits_on_100_columns_and_loses_nothing(self) -> None:
        jobs = [
            job(i, 0.9 + i / 1000, changed={"model.activation": name, "optimizer.lr": 0.001, "seed": seed})
            for i, (name, seed) in enumerate((n, s) for n in ("relu", "leaky_relu") for s in range(3))
        ]
        ranking = report.rank(jobs)
        lines = report.table(ranking).splitlines()
        assert max(map(cell_len, lines)) <= 100
        for row in ranking.rows:
            assert row.value is not None
            assert row.value.sd is not None
            for text in (f"{row.value.mean:.4f}", f"± {row.value.sd:.4f}", row.changed["model.activation"]):
                assert any(text in line for line in lines)

    def test_300_runs(self, tmp_path: Path) -> None:
        runs = [
            single(tmp_path, f"run{i}", {"optimizer.lr": i // 3, "seed": i % 3}, best={"val_accuracy": i / 300})
            for i in range(300)
        ]
        (ranking,) = report.rankings(runs)
        assert [int(row.changed["optimizer.lr"]) for row in ranking.rows] == list(range(99, -1, -1))
        assert len(report.table(ranking).splitlines()) == 102


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


class TestFiles:
    def test_the_csv_has_a_row_for_each_configuration(self, tmp_path: Path) -> None:
        jobs = [job(i, v, changed={"optimizer.lr": "1e-3", "seed": i}) for i, v in enumerate((0.9, 0.8))]
        report.write(tmp_path, report.rank([*jobs, job(2, status="failed", changed={"optimizer.lr": "学"}, best=None)]))
        first, second = read(tmp_path / "table.csv")
        assert list(first) == [
            *("rank", "optimizer.lr", "val_accuracy_mean", "val_accuracy_sd", "n"),
            *("completed", "failed", "interrupted", "running"),
            *("test_accuracy_mean", "test_accuracy_sd", "test_loss_mean", "test_loss_sd"),
            *("parameters", "multiply_adds", "seconds_mean", "seconds_sd", "runs"),
        ]
        assert float(first["val_accuracy_mean"]) == pytest.approx(np.mean([0.9, 0.8]))
        assert float(first["val_accuracy_sd"]) == pytest.approx(np.std([0.9, 0.8], ddof=1))
        assert first["runs"] == "0_optimizer.lr=1e-3_seed=0;1_optimizer.lr=1e-3_seed=1"
        told = {"rank": "", "optimizer.lr": "学", "val_accuracy_mean": "", "n": "0", "completed": "0", "failed": "1"}
        assert {key: second[key] for key in told} == told

    @pytest.mark.parametrize(
        ("value", "cell"),
        [
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+a", "'+a"),
            ("-a", "'-a"),
            ("\t=1", "'\t=1"),
            ("-1e-3", "-1e-3"),
            ("+.5", "+.5"),
            ("-1", "-1"),
            ("-1+2", "'-1+2"),
            ("-1\n", "'-1\n"),
            ("a=1", "a=1"),
            ('<b>, "x"', '<b>, "x"'),
        ],
    )
    @pytest.mark.one_in(1)
    def test_a_text_is_no_formula(self, value: str, cell: str, tmp_path: Path) -> None:
        report.write(tmp_path, report.rank([job(0, -0.5, changed={"x": value})]))
        (row,) = read(tmp_path / "table.csv")
        assert (row["x"], row["val_accuracy_mean"]) == (cell, "-0.5")
        assert json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))["rows"][0]["changed"] == {"x": value}

    def test_the_json_has_each_runs_values_and_no_nan(self, tmp_path: Path) -> None:
        jobs = [job(i, v, changed={"lr": 1, "seed": i}) for i, v in enumerate((0.5, math.nan, "inf"))]
        report.write(tmp_path, report.rank(jobs))
        text = (tmp_path / "table.json").read_text(encoding="utf-8")
        told = json.loads(text, parse_constant=_refuse)
        (row,) = told["rows"]
        assert (told["metric"], told["mode"], told["columns"]) == ("val_accuracy", "max", ["lr"])
        assert (row["rank"], row["value"]) == (1, {"mean": 0.5, "sd": None, "n": 1})
        assert [(run["seed"], run["value"]) for run in row["runs"]] == [(0, 0.5), (1, None), (2, None)]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "table.json"]


class TestEach:
    def test_a_table_has_one_row_for_each_run(self) -> None:
        done = {"test_accuracy": 0.98765, "test_loss": 12.345, "val_loss": 1}
        told = {"status": "completed", "metrics": done, "parameters": 1234567, "seconds": 65.43}
        rows = [
            Run(Path("outputs/runs/a"), told),
            Run(Path("outputs/runs/[red]b"), {"status": "failed", "parameters": 10, "seconds": 0.5}),
        ]
        heading, _, first, second = report.each(rows).splitlines()
        assert cells(heading) == ["run", "status", "test accuracy", "test loss", "parameters", "seconds"]
        assert cells(first) == ["outputs/runs/a", "completed", "0.9877", "12.3", "1,234,567", "65.4"]
        assert cells(second) == ["outputs/runs/[red]b", "failed", "10", "0.5000"]
        for title, number in (("parameters", "1,234,567"), ("seconds", "65.4")):
            assert heading.index(title) + len(title) == first.index(number) + len(number)
        assert cells(report.each([]).splitlines()[0]) == ["run", "status", "parameters", "seconds"]


def test_the_command_prints_a_table_for_each_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes: dict[str, dict[str, Any]] = {
        "a": {},
        "b": {"seed": 1},
        "c": {"task.monitor": "val_loss", "task.mode": "min"},
    }
    runs = [single(tmp_path, name, values) for name, values in changes.items()]
    for run in runs:
        (run.path / "run.json").write_text(json.dumps(run.fields))
    assert main(["runs", str(tmp_path)]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert [cells(line)[:4] for line in first.splitlines()[::2]] == [
        ["#", "run", "val accuracy", "n"],
        ["1", "a +1", "0.5000 ± 0.0000", "2"],
    ]
    assert [cells(line)[:4] for line in second.splitlines()[::2]] == [
        ["#", "run", "val loss", "n"],
        ["1", "c", "0.5000", "1"],
    ]


def test_the_command_tells_of_each_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in (single(tmp_path, "a", {}), single(tmp_path, "b", {"seed": 1})):
        (run.path / "run.json").write_text(json.dumps(run.fields))
    assert listing.runs(argparse.Namespace(folder=str(tmp_path), json=False, each=True)) == 0
    told = [cells(line)[:2] for line in capsys.readouterr().out.splitlines()[2:]]
    assert told == [[str(tmp_path / name), "completed"] for name in ("a", "b")]
