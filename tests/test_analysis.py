"""Differences between configurations, their fronts, what a reader is warned of, and what failed."""

from __future__ import annotations

import itertools
import json
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnexp import report
from cnnexp.records import Run, find
from cnnexp.report.analysis import Caution, Comparison, Pair, analyse
from tests.fake_runs import fake_run
from tests.test_effects import compared, table
from tests.test_ranking import JOBS, job, single


def only(runs: Sequence[Run], metric: str | None = None) -> Comparison:
    (found,) = analyse(runs, metric).comparisons
    return found


def texts(found: Comparison, kind: str) -> list[str]:
    return [caution.text for caution in found.warnings if caution.kind == kind]


def pair(found: Comparison, better: str, worse: str) -> Pair:
    names = [" ".join(row.changed.values()) for row in found.ranking.rows]
    return next(p for p in found.pairs if (names[p.a], names[p.b]) == (better, worse))


class TestPairs:
    A, B, C = [0.91, 0.93, 0.95], [0.90, 0.915, 0.945], [0.5, 0.6]

    def test_shared_seeds_are_compared_seed_by_seed(self) -> None:
        found = compared(["x"], {("a",): self.A, ("b",): self.B})
        (it,) = found.pairs
        told = scipy.stats.ttest_rel(self.A, self.B)
        interval = told.confidence_interval(0.95)
        assert (it.a, it.b, it.test, it.n, it.reason) == (0, 1, "paired t", 3, "")
        assert it.difference == pytest.approx(0.01)
        assert (it.low, it.high, it.p) == pytest.approx((interval.low, interval.high, told.pvalue))
        assert it.p_adjusted == it.p
        assert it.within_noise
        (clear,) = compared(["x"], {("a",): self.A, ("b",): [v - 0.2 for v in self.B]}).pairs
        assert not clear.within_noise

    def test_only_the_shared_seeds_count(self) -> None:
        runs = [
            *(job(i, v, changed={"x": "a", "seed": s}) for i, (s, v) in enumerate([(1, 0.9), (2, 0.8), (3, 0.95)])),
            *(job(i + 5, v, changed={"x": "b", "seed": s}) for i, (s, v) in enumerate([(4, 0.1), (3, 0.8), (1, 0.6)])),
        ]
        (it,) = only(runs).pairs
        told = scipy.stats.ttest_rel([0.9, 0.95], [0.6, 0.8])
        assert (it.test, it.n, it.difference, it.p) == ("paired t", 2, pytest.approx(0.225), pytest.approx(told.pvalue))

        assert it.shares_seeds

    @pytest.mark.parametrize("shared", [0, 1])
    def test_without_two_shared_seeds_it_is_welch(self, shared: int) -> None:
        runs = [
            *(job(i, v, changed={"x": "a", "seed": i}) for i, v in enumerate(self.A)),
            *(job(i + 9, v, changed={"x": "c", "seed": i + 3 - shared}) for i, v in enumerate(self.C)),
        ]
        (it,) = only(runs).pairs
        told = scipy.stats.ttest_ind(self.A, self.C, equal_var=False)
        interval = told.confidence_interval(0.95)
        assert (it.test, it.n, it.difference) == ("Welch t", 5, pytest.approx(0.93 - 0.55))
        assert (it.low, it.high, it.p) == pytest.approx((interval.low, interval.high, told.pvalue))

    @pytest.mark.parametrize(
        ("cells", "n", "reason"),
        [
            ({("a",): [0.5], ("b",): [0.4]}, 2, "One run each: nothing can be said about noise."),
            ({("a",): [0.5], ("b",): [0.4, 0.3]}, 3, "One of them has one run: nothing can be said about noise."),
            (
                {("a",): [0.5, 0.7], ("b",): [0.4, 0.6]},
                2,
                "The same difference at each of 2 seeds: nothing can be said about noise.",
            ),
        ],
    )
    def test_where_nothing_can_be_said(self, cells: dict[tuple[str], list[float]], n: int, reason: str) -> None:
        (it,) = compared(["x"], cells).pairs
        assert (it.difference > 0, it.low, it.high, it.p, it.p_adjusted) == (True, None, None, None, None)
        assert (it.test, it.n, it.within_noise, it.reason) == ("", n, True, reason)

    def test_rows_without_a_spread_and_shared_seeds(self) -> None:
        runs = [job(i, 0.5 + i // 2 / 10, changed={"x": i // 2, "seed": i}) for i in range(4)]
        (it,) = only(runs).pairs
        assert it.reason == "All runs of a row reached the same: nothing can be said about noise."
        assert (it.difference, it.test) == (pytest.approx(0.1), "")

    def test_the_same_seed_again_counts_once(self) -> None:
        runs = [
            job(i, v, changed={"x": x, "seed": s})
            for i, (x, s, v) in enumerate(
                [("a", 0, 0.1), ("a", 0, 0.9), ("a", 1, 0.8), ("b", 0, 0.5), ("b", 1, 0.6), ("b", 1, 0.7)]
            )
        ]
        found = only(runs)
        (it,) = found.pairs
        assert it.p == pytest.approx(scipy.stats.ttest_rel([0.9, 0.8], [0.5, 0.7]).pvalue)
        assert [o.value for o in found.observations] == [0.9, 0.8, 0.5, 0.7]
        assert texts(found, "repeated-seed") == [
            "2 completed runs repeat a seed of the same row: of runs with the same seed only the last counts."
        ]

    def test_unknown_seeds_are_not_shared(self, tmp_path: Path) -> None:
        reached = {"a0": 0.5, "a1": 0.6, "b0": 0.3, "b1": 0.45}
        runs = [single(tmp_path, n, {"optimizer.lr": n[0]}, best={"val_accuracy": v}) for n, v in reached.items()]
        (it,) = only(runs).pairs
        assert (it.test, it.n) == ("Welch t", 4)

    def test_holm_over_all_pairs(self) -> None:
        rng = np.random.default_rng(1)
        cells = {(name,): rng.normal(i / 50, 0.02, 4).tolist() for i, name in enumerate("abcd")}
        found = compared(["x"], cells)
        assert len(found.pairs) == 6
        ps = sorted((p.p or 0.0) for p in found.pairs)
        steps = np.minimum(1, np.maximum.accumulate([p * (6 - i) for i, p in enumerate(ps)]))
        assert sorted((p.p_adjusted or 0.0) for p in found.pairs) == pytest.approx(list(steps))
        for p in found.pairs:
            assert p.low is not None
            assert p.high is not None
            assert p.within_noise == (p.low <= 0 <= p.high) == ((p.p or 0.0) >= 0.05)

    def test_the_sign_is_that_of_the_metric(self) -> None:
        (it,) = compared(["x"], {("a",): [0.5, 0.6], ("b",): [0.1, 0.3]}, "min").pairs
        assert (it.a, it.b, it.difference) == (0, 1, pytest.approx(-0.35))

    def test_many_rows_are_compared_with_the_best_and_the_next(self) -> None:
        few = compared(["x"], {(i,): [i / 100, i / 90] for i in range(30)})
        assert len(few.pairs) == 30 * 29 / 2
        many = compared(["x"], {(i,): [i / 100, i / 90] for i in range(31)})
        expected = {(0, i) for i in range(1, 31)} | {(i, i + 1) for i in range(30)}
        assert {(p.a, p.b) for p in many.pairs} == expected
        assert len(many.pairs) == len(expected)

    def test_rows_without_a_number_are_in_no_pair(self) -> None:
        found = compared(["x"], {("a",): [0.5, 0.6], ("b",): ["failed"], ("c",): [math.nan]})
        assert (found.pairs, found.best, [v and v.n for v in found.values]) == ((), 0, [2, None, None])


def notes(tmp_path: Path, first: dict[str, Any], second: dict[str, Any]) -> tuple[str, ...]:
    runs = [
        single(tmp_path, "a", {"optimizer.lr": 1}, best={"val_accuracy": 0.9}, **first),
        single(tmp_path, "b", {"optimizer.lr": 2}, best={"val_accuracy": 0.8}, **second),
    ]
    (it,) = only(runs).pairs
    return it.notes


class TestNotes:
    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [
            (
                {"git": {"commit": "a" * 40, "dirty": False}},
                {"git": {"commit": "b" * 40, "dirty": True}},
                "They ran other code: commit aaaaaaa against commit bbbbbbb with changes.",
            ),
            (
                {"versions": {"torch": "2.14.0", "numpy": "2"}},
                {"versions": {"torch": "2.15.0", "numpy": "2"}},
                "They ran another torch: 2.14.0 against 2.15.0.",
            ),
            ({"data_fingerprint": "00ff" * 16}, {"data_fingerprint": "ff00" * 16}, "They saw other data."),
            (
                {"device": "cpu"},
                {"device": "cuda (X)"},
                "They ran on another device: cpu against cuda (X).",
            ),
            (
                {"parameters": 2100},
                {"parameters": 1000},
                "The better one has 2.1 times the parameters: 2,100 against 1,000.",
            ),
            (
                {"parameters": 1100},
                {"parameters": 1000},
                "The better one has 1.1 times the parameters: 1,100 against 1,000.",
            ),
            (
                {"parameters": 1000},
                {"parameters": 12_345_678},
                "The worse one has 12345.7 times the parameters: 12,345,678 against 1,000.",
            ),
            (
                {"parameters": 1050},
                {"parameters": 1000},
                "The better one has 5 % more parameters: 1,050 against 1,000.",
            ),
        ],
    )
    def test_what_else_differs(
        self, first: dict[str, Any], second: dict[str, Any], expected: str, tmp_path: Path
    ) -> None:
        assert notes(tmp_path, first, second) == (expected,)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ({}, {"git": {"commit": "a" * 40}, "device": "cpu", "parameters": 5, "versions": {"torch": "2"}}),
            ({"git": None, "versions": 3, "device": 4, "data_fingerprint": []}, {"git": {"commit": 5}, "versions": []}),
            ({"parameters": 100_000}, {"parameters": 100_900}),
            ({"parameters": 0}, {"parameters": 10}),
        ],
    )
    def test_what_is_not_known_is_no_difference(
        self, first: dict[str, Any], second: dict[str, Any], tmp_path: Path
    ) -> None:
        assert notes(tmp_path, first, second) == ()

    def test_epochs_are_those_that_were_trained(self, tmp_path: Path) -> None:
        runs = []
        for name, epochs in (("a0", 3), ("a1", 5), ("b0", 7), ("c0", 4), ("d0", 0)):
            value = 1 - ord(name[0]) / 1000
            run = single(
                tmp_path, name, {"optimizer.lr": name[0], "seed": 0}, best={"val_accuracy": value}, seed=name[1]
            )
            rows = "".join(f"{i},0.5\n" for i in range(epochs))
            (run.path / "metrics.csv").write_text("epoch,val_accuracy\n" + rows)
            runs.append(run)
        (runs[-1].path / "metrics.csv").write_bytes(b"epoch\n\xff\xfe")
        found = only(runs)
        assert pair(found, "a", "b").notes == ("They were trained for 3 to 5 epochs against 7.",)
        assert pair(found, "b", "c").notes == ("They were trained for 7 epochs against 4.",)
        assert pair(found, "a", "c").notes == pair(found, "a", "d").notes == ()


class TestPareto:
    def test_the_front_by_its_definition(self) -> None:
        rng = random.Random(0)
        for mode in ("max", "min"):
            drawn = [(rng.choice([1, 2, 3, 4, None]), rng.randint(0, 4) / 4) for _ in range(30)]
            runs = [
                job(i, v, changed={"x": i}, mode=mode, parameters=p, multiply_adds=7, seconds=i % 5)
                for i, (p, v) in enumerate(drawn)
            ]
            found = only(runs)
            fronts = {front.by: front.rows for front in found.pareto}
            rows = [(r.parameters, r.value.mean, r.seconds.mean) for r in found.ranking.rows if r.value and r.seconds]
            sign = 1 if mode == "max" else -1
            for by, at in (("parameters", 0), ("seconds", 2)):
                points = {i: (row[at], -sign * row[1]) for i, row in enumerate(rows) if row[at] is not None}
                best = {
                    i
                    for i, p in points.items()
                    if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in points.values())
                }
                assert set(fronts[by]) == best
                costs = [points[i][0] for i in fronts[by]]
                assert costs == sorted(costs)
            most = max(sign * row[1] for row in rows)
            assert {rows[i][1] for i in fronts["multiply_adds"]} == {sign * most}

    def test_equal_rows_are_both_on_it_and_unknown_ones_are_not(self) -> None:
        runs = [
            job(i, v, changed={"x": i}, parameters=p) for i, (v, p) in enumerate([(0.9, 5), (0.9, 5), (0.95, None)])
        ]
        found = only(runs)
        assert [found.ranking.rows[i].changed["x"] for i in found.pareto[0].rows] == ["0", "1"]

    def test_no_cost_is_known(self) -> None:
        runs = [job(i, changed={"x": i}, parameters=None, multiply_adds="?", seconds="nan") for i in range(2)]
        assert only(runs).pareto == ()


class TestWarnings:
    def test_a_sound_sweep_has_one(self) -> None:
        cells = {("a",): [0.9, 0.91, 0.92], ("b",): [0.7, 0.71, 0.73]}
        assert compared(["x"], cells).warnings == (
            Caution(
                "selection",
                "val_accuracy is that of the best epoch, chosen by the same samples that it is measured on, so it is a "
                "little too good; test_accuracy is the honest number.",
            ),
        )

    def test_code_and_data(self) -> None:
        git = [{"commit": c * 40, "dirty": d} for c, d in (("a", False), ("a", True), ("b", False), ("b", False))]
        runs = [
            job(
                i,
                changed={"x": i},
                git=git[i],
                versions={"torch": f"2.{min(i, 1)}", "python": "3.11"},
                data_fingerprint="abcdefgh" * 2 if i else "12345678",
                device="cpu" if i else "cuda (X)",
            )
            for i in range(4)
        ]
        found = only(runs)
        assert texts(found, "code") == [
            "The runs come from different code: commit aaaaaaa (1 run), commit aaaaaaa with changes (1 run), "
            "commit bbbbbbb (2 runs).",
            "The runs used different versions of torch: 2.0 (1 run), 2.1 (3 runs).",
        ]
        assert texts(found, "data") == [
            "The runs saw different data, fingerprints 12345678 (1 run), abcdefgh (3 runs): "
            "their numbers do not compare."
        ]
        assert texts(found, "device") == [
            "The runs were trained on different devices: cpu (3 runs), cuda (X) (1 run); their seconds do not compare."
        ]

    def test_uncommitted_changes(self) -> None:
        git = {"commit": "a" * 40, "dirty": True}
        expected = ["The runs were started with uncommitted changes, so their code may differ."]
        assert texts(only([job(i, changed={"x": i}, git=git) for i in range(2)]), "code") == expected
        assert texts(only([job(0, changed={"x": 0}, git=git)]), "code") == []

    def test_seeds(self) -> None:
        one_each = compared(["x"], {("a",): [0.9], ("b",): [0.8]})
        assert texts(one_each, "one-seed") == [
            "One seed each: nothing can be said about noise. Repeat with other seeds (sweep.seeds=3)."
        ]
        assert texts(one_each, "noise") == []
        mixed = compared(["x"], {("a",): [0.9], ("b",): [0.8, 0.7, "failed"], ("c",): [0.1, 0.2, 0.3]})
        assert texts(mixed, "one-seed") == ["1 row has one seed only, so nothing is known of the noise: x=a."]
        assert texts(mixed, "seeds-missing") == ["1 row has fewer seeds than the 3 of others: x=b with 2."]
        assert texts(compared(["x"], {("a",): [0.9]}), "one-seed") == []
        for count, named in ((5, "x=v4, x=v3, x=v2, x=v1, x=v0"), (6, "x=v5, x=v4, x=v3, x=v2, x=v1, 1 more")):
            many = compared(["x"], {**{(f"v{i}",): [i / 10] for i in range(count)}, ("w",): [0.9, 0.8]})
            text = f"{count} rows have one seed only, so nothing is known of the noise: {named}."
            assert texts(many, "one-seed") == [text]

    def test_the_best_and_the_second_are_within_noise(self) -> None:
        a, b = [0.90, 0.94], [0.93, 0.89]
        (text,) = texts(compared(["m.x"], {("a",): a, ("b",): b, ("c",): [0.1, 0.2]}), "noise")
        interval = scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
        assert text == (
            "The best (x=a) and the second (x=b) are within seed noise: they differ in val_accuracy by 0.01, "
            f"95 % interval {interval.low:.3g} to {interval.high:.3g}."
        )

    def test_the_best_and_the_second_differ_by_the_same_at_every_seed(self) -> None:
        assert texts(compared(["x"], {("a",): [0.5, 0.75], ("b",): [0.25, 0.5]}), "noise") == [
            "It is not known whether the best (x=a) is better than the second (x=b). "
            "The same difference at each of 2 seeds: nothing can be said about noise."
        ]

    def test_a_seed_that_decides_more_than_the_changes(self) -> None:
        rng = np.random.default_rng(0)
        seeds, names = rng.normal(0, 0.05, 4), "abc"
        table = np.array([[0.7 + 0.01 * i + seeds[s] + rng.normal(0, 0.002) for s in range(4)] for i in range(3)])
        # sums of squares of a randomised block design by the textbook
        grand = table.mean()
        total = float(np.square(table - grand).sum())
        blocks = 3 * float(np.square(table.mean(axis=0) - grand).sum())
        changes = 4 * float(np.square(table.mean(axis=1) - grand).sum())
        assert texts(compared(["x"], {(n,): table[i].tolist() for i, n in enumerate(names)}), "seed") == [
            f"The seed decides more than the changes do: it explains {100 * blocks / total:.0f} % of the variance, and "
            f"all changes together explain {100 * changes / total:.0f} %. Differences are measured within seeds and "
            "are not touched by it, but with another seed expect other numbers."
        ]
        clear = {(n,): (table[i] + 0.2 * i).tolist() for i, n in enumerate(names)}
        assert texts(compared(["x"], clear), "seed") == []
        calm = {(n,): rng.normal(0.7, 0.02, 4).tolist() for n in names}
        assert texts(compared(["x"], calm), "seed") == []

    def test_a_seed_that_cannot_be_taken_out(self) -> None:
        """Of two islands of seeds, a compares with b and c with d, but not a with c."""
        rng = np.random.default_rng(0)
        seeds = rng.normal(0, 0.1, 8)
        runs = [
            job(8 * i + s, 0.7 + seeds[s] + rng.normal(0, 0.001), changed={"x": x, "seed": s})
            for i, x in enumerate("abcd")
            for s in range(4 * (i // 2), 4 * (i // 2) + 4)
        ]
        (text,) = texts(only(runs), "seed")
        assert text.startswith("The seed decides much: it explains ")
        assert text.endswith(
            " % of the variance, and the runs share their seeds too little to take it out. So do not rely on the "
            "intervals and tests of what each change does, which take the runs as independent. Run every row with the "
            "same seeds (sweep.seeds=3)."
        )

    def test_what_is_left_out(self) -> None:
        values = {("a",): [0.9, "failed"], ("b",): [math.nan, "interrupted", "running", "failed"]}
        found = compared(["x"], values)
        assert texts(found, "unfinished") == [
            "4 of 6 runs did not complete and are left out: 2 failed, 1 interrupted, 1 running."
        ]
        assert texts(found, "not-finite") == [
            "1 completed run has no finite val_accuracy and is left out: 2_x=b_seed=0."
        ]

    def test_without_a_test_metric_none_is_recommended(self) -> None:
        (text,) = texts(only([job(0, metrics={})]), "selection")
        assert text.endswith("so it is a little too good.")


class TestAnInterruptedSweep:
    """What is missing of a sweep is told once, with the command that goes on with it."""

    @staticmethod
    def sweep(folder: Path, statuses: Sequence[str], jobs: Any = 12, **more: Any) -> None:
        for i, status in enumerate(statuses):
            place = {"number": i, "jobs": jobs}
            fake_run(folder / f"{i}_job", i, {"x": str(i)}, status=status, sweep=place, **more)
        (folder / "sweep.json").write_text("{}")

    def test_jobs_without_a_record_are_counted_in_its_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "my sweep"
        self.sweep(folder, ["completed"] * 4 + ["interrupted", "failed"])
        cure = f"cnnexp resume '{folder}'"
        assert texts(only(find(folder)), "unfinished") == [
            f"6 of the 12 jobs of my sweep have not begun, or have no record: {cure} goes on with it.",
            f"2 of 6 runs did not complete and are left out: 1 failed, 1 interrupted. {cure} goes on with them.",
        ]
        # Those that are not compared have a record all the same.
        assert texts(only(find(folder)[:2]), "unfinished")[0].startswith("6 of the 12 jobs ")

    def test_one_job(self, tmp_path: Path) -> None:
        self.sweep(tmp_path / "s", ["completed", "running"], jobs=3)
        cure = f"cnnexp resume {tmp_path / 's'}"
        assert texts(only(find(tmp_path)), "unfinished") == [
            f"1 of the 3 jobs of s has not begun, or has no record: {cure} goes on with it.",
            f"1 of 2 runs did not complete and is left out: 1 running. {cure} goes on with it.",
        ]

    def test_several_sweeps_and_metrics_in_one_folder(self, tmp_path: Path) -> None:
        loss = {"monitor": "val_loss", "mode": "min", "best": {"epoch": 0, "val_loss": 0.5}}
        self.sweep(tmp_path / "a", ["completed"] * 3, jobs=5)
        self.sweep(tmp_path / "b", ["completed", "failed"], jobs=4, **loss)
        self.sweep(tmp_path / "c", ["completed"] * 2, jobs=2)
        first, second = analyse(find(tmp_path)).comparisons
        assert [text.split(" have")[0] for text in texts(first, "unfinished")] == [
            "2 of the 5 jobs of a",
            "2 of the 4 jobs of b",
        ]
        assert texts(second, "unfinished") == [
            f"1 of 2 runs did not complete and is left out: 1 failed. cnnexp resume {tmp_path / 'b'} goes on with it."
        ]

    @pytest.mark.parametrize("jobs", [None, "12", True, 12.0, [12], -1, 2])
    def test_a_plan_that_says_nothing(self, tmp_path: Path, jobs: Any) -> None:
        self.sweep(tmp_path, ["completed"] * 2, jobs)
        assert texts(only(find(tmp_path)), "unfinished") == []

    def test_a_folder_that_is_no_sweep(self, tmp_path: Path) -> None:
        self.sweep(tmp_path, ["completed", "failed"])
        (tmp_path / "sweep.json").unlink()
        assert texts(only(find(tmp_path)), "unfinished") == ["1 of 2 runs did not complete and is left out: 1 failed."]


class TestFailures:
    def test_each_has_a_title_a_reason_and_a_log(self, tmp_path: Path) -> None:
        told = [
            ("failed", "out of memory\nsecond line", "memory"),
            ("interrupted", "interrupted by signal 15", None),
            ("failed", None, 3),
            ("running", None, None),
            ("completed", None, None),
        ]
        runs = [
            single(tmp_path, str(i), {"optimizer.lr": i}, status=status, error=error, failure=kind, seed=7)
            for i, (status, error, kind) in enumerate(told)
        ]
        (runs[0].path / "log.txt").write_text("…")
        found = only(runs).failures
        assert [(f.run, f.title, f.reason, f.kind, f.log) for f in found] == [
            (runs[0], "lr=0 seed=7", "out of memory\nsecond line", "memory", runs[0].path / "log.txt"),
            (runs[1], "lr=1 seed=7", "interrupted by signal 15", "", None),
            (runs[2], "lr=2 seed=7", "Its record gives no reason.", "", None),
        ]

    def test_a_run_in_which_nothing_was_changed_has_the_name_of_its_folder(self, tmp_path: Path) -> None:
        (failure,) = only(
            [single(tmp_path, "<script>alert(1)</script>".replace("/", "-"), {}, status="failed")]
        ).failures
        assert failure.title == "<script>alert(1)<-script>"


class TestMetric:
    def test_the_test_metric_is_compared_in_the_same_rows(self) -> None:
        runs = [
            job(i, v, changed={"x": x, "seed": i % 2}, metrics={"test_accuracy": t, "test_loss": loss})
            for i, (x, v, t, loss) in enumerate(
                [("a", 0.9, 0.5, 1.0), ("a", 0.92, 0.55, 1.5), ("b", 0.8, 0.7, 0.5), ("b", 0.7, 0.8, 0.25)]
            )
        ]
        found = only(runs, "test_accuracy")
        assert [row.changed["x"] for row in found.ranking.rows] == ["a", "b"]
        assert [v and v.mean for v in found.values] == pytest.approx([0.525, 0.75])
        assert (found.metric, found.mode, found.best) == ("test_accuracy", "max", 1)
        (it,) = found.pairs
        assert (it.a, it.b) == (1, 0)
        assert it.p == pytest.approx(scipy.stats.ttest_rel([0.7, 0.8], [0.5, 0.55]).pvalue)
        assert texts(found, "selection") == []
        assert found.effects[0].best == 1
        loss = only(runs, "test_loss")
        assert (loss.mode, loss.best) == ("min", 1)
        assert only(runs, "test_nothing").best is None

    def test_the_mode_of_a_loss_that_is_maximised_holds_for_its_test(self) -> None:
        runs = [job(i, monitor="val_loss", mode="max", changed={"x": i}) for i in range(2)]
        assert only(runs, "test_loss").mode == "max"

    def test_each_monitored_metric_is_a_comparison(self) -> None:
        runs = [job(0, seed=0), job(1, monitor="val_loss", mode="min", best={"val_loss": 0.5}), job(2, seed=1)]
        found = analyse(runs)
        assert [(c.metric, c.mode, len(c.observations)) for c in found.comparisons] == [
            ("val_accuracy", "max", 2),
            ("val_loss", "min", 1),
        ]
        assert list(found.rankings) == report.rankings(runs)


class TestEdges:
    def test_nothing(self) -> None:
        assert analyse([]).comparisons == ()

    def test_one_run(self) -> None:
        found = only([job(0, 0.5)])
        assert (found.best, found.factors, found.effects, found.pairs) == (0, (), (), ())
        assert [front.rows for front in found.pareto] == [(0,)] * 3

    def test_all_failed(self) -> None:
        found = compared(["x", "y"], {(x, y): ["failed", "failed"] for x in "ab" for y in "cd"})
        assert (found.best, found.observations, found.pairs, found.pareto, len(found.failures)) == (None, (), (), (), 8)
        assert [e.note for e in found.effects] == ["No completed run has a number."] * 2
        assert [w.kind for w in found.warnings] == ["unfinished"]

    def test_strange_records(self, tmp_path: Path) -> None:
        strange = {"choices": 3, "best": 5, "metrics": [], "sweep": 1, "changed": 9, "error": 4, "parameters": "?"}
        runs = [single(tmp_path, "a", {}), single(tmp_path, "b", None, **strange, status="failed"), Run(tmp_path, {})]
        assert sum(len(c.failures) for c in analyse(runs).comparisons) == 1

    def test_what_was_not_changed_is_no_factor(self) -> None:
        runs = [job(i, changed={"x": "a", "y": i, "seed": 0}) for i in range(2)]
        assert [f.name for f in only(runs).factors] == ["y"]

    def test_runs_that_are_no_sweep_have_factors_too(self, tmp_path: Path) -> None:
        runs = [
            single(
                tmp_path,
                f"{i}{w}{s}",
                {"optimizer.lr": lr, "model.width": w, "seed": s},
                seed=s,
                best={"val_accuracy": v},
            )
            for (i, lr), w, s in itertools.product(enumerate([0.1, 0.01]), [8, 16], [0, 1])
            for v in [0.5 + 0.1 * i + w / 100 + 0.001 * s * i]
        ]
        found = only(runs)
        assert {f.name: f.values for f in found.factors} == {
            "optimizer.lr": ("0.01", "0.1"),
            "model.width": ("8", "16"),
        }
        assert [o.seed for o in found.observations] == ["0", "1"] * 4
        lr = next(e for e in found.effects if e.factor.name == "optimizer.lr")
        assert [level.mean for level in lr.levels] == pytest.approx([0.7205, 0.62])

    def test_300_runs(self) -> None:
        rng = random.Random(0)
        cells = {(a, b, c): [rng.random() for _ in range(3)] for a in range(5) for b in range(5) for c in range(4)}
        found = compared(["a", "b", "c"], cells)
        assert (len(found.observations), len(found.pairs), len(found.interactions)) == (300, 99 + 98, 3)
        assert {e.df for e in found.effects} == {(4, 300 - 12 - 2), (3, 300 - 12 - 2)}

    def test_the_other_parts_of_the_room_do_without_scipy(self) -> None:
        code = (
            "import sys; sys.modules['scipy'] = None; import cnnexp.report as r; r.table(r.rank([])); "
            "assert 'cnnexp.report.statistics' not in sys.modules"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def finite(value: Any) -> bool:
    """Whether every number of a value is one that JSON can hold."""
    if isinstance(value, (tuple, list)):
        return all(map(finite, value))
    if isinstance(value, float):
        return math.isfinite(value)
    fields = getattr(value, "__dataclass_fields__", {})
    return isinstance(value, (Run, dict)) or all(finite(getattr(value, name)) for name in fields)


@settings(max_examples=60, deadline=None)
@given(JOBS, st.sampled_from(["min", "max"]), st.integers(1, 3), st.randoms(use_true_random=False))
def test_any_runs_are_compared_and_their_order_does_not_matter(
    drawn: list[tuple[str, int, Any, str]], mode: str, seeds: int, order: random.Random
) -> None:
    runs = [
        job(i, v, status, mode=mode, changed={"model.activation": name, "optimizer.lr": rate, "seed": i % seeds})
        for i, (name, rate, v, status) in enumerate(drawn)
    ]
    found = analyse(runs)
    assert analyse(order.sample(runs, len(runs))) == found
    assert finite(found)
    (comparison,) = found.comparisons
    assert comparison.values == tuple(row.value for row in comparison.ranking.rows)
    assert len(comparison.failures) == sum(status in ("failed", "interrupted") for *_, status in drawn)
    numbers = sum(value is not None for value in comparison.values)
    assert len(comparison.pairs) == numbers * (numbers - 1) // 2
    for it in comparison.pairs:
        assert (it.low is None) == (it.p is None) == (it.p_adjusted is None) == (it.test == "") == (it.reason != "")
        assert it.low is None or it.high is None or it.low <= it.difference <= it.high
    for effect in comparison.effects:
        for level in effect.levels:
            assert (
                level.low is None or level.high is None or level.mean is None or level.low <= level.mean <= level.high
            )
        assert effect.p is None or 0 <= effect.p <= 1
        assert effect.levels or effect.trend or effect.note
    json.dumps([caution.text for caution in comparison.warnings])


def test_a_table_of_cells_is_what_it_says() -> None:
    runs = table(["x"], {("a",): [0.5, "failed"]})
    assert [(r.status, r.fields["changed"]) for r in runs] == [
        ("completed", {"x": "a", "seed": "0"}),
        ("failed", {"x": "a", "seed": "1"}),
    ]
